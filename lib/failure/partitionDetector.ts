/** Watches a connectivity table and says how the mesh is cut. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Connectivity } from './connectivity.js';
import type { PartitionLink, PartitionMetrics, PartitionState, PartitionView } from './partition.js';
import { classify, partitionKey } from './partitionRaw.js';
import type { RawPartition } from './partitionRaw.js';
import type { ConnectivityGraph } from './rowsGraph.js';

/** What {@link PartitionDetector} is made with. */
export interface PartitionDetectorOptions {
  readonly connectivity: Connectivity;
  readonly now: number;
  /** The state or the components have changed. */
  readonly onChange?: (view: PartitionView) => void;
}

/** A new evil is believed when it has stood for so long. */
const settleHeartbeats = 2;
/** A picture that never stands still, or in which the ends of a link differ, is shown as it is after so long. */
const patienceHeartbeats = 6;
/** A mesh is healed when all links have worked for so long. */
const healHeartbeats = 3;

/**
 * Pure: `tick` is told the time, at every heartbeat and after the table changed, and nothing happens between.
 *
 * What the links say counts once it stood for two heartbeats, so that the ends of one broken link, which notice at different
 * times, make one change of state and not several.
 */
export class PartitionDetector {
  readonly #connectivity: Connectivity;
  readonly #onChange: ((view: PartitionView) => void) | undefined;
  readonly #heartbeatMs: number;
  readonly #expected = new Map<string, readonly NodeId[]>();
  readonly #entered = zeroes();
  readonly #msIn = zeroes();
  #seenChanges = -1;
  #graph: ConnectivityGraph;
  #raw: RawPartition;
  /** Since when the raw partition is what it is, since when its state is healthy, and since when it is not the settled one. */
  #rawSince: number;
  #healthySince: number;
  #unsettledSince: number | undefined;
  #settled: RawPartition;
  #state: PartitionState = 'healthy';
  #components: readonly (readonly NodeId[])[];
  #key: string;
  #since: number;
  #enteredAt: number;
  #changes = 0;

  constructor(options: PartitionDetectorOptions) {
    this.#connectivity = options.connectivity;
    this.#onChange = options.onChange;
    this.#heartbeatMs = options.connectivity.heartbeatMs;
    this.#graph = options.connectivity.graph();
    this.#raw = this.#settled = classify(this.#graph, this.#expected);
    this.#components = this.#raw.components;
    this.#key = this.#raw.key;
    this.#rawSince = this.#healthySince = this.#since = this.#enteredAt = options.now;
    this.#entered.healthy = 1;
  }

  /** The state as of the last tick. */
  get state(): PartitionState {
    return this.#state;
  }

  /** A group of this node counts on these voters; `undefined` when the group is closed. */
  expect(group: string, voters: readonly NodeId[] | undefined, now: number): void {
    if (voters === undefined) this.#expected.delete(group);
    else this.#expected.set(group, [...new Set(voters)]);
    this.#seenChanges = -1;
    this.tick(now);
  }

  /** The voters that all groups of this node count on. */
  get expected(): Set<NodeId> {
    return new Set([...this.#expected.values()].flat());
  }

  /** Looks again. Cheap when neither the table nor a waiting time has moved on. */
  tick(now: number): void {
    const { changes } = this.#connectivity;
    if (changes !== this.#seenChanges) {
      this.#seenChanges = changes;
      this.#look(now);
    }
    const { state, components } = this.#judge(now);
    if (state === this.#state && components === this.#components) return;
    const key = partitionKey(state, components);
    if (key === this.#key) {
      this.#components = components;
      return;
    }
    this.#key = key;
    this.#changes++;
    this.#since = now;
    this.#components = components;
    if (state !== this.#state) {
      this.#msIn[this.#state] += now - this.#enteredAt;
      this.#enteredAt = now;
      this.#entered[state]++;
      this.#state = state;
    }
    this.#onChange?.(this.view());
  }

  /** This process stood still for so long: that time settles nothing. */
  excuse(ms: number, now: number): void {
    const later = (since: number): number => Math.min(now, since + ms);
    this.#rawSince = later(this.#rawSince);
    this.#healthySince = later(this.#healthySince);
    if (this.#unsettledSince !== undefined) this.#unsettledSince = later(this.#unsettledSince);
  }

  /** What is known as of the last tick. */
  view(): PartitionView {
    const graph = this.#graph;
    const phis = new Map<NodeId, number | undefined>();
    for (const id of graph.ids) phis.set(id, this.#connectivity.phi(id));
    let links: readonly PartitionLink[] | undefined;
    const components = this.#components;
    const reachable = components.find((ids) => ids.includes(graph.self)) ?? [graph.self];
    return {
      state: this.#state,
      components,
      reachable,
      unreachable: components
        .filter((ids) => ids !== reachable)
        .flat()
        .sort(),
      // Quadratic, and seldom looked at.
      get links() {
        return (links ??= linksOf(graph, phis));
      },
      bridges: graph.bridges(),
      articulation: graph.articulationPoints(),
      since: this.#since,
    };
  }

  metrics(now: number): PartitionMetrics {
    const { reachable, unreachable } = this.view();
    const msIn = { ...this.#msIn };
    msIn[this.#state] += now - this.#enteredAt;
    return {
      state: this.#state,
      reachable: reachable.length,
      unreachable: unreachable.length,
      changes: this.#changes,
      entered: { ...this.#entered },
      msIn,
    };
  }

  #look(now: number): void {
    this.#graph = this.#connectivity.graph();
    const raw = classify(this.#graph, this.#expected);
    const before = this.#raw;
    this.#raw = raw;
    if (raw.key === before.key) return;
    if (raw.state === 'healthy' && before.state !== 'healthy') this.#healthySince = now;
    this.#rawSince = now;
    if (raw.key === this.#settled.key) this.#unsettledSince = undefined;
    else this.#unsettledSince ??= now;
  }

  #judge(now: number): { state: PartitionState; components: readonly (readonly NodeId[])[] } {
    const raw = this.#raw;
    if (this.#isSettled(now)) {
      this.#settled = raw;
      this.#unsettledSince = undefined;
      return raw;
    }
    if (raw.state === 'healthy') return { state: 'healing', components: raw.components };
    // A mesh that heals brings its links back one by one, and the news of them out of order: that is no new suspicion.
    return { state: this.#state === 'healthy' ? 'suspected' : this.#state, components: this.#components };
  }

  #isSettled(now: number): boolean {
    const raw = this.#raw;
    if (raw.key === this.#settled.key) return true;
    if (raw.state === 'healthy') {
      return (
        this.#settled.state === 'healthy' || now - this.#healthySince >= healHeartbeats * this.#heartbeatMs
      );
    }
    // Alone with its groups, a node has nobody whose word it could wait for.
    if (raw.components.length === 1 && raw.own.length === 1) return true;
    if (!raw.disputed && now - this.#rawSince >= settleHeartbeats * this.#heartbeatMs) return true;
    return now - this.#unsettledSince! >= patienceHeartbeats * this.#heartbeatMs;
  }
}

function linksOf(
  graph: ConnectivityGraph,
  phis: ReadonlyMap<NodeId, number | undefined>,
): readonly PartitionLink[] {
  const links: PartitionLink[] = [];
  for (const to of graph.ids) {
    const said = new Map(graph.rows.get(to)?.entries.map((entry) => [entry.peer, entry.phi]));
    for (const from of graph.ids) {
      if (from === to) continue;
      const state = graph.direction(from, to);
      const phi = to === graph.self ? phis.get(from) : said.get(from);
      links.push(state === 'up' && phi !== undefined ? { from, to, state, phi } : { from, to, state });
    }
  }
  return links.sort((a, b) => (a.from === b.from ? (a.to < b.to ? -1 : 1) : a.from < b.from ? -1 : 1));
}

function zeroes(): Record<PartitionState, number> {
  return { healthy: 0, suspected: 0, partial: 0, simplex: 0, complete: 0, isolated: 0, healing: 0 };
}
