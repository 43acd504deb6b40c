/** Values to CBOR (RFC 8949). @internal */
import type { ByteWriter } from '../../bytes.js';
import { QuorateError } from '../../errors.js';
import {
  TAG_BIG_NEGATIVE,
  TAG_BIG_POSITIVE,
  TAG_DATE,
  TAG_MAP,
  TAG_SET,
  TAG_WTF8,
  typedArrayTags,
} from './tags.js';
import { kindOf, MAX_DEPTH, Unencodable, unencodable } from './values.js';

const INITIAL_BYTES = 16_384;
/** A scratch buffer that grew beyond this is given back after the value that needed it. */
const KEPT_BYTES = 1_048_576;
/** Up to here a loop over the characters beats a call into native code. */
const SHORT_STRING = 40;
const MAX_UINT64 = (1n << 64n) - 1n;

const tagOfType = new Map<string, number>(
  typedArrayTags.filter(([name]) => name !== 'Uint8Array').map(([name, tag]) => [name, tag]),
);

/** Encodes into a scratch buffer that it keeps, so a value costs one allocation of its exact size, or none. */
export class CborEncoder {
  readonly #maxBytes: number;
  #bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #depth = 0;
  #busy = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The bytes, owned by the caller: they share memory with nothing. */
  encode(value: unknown): Uint8Array {
    if (this.#busy) return new CborEncoder(this.#maxBytes).encode(value); // a getter that encodes something itself
    this.#run(value);
    const out = new Uint8Array(this.#at);
    if (this.#at < 64) for (let i = 0; i < out.length; i++) out[i] = this.#bytes[i]!;
    else out.set(this.#bytes.subarray(0, this.#at));
    this.#release();
    return out;
  }

  /** Appends the bytes to a writer, without a length. */
  encodeInto(writer: ByteWriter, value: unknown): void {
    if (this.#busy) {
      writer.raw(new CborEncoder(this.#maxBytes).encode(value));
      return;
    }
    this.#run(value);
    writer.raw(this.#bytes.subarray(0, this.#at));
    this.#release();
  }

  #run(value: unknown): void {
    this.#at = 0;
    this.#depth = 0;
    this.#busy = true;
    try {
      this.#value(value);
      if (this.#at > this.#maxBytes) this.#tooLarge();
    } catch (error) {
      this.#release();
      throw error instanceof Unencodable ? unencodable(value) : error;
    } finally {
      this.#busy = false;
    }
  }

  #release(): void {
    if (this.#bytes.length <= KEPT_BYTES) return;
    this.#bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
  }

  #reserve(more: number): void {
    if (this.#at + more > this.#bytes.length) this.#grow(more);
  }

  #grow(more: number): void {
    const needed = this.#at + more;
    if (this.#at > this.#maxBytes) this.#tooLarge();
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  #tooLarge(): never {
    throw new QuorateError('ERR_TOO_LARGE', `a value has more than ${this.#maxBytes} bytes when encoded`);
  }

  #value(value: unknown): void {
    switch (typeof value) {
      case 'string': {
        this.#string(value);
        return;
      }
      case 'number': {
        this.#number(value);
        return;
      }
      case 'boolean': {
        this.#byte(value ? 0xf5 : 0xf4);
        return;
      }
      case 'undefined': {
        this.#byte(0xf7);
        return;
      }
      case 'bigint': {
        this.#bigint(value);
        return;
      }
      case 'object':
        if (value === null) {
          this.#byte(0xf6);
          return;
        }
        if (++this.#depth > MAX_DEPTH) throw new Unencodable();
        this.#object(value);
        this.#depth--;
        return;
      default:
        throw new Unencodable();
    }
  }

  #byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = byte;
  }

  /** A major type and its argument, in the shortest form. */
  #head(major: number, argument: number): void {
    this.#reserve(9);
    if (argument < 24) {
      this.#bytes[this.#at++] = major | argument;
    } else if (argument < 0x100) {
      this.#bytes[this.#at++] = major | 24;
      this.#bytes[this.#at++] = argument;
    } else if (argument < 0x10000) {
      this.#bytes[this.#at++] = major | 25;
      this.#bytes[this.#at++] = argument >> 8;
      this.#bytes[this.#at++] = argument & 0xff;
    } else if (argument < 0x1_0000_0000) {
      this.#bytes[this.#at++] = major | 26;
      this.#view.setUint32(this.#at, argument);
      this.#at += 4;
    } else {
      this.#tooLarge();
    }
  }

  #number(value: number): void {
    // Integers beyond 32 bits go as floats, which hold them exactly; 64-bit integers stand for bigints.
    if (value >>> 0 === value && !Object.is(value, -0)) {
      this.#head(0x00, value);
      return;
    }
    if (value < 0 && value >= -0x1_0000_0000 && Math.floor(value) === value) {
      this.#head(0x20, -1 - value);
      return;
    }
    this.#reserve(9);
    this.#bytes[this.#at++] = 0xfb;
    // One bit pattern for all NaNs: engines keep payloads at their whim, and equal states need equal bytes.
    if (value !== value) this.#view.setBigUint64(this.#at, 0x7ff8000000000000n);
    else this.#view.setFloat64(this.#at, value);
    this.#at += 8;
  }

  #bigint(value: bigint): void {
    const negative = value < 0n;
    const rest = negative ? -1n - value : value;
    this.#reserve(9);
    if (rest <= MAX_UINT64) {
      this.#bytes[this.#at++] = negative ? 0x3b : 0x1b;
      this.#view.setBigUint64(this.#at, rest);
      this.#at += 8;
      return;
    }
    const digits = rest.toString(16);
    this.#bytes[this.#at++] = 0xc0 | (negative ? TAG_BIG_NEGATIVE : TAG_BIG_POSITIVE);
    this.#byteString(Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex'));
  }

  #string(value: string): void {
    const length = value.length;
    if (length > SHORT_STRING) {
      this.#longString(value);
      return;
    }
    this.#reserve(2 + length);
    const bytes = this.#bytes;
    const start = this.#at;
    let at = start;
    if (length < 24) {
      bytes[at++] = 0x60 | length;
    } else {
      bytes[at++] = 0x78;
      bytes[at++] = length;
    }
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) {
        this.#longString(value);
        return;
      }
      bytes[at++] = unit;
    }
    this.#at = at;
  }

  #longString(value: string): void {
    const length = value.length < 16_384 ? value.length * 3 : Buffer.byteLength(value, 'utf8');
    if (value.length > this.#maxBytes) this.#tooLarge();
    this.#reserve(9 + length);
    // Room is left for the head of a string of one byte a character; the guess is mended when it was wrong.
    const start = this.#at;
    const guess = headLength(value.length);
    const written = this.#bytes.write(value, start + guess);
    if (written !== value.length && !isWellFormed(value)) {
      this.#wtf8(value);
      return;
    }
    const head = headLength(written);
    if (head !== guess) this.#bytes.copyWithin(start + head, start + guess, start + guess + written);
    this.#head(0x60, written);
    this.#at += written;
  }

  /** A string that UTF-8 cannot hold, since surrogates stand alone in it. Rare, and must come back as it was. */
  #wtf8(value: string): void {
    const out: number[] = [];
    for (const character of value) {
      const code = character.codePointAt(0)!;
      if (code >= 0xd800 && code < 0xe000) out.push(0xed, 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
      else for (const byte of Buffer.from(character, 'utf8')) out.push(byte);
    }
    this.#head(0xc0, TAG_WTF8);
    this.#byteString(Uint8Array.from(out));
  }

  #byteString(value: Uint8Array): void {
    if (value.length > this.#maxBytes) this.#tooLarge(); // before there is room for it
    this.#head(0x40, value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  #object(value: object): void {
    switch (kindOf(value)) {
      case 'object': {
        const keys = Object.keys(value);
        this.#head(0xa0, keys.length);
        for (let i = 0; i < keys.length; i++) {
          const key = keys[i]!;
          this.#string(key);
          this.#value((value as Record<string, unknown>)[key]);
        }
        return;
      }
      case 'array': {
        const array = value as unknown[];
        this.#head(0x80, array.length);
        for (let i = 0; i < array.length; i++) this.#value(array[i]);
        return;
      }
      case 'map':
        this.#head(0xc0, TAG_MAP);
        this.#head(0xa0, (value as Map<unknown, unknown>).size);
        for (const [key, child] of value as Map<unknown, unknown>) {
          this.#value(key);
          this.#value(child);
        }
        return;
      case 'set':
        this.#head(0xc0, TAG_SET);
        this.#head(0x80, (value as Set<unknown>).size);
        for (const child of value as Set<unknown>) this.#value(child);
        return;
      case 'date': {
        this.#date(value as Date);
        return;
      }
      case 'typed': {
        this.#typed(value as Uint8Array);
        return;
      }
      case 'unsupported':
        throw new Unencodable();
    }
  }

  #date(value: Date): void {
    this.#head(0xc0, TAG_DATE);
    this.#number(value.getTime() / 1000);
  }

  #typed(value: NodeJS.TypedArray): void {
    const tag = tagOfType.get(value[Symbol.toStringTag]);
    if (tag !== undefined) this.#head(0xc0, tag);
    this.#byteString(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }
}

function headLength(argument: number): number {
  return argument < 24 ? 1 : argument < 0x100 ? 2 : argument < 0x10000 ? 3 : 5;
}

function isWellFormed(value: string): boolean {
  return (value as string & { isWellFormed(): boolean }).isWellFormed(); // ES2024, in Node since 20
}
