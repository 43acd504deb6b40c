/**
 * The file of a snapshot: chunks of 64 KiB, each followed by its CRC, then what the snapshot says of itself, then where that
 * is. The CRCs start from the storage's incarnation, so that a file of another storage does not pass.
 */
import { crc32 } from '../../crc.js';
import { ByteReader, ByteWriter } from '../../bytes.js';
import type { SnapshotMeta } from '../../consensus/consensus.js';
import { QuorateError } from '../../errors.js';
import type { FileHandle } from '../../files.js';
import { decodeSnapshotMeta, encodeSnapshotMeta } from '../stateCodec.js';
import { FORMAT_VERSION } from './format.js';
import { corrupt, syncFile, writeFully } from './io.js';

const CHUNK = 65536;
const STRIDE = CHUNK + 4;
const MAGIC = 0x50414e53; // 'SNAP'
const TAIL = 32;
const MAX_META = 8 << 20;
/** Flushed as it grows, so that the flush at the end does not hold up the log's. */
const FLUSH_EVERY = 4 << 20;

/** @internal */
export interface SnapshotInfo {
  readonly group: string;
  readonly meta: SnapshotMeta;
  /** Bytes of content. */
  readonly size: number;
}

/** Appends content, then the end. @internal */
export class SnapshotFileWriter {
  readonly #handle: FileHandle;
  readonly #seed: number;
  readonly #partial = Buffer.allocUnsafeSlow(CHUNK);
  #filled = 0;
  #position = 0;
  #chunks = 0;
  #size = 0;
  #unflushed = 0;

  constructor(handle: FileHandle, seed: number) {
    this.#handle = handle;
    this.#seed = seed;
  }

  get size(): number {
    return this.#size;
  }

  async write(content: Uint8Array): Promise<void> {
    for (let at = 0; at < content.length;) {
      const part = content.subarray(at, at + CHUNK - this.#filled);
      at += part.length;
      this.#size += part.length;
      if (part.length === CHUNK) {
        await this.#put(part);
        continue;
      }
      this.#partial.set(part, this.#filled);
      this.#filled += part.length;
      if (this.#filled === CHUNK) await this.#putPartial();
    }
  }

  /** Writes the rest and the end; what is left to do is to flush. */
  async finish(group: string, meta: SnapshotMeta): Promise<void> {
    if (this.#filled > 0) await this.#putPartial();
    const writer = new ByteWriter();
    writer.string(group);
    encodeSnapshotMeta(writer, meta);
    const info = writer.take();
    const tail = Buffer.alloc(TAIL);
    tail.writeUInt32LE(MAGIC, 0);
    tail.writeUInt32LE(FORMAT_VERSION, 4);
    tail.writeDoubleLE(this.#size, 8);
    tail.writeUInt32LE(info.length, 16);
    tail.writeUInt32LE(crc32(info, this.#seed), 20);
    tail.writeUInt32LE(crc32(tail.subarray(0, 28), this.#seed), 28);
    await writeFully(this.#handle, [info, tail], this.#position);
  }

  async #putPartial(): Promise<void> {
    await this.#put(this.#partial.subarray(0, this.#filled));
    this.#filled = 0;
  }

  async #put(chunk: Uint8Array): Promise<void> {
    const crc = Buffer.alloc(4);
    crc.writeUInt32LE(chunkCrc(chunk, this.#seed, this.#chunks++));
    await writeFully(this.#handle, [chunk, crc], this.#position);
    this.#position += chunk.length + 4;
    this.#unflushed += chunk.length;
    if (this.#unflushed < FLUSH_EVERY) return;
    await syncFile(this.#handle);
    this.#unflushed = 0;
  }
}

/** What a snapshot file says of itself; throws ERR_STORAGE_CORRUPT. @internal */
export async function readSnapshotInfo(
  handle: FileHandle,
  path: string,
  seed: number,
): Promise<SnapshotInfo> {
  const fileSize = await handle.size();
  const at = Math.max(0, fileSize - TAIL);
  const tail = Buffer.from(await handle.read(at, TAIL));
  if (
    tail.length < TAIL ||
    tail.readUInt32LE(0) !== MAGIC ||
    tail.readUInt32LE(28) !== crc32(tail.subarray(0, 28), seed)
  ) {
    throw corrupt(path, at, 'the end of a snapshot is missing');
  }
  const version = tail.readUInt32LE(4);
  if (version !== FORMAT_VERSION) {
    throw new QuorateError(
      'ERR_STORAGE_VERSION',
      `${path} has format ${version}; this version reads format ${FORMAT_VERSION}`,
    );
  }
  const size = tail.readDoubleLE(8);
  const infoLength = tail.readUInt32LE(16);
  const infoAt = size + 4 * Math.ceil(size / CHUNK);
  if (infoLength > MAX_META || infoAt + infoLength !== at)
    throw corrupt(path, at, `a snapshot of ${fileSize} bytes should not be`);
  const info = await handle.read(infoAt, infoLength);
  if (crc32(info, seed) !== tail.readUInt32LE(20))
    throw corrupt(path, infoAt, 'the metadata of a snapshot fail their check');
  try {
    const reader = new ByteReader(info);
    return { group: reader.string(128), meta: decodeSnapshotMeta(reader), size };
  } catch (cause) {
    throw corrupt(path, infoAt, 'the metadata of a snapshot do not decode', cause);
  }
}

/** Content from `offset`, checked chunk by chunk; throws ERR_STORAGE_CORRUPT. @internal */
export async function readSnapshot(
  handle: FileHandle,
  path: string,
  seed: number,
  size: number,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const end = Math.min(size, offset + length);
  if (offset >= end) return new Uint8Array(0);
  const first = Math.floor(offset / CHUNK);
  const last = Math.floor((end - 1) / CHUNK);
  const chunksEnd = Math.min(size, (last + 1) * CHUNK);
  const raw = await handle.read(first * STRIDE, chunksEnd - first * CHUNK + 4 * (last - first + 1));
  const view = Buffer.from(raw.buffer, raw.byteOffset, raw.length);
  const out = new Uint8Array(end - offset);
  for (let i = first; i <= last; i++) {
    const chunkLength = Math.min(CHUNK, size - i * CHUNK);
    const at = (i - first) * STRIDE;
    const chunk = raw.subarray(at, at + chunkLength);
    if (
      chunk.length < chunkLength ||
      at + chunkLength + 4 > raw.length ||
      chunkCrc(chunk, seed, i) !== view.readUInt32LE(at + chunkLength)
    ) {
      throw corrupt(path, i * STRIDE, 'a chunk of a snapshot fails its check');
    }
    const from = Math.max(0, offset - i * CHUNK);
    const part = chunk.subarray(from, Math.min(chunkLength, end - i * CHUNK));
    out.set(part, i * CHUNK + from - offset);
  }
  return out;
}

/** Differs by the place of the chunk, so that chunks that changed places do not pass. */
function chunkCrc(chunk: Uint8Array, seed: number, number: number): number {
  return crc32(chunk, (seed + number) >>> 0);
}
