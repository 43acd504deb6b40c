/** What kinds of values the codec carries. @internal */
import { types } from 'node:util';

/** How deeply values may nest. A fixed figure, since the depth of a member's stack must not decide what it can apply. */
export const MAX_DEPTH = 256;
/** cbor-x needs quadratic time for bigints: some milliseconds for one of this size. */
export const MAX_BIGINT_BYTES = 4096;

/** How the codec sees an object. */
export type Kind = 'object' | 'array' | 'map' | 'set' | 'date' | 'typed' | 'unsupported';

/** The typed arrays that RFC 8746 has a tag for, without Uint8Array, which goes as a byte string. */
export const typedArrays = [
  { tag: 68, type: Uint8ClampedArray },
  { tag: 69, type: Uint16Array },
  { tag: 70, type: Uint32Array },
  { tag: 71, type: BigUint64Array },
  { tag: 72, type: Int8Array },
  { tag: 77, type: Int16Array },
  { tag: 78, type: Int32Array },
  { tag: 79, type: BigInt64Array },
  { tag: 85, type: Float32Array },
  { tag: 86, type: Float64Array },
] as const;

type TypedArrayConstructor = new (from: NodeJS.TypedArray) => NodeJS.TypedArray;

const typeOfName = new Map<string, TypedArrayConstructor>([['Uint8Array', Uint8Array]]);
for (const { type } of typedArrays) typeOfName.set(type.name, type);

/** What an object calls itself, such as `Promise`. */
export const nameOf = (value: object): string => Object.prototype.toString.call(value).slice(8, -1);

/** Every rule about kinds of objects in one place: {@link detach} and comparison must agree. */
export function kindOf(value: object): Kind {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return 'object';
  if (Array.isArray(value)) return 'array';
  if (types.isTypedArray(value)) return typeOfName.has(value[Symbol.toStringTag]) ? 'typed' : 'unsupported';
  if (types.isMap(value)) return 'map';
  if (types.isSet(value)) return 'set';
  if (types.isDate(value)) return 'date';
  // Instances of classes count by their own enumerable properties. Promises, errors, buffers, iterators and
  // the like would turn into `{}` that way, which hides a mistake, such as a missing await.
  return nameOf(value) === 'Object' ? 'object' : 'unsupported';
}

/** A typed array of the same type and content, with memory of its own; a Buffer gives a Uint8Array. */
export function copyTyped(value: NodeJS.TypedArray): NodeJS.TypedArray {
  // Not `slice`: that of a Buffer shares its memory, that of a subclass makes another of its kind.
  return new (typeOfName.get(value[Symbol.toStringTag])!)(value);
}
