/** CBOR (RFC 8949) to values. Takes what the encoder writes; all else is an error. @internal */
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
import { MAX_DEPTH, setProperty } from './values.js';

/** Up to here a loop over the bytes beats a call into native code. */
const SHORT_STRING = 24;
/** Slots for names of properties, each at most {@link SHORT_STRING} characters; later ones replace earlier ones. */
const NAME_SLOTS = 512;
/** The wrapper of the last source is kept for the next, unless it would hold more memory than this. */
const KEPT_BYTES = 1_048_576;

const arrayOfTag = new Map(typedArrayTags.map(([, tag, type]) => [tag, type]));
const view = new DataView(new ArrayBuffer(8));
const NO_BYTES = Buffer.alloc(0);

/** Everything it returns is a copy: a value never holds on to the bytes it came from. */
export class CborDecoder {
  readonly #names: string[] = new Array<string>(NAME_SLOTS).fill('');
  /** The whole ArrayBuffer of the last source: the commands of one batch share it. */
  #source: Buffer = NO_BYTES;
  #at = 0;
  #end = 0;
  #depth = 0;

  /** Decodes the one value that the bytes from `from` to `to` hold. */
  decode(bytes: Uint8Array, from: number, to: number): unknown {
    if (bytes.buffer !== this.#source.buffer) {
      this.#source = Buffer.from(bytes.buffer as ArrayBuffer, 0, bytes.buffer.byteLength);
    }
    this.#at = bytes.byteOffset + from;
    this.#end = bytes.byteOffset + to;
    this.#depth = 0;
    try {
      const value = this.#value();
      if (this.#at !== this.#end) this.#fail(`${this.#end - this.#at} bytes are left over`);
      return value;
    } finally {
      if (this.#source.length > KEPT_BYTES) this.#source = NO_BYTES;
    }
  }

  #fail(why: string): never {
    throw new QuorateError('ERR_CODEC', `cannot decode the bytes: ${why}`);
  }

  /** Checks that so many bytes are there. */
  #need(length: number): void {
    if (length > this.#end - this.#at) this.#fail(`they end ${length - (this.#end - this.#at)} too early`);
  }

  #value(): unknown {
    this.#need(1);
    const head = this.#source[this.#at++]!;
    const info = head & 0x1f;
    switch (head >> 5) {
      case 0:
        return info === 27 ? this.#uint64() : this.#argument(info);
      case 1:
        return info === 27 ? -1n - this.#uint64() : -1 - this.#argument(info);
      case 2:
        return this.#bytes(this.#argument(info));
      case 3:
        return this.#string(this.#argument(info));
      case 4:
        return this.#array(this.#argument(info));
      case 5:
        return this.#object(this.#argument(info));
      case 6:
        return this.#tagged(this.#argument(info));
      default:
        return this.#simple(info);
    }
  }

  #argument(info: number): number {
    if (info < 24) return info;
    const source = this.#source;
    const at = this.#at;
    if (info === 24) {
      this.#need(1);
      this.#at += 1;
      return source[at]!;
    }
    if (info === 25) {
      this.#need(2);
      this.#at += 2;
      return (source[at]! << 8) | source[at + 1]!;
    }
    if (info === 26) {
      this.#need(4);
      this.#at += 4;
      return source[at]! * 0x1000000 + ((source[at + 1]! << 16) | (source[at + 2]! << 8) | source[at + 3]!);
    }
    return this.#fail(
      info === 31 ? 'indefinite lengths are not supported' : `length form ${info} is not supported`,
    );
  }

  #uint64(): bigint {
    this.#load64();
    return view.getBigUint64(0);
  }

  #load64(): void {
    this.#need(8);
    for (let i = 0; i < 8; i++) view.setUint8(i, this.#source[this.#at++]!);
  }

  #simple(info: number): unknown {
    switch (info) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
        return null;
      case 23:
        return undefined;
      case 27:
        this.#load64();
        return view.getFloat64(0);
      default:
        return this.#fail(`simple value or float form ${info} is not supported`);
    }
  }

  #bytes(length: number): Uint8Array {
    this.#need(length);
    const out = new Uint8Array(length);
    if (length < 64) for (let i = 0; i < length; i++) out[i] = this.#source[this.#at + i]!;
    else out.set(this.#source.subarray(this.#at, this.#at + length));
    this.#at += length;
    return out;
  }

  #string(length: number): string {
    this.#need(length);
    const source = this.#source;
    const start = this.#at;
    const end = start + length;
    if (length <= SHORT_STRING) {
      let text = '';
      let at = start;
      for (; at < end; at++) {
        const byte = source[at]!;
        if (byte > 0x7f) break;
        text += String.fromCharCode(byte);
      }
      if (at === end) {
        this.#at = end;
        return text;
      }
    }
    this.#at = end;
    return source.toString('utf8', start, end);
  }

  /** The name of a property. The same few come again and again, so they are looked up by their bytes. */
  #name(): string {
    this.#need(1);
    const length = this.#source[this.#at]! - 0x60;
    if (length < 0 || length > 23) return this.#longName();
    this.#at++;
    this.#need(length);
    if (length === 0) return '';
    const source = this.#source;
    const start = this.#at;
    const slot =
      (length * 67 +
        source[start]! * 31 +
        source[start + length - 1]! * 17 +
        source[start + (length >> 1)]!) &
      (NAME_SLOTS - 1);
    const known = this.#names[slot]!;
    if (known.length === length) {
      let i = 0;
      while (i < length && known.charCodeAt(i) === source[start + i]) i++;
      if (i === length) {
        this.#at = start + length;
        return known;
      }
    }
    const name = this.#string(length);
    if (name.length === length) this.#names[slot] = name;
    return name;
  }

  #longName(): string {
    const name = this.#value();
    return typeof name === 'string' ? name : this.#fail(`the name of a property is of type ${typeof name}`);
  }

  /** What holds other values grows by what is there, not by a claimed length: nested claims would multiply. */
  #enter(): void {
    if (++this.#depth > MAX_DEPTH) this.#fail(`they nest more than ${MAX_DEPTH} deep`);
  }

  #array(length: number): unknown[] {
    this.#enter();
    const array: unknown[] = [];
    for (let i = 0; i < length; i++) array.push(this.#value());
    this.#depth--;
    return array;
  }

  #object(length: number): Record<string, unknown> {
    this.#enter();
    const object: Record<string, unknown> = {};
    for (let i = 0; i < length; i++) {
      const name = this.#name();
      setProperty(object, name, this.#value());
    }
    this.#depth--;
    return object;
  }

  #tagged(tag: number): unknown {
    switch (tag) {
      case TAG_DATE: {
        const seconds = this.#value();
        if (typeof seconds !== 'number') return this.#fail('a date is not a number');
        // In two parts: the product of a far date would lose its milliseconds.
        const whole = Math.floor(seconds);
        return new Date(whole * 1000 + Math.round((seconds - whole) * 1000));
      }
      case TAG_BIG_POSITIVE:
        return this.#big();
      case TAG_BIG_NEGATIVE:
        return -1n - this.#big();
      case TAG_SET:
        return this.#set();
      case TAG_MAP:
        return this.#map();
      case TAG_WTF8:
        return decodeWtf8(this.#byteString());
      default: {
        const type = arrayOfTag.get(tag);
        return type === undefined ? this.#fail(`tag ${tag} is not supported`) : this.#typed(type);
      }
    }
  }

  #byteString(): Uint8Array {
    return this.#bytes(this.#length(2, 'a byte string'));
  }

  /** The length of an item that must be of this major type. */
  #length(major: number, what: string): number {
    this.#need(1);
    const head = this.#source[this.#at++]!;
    if (head >> 5 !== major) this.#fail(`${what} was due at its tag`);
    return this.#argument(head & 0x1f);
  }

  #big(): bigint {
    const bytes = this.#byteString();
    return BigInt(`0x0${Buffer.from(bytes.buffer, 0, bytes.length).toString('hex')}`);
  }

  #set(): Set<unknown> {
    const length = this.#length(4, 'an array');
    this.#enter();
    const set = new Set();
    for (let i = 0; i < length; i++) set.add(this.#value());
    this.#depth--;
    return set;
  }

  #map(): Map<unknown, unknown> {
    const length = this.#length(5, 'a map');
    this.#enter();
    const map = new Map();
    for (let i = 0; i < length; i++) {
      const key = this.#value();
      map.set(key, this.#value());
    }
    this.#depth--;
    return map;
  }

  #typed(type: (typeof typedArrayTags)[number][2]): unknown {
    const bytes = this.#byteString();
    const size = (type as unknown as { readonly BYTES_PER_ELEMENT: number }).BYTES_PER_ELEMENT;
    if (bytes.length % size !== 0) this.#fail(`${bytes.length} bytes are no array of ${size}-byte numbers`);
    return new type(bytes.buffer as ArrayBuffer);
  }
}

/** As UTF-8, but three bytes may also stand for a single surrogate. */
function decodeWtf8(bytes: Uint8Array): string {
  let text = '';
  let from = 0;
  for (let i = 0; i + 2 < bytes.length; i++) {
    if (bytes[i] !== 0xed || bytes[i + 1]! < 0xa0) continue;
    text += utf8(bytes, from, i);
    text += String.fromCharCode(0xd000 | ((bytes[i + 1]! & 0x3f) << 6) | (bytes[i + 2]! & 0x3f));
    from = i + 3;
    i += 2;
  }
  return text + utf8(bytes, from, bytes.length);
}

function utf8(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset + from, to - from).toString('utf8');
}
