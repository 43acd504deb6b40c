/** How commands, results, queries and states become bytes. */
// The build without eval and without the native addon: members decode alike whether or not the addon runs on their
// platform, and extensions that an app adds to its own `cbor-x` do not reach this one.
import { Decoder, Encoder } from 'cbor-x/index-no-eval';
import type { ByteWriter } from '../bytes.js';
import { checkNumber, QuorateError } from '../errors.js';
import { checkBytes } from './cbor/check.js';
import { detach } from './detach.js';

const OPTIONS = {
  useRecords: false, // no structures that one value defines and the next one uses
  mapsAsObjects: true, // a Map has a tag of its own
  variableMapSize: true, // the shortest heads
  tagUint8Array: false, // byte strings are Uint8Arrays without saying so
  copyBuffers: true, // byte strings do not alias the log
};
/** The working memory of cbor-x begins at this size, and goes back to it after a value that needed much more. */
const INITIAL_BYTES = 16_384;
const KEPT_BYTES = 1_048_576;
/** Up to here a copy into memory that cbor-x already has a view of is quicker than a view of the original. */
const SCRATCH_BYTES = 4096;

/**
 * Its RESET_BUFFER_MODE: the next value goes where this one is. Not `useBuffer` again and again, which would do so
 * to the values of others who use this build of cbor-x.
 */
const RESET = 1024;

/** What the types of cbor-x leave out. */
type Encoding = Encoder & {
  encode(value: unknown, mode: number): Uint8Array;
  useBuffer(buffer: Uint8Array): void;
};
type Decoding = Decoder & { decode(source: Uint8Array, end?: number): unknown };

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
 * The codec that is used unless another is given: CBOR (RFC 8949, with the tags 1, 2, 3, 258, 259 and those of
 * RFC 8746 for typed arrays), by the library cbor-x.
 *
 * What comes back as it was: strings, numbers (but `-0` as 0), bigints up to 4,096 bytes, booleans, `null`,
 * `undefined`, arrays (holes become `undefined`), objects in the order of their properties, Map, Set, Date,
 * Uint8Array and the other typed arrays. A Buffer comes back as Uint8Array, an instance of a class as a plain
 * object of its own enumerable properties; properties named by symbols are left out. A value that is referred to
 * twice comes back as two. What comes back shares no memory with the bytes.
 *
 * @throws {@link QuorateError} `ERR_CODEC` from `encode`, naming the place, for
 *
 * - functions, symbols, promises, errors, regular expressions, ArrayBuffers and the like;
 * - values that contain themselves, and those nested more than 256 deep;
 * - strings, also as names of properties, that contain half a surrogate pair (UTF-8 cannot hold it) or begin with a
 *   byte order mark U+FEFF (cbor-x would drop it), and properties called `__proto__`;
 * - dates more than 2^51 ms (71,000 years) from 1970, bigints of more than 4,096 bytes;
 *
 * and from `decode` for bytes that are not what `encode` makes. `ERR_TOO_LARGE` from `encode` above `maxBytes`.
 * `ERR_CONFIG` for options out of range.
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
  readonly #maxBytes: number;
  readonly #encoder = new Encoder(OPTIONS) as Encoding;
  // Not the encoder's own `decode`: that one would keep record definitions found in the bytes.
  readonly #decoder = new Decoder(OPTIONS) as Decoding;
  readonly #scratch = new Uint8Array(SCRATCH_BYTES);

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  encode(value: unknown): Uint8Array {
    return new Uint8Array(this.#encode(value)); // a copy: cbor-x goes on writing to the memory it hands out
  }

  encodeInto(writer: ByteWriter, value: unknown): void {
    writer.raw(this.#encode(value));
  }

  decode(bytes: Uint8Array): unknown {
    return this.decodeRange(bytes, 0, bytes.length);
  }

  decodeRange(bytes: Uint8Array, from: number, to: number): unknown {
    checkBytes(bytes, from, to);
    const length = to - from;
    // A plain view also where `bytes` is a Buffer: parts of that would come out as Buffers.
    const view = new Uint8Array(bytes.buffer, bytes.byteOffset + from, length);
    try {
      if (length > SCRATCH_BYTES) return this.#decoder.decode(view);
      this.#scratch.set(view);
      return this.#decoder.decode(this.#scratch, length);
    } catch (cause) {
      // Only where the stack or the memory is at its end; the message is the same on every member all the same.
      throw new QuorateError('ERR_CODEC', 'cannot decode the bytes: cbor-x does not take them', { cause });
    }
  }

  /** The bytes in the working memory of cbor-x. A copy is encoded, so no getter runs and nothing is there it cannot take. */
  #encode(value: unknown): Uint8Array {
    const plain = detach(value);
    let bytes: Uint8Array;
    try {
      bytes = this.#encoder.encode(plain, RESET);
    } catch (cause) {
      this.#release();
      throw this.#tooLarge(cause); // out of memory, or above the 4 GiB of cbor-x
    }
    if (bytes.buffer.byteLength > KEPT_BYTES) this.#release();
    if (bytes.length > this.#maxBytes) throw this.#tooLarge();
    return bytes;
  }

  #release(): void {
    this.#encoder.useBuffer(Buffer.allocUnsafeSlow(INITIAL_BYTES));
  }

  #tooLarge(cause?: unknown): QuorateError {
    return new QuorateError('ERR_TOO_LARGE', `a value has more than ${this.#maxBytes} bytes when encoded`, {
      cause,
    });
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
