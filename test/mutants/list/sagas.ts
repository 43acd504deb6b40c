/** Bugs in the running of sagas, and in what may follow what. */
import type { Mutant } from '../mutant.js';

export const sagaMutants: readonly Mutant[] = [
  {
    name: 'a saga is undone while siblings still do',
    file: 'transactions/sagas/transitions.ts',
    find: "  if (steps.some(({ state }) => state === 'running')) return;\n",
    replace: '',
    pitfall: 'a parallel step that is not awaited happens after it was undone',
    within: 0,
    tests: 'transactions/sagas/model.test.ts',
  },
  {
    name: 'a step that may have happened is not undone',
    file: 'transactions/sagas/transitions.ts',
    find: "step.state === 'completed' || step.state === 'unknown'",
    replace: "step.state === 'completed'",
    pitfall: 'scheduled and not completed at a crash is taken for not done',
    within: 0,
    tests: 'transactions/sagas/model.test.ts',
  },
  {
    name: 'what a former owner of a saga says counts',
    file: 'transactions/sagas/sagasMachine.ts',
    find: 'saga.epoch !== c.epoch || ',
    replace: '',
    pitfall: 'an append to the log of a saga that is not conditional on the epoch of its owner',
    within: 0,
    tests: 'transactions/sagas/model.test.ts',
  },
  {
    name: 'a saga turns back past its pivot',
    file: 'transactions/sagas/transitions.ts',
    find: "return pivot === undefined || pivot.state === 'pending' || pivot.state === 'failed';",
    replace: 'return pivot !== null;',
    pitfall: 'after a pivot a saga goes back',
    within: 0,
    tests: 'transactions/sagas/model.test.ts',
  },
  {
    name: 'the idempotency key of a step changes with the attempt',
    file: 'transactions/sagas/work.ts',
    find: "key: `${saga.id}/${step.id}/${task.undo ? 'undo' : 'do'}`,",
    replace: "key: `${saga.id}/${step.id}/${task.attempt}/${task.undo ? 'undo' : 'do'}`,",
    pitfall: 'a retry with another idempotency key',
    within: 0,
    tests: 'transactions/sagas/kills.test.ts',
  },
  {
    name: 'handlers of sagas begin without a lease',
    file: 'transactions/sagas/sagas.ts',
    find: 'mayBegin: () => this.#lease.holds && !this.#draining',
    replace: 'mayBegin: () => !this.#draining',
    pitfall: 'an owner that stood still begins what another has taken over',
    within: 0,
    tests: 'transactions/sagas/cluster.test.ts',
  },
];
