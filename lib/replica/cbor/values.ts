/** What kinds of values the codec carries, and where in a value the first one is that it cannot. @internal */
import { types } from 'node:util';
import { QuorateError } from '../../errors.js';

/** How deeply values may nest. A fixed figure, since the depth of a member's stack must not decide what it can apply. */
export const MAX_DEPTH = 256;

/** How the codec sees an object. */
export type Kind = 'object' | 'array' | 'map' | 'set' | 'date' | 'typed' | 'unsupported';

const tagOf = (value: object): string => Object.prototype.toString.call(value).slice(8, -1);

/** Thrown in the depth of a value that cannot be carried; where that was, {@link unencodable} finds out from its root. */
export class Unencodable extends Error {}

/** Every rule about objects in one place: encoder, {@link detach} and comparison must agree. */
export function kindOf(value: object): Kind {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return 'object';
  if (Array.isArray(value)) return 'array';
  if (types.isTypedArray(value)) return 'typed';
  if (types.isMap(value)) return 'map';
  if (types.isSet(value)) return 'set';
  if (types.isDate(value)) return 'date';
  // Instances of classes count by their own enumerable properties. Promises, errors, buffers, iterators and
  // the like would turn into `{}` that way, which hides a mistake, such as a missing await.
  return tagOf(value) === 'Object' ? 'object' : 'unsupported';
}

/** Sets a property of any name; an assignment to `__proto__` would change the prototype. */
export function setProperty(object: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__') {
    Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
  } else {
    object[name] = value;
  }
}

/** The error for a value that the codec cannot carry, naming the place. */
export function unencodable(root: unknown): QuorateError {
  const found = search(root, '', new Set());
  return new QuorateError('ERR_CODEC', `cannot encode ${found ?? 'the value'}`);
}

function search(value: unknown, path: string, above: Set<object>): string | undefined {
  const at = path === '' ? '' : ` at ${path}`;
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}${at}`;
  if (typeof value !== 'object' || value === null) return undefined;
  if (above.has(value)) return `a value that contains itself${at}`;
  const kind = kindOf(value);
  if (kind === 'unsupported') return `a value of type ${tagOf(value)}${at}`;
  if (above.size >= MAX_DEPTH) return `a value nested more than ${MAX_DEPTH} deep`;
  above.add(value);
  for (const [name, child] of childrenOf(value, kind)) {
    const found = search(child, path + name, above);
    if (found !== undefined) return found;
  }
  above.delete(value);
  return undefined;
}

function* childrenOf(value: object, kind: Kind): Iterable<[string, unknown]> {
  if (kind === 'array') {
    for (const [i, child] of (value as unknown[]).entries()) yield [`[${i}]`, child];
  } else if (kind === 'map') {
    let i = 0;
    for (const [key, child] of value as Map<unknown, unknown>) {
      yield [`.key(${i})`, key];
      yield [typeof key === 'string' ? `.get(${JSON.stringify(key)})` : `.value(${i})`, child];
      i++;
    }
  } else if (kind === 'set') {
    let i = 0;
    for (const child of value as Set<unknown>) yield [`.member(${i++})`, child];
  } else if (kind === 'object') {
    for (const [key, child] of Object.entries(value)) yield [`.${key}`, child];
  }
}
