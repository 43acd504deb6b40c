/** How commands, results, queries and states become bytes. */
import type { ByteWriter } from '../bytes.js';
import { checkNumber } from '../errors.js';
import { CborDecoder } from './cbor/decoder.js';
import { CborEncoder } from './cbor/encoder.js';

/**
 * Turns values into bytes and back. All members of a group must use the same.
 *
 * `decode(encode(value))` must give an equal value, on every member the same, that shares no memory with the
 * bytes. Both throw for what they cannot handle, and keep nothing of what they are given.
 */
export interface Codec {
  /** The bytes of a value; the caller owns them. */
  encode(value: unknown): Uint8Array;
  /** The value that exactly these bytes hold. */
  decode(bytes: Uint8Array): unknown;
}

/** A {@link Codec} that also works within larger buffers, as batches of small commands need it. @internal */
export interface BatchCodec extends Codec {
  /** Appends the bytes of a value, without their length. */
  encodeInto(writer: ByteWriter, value: unknown): void;
  /** The value in the bytes from `from` (inclusive) to `to` (exclusive). */
  decodeRange(bytes: Uint8Array, from: number, to: number): unknown;
}

/** Options of {@link cbor}. */
export interface CborOptions {
  /**
   * The most bytes that one value may have when encoded; from 1 to 2^31 - 1.
   *
   * @defaultValue 1 GiB
   */
  readonly maxBytes?: number;
}

/**
 * The codec that is used unless another is given: CBOR (RFC 8949, with the tags 1, 2, 3, 258, 259, 273 and
 * those of RFC 8746).
 *
 * What comes back as it was: strings (with lone surrogates too), numbers (with `-0` and `NaN`), bigints,
 * booleans, `null`, `undefined`, arrays (holes become `undefined`), objects in the order of their properties
 * (also one called `__proto__`), Map, Set, Date, Uint8Array and the other typed arrays. A Buffer comes back
 * as Uint8Array, an instance of a class as a plain object of its own enumerable properties. A value that is
 * referred to twice comes back as two.
 *
 * @throws {@link QuorateError} `ERR_CODEC` from `encode` for functions, symbols, promises, errors, regular
 * expressions, ArrayBuffers and the like, for values that contain themselves and those nested more than 256
 * deep, naming the place; and from `decode` for bytes that are not what `encode` makes. `ERR_TOO_LARGE` above
 * `maxBytes`. `ERR_CONFIG` for options out of range.
 *
 * @example
 * ```ts
 * const codec = cbor();
 * codec.decode(codec.encode({ at: new Date(), tags: new Set(['a']) }));
 * ```
 */
export function cbor(options: CborOptions = {}): Codec {
  return new Cbor(checkNumber('cbor.maxBytes', options.maxBytes ?? 2 ** 30, 1, 2 ** 31 - 1));
}

/** The codec itself if it can work within larger buffers; otherwise with that ability added. @internal */
export function batchCodec(codec: Codec): BatchCodec {
  return isBatchCodec(codec) ? codec : new Adapted(codec);
}

function isBatchCodec(codec: Codec): codec is BatchCodec {
  return 'encodeInto' in codec && 'decodeRange' in codec;
}

class Cbor implements BatchCodec {
  readonly #encoder: CborEncoder;
  readonly #decoder = new CborDecoder();

  constructor(maxBytes: number) {
    this.#encoder = new CborEncoder(maxBytes);
  }

  encode(value: unknown): Uint8Array {
    return this.#encoder.encode(value);
  }

  encodeInto(writer: ByteWriter, value: unknown): void {
    this.#encoder.encodeInto(writer, value);
  }

  decode(bytes: Uint8Array): unknown {
    return this.#decoder.decode(bytes, 0, bytes.length);
  }

  decodeRange(bytes: Uint8Array, from: number, to: number): unknown {
    return this.#decoder.decode(bytes, from, to);
  }
}

class Adapted implements BatchCodec {
  readonly #codec: Codec;

  constructor(codec: Codec) {
    this.#codec = codec;
  }

  encode(value: unknown): Uint8Array {
    return this.#codec.encode(value);
  }

  encodeInto(writer: ByteWriter, value: unknown): void {
    writer.raw(this.#codec.encode(value));
  }

  decode(bytes: Uint8Array): unknown {
    return this.#codec.decode(bytes);
  }

  decodeRange(bytes: Uint8Array, from: number, to: number): unknown {
    return this.#codec.decode(bytes.subarray(from, to));
  }
}
