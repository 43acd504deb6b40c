/** The network of a simulation: every way between its nodes, and all that can go wrong on it. */
import type { NodeId } from '../../../consensus/consensus.js';
import { checkName, checkNumber, configError, QuorateError } from '../../../errors.js';
import type { Transport, TransportHost, TransportSession } from '../../../mesh/transport.js';
import { Disturbances, type DisturbanceKind } from '../disturbances.js';
import type { Random } from '../random.js';
import type { Scheduler } from '../scheduler.js';
import type { Trace } from '../trace.js';
import { Letters } from './letters.js';
import { Rendezvous } from './rendezvous.js';
import { SimSession } from './session.js';
import {
  reshape,
  resolveSettings,
  type NetworkSettings,
  type NetworkShape,
  type ResolvedShape,
} from './settings.js';
import { Slab } from './slab.js';
import { Way } from './way.js';
import { newCounts, type NetworkCounts, type World } from './world.js';

/** What a {@link SimNetwork} is made with. */
export interface SimNetworkOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly trace: Trace;
  readonly settings?: NetworkSettings;
  /** Is told of every fault. */
  readonly disturbances?: Disturbances;
}

/**
 * A transport for all nodes of a simulation. Links behave as those of the WebRTC transport: two lanes, each ordered and
 * reliable over a lossy path of its own. The `environment` of each host must be the `Process` of that run.
 */
export class SimNetwork implements Transport {
  readonly kind = 'simulated';
  readonly counts: NetworkCounts = newCounts();
  readonly #world: World;
  readonly #random: Random;
  readonly #disturbances: Disturbances;
  readonly #rendezvous: Rendezvous;
  readonly #ways = new Map<string, Way>();
  /** The group of each node while there is a partition, for ways that are not yet known. */
  #groups: Map<NodeId, number> | undefined;
  #shape: ResolvedShape;
  #links = 0;

  /** @throws QuorateError `ERR_CONFIG`. */
  constructor(options: SimNetworkOptions) {
    const settings = resolveSettings(options.settings);
    const { random, scheduler, trace } = options;
    this.#world = {
      scheduler,
      trace,
      settings,
      counts: this.counts,
      random: random.stream('rendezvous'),
      slab: new Slab(),
      letters: new Letters(),
    };
    this.#random = random;
    this.#disturbances = options.disturbances ?? new Disturbances();
    this.#shape = settings.shape;
    this.#rendezvous = new Rendezvous(this.#world);
  }

  start(host: TransportHost): Promise<TransportSession> {
    const session = new SimSession({
      world: this.#world,
      host,
      rendezvous: this.#rendezvous,
      way: (from, to) => this.#way(from, to),
      nextName: () => `link-${++this.#links}`,
    });
    this.#rendezvous.add(session);
    return Promise.resolve(session);
  }

  /** Changes how one direction is, from what is sent next on. @throws QuorateError `ERR_CONFIG`. */
  shape(from: NodeId, to: NodeId, change: NetworkShape): void {
    const way = this.#named(from, to);
    way.shape = reshape('shape', way.shape, change);
    this.#disturbances.shaped = true;
    this.#tell('shape', from, to);
    this.#note('shape', `${from}>${to} ${JSON.stringify(change)}`);
  }

  /** Changes how all directions are, those between nodes to come included. @throws QuorateError `ERR_CONFIG`. */
  shapeAll(change: NetworkShape): void {
    this.#shape = reshape('shape', this.#shape, change);
    for (const way of this.#ways.values()) way.shape = reshape('shape', way.shape, change);
    this.#disturbances.shaped = true;
    this.#tell('shape');
    this.#note('shape', `all ${JSON.stringify(change)}`);
  }

  /** All directions are again as the settings say. */
  resetShapes(): void {
    this.#shape = this.#world.settings.shape;
    for (const way of this.#ways.values()) way.shape = this.#shape;
    this.#disturbances.shaped = false;
    this.#tell('shape');
    this.#note('shape', 'reset');
  }

  /**
   * Nothing passes between two nodes any more, and nobody is told. What is sent arrives after a heal, if the link still lives;
   * in the long run its ends break by themselves.
   */
  cut(a: NodeId, b: NodeId): void {
    this.#cut(this.#named(a, b));
    this.#cut(this.#way(b, a));
  }

  /** Nothing passes in this direction; the other stays open. */
  cutOneWay(from: NodeId, to: NodeId): void {
    this.#cut(this.#named(from, to));
  }

  /** Mends the cuts between two nodes, or all cuts. */
  heal(a?: NodeId, b?: NodeId): void {
    if ((a === undefined) !== (b === undefined))
      throw new QuorateError('ERR_CONFIG', 'heal takes both ids or none');
    if (a !== undefined && b !== undefined) {
      const way = this.#named(a, b);
      this.#heal(way);
      this.#heal(way.back);
    } else {
      this.#groups = undefined;
      for (const way of this.#ways.values()) this.#heal(way);
    }
  }

  /** Only nodes of one group reach each other; a node in none is alone. {@link SimNetwork.heal} ends it. */
  partition(groups: readonly (readonly NodeId[])[]): void {
    const of = new Map<NodeId, number>();
    for (const [index, group] of groups.entries()) {
      for (const id of group) {
        checkName('node', id);
        if (of.has(id)) throw configError('groups', id, 'lists without a node in common');
        of.set(id, index);
      }
    }
    this.#groups = of;
    for (const a of of.keys()) for (const b of of.keys()) if (a !== b) this.#way(a, b);
    for (const way of this.#ways.values()) if (this.#apart(way.from, way.to)) this.#cut(way);
  }

  /** Nothing passes from these nodes to those; the other direction stays open. */
  partitionOneWay(from: readonly NodeId[], to: readonly NodeId[]): void {
    for (const a of from) for (const b of to) if (a !== b) this.cutOneWay(a, b);
  }

  /** Nothing passes in this direction for so long; then everything does. 0 to 600 000 ms. */
  clog(from: NodeId, to: NodeId, ms: number): void {
    checkNumber('ms', ms, 0, 600_000, false);
    const way = this.#named(from, to);
    way.cloggedUntil = Math.max(way.cloggedUntil, this.#world.scheduler.now + ms);
    this.counts.clogs++;
    this.#disturbances.tell('clog', way.cloggedUntil, from, to);
    this.#note('clog', `${from}>${to} ${ms}`);
  }

  /** Breaks the links of two nodes at once; what is under way is lost. With `side`, the other end notices later by itself. */
  reset(a: NodeId, b: NodeId, side?: NodeId): void {
    if (side !== undefined && side !== a && side !== b)
      throw configError('side', side, 'one of the two nodes');
    const way = this.#named(a, b);
    this.counts.resets++;
    this.#tell('reset', a, b);
    this.#note('reset', `${a} ${b} ${side ?? 'both'}`);
    for (const end of [...way.ends, ...way.back.ends]) end.severed = true;
    if (side !== b) for (const end of [...way.ends]) end.break('reset');
    if (side !== a) for (const end of [...way.back.ends]) end.break('reset');
  }

  /** Whether a node reaches the rendezvous. */
  rendezvous(id: NodeId, reachable: boolean): void {
    this.#rendezvous.reach(checkName('id', id), reachable);
    this.#tell('rendezvous', id);
  }

  /** Whether a node reaches the rendezvous now. @internal */
  meets(id: NodeId): boolean {
    return this.#rendezvous.reaches(id);
  }

  /** Whether nothing passes in this direction. */
  isCut(from: NodeId, to: NodeId): boolean {
    return this.#ways.get(`${from}>${to}`)?.cut ?? this.#apart(from, to);
  }

  #apart(a: NodeId, b: NodeId): boolean {
    const groups = this.#groups;
    if (groups === undefined) return false;
    const group = groups.get(a);
    return group === undefined || group !== groups.get(b);
  }

  #cut(way: Way): void {
    if (way.cut) return;
    way.cut = true;
    this.counts.cuts++;
    this.#tell('cut', way.from, way.to);
    this.#note('cut', `${way.from}>${way.to}`);
    for (const end of way.ends) end.noticeSilence();
    for (const end of way.back.ends) end.noticeSilence();
  }

  #heal(way: Way): void {
    if (!way.cut) return;
    way.cut = false;
    this.counts.heals++;
    this.#tell('heal', way.from, way.to);
    this.#note('heal', `${way.from}>${way.to}`);
    for (const end of way.ends) end.noticeLife();
    for (const end of way.back.ends) end.noticeLife();
  }

  #named(from: NodeId, to: NodeId): Way {
    checkName('node', from);
    checkName('node', to);
    if (from === to) throw configError('nodes', [from, to], 'two different nodes');
    return this.#way(from, to);
  }

  #way(from: NodeId, to: NodeId): Way {
    const known = this.#ways.get(`${from}>${to}`);
    if (known !== undefined) return known;
    const there = this.#newWay(from, to);
    const back = this.#newWay(to, from);
    there.back = back;
    back.back = there;
    return there;
  }

  #newWay(from: NodeId, to: NodeId): Way {
    const name = `${from}>${to}`;
    const way = new Way(from, to, this.#random.stream(name), this.#shape);
    way.cut = this.#apart(from, to);
    this.#ways.set(name, way);
    return way;
  }

  #tell(kind: DisturbanceKind, ...of: readonly NodeId[]): void {
    this.#disturbances.tell(kind, this.#world.scheduler.now, ...of);
  }

  #note(kind: string, detail: string): void {
    this.#world.trace.add(this.#world.scheduler.now, '', kind, detail);
  }
}
