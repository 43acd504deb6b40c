/**
 * The outbox itself: commands that wait for a quorum, in order, in memory and in their file. Each change is written before it
 * counts: a command before it is `queued`, under which session and sequence it goes before it is sent, its end before it is
 * forgotten. What sends them is replay.ts.
 */
import { ByteReader, ByteWriter } from '../../bytes.js';
import type { Index } from '../../consensus/consensus.js';
import { randomId, type Environment } from '../../environment.js';
import { QuorateError, type ErrorCode } from '../../errors.js';
import type { RecordFile } from '../../storage/storage.js';
import { encodeItem, ItemReader } from '../batch.js';
import type { BatchCodec } from '../codec.js';
import { Failure, type Outcome } from '../outcome.js';
import { Waiter } from '../pending.js';
import { formatRequestId, type SequenceId } from '../requestId.js';
import {
  encodeAdd,
  encodeRemove,
  encodeSent,
  encodeUnknown,
  encodeWhole,
  Entry,
  readRecords,
} from './outboxRecords.js';
import type { Outbox, OutboxEntry, OutboxOutcome } from './outboxTypes.js';

/** What is of no use any more in the file, before it is written anew. */
const GARBAGE_BYTES = 65_536;
/** What an entry takes in the file beside its command. */
const OVERHEAD = 64;

/** The most that an outbox holds. */
export interface OutboxLimits {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly maxCommandBytes: number;
}

/** Who wants to know what happens to the outbox. */
export interface OutboxEvents {
  queued(entry: OutboxEntry): void;
  replayed(outcome: OutboxOutcome): void;
  unknown(outcome: OutboxOutcome): void;
  drained(): void;
  /** Something is to be replayed, or nothing any more. */
  changed(): void;
  /** The file failed: the replica is over. */
  failed(error: Error): void;
}

export class OutboxQueue implements Outbox {
  readonly #environment: Environment;
  readonly #codec: BatchCodec;
  readonly #limits: OutboxLimits;
  readonly #events: OutboxEvents;
  readonly #writer = new ByteWriter(256);
  /** By request id, in the order of the replay. */
  readonly #entries = new Map<string, Entry>();
  #file: RecordFile | undefined;
  #next = 1;
  #bytes = 0;
  #unknown = 0;
  #writing = 0;
  /** Something waits, or did and its end was not told. */
  #busy = false;
  #ended: { readonly code: ErrorCode; readonly why: string } | undefined;

  constructor(environment: Environment, codec: BatchCodec, limits: OutboxLimits, events: OutboxEvents) {
    this.#environment = environment;
    this.#codec = codec;
    this.#limits = limits;
    this.#events = events;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get oldest(): number | undefined {
    for (const entry of this.#entries.values()) return entry.queuedAt;
    return undefined;
  }

  /** How many are still to be replayed. */
  get waiting(): number {
    return this.#entries.size - this.#unknown;
  }

  /** Whether there is a file to write to. */
  get attached(): boolean {
    return this.#file !== undefined;
  }

  entries(): OutboxEntry[] {
    return [...this.#entries.values()].map((entry) => this.#show(entry));
  }

  #show({ requestId, queuedAt, item, state }: Entry): OutboxEntry {
    const items = new ItemReader(new ByteReader(item));
    items.next();
    const command = this.#codec.decodeRange(item, items.from, items.to);
    return { requestId, command, queuedAt, bytes: item.length + OVERHEAD, state };
  }

  /** Takes over what a file holds. Throws ERR_STORAGE_CORRUPT. */
  attach(file: RecordFile): void {
    const { entries, next } = readRecords(file.records);
    this.#file = file;
    this.#next = next;
    for (const entry of entries) {
      this.#entries.set(entry.requestId, entry);
      this.#bytes += entry.item.length + OVERHEAD;
      if (entry.state === 'unknown') this.#unknown++;
    }
    this.#busy = this.waiting > 0;
    if (this.#busy) this.#events.changed();
  }

  /**
   * Puts a command at the end, or joins the one with that request id. Throws ERR_OUTBOX_FULL, ERR_TOO_LARGE, ERR_CODEC. The waiter
   * is rejected with ERR_STORAGE_FULL when there is no space for it on the disk.
   */
  add(command: unknown, id: SequenceId | string | undefined, waiter: Waiter): Entry {
    const requestId =
      typeof id === 'object' ? formatRequestId(id) : (id ?? `o:${randomId(this.#environment)}`);
    const known = this.#entries.get(requestId);
    if (known) {
      if (known.state === 'unknown') throw fateUnknown(requestId);
      known.waiters.add(waiter);
      return known;
    }
    const item = this.#encode(command, typeof id === 'object' ? '' : requestId);
    this.#checkRoom(item.length + OVERHEAD);
    const entry = new Entry(this.#next++, requestId, item, this.#environment.wallClock());
    entry.waiters.add(waiter);
    this.#entries.set(requestId, entry);
    this.#bytes += item.length + OVERHEAD;
    this.#writing++;
    this.#busy = true;
    const records = [encodeAdd(entry)];
    if (typeof id === 'object') {
      // It was sent before, who knows when: only what its session remembers can tell what became of it.
      Object.assign(entry, { ...id, sends: 1 });
      records.push(encodeSent([entry]));
    }
    this.#file!.append(records, true, (error) => this.#added(entry, error));
    this.#events.changed();
    return entry;
  }

  #encode(command: unknown, requestId: string): Uint8Array {
    const length = encodeItem(this.#writer, requestId, command, this.#codec);
    const item = this.#writer.take();
    if (length <= this.#limits.maxCommandBytes) return item;
    const message = `the command has ${length} bytes, at most ${this.#limits.maxCommandBytes} are allowed`;
    throw new QuorateError('ERR_TOO_LARGE', message, { fate: 'refused' });
  }

  #checkRoom(bytes: number): void {
    const { maxEntries, maxBytes } = this.#limits;
    if (this.#entries.size < maxEntries && this.#bytes + bytes <= maxBytes) return;
    const message =
      `${this.#entries.size} commands with ${this.#bytes} bytes are in the outbox, one with ${bytes} more is too much: ` +
      `at most ${maxEntries} with ${maxBytes} bytes are allowed`;
    throw new QuorateError('ERR_OUTBOX_FULL', message, { fate: 'refused' });
  }

  #added(entry: Entry, error: Error | undefined): void {
    this.#writing--;
    if (error !== undefined) {
      if (!(error instanceof QuorateError) || error.code !== 'ERR_STORAGE_FULL') {
        this.#fail(error);
        return;
      }
      if (this.#entries.get(entry.requestId) === entry) this.#forget(entry);
      this.#rejectAll(entry, 'ERR_STORAGE_FULL', error.message, 'refused');
      this.#settled();
      return;
    }
    if (this.#entries.get(entry.requestId) !== entry) return; // cancelled meanwhile
    entry.state = entry.session === 0 ? 'queued' : 'sent';
    if (this.#ended) return;
    this.#events.queued(this.#show(entry));
    this.#events.changed();
  }

  /** Somebody gives up waiting; the command stays. */
  leave(entry: Entry, waiter: Waiter, code: ErrorCode, why: string): void {
    if (!entry.waiters.delete(waiter)) return;
    const message = `${why}; the command is in the outbox, and may still take effect: retry only with the same requestId`;
    waiter.reject(new QuorateError(code, message, { fate: 'ambiguous', requestId: entry.requestId }));
  }

  /** Somebody wants a command no more: it is cancelled, unless it was sent or somebody else waits for it. */
  abort(entry: Entry, waiter: Waiter): void {
    if (
      entry.waiters.size > 1 ||
      !isOpen(entry) ||
      entry.session !== 0 ||
      this.#entries.get(entry.requestId) !== entry
    )
      this.leave(entry, waiter, 'ERR_ABORTED', 'the submit was aborted');
    else this.#cancel([entry]).catch(() => undefined); // the waiter is told, and so is the replica
  }

  async cancel(requestId: string): Promise<boolean> {
    const entry = this.#entries.get(requestId);
    if (!entry || this.#ended || !mayCancel(entry)) return false;
    await this.#cancel([entry]);
    return true;
  }

  async cancelAll(): Promise<number> {
    if (this.#ended) return 0;
    const entries = [...this.#entries.values()].filter(mayCancel);
    if (entries.length > 0) await this.#cancel(entries);
    return entries.length;
  }

  /** From now on they are not sent; the promise says when that is durable. */
  #cancel(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) this.#forget(entry);
    return new Promise((resolve, reject) => {
      this.#file!.append([encodeRemove(entries)], false, (error) => {
        for (const entry of entries) {
          if (error === undefined)
            this.#rejectAll(entry, 'ERR_ABORTED', 'the command was cancelled', 'refused');
          else this.#rejectAll(entry, 'ERR_STORAGE_FAILED', error.message, 'ambiguous');
        }
        if (error === undefined) resolve();
        else reject(error);
        if (error === undefined) this.#settled();
        else this.#fail(error);
      });
      this.#events.changed();
    });
  }

  /** The first that is to be replayed, unless it is still being written. */
  head(): Entry | undefined {
    for (const entry of this.#entries.values()) {
      if (entry.state === 'unknown') continue;
      return entry.state === 'writing' ? undefined : entry;
    }
    return undefined;
  }

  /** What can be sent in one batch, from the first on: never sent before, or under sequences that follow one another. */
  run(maxCommands: number, maxBytes: number): Entry[] {
    const out: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#entries.values()) {
      const [first] = out;
      if (!first && entry.state === 'unknown') continue;
      if (entry.state === 'writing' || entry.state === 'unknown') break;
      if (first) {
        if (entry.state !== first.state || out.length >= maxCommands || bytes + entry.item.length > maxBytes)
          break;
        const follows = entry.session === first.session && entry.sequence === first.sequence + out.length;
        if (first.state === 'sent' && !follows) break;
      }
      out.push(entry);
      bytes += entry.item.length;
    }
    return out;
  }

  /** Writes down under what they are about to be sent; from now on they cannot be cancelled. Rejects when that fails. */
  intend(entries: readonly Entry[], session: number, first: number, after: Index): Promise<void> {
    for (const [at, entry] of entries.entries())
      Object.assign(entry, { state: 'sent', session, sequence: first + at, after, sends: 0 });
    return new Promise((resolve, reject) => {
      this.#file!.append([encodeSent(entries)], false, (error) => {
        if (error === undefined) resolve();
        else reject(error);
        if (error !== undefined) this.#fail(error);
      });
    });
  }

  /** They were applied, or failed: then the outcome is a Failure or a QuorateError. */
  settle(entries: readonly Entry[], outcomes: readonly Outcome[]): void {
    const told = entries.map((entry) => this.#show(entry));
    for (const entry of entries) this.#forget(entry);
    this.#write(encodeRemove(entries));
    for (const [at, entry] of entries.entries()) {
      const outcome = outcomes[at];
      const error = outcome instanceof Failure ? outcome.toError(entry.requestId) : outcome;
      if (error instanceof QuorateError) {
        for (const waiter of entry.waiters) waiter.reject(error);
        this.#events.replayed({ ...told[at]!, error });
      } else {
        for (const waiter of entry.waiters) waiter.resolve(outcome);
        this.#events.replayed({ ...told[at]!, result: outcome });
      }
      entry.waiters.clear();
    }
    this.#settled();
  }

  /** What became of it cannot be learned: it is kept, and told, and not sent again. */
  giveUp(entry: Entry): void {
    entry.state = 'unknown';
    this.#unknown++;
    this.#write(encodeUnknown([entry]));
    const error = fateUnknown(entry.requestId);
    for (const waiter of entry.waiters) waiter.reject(error);
    entry.waiters.clear();
    this.#events.unknown({ ...this.#show(entry), error });
    this.#settled();
  }

  /** Those that were sent and are not decided. */
  sent(): Entry[] {
    return [...this.#entries.values()].filter(({ state }) => state === 'sent');
  }

  #settled(): void {
    if (this.#ended) return;
    this.#tidy();
    if (this.#busy && this.waiting === 0) {
      this.#busy = false;
      this.#events.drained();
    }
    this.#events.changed();
  }

  /** Writes the file anew once most of it is of no use. */
  #tidy(): void {
    const file = this.#file!;
    // One that is being written may yet be refused, and must not come back.
    if (this.#writing > 0 || file.bytes <= 3 * this.#bytes + GARBAGE_BYTES) return;
    file.replace([...this.#entries.values()].flatMap(encodeWhole), (error) => {
      if (error !== undefined) this.#fail(error);
    });
  }

  #write(record: Uint8Array): void {
    this.#file!.append([record], false, (error) => {
      if (error !== undefined) this.#fail(error);
    });
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.requestId);
    this.#bytes -= entry.item.length + OVERHEAD;
    if (entry.state === 'unknown') this.#unknown--;
  }

  #rejectAll(entry: Entry, code: ErrorCode, message: string, fate: 'refused' | 'ambiguous'): void {
    const { requestId } = entry;
    for (const waiter of entry.waiters) waiter.reject(new QuorateError(code, message, { fate, requestId }));
    entry.waiters.clear();
  }

  #fail(error: Error): void {
    if (!this.#ended) this.#events.failed(error);
  }

  /** Nobody is answered any more. What is in the file stays there. */
  end(code: ErrorCode, why: string): void {
    if (this.#ended) return;
    this.#ended = { code, why };
    for (const entry of this.#entries.values())
      for (const waiter of [...entry.waiters]) this.leave(entry, waiter, code, why);
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}

function isOpen({ state }: Entry): boolean {
  return state === 'writing' || state === 'queued';
}

function mayCancel(entry: Entry): boolean {
  // What is retried under a sequence was sent before it came here.
  return (isOpen(entry) && entry.session === 0) || entry.state === 'unknown';
}

function fateUnknown(requestId: string): QuorateError {
  const message =
    'the command was sent, and its session has expired since: whether it was applied cannot be learned. It is not sent again';
  return new QuorateError('ERR_AMBIGUOUS', message, { fate: 'ambiguous', requestId });
}
