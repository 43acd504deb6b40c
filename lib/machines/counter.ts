/** Named counters. */
import type { ApplyContext, TypedStateMachine } from '../replica/stateMachine.js';
import { defineMachine } from './defineMachine.js';
import { checkedName } from './names.js';

/** The commands of {@link counter} and their results. */
export type CounterCommands = {
  /** Adds `by` (default 1; may be negative) to a counter, which begins at 0; the result is its new value. */
  readonly add: {
    readonly input: { readonly name: string; readonly by?: number | undefined };
    readonly result: number;
  };
  /** Sets a counter; the result is the value it had. */
  readonly set: {
    readonly input: { readonly name: string; readonly value: number };
    readonly result: number;
  };
  /** Forgets a counter, which then reads 0 again; the result is the value it had. */
  readonly remove: { readonly input: { readonly name: string }; readonly result: number };
};

/** The queries of {@link counter} and their answers. */
export type CounterQueries = {
  /** The value of a counter; 0 if it was never counted. */
  readonly get: { readonly input: { readonly name: string }; readonly result: number };
  /** All counters in the order of their first command. */
  readonly all: { readonly input: unknown; readonly result: [name: string, value: number][] };
};

/**
 * Replicated counters: sequence numbers, quotas, statistics. Values are integers from -(2^53 - 1) to 2^53 - 1;
 * a command that would leave this range is rejected and changes nothing.
 *
 * `ERR_REJECTED` has the reason `INVALID_NAME` (a name is a string of 1 to 256 characters), `INVALID_VALUE` or
 * `OUT_OF_RANGE`, with what was given in `data`.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ mesh, group: 'ids', members, storage, stateMachine: counter() });
 * const ticket = await replica.submit({ op: 'add', name: 'tickets' }); // 1, 2, 3, … each handed out once
 * ```
 */
export function counter(): TypedStateMachine<CounterCommands, CounterQueries> {
  return defineMachine({
    version: 1,
    initial: () => new Map<string, number>(),
    commands: {
      add: (state, c: CounterCommands['add']['input'], context) => {
        const name = checkedName(c.name, context);
        const by = checkedInteger(c.by ?? 1, context);
        const value = (state.get(name) ?? 0) + by;
        if (!Number.isSafeInteger(value))
          context.reject('OUT_OF_RANGE', { name, value: state.get(name) ?? 0, by });
        state.set(name, value);
        return value;
      },
      set: (state, c: CounterCommands['set']['input'], context) => {
        const name = checkedName(c.name, context);
        const value = checkedInteger(c.value, context);
        const before = state.get(name) ?? 0;
        state.set(name, value);
        return before;
      },
      remove: (state, c: CounterCommands['remove']['input'], context) => {
        const before = state.get(checkedName(c.name, context)) ?? 0;
        state.delete(c.name);
        return before;
      },
    },
    queries: {
      get: (state, q: CounterQueries['get']['input']) => state.get(q.name) ?? 0,
      all: (state) => [...state],
    },
  });
}

function checkedInteger(value: unknown, context: ApplyContext): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) context.reject('INVALID_VALUE', { value });
  return value + 0; // -0 becomes 0
}
