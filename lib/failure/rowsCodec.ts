/** Rows and their names as bytes. What does not decode throws ERR_CODEC. @internal */
import { ByteReader, ByteWriter } from '../bytes.js';
import type { NodeId } from '../consensus/consensus.js';
import { QuorateError, checkName } from '../errors.js';
import { maxRowNodes, maxRowPhi, maxRowVersion } from './rows.js';
import type { ConnectivityRow, RowEntry, RowVersion } from './rows.js';

/** Whether a text can be an incarnation. */
export type IncarnationCheck = (text: string) => boolean;

/** The messages by which neighbours even out their tables. */
export type RowMessage =
  | { readonly kind: 'rows' | 'lost'; readonly rows: readonly ConnectivityRow[] }
  | {
      readonly kind: 'versions';
      readonly versions: readonly RowVersion[];
      readonly lost: readonly RowVersion[];
    };

const rowsKind = 1;
const versionsKind = 2;
const lostKind = 3;
const maxIdBytes = 128;
const maxIncarnationBytes = 64;

const hearsBit = 1;
const pendingBit = 2;
const deafBit = 4;
const leftBit = 1;

/** Bytes of a message that carries whole rows; `lost`: of nodes that cannot be reached. */
export function encodeRows(rows: readonly ConnectivityRow[], lost = false): Uint8Array {
  const out = new ByteWriter();
  out.u8(lost ? lostKind : rowsKind);
  out.varint(rows.length);
  for (const row of rows) {
    writeVersion(out, row);
    out.u8(row.left ? leftBit : 0);
    out.varint(row.entries.length);
    for (const entry of row.entries) {
      out.string(entry.peer);
      out.u8((entry.hears ? hearsBit : 0) | (entry.pending ? pendingBit : 0) | (entry.deaf ? deafBit : 0));
      out.varint(Math.round(entry.phi * 10));
    }
  }
  return out.take();
}

/** Bytes of a message that says which rows its sender believes, and which it remembers of nodes that cannot be reached. */
export function encodeVersions(versions: readonly RowVersion[], lost: readonly RowVersion[]): Uint8Array {
  const out = new ByteWriter();
  out.u8(versionsKind);
  for (const list of [versions, lost]) {
    out.varint(list.length);
    for (const version of list) writeVersion(out, version);
  }
  return out.take();
}

/** About how many bytes a row takes in a message, and never fewer. */
export function rowBytes(row: ConnectivityRow): number {
  let bytes = row.from.length + row.incarnation.length + 16;
  for (const entry of row.entries) bytes += entry.peer.length + 5;
  return bytes;
}

/**
 * Reads what {@link encodeRows} or {@link encodeVersions} made.
 *
 * @throws QuorateError `ERR_CODEC` for anything else: cut or trailing bytes, counts above 1024, ids that are none, a node
 * twice, a row about itself or with a peer twice or out of order, a lost farewell, contradictions, versions or phi out of range.
 */
export function decodeRowMessage(bytes: Uint8Array, isIncarnation: IncarnationCheck): RowMessage {
  const from = new ByteReader(bytes);
  const kind = from.u8();
  if (kind !== rowsKind && kind !== versionsKind && kind !== lostKind) {
    throw bad(`a connectivity message of kind ${kind} (known: ${rowsKind}, ${versionsKind}, ${lostKind})`);
  }
  const seen = new Set<NodeId>();
  const once = (): RowVersion => {
    const version = readVersion(from, isIncarnation);
    if (seen.has(version.from)) throw bad(`two rows of ${version.from} in one message`);
    seen.add(version.from);
    return version;
  };
  let message: RowMessage;
  if (kind === versionsKind) {
    const versions = readList(from, once);
    message = { kind: 'versions', versions, lost: readList(from, once) };
  } else {
    const rows = readList(from, () => readRow(from, once()));
    const farewell = kind === lostKind ? rows.find(({ left }) => left) : undefined;
    if (farewell !== undefined) throw bad(`the farewell of ${farewell.from} as a lost row`);
    message = { kind: kind === lostKind ? 'lost' : 'rows', rows };
  }
  if (from.remaining > 0) throw bad(`${from.remaining} bytes after the end of a connectivity message`);
  return message;
}

function readList<T>(from: ByteReader, read: () => T): T[] {
  const list: T[] = [];
  for (let count = readCount(from, 'rows'); count > 0; count--) list.push(read());
  return list;
}

function writeVersion(out: ByteWriter, { from, incarnation, version }: RowVersion): void {
  out.string(from);
  out.string(incarnation);
  out.varint(version);
}

function readVersion(from: ByteReader, isIncarnation: IncarnationCheck): RowVersion {
  const id = readId(from);
  const incarnation = from.string(maxIncarnationBytes);
  if (!isIncarnation(incarnation)) throw bad(`${JSON.stringify(incarnation)} is no incarnation of ${id}`);
  const version = from.varint();
  if (version < 1 || version > maxRowVersion) {
    throw bad(`the row of ${id} has version ${version}, allowed are 1 to ${maxRowVersion}`);
  }
  return { from: id, incarnation, version };
}

function readRow(from: ByteReader, version: RowVersion): ConnectivityRow {
  const flags = from.u8();
  if (flags > leftBit) throw bad(`the row of ${version.from} has flags ${flags}, allowed are 0 and 1`);
  const left = flags === leftBit;
  const count = readCount(from, 'entries');
  if (left && count > 0) throw bad(`the farewell of ${version.from} has ${count} entries, allowed are none`);
  const entries: RowEntry[] = [];
  let last = '';
  for (let i = 0; i < count; i++) {
    const entry = readEntry(from);
    if (entry.peer === version.from) throw bad(`the row of ${version.from} has an entry about itself`);
    if (entry.peer <= last) throw bad(`the row of ${version.from} is not sorted at ${entry.peer}`);
    last = entry.peer;
    entries.push(entry);
  }
  return { ...version, left, entries };
}

function readEntry(from: ByteReader): RowEntry {
  const peer = readId(from);
  const flags = from.u8();
  const hears = (flags & hearsBit) !== 0;
  const pending = (flags & pendingBit) !== 0;
  const deaf = (flags & deafBit) !== 0;
  if (flags > (hearsBit | pendingBit | deafBit) || (hears && pending) || (deaf && !hears)) {
    throw bad(`the entry of ${peer} has flags ${flags}, allowed are 0, 1, 2 and 5`);
  }
  const tenths = from.varint();
  if (tenths > maxRowPhi * 10) throw bad(`the entry of ${peer} has phi ${tenths / 10}, above ${maxRowPhi}`);
  return { peer, hears, pending, deaf, phi: tenths / 10 };
}

function readCount(from: ByteReader, what: string): number {
  const count = from.varint();
  if (count > maxRowNodes)
    throw bad(`a connectivity message has ${count} ${what}, allowed are ${maxRowNodes}`);
  return count;
}

function readId(from: ByteReader): NodeId {
  const id = from.string(maxIdBytes);
  try {
    return checkName('node id', id);
  } catch (cause) {
    throw new QuorateError('ERR_CODEC', 'a connectivity message names a node that cannot be', { cause });
  }
}

function bad(message: string): QuorateError {
  return new QuorateError('ERR_CODEC', message);
}
