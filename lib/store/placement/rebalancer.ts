/**
 * Moves keys to where the ring says they belong. A member that comes to own leaves takes them in from all who own them until then; a
 * member that holds what it does not own brings it to all who do, and gives it up when they were seen to have it. All of it may be
 * done again from the start: what is there already costs a comparison.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { Ask } from '../coordination/repair.js';
import type { LocalStore } from '../local/localStore.js';
import type { RingGroup } from './ringGroup.js';
import type { RingPlacement } from './ringPlacement.js';
import { incomingOf, type RingState } from './ringState.js';
import { handOver, syncLeaves } from './sync.js';

/** After how long what could not be done is tried again. */
const RETRY_MS = 500;

/** How far a move of keys is. */
export interface RebalanceStatus {
  /** The version of the ring that the keys move by. */
  readonly version: number;
  /** The members before, and those after. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** How many copies of partitions have been taken in, of those that move. */
  readonly done: number;
  readonly total: number;
  /** Members that do not have all that they get yet. */
  readonly waitingFor: readonly string[];
}

/** How far the move of a state is; undefined where nothing moves. */
export function rebalanceOf(state: RingState): RebalanceStatus | undefined {
  const { next, members, version, progress } = state;
  if (next === undefined) return undefined;
  return {
    version,
    from: members.map(({ id }) => id),
    to: next.map(({ id }) => id),
    done: progress.reduce((sum, { done }) => sum + done, 0),
    total: progress.reduce((sum, { of }) => sum + of, 0),
    waitingFor: progress.filter(({ done, of }) => done < of).map(({ id }) => id),
  };
}

export interface RebalancerSetup {
  readonly self: NodeId;
  readonly local: LocalStore<unknown, unknown, unknown>;
  readonly environment: Environment;
  readonly placement: RingPlacement;
  readonly group: RingGroup;
  readonly timeoutMs: number;
  readonly linked: () => ReadonlySet<NodeId>;
  /** What has to happen before there is a ring, or before this node is in it. */
  readonly begin: () => Promise<void>;
  readonly failed: (peer: NodeId, error: Error) => void;
}

export class Rebalancer {
  readonly #setup: RebalancerSetup;
  readonly #stop: () => void;
  /** The leaves that were taken in whole, by whom they came from, in this version. */
  readonly #taken = new Map<NodeId, Set<number>>();
  #version = 0;
  #told = -1;
  #working = false;
  #again = false;
  #closed = false;
  #timer: Timer | undefined;

  constructor(setup: RebalancerSetup) {
    this.#setup = setup;
    this.#stop = setup.placement.onChange(() => this.kick());
    this.kick();
  }

  /** Something may be possible now that was not before. */
  kick(): void {
    this.#again = true;
    if (this.#working || this.#closed) return;
    this.#working = true;
    void this.#run();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#stop();
  }

  async #run(): Promise<void> {
    let left = false;
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        left = !(await this.#work());
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error;
        left = true;
      }
    }
    this.#working = false;
    this.#timer?.cancel();
    if (this.#closed) return;
    // Where nothing is left, others may still have to be tended to: rarely.
    const delay = RETRY_MS * (left ? 1 : 10) * (0.5 + this.#setup.environment.random());
    this.#timer = this.#setup.environment.setTimer(delay, () => this.kick());
  }

  /** Resolves to whether nothing is left to be done. */
  async #work(): Promise<boolean> {
    const { placement, group, self, timeoutMs, begin } = this.#setup;
    const { state } = placement;
    await group.tend(timeoutMs);
    if (!placement.people.has(self)) {
      await begin();
      return false;
    }
    const whole = await this.#takeIn(state);
    const empty = await this.#handOut();
    if (empty && state.leaving.includes(self) && placement.state === state)
      await group.submit({ op: 'left', id: self }, timeoutMs);
    return whole && empty;
  }

  async #takeIn(state: RingState): Promise<boolean> {
    const { placement, self, local } = this.#setup;
    const { version, partitions, lost } = state;
    if (version !== this.#version) {
      this.#version = version;
      this.#taken.clear();
      this.#told = -1;
    }
    const [before] = placement.rings;
    const incoming = incomingOf(placement.rings, self, partitions);
    if (incoming.length === 0 || lost.includes(self)) return true;
    const sources = (leaf: number): NodeId[] => before!.ownersOf(leaf).filter((id) => !lost.includes(id));
    for (const peer of new Set(incoming.flatMap(sources))) {
      let taken = this.#taken.get(peer);
      if (taken === undefined) this.#taken.set(peer, (taken = new Set()));
      const leaves = incoming.filter((leaf) => sources(leaf).includes(peer) && !taken.has(leaf));
      await this.#with(peer, (ask) => syncLeaves(local, leaves, ask, (leaf) => taken.add(leaf)));
      await this.#tell(state, incoming, sources);
    }
    return (await this.#tell(state, incoming, sources)) === incoming.length;
  }

  /** Tells the group how many leaves are whole here. */
  async #tell(
    { version }: RingState,
    incoming: readonly number[],
    sources: (leaf: number) => NodeId[],
  ): Promise<number> {
    const { local, group, self, timeoutMs } = this.#setup;
    const has = (leaf: number): boolean => sources(leaf).every((id) => this.#taken.get(id)?.has(leaf));
    const done = incoming.filter(has).length;
    // What was there already may have come in by a write that is not on the disk yet.
    await new Promise<void>((resolve, reject) =>
      local.table.whenAllDurable((error) => (error ? reject(error) : resolve())),
    );
    if (done !== this.#told) {
      await group.submit({ op: 'progress', version, id: self, done }, timeoutMs);
      this.#told = done;
    }
    return done;
  }

  /** Resolves to whether this node holds nothing any more that it does not own. */
  async #handOut(): Promise<boolean> {
    const { placement, self, local } = this.#setup;
    const { table } = local;
    const { epoch } = placement;
    const { lost } = placement.state;
    let empty = true;
    for (let leaf = 0; leaf < table.tree.leaves; leaf++) {
      if (placement.owns(self, leaf) || table.keysOf(leaf).next().done) continue;
      const owners = placement.roundOf(leaf).others.filter((id) => !lost.includes(id));
      const linked = this.#setup.linked();
      if (owners.length === 0 || owners.some((id) => !linked.has(id))) {
        empty = false;
        continue;
      }
      await this.#with(owners[0]!, (first) =>
        handOver(
          local,
          leaf,
          [first, ...owners.slice(1).map((id) => this.#ask(id))],
          () => placement.epoch === epoch && !this.#closed,
        ),
      );
      if (!table.keysOf(leaf).next().done) empty = false;
    }
    return empty;
  }

  #ask(peer: NodeId): Ask {
    const { placement, timeoutMs } = this.#setup;
    const { epoch } = placement;
    return (type, body) => placement.call(peer, type, body, timeoutMs, epoch);
  }

  async #with<T>(peer: NodeId, work: (ask: Ask) => Promise<T>): Promise<void> {
    if (this.#closed || !this.#setup.linked().has(peer)) return;
    try {
      await work(this.#ask(peer));
    } catch (error) {
      this.#setup.failed(peer, error as Error);
    }
  }
}
