/** A machine that shows at once when a command is lost or applied twice: it counts how often each id was written. */
import { defineMachine } from '../../../lib/machines/defineMachine.js';

export const ledger = () =>
  defineMachine({
    version: 1,
    initial: () => new Map<string, number>(),
    commands: {
      write: (state, { id }: { id: string }) => {
        const times = (state.get(id) ?? 0) + 1;
        state.set(id, times);
        return { times, size: state.size };
      },
    },
    queries: {
      /** Of these ids, those that were not written exactly once, with how often. */
      odd: (state, { ids }: { ids: readonly string[] }) =>
        ids.map((id): [string, number] => [id, state.get(id) ?? 0]).filter(([, times]) => times !== 1),
      /** Every id that was written more than once. */
      doubled: (state) => [...state].filter(([, times]) => times > 1),
      size: (state) => state.size,
    },
  });
