/** Reads a segment frame by frame, and judges where its valid frames end. */
import { crc32 } from '../../crc.js';
import type { Environment } from '../../environment.js';
import type { FileHandle } from '../../files.js';
import {
  align,
  decodeFrameHeader,
  endMark,
  FRAME_HEADER,
  FRAME_MAGIC,
  frameSize,
  SEGMENT_HEADER,
} from './format.js';
import type { FrameHeader } from './format.js';

const WINDOW = 1 << 20;
const SECTOR = 512;

/** A valid frame: its content, and where its blocks are in the file. @internal */
export interface ScannedFrame {
  readonly position: number;
  /** Where the next one begins. */
  readonly end: number;
  readonly sequence: number;
  /** Entry blocks with their CRCs, which are yet to be checked. */
  readonly body: Uint8Array;
  readonly meta: Uint8Array;
}

/** Bytes of a file, read in large steps. @internal */
export class SegmentBytes {
  readonly #handle: FileHandle;
  readonly size: number;
  #window: Buffer = Buffer.alloc(0);
  #from = 0;

  constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.size = size;
  }

  /** Fewer only at the end of the file. */
  async at(position: number, length: number): Promise<Buffer> {
    const end = Math.min(position + length, this.size);
    if (position >= end) return Buffer.alloc(0);
    if (position < this.#from || end > this.#from + this.#window.length) {
      const raw = await this.#handle.read(position, Math.min(Math.max(length, WINDOW), this.size - position));
      this.#window = Buffer.from(raw.buffer, raw.byteOffset, raw.length);
      this.#from = position;
    }
    return this.#window.subarray(position - this.#from, end - this.#from);
  }
}

/** Lets others run when it has worked for a few milliseconds. @internal */
export class Breather {
  readonly #environment: Environment;
  #since: number;

  constructor(environment: Environment) {
    this.#environment = environment;
    this.#since = environment.now();
  }

  get due(): boolean {
    return this.#environment.now() - this.#since > 4;
  }

  async pause(): Promise<void> {
    await new Promise<void>((resolve) => this.#environment.defer(resolve));
    this.#since = this.#environment.now();
  }
}

/** The header of a frame at that place; undefined when there is none. @internal */
export async function headerAt(
  bytes: SegmentBytes,
  position: number,
  seed: number,
): Promise<FrameHeader | undefined> {
  return decodeFrameHeader(await bytes.at(position, FRAME_HEADER), 0, seed);
}

/** Why a frame is not valid. @internal */
export type Damage = 'header' | 'content';

/** Reads the frame at `position`, all of it checked but its blocks. @internal */
export async function readFrame(
  bytes: SegmentBytes,
  position: number,
  seed: number,
): Promise<ScannedFrame | Damage> {
  const header = await headerAt(bytes, position, seed);
  if (header === undefined) return 'header';
  const { bodyLength, metaLength, sequence, metaCrc } = header;
  const whole = await bytes.at(position, frameSize(bodyLength, metaLength));
  const bodyEnd = FRAME_HEADER + bodyLength;
  const metaEnd = bodyEnd + metaLength;
  if (whole.length < metaEnd + 4 || whole.readUInt32LE(metaEnd) !== endMark(header.crc)) return 'content';
  const meta = whole.subarray(bodyEnd, metaEnd);
  if (crc32(meta, seed) !== metaCrc) return 'content';
  const end = position + frameSize(bodyLength, metaLength);
  return { position, end, sequence, body: whole.subarray(FRAME_HEADER, bodyEnd), meta };
}

/**
 * Whether damage at the end of the log is what a crash leaves behind. Segments hold zeros before they are written, so a torn
 * write leaves zeros: in a whole sector, or from some byte on. A repair that was cut short leaves them in the first byte, which
 * is not zero in a frame. A frame without any of these was written to its end and has changed since, which is corruption.
 * `position` is that of the damaged frame; nothing valid follows it.
 *
 * @internal
 */
export async function isTorn(bytes: SegmentBytes, position: number, seed: number): Promise<boolean> {
  const header = await headerAt(bytes, position, seed);
  if (header === undefined) {
    const lastNonZero = await findLastNonZero(bytes, position);
    if (lastNonZero < position + FRAME_HEADER) return true; // it tore within its header, or was never begun
    if ((await bytes.at(position, 1))[0] === 0) return true; // a repair began
    return hasZeroSector(bytes, position, position + FRAME_HEADER);
  }
  const end = position + frameSize(header.bodyLength, header.metaLength);
  const markAt = position + FRAME_HEADER + header.bodyLength + header.metaLength;
  const mark = await bytes.at(markAt, 4);
  if (mark.length < 4 || mark.includes(0)) return true; // the write did not reach its end
  return hasZeroSector(bytes, position, Math.min(end, markAt + 4));
}

/** Whether a sector's share of the range is all zeros. */
async function hasZeroSector(bytes: SegmentBytes, from: number, to: number): Promise<boolean> {
  for (let at = from; at < to;) {
    const next = Math.min(to, (Math.floor(at / SECTOR) + 1) * SECTOR);
    if ((await bytes.at(at, next - at)).every((byte) => byte === 0)) return true;
    at = next;
  }
  return false;
}

/** The place of the last byte from `position` on that is not zero; -1 without one. @internal */
export async function findLastNonZero(bytes: SegmentBytes, position: number): Promise<number> {
  let last = -1;
  for (let at = position; at < bytes.size; at += WINDOW) {
    const window = await bytes.at(at, WINDOW);
    if (window.equals(ZEROS.subarray(0, window.length))) continue;
    let i = window.length - 1;
    while (window[i] === 0) i--;
    last = at + i;
  }
  return last;
}

const ZEROS = Buffer.alloc(WINDOW);

/**
 * The place of a frame header behind `position` with a sequence of at least `sequence`; undefined without one. One flush is in
 * flight at a time, so such a header proves that everything before it had been flushed.
 *
 * @internal
 */
export async function findLaterFrame(
  bytes: SegmentBytes,
  position: number,
  sequence: number,
  seed: number,
): Promise<number | undefined> {
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(FRAME_MAGIC);
  for (let at = align(position); at < bytes.size; at += WINDOW) {
    const window = await bytes.at(at, WINDOW + FRAME_HEADER); // headers may lie across the bounds of windows
    for (let i = window.indexOf(magic); i >= 0 && i < WINDOW; i = window.indexOf(magic, i + 1)) {
      const header = decodeFrameHeader(window, i, seed);
      if (header !== undefined && header.sequence >= sequence) return at + i;
    }
  }
  return undefined;
}

/** Whether anything was ever written behind the header of a segment. @internal */
export async function isBlank(bytes: SegmentBytes): Promise<boolean> {
  return (await findLastNonZero(bytes, SEGMENT_HEADER)) < 0;
}
