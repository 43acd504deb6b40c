/**
 * The keys of a store on one node: which versions each has, in memory and on disk. It writes, takes in what others wrote, and forgets
 * deletions that everybody knows of; it does not know what the values mean, nor who the others are.
 *
 * What is changed is there for readers at once, and durable later, when `done` is called. Nothing may leave the node before that: its
 * dot would be given out again after a crash.
 *
 * @internal
 */
import { ByteWriter, type ByteReader } from '../../bytes.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { NodeStore } from '../../storage/storage.js';
import type { Seen } from '../causality/context.js';
import {
  compareTimestamps,
  HybridLogicalClock,
  timestampAfter,
  type HybridTimestamp,
} from '../causality/hybridClock.js';
import type { VectorClock } from '../causality/vectorClock.js';
import {
  actorOf,
  compareVersions,
  encodeVersions,
  isTombstone,
  nodeOf,
  type Version,
  type Versions,
} from '../causality/version.js';
import { emptySet, join, keepNewest, put } from '../causality/versionSet.js';
import type { CrdtContext } from '../crdt/crdt.js';
import { Hints, type Hint } from './hints.js';
import type { Limits } from './limits.js';
import { bytesOf, digestOf, MerkleTree, type Digest } from './merkleTree.js';
import {
  decodeRecord,
  encodeForget,
  encodeIdentity,
  encodeRingRecord,
  encodeSet,
  FORMAT,
} from './records.js';
import { StoreLog } from './storeLog.js';

/** What a key takes beside its own bytes and those of its versions. */
const KEY_OVERHEAD = 128;

type Done = (error?: Error) => void;

export interface StoreTableSetup {
  readonly environment: Environment;
  readonly store: NodeStore;
  /** The name of the store's part of the storage. */
  readonly group: string;
  readonly node: string;
  readonly keeps: 'all' | 'newest';
  readonly limits: Limits;
  readonly merkleLeaves: number;
  readonly maxOffsetMs: number;
  readonly events: StoreTableEvents;
}

export interface StoreTableEvents {
  /** A timestamp is further ahead than the clocks of machines should be apart. */
  ahead(timestamp: HybridTimestamp, aheadMs: number): void;
  /** Others know writes of this node that it does not: its disk went back in time. It writes under another name from now on. */
  rolledBack(before: string, after: string): void;
  /** The disk failed: nothing is taken any more. */
  failed(error: Error): void;
}

/** What came of a write, or of taking something in. */
export interface Outcome {
  /** False: it was known already. */
  readonly changed: boolean;
  readonly set: Versions;
  /** What lost against a newer version without being known to its writer. */
  readonly losers: readonly Version[];
}

interface Held {
  readonly set: Versions;
  readonly bytes: number;
  readonly digest: Digest;
  readonly leaf: number;
  /** The flush that it becomes durable with. */
  readonly flush: number;
}

export class StoreTable {
  readonly tree: MerkleTree;
  readonly clock: HybridLogicalClock;
  /** What other members missed. */
  readonly hints: Hints;
  readonly #setup: StoreTableSetup;
  readonly #held = new Map<string, Held>();
  readonly #leaves: (Set<string> | undefined)[] = [];
  readonly #writer = new ByteWriter(1024);
  readonly #log: StoreLog;
  #actor: string;
  #counter: number;
  #bytes = 0;
  #ring: Uint8Array | undefined;
  #closed = false;

  private constructor(setup: StoreTableSetup, loaded: Loaded, log: StoreLog) {
    this.#setup = setup;
    this.#log = log;
    this.#actor = loaded.actor;
    this.#counter = loaded.counter;
    this.#ring = loaded.ring;
    this.tree = new MerkleTree(setup.merkleLeaves);
    this.clock = new HybridLogicalClock({
      wallClock: () => setup.environment.wallClock(),
      maxOffsetMs: setup.maxOffsetMs,
      after: loaded.clock,
      onAhead: (timestamp, aheadMs) => setup.events.ahead(timestamp, aheadMs),
    });
    for (const [key, set] of loaded.sets) this.#keep(key, set, this.#encode(set), 0);
    this.hints = new Hints({
      wallClock: () => setup.environment.wallClock(),
      append: (record) => this.#appendHint(record),
    });
    for (const [member, hints] of loaded.hints)
      for (const hint of hints.values()) this.hints.restore(member, hint);
  }

  /** Throws ERR_STORAGE_CORRUPT, ERR_STORAGE_VERSION, ERR_STORAGE_FOREIGN and what the storage throws. */
  static async open(setup: StoreTableSetup): Promise<StoreTable> {
    const { environment, store, group, node, events } = setup;
    const loaded = new Loaded();
    const load = (record: ByteReader): void => loaded.take(record);
    const log = await StoreLog.open({
      environment,
      store,
      group,
      node,
      load,
      failed: (error) => events.failed(error),
    });
    if (loaded.actor !== '' && nodeOf(loaded.actor) !== node)
      throw new QuorateError(
        'ERR_STORAGE_FOREIGN',
        `${group} was written by ${nodeOf(loaded.actor)}, not by ${node}`,
      );
    const fresh = loaded.actor === '';
    if (fresh) loaded.actor = newActor(environment, node);
    const table = new StoreTable(setup, loaded, log);
    // Known to the disk before the first event is: whoever forgot its events must not write under the same name.
    // So does a version that cannot read what is written from now on.
    if (fresh || loaded.format < FORMAT)
      await new Promise<void>((resolve, reject) => table.#logIdentity((e) => (e ? reject(e) : resolve())));
    return table;
  }

  /** The name under which this node writes: another one for each disk it ever had. */
  get actor(): string {
    return this.#actor;
  }

  /** How many keys there are, deleted ones that are remembered among them. */
  get size(): number {
    return this.#held.size;
  }

  /** How many bytes they take. */
  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): Versions {
    return this.#held.get(key)?.set ?? emptySet();
  }

  keys(): IterableIterator<string> {
    return this.#held.keys();
  }

  /** The keys of a leaf of the tree. */
  keysOf(leaf: number): IterableIterator<string> {
    return (this.#leaves[leaf] ?? new Set<string>()).values();
  }

  /** The hash of what a key holds; undefined where nothing is known of it. */
  digest(key: string): Uint8Array | undefined {
    const held = this.#held.get(key);
    return held && bytesOf(held.digest);
  }

  /** Calls back once what a key holds now is durable, or has failed. */
  whenDurable(key: string, done: Done): void {
    this.#log.whenDurable(this.#held.get(key)?.flush ?? 0, done);
  }

  /**
   * Writes a key: what `make` gives, undefined for a deletion, replaces what was `seen`. Throws, with nothing changed,
   * ERR_TOO_LARGE, ERR_OVERLOADED, ERR_STORAGE_FULL, ERR_STORAGE_FAILED, ERR_CLOSED and what `make` throws.
   */
  write(
    key: string,
    seen: Seen,
    make: (context: CrdtContext) => Uint8Array | undefined,
    done: Done,
  ): Outcome {
    this.#checkOpen();
    this.#notice(seen.clock);
    const before = this.get(key);
    const dot = { actor: this.#actor, counter: this.#counter + 1 };
    let stamp = seen.newest.wall > 0 ? this.clock.receive(seen.newest) : this.clock.now();
    // Also where the clock did not follow: what replaces a version is newer than it, whatever the clocks say.
    if (compareTimestamps(stamp, seen.newest) <= 0) stamp = timestampAfter(seen.newest);
    const value = make({ dot, seen: seen.clock, stamp });
    const { maxValueBytes, maxSiblings } = this.#setup.limits;
    if (value !== undefined && value.length > maxValueBytes)
      throw refused(
        'ERR_TOO_LARGE',
        `the value of ${shown(key)} has ${value.length} bytes, at most ${maxValueBytes} are allowed`,
      );
    const { set, losers } = this.#prune(put(before, seen.clock, { dot, stamp, value }));
    if (set.versions.length > maxSiblings && set.versions.length > before.versions.length)
      throw refused(
        'ERR_OVERLOADED',
        `${shown(key)} has ${before.versions.length} versions beside each other, at most ${maxSiblings} are allowed: read it, and write with the context`,
      );
    this.#replace(key, set, done);
    this.#counter++;
    return { changed: true, set, losers };
  }

  /** Takes in what somebody else knows of a key. Throws as {@link write} does, and ERR_CODEC for what cannot be. */
  merge(key: string, theirs: Versions, done: Done): Outcome {
    this.#checkOpen();
    this.#notice(theirs.context);
    const before = this.get(key);
    const joined = join(before, theirs);
    if (joined === before) {
      this.whenDurable(key, done);
      return { changed: false, set: before, losers: [] };
    }
    if (joined.versions.length === 0)
      throw new QuorateError('ERR_CODEC', `the versions of ${shown(key)} contradict those that are here`);
    for (const { dot, stamp } of theirs.versions) if (!before.context.covers(dot)) this.clock.receive(stamp);
    const { set, losers } = this.#prune(joined);
    this.#replace(key, set, done);
    return { changed: true, set, losers };
  }

  /**
   * Forgets a deleted key, if it is nothing but deleted and all that is known of it is `covered`: what every member of the store knows.
   * Whoever calls it has made sure that no member, and nothing on its way to one, holds older versions.
   */
  forget(key: string, covered: VectorClock, done: Done): boolean {
    this.#checkOpen();
    const held = this.#held.get(key);
    if (held === undefined || !isTombstone(held.set) || !covered.descends(held.set.context)) return false;
    const record = encodeForget(key);
    this.#checkRoom(record.length, 0, 0);
    this.#drop(key, held);
    this.#append(record, done);
    return true;
  }

  /**
   * Drops a key that other members own, if it still holds what has this hash: they were seen to hold that, or more. Whoever comes to own
   * it again writes it under another name. A context says that all earlier writes of an actor to the key are known, and this member
   * knows them no more.
   */
  giveUp(key: string, digest: Uint8Array, done: Done): boolean {
    this.#checkOpen();
    const held = this.#held.get(key);
    if (held === undefined || Buffer.compare(bytesOf(held.digest), digest) !== 0) return false;
    if (held.set.context.get(this.#actor) > 0) this.#rename();
    this.#drop(key, held);
    this.#append(encodeForget(key), done);
    return true;
  }

  /** The newest ring that was written down here. */
  get ring(): Uint8Array | undefined {
    return this.#ring;
  }

  /** Writes a ring down. */
  keepRing(ring: Uint8Array, done: Done): void {
    this.#checkOpen();
    this.#ring = ring;
    this.#append(encodeRingRecord(ring), done);
  }

  /** Calls back once all that is held is durable, or has failed. */
  whenAllDurable(done: Done): void {
    this.#log.whenAllDurable(done);
  }

  /** Writes everything in one piece, so that opening reads that and not all that was ever written. */
  checkpoint(): Promise<void> {
    this.#checkOpen();
    return this.#log.checkpoint(this.#records());
  }

  /** Waits until all is durable. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#log.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw refused('ERR_CLOSED', 'the store was closed');
    const { failed } = this.#log;
    if (failed)
      throw new QuorateError('ERR_STORAGE_FAILED', failed.message, { fate: 'refused', cause: failed });
  }

  /** Somebody has seen this: events of this node that it knows nothing of were lost with its disk. */
  #notice(clock: VectorClock): void {
    if (clock.get(this.#actor) <= this.#counter) return;
    const before = this.#actor;
    this.#rename();
    this.#setup.events.rolledBack(before, this.#actor);
  }

  #rename(): void {
    this.#actor = newActor(this.#setup.environment, this.#setup.node);
    this.#counter = 0;
    this.#logIdentity(() => undefined); // the table fails with its log
  }

  #prune(set: Versions): { readonly set: Versions; readonly losers: readonly Version[] } {
    return this.#setup.keeps === 'newest' ? keepNewest(set, compareVersions) : { set, losers: [] };
  }

  #replace(key: string, set: Versions, done: Done): void {
    const content = this.#encode(set);
    const before = this.#held.get(key);
    const record = encodeSet(key, content, this.clock.last);
    this.#checkRoom(record.length, sizeOf(key, content) - (before?.bytes ?? 0), before ? 0 : 1);
    if (before) this.#drop(key, before);
    this.#keep(key, set, content, this.#log.gathering);
    this.#append(record, done);
  }

  #checkRoom(written: number, growth: number, keys: number): void {
    const { maxBytes, maxKeys, maxPendingBytes } = this.#setup.limits;
    if (growth > 0 && (this.#bytes + growth > maxBytes || this.#held.size + keys > maxKeys))
      throw refused(
        'ERR_STORAGE_FULL',
        `the store has ${this.#held.size} keys with ${this.#bytes} bytes, ${keys} more with ${growth} are too much: at most ${maxKeys} with ${maxBytes} are allowed`,
      );
    const { pendingBytes } = this.#log;
    if (pendingBytes > 0 && pendingBytes + written > maxPendingBytes)
      throw refused(
        'ERR_OVERLOADED',
        `${pendingBytes} bytes wait for the disk, at most ${maxPendingBytes} may`,
      );
    if (this.#setup.store.headroom() < written) throw refused('ERR_STORAGE_FULL', 'the disk is nearly full');
  }

  #append(record: Uint8Array, done: Done): void {
    this.#log.append(record, done);
    // What it fails with is told as an event.
    if (this.#log.wantsCheckpoint(this.#bytes + this.hints.bytes))
      this.#log.checkpoint(this.#records()).catch(() => undefined);
  }

  #appendHint(record: Uint8Array): boolean {
    if (this.#closed || this.#log.failed) return false;
    if (this.#setup.store.headroom() < record.length) return false;
    if (this.#log.pendingBytes + record.length > this.#setup.limits.maxPendingBytes) return false;
    this.#append(record, () => undefined); // the table fails with its log
    return true;
  }

  #keep(key: string, set: Versions, content: Uint8Array, flush: number): void {
    const leaf = this.tree.leafOf(key);
    const held = { set, bytes: sizeOf(key, content), digest: digestOf(key, content), leaf, flush };
    this.#held.set(key, held);
    (this.#leaves[leaf] ??= new Set()).add(key);
    this.tree.update(leaf, undefined, held.digest);
    this.#bytes += held.bytes;
  }

  #drop(key: string, { leaf, digest, bytes }: Held): void {
    this.#held.delete(key);
    this.#leaves[leaf]!.delete(key);
    this.tree.update(leaf, digest, undefined);
    this.#bytes -= bytes;
  }

  #encode(set: Versions): Uint8Array {
    encodeVersions(this.#writer, set);
    return this.#writer.take();
  }

  #logIdentity(done: Done): void {
    this.#log.append(this.#identity(), done);
  }

  #identity(): Uint8Array {
    return encodeIdentity({ actor: this.#actor, counter: this.#counter, clock: this.clock.last });
  }

  *#records(): Generator<Uint8Array> {
    yield this.#identity();
    if (this.#ring) yield encodeRingRecord(this.#ring);
    for (const [key, { set }] of this.#held) yield encodeSet(key, this.#encode(set), this.clock.last);
    yield* this.hints.records();
  }
}

/** What a disk says, record by record. */
class Loaded {
  readonly sets = new Map<string, Versions>();
  readonly hints = new Map<string, Map<string, Hint>>();
  /** Of the last identity. */
  format = 0;
  actor = '';
  counter = 0;
  ring: Uint8Array | undefined;
  clock: HybridTimestamp = { wall: 0, counter: 0 };

  take(reader: ByteReader): void {
    const record = decodeRecord(reader);
    if (record.type === 'identity') {
      const { actor, counter, clock } = record.identity;
      this.format = record.format;
      this.counter = actor === this.actor ? Math.max(counter, this.counter) : counter;
      this.actor = actor;
      this.#follow(clock);
    } else if (record.type === 'set') {
      if (this.actor === '') throw new QuorateError('ERR_CODEC', 'a key comes before the name of the writer');
      this.sets.delete(record.key); // to the end, as in the table that wrote it
      this.sets.set(record.key, record.set);
      this.counter = Math.max(this.counter, record.set.context.get(this.actor));
      this.#follow(record.clock);
    } else if (record.type === 'hint') {
      const { member, key, since } = record;
      let hints = this.hints.get(member);
      if (hints === undefined) this.hints.set(member, (hints = new Map<string, Hint>()));
      hints.set(key, { key, since });
    } else if (record.type === 'told') this.hints.get(record.member)?.delete(record.key);
    else if (record.type === 'ring') this.ring = record.ring;
    else this.sets.delete(record.key);
  }

  #follow(clock: HybridTimestamp): void {
    if (compareTimestamps(clock, this.clock) > 0) this.clock = clock;
  }
}

function newActor(environment: Environment, node: string): string {
  return actorOf(node, Buffer.from(environment.randomBytes(8)).toString('hex'));
}

function sizeOf(key: string, content: Uint8Array): number {
  return KEY_OVERHEAD + key.length + content.length;
}

function refused(
  code: 'ERR_TOO_LARGE' | 'ERR_OVERLOADED' | 'ERR_STORAGE_FULL' | 'ERR_CLOSED',
  why: string,
): QuorateError {
  return new QuorateError(code, why, { fate: 'refused' });
}

function shown(key: string): string {
  return JSON.stringify(key.length > 80 ? `${key.slice(0, 80)}…` : key);
}
