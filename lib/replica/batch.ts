/**
 * The data of a `user` entry: a session's registration, or a batch of commands that one member submitted in one turn.
 * Encoded once by the member that submits; nobody between it and the state machines looks inside.
 */
import { ByteReader, ByteWriter } from '../bytes.js';
import { QuorateError } from '../errors.js';
import type { BatchCodec } from './codec.js';

const COMMANDS = 1;
const REGISTER = 2;

/** What a batch says before its commands. */
export interface BatchHeader {
  readonly type: 'commands';
  /** The session the commands belong to: the index of the entry that registered it. */
  readonly session: number;
  /** Every sequence below this one was answered to the submitter: its result need not be kept. */
  readonly floor: number;
  /** The sequence of the first command; the others follow it. */
  readonly first: number;
  readonly count: number;
}

/** Opens a session for a node; the nonce tells the registrations of one node apart. */
export interface Registration {
  readonly type: 'register';
  readonly origin: string;
  readonly nonce: string;
}

/** Encodes a registration. */
export function encodeRegistration(origin: string, nonce: string): Uint8Array {
  const writer = new ByteWriter(64);
  writer.u8(REGISTER);
  writer.string(origin);
  writer.string(nonce);
  return writer.take();
}

/** Appends one command to a batch's body; leaves the body as it was when the codec throws. Returns the command's own bytes. */
export function encodeItem(
  writer: ByteWriter,
  requestId: string,
  command: unknown,
  codec: BatchCodec,
): number {
  const before = writer.length;
  writer.u32(0);
  if (requestId !== '') writer.string(requestId);
  const start = writer.length;
  try {
    codec.encodeInto(writer, command);
  } catch (error) {
    writer.rewind(before);
    throw error;
  }
  const length = writer.length - start;
  writer.patchU32(before, length * 2 + (requestId === '' ? 0 : 1));
  return length;
}

/** Puts the header before a body of items. */
export function encodeBatch(
  session: number,
  floor: number,
  first: number,
  count: number,
  body: Uint8Array,
): Uint8Array {
  const writer = new ByteWriter(body.length + 33);
  writer.u8(COMMANDS);
  writer.varint(session);
  writer.varint(floor);
  writer.varint(first);
  writer.varint(count);
  writer.raw(body);
  return writer.take();
}

/** Reads what comes before the items; the reader then stands at the first of them. */
export function decodeHeader(reader: ByteReader): BatchHeader | Registration {
  const type = reader.u8();
  if (type === COMMANDS) {
    const session = reader.varint();
    const floor = reader.varint();
    const first = reader.varint();
    return { type: 'commands', session, floor, first, count: reader.varint() };
  }
  if (type === REGISTER) {
    const origin = reader.string(256);
    return { type: 'register', origin, nonce: reader.string(256) };
  }
  throw new QuorateError('ERR_CODEC', `a batch begins with ${type}, expected ${COMMANDS} or ${REGISTER}`);
}

/** Walks over the items of a batch without an allocation each. */
export class ItemReader {
  readonly #reader: ByteReader;
  /** A request id that the app chose, or empty. */
  requestId = '';
  from = 0;
  to = 0;

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  /** Goes to the next item: its bytes are those from `from` up to `to`. */
  next(): void {
    const head = this.#reader.u32();
    this.requestId = head % 2 === 1 ? this.#reader.string(1024) : '';
    this.from = this.#reader.at;
    this.#reader.skip(head >>> 1);
    this.to = this.#reader.at;
  }
}

/**
 * Whether the data of a proposal is a batch of `count` commands, or a registration, as this file writes them: seen from a leader
 * whose log ends at `lastIndex`. The commands themselves are the codec's and the machine's, which may refuse each.
 */
export function isSoundBatch(data: Uint8Array, count: number, lastIndex: number): boolean {
  const reader = new ByteReader(data);
  try {
    const header = decodeHeader(reader);
    if (header.type === 'register') return count === 1 && reader.remaining === 0;
    const { session, floor, first } = header;
    if (header.count !== count || session < 1 || session > lastIndex) return false;
    if (first < 1 || first + count > Number.MAX_SAFE_INTEGER || floor > first) return false;
    const items = new ItemReader(reader);
    for (let i = 0; i < count; i++) items.next();
    return reader.remaining === 0;
  } catch {
    return false;
  }
}
