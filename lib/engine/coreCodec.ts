/** What leaders and followers of any core say to each other, as bytes. `term`: how a protocol tells reigns apart. */
import type { ByteReader, ByteWriter } from '../bytes.js';
import type { Entry, Epoch } from '../consensus/consensus.js';
import type { Ack, Append, Conflict, Heartbeat } from '../consensus/core/messages.js';
import { decodeEntries, decodeEpoch, encodeEntries, encodeEpoch } from '../storage/entryCodec.js';
import type { Travel } from './codec.js';

/** The most bytes of a genesis or an incarnation. */
export const ID_BYTES = 128;

/** How a term is written and read. */
export interface TermCodec<T> {
  readonly encode: (writer: ByteWriter, term: T) => void;
  readonly decode: (reader: ByteReader) => T;
}

/** Raft's terms. */
export const termNumber: TermCodec<number> = {
  encode: (writer, term) => writer.varint(term),
  decode: (reader) => reader.varint(),
};

/** Ballots of Paxos. */
export const ballot: TermCodec<Epoch> = { encode: encodeEpoch, decode: decodeEpoch };

const urgent: Travel = { urgent: true, size: 0 };

/** How a message travels that carries entries, or none. */
export function travelOf(entries: readonly Entry[] = []): Travel {
  if (entries.length === 0) return urgent;
  let size = 0;
  for (const entry of entries) size += entry.data.length;
  return { urgent: false, size };
}

/** @internal */
export function encodeAppend<T>(writer: ByteWriter, m: Append<T>, { encode }: TermCodec<T>): void {
  encode(writer, m.term);
  writer.varint(m.prevIndex);
  encodeEpoch(writer, m.prevEpoch);
  writer.varint(m.commit);
  encodeEntries(writer, m.entries);
}

/** @internal */
export function decodeAppend<T>(reader: ByteReader, { decode }: TermCodec<T>): Append<T> {
  const term = decode(reader);
  const prevIndex = reader.varint();
  const prevEpoch = decodeEpoch(reader);
  const commit = reader.varint();
  return { type: 'append', term, prevIndex, prevEpoch, commit, entries: decodeEntries(reader) };
}

/** @internal */
export function encodeHeartbeat<T>(writer: ByteWriter, m: Heartbeat<T>, { encode }: TermCodec<T>): void {
  encode(writer, m.term);
  writer.varint(m.commit);
  writer.varint(m.round);
  writer.string(m.genesis);
  writer.varint(m.promiseMs);
}

/** @internal */
export function decodeHeartbeat<T>(reader: ByteReader, { decode }: TermCodec<T>): Heartbeat<T> {
  const term = decode(reader);
  const commit = reader.varint();
  const round = reader.varint();
  const genesis = reader.string(ID_BYTES);
  return { type: 'heartbeat', term, commit, round, genesis, promiseMs: reader.varint() };
}

/** @internal */
export function encodeAck<T>(writer: ByteWriter, m: Ack<T>, { encode }: TermCodec<T>): void {
  encode(writer, m.term);
  writer.varint(m.matched);
  writer.varint(m.round);
  writer.u8((m.conflict ? 1 : 0) + (m.promised ? 2 : 0));
  if (m.conflict) encodeConflict(writer, m.conflict);
}

/** @internal */
export function decodeAck<T>(reader: ByteReader, { decode }: TermCodec<T>): Ack<T> {
  const term = decode(reader);
  const matched = reader.varint();
  const round = reader.varint();
  const flags = reader.u8();
  const promised = (flags & 2) !== 0;
  const conflict = (flags & 1) === 0 ? undefined : decodeConflict(reader);
  return { type: 'ack', term, matched, round, promised, conflict };
}

/** @internal */
export function encodeConflict(writer: ByteWriter, { prevIndex, index, epoch }: Conflict): void {
  writer.varint(prevIndex);
  writer.varint(index);
  encodeEpoch(writer, epoch);
}

/** @internal */
export function decodeConflict(reader: ByteReader): Conflict {
  const prevIndex = reader.varint();
  const index = reader.varint();
  return { prevIndex, index, epoch: decodeEpoch(reader) };
}
