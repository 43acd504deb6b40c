/**
 * What the log and the checkpoints of a store are made of.
 *
 * @internal
 */
import { ByteWriter, type ByteReader } from '../../bytes.js';
import { isName, QuorateError } from '../../errors.js';
import type { HybridTimestamp } from '../causality/hybridClock.js';
import { decodeStamp, decodeVersions, encodeStamp, isActor, type Versions } from '../causality/version.js';
import { MAX_KEY_BYTES } from './limits.js';

/** From 2 on there are hints and rings. */
export const FORMAT = 2;
/** The most bytes of an encoded ring. */
export const MAX_RING_BYTES = 65_536;

/** Who writes here, and how far its clocks are. */
export interface Identity {
  readonly actor: string;
  /** The number of its last event. */
  readonly counter: number;
  readonly clock: HybridTimestamp;
}

export type StoreRecord =
  | { readonly type: 'identity'; readonly identity: Identity; readonly format: number }
  /** What a key holds, and the clock when that was written. */
  | { readonly type: 'set'; readonly key: string; readonly set: Versions; readonly clock: HybridTimestamp }
  /** A key is forgotten. */
  | { readonly type: 'forget'; readonly key: string }
  /** A member missed a key. */
  | { readonly type: 'hint'; readonly member: string; readonly key: string; readonly since: number }
  /** It knows it now. */
  | { readonly type: 'told'; readonly member: string; readonly key: string }
  /** The newest ring that is known here, encoded. */
  | { readonly type: 'ring'; readonly ring: Uint8Array };

const IDENTITY = 1;
const SET = 2;
const FORGET = 3;
const HINT = 4;
const TOLD = 5;
const RING = 6;

export function encodeIdentity({ actor, counter, clock }: Identity): Uint8Array {
  const writer = new ByteWriter(64);
  writer.u8(IDENTITY);
  writer.u8(FORMAT);
  writer.string(actor);
  writer.varint(counter);
  encodeStamp(writer, clock);
  return writer.take();
}

/** `versions` are encoded already. */
export function encodeSet(key: string, versions: Uint8Array, clock: HybridTimestamp): Uint8Array {
  const writer = new ByteWriter(versions.length + key.length * 3 + 32);
  writer.u8(SET);
  encodeStamp(writer, clock);
  writer.string(key);
  writer.raw(versions);
  return writer.take();
}

export function encodeForget(key: string): Uint8Array {
  const writer = new ByteWriter(key.length * 3 + 8);
  writer.u8(FORGET);
  writer.string(key);
  return writer.take();
}

export function encodeHint(member: string, key: string, since: number): Uint8Array {
  const writer = new ByteWriter(member.length + key.length * 3 + 16);
  writer.u8(HINT);
  writer.string(member);
  writer.string(key);
  writer.varint(since);
  return writer.take();
}

export function encodeTold(member: string, key: string): Uint8Array {
  const writer = new ByteWriter(member.length + key.length * 3 + 8);
  writer.u8(TOLD);
  writer.string(member);
  writer.string(key);
  return writer.take();
}

export function encodeRingRecord(ring: Uint8Array): Uint8Array {
  const writer = new ByteWriter(ring.length + 8);
  writer.u8(RING);
  writer.bytes(ring);
  return writer.take();
}

/** Throws ERR_CODEC. */
export function decodeRecord(reader: ByteReader): StoreRecord {
  const type = reader.u8();
  if (type === IDENTITY) {
    const format = reader.u8();
    if (format < 1 || format > FORMAT)
      throw new QuorateError(
        'ERR_STORAGE_VERSION',
        `the store has format ${format}; this version reads 1 to ${FORMAT}`,
      );
    const actor = reader.string(256);
    if (!isActor(actor)) throw new QuorateError('ERR_CODEC', 'the record names no actor');
    const identity = { actor, counter: reader.varint(), clock: decodeStamp(reader) };
    return { type: 'identity', identity, format };
  }
  if (type === SET) {
    const clock = decodeStamp(reader);
    const key = reader.string(MAX_KEY_BYTES);
    return { type: 'set', key, clock, set: decodeVersions(reader, Number.MAX_SAFE_INTEGER) };
  }
  if (type === FORGET) return { type: 'forget', key: reader.string(MAX_KEY_BYTES) };
  if (type === HINT || type === TOLD) {
    const member = reader.string(128);
    const key = reader.string(MAX_KEY_BYTES);
    if (!isName(member)) throw new QuorateError('ERR_CODEC', 'a hint for no member');
    return type === HINT
      ? { type: 'hint', member, key, since: reader.varint() }
      : { type: 'told', member, key };
  }
  if (type === RING) return { type: 'ring', ring: new Uint8Array(reader.bytes(MAX_RING_BYTES)) };
  throw new QuorateError('ERR_CODEC', `there is no record of type ${type}`);
}
