/** Gathers the pieces of a frame: small fields are copied into chunks that are used again, large ones are taken as they are. */
import { crc32 } from '../../crc.js';
import type { ByteSink } from '../entryCodec.js';

/** From this size on a field is not copied. @internal */
export const LARGE_FIELD = 8192;

const CHUNK = 65536;
const MAX_POOLED = 32;

/** Chunks that are free. @internal */
export class ChunkPool {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(CHUNK);
  }

  give(chunks: readonly Buffer[]): void {
    for (const chunk of chunks) if (this.#free.length < MAX_POOLED) this.#free.push(chunk);
  }
}

/** @internal */
export class GatherWriter implements ByteSink {
  readonly #pool: ChunkPool;
  readonly #pieces: Uint8Array[] = [];
  readonly #chunks: Buffer[] = [];
  #chunk: Buffer;
  /** Where the current piece begins in the current chunk. */
  #begin = 0;
  #at = 0;
  /** Bytes in `#pieces`. */
  #before = 0;
  #slot: Buffer;
  #slotAt = 0;
  #checkedPieces = 0;
  #checkedFrom = 0;

  constructor(pool: ChunkPool) {
    this.#pool = pool;
    this.#chunk = pool.take();
    this.#chunks.push(this.#chunk);
    this.#slot = this.#chunk;
  }

  get length(): number {
    return this.#before + this.#at - this.#begin;
  }

  /** The first chunk; a frame's header is written into it at last. */
  get head(): Buffer {
    return this.#chunks[0]!;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#chunk[this.#at++] = value;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#at = this.#chunk.writeUInt32LE(value, this.#at);
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#at = this.#chunk.writeDoubleLE(value, this.#at);
  }

  varint(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest > 0x7f) {
      this.#chunk[this.#at++] = (rest & 0x7f) | 0x80;
      rest = rest > 0x7fffffff ? Math.floor(rest / 128) : rest >>> 7;
    }
    this.#chunk[this.#at++] = rest;
  }

  string(value: string): void {
    const length = Buffer.byteLength(value);
    this.varint(length);
    if (length > CHUNK) {
      this.raw(Buffer.from(value));
      return;
    }
    this.#reserve(length);
    this.#at += this.#chunk.write(value, this.#at);
  }

  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.raw(value);
  }

  raw(value: Uint8Array): void {
    if (value.length >= LARGE_FIELD) {
      this.#cut();
      this.#pieces.push(value);
      this.#before += value.length;
      return;
    }
    this.#reserve(value.length);
    this.#chunk.set(value, this.#at);
    this.#at += value.length;
  }

  zeros(count: number): void {
    this.#reserve(count);
    this.#chunk.fill(0, this.#at, this.#at + count);
    this.#at += count;
  }

  /** Leaves room for the CRC of what is written up to {@link endChecked}. */
  beginChecked(): void {
    this.#reserve(4);
    this.#slot = this.#chunk;
    this.#slotAt = this.#at;
    this.#at += 4;
    this.#checkedPieces = this.#pieces.length;
    this.#checkedFrom = this.#at - this.#begin; // into the piece that is being written
  }

  endChecked(seed: number): void {
    const pieces = this.#checkedPieces;
    let crc = seed;
    for (let i = pieces; i < this.#pieces.length; i++) {
      const piece = this.#pieces[i]!;
      crc = crc32(i === pieces ? piece.subarray(this.#checkedFrom) : piece, crc);
    }
    const rest = this.#begin + (this.#pieces.length === pieces ? this.#checkedFrom : 0);
    this.#slot.writeUInt32LE(crc32(this.#chunk.subarray(rest, this.#at), crc), this.#slotAt);
  }

  /** All that was written, in order. */
  finish(): readonly Uint8Array[] {
    this.#cut();
    return this.#pieces;
  }

  /** Gives the chunks back; the pieces must not be used any more. */
  release(): void {
    this.#pool.give(this.#chunks);
    this.#chunks.length = 0;
    this.#pieces.length = 0;
  }

  #reserve(count: number): void {
    if (this.#at + count <= CHUNK) return;
    this.#cut();
    this.#chunk = this.#pool.take();
    this.#chunks.push(this.#chunk);
    this.#begin = 0;
    this.#at = 0;
  }

  /** Ends the current piece. */
  #cut(): void {
    if (this.#at === this.#begin) return;
    this.#pieces.push(this.#chunk.subarray(this.#begin, this.#at));
    this.#before += this.#at - this.#begin;
    this.#begin = this.#at;
  }
}
