/** Equality of values that the codec carries. @internal */
import { kindOf } from '../replica/cbor/values.js';

/**
 * Deep equality by content: the order of properties, of Map entries and of Set members does not count; `NaN`
 * equals itself, 0 equals -0; a property that is `undefined` differs from one that is absent. Class instances
 * are taken as the plain data they are encoded as.
 */
export function equalValues(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a !== a && b !== b;
  const kind = kindOf(a);
  if (kindOf(b) !== kind) return false;
  switch (kind) {
    case 'object':
      return equalObjects(a as Record<string, unknown>, b as Record<string, unknown>);
    case 'array':
      return equalArrays(a as unknown[], b as unknown[]);
    case 'map':
      return equalMaps(a as Map<unknown, unknown>, b as Map<unknown, unknown>);
    case 'set':
      return equalSets(a as Set<unknown>, b as Set<unknown>);
    case 'date':
      return Object.is((a as Date).getTime(), (b as Date).getTime());
    case 'typed':
      return equalTyped(a as NodeJS.TypedArray, b as NodeJS.TypedArray);
    case 'unsupported':
      return false;
  }
}

function equalObjects(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && equalValues(a[key], b[key]));
}

function equalArrays(a: unknown[], b: unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!equalValues(a[i], b[i])) return false;
  return true;
}

/** Byte for byte, so that a NaN equals itself; Buffer and Uint8Array are the same to the codec. */
function equalTyped(a: NodeJS.TypedArray, b: NodeJS.TypedArray): boolean {
  if (a[Symbol.toStringTag] !== b[Symbol.toStringTag] || a.byteLength !== b.byteLength) return false;
  const left = Buffer.from(a.buffer, a.byteOffset, a.byteLength);
  return left.equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
}

function equalMaps(a: Map<unknown, unknown>, b: Map<unknown, unknown>): boolean {
  if (a.size !== b.size) return false;
  const loose: [unknown, unknown][] = [];
  for (const [key, value] of a) {
    if (isObject(key)) loose.push([key, value]);
    else if (!b.has(key) || !equalValues(value, b.get(key))) return false;
  }
  // Keys that are objects have no identity across members: each must find a partner of its own.
  return (
    loose.length === 0 ||
    pairUp(
      loose,
      [...b].filter(([key]) => isObject(key)),
    )
  );
}

function equalSets(a: Set<unknown>, b: Set<unknown>): boolean {
  if (a.size !== b.size) return false;
  const loose: unknown[] = [];
  for (const member of a) {
    if (isObject(member)) loose.push(member);
    else if (!b.has(member)) return false;
  }
  return loose.length === 0 || pairUp(loose, [...b].filter(isObject));
}

/** Equality is transitive, so the first partner that fits is as good as any. */
function pairUp(a: unknown[], b: unknown[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((item) => {
    const found = b.findIndex((other) => equalValues(item, other));
    if (found < 0) return false;
    b.splice(found, 1);
    return true;
  });
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
