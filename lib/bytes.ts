/** Writing and reading of small binary structures: varints, strings, byte strings. @internal */
import { QuorateError } from './errors.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

const nothing = new Uint8Array(0);
const nothingView = new DataView(nothing.buffer);

/** Grows as needed; `take` hands the bytes out and starts afresh. */
export class ByteWriter {
  #bytes = nothing;
  #view = nothingView;
  #length = 0;
  /** What the next buffer begins with: about what the last one held. */
  #capacity: number;

  constructor(capacity = 256) {
    this.#capacity = capacity;
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** An unsigned integer up to 2^53 - 1, 7 bits a byte. */
  varint(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest = rest > 0x7fffffff ? Math.floor(rest / 128) : rest >>> 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  string(value: string): void {
    const bytes = encoder.encode(value);
    this.varint(bytes.length);
    this.raw(bytes);
  }

  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.raw(value);
  }

  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** Overwrites four bytes written earlier. */
  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** Forgets what was written after the first `length` bytes. */
  rewind(length: number): void {
    this.#length = length;
  }

  /** The bytes so far, owned by the caller; this writer begins a new buffer. */
  take(): Uint8Array {
    const out = this.#bytes.subarray(0, this.#length);
    this.#capacity = Math.max(256, Math.min(this.#length + (this.#length >> 2), 65536));
    this.#bytes = nothing;
    this.#view = nothingView;
    this.#length = 0;
    return out;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const wanted = Math.max(this.#bytes.length * 2, this.#length + more, this.#capacity);
    // Not zeroed: what was not written is never handed out.
    const grown = new Uint8Array(Buffer.allocUnsafeSlow(wanted).buffer);
    if (this.#length > 0) grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Reads what {@link ByteWriter} wrote; throws ERR_CODEC where the bytes end too early or make no sense. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    this.#need(1);
    return this.#bytes[this.#at++]!;
  }

  u32(): number {
    this.#need(4);
    const value = this.#view.getUint32(this.#at, true);
    this.#at += 4;
    return value;
  }

  f64(): number {
    this.#need(8);
    const value = this.#view.getFloat64(this.#at, true);
    this.#at += 8;
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 128;
    }
    throw new QuorateError('ERR_CODEC', `an integer at byte ${this.#at} is above 2^53 - 1`);
  }

  string(maxBytes = 65536): string {
    const bytes = this.bytes(maxBytes);
    try {
      return decoder.decode(bytes);
    } catch (cause) {
      throw new QuorateError('ERR_CODEC', `a string at byte ${this.#at} is not UTF-8`, { cause });
    }
  }

  /** A view, not a copy. */
  bytes(maxBytes = Number.MAX_SAFE_INTEGER): Uint8Array {
    const length = this.varint();
    if (length > maxBytes)
      throw new QuorateError('ERR_CODEC', `a field has ${length} bytes, above its cap of ${maxBytes}`);
    return this.raw(length);
  }

  skip(length: number): void {
    this.#need(length);
    this.#at += length;
  }

  /** A view, not a copy. */
  raw(length: number): Uint8Array {
    this.#need(length);
    const out = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return out;
  }

  #need(length: number): void {
    if (this.#at + length > this.#bytes.length) {
      throw new QuorateError(
        'ERR_CODEC',
        `the bytes end at ${this.#bytes.length}, ${length} more were due at ${this.#at}`,
      );
    }
  }
}
