/** The CBOR tags in use (IANA registry). @internal */

export const TAG_DATE = 1; // RFC 8949 §3.4.2, seconds since 1970
export const TAG_BIG_POSITIVE = 2; // RFC 8949 §3.4.3
export const TAG_BIG_NEGATIVE = 3;
export const TAG_SET = 258; // a mathematical finite set
export const TAG_WTF8 = 273; // a string with surrogates that stand alone, as WTF-8
export const TAG_MAP = 259; // a Map, told apart from an object

type TypedArrayConstructor = new (buffer: ArrayBuffer) => ArrayBufferView;

/** RFC 8746, in the little-endian forms: all platforms that this library runs on are little-endian. */
export const typedArrayTags: readonly (readonly [string, number, TypedArrayConstructor])[] = [
  ['Uint8Array', 64, Uint8Array],
  ['Uint8ClampedArray', 68, Uint8ClampedArray],
  ['Uint16Array', 69, Uint16Array],
  ['Uint32Array', 70, Uint32Array],
  ['BigUint64Array', 71, BigUint64Array],
  ['Int8Array', 72, Int8Array],
  ['Int16Array', 77, Int16Array],
  ['Int32Array', 78, Int32Array],
  ['BigInt64Array', 79, BigInt64Array],
  ['Float32Array', 85, Float32Array],
  ['Float64Array', 86, Float64Array],
];
