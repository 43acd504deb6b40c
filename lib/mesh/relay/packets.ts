/**
 * What travels in a datagram of relayed links. Set-up, in the open:
 *
 *     open       1 ‖ session ‖ opener's public key ‖ cookie (zero at first)
 *     challenge  2 ‖ session ‖ cookie
 *     accept     3 ‖ session ‖ answerer's public key
 *     gone       4 ‖ session
 *
 * and packets, sealed but for their first 23 bytes:
 *
 *     5 control | 6 bulk ‖ session ‖ packet number ‖ sealed frames ‖ tag
 *
 * Frames of a packet: flags; what was received (if flagged); a chunk of the lane's stream (if flagged). @internal
 */
import type { LaneName } from '../transport.js';
import { publicKeyBytes, sessionBytes } from './keyExchange.js';

export const MessageType = { open: 1, challenge: 2, accept: 3, gone: 4, control: 5, bulk: 6 } as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

/** The type of a lane's packets. */
export const typeOfLane: Readonly<Record<LaneName, MessageType>> = {
  control: MessageType.control,
  bulk: MessageType.bulk,
};

export const cookieBytes = 20;
export const counterBytes = 6;
export const tagBytes = 16;
/** Where the session begins in every message. */
export const sessionAt = 1;
/** A packet's header. */
export const headerBytes = sessionAt + sessionBytes + counterBytes;

/** Most bytes of the stream that a packet carries. */
export const maxChunkBytes = 15 * 1024;
/** Most bytes that the ranges of one acknowledgement take. */
const maxRangesBytes = 320;
/**
 * Most bytes of a packet: a control message of 16 KiB, with the mesh's addresses around it, still carries it whole. Larger
 * ones would be cheaper by a byte, and would hold up what comes behind them for longer.
 */
export const maxPacketBytes = maxChunkBytes + 512;

const keyAt = sessionAt + sessionBytes;
const lengths: Readonly<Record<number, number>> = {
  [MessageType.open]: keyAt + publicKeyBytes + cookieBytes,
  [MessageType.challenge]: keyAt + cookieBytes,
  [MessageType.accept]: keyAt + publicKeyBytes,
  [MessageType.gone]: keyAt,
};

/** Whether a message has a type, and a length that fits it. */
export function isWellFormed(message: Uint8Array): boolean {
  const type = message[0] ?? 0;
  if (type === MessageType.control || type === MessageType.bulk)
    return message.length > headerBytes + tagBytes && message.length <= maxPacketBytes;
  return message.length === lengths[type];
}

/** The session of a well-formed message. */
export function sessionOf(message: Uint8Array): Uint8Array {
  return message.subarray(sessionAt, keyAt);
}

/** The public key in an open or accept. */
export function keyOf(message: Uint8Array): Uint8Array {
  return message.subarray(keyAt, keyAt + publicKeyBytes);
}

/** The cookie in an open or challenge. */
export function cookieOf(message: Uint8Array): Uint8Array {
  return message.subarray(message.length - cookieBytes);
}

/** The number of a packet. */
export function numberOf(packet: Buffer): number {
  return packet.readUIntBE(headerBytes - counterBytes, counterBytes);
}

/** A set-up message. */
export function setupMessage(
  type: MessageType,
  session: Uint8Array,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  return Uint8Array.from(Buffer.concat([Uint8Array.of(type), session, ...parts]));
}

/** What a packet says beside its chunk. */
export const FrameFlag = { ack: 1, chunk: 2, ping: 4, close: 8 } as const;

/** Packets received, newest first: pairs of lowest and highest number. */
export type Ranges = readonly (readonly [low: number, high: number])[];

/** What the other end has. */
export interface Ack {
  /** All chunks before this one have come. */
  readonly nextChunk: number;
  /** How long the newest packet waited to be acknowledged, in milliseconds. */
  readonly delayMs: number;
  /** At least one. */
  readonly ranges: Ranges;
}

/** The frames of a packet. */
export interface Frames {
  readonly ping: boolean;
  readonly close: boolean;
  readonly ack: Ack | undefined;
  readonly chunk: { readonly seq: number; readonly bytes: Uint8Array } | undefined;
}

/** Writes the frames before a chunk's bytes into `out`; returns how many bytes. `out` has room for 512. */
export function writeFrames(out: Uint8Array, flags: number, ack: Ack | undefined, seq: number): number {
  let at = 0;
  out[at++] = flags;
  if (ack !== undefined) {
    at = putVarint(out, at, ack.nextChunk);
    at = putVarint(out, at, Math.min(0xffff_ffff, Math.max(0, Math.round(ack.delayMs * 1000))));
    const countAt = at++;
    const end = at + maxRangesBytes - 16;
    let below = -1;
    let count = 0;
    for (const [low, high] of ack.ranges) {
      if (at > end || count === 255) break;
      at = putVarint(out, at, below < 0 ? high : below - high);
      at = putVarint(out, at, high - low);
      below = low;
      count++;
    }
    out[countAt] = count;
  }
  if ((flags & FrameFlag.chunk) !== 0) at = putVarint(out, at, seq);
  return at;
}

/** Reads the frames of an opened packet; `undefined`: they make no sense. */
export function readFrames(bytes: Uint8Array): Frames | undefined {
  const reader = new FrameReader(bytes);
  const flags = reader.byte();
  if (flags > 15) return undefined;
  const ack = (flags & FrameFlag.ack) === 0 ? undefined : readAck(reader);
  let chunk: Frames['chunk'];
  if ((flags & FrameFlag.chunk) !== 0) {
    const seq = reader.varint();
    chunk = { seq, bytes: bytes.subarray(reader.at) };
    if (chunk.bytes.length > maxChunkBytes || chunk.bytes.length === 0) return undefined;
  } else if (reader.at !== bytes.length) return undefined;
  if (reader.failed) return undefined;
  return { ping: (flags & FrameFlag.ping) !== 0, close: (flags & FrameFlag.close) !== 0, ack, chunk };
}

function readAck(reader: FrameReader): Ack | undefined {
  const nextChunk = reader.varint();
  const delayMs = reader.varint() / 1000;
  const count = reader.byte();
  const ranges: (readonly [number, number])[] = [];
  let below = -1;
  for (let i = 0; i < count; i++) {
    const first = reader.varint();
    const high = below < 0 ? first : below - first;
    const low = high - reader.varint();
    // Ranges neither touch nor overlap, and begin at 0 at the earliest.
    if (low < 0 || (below >= 0 && first < 2)) reader.failed = true;
    if (reader.failed) return undefined;
    ranges.push([low, high]);
    below = low;
  }
  if (count === 0) reader.failed = true;
  return { nextChunk, delayMs, ranges };
}

function putVarint(out: Uint8Array, from: number, value: number): number {
  let at = from;
  let rest = value;
  while (rest > 0x7f) {
    out[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  out[at++] = rest;
  return at;
}

/** Reads without throwing: whoever reads looks at `failed` at the end. */
class FrameReader {
  failed = false;
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) this.failed = true;
    return byte ?? 0;
  }

  /** An integer below 2^49. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 7; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    this.failed = true;
    return 0;
  }
}
