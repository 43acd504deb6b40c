/** A multi-primary store as its user sees it. */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import { checkNumber, QuorateError } from '../../errors.js';
import { Emitter } from '../../events.js';
import type { CircuitState } from '../../failure/circuitBreaker.js';
import type { LocalStore, Update } from '../local/localStore.js';
import type {
  ListOptions,
  LocalStatus,
  LocalStoreEvents,
  StoreChange,
  StoreEntry,
  WatchOptions,
} from '../local/localTypes.js';
import type { Versions } from '../causality/version.js';
import type { StoreDesk } from './desk.js';
import { Circuits } from './circuits.js';
import { handOver } from './handover.js';
import { gather } from './quorum.js';
import { repair, serveRepair, type RepairReport } from './repair.js';
import {
  countOf,
  type CheckedStore,
  type Level,
  type StoreReadOptions,
  type StoreWriteOptions,
  type WriteReport,
} from './storeOptions.js';
import { decodeKeys, encodeKeys, RequestType, type Request } from './wire.js';

/** The events of a {@link Store}. */
export interface StoreEvents extends LocalStoreEvents {
  /** A member was told, durably, what it had missed: so many keys. */
  'handed-over': [{ readonly peer: NodeId; readonly keys: number }];
  /** This node compared itself with a member, as after a partition, and the two differed. */
  repaired: [RepairReport];
  /** A comparison did not come to its end; it will be tried again. */
  'repair:failed': [{ readonly peer: NodeId; readonly error: Error }];
  /** A member opened the store with other members, another resolution or other leaves: it is not talked with. */
  'peer:differs': [NodeId];
}

/** Where a store stands, as this node knows it. */
export interface StoreStatus extends LocalStatus {
  /** The other members that are linked. */
  readonly linked: readonly NodeId[];
  /** Writes of this node that members missed and are still to be told, at most 10,000 for each and none older than three hours. */
  readonly hints: number;
  /** Hints that were dropped since the store was opened, over a cap or for their age: comparing finds what they told. */
  readonly hintsDropped: number;
  /** Members that reads and writes pass over for a while, since their requests timed out; each with the state of its circuit. */
  readonly circuits: Readonly<Record<NodeId, CircuitState>>;
}

/**
 * A store that every member reads and writes, also while the members are cut off from each other; all come to hold the same. Made by
 * {@link openStore}.
 */
export class Store<V = unknown, Input = V, Op = never> extends Emitter<StoreEvents> {
  /** Its name. */
  readonly name: string;
  readonly #local: LocalStore<V, Input, Op>;
  readonly #desk: StoreDesk;
  readonly #environment: Environment;
  readonly #options: CheckedStore;
  readonly #circuits: Circuits;
  readonly #leave: () => void;
  readonly #release: () => Promise<void>;
  readonly #due = new Set<NodeId>();
  #repairing = false;
  #timer: Timer | undefined;
  #closing: Promise<void> | undefined;
  #closed: () => void = () => undefined;

  /** @internal */
  constructor(
    local: LocalStore<V, Input, Op>,
    desk: StoreDesk,
    options: CheckedStore,
    release: () => Promise<void>,
  ) {
    super();
    this.name = options.name;
    this.#local = local;
    this.#desk = desk;
    this.#environment = desk.environment;
    this.#options = options;
    this.#circuits = new Circuits(desk.environment);
    local.table.hints.keepFor(options.others);
    this.#release = release;
    for (const event of ['conflict', 'clock:ahead', 'disk:rolled-back', 'failed'] as const)
      local.on(event, (...args) => this.emit(event, ...(args as never)));
    this.#leave = desk.open(options.name, {
      agreement: options.agreement,
      knows: (peer) => options.others.includes(peer),
      serve: (_peer, request) => this.#serve(request),
      linked: (peer, up) => {
        this.#circuits.reset(peer);
        if (up) this.#repairSoon(peer);
      },
      differs: (peer) => this.emit('peer:differs', peer),
    });
    for (const peer of this.#linked()) this.#repairSoon(peer);
    this.#schedule();
  }

  /**
   * What a key holds, by what `r` members know. Members that know less than all of them together are told first, so that no later
   * read with that `r` finds less.
   *
   * Throws {@link QuorateError}: `ERR_NOT_READY` and `ERR_TIMEOUT` when too few take part, with a {@link QuorumShortfall} in `data`;
   * `ERR_CONFIG`, `ERR_CLOSED`, `ERR_STORAGE_FAILED`, `ERR_RESOLVER_FAILED`.
   */
  async get(key: string, options: StoreReadOptions = {}): Promise<StoreEntry<V>> {
    const needed = this.#count('r', options.r, this.#options.r);
    const timeoutMs = this.#timeout(options.timeout);
    const entry = await this.#local.get(key); // checks the key, too
    if (needed === 1) return entry;
    await this.#read(key, needed, timeoutMs);
    return this.#local.get(key);
  }

  /**
   * Writes a value; resolves once `w` members have it on their disks, to how many these were and who missed it. All others are told as
   * well, now or when they can be reached.
   *
   * Throws {@link QuorateError}: `ERR_NOT_READY` and `ERR_TIMEOUT` with fate `ambiguous` when too few took part: those that did, this
   * node among them, keep it, and it spreads. With fate `refused`, and nothing written: `ERR_TOO_LARGE`, `ERR_OVERLOADED`,
   * `ERR_STORAGE_FULL`, `ERR_CLOSED`. Besides `ERR_CONFIG`, `ERR_CODEC`, `ERR_STORAGE_FAILED`.
   */
  put(key: string, value: Input, options: StoreWriteOptions = {}): Promise<WriteReport> {
    return this.#written(key, options, () => this.#local.put(key, value, options));
  }

  /** Deletes a key, as {@link Store.put} writes. Without a context whatever this node holds is deleted. */
  delete(key: string, options: StoreWriteOptions = {}): Promise<WriteReport> {
    return this.#written(key, options, () => this.#local.delete(key, options));
  }

  /**
   * Reads and writes in one step. For replicated data types the operations, one or a list; for others a function that makes a new value
   * of the one that is read, and may be told to read from more members first with `r` (default `'local'`). What other nodes write at the
   * same time stays beside it, and is resolved with it.
   *
   * Resolves to what is read afterwards. Throws as {@link Store.put} does, and what the function throws.
   */
  async update(
    key: string,
    update: Update<V, Input, Op>,
    options: Omit<StoreWriteOptions, 'context'> & StoreReadOptions = {},
  ): Promise<V | undefined> {
    const needed = this.#count('r', options.r, 1);
    if (needed > 1) await this.#read(key, needed, this.#timeout(options.timeout));
    let after!: Versions;
    await this.#written(key, options, async () => (after = await this.#local.update(key, update)));
    return this.#local.valueIn(after);
  }

  /** The keys that this node holds, in their order, with their values. Looks at all of them. */
  list(options: ListOptions = {}): Promise<[key: string, value: V][]> {
    return this.#local.list(options);
  }

  /** The keys that change on this node from now on; a key that changes again before it was looked at is told once. */
  watch(options: WatchOptions = {}): AsyncIterableIterator<StoreChange<V>> {
    return this.#local.watch(options);
  }

  /** Compares this node with all members that are linked, and exchanges what differs. Rejects when one comparison fails. */
  async repair(): Promise<RepairReport[]> {
    const reports: RepairReport[] = [];
    for (const peer of this.#linked()) reports.push(await this.#repair(peer));
    return reports;
  }

  /** Where it stands. */
  status(): StoreStatus {
    const { hints } = this.#local.table;
    return {
      ...this.#local.status(),
      linked: this.#linked(),
      hints: hints.size,
      hintsDropped: hints.dropped,
      circuits: this.#circuits.states(),
    };
  }

  /** Waits until all that was written here is durable, and lets go of the storage. Calls that wait for members are rejected. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** The same as {@link Store.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Has `callback` called when it closes. @internal */
  onClosed(callback: () => void): void {
    this.#closed = callback;
  }

  async #close(): Promise<void> {
    this.#closed();
    this.#timer?.cancel();
    this.#leave();
    try {
      await this.#local.close();
    } finally {
      await this.#release();
      this.removeAllListeners();
    }
  }

  #count(option: string, level: Level | undefined, otherwise: number): number {
    return level === undefined ? otherwise : countOf(option, level, this.#options.others.length + 1);
  }

  #timeout(given: number | undefined): number {
    return given === undefined ? this.#options.timeout : checkNumber('timeout', given, 1, 2 ** 31 - 1, false);
  }

  #linked(): NodeId[] {
    const linked = this.#desk.port.linked();
    return this.#options.others.filter((peer) => linked.has(peer));
  }

  #call(
    peer: NodeId,
    type: RequestType,
    body: Uint8Array,
    timeoutMs = this.#options.timeout,
  ): Promise<Uint8Array> {
    return this.#desk.call(peer, this.name, type, body, timeoutMs);
  }

  /** Writes here, and then, once that is durable, on the others. */
  async #written(
    key: string,
    options: StoreWriteOptions,
    write: () => Promise<Versions>,
  ): Promise<WriteReport> {
    const needed = this.#count('w', options.w, this.#options.w);
    const timeoutMs = this.#timeout(options.timeout);
    const set = await write();
    const hinted: NodeId[] = [];
    if (set.versions.length === 0) return { acknowledged: 1, hinted }; // nothing was there to be deleted
    const { hints } = this.#local.table;
    const body = encodeKeys([[key, this.#local.encode(set)]]);
    const miss = (peer: NodeId): void => {
      if (hints.add(peer, key)) hinted.push(peer);
    };
    const linked = this.#desk.port.linked();
    const steps = this.#options.others.map(async (peer) => {
      if (!linked.has(peer)) {
        miss(peer); // at once: also a write that waits for nobody tells of it
        throw new QuorateError('ERR_NOT_READY', `${peer} is not linked`);
      }
      try {
        await this.#circuits.run(peer, () => this.#call(peer, RequestType.write, body, timeoutMs));
      } catch (error) {
        miss(peer);
        throw error;
      }
    });
    const { environment } = this.#desk;
    const acknowledged = await gather({
      environment,
      needed,
      timeoutMs,
      steps,
      what: `write of ${JSON.stringify(key)}`,
      fate: 'ambiguous',
    });
    return { acknowledged, hinted: [...hinted] };
  }

  /** Takes in what others know of a key; has enough of them know all of it. */
  async #read(key: string, needed: number, timeoutMs: number): Promise<void> {
    const { environment } = this.#desk;
    const deadline = environment.now() + timeoutMs;
    const what = `read of ${JSON.stringify(key)}`;
    const body = encodeKeys([[key, undefined]]);
    const answers = new Map<NodeId, Uint8Array | undefined>();
    let late = false;
    const steps = this.#options.others.map(async (peer) => {
      const [answer] = this.#sound(
        peer,
        decodeKeys,
        await this.#circuits.run(peer, () => this.#call(peer, RequestType.read, body, timeoutMs)),
      );
      const versions = answer?.[1];
      if (versions) await this.#local.merge(key, versions);
      answers.set(peer, versions);
      if (late) await this.#tell(peer, key, versions, timeoutMs);
    });
    await gather({ environment, needed, timeoutMs, steps, what });
    late = true;
    const told = [...answers].map(([peer, versions]) => this.#tell(peer, key, versions, timeoutMs));
    const left = Math.max(1, deadline - environment.now());
    await gather({ environment, needed, timeoutMs: left, steps: told, what });
  }

  /** Tells a member all that is known of a key, if that is more than it said. */
  async #tell(peer: NodeId, key: string, said: Uint8Array | undefined, timeoutMs: number): Promise<void> {
    const versions = await this.#local.versionsOf(key);
    if (versions === undefined || (said && Buffer.compare(said, versions) === 0)) return;
    await this.#call(peer, RequestType.write, encodeKeys([[key, versions]]), timeoutMs);
  }

  async #serve({ type, body }: Request): Promise<Uint8Array> {
    if (type === RequestType.write) {
      const list = decodeKeys(body);
      await Promise.all(
        list.map(([key, versions]) => {
          if (versions === undefined) throw new QuorateError('ERR_CODEC', 'a write of nothing');
          return this.#local.merge(key, versions);
        }),
      );
      return new Uint8Array(0);
    }
    if (type === RequestType.read) {
      const [first] = decodeKeys(body);
      if (first === undefined) throw new QuorateError('ERR_CODEC', 'a read of nothing');
      return encodeKeys([[first[0], await this.#local.versionsOf(first[0])]]);
    }
    return serveRepair(this.#anyLocal, type, body);
  }

  get #anyLocal(): LocalStore<unknown, unknown, unknown> {
    return this.#local;
  }

  #schedule(): void {
    const { repairIntervalMs, others } = this.#options;
    if (others.length === 0) return;
    const delay = repairIntervalMs * (0.5 + this.#environment.random());
    this.#timer = this.#environment.setTimer(delay, () => {
      const linked = this.#linked();
      const peer = linked[Math.floor(this.#environment.random() * linked.length)];
      if (peer !== undefined) this.#repairSoon(peer);
      this.#schedule();
    });
  }

  #repairSoon(peer: NodeId): void {
    this.#due.add(peer);
    if (this.#repairing) return;
    this.#repairing = true;
    void this.#repairAll();
  }

  /** One after another, each as often as it is due. */
  async #repairAll(): Promise<void> {
    for (const peer of this.#due) {
      this.#due.delete(peer);
      if (this.#closing || !this.#desk.port.linked().has(peer)) continue;
      try {
        await this.#repair(peer);
      } catch (error) {
        this.#repairFailed(peer, error as Error);
      }
    }
    this.#repairing = false;
  }

  #repairFailed(peer: NodeId, error: Error): void {
    if (this.#closing) return;
    // It has not opened the store yet, or the link went again: it will ask by itself, or come back.
    if (error instanceof QuorateError && ['ERR_REJECTED', 'ERR_NOT_READY'].includes(error.code)) return;
    this.emit('repair:failed', { peer, error });
  }

  async #repair(peer: NodeId): Promise<RepairReport> {
    const ask = (type: RequestType, body: Uint8Array): Promise<Uint8Array> => this.#call(peer, type, body);
    try {
      const keys = await handOver(this.#anyLocal, peer, ask, this.#environment);
      if (keys > 0) this.emit('handed-over', { peer, keys });
      const report = await repair(this.#anyLocal, peer, ask);
      this.#circuits.reset(peer);
      if (report.keys > 0) this.emit('repaired', report);
      return report;
    } catch (error) {
      if (error instanceof QuorateError && error.code === 'ERR_CODEC')
        this.#desk.port.punish(peer, error.message);
      throw error;
    }
  }

  /** Decodes an answer; who answers what cannot be decoded loses its link. */
  #sound<T>(peer: NodeId, decode: (body: Uint8Array) => T, body: Uint8Array): T {
    try {
      return decode(body);
    } catch (error) {
      if (error instanceof QuorateError) this.#desk.port.punish(peer, error.message);
      throw error;
    }
  }
}
