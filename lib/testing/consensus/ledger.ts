/** A machine that shows how commands come: their order, their indexes and times, refusals, throws. */
import { defineMachine } from '../../machines/defineMachine.js';

/** What `by` makes `add` throw. @internal */
export const UNLUCKY = 13;

/** @internal */
export const ledger = () =>
  defineMachine({
    version: 1,
    initial: () => ({ n: 0, seen: [] as number[], names: [] as string[], time: 0 }),
    commands: {
      /** Adds up; refuses what is negative. */
      add: (state, { by }: { by: number }, context) => {
        if (by < 0) context.reject('negative', { by });
        if (by === UNLUCKY) throw new Error('unlucky');
        state.seen.push(context.index);
        return (state.n += by);
      },
      /** Keeps names in the order in which they come; the same one twice is kept twice. */
      name: (state, { name }: { name: string }) => state.names.push(name),
      time: (state, _: object, context) => {
        const before = state.time;
        state.time = context.time;
        return { before, now: context.time };
      },
    },
    queries: {
      total: (state) => state.n,
      seen: (state) => state.seen,
      names: (state) => state.names,
      broken: () => {
        throw new Error('broken query');
      },
    },
  });

/** @internal */
export type Ledger = ReturnType<typeof ledger>;
