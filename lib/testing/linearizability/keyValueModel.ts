/** The sequential specification of the library's own key-value machine. */
import { equalValues } from '../../machines/equal.js';
import type { KeyValueCommands, KeyValueQueries } from '../../machines/keyValue.js';
import type { OperationOf } from '../../replica/stateMachine.js';
import type { Model, Operation } from './model.js';
import { unknownInput } from './registerModel.js';

/** A command or query of `keyValue`. */
export type KeyValueInput<V = unknown> = OperationOf<KeyValueCommands<V> & KeyValueQueries<V>>;

/**
 * What `keyValue` does with commands and queries that are valid, outputs as `submit` and `query` give
 * them: `{ ok }`, `{ ok, current }`, a value or `undefined`, a list of pairs. An output `undefined` means "any", except
 * for a `get`, where it means that the key is absent (a `get` of unknown outcome is best left out). A command that
 * was rejected had no effect: leave it out too.
 *
 * The history is partitioned by key, unless there is a `list` in it: a list sees all keys at one moment, so the whole
 * history is then checked at once, which takes far longer. Keep such histories short.
 *
 * @example
 * ```ts
 * const history = [
 *   { process: 'a', call: 0, return: 2, input: { op: 'put', key: 'k', value: 1 }, output: { ok: true } },
 *   { process: 'b', call: 3, return: 4, input: { op: 'get', key: 'k' }, output: undefined },
 * ];
 * checkLinearizable(keyValueModel(), history); // 'illegal': the read missed the write
 * ```
 */
export function keyValueModel<V = unknown>(): Model<ReadonlyMap<string, V>, KeyValueInput<V>> {
  return { init: () => new Map(), step, partition };
}

type State<V> = ReadonlyMap<string, V>;

function step<V>(
  state: State<V>,
  input: KeyValueInput<V>,
  output: unknown,
): { ok: boolean; state: State<V> } {
  const fits = (expected: unknown) => output === undefined || equalValues(output, expected);
  switch (input.op) {
    case 'get':
      return { ok: equalValues(output, state.get(input.key)), state };
    case 'list':
      return { ok: output === undefined || equalValues(output, list(state, input)), state };
    case 'put':
      return { ok: fits({ ok: true }), state: withValue(state, input.key, input.value) };
    case 'delete':
      if (!state.has(input.key)) return { ok: fits({ ok: false }), state };
      return { ok: fits({ ok: true }), state: without(state, input.key) };
    case 'cas': {
      const current = state.get(input.key);
      if (!equalValues(current, input.expected)) return { ok: isCasResult(output, false, current), state };
      const after = withValue(state, input.key, input.value);
      return { ok: isCasResult(output, true, input.value), state: after };
    }
    default:
      throw unknownInput('put, delete, cas, get or list', input);
  }
}

/** Histories that went through JSON have no `current` where it was `undefined`. */
function isCasResult(output: unknown, ok: boolean, current: unknown): boolean {
  if (output === undefined) return true;
  if (typeof output !== 'object' || output === null) return false;
  const result = output as { readonly ok?: unknown; readonly current?: unknown };
  return result.ok === ok && equalValues(result.current, current);
}

function withValue<V>(state: State<V>, key: string, value: V): State<V> {
  return new Map(state).set(key, value);
}

function without<V>(state: State<V>, key: string): State<V> {
  const after = new Map(state);
  after.delete(key);
  return after;
}

function list<V>(
  state: State<V>,
  { prefix = '', after, limit = 2 ** 32 - 1 }: KeyValueQueries<V>['list']['input'],
): [string, V][] {
  const pairs = [...state].filter(([key]) => key.startsWith(prefix) && (after === undefined || key > after));
  return pairs.sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, limit);
}

function partition<V>(
  history: readonly Operation<KeyValueInput<V>>[],
): readonly (readonly Operation<KeyValueInput<V>>[])[] {
  const parts = new Map<string, Operation<KeyValueInput<V>>[]>();
  for (const operation of history) {
    const { input } = operation;
    if (input.op === 'list') return [history];
    const part = parts.get(input.key);
    if (part === undefined) parts.set(input.key, [operation]);
    else part.push(operation);
  }
  return [...parts.values()];
}
