/** The part of a store that is on one node: reads and writes values here, and takes in what other nodes wrote. */
import { ByteReader, ByteWriter } from '../../bytes.js';
import type { Environment } from '../../environment.js';
import { checkName, checkNumber, configError, QuorateError } from '../../errors.js';
import { Emitter } from '../../events.js';
import { cbor, type Codec } from '../../replica/codec.js';
import type { NodeStore } from '../../storage/storage.js';
import { formatContext, NOTHING_SEEN, parseContext, seenOf, type Seen } from '../causality/context.js';
import {
  compareVersions,
  decodeVersions,
  encodeVersions,
  isTombstone,
  nodeOf,
  type Version,
  type Versions,
} from '../causality/version.js';
import type { CrdtContext } from '../crdt/crdt.js';
import { checkResolution, type Resolution } from '../resolve/resolution.js';
import { checkLimits, MAX_KEY_BYTES, type StoreLimits } from './limits.js';
import type {
  ConflictVersion,
  ListOptions,
  LocalStatus,
  LocalStoreEvents,
  StoreChange,
  StoreEntry,
  WatchOptions,
  WriteOptions,
} from './localTypes.js';
import { StoreTable, type Outcome } from './storeTable.js';
import { Watchers } from './watchers.js';

/** Keys that are looked at before others get a turn. */
const KEYS_A_TURN = 1000;

/** What a local store is made with. @internal */
export interface LocalStoreSetup<V, Input, Op> {
  readonly environment: Environment;
  readonly store: NodeStore;
  readonly name: string;
  readonly node: string;
  readonly resolve: Resolution<V, Input, Op>;
  readonly limits?: StoreLimits | undefined;
  /** @defaultValue 1024 */
  readonly merkleLeaves?: number | undefined;
  /** @defaultValue 500 */
  readonly maxClockOffsetMs?: number | undefined;
  /** @defaultValue `cbor()` */
  readonly codec?: Codec | undefined;
}

/**
 * What `update` takes: operations of a replicated data type, or a function that makes a value of the one that is read; undefined stands
 * for a key that is not there, or is to be deleted.
 */
export type Update<V, Input, Op> = [Op] extends [never]
  ? (value: V | undefined) => Input | undefined
  : Op | readonly Op[];

/** @internal */
export class LocalStore<V, Input = V, Op = never> extends Emitter<LocalStoreEvents> {
  readonly table: StoreTable;
  readonly #environment: Environment;
  readonly #codec: Codec;
  readonly #resolve: Resolution<V, Input, Op>;
  readonly #maxValueBytes: number;
  readonly #watchers = new Watchers<V>((key) => this.valueIn(this.table.get(key)));
  readonly #writer = new ByteWriter(1024);

  private constructor(setup: LocalStoreSetup<V, Input, Op>, table: StoreTable, maxValueBytes: number) {
    super();
    this.#environment = setup.environment;
    this.#codec = setup.codec ?? cbor();
    this.#resolve = setup.resolve;
    this.#maxValueBytes = maxValueBytes;
    this.table = table;
  }

  /** Throws ERR_CONFIG, and as {@link StoreTable.open} does. */
  static async open<V, Input, Op>(setup: LocalStoreSetup<V, Input, Op>): Promise<LocalStore<V, Input, Op>> {
    const { environment, store, name, node, merkleLeaves = 1024, maxClockOffsetMs = 500 } = setup;
    const group = checkName('name', `store@${checkName('name', name)}`);
    checkNumber('maxClockOffsetMs', maxClockOffsetMs, 0, 2 ** 31 - 1);
    const { keeps } = checkResolution(setup.resolve);
    const limits = checkLimits(setup.limits);
    // Nobody can listen before it is open.
    let local: LocalStore<V, Input, Op> | undefined;
    const tell = <K extends keyof LocalStoreEvents>(event: K, ...args: LocalStoreEvents[K]): void =>
      local?.emit(event, ...args);
    const table = await StoreTable.open({
      environment,
      store,
      group,
      node: checkName('node', node),
      keeps,
      limits,
      merkleLeaves,
      maxOffsetMs: maxClockOffsetMs,
      events: {
        ahead: (timestamp, aheadMs) => tell('clock:ahead', { timestamp, aheadMs }),
        rolledBack: (before, after) => tell('disk:rolled-back', { before, after }),
        failed: (error) => tell('failed', error),
      },
    });
    return (local = new LocalStore(setup, table, limits.maxValueBytes));
  }

  /** What a key holds here. Answers once that is durable: what is read and acted upon does not vanish in a crash. */
  async get(key: string): Promise<StoreEntry<V>> {
    checkKey(key);
    const set = this.table.get(key);
    const entry = this.entryOf(set);
    await done((callback) => this.table.whenDurable(key, callback));
    return entry;
  }

  /** Writes a value; resolves to what the key holds then, once it is durable here. */
  async put(key: string, value: Input, options: WriteOptions = {}): Promise<Versions> {
    checkKey(key);
    if (this.#resolve.kind === 'crdt')
      throw configError('put', value, 'an update: the keys hold replicated data types');
    if (value === undefined) throw configError('value', value, 'a value: delete() deletes');
    const bytes = this.#codec.encode(value);
    const held = this.table.get(key);
    const blind = this.#resolve.blind === 'replaces' ? seenOf(held) : NOTHING_SEEN;
    return this.#write(key, options, blind, () => bytes);
  }

  /** Deletes a key; resolves once that is durable here. Does nothing for a key that nothing is known of. */
  async delete(key: string, options: WriteOptions = {}): Promise<Versions> {
    checkKey(key);
    const held = this.table.get(key);
    if (held.versions.length === 0 && options.context === undefined) return held;
    return this.#write(key, options, seenOf(held), () => undefined);
  }

  /**
   * Reads and writes in one step: nobody else on this node comes between, and what other nodes write meanwhile stays beside it.
   * Resolves once it is durable here.
   */
  async update(key: string, update: Update<V, Input, Op>): Promise<Versions> {
    checkKey(key);
    const held = this.table.get(key);
    if (this.#resolve.type) {
      const operations = (Array.isArray(update) ? update : [update]) as readonly Op[];
      if (operations.length === 0) throw configError('operations', operations, 'one operation at least');
      const make = (context: CrdtContext): Uint8Array => this.#operate(held, operations, context);
      return this.#write(key, {}, seenOf(held), make);
    }
    if (typeof update !== 'function') throw configError('update', update, 'a function');
    const value = (update as (value: V | undefined) => Input | undefined)(this.valueIn(held));
    if (value === undefined) return this.delete(key);
    const bytes = this.#codec.encode(value);
    return this.#write(key, {}, seenOf(held), () => bytes);
  }

  /** Keys that are there with their values, in the order of the keys. Looks at all keys of the store. */
  async list(options: ListOptions = {}): Promise<[key: string, value: V][]> {
    const { prefix = '', after, limit = 1000 } = options;
    if (typeof prefix !== 'string') throw configError('prefix', prefix, 'a string');
    if (after !== undefined && typeof after !== 'string') throw configError('after', after, 'a string');
    checkNumber('limit', limit, 1, 100_000);
    const keys: string[] = [];
    let looked = 0;
    for (const key of this.table.keys()) {
      if (++looked % KEYS_A_TURN === 0) await this.#turn();
      if (key.startsWith(prefix) && (after === undefined || key > after)) keys.push(key);
    }
    const out: [string, V][] = [];
    for (const key of keys.sort()) {
      if (++looked % KEYS_A_TURN === 0) await this.#turn();
      const value = this.valueIn(this.table.get(key));
      if (value !== undefined) out.push([key, value]);
      if (out.length === limit) break;
    }
    return out;
  }

  /**
   * The keys that change from now on, each with what it holds when it is looked at: a key that changes twice before that is told once.
   * Ends when the store closes, with the signal, or when the loop is left.
   */
  watch(options: WatchOptions = {}): AsyncIterableIterator<StoreChange<V>> {
    return this.#watchers.watch(options);
  }

  /** Where it stands. */
  status(): LocalStatus {
    const { size, bytes, actor, tree } = this.table;
    return { keys: size, bytes, actor, root: Buffer.from(tree.root()).toString('hex') };
  }

  /** What is known of a key, for another node; undefined where that is nothing. Waits until that is durable: before, it must not leave. */
  async versionsOf(key: string): Promise<Uint8Array | undefined> {
    const set = this.table.get(key);
    if (set.versions.length === 0) return undefined;
    const bytes = this.encode(set);
    await done((callback) => this.table.whenDurable(key, callback));
    return bytes;
  }

  encode(set: Versions): Uint8Array {
    encodeVersions(this.#writer, set);
    return this.#writer.take();
  }

  /**
   * Takes in what another node knows of a key; resolves to whether that was news, once it is durable here. Throws ERR_CODEC for bytes
   * that {@link versionsOf} does not make, and what {@link StoreTable.merge} throws.
   */
  async merge(key: string, bytes: Uint8Array): Promise<boolean> {
    checkKey(key);
    const theirs = this.decodeSet(bytes);
    const { context } = this.table.get(key);
    // What cannot be read later must not come in.
    for (const { dot, value } of theirs.versions) if (value && !context.covers(dot)) this.#decode(value);
    let changed = false;
    await done((callback) => {
      const outcome = this.table.merge(key, theirs, callback);
      ({ changed } = outcome);
      this.#tell(key, outcome);
    });
    return changed;
  }

  /** Writes everything in one piece: the next opening reads that and what comes after it. */
  checkpoint(): Promise<void> {
    return this.table.checkpoint();
  }

  /** Waits until all is durable; ends watching. */
  async close(): Promise<void> {
    this.#watchers.close();
    await this.table.close();
    this.removeAllListeners();
  }

  async #write(
    key: string,
    { context }: WriteOptions,
    blind: Seen,
    make: (context: CrdtContext) => Uint8Array | undefined,
  ): Promise<Versions> {
    const seen = context === undefined ? blind : parseContext(context);
    let after!: Versions;
    await done((callback) => {
      const outcome = this.table.write(key, seen, make, callback);
      this.#tell(key, outcome);
      after = outcome.set;
    });
    return after;
  }

  #operate(held: Versions, operations: readonly Op[], context: CrdtContext): Uint8Array {
    const type = this.#resolve.type!;
    const states = live(held).map(({ value }) => this.#decode(value!));
    let state = states.length === 0 ? type.initial() : states.reduce((a, b) => type.merge(a, b));
    for (const operation of operations) state = type.apply(state, operation, context);
    return this.#codec.encode(type.encode(state));
  }

  #decode(value: Uint8Array): unknown {
    const data = this.#codec.decode(value);
    return this.#resolve.type ? this.#resolve.type.decode(data) : data;
  }

  /** An entry for versions that other members sent, together. Throws ERR_CODEC. */
  entryOf(set: Versions): StoreEntry<V> {
    const context = formatContext(seenOf(set));
    return { value: this.valueIn(set), context, versions: set.versions.length };
  }

  /** Decodes what another member sent of a key. Throws ERR_CODEC. */
  decodeSet(bytes: Uint8Array): Versions {
    const reader = new ByteReader(bytes);
    const set = decodeVersions(reader, this.#maxValueBytes);
    if (reader.remaining > 0)
      throw new QuorateError('ERR_CODEC', `${reader.remaining} bytes follow the versions of a key`);
    return set;
  }

  /** Whether keys hold replicated data types, which take operations. */
  get operates(): boolean {
    return this.#resolve.type !== undefined;
  }

  /** A value, or operations, on the way to the member that writes them. */
  encodeInput(input: unknown): Uint8Array {
    return this.#codec.encode(input);
  }

  /** Throws ERR_CODEC. */
  decodeInput(bytes: Uint8Array): unknown {
    return this.#codec.decode(bytes);
  }

  /** What is read where a key holds this. */
  valueIn(set: Versions): V | undefined {
    if (isTombstone(set)) return undefined;
    return this.#resolve.read(live(set).map(({ value }) => this.#decode(value!)));
  }

  #tell(key: string, { changed, set, losers }: Outcome): void {
    if (changed) this.#watchers.changed(key);
    const [winner] = set.versions;
    if (losers.length === 0 || winner === undefined) return;
    const show = ({ dot, stamp, value }: Version): ConflictVersion => ({
      value: value && this.#decode(value),
      stamp,
      node: nodeOf(dot.actor),
    });
    this.emit('conflict', { key, winner: show(winner), losers: losers.map(show) });
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#environment.defer(resolve));
  }
}

/** The versions that are values, newest first. */
function live({ versions }: Versions): Version[] {
  return versions.filter(({ value }) => value !== undefined).sort((a, b) => compareVersions(b, a));
}

function done(begin: (callback: (error?: Error) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => begin((error) => (error ? reject(error) : resolve())));
}

/** Throws ERR_CONFIG. @internal */
export function checkKey(key: unknown): void {
  if (
    typeof key !== 'string' ||
    key.length === 0 ||
    Buffer.byteLength(key) > MAX_KEY_BYTES ||
    /\p{Surrogate}/u.test(key)
  )
    throw configError('key', key, `a string of 1 to ${MAX_KEY_BYTES} bytes as UTF-8`);
}
