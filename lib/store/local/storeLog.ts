/**
 * The durable side of a store: a log of what its keys became, and checkpoints of all of it. It is the log and the snapshots of a group
 * of the node's storage, so one flush serves it and all the groups.
 *
 * A record says what a key holds from now on, not what was done to it. So a checkpoint may be written while the store is being
 * changed: whatever it caught, the records from its index on say what is true.
 *
 * @internal
 */
import { ByteReader, ByteWriter } from '../../bytes.js';
import type { Entry, Epoch, Index, SnapshotMeta } from '../../consensus/consensus.js';
import { foundingMembership } from '../../consensus/membership.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { NodeStore } from '../../storage/storage.js';

/** Bytes of the log, or of a checkpoint, that are read or written at once. */
const CHUNK_BYTES = 65_536;
/** The log may grow to so much before a checkpoint, however little the store holds. */
const MIN_LOG_BYTES = 1 << 20;
const PROTOCOL = 'store';
const CHECKPOINT_MAGIC = 0x31535451; // 'QTS1'

type Done = (error?: Error) => void;

export interface StoreLogSetup {
  readonly store: NodeStore;
  readonly group: string;
  readonly node: string;
  readonly environment: Environment;
  /** Takes the records that it holds, in order. Throws ERR_CODEC. */
  readonly load: (record: ByteReader) => void;
  readonly failed: (error: Error) => void;
}

export class StoreLog {
  readonly #store: NodeStore;
  readonly #group: string;
  readonly #environment: Environment;
  readonly #epoch: Epoch;
  readonly #failed: (error: Error) => void;
  readonly #writer = new ByteWriter(1024);
  #next: Index = 1;
  #time = 0;
  #waiting: Done[] = [];
  /** Who waits for a flush, beside those whose records are in it. */
  readonly #later = new Map<number, Done[]>();
  #scheduled = false;
  /** Flushes are counted; a record belongs to the one that is being gathered. */
  #gathering = 1;
  #durable = 0;
  #flushing = 0;
  #sinceCheckpoint = 0;
  #checkpointing: Promise<void> | undefined;
  #error: Error | undefined;
  #closed = false;

  private constructor({ store, group, node, environment, failed }: StoreLogSetup) {
    this.#store = store;
    this.#group = group;
    this.#environment = environment;
    this.#failed = failed;
    this.#epoch = { config: 0, n: 1, priority: 0, node };
  }

  /** Reads what there is. Throws ERR_STORAGE_CORRUPT, ERR_STORAGE_VERSION and what the storage throws. */
  static async open(setup: StoreLogSetup): Promise<StoreLog> {
    const log = new StoreLog(setup);
    const { store, group, load } = setup;
    const recovered = await store.recover(group);
    if (recovered === undefined) return log;
    try {
      const from = await log.#loadCheckpoint(load);
      if (from < recovered.firstIndex - 1) throw new QuorateError('ERR_CODEC', 'its checkpoint is missing');
      await log.#loadEntries(load, from + 1, recovered.lastIndex);
    } catch (cause) {
      if (!(cause instanceof QuorateError) || cause.code !== 'ERR_CODEC') throw cause;
      throw new QuorateError(
        'ERR_STORAGE_CORRUPT',
        `what ${group} wrote does not make sense: ${cause.message}`,
        {
          cause,
        },
      );
    }
    log.#next = recovered.lastIndex + 1;
    log.#time = recovered.lastTime;
    log.#sinceCheckpoint = store.logBytes(group);
    return log;
  }

  async #loadCheckpoint(load: (record: ByteReader) => void): Promise<Index> {
    const reader = await this.#store.openSnapshot(this.#group);
    if (reader === undefined) return 0;
    try {
      let held: Uint8Array = new Uint8Array(0);
      let first = true;
      for (let at = 0; at < reader.size;) {
        const chunk = await reader.read(at, CHUNK_BYTES);
        at += chunk.length;
        held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
        if (first) {
          if (new ByteReader(held).u32() !== CHECKPOINT_MAGIC)
            throw new QuorateError(
              'ERR_STORAGE_VERSION',
              `the checkpoint of ${this.#group} has another format`,
            );
          held = held.subarray(4);
          first = false;
        }
        held = held.subarray(loadWhole(held, load));
        await this.#turn();
      }
      if (first || held.length > 0) throw new QuorateError('ERR_CODEC', 'its checkpoint ends early');
      return reader.meta.index;
    } finally {
      await reader.close();
    }
  }

  async #loadEntries(load: (record: ByteReader) => void, from: Index, to: Index): Promise<void> {
    for (let next = from; next <= to;) {
      for (const { index, count, data } of await this.#store.read(this.#group, next, to, CHUNK_BYTES)) {
        if (loadWhole(data, load) !== data.length)
          throw new QuorateError('ERR_CODEC', `entry ${index} ends early`);
        next = index + count;
      }
      await this.#turn();
    }
  }

  /** Bytes that wait to be durable. */
  get pendingBytes(): number {
    return this.#writer.length + this.#flushing;
  }

  /** Set once a write failed: nothing is taken any more. */
  get failed(): Error | undefined {
    return this.#error;
  }

  /** The flush that what is appended now will be part of. */
  get gathering(): number {
    return this.#gathering;
  }

  /** Appends a record at the end of this turn; `done` is called in order, once it is durable or has failed. */
  append(record: Uint8Array, done: Done): void {
    if (this.#error || this.#closed) {
      done(this.#error ?? new QuorateError('ERR_CLOSED', 'the store was closed'));
      return;
    }
    this.#writer.bytes(record);
    this.#waiting.push(done);
    this.#schedule();
  }

  /** Calls back once that flush is durable, or has failed. */
  whenDurable(flush: number, done: Done): void {
    if (this.#error) done(this.#error);
    else if (flush <= this.#durable) done();
    else this.#later.set(flush, [...(this.#later.get(flush) ?? []), done]);
  }

  /** Calls back once all that was appended is durable, or has failed. */
  whenAllDurable(done: Done): void {
    this.whenDurable(this.#writer.length > 0 ? this.#gathering : this.#gathering - 1, done);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#environment.defer(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { length } = this.#writer;
    if (length === 0 || this.#error) return;
    this.#time = Math.max(this.#time, Math.floor(this.#environment.wallClock()));
    const entry: Entry = {
      index: this.#next++,
      count: 1,
      epoch: this.#epoch,
      time: this.#time,
      kind: 'user',
      data: this.#writer.take(),
    };
    const waiting = this.#waiting;
    const flush = this.#gathering++;
    this.#waiting = [];
    this.#flushing += length;
    this.#sinceCheckpoint += length;
    this.#store.write([{ group: this.#group, entries: [entry] }], (error) => {
      this.#flushing -= length;
      if (error === undefined) this.#durable = flush;
      else this.#fail(error);
      for (const done of waiting) done(error);
      const later = this.#later.get(flush) ?? [];
      this.#later.delete(flush);
      for (const done of later) done(error);
    });
  }

  #fail(error: Error): void {
    if (this.#error) return;
    this.#error = error;
    const waiting = [...this.#waiting, ...[...this.#later.values()].flat()];
    this.#waiting = [];
    this.#later.clear();
    for (const done of waiting) done(error);
    this.#failed(error);
  }

  /** Whether the log is so long that reading it takes longer than reading a checkpoint of `bytes` bytes, and there is room for one. */
  wantsCheckpoint(bytes: number): boolean {
    if (this.#checkpointing || this.#error || this.#closed) return false;
    return this.#sinceCheckpoint > Math.max(MIN_LOG_BYTES, bytes) && this.#store.headroom() > 2 * bytes;
  }

  /** Writes all that the records say as a checkpoint, and drops the log before it. One at a time. */
  checkpoint(records: Iterable<Uint8Array>): Promise<void> {
    this.#checkpointing ??= this.#write(records).finally(() => (this.#checkpointing = undefined));
    return this.#checkpointing;
  }

  async #write(records: Iterable<Uint8Array>): Promise<void> {
    this.#flush();
    const before = this.#sinceCheckpoint;
    const index = this.#next - 1;
    if (index === 0 || this.#error) return;
    const meta: SnapshotMeta = {
      index,
      epoch: this.#epoch,
      time: this.#time,
      membership: foundingMembership([this.#epoch.node]),
      protocol: PROTOCOL,
    };
    try {
      const snapshot = await this.#store.createSnapshot(this.#group);
      try {
        const chunk = new ByteWriter(CHUNK_BYTES);
        chunk.u32(CHECKPOINT_MAGIC);
        for (const record of records) {
          chunk.bytes(record);
          if (chunk.length < CHUNK_BYTES) continue;
          await snapshot.write(chunk.take());
          await this.#turn();
          if (this.#closed) break;
        }
        if (this.#closed) {
          await snapshot.abort();
          return;
        }
        if (chunk.length > 0) await snapshot.write(chunk.take());
        await snapshot.commit(meta);
      } catch (error) {
        if (!this.#store.failed) await snapshot.abort();
        throw error;
      }
    } catch (error) {
      // For want of space, say: the log is as good as it was, and the next try comes when as much again was written.
      if (this.#store.failed) this.#fail(this.#store.failed);
      else this.#sinceCheckpoint = 0;
      throw error;
    }
    this.#sinceCheckpoint -= before;
    this.#store.write([{ group: this.#group, compactTo: index }], (error) => {
      if (error) this.#fail(error);
    });
  }

  /** Lets what else is due go first. */
  #turn(): Promise<void> {
    return new Promise((resolve) => this.#environment.defer(resolve));
  }

  /** Writes what was appended, and waits for it. */
  async close(): Promise<void> {
    this.#flush();
    this.#closed = true;
    await this.#checkpointing?.catch(() => undefined); // what it failed with was told
    await new Promise<void>((resolve) => this.whenDurable(this.#gathering - 1, () => resolve()));
  }
}

/** Loads the records that are there as a whole; returns how many bytes they take. */
function loadWhole(bytes: Uint8Array, load: (record: ByteReader) => void): number {
  const reader = new ByteReader(bytes);
  for (;;) {
    const { at } = reader;
    const length = lengthAt(bytes, at);
    if (length === undefined || length.end + length.value > bytes.length) return at;
    const record = reader.bytes();
    const body = new ByteReader(record);
    load(body);
    if (body.remaining > 0)
      throw new QuorateError('ERR_CODEC', `a record is ${body.remaining} bytes too long`);
  }
}

/** The length of a record, if it is there as a whole. */
function lengthAt(
  bytes: Uint8Array,
  at: number,
): { readonly value: number; readonly end: number } | undefined {
  let end = at;
  while (end < bytes.length && bytes[end]! >= 0x80) end++;
  if (end >= bytes.length) return undefined;
  return { value: new ByteReader(bytes, at).varint(), end: end + 1 };
}
