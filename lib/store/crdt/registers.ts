/** A register, and a map of registers. The latest write wins; what is removed is what its remover had seen. */
import { configError } from '../../errors.js';
import { compareTimestamps, type HybridTimestamp } from '../causality/hybridClock.js';
import { compareDots } from '../causality/vectorClock.js';
import type { Dotted } from '../causality/versionSet.js';
import type { CrdtContext, CrdtType } from './crdt.js';
import { malformed, operationOf, stampOf } from './data.js';
import { emptyMap, mapData, mapOf, mergeMaps, replace, type DotMap } from './dotMap.js';

/** What {@link lwwRegister} takes. */
export interface RegisterOperation<T> {
  readonly op: 'set';
  readonly value: T;
}

/** What {@link lwwMap} takes. `clear` removes all keys that this node knows of. */
export type MapOperation<T> =
  | { readonly op: 'set'; readonly key: string; readonly value: T }
  | { readonly op: 'remove'; readonly key: string }
  | { readonly op: 'clear' };

/** A value, and the write that set it. */
export interface WrittenValue<T> extends Dotted {
  readonly stamp: HybridTimestamp;
  readonly value: T;
}

/**
 * The state of {@link lwwRegister} and {@link lwwMap}. Writes that do not know of each other are all kept until somebody overrides
 * them, and the latest is what is read: if the others were dropped, a removal of the latest would remove them too at some replicas and
 * not at others.
 */
export type RegistersState<T> = DotMap<WrittenValue<T>>;

/**
 * A value; undefined before the first update. Of writes that do not know of each other the latest wins, by hybrid logical time and
 * then by the name of the node.
 *
 * @example
 * ```ts
 * const status = crdt(lwwRegister<'open' | 'closed'>());
 * ```
 */
export function lwwRegister<T = unknown>(): CrdtType<RegistersState<T>, T | undefined, RegisterOperation<T>> {
  return {
    ...registers<T>(),
    name: 'lww-register',
    apply(state, operation, context) {
      const { value } = operationOf(operation, ['set']);
      return write(state, '', value, context);
    },
    value: ({ entries }) => latest(entries.get('')),
    decode: (data) => decode(data, (key) => key === ''),
  };
}

/**
 * A map with string keys (1 to 65,536 UTF-16 units); empty before the first update. Of writes of one key that do not know of each
 * other the latest wins; a removal removes what its node had seen, so a write that it did not know of stays.
 *
 * @example
 * ```ts
 * const profile = crdt(lwwMap<string>());
 * ```
 */
export function lwwMap<T = unknown>(): CrdtType<RegistersState<T>, Map<string, T>, MapOperation<T>> {
  return {
    ...registers<T>(),
    name: 'lww-map',
    apply(state, operation, context) {
      operationOf(operation, ['set', 'remove', 'clear']);
      if (operation.op === 'clear') return replace(state, '', [], context, true);
      const { key } = operation;
      if (!isKey(key)) throw configError('key', key, 'a string of 1 to 65536 characters');
      return operation.op === 'set'
        ? write(state, key, operation.value, context)
        : replace(state, key, [], context);
    },
    value: ({ entries }) =>
      new Map([...entries.keys()].sort().map((key) => [key, latest(entries.get(key)) as T])),
    decode: (data) => decode(data, isKey),
  };
}

function registers<T>(): Pick<CrdtType<RegistersState<T>>, 'initial' | 'merge'> & {
  encode(state: RegistersState<T>): unknown;
} {
  return {
    initial: emptyMap,
    merge: mergeMaps,
    encode: (state) => mapData(state, ({ stamp, value }) => [stamp.wall, stamp.counter, value]),
  };
}

function write<T>(state: RegistersState<T>, key: string, value: T, context: CrdtContext): RegistersState<T> {
  return replace(state, key, [{ dot: context.dot, stamp: context.stamp, value }], context);
}

function latest<T>(written: readonly WrittenValue<T>[] = []): T | undefined {
  let best: WrittenValue<T> | undefined;
  for (const one of written) {
    const order = best && (compareTimestamps(one.stamp, best.stamp) || compareDots(one.dot, best.dot));
    if (order === undefined || order > 0) best = one;
  }
  return best?.value;
}

function isKey(key: unknown): key is string {
  return typeof key === 'string' && key.length >= 1 && key.length <= 65_536;
}

function decode<T>(data: unknown, allowed: (key: string) => boolean): RegistersState<T> {
  return mapOf(data, (dot, fields, key): WrittenValue<T> => {
    const [wall, counter, value] = fields;
    if (fields.length !== 3 || !allowed(key)) throw malformed('a value with a wrong key');
    return { dot, stamp: stampOf(wall, counter), value: value as T };
  });
}
