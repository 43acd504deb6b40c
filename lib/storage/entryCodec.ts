/**
 * Entries as bytes, on disk and on the wire.
 *
 * A block is a run of entries without a gap: their number, the first index, then entry after entry. An entry tells its
 * epoch only where it differs from that of the entry before, its count only when it is not 1, and its time as the
 * difference to the entry before. Everything is checked on the way in; what does not decode is `ERR_CODEC`.
 */
import type { ByteReader } from '../bytes.js';
import { compareEpochs, NO_EPOCH } from '../consensus/consensus.js';
import type { Entry, EntryKind, Epoch } from '../consensus/consensus.js';
import { QuorateError } from '../errors.js';

/** Where encoded bytes go: a ByteWriter, or a writer that gathers large fields without copying them. @internal */
export interface ByteSink {
  u8(value: number): void;
  f64(value: number): void;
  varint(value: number): void;
  string(value: string): void;
  bytes(value: Uint8Array): void;
}

/** Room for any fields of an entry but its data and the names of an epoch. @internal */
export const ENTRY_OVERHEAD = 32;

/** The most entries of one block. @internal */
export const MAX_BLOCK_ENTRIES = 1 << 20;

const MAX_NAME = 1024;

const KINDS: readonly EntryKind[] = ['user', 'noop', 'config', 'stop'];
const KIND_CODES: Readonly<Record<EntryKind, number>> = { user: 0, noop: 1, config: 2, stop: 3 };

const KIND_MASK = 0b11;
const HAS_EPOCH = 0b100;
const HAS_COUNT = 0b1000;
const TIME_SAME = 0b010000;
const TIME_F64 = 0b100000;
const FLAGS = 0b111111;

/** Writes an epoch. @internal */
export function encodeEpoch(writer: ByteSink, epoch: Epoch): void {
  writer.varint(epoch.config);
  writer.varint(epoch.n);
  writer.varint(epoch.priority);
  writer.string(epoch.node);
}

/** Reads an epoch. @internal */
export function decodeEpoch(reader: ByteReader): Epoch {
  const config = reader.varint();
  const n = reader.varint();
  const priority = reader.varint();
  return { config, n, priority, node: reader.string(MAX_NAME) };
}

/** Writes entries `from` to `to - 1` of the array as one block. They must follow each other without a gap. @internal */
export function encodeEntries(
  writer: ByteSink,
  entries: readonly Entry[],
  from = 0,
  to = entries.length,
): void {
  writer.varint(to - from);
  if (from >= to) return;
  writer.varint(entries[from]!.index);
  let epoch: Epoch | undefined;
  let time = 0;
  for (let i = from; i < to; i++) {
    const entry = entries[i]!;
    encodeBody(writer, entry, epoch, time);
    epoch = entry.epoch;
    time = entry.time;
  }
}

/**
 * Reads what {@link encodeEntries} wrote. Entries of one reign share their epoch, with `last` too if that equals it; `data`
 * is a view of the reader's bytes.
 *
 * @internal
 */
export function decodeEntries(reader: ByteReader, last?: Epoch, maxEntries = MAX_BLOCK_ENTRIES): Entry[] {
  const length = reader.varint();
  // An entry has two bytes at the least, so a bad length cannot make us reserve more than was sent.
  if (length > maxEntries || length * 2 > reader.remaining) throw malformed(`a block of ${length} entries`);
  const entries: Entry[] = [];
  if (length === 0) return entries;
  let index = checkIndex(reader.varint());
  let epoch: Epoch | undefined;
  let time = 0;
  for (let i = 0; i < length; i++) {
    let entry = decodeBody(reader, index, epoch, time);
    if (i === 0 && last !== undefined && compareEpochs(entry.epoch, last) === 0)
      entry = { ...entry, epoch: last };
    entries.push(entry);
    index += entry.count;
    epoch = entry.epoch;
    time = entry.time;
  }
  checkIndex(index - 1);
  return entries;
}

function encodeBody(writer: ByteSink, entry: Entry, epoch: Epoch | undefined, time: number): void {
  const newEpoch = epoch === undefined || compareEpochs(epoch, entry.epoch) !== 0;
  const delta = entry.time - time;
  // The sum that the reader makes has to be exact.
  const wide = !Number.isSafeInteger(delta) || delta < 0 || !Object.is(time + delta, entry.time);
  let flags = KIND_CODES[entry.kind];
  if (newEpoch) flags |= HAS_EPOCH;
  if (entry.count !== 1) flags |= HAS_COUNT;
  if (wide) flags |= TIME_F64;
  else if (delta === 0) flags |= TIME_SAME;
  writer.u8(flags);
  if (newEpoch) encodeEpoch(writer, entry.epoch);
  if (entry.count !== 1) writer.varint(entry.count);
  if (wide) writer.f64(entry.time);
  else if (delta !== 0) writer.varint(delta);
  writer.bytes(entry.data);
}

function decodeBody(reader: ByteReader, index: number, epoch: Epoch | undefined, before: number): Entry {
  const flags = reader.u8();
  if ((flags & ~FLAGS) !== 0 || (flags & (TIME_SAME | TIME_F64)) === (TIME_SAME | TIME_F64)) {
    throw malformed(`entry flags ${flags}`);
  }
  const kind = KINDS[flags & KIND_MASK]!;
  if ((flags & HAS_EPOCH) !== 0) epoch = decodeEpoch(reader);
  if (epoch === undefined) throw malformed('an entry without an epoch');
  const count = (flags & HAS_COUNT) === 0 ? 1 : reader.varint();
  if (count < 1 || (count !== 1 && kind !== 'user')) throw malformed(`count ${count} of a ${kind} entry`);
  checkIndex(index + count); // so that the next entry has an index too
  let time = before;
  if ((flags & TIME_F64) !== 0) time = reader.f64();
  else if ((flags & TIME_SAME) === 0) time += reader.varint();
  if (!Number.isFinite(time)) throw malformed(`time ${time}`);
  return { index, count, epoch, time, kind, data: reader.bytes() };
}

function checkIndex(index: number): number {
  if (index < 1 || !Number.isSafeInteger(index)) throw malformed(`index ${index}`);
  return index;
}

/** Checks what an encoder relies on; a violation is a bug of the caller. @internal */
export function checkEntry(entry: Entry): void {
  const { index, count, kind, epoch, time, data } = entry;
  const sound =
    Number.isSafeInteger(index) &&
    index >= 1 &&
    Number.isSafeInteger(count) &&
    count >= 1 &&
    Number.isSafeInteger(index + count) &&
    Object.hasOwn(KIND_CODES, kind) &&
    (count === 1 || kind === 'user') &&
    Number.isFinite(time) &&
    data instanceof Uint8Array &&
    (epoch === NO_EPOCH || isEpoch(epoch));
  if (!sound) {
    throw new QuorateError(
      'ERR_INTERNAL',
      `an entry cannot be stored: index ${index}, count ${count}, kind ${kind}, time ${time}`,
    );
  }
}

function isEpoch({ config, n, priority, node }: Epoch): boolean {
  return (
    isNatural(config) &&
    isNatural(n) &&
    isNatural(priority) &&
    typeof node === 'string' &&
    node.length <= MAX_NAME / 4
  );
}

function isNatural(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function malformed(what: string): QuorateError {
  return new QuorateError('ERR_CODEC', `malformed entries: ${what}`);
}
