/** The outbox as its file has it: records of what happened to its entries, in order. */
import { ByteReader, ByteWriter } from '../../bytes.js';
import { QuorateError } from '../../errors.js';
import type { Index } from '../../consensus/consensus.js';
import type { Waiter } from '../pending.js';
import type { OutboxEntry } from './outboxTypes.js';

const ADD = 1;
const SENT = 2;
const UNKNOWN = 3;
const REMOVE = 4;

const MAX_ID = 1024;

/** A command in the outbox. */
export class Entry {
  /** Its name in the file. */
  readonly number: number;
  readonly requestId: string;
  /** The command as it travels in a batch, with its request id. */
  readonly item: Uint8Array;
  readonly queuedAt: number;
  state: OutboxEntry['state'] = 'writing';
  /** Under what it was sent; meaningless before. */
  session = 0;
  sequence = 0;
  /** It cannot be in the log up to this index, as far as this session and sequence go; -1 when nobody knows. */
  after: Index = -1;
  /** How often it was sent in this life, or may have been in another. */
  sends = 0;
  readonly waiters = new Set<Waiter>();

  constructor(number: number, requestId: string, item: Uint8Array, queuedAt: number) {
    this.number = number;
    this.requestId = requestId;
    this.item = item;
    this.queuedAt = queuedAt;
  }
}

export function encodeAdd({ number, requestId, queuedAt, item }: Entry): Uint8Array {
  const writer = new ByteWriter(item.length + requestId.length + 32);
  writer.u8(ADD);
  writer.varint(number);
  writer.string(requestId);
  writer.f64(queuedAt);
  writer.bytes(item);
  return writer.take();
}

/** Entries are about to be sent, under sequences of a session that follow one another. */
export function encodeSent(entries: readonly Entry[]): Uint8Array {
  const { session, sequence, after } = entries[0]!;
  const writer = new ByteWriter();
  writer.u8(SENT);
  writer.varint(session);
  writer.varint(sequence);
  writer.varint(after + 1);
  writeNumbers(writer, entries);
  return writer.take();
}

export function encodeUnknown(entries: readonly Entry[]): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(UNKNOWN);
  writeNumbers(writer, entries);
  return writer.take();
}

/** Entries are decided, or cancelled. */
export function encodeRemove(entries: readonly Entry[]): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(REMOVE);
  writeNumbers(writer, entries);
  return writer.take();
}

/** The shortest records that say all there is to know of an entry. */
export function encodeWhole(entry: Entry): Uint8Array[] {
  const records = [encodeAdd(entry)];
  if (entry.state !== 'writing' && entry.state !== 'queued') records.push(encodeSent([entry]));
  if (entry.state === 'unknown') records.push(encodeUnknown([entry]));
  return records;
}

function writeNumbers(writer: ByteWriter, entries: readonly Entry[]): void {
  writer.varint(entries.length);
  for (const { number } of entries) writer.varint(number);
}

/** What a file holds: the entries in order, and the first number that was never given. Throws ERR_STORAGE_CORRUPT. */
export function readRecords(records: readonly Uint8Array[]): { entries: Entry[]; next: number } {
  const entries = new Map<number, Entry>();
  let next = 1;
  try {
    for (const record of records) {
      const reader = new ByteReader(record);
      const kind = reader.u8();
      if (kind === ADD) {
        const number = reader.varint();
        const requestId = reader.string(MAX_ID);
        const queuedAt = reader.f64();
        const entry = new Entry(number, requestId, reader.bytes(), queuedAt);
        entry.state = 'queued';
        entries.set(number, entry);
        next = Math.max(next, number + 1);
      } else if (kind === SENT) {
        const session = reader.varint();
        const sequence = reader.varint();
        const after = reader.varint() - 1;
        for (const [at, number] of readNumbers(reader).entries()) {
          const entry = entries.get(number);
          if (!entry) continue;
          Object.assign(entry, { state: 'sent', session, sequence: sequence + at, after, sends: 1 });
        }
      } else if (kind === UNKNOWN) {
        for (const number of readNumbers(reader)) {
          const entry = entries.get(number);
          if (entry) entry.state = 'unknown';
        }
      } else if (kind === REMOVE) {
        for (const number of readNumbers(reader)) entries.delete(number);
      } else {
        throw new QuorateError('ERR_CODEC', `a record of kind ${kind}`);
      }
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError('ERR_STORAGE_CORRUPT', `the outbox does not decode: ${why}`, { cause });
  }
  return { entries: [...entries.values()], next };
}

function readNumbers(reader: ByteReader): number[] {
  const numbers: number[] = [];
  for (let left = reader.varint(); left > 0; left--) numbers.push(reader.varint());
  return numbers;
}
