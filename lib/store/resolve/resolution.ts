/** What becomes of writes that did not know of each other. */
import { configError, QuorateError } from '../../errors.js';
import type { CrdtType } from '../crdt/crdt.js';

/**
 * How a store answers for a key with concurrent versions: what `lww()`, `siblings()`, `crdt()` and `custom()` make. All members of a
 * store must use the same.
 *
 * `Value` is what is read, `Input` what `put` takes, `Operation` what `update` takes.
 */
export interface Resolution<Value = unknown, Input = Value, Operation = never> {
  readonly kind: 'lww' | 'siblings' | 'crdt' | 'custom';
  /** Told to the other members, who refuse another one. */
  readonly name: string;
  /** Whether all concurrent versions are kept until a write replaces them, or the newest alone. */
  readonly keeps: 'all' | 'newest';
  /** Whether a write without a context replaces what its node holds, or stands beside it. */
  readonly blind: 'replaces' | 'concurrent';
  /** What is read where these values, newest first, at least one, stand beside each other. */
  readonly read: (values: readonly unknown[]) => Value;
  /** The data type whose states the values are, where they are that. */
  readonly type?: CrdtType<unknown, unknown, Operation> | undefined;
  /** Never there: carries a type. */
  readonly input?: Input;
}

/**
 * The last write wins, by hybrid logical time and then by the name of the node; a deletion is a write. What is replaced by a writer
 * that knew of it always loses. What loses without that is told in the event `conflict`, and gone.
 *
 * @example
 * ```ts
 * const store = await openStore({ mesh, name: 'presence', members, storage, resolve: lww<string>() });
 * ```
 */
export function lww<V = unknown>(): Resolution<V> {
  return { kind: 'lww', name: 'lww', keeps: 'newest', blind: 'replaces', read: ([value]) => value as V };
}

/**
 * Writes that do not know of each other are all kept, until somebody who read them writes what replaces them.
 *
 * Without a function, all of them are what is read, newest first. With one, that makes one value of several: it has to be pure, and its
 * result must not depend on their order, nor on whether some were resolved before; `checkResolver` in `quorate/testing` tries that. It
 * is called with two values at least.
 *
 * @throws QuorateError `ERR_CONFIG` when `resolve` is no function.
 *
 * @example
 * ```ts
 * const carts = siblings<Cart>((all) => ({ items: [...new Set(all.flatMap((cart) => cart.items))].sort() }));
 * ```
 */
export function siblings<V = unknown>(): Resolution<V[], V>;
export function siblings<V = unknown>(resolve: (values: readonly V[]) => V): Resolution<V>;
export function siblings<V>(resolve?: (values: readonly V[]) => V): Resolution<V[] | V, V> {
  if (resolve === undefined)
    return {
      kind: 'siblings',
      name: 'siblings',
      keeps: 'all',
      blind: 'concurrent',
      read: (values) => values as V[],
    };
  checkFunction('siblings', resolve);
  const read = (values: readonly unknown[]): V =>
    values.length === 1 ? (values[0] as V) : guarded(() => resolve(values as readonly V[]));
  return { kind: 'siblings', name: 'siblings:resolved', keeps: 'all', blind: 'concurrent', read };
}

/**
 * Two values that do not know of each other become one by a function of your own. It has to be pure, commutative, associative and
 * idempotent; `checkResolver` in `quorate/testing` tries that.
 *
 * @throws QuorateError `ERR_CONFIG` when `merge` is no function.
 *
 * @example
 * ```ts
 * const highScores = custom<number>((a, b) => Math.max(a, b));
 * ```
 */
export function custom<V = unknown>(merge: (a: V, b: V) => V): Resolution<V> {
  checkFunction('custom', merge);
  const read = (values: readonly unknown[]): V =>
    guarded(() => (values as readonly V[]).reduce((merged, value) => merge(merged, value)));
  return { kind: 'custom', name: 'custom', keeps: 'all', blind: 'concurrent', read };
}

/**
 * The values are replicated data types, such as {@link pnCounter}, {@link orSet}, {@link lwwMap}, {@link flag} and
 * {@link lwwRegister}: `update` takes their operations, and no update is ever lost. `put` has no place here.
 *
 * @throws QuorateError `ERR_CONFIG` for what is no such type.
 *
 * @example
 * ```ts
 * const store = await openStore({ mesh, name: 'tags', members, storage, resolve: crdt(orSet<string>()) });
 * await store.update('post:1', { op: 'add', value: 'news' });
 * ```
 */
export function crdt<State, Value, Operation>(
  type: CrdtType<State, Value, Operation>,
): Resolution<Value, never, Operation> {
  const given = type as Partial<CrdtType> | undefined;
  const parts = ['initial', 'apply', 'merge', 'value', 'encode', 'decode'] as const;
  if (typeof given?.name !== 'string' || parts.some((part) => typeof given[part] !== 'function'))
    throw configError('type', type, 'a replicated data type, such as pnCounter()');
  const read = (values: readonly unknown[]): Value =>
    type.value((values as readonly State[]).reduce((merged, state) => type.merge(merged, state)));
  return {
    kind: 'crdt',
    name: `crdt:${type.name}`,
    keeps: 'all',
    blind: 'replaces',
    read,
    type: type,
  };
}

/** Throws ERR_CONFIG for what none of these functions made. @internal */
export function checkResolution<R>(resolve: R): R {
  const { kind, read } = (resolve ?? {}) as Partial<Record<keyof Resolution, unknown>>;
  if (['lww', 'siblings', 'crdt', 'custom'].includes(kind as string) && typeof read === 'function')
    return resolve;
  throw configError('resolve', resolve, 'what lww(), siblings(), crdt() or custom() makes');
}

function checkFunction(option: string, value: unknown): void {
  if (typeof value !== 'function') throw configError(option, value, 'a function');
}

function guarded<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError('ERR_RESOLVER_FAILED', `the function that resolves conflicts threw: ${why}`, {
      cause,
    });
  }
}
