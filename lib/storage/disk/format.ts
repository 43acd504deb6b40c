/**
 * The bytes of a log segment that are not entries: its header, the headers of its frames, and the trailer that points to
 * its footer. docs/storage.md describes the format.
 */
import { crc32 } from '../../crc.js';

/** Raised when the meaning of any file of a storage changes. @internal */
export const FORMAT_VERSION = 1;

/** Bytes before the first frame. @internal */
export const SEGMENT_HEADER = 64;

/** @internal */
export const FRAME_HEADER = 32;

/** @internal */
export const TRAILER = 32;

const SEGMENT_MAGIC = 0x47455351; // 'QSEG'
/** @internal */
export const FRAME_MAGIC = 0x314d5246; // 'FRM1'
const TRAILER_MAGIC = 0x52544f46; // 'FOTR'

/** Frames begin at multiples of this. @internal */
export const ALIGNMENT = 8;

/** @internal */
export function encodeSegmentHeader(number: number, incarnation: string, salt: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(SEGMENT_HEADER);
  bytes.writeUInt32LE(SEGMENT_MAGIC, 0);
  bytes.writeUInt32LE(FORMAT_VERSION, 4);
  bytes.writeDoubleLE(number, 8);
  bytes.write(incarnation, 16, 16, 'hex');
  bytes.set(salt.subarray(0, 16), 32);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  return bytes;
}

/** Whether these bytes are the header of that segment of that storage. @internal */
export function isSegmentHeader(bytes: Uint8Array, number: number, incarnation: string): boolean {
  if (bytes.length < SEGMENT_HEADER) return false;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, SEGMENT_HEADER);
  return (
    view.readUInt32LE(0) === SEGMENT_MAGIC &&
    view.readUInt32LE(60) === crc32(view.subarray(0, 60)) &&
    view.readUInt32LE(4) === FORMAT_VERSION &&
    view.readDoubleLE(8) === number &&
    view.toString('hex', 16, 32) === incarnation
  );
}

/** @internal */
export interface FrameHeader {
  /** Bytes of entry blocks, right after the header. */
  readonly bodyLength: number;
  /** Bytes of metadata, after the blocks. */
  readonly metaLength: number;
  /** One more than that of the frame before, over all segments. */
  readonly sequence: number;
  readonly metaCrc: number;
  readonly crc: number;
}

/** Bytes that a frame takes with header, end mark and padding. @internal */
export function frameSize(bodyLength: number, metaLength: number): number {
  return align(FRAME_HEADER + bodyLength + metaLength + 4);
}

/** @internal */
export function align(position: number): number {
  return Math.ceil(position / ALIGNMENT) * ALIGNMENT;
}

/** Writes a frame's header; returns its CRC. @internal */
export function encodeFrameHeader(to: Buffer, header: Omit<FrameHeader, 'crc'>, seed: number): number {
  to.writeUInt32LE(FRAME_MAGIC, 0);
  to.writeUInt32LE(header.bodyLength, 4);
  to.writeUInt32LE(header.metaLength, 8);
  to.writeUInt32LE(header.sequence % 0x1_0000_0000, 12);
  to.writeUInt32LE(Math.floor(header.sequence / 0x1_0000_0000), 16);
  to.writeUInt32LE(header.metaCrc, 20);
  to.writeUInt32LE(0, 24);
  const crc = crc32(to.subarray(0, 28), seed);
  to.writeUInt32LE(crc, 28);
  return crc;
}

/** undefined when there is no frame header of that segment at `at`. @internal */
export function decodeFrameHeader(bytes: Buffer, at: number, seed: number): FrameHeader | undefined {
  if (at + FRAME_HEADER > bytes.length || bytes.readUInt32LE(at) !== FRAME_MAGIC) return undefined;
  const crc = bytes.readUInt32LE(at + 28);
  if (crc !== crc32(bytes.subarray(at, at + 28), seed)) return undefined;
  return {
    bodyLength: bytes.readUInt32LE(at + 4),
    metaLength: bytes.readUInt32LE(at + 8),
    sequence: bytes.readUInt32LE(at + 12) + bytes.readUInt32LE(at + 16) * 0x1_0000_0000,
    metaCrc: bytes.readUInt32LE(at + 20),
    crc,
  };
}

/**
 * The mark after a frame's last byte. Each of its bytes has two bits set at least: so it tells a frame that was written
 * to its end from a torn one.
 *
 * @internal
 */
export function endMark(headerCrc: number): number {
  return (~headerCrc | 0x11111111) >>> 0;
}

/** Where the footer of a sealed segment is, and what it belongs to. @internal */
export interface Trailer {
  readonly footerLength: number;
  readonly footerCrc: number;
  /** The sequence of the segment's last frame. */
  readonly sequence: number;
}

/** @internal */
export function encodeTrailer(trailer: Trailer, seed: number): Uint8Array {
  const bytes = Buffer.alloc(TRAILER);
  bytes.writeUInt32LE(TRAILER_MAGIC, 0);
  bytes.writeUInt32LE(trailer.footerLength, 4);
  bytes.writeUInt32LE(trailer.footerCrc, 8);
  bytes.writeDoubleLE(trailer.sequence, 12);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28), seed), 28);
  return bytes;
}

/** undefined when the segment does not end with a trailer of its own. @internal */
export function decodeTrailer(bytes: Uint8Array, seed: number): Trailer | undefined {
  if (bytes.length < TRAILER) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, TRAILER);
  if (view.readUInt32LE(0) !== TRAILER_MAGIC || view.readUInt32LE(28) !== crc32(view.subarray(0, 28), seed))
    return undefined;
  return {
    footerLength: view.readUInt32LE(4),
    footerCrc: view.readUInt32LE(8),
    sequence: view.readDoubleLE(12),
  };
}
