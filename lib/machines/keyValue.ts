/** A map from strings to values of any kind. */
import { configError, QuorateError } from '../errors.js';
import { batchCodec, cbor } from '../replica/codec.js';
import type { LockRange, Rehearsal, RehearsalStep } from '../replica/rehearsal.js';
import type { ApplyContext, OperationOf, TypedStateMachine } from '../replica/stateMachine.js';
import { CowTable } from './cowTable.js';
import { equalValues } from './equal.js';
import { KeyIndex } from './keyIndex.js';
import { KeyOverlay } from './keyOverlay.js';
import { opOf, type Problem, refused, unknownOperation } from './operations.js';
import { readSnapshot, snapshotChunks } from './snapshotFormat.js';

const MAX_KEY_LENGTH = 4096;
/** A little below what one Map of JavaScript can hold. */
const MAX_KEYS = 16_000_000;

/** The commands of {@link keyValue} and their results. */
export type KeyValueCommands<V> = {
  /** Sets a key. */
  readonly put: {
    readonly input: { readonly key: string; readonly value: V };
    readonly result: { readonly ok: true };
  };
  /** Removes a key; `ok` says whether it was there. */
  readonly delete: { readonly input: { readonly key: string }; readonly result: { readonly ok: boolean } };
  /**
   * Sets a key if it holds `expected` now (left out or `undefined`: if it is absent). Values are compared by
   * content. `ok` says whether it was set, `current` is what the key holds after the command.
   */
  readonly cas: {
    readonly input: { readonly key: string; readonly expected?: V | undefined; readonly value: V };
    readonly result: { readonly ok: boolean; readonly current: V | undefined };
  };
};

/** The queries of {@link keyValue} and their answers. */
export type KeyValueQueries<V> = {
  /** The value of a key, or `undefined`. */
  readonly get: { readonly input: { readonly key: string }; readonly result: V | undefined };
  /**
   * Keys and values in the order of the keys (by UTF-16 code units): all whose key begins with `prefix`
   * (default: all), comes after `after` (default: from the first), and at most `limit` (default: no limit;
   * 0 to 2^32 - 1). For pages, pass the last key of a page as `after`.
   */
  readonly list: {
    readonly input: {
      readonly prefix?: string | undefined;
      readonly after?: string | undefined;
      readonly limit?: number | undefined;
    };
    readonly result: [key: string, value: V][];
  };
};

/** What {@link keyValue} makes. */
export type KeyValueMachine<V> = TypedStateMachine<KeyValueCommands<V>, KeyValueQueries<V>>;

/**
 * A replicated map. Keys are strings of at most 4,096 characters, values anything that {@link cbor} carries
 * except `undefined`, which stands for absent; up to 16 million keys. Keys have no half surrogate pairs and no byte
 * order mark in front. Snapshots are made with {@link cbor} whatever the replica's codec: with another one, take care
 * to submit only values that both carry, or no snapshot can be made.
 *
 * Commands: `put`, `delete`, `cas` ({@link KeyValueCommands}). Queries: `get`, `list` ({@link KeyValueQueries}).
 * `ERR_REJECTED` has the reason `INVALID_KEY`, `INVALID_VALUE` or `FULL`; other operations than these are
 * `ERR_UNKNOWN_OPERATION`, a `list` with wrong arguments is `ERR_CONFIG`.
 *
 * A put takes constant time. The first `list` sorts all keys (about 1 µs each); later ones cost what they return.
 * A snapshot is captured at once and made while the map goes on changing; it shares memory with the map for
 * all that did not change.
 *
 * @typeParam V - The type of the values. A promise of the program to itself: it is not checked.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ mesh, group: 'settings', members, storage, stateMachine: keyValue<string>() });
 * await replica.submit({ op: 'put', key: 'theme', value: 'dark' });
 * await replica.submit({ op: 'cas', key: 'theme', expected: 'dark', value: 'light' }); // { ok: true, current: 'light' }
 * await replica.query({ op: 'list', prefix: 'the' });                                  // [['theme', 'light']]
 * ```
 */
export function keyValue<V = unknown>(): KeyValueMachine<V> {
  return new KeyValue<V>();
}

type Command<V> = OperationOf<KeyValueCommands<V>>;
type Query<V> = OperationOf<KeyValueQueries<V>>;

// Shared by all answers: the replica detaches what it hands out.
const OK = { ok: true } as const;
const NOT_OK = { ok: false } as const;

class KeyValue<V> implements KeyValueMachine<V>, Rehearsal<Command<V>, Query<V>> {
  readonly version = 1;
  #table = new CowTable<V>();
  readonly #index = new KeyIndex();
  readonly #codec = batchCodec(cbor());

  fresh(): KeyValueMachine<V> {
    return new KeyValue<V>();
  }

  apply(command: Command<V>, context: ApplyContext): unknown {
    check(command, context);
    switch (command.op) {
      case 'put':
        this.#put(command.key, command.value, context);
        return OK;
      case 'delete':
        if (!this.#table.delete(command.key)) return NOT_OK;
        this.#index.remove();
        return OK;
      case 'cas': {
        const current = this.#table.get(command.key);
        if (!equalValues(current, command.expected)) return { ok: false, current };
        this.#put(command.key, command.value, context);
        return { ok: true, current: command.value };
      }
    }
  }

  rehearse(steps: readonly RehearsalStep<Command<V>>[], query?: { readonly query: Query<V> }): unknown {
    const overlay = new KeyOverlay<V>(this.#table);
    let result: unknown;
    for (const { command, context } of steps) {
      check(command, context);
      result = this.#rehearseOne(command, context, overlay);
    }
    if (query === undefined) return result;
    const asked = query.query;
    if (opOf(asked) === 'get') return overlay.get((asked as { key: string }).key);
    if (opOf(asked) !== 'list') throw unknownOperation('query', asked, ['get', 'list']);
    const { limit, ...range } = asked as ListQuery;
    // What the transaction has deleted must not count among the limit.
    const found = this.#list(overlay.size === 0 ? { ...range, limit } : range);
    return overlay.size === 0 ? found : overlay.list(found, range.prefix, range.after, limit);
  }

  #rehearseOne(command: Command<V>, context: ApplyContext, overlay: KeyOverlay<V>): unknown {
    const current = overlay.get(command.key);
    if (command.op === 'delete') {
      overlay.set(command.key, undefined);
      return current === undefined ? NOT_OK : OK;
    }
    if (command.op === 'cas' && !equalValues(current, command.expected)) return { ok: false, current };
    if (current === undefined && this.#table.size + overlay.size >= MAX_KEYS) rejectFull(context);
    overlay.set(command.key, command.value);
    return command.op === 'put' ? OK : { ok: true, current: command.value };
  }

  /** A key, or what a list goes over. */
  touches(operation: Command<V> | Query<V>): readonly LockRange[] {
    if (opOf(operation) === 'list') {
      const { prefix } = operation as ListQuery;
      return [{ prefix: typeof prefix === 'string' ? prefix : '' }];
    }
    const { key } = ((operation as unknown) ?? {}) as { readonly key?: unknown };
    // One that names no key is refused anyway.
    return typeof key === 'string' ? [key] : [];
  }

  query(query: Query<V>): unknown {
    switch (opOf(query)) {
      case 'get':
        return this.#table.get((query as { key: string }).key);
      case 'list':
        return this.#list(query as ListQuery);
      default:
        throw unknownOperation('query', query, ['get', 'list']);
    }
  }

  validate(command: Command<V>): void {
    const problem = problemOf(command);
    if (problem === UNKNOWN) throw unknownCommand(command);
    if (problem !== undefined) throw refused(problem);
  }

  snapshot(): Iterable<Uint8Array> {
    const capture = this.#table.capture();
    const codec = this.#codec;
    return snapshotChunks('keyValue', capture.size, capture.entries(), (writer, pair) => {
      codec.encodeInto(writer, pair);
    });
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const table = new CowTable<V>();
    await readSnapshot('keyValue', chunks, (bytes, from, to) => {
      const pair = this.#codec.decodeRange(bytes, from, to);
      if (!isPair(pair))
        throw new QuorateError('ERR_CODEC', 'a record of the snapshot is no pair of key and value');
      if (!table.set(pair[0], pair[1] as V)) {
        throw new QuorateError('ERR_CODEC', `the snapshot holds the key ${JSON.stringify(pair[0])} twice`);
      }
    });
    this.#table = table;
    this.#index.clear();
  }

  #put(key: string, value: V, context: ApplyContext): void {
    if (this.#table.size >= MAX_KEYS && !this.#table.has(key)) rejectFull(context);
    if (this.#table.set(key, value)) this.#index.add(key);
  }

  #list(query: Omit<ListQuery, 'op'>): [string, V][] {
    const { prefix = '', after, limit = 2 ** 32 - 1 } = query;
    checkListOption('prefix', prefix, typeof prefix === 'string', 'a string');
    checkListOption('after', after, after === undefined || typeof after === 'string', 'a string');
    checkListOption(
      'limit',
      limit,
      Number.isInteger(limit) && limit >= 0 && limit < 2 ** 32,
      'an integer from 0 to 2^32 - 1',
    );
    const keys = this.#index.range(this.#table, prefix, after, limit);
    return keys.map((key) => [key, this.#table.get(key)!]);
  }
}

type ListQuery = OperationOf<Pick<KeyValueQueries<unknown>, 'list'>>;

/** Throws for a command that is none, and rejects one that is wrong. */
function check(command: unknown, context: ApplyContext): void {
  const problem = problemOf(command);
  if (problem === undefined) return;
  if (problem === UNKNOWN) throw unknownCommand(command);
  context.reject(problem.reason, problem.message);
}

function rejectFull(context: ApplyContext): never {
  return context.reject('FULL', `the map holds ${MAX_KEYS} keys, which is its limit`);
}

const UNKNOWN: Problem = { reason: '', message: '' };

/** What is wrong with a command that may come from anywhere: the same answer on every member. */
function problemOf(command: unknown): Problem | undefined {
  const op = opOf(command);
  if (op !== 'put' && op !== 'delete' && op !== 'cas') return UNKNOWN;
  const { key, value } = command as { readonly key: unknown; readonly value?: unknown };
  if (typeof key !== 'string' || key.length > MAX_KEY_LENGTH) {
    const got = typeof key === 'string' ? `${key.length} characters` : `a value of type ${typeof key}`;
    return {
      reason: 'INVALID_KEY',
      message: `key must be a string of at most ${MAX_KEY_LENGTH} characters, got ${got}`,
    };
  }
  if (!isStorable(key)) {
    return {
      reason: 'INVALID_KEY',
      message: 'key must be well-formed Unicode and not begin with a byte order mark (U+FEFF)',
    };
  }
  if (value === undefined && op !== 'delete') {
    return { reason: 'INVALID_VALUE', message: 'value must not be undefined; use delete, or null' };
  }
  return undefined;
}

/** Whether a snapshot can hold the key. A codec other than {@link cbor} may have brought one that it cannot. */
function isStorable(key: string): boolean {
  // isWellFormed is ES2024, in Node since 20.
  return (key as string & { isWellFormed(): boolean }).isWellFormed() && key.charCodeAt(0) !== 0xfeff;
}

function unknownCommand(command: unknown): QuorateError {
  return unknownOperation('command', command, ['put', 'delete', 'cas']);
}

function checkListOption(option: string, value: unknown, valid: boolean, expected: string): void {
  if (!valid) throw configError(`list.${option}`, value, expected);
}

function isPair(value: unknown): value is [string, unknown] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && value[1] !== undefined;
}
