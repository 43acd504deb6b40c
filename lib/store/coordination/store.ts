/** A multi-primary store as its user sees it. */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import { checkNumber, configError, QuorateError } from '../../errors.js';
import { Emitter } from '../../events.js';
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
  type PlacementEvents,
  type PlacementStatus,
  type StoreMemberOptions,
} from '../placement/ringSide.js';
import { syncLeaves } from '../placement/sync.js';
import { checkKey } from '../local/localStore.js';
import { Hints } from './hints.js';
import { gather, type Gathering } from './quorum.js';
import { exchange, EXCHANGE_KEYS, repair, serveRepair, type Ask, type RepairReport } from './repair.js';
import {
  countOf,
  type CheckedStore,
  type Level,
  type StoreReadOptions,
  type StoreWriteOptions,
} from './storeOptions.js';
import { decodeKeys, encodeKeys, RequestType, type Request } from './wire.js';

/** The events of a {@link Store}. */
export interface StoreEvents extends LocalStoreEvents, PlacementEvents {
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
  /** Writes of this node that members missed and are still to be told. */
  readonly hints: number;
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
  readonly #desk: StoreDesk;
  readonly #environment: Environment;
  readonly #options: CheckedStore;
  readonly #placement: Placement;
  readonly #ring: RingSide | undefined;
  readonly #hints = new Hints();
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
    group?: RingGroup,
  ) {
    super();
    this.name = options.name;
    this.#local = local;
    this.#desk = desk;
    this.#environment = desk.environment;
    this.#options = options;
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
        failed: (peer, error) => this.#repairFailed(peer, error),
      });
    this.#placement = this.#ring?.placement ?? new Everywhere(options.self, options.others, call);
    this.#leave = desk.open(options.name, {
      agreement: options.agreement,
      // On a ring members come and go: who asks is looked at with what it asks.
      knows: (peer) => this.#ring !== undefined || options.others.includes(peer),
      ring: (request) => this.#ring?.placement.answer(request),
      serve: (peer, request) => this.#serve(peer, request),
      linked: (peer, up) => {
        if (up) this.#repairSoon(peer);
        if (up) this.#ring?.linked();
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
    if (this.#ring && (await this.#elsewhere(this.#ring, key, timeoutMs)))
      return this.#local.entryOf(await this.#forward('get', key, needed, timeoutMs));
    const entry = await this.#local.get(key); // checks the key, too
    if (needed === 1 && this.#placement.round(key).sets.length === 1) return entry;
    await this.#read(key, needed, timeoutMs);
    return this.#local.get(key);
  }

  /**
   * Writes a value; resolves once `w` members have it on their disks. All others are told as well, now or when they can be reached.
   *
   * Throws {@link QuorateError}: `ERR_NOT_READY` and `ERR_TIMEOUT` with fate `ambiguous` when too few took part: those that did, this
   * node among them, keep it, and it spreads. With fate `refused`, and nothing written: `ERR_TOO_LARGE`, `ERR_OVERLOADED`,
   * `ERR_STORAGE_FULL`, `ERR_CLOSED`. Besides `ERR_CONFIG`, `ERR_CODEC`, `ERR_STORAGE_FAILED`.
   */
  async put(key: string, value: Input, options: StoreWriteOptions = {}): Promise<void> {
    if (this.#ring && (await this.#elsewhere(this.#ring, key, options.timeout))) {
      if (value === undefined) throw configError('value', value, 'a value: delete() deletes');
      await this.#forwardWrite('put', key, options, this.#local.encodeInput(value));
      return;
    }
    return this.#written(key, options, () => this.#local.put(key, value, options));
  }

  /** Deletes a key, as {@link Store.put} writes. Without a context whatever this node holds is deleted. */
  async delete(key: string, options: StoreWriteOptions = {}): Promise<void> {
    if (this.#ring && (await this.#elsewhere(this.#ring, key, options.timeout))) {
      await this.#forwardWrite('delete', key, options);
      return;
    }
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
    if (needed > 1) await this.#read(key, needed, this.#timeout(options.timeout));
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
    for (const peer of this.#linked()) reports.push(await this.#repair(peer));
    return reports;
  }

  /** Where it stands. */
  status(): StoreStatus {
    const [linked, hints, placement] = [this.#linked(), this.#hints.size, this.#ring?.status()];
    return { ...this.#local.status(), linked, hints, placement };
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
    this.#timer?.cancel();
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

  #linked(): NodeId[] {
    const linked = this.#desk.port.linked();
    return this.#placement.others.filter((peer) => linked.has(peer));
  }

  #call(
    peer: NodeId,
    type: RequestType,
    body: Uint8Array,
    timeoutMs = this.#options.timeout,
    epoch = this.#placement.epoch,
  ): Promise<Uint8Array> {
    return this.#placement.call(peer, type, body, timeoutMs, epoch);
  }

  /** Writes here, and then, once that is durable, on the others. */
  async #written(key: string, options: StoreWriteOptions, write: () => Promise<Versions>): Promise<void> {
    const needed = this.#count('w', options.w, this.#options.w);
    const timeoutMs = this.#timeout(options.timeout);
    const set = await write();
    if (set.versions.length === 0) return; // nothing was there to be deleted
    await this.#rounds(timeoutMs, (left) => this.#spread(key, set, needed, left));
  }

  async #spread(key: string, set: Versions, needed: number, timeoutMs: number): Promise<void> {
    const body = encodeKeys([[key, this.#local.encode(set)]]);
    const { epoch, others, sets } = this.#placement.round(key);
    const steps = others.map(async (peer) => {
      try {
        await this.#call(peer, RequestType.write, body, timeoutMs, epoch);
      } catch (error) {
        this.#hints.add(peer, key);
        throw error;
      }
    });
    const what = `write of ${JSON.stringify(key)}`;
    await this.#gather(sets, others, steps, { needed, timeoutMs, what, fate: 'ambiguous' });
  }

  /** Takes in what others know of a key; has enough of them know all of it. */
  #read(key: string, needed: number, timeoutMs: number): Promise<void> {
    return this.#rounds(timeoutMs, (left) => this.#readOnce(key, needed, left));
  }

  async #readOnce(key: string, needed: number, timeoutMs: number): Promise<void> {
    const { environment } = this.#desk;
    const { epoch, others, sets } = this.#placement.round(key);
    const deadline = environment.now() + timeoutMs;
    const what = `read of ${JSON.stringify(key)}`;
    const body = encodeKeys([[key, undefined]]);
    const answers = new Map<NodeId, Uint8Array | undefined>();
    let late = false;
    const steps = others.map(async (peer) => {
      const [answer] = this.#sound(
        peer,
        decodeKeys,
        await this.#call(peer, RequestType.read, body, timeoutMs, epoch),
      );
      const versions = answer?.[1];
      if (versions) await this.#local.merge(key, versions);
      answers.set(peer, versions);
      if (late) await this.#tell(peer, key, versions, timeoutMs, epoch);
    });
    await this.#gather(sets, others, steps, { needed, timeoutMs, what });
    late = true;
    const peers = [...answers.keys()];
    const told = peers.map((peer) => this.#tell(peer, key, answers.get(peer), timeoutMs, epoch));
    const left = Math.max(1, deadline - environment.now());
    await this.#gather(sets, peers, told, { needed, timeoutMs: left, what });
  }

  /** Waits for enough of each set: of the owners before a move of keys, and of those after it. */
  async #gather(
    sets: readonly (readonly NodeId[])[],
    peers: readonly NodeId[],
    steps: readonly Promise<unknown>[],
    demands: Pick<Gathering, 'needed' | 'timeoutMs' | 'what' | 'fate'>,
  ): Promise<void> {
    const { environment } = this.#desk;
    const of = (set: readonly NodeId[]): Promise<void> =>
      gather({
        ...demands,
        environment,
        members: set.length,
        own: set.includes(this.#options.self) ? 1 : 0,
        steps: steps.filter((_, i) => set.includes(peers[i]!)),
      });
    await Promise.all(sets.map(of));
  }

  /** Again, where the owners of the key changed under it: telling and asking twice does no harm. */
  #rounds(timeoutMs: number, run: (leftMs: number) => Promise<void>): Promise<void> {
    return this.#ring
      ? this.#ring.rounds(
          timeoutMs,
          (_, left) => run(left),
          () => true,
        )
      : run(timeoutMs);
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
  ): Promise<Versions> {
    return this.#ring!.forward({ kind, key, level, timeoutMs, context, input });
  }

  #forwardWrite(
    kind: Forwarded['kind'],
    key: string,
    { w, timeout, context }: StoreWriteOptions,
    input?: Uint8Array,
  ): Promise<Versions> {
    const level = this.#count('w', w, this.#options.w);
    return this.#forward(kind, key, level, this.#timeout(timeout), context, input);
  }

  async #updateElsewhere(
    key: string,
    update: Update<V, Input, Op>,
    options: StoreWriteOptions & StoreReadOptions,
    r: number,
  ): Promise<V | undefined> {
    let after: Versions;
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
    return this.#local.valueIn(after);
  }

  /** Does a call for a member that does not own the key. */
  async #run({ kind, key, level, timeoutMs, context, input }: Forwarded): Promise<Versions> {
    const options = { w: level, timeout: timeoutMs, context };
    let after!: Versions;
    if (kind === 'get') {
      await this.#read(key, level, timeoutMs);
      await this.#local.get(key);
      return this.#local.table.get(key);
    }
    await this.#written(key, options, async () => {
      if (kind === 'delete') return (after = await this.#local.delete(key, options));
      const given = this.#local.decodeInput(input);
      if (kind === 'operate') return (after = await this.#local.update(key, given as Update<V, Input, Op>));
      return (after = await this.#local.put(key, given as Input, options));
    });
    return after;
  }

  #members(): RingSide {
    if (this.#ring) return this.#ring;
    throw configError(
      'members',
      'a change',
      "left: all members hold all keys. Open the store with placement: 'ring'",
    );
  }

  /** Tells a member all that is known of a key, if that is more than it said. */
  async #tell(
    peer: NodeId,
    key: string,
    said: Uint8Array | undefined,
    timeoutMs: number,
    epoch: number,
  ): Promise<void> {
    const versions = await this.#local.versionsOf(key);
    if (versions === undefined || (said && Buffer.compare(said, versions) === 0)) return;
    await this.#call(peer, RequestType.write, encodeKeys([[key, versions]]), timeoutMs, epoch);
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

  #schedule(): void {
    const { repairIntervalMs, others } = this.#options;
    if (others.length === 0 && this.#ring === undefined) return;
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
    for (let keys; (keys = this.#hints.take(peer, EXCHANGE_KEYS)).length > 0;) {
      try {
        await exchange(this.#anyLocal, this.#ownedBy(peer, keys), ask);
      } catch (error) {
        for (const key of keys) this.#hints.add(peer, key);
        throw error;
      }
    }
    try {
      const report = await this.#compare(peer, ask);
      if (report.keys > 0) this.emit('repaired', report);
      return report;
    } catch (error) {
      if (error instanceof QuorateError && error.code === 'ERR_CODEC')
        this.#desk.port.punish(peer, error.message);
      throw error;
    }
  }

  /** Those that a member is still to hold. */
  #ownedBy(peer: NodeId, keys: readonly string[]): string[] {
    return keys.filter((key) => this.#placement.round(key).others.includes(peer));
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
