/**
 * Copies that share nothing: what a state machine answers must not let anybody reach into its state, and what is
 * encoded must be plain before cbor-x sees it, which would take a promise for `{}` and run getters while it writes.
 */
import { QuorateError } from '../errors.js';
import { copyTyped, kindOf, MAX_BIGINT_BYTES, MAX_DEPTH, nameOf } from './cbor/values.js';

/** Above this cbor-x rounds some dates to another millisecond, since they travel as seconds. */
const MAX_DATE = 2 ** 51;
/** The most that cbor-x decodes. */
const MAX_ARRAY = 112_810_000;

const MAX_UINT64 = 2n ** 64n - 1n;

/**
 * A copy that shares no mutable structure with `value`: what `decode(encode(value))` of {@link cbor} gives,
 * without the detour over bytes. Throws ERR_CODEC for what the codec cannot carry, naming the place.
 *
 * @internal
 */
export function detach(value: unknown): unknown {
  try {
    return copy(value, 1);
  } catch (error) {
    throw error instanceof Unencodable ? error.report() : error;
  }
}

/** On its way from where the value is to the root, it gathers the path. */
class Unencodable extends Error {
  readonly #what: string;
  readonly #path: string[] = [];
  readonly #above: object[] = [];

  constructor(what: string) {
    super(what);
    this.#what = what;
  }

  climb(step: string, parent: object): void {
    this.#path.push(step);
    this.#above.push(parent);
  }

  report(): QuorateError {
    const path = this.#path.reverse();
    const above = this.#above.reverse();
    // What goes too deep may be a circle: then an object stands above itself.
    const again = above.findIndex((object, i) => above.indexOf(object) < i);
    const what = again < 0 ? this.#what : 'a value that contains itself';
    const at = path.slice(0, again < 0 ? 16 : again).join('') + (again < 0 && path.length > 16 ? '…' : '');
    return new QuorateError('ERR_CODEC', `cannot encode ${what}${at === '' ? '' : ` at ${at}`}`);
  }
}

function climb(error: unknown, step: string, parent: object): unknown {
  if (error instanceof Unencodable) error.climb(step, parent);
  return error;
}

function copy(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      checkString(value);
      return value;
    case 'number':
      // cbor-x makes 0 of -0. Engines keep any of many bit patterns for NaN, and equal states need equal bytes.
      return value === 0 ? 0 : value !== value ? NaN : value;
    case 'object':
      return value === null ? null : copyObject(value, depth);
    case 'bigint':
      checkBigint(value);
      return value;
    case 'function':
    case 'symbol':
      throw new Unencodable(`a ${typeof value}`);
    default:
      return value;
  }
}

function copyObject(value: object, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new Unencodable(`a value nested more than ${MAX_DEPTH} deep`);
  switch (kindOf(value)) {
    case 'object':
      return copyProperties(value as Record<string, unknown>, depth);
    case 'array':
      return copyArray(value as unknown[], depth);
    case 'map':
      return copyMap(value as Map<unknown, unknown>, depth);
    case 'set':
      return copySet(value as Set<unknown>, depth);
    case 'date':
      return copyDate(value as Date);
    case 'typed':
      try {
        return copyTyped(value as NodeJS.TypedArray);
      } catch {
        throw new Unencodable(`a ${nameOf(value)} whose memory was transferred`);
      }
    case 'unsupported':
      throw new Unencodable(`a value of type ${nameOf(value)}`);
  }
}

function copyProperties(value: Record<string, unknown>, depth: number): unknown {
  const out: Record<string, unknown> = {};
  const names = Object.keys(value);
  let i = 0;
  try {
    for (; i < names.length; i++) {
      const name = names[i]!;
      if (name === '__proto__') throw new Unencodable('a property of this name');
      checkString(name);
      out[name] = copy(value[name], depth + 1);
    }
  } catch (error) {
    throw climb(error, `.${names[i]!}`, value);
  }
  return out;
}

function copyArray(value: unknown[], depth: number): unknown {
  const length = value.length;
  if (length > MAX_ARRAY) throw new Unencodable(`an array of more than ${MAX_ARRAY} elements`);
  const out: unknown[] = [];
  try {
    while (out.length < length) out.push(copy(value[out.length], depth + 1));
  } catch (error) {
    throw climb(error, `[${out.length}]`, value);
  }
  return out;
}

function copyMap(value: Map<unknown, unknown>, depth: number): unknown {
  const out = new Map<unknown, unknown>();
  let key: unknown;
  let inKey = true;
  try {
    for (const entry of value) {
      inKey = true;
      key = entry[0];
      const keyCopy = copy(key, depth + 1);
      inKey = false;
      out.set(keyCopy, copy(entry[1], depth + 1));
    }
  } catch (error) {
    const step = inKey
      ? `.key(${out.size})`
      : typeof key === 'string'
        ? `.get(${JSON.stringify(key)})`
        : `.value(${out.size})`;
    throw climb(error, step, value);
  }
  return out;
}

function copySet(value: Set<unknown>, depth: number): unknown {
  const out = new Set<unknown>();
  try {
    for (const member of value) out.add(copy(member, depth + 1));
  } catch (error) {
    throw climb(error, `.member(${out.size})`, value);
  }
  return out;
}

function copyDate(value: Date): Date {
  const ms = value.getTime();
  if (Math.abs(ms) > MAX_DATE) throw new Unencodable('a date more than 2^51 ms (71,000 years) from 1970');
  return new Date(ms);
}

/** UTF-8 cannot hold lone surrogates, and cbor-x drops a byte order mark in front of a longer string. */
function checkString(value: string): void {
  if (!(value as string & { isWellFormed(): boolean }).isWellFormed()) {
    throw new Unencodable('a string with half a surrogate pair'); // isWellFormed is ES2024, in Node since 20
  }
  if (value.charCodeAt(0) === 0xfeff)
    throw new Unencodable('a string that begins with a byte order mark (U+FEFF)');
}

function checkBigint(value: bigint): void {
  if (value <= MAX_UINT64 && value >= -MAX_UINT64) return;
  const digits = (value < 0n ? -1n - value : value).toString(16).length;
  if (digits > MAX_BIGINT_BYTES * 2) throw new Unencodable(`a bigint of more than ${MAX_BIGINT_BYTES} bytes`);
}
