/** The frames of kind `snapshot`: a snapshot on its way from one node's storage to another's. */
import { ByteReader, ByteWriter } from '../bytes.js';
import type { Epoch, SnapshotMeta } from '../consensus/consensus.js';
import { checkMembership } from '../consensus/membership.js';
import { QuorateError } from '../errors.js';
import { DIGEST_BYTES, expectEnd } from './wire.js';

const BEGIN = 1;
const CHUNK = 2;
const END = 3;
/** As many as the disk takes. */
const MAX_NAME = 256;

export type TransferFrame =
  | {
      readonly type: 'begin';
      readonly group: number;
      readonly request: number;
      readonly size: number;
      /** The receiver may go on with what it kept of the same snapshot. */
      readonly resume: boolean;
      readonly meta: SnapshotMeta;
    }
  | {
      readonly type: 'chunk';
      readonly group: number;
      readonly request: number;
      readonly offset: number;
      readonly bytes: Uint8Array;
    }
  | {
      readonly type: 'end';
      readonly group: number;
      readonly request: number;
      readonly ok: boolean;
      /** The SHA-256 of the whole; empty when it is not `ok`. */
      readonly digest: Uint8Array;
    };

export function encodeTransfer(frame: TransferFrame): Uint8Array {
  const writer = new ByteWriter(frame.type === 'chunk' ? frame.bytes.length + 40 : 1024);
  writer.u8(frame.type === 'begin' ? BEGIN : frame.type === 'chunk' ? CHUNK : END);
  writer.varint(frame.group);
  writer.varint(frame.request);
  switch (frame.type) {
    case 'begin':
      writer.varint(frame.size);
      writer.u8(frame.resume ? 1 : 0);
      writer.string(JSON.stringify(frame.meta));
      break;
    case 'chunk':
      writer.varint(frame.offset);
      writer.raw(frame.bytes);
      break;
    case 'end':
      writer.u8(frame.ok ? 1 : 0);
      writer.raw(frame.digest);
  }
  return writer.take();
}

/** Throws ERR_CODEC for anything malformed. */
export function decodeTransfer(bytes: Uint8Array): TransferFrame {
  const reader = new ByteReader(bytes);
  const type = reader.u8();
  const group = reader.varint();
  const request = reader.varint();
  switch (type) {
    case BEGIN: {
      const size = reader.varint();
      const resume = reader.u8() === 1;
      const meta = parseMeta(reader.string(1024 * 1024));
      expectEnd(reader);
      return { type: 'begin', group, request, size, resume, meta };
    }
    case CHUNK: {
      const offset = reader.varint();
      return { type: 'chunk', group, request, offset, bytes: reader.raw(reader.remaining) };
    }
    case END: {
      const ok = reader.u8() === 1;
      const digest = reader.raw(ok ? DIGEST_BYTES : 0);
      expectEnd(reader);
      return { type: 'end', group, request, ok, digest };
    }
    default:
      throw new QuorateError('ERR_CODEC', `a snapshot frame has type ${type}, expected ${BEGIN} to ${END}`);
  }
}

function parseMeta(text: string): SnapshotMeta {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new QuorateError('ERR_CODEC', 'the description of a snapshot is not JSON', { cause });
  }
  const { index, time, protocol, ...rest } = (value ?? {}) as Record<string, unknown>;
  const epoch = parseEpoch(rest['epoch']);
  const membership = checkMembership(rest['membership']);
  const sound =
    isCount(index) &&
    index > 0 &&
    typeof time === 'number' &&
    Number.isFinite(time) &&
    typeof protocol === 'string' &&
    protocol.length <= MAX_NAME;
  if (!sound || epoch === undefined || membership === undefined)
    throw new QuorateError('ERR_CODEC', 'the description of a snapshot is malformed');
  return { index, epoch, time, membership, protocol };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function parseEpoch(value: unknown): Epoch | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { config, n, priority, node } = value as Record<string, unknown>;
  if (!isCount(config) || !isCount(n) || !isCount(priority)) return undefined;
  return typeof node === 'string' && node.length <= MAX_NAME ? { config, n, priority, node } : undefined;
}
