/** A multi-primary store as its user sees it. */
import type { NodeId } from '../../consensus/consensus.js';
import { checkNumber, configError, QuorateError } from '../../errors.js';
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
import type { Forwarded } from '../placement/forward.js';
import { Everywhere, type Caller, type Placement } from '../placement/placement.js';
import type { RingGroup } from '../placement/ringGroup.js';
import {
  RingSide,
  type Called,
  type PlacementEvents,
  type PlacementStatus,
  type StoreMemberOptions,
} from '../placement/ringSide.js';
import { syncLeaves } from '../placement/sync.js';
import { checkKey } from '../local/localStore.js';
import { Circuits } from './circuits.js';
import { Coordinator } from './coordinator.js';
import { Mender } from './mender.js';
import { repair, serveRepair, type Ask, type RepairReport } from './repair.js';
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
export interface StoreEvents extends LocalStoreEvents, PlacementEvents {
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
  /** How keys are placed; undefined where every member holds all of them. */
  readonly placement: PlacementStatus | undefined;
}

/**
 * A store that every member reads and writes, also while the members are cut off from each other; all come to hold the same. Made by
 * {@link openStore}.
 */
export class Store<V = unknown, Input = V, Op = never> extends Emitter<StoreEvents> {
  /** Its name. */
  readonly name: string;
  readonly #local: LocalStore<V, Input, Op>;
  readonly #options: CheckedStore;
  readonly #circuits: Circuits;
  readonly #placement: Placement;
  readonly #ring: RingSide | undefined;
  readonly #coordinator: Coordinator;
  readonly #mender: Mender;
  readonly #leave: () => void;
  readonly #release: () => Promise<void>;
  #closing: Promise<void> | undefined;
  #closed: () => void = () => undefined;

  /** @internal */
  constructor(
    local: LocalStore<V, Input, Op>,
    desk: StoreDesk,
    options: CheckedStore,
    release: () => Promise<void>,
    group?: RingGroup,
  ) {
    super();
    this.name = options.name;
    this.#local = local;
    this.#options = options;
    this.#circuits = new Circuits(desk.environment);
    this.#release = release;
    for (const event of ['conflict', 'clock:ahead', 'disk:rolled-back', 'failed'] as const)
      local.on(event, (...args) => this.emit(event, ...(args as never)));
    const call: Caller = (peer, type, body, timeoutMs, epoch) =>
      desk.call(peer, options.name, type, body, timeoutMs, epoch);
    this.#ring =
      group &&
      new RingSide({
        local: this.#anyLocal,
        desk,
        options,
        group,
        call,
        emit: (event, ...args) => this.emit(event, ...(args as never)),
        run: (forwarded) => this.#run(forwarded),
        failed: (peer, error) => this.#mender.failed(peer, error),
      });
    const ring = this.#ring;
    // On a ring members come and go: what was missed by one that is gone is dropped when it would be told.
    if (ring === undefined) local.table.hints.keepFor(options.others);
    this.#placement = ring?.placement ?? new Everywhere(options.self, options.others, call);
    this.#coordinator = new Coordinator({
      self: options.self,
      local: this.#anyLocal,
      desk,
      placement: this.#placement,
      circuits: this.#circuits,
      rounds: (timeoutMs, run) =>
        ring
          ? ring.rounds(
              timeoutMs,
              (_, left) => run(left),
              () => true,
            )
          : run(timeoutMs),
    });
    this.#mender = new Mender({
      local: this.#anyLocal,
      desk,
      placement: this.#placement,
      timeoutMs: options.timeout,
      intervalMs: options.others.length === 0 && ring === undefined ? undefined : options.repairIntervalMs,
      compare: (peer, ask) => this.#compare(peer, ask),
      handedOver: (peer, keys) => this.emit('handed-over', { peer, keys }),
      repaired: (report) => {
        this.#circuits.reset(report.peer);
        if (report.keys > 0) this.emit('repaired', report);
      },
      failed: (peer, error) => this.emit('repair:failed', { peer, error }),
    });
    this.#leave = desk.open(options.name, {
      agreement: options.agreement,
      // On a ring members come and go: who asks is looked at with what it asks.
      knows: (peer) => ring !== undefined || options.others.includes(peer),
      ring: (request) => ring?.placement.answer(request),
      serve: (peer, request) => this.#serve(peer, request),
      linked: (peer, up) => {
        this.#circuits.reset(peer);
        if (up) this.#mender.soon(peer);
        if (up) ring?.linked();
      },
      differs: (peer) => this.emit('peer:differs', peer),
    });
    for (const peer of this.#mender.linked()) this.#mender.soon(peer);
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
    if (this.#ring && (await this.#elsewhere(this.#ring, key, timeoutMs)))
      return this.#local.entryOf((await this.#forward('get', key, needed, timeoutMs)).set);
    const entry = await this.#local.get(key); // checks the key, too
    if (needed === 1 && this.#placement.round(key).sets.length === 1) return entry;
    await this.#coordinator.read(key, needed, timeoutMs);
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
  async put(key: string, value: Input, options: StoreWriteOptions = {}): Promise<WriteReport> {
    if (this.#ring && (await this.#elsewhere(this.#ring, key, options.timeout))) {
      if (value === undefined) throw configError('value', value, 'a value: delete() deletes');
      return (await this.#forwardWrite('put', key, options, this.#local.encodeInput(value))).report;
    }
    return this.#written(key, options, () => this.#local.put(key, value, options));
  }

  /** Deletes a key, as {@link Store.put} writes. Without a context whatever this node holds is deleted. */
  async delete(key: string, options: StoreWriteOptions = {}): Promise<WriteReport> {
    if (this.#ring && (await this.#elsewhere(this.#ring, key, options.timeout)))
      return (await this.#forwardWrite('delete', key, options)).report;
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
    if (this.#ring && (await this.#elsewhere(this.#ring, key, options.timeout)))
      return this.#updateElsewhere(key, update, options, needed);
    if (needed > 1) await this.#coordinator.read(key, needed, this.#timeout(options.timeout));
    let after!: Versions;
    await this.#written(key, options, async () => (after = await this.#local.update(key, update)));
    return this.#local.valueIn(after);
  }

  /**
   * The keys that this node holds, in their order, with their values. Looks at all of them. Where keys are placed on a ring: the keys of
   * all members, by what `r` owners of each know; throws as {@link Store.get} does.
   */
  async list(options: ListOptions & StoreReadOptions = {}): Promise<[key: string, value: V][]> {
    if (this.#ring === undefined) return this.#local.list(options);
    const timeoutMs = this.#timeout(options.timeout);
    await this.#placement.ready(timeoutMs);
    const listed = await this.#ring.list(options, this.#count('r', options.r, this.#options.r), timeoutMs);
    return listed as [string, V][];
  }

  /**
   * The keys that change on this node from now on; a key that changes again before it was looked at is told once. Where keys are placed
   * on a ring, those that this node holds.
   */
  watch(options: WatchOptions = {}): AsyncIterableIterator<StoreChange<V>> {
    return this.#local.watch(options);
  }

  /** Compares this node with all members that are linked, and exchanges what differs. Rejects when one comparison fails. */
  async repair(): Promise<RepairReport[]> {
    const reports: RepairReport[] = [];
    for (const peer of this.#mender.linked()) reports.push(await this.#mender.repair(peer));
    return reports;
  }

  /** Where it stands. */
  status(): StoreStatus {
    const { hints } = this.#local.table;
    return {
      ...this.#local.status(),
      linked: this.#mender.linked(),
      hints: hints.size,
      hintsDropped: hints.dropped,
      circuits: this.#circuits.states(),
      placement: this.#ring?.status(),
    };
  }

  /**
   * Has a member come to a store whose keys are placed on a ring, or gives it another weight: how much it takes beside the others, an
   * integer from 1 to 16. It has to open the store, with `join`. Resolves when the keys are where they belong; see
   * {@link PlacementStatus} for how far that is.
   *
   * Throws {@link QuorateError}: `ERR_CONFIG`, `ERR_TIMEOUT` (the move goes on), and as `submit` of a replica does.
   */
  addMember(id: string, options: StoreMemberOptions & { readonly weight?: number } = {}): Promise<void> {
    const { weight = 1, timeout = 600_000 } = options;
    return this.#members().addMember(id, weight, checkNumber('timeout', timeout, 1, 2 ** 31 - 1, false));
  }

  /**
   * Has a member go. Resolves when the others hold all that it held, and it holds nothing any more. `lost` says that it will not come
   * back with what it held: nobody waits for it.
   *
   * Throws {@link QuorateError} as {@link Store.addMember} does; `ERR_CONFIG` also where fewer than `n` would stay.
   */
  removeMember(id: string, options: StoreMemberOptions & { readonly lost?: boolean } = {}): Promise<void> {
    const { lost = false, timeout = 600_000 } = options;
    if (typeof lost !== 'boolean') throw configError('lost', lost, 'true or false');
    return this.#members().removeMember(id, lost, checkNumber('timeout', timeout, 1, 2 ** 31 - 1, false));
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
    this.#mender.close();
    this.#leave();
    try {
      await this.#ring?.close();
      await this.#local.close();
    } finally {
      await this.#release();
      this.removeAllListeners();
    }
  }

  #count(option: string, level: Level | undefined, otherwise: number): number {
    return level === undefined ? otherwise : countOf(option, level, this.#options.copies);
  }

  #timeout(given: number | undefined): number {
    return given === undefined ? this.#options.timeout : checkNumber('timeout', given, 1, 2 ** 31 - 1, false);
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
    if (set.versions.length === 0) return { acknowledged: 1, hinted: [] }; // nothing was there to be deleted
    return this.#coordinator.write(key, set, needed, timeoutMs);
  }

  /** Whether somebody else has to do a call for this key. */
  async #elsewhere(ring: RingSide, key: string, timeoutMs: number | undefined): Promise<boolean> {
    checkKey(key);
    if (this.#closing) throw new QuorateError('ERR_CLOSED', 'the store was closed', { fate: 'refused' });
    await this.#placement.ready(this.#timeout(timeoutMs));
    return !ring.coordinates(key);
  }

  #forward(
    kind: Forwarded['kind'],
    key: string,
    level: number,
    timeoutMs: number,
    context?: string,
    input: Uint8Array = new Uint8Array(0),
  ): Promise<Called> {
    return this.#ring!.forward({ kind, key, level, timeoutMs, context, input });
  }

  #forwardWrite(
    kind: Forwarded['kind'],
    key: string,
    { w, timeout, context }: StoreWriteOptions,
    input?: Uint8Array,
  ): Promise<Called> {
    const level = this.#count('w', w, this.#options.w);
    return this.#forward(kind, key, level, this.#timeout(timeout), context, input);
  }

  async #updateElsewhere(
    key: string,
    update: Update<V, Input, Op>,
    options: StoreWriteOptions & StoreReadOptions,
    r: number,
  ): Promise<V | undefined> {
    let after: Called;
    if (this.#local.operates) {
      const input = this.#local.encodeInput(Array.isArray(update) ? update : [update]);
      after = await this.#forwardWrite('operate', key, options, input);
    } else {
      if (typeof update !== 'function') throw configError('update', update, 'a function');
      const held = await this.get(key, { r, timeout: options.timeout });
      const value = (update as (value: V | undefined) => Input | undefined)(held.value);
      const given = { ...options, context: held.context };
      after =
        value === undefined
          ? await this.#forwardWrite('delete', key, given)
          : await this.#forwardWrite('put', key, given, this.#local.encodeInput(value));
    }
    return this.#local.valueIn(after.set);
  }

  /** Does a call for a member that does not own the key. */
  async #run({ kind, key, level, timeoutMs, context, input }: Forwarded): Promise<Called> {
    const options = { w: level, timeout: timeoutMs, context };
    let after!: Versions;
    if (kind === 'get') {
      await this.#coordinator.read(key, level, timeoutMs);
      await this.#local.get(key);
      return { set: this.#local.table.get(key), report: { acknowledged: 0, hinted: [] } };
    }
    const report = await this.#written(key, options, async () => {
      if (kind === 'delete') return (after = await this.#local.delete(key, options));
      const given = this.#local.decodeInput(input);
      if (kind === 'operate') return (after = await this.#local.update(key, given as Update<V, Input, Op>));
      return (after = await this.#local.put(key, given as Input, options));
    });
    return { set: after, report };
  }

  #members(): RingSide {
    if (this.#ring) return this.#ring;
    throw configError(
      'members',
      'a change',
      "left: all members hold all keys. Open the store with placement: 'ring'",
    );
  }

  async #serve(peer: NodeId, request: Request): Promise<Uint8Array> {
    const answer = await this.#ring?.serve(peer, request);
    return answer ?? this.#serveKeys(request);
  }

  async #serveKeys({ type, body }: Request): Promise<Uint8Array> {
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

  async #compare(peer: NodeId, ask: Ask): Promise<RepairReport> {
    if (this.#ring === undefined) return repair(this.#anyLocal, peer, ask);
    let bytes = 0;
    const counted: Ask = async (type, body) => {
      const answer = await ask(type, body);
      bytes += body.length + answer.length;
      return answer;
    };
    const shared = this.#ring.placement.shared(peer);
    return { peer, ...(await syncLeaves(this.#anyLocal, shared, counted)), bytes };
  }
}
