/** Copies that share nothing: what a state machine answers must not let anybody reach into its state. */
import { kindOf, MAX_DEPTH, setProperty, Unencodable, unencodable } from './cbor/values.js';

/**
 * A copy that shares no mutable structure with `value`: what `decode(encode(value))` of {@link cbor} gives,
 * without the detour over bytes. Throws ERR_CODEC for what the codec cannot carry.
 *
 * @internal
 */
export function detach(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) {
    try {
      return copy(value, 1);
    } catch (error) {
      throw error instanceof Unencodable ? unencodable(value) : error;
    }
  }
  if (typeof value === 'function' || typeof value === 'symbol') throw unencodable(value);
  return value;
}

function copyAny(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'object':
      return value === null ? null : copy(value, depth);
    case 'function':
    case 'symbol':
      throw new Unencodable();
    default:
      return value;
  }
}

function copy(value: object, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new Unencodable();
  switch (kindOf(value)) {
    case 'object':
      return copyObject(value as Record<string, unknown>, depth);
    case 'array': {
      const array = value as unknown[];
      const out: unknown[] = [];
      for (let i = 0; i < array.length; i++) out.push(copyAny(array[i], depth + 1));
      return out;
    }
    case 'map': {
      const out = new Map<unknown, unknown>();
      for (const [key, child] of value as Map<unknown, unknown>) {
        out.set(copyAny(key, depth + 1), copyAny(child, depth + 1));
      }
      return out;
    }
    case 'set': {
      const out = new Set<unknown>();
      for (const child of value as Set<unknown>) out.add(copyAny(child, depth + 1));
      return out;
    }
    case 'date':
      return new Date((value as Date).getTime());
    case 'typed':
      // A Buffer's own `slice` would share its memory.
      return value instanceof Uint8Array ? new Uint8Array(value) : (value as Float64Array).slice();
    case 'unsupported':
      throw new Unencodable();
  }
}

function copyObject(value: Record<string, unknown>, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  const keys = Object.keys(value);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    setProperty(out, key, copyAny(value[key], depth + 1));
  }
  return out;
}
