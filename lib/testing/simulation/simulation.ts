/** A whole cluster in one process and in virtual time. */
import type { CoreLoad } from '../../consensus/consensus.js';
import { checkNumber, configError, QuorateError } from '../../errors.js';
import type { KeyValueMachine } from '../../machines/keyValue.js';
import type { Mesh } from '../../mesh/mesh.js';
import type { GroupClient } from '../../replica/client/groupClient.js';
import type { Replica } from '../../replica/replica.js';
import type { StateMachine } from '../../replica/stateMachine.js';
import { Cluster } from './cluster.js';
import type { SimDisk } from './disk/disk.js';
import type { DiskSettings } from './disk/settings.js';
import type { Disturbances } from './disturbances.js';
import { downReplica } from './downReplica.js';
import type { HistoryOperation } from './history.js';
import type { SimNetwork } from './network/network.js';
import { GROUP, type NodeState } from './node.js';
import type { Process } from './process.js';
import { Phase } from './scheduler.js';
import { checkSettings, type MessageSettings, type SimulationOptions } from './settings.js';
import { checkSpan, Timeline } from './timeline.js';
import type { Trace } from './trace.js';
import { violationError, type SimulationReport, type Violation } from './violation.js';
import type { GroupWatch } from './watch/groupWatch.js';
import type { TransferWatch } from './watch/transferWatch.js';

/**
 * N nodes that run the real mesh, replica and storage code over a simulated network and simulated disks. Time passes only in
 * {@link Simulation.run} and its siblings. Made by {@link createSimulation}.
 */
export class Simulation<M extends StateMachine = StateMachine> {
  readonly seed: number;
  /** The ids of the nodes that have a replica, as soon as they are started. */
  readonly nodes: readonly string[];
  /** Those of them that found the group. */
  readonly founders: readonly string[];
  /** Those of them that keep no data. */
  readonly witnesses: readonly string[];
  /** The ids of the nodes that have a mesh and no replica. */
  readonly clients: readonly string[];
  /** The first invariant that did not hold; undefined while all do. */
  violation: Violation | undefined;
  /** The network, for faults beyond those that have a method here. */
  readonly network: SimNetwork;
  /** What was done to the network and the processes. @internal */
  readonly disturbances: Disturbances;
  /** What is known of the group as a whole. @internal */
  readonly group: GroupWatch;
  /** Snapshots on their way. @internal */
  readonly transfers: TransferWatch;
  readonly #cluster: Cluster;
  readonly #time: Timeline;

  /** @internal */
  constructor(options: SimulationOptions<M>) {
    const settings = checkSettings(options);
    this.seed = settings.seed;
    this.nodes = settings.nodes;
    this.founders = settings.founders;
    this.witnesses = settings.witnesses;
    this.clients = settings.clients;
    this.#cluster = new Cluster(settings, (...found) => this.report(...found));
    const { scheduler, network, disturbances, group, transfers } = this.#cluster;
    this.#time = new Timeline(scheduler, () => this.violation !== undefined);
    this.network = network;
    this.disturbances = disturbances;
    this.group = group;
    this.transfers = transfers;
  }

  /** Virtual milliseconds since the simulation began. */
  get now(): number {
    return this.#cluster.scheduler.now;
  }

  /** How many events happened. */
  get events(): number {
    return this.#cluster.scheduler.events;
  }

  /** The highest index that was committed anywhere. */
  get commitIndex(): number {
    return this.group.commitIndex;
  }

  /**
   * The commands and linearizable queries that went through the replicas, for {@link checkLinearizable}. Left out are those
   * that were refused, and queries without an answer: neither says anything.
   */
  get history(): HistoryOperation[] {
    return this.#cluster.history.operations;
  }

  /** Calls that wait for an answer. */
  get openCalls(): number {
    return this.#cluster.history.open;
  }

  /** Reads that a node's consensus core has taken and not ended. @internal */
  openReads(id: string): number {
    return this.#cluster.node(id).view?.core?.openReads ?? 0;
  }

  /** What a node's consensus core holds; undefined while the node is down. @internal */
  coreLoad(id: string): CoreLoad | undefined {
    return this.#cluster.node(id).view?.core?.load();
  }

  /** What happened: two runs are the same exactly if their hashes are. */
  get trace(): Trace {
    return this.#cluster.trace;
  }

  /** Lets `ms` virtual milliseconds pass, at most until an invariant does not hold. */
  async run(ms: number): Promise<void> {
    await this.#time.run(ms);
  }

  /**
   * Lets time pass until `predicate` holds, which is asked after every event, but at most `maxMs` virtual milliseconds and at
   * most until an invariant does not hold. Resolves to whether it holds. One that throws ERR_CLOSED, since it asks for something
   * of a node that is not up, does not hold.
   */
  async runUntil(predicate: () => boolean, maxMs: number): Promise<boolean> {
    if (typeof predicate !== 'function') throw configError('predicate', predicate, 'a function');
    return this.#time.until(predicate, maxMs);
  }

  /**
   * Lets time pass until all founders are up and have met, and one of them leads: from then on the group outlives the loss of any
   * minority. Throws ERR_TIMEOUT when it takes more than `maxMs` virtual milliseconds, and ERR_INVARIANT when something does not
   * hold before.
   */
  async ready(maxMs = 30_000): Promise<void> {
    const up = (): boolean => [...this.founders, ...this.clients].every((id) => this.state(id) === 'up');
    const isReady = (): boolean => this.group.members.allMet && this.leader() !== undefined && up();
    if (await this.runUntil(isReady, maxMs)) return;
    if (this.violation !== undefined) throw violationError(this.seed, this.violation);
    const states = this.nodes.map((id) => `${id} ${this.state(id)}`).join(', ');
    throw new QuorateError('ERR_TIMEOUT', `the group is not ready after ${maxMs} virtual ms: ${states}`);
  }

  /**
   * Lets time pass until a promise is settled, and answers or throws what it does. Throws ERR_TIMEOUT when it is still open after
   * `maxMs` virtual milliseconds.
   *
   * @example
   * ```ts
   * await simulation.settle(simulation.replica('a').submit({ op: 'put', key: 'k', value: 1 }), 5000);
   * ```
   */
  async settle<T>(promise: Promise<T>, maxMs = 60_000): Promise<T> {
    if (await this.#time.settled(promise, maxMs)) return promise;
    if (this.violation !== undefined) throw violationError(this.seed, this.violation);
    throw new QuorateError('ERR_TIMEOUT', `not settled within ${maxMs} virtual ms`);
  }

  /** Calls back in `ms` virtual milliseconds. */
  after(ms: number, callback: () => void): void {
    if (typeof callback !== 'function') throw configError('callback', callback, 'a function');
    this.#cluster.scheduler.after(checkSpan('ms', ms), Phase.fault, undefined, callback);
  }

  /** Resolves in `ms` virtual milliseconds, while time passes. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** The mesh of a node; throws ERR_CLOSED while the node is down or starting. */
  mesh(id: string): Mesh {
    const { mesh, state } = this.#cluster.node(id);
    if (mesh === undefined) throw new QuorateError('ERR_CLOSED', `node ${id} is ${state}`);
    return mesh;
  }

  /**
   * The replica of a node as it is now; each run of a node has one of its own. While the node is down or starting, one that refuses
   * every call with ERR_CLOSED, and whose status says `closed`.
   */
  replica(id: string): Replica<M> {
    const { replica, state } = this.#cluster.node(id);
    return (replica ?? downReplica(id, GROUP, state)) as unknown as Replica<M>;
  }

  /**
   * A client of the group on a node that has no replica, of {@link Simulation.clients}; each run of the node has one of its own. Its
   * calls are part of the {@link Simulation.history}. Rejects with ERR_CLOSED while the node is down or starting.
   */
  async client(id: string): Promise<GroupClient<M>> {
    if (!this.clients.includes(id))
      throw configError('id', id, `one of the clients: ${this.clients.join(', ')}`);
    return (await this.#cluster.node(id).client()) as unknown as GroupClient<M>;
  }

  /** How a node stands. */
  state(id: string): NodeState {
    return this.#cluster.node(id).state;
  }

  /** Why a node's replica failed, if it did. */
  failure(id: string): Error | undefined {
    return this.#cluster.node(id).error;
  }

  /** The node that leads, of several the one of the newest epoch; undefined if none does. */
  leader(): string | undefined {
    let found: { id: string; n: number } | undefined;
    for (const { id, state, replica } of this.#cluster.nodes.values()) {
      if (state !== 'up' || replica === undefined) continue;
      const { role, epoch } = replica.status();
      if (role === 'leader' && (found === undefined || epoch > found.n)) found = { id, n: epoch };
    }
    return found?.id;
  }

  /** Nothing passes between two nodes any more, either way; what was sent is sent again after healing. */
  cut(a: string, b: string): void {
    this.#fault('cut', `${a} ${b}`, a, b);
    this.network.cut(a, b);
  }

  /** Nothing passes from one node to another; the other way is open. */
  cutOneWay(from: string, to: string): void {
    this.#fault('cut one way', `${from}>${to}`, from, to);
    this.network.cutOneWay(from, to);
  }

  /** Cuts all ways between nodes of different groups; a node in no group is alone. */
  partition(groups: readonly (readonly string[])[]): void {
    this.#fault('partition', groups.map((group) => group.join('+')).join(' | '), ...groups.flat());
    this.network.partition(groups);
  }

  /** Mends one cut, or all of them. */
  heal(a?: string, b?: string): void {
    this.#fault('heal', [a, b].filter(Boolean).join(' '), ...[a, b].filter((id) => id !== undefined));
    this.network.heal(a, b);
  }

  /**
   * Ends a node's process at once, as `kill -9` does. With `power`, as when the plug is pulled: of what was not flushed to
   * the disk, any part may be lost.
   */
  crash(id: string, { power = true }: { readonly power?: boolean } = {}): void {
    const node = this.#cluster.node(id);
    if (node.process === undefined) return;
    this.count(power ? 'power losses' : 'kills');
    node.crash(power);
  }

  /**
   * Starts a node that is down; one that runs, or has failed, is killed first. With `join` it asks to be let into the group as that;
   * nodes that are no founders always do, as voters unless something else is said.
   */
  restart(id: string, { join }: { readonly join?: 'voter' | 'learner' | undefined } = {}): void {
    const node = this.#cluster.node(id);
    this.count('restarts');
    if (node.process !== undefined) node.crash(false);
    node.start(join);
  }

  /**
   * Ends a node as it should be ended: its replica is closed, so that it hands a leadership over, and then its mesh. Resolves when
   * the node is down.
   */
  stop(id: string): Promise<void> {
    this.count('stops');
    return this.#cluster.node(id).stop();
  }

  /** A node's process stands still: a blocked event loop, a long collection, a suspended machine. */
  pause(id: string, ms: number): void {
    const process = this.#standStill('pause', id, ms);
    if (process !== undefined) this.disturbances.paused(id, this.now, process.pausedUntil);
  }

  /**
   * A node's machine is suspended, as a laptop is when its lid is closed: the process stands still, and its monotonic clock with it.
   * The wall clock goes on.
   */
  suspend(id: string, ms: number): void {
    const process = this.#standStill('suspend', id, ms);
    // It cannot know that it was away: what it says of others it says by its own clock, and is not blamed for.
    if (process !== undefined) this.disturbances.paused(id, this.now, process.pausedUntil, ms);
    process?.suspend(ms);
  }

  #standStill(kind: string, id: string, ms: number): Process | undefined {
    checkSpan('ms', ms);
    this.#fault(kind, `${id} ${ms}`, id);
    const { process } = this.#cluster.node(id);
    if (process === undefined) return undefined;
    process.pausedUntil = Math.max(process.pausedUntil, this.now + ms);
    process.wakesInOrder = this.#cluster.pauses.chance(0.5);
    return process;
  }

  /** Sets a node's wall clock forward or back. */
  shiftClock(id: string, ms: number): void {
    checkNumber('ms', ms, -1e12, 1e12, false);
    this.#fault('clock shift', `${id} ${ms}`, id);
    this.#cluster.node(id).process?.shiftWallClock(ms);
  }

  /** Changes how a node's disk behaves from now on; what is left out stays. */
  setDisk(id: string, settings: DiskSettings): void {
    const { disk } = this.#cluster.node(id);
    disk.settings = { ...disk.settings, ...settings };
  }

  /** The disk of a node, for faults beyond those that have a method here. */
  disk(id: string): SimDisk {
    return this.#cluster.node(id).disk;
  }

  /** Changes what happens to messages between links and cores from now on; what is left out stays. */
  setMessages(settings: MessageSettings): void {
    this.#cluster.messages.change(settings);
  }

  /** How often things happened: elections, snapshots, faults by kind. */
  counts(): Record<string, number> {
    return this.#cluster.counts();
  }

  /**
   * Throws ERR_INVARIANT if an invariant did not hold at some moment; its message begins with the invariant, its `data` is the
   * {@link Violation}. Invariants are checked at every event, whole states are compared at every 32nd index; this tells. It also
   * compares the states of members that stand at the same index now, if the machine's snapshots need no waiting.
   */
  check(): SimulationReport {
    if (this.violation === undefined) for (const node of this.#cluster.nodes.values()) node.compareState();
    if (this.violation !== undefined) throw violationError(this.seed, this.violation);
    const { now, events, commitIndex } = this;
    return { ok: true, now, events, commitIndex, counts: this.counts() };
  }

  /** Whether a node's process runs and has joined its mesh. @internal */
  meshes(id: string): boolean {
    const { process, mesh } = this.#cluster.node(id);
    return process !== undefined && mesh !== undefined;
  }

  /** Whether a node was ever started. @internal */
  began(id: string): boolean {
    return this.#cluster.node(id).lives > 0;
  }

  /** One more of a kind. @internal */
  count(kind: string): void {
    this.#cluster.count(kind);
  }

  /** Something that a driver of the simulation found not to hold. @internal */
  report(invariant: string, node: string, message: string): void {
    if (this.violation !== undefined) return;
    this.violation = { invariant, node, time: this.now, message };
    this.#cluster.trace.add(this.now, node, 'VIOLATION', `${invariant}: ${message}`);
  }

  #fault(kind: string, detail: string, ...ids: readonly string[]): void {
    for (const id of ids) this.#cluster.node(id);
    this.count(kind);
    this.#cluster.trace.add(this.now, '', kind, detail);
  }
}

/**
 * Makes a cluster of simulated nodes; they begin to start when time first passes.
 *
 * @example
 * ```ts
 * const simulation = createSimulation({ seed: 7, nodes: ['a', 'b', 'c'] });
 * await simulation.ready();
 * const replica = simulation.replica('a');
 * await simulation.settle(replica.submit({ op: 'put', key: 'k', value: 1 }));
 * simulation.partition([['a'], ['b', 'c']]);
 * await simulation.run(5000);
 * simulation.check();
 * ```
 *
 * @throws QuorateError `ERR_CONFIG`.
 */
export function createSimulation<M extends StateMachine = KeyValueMachine<unknown>>(
  options: SimulationOptions<M>,
): Simulation<M> {
  return new Simulation(options);
}
