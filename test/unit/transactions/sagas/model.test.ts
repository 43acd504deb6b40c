import { expect } from 'chai';
import fc from 'fast-check';
import type { OperationOf } from '../../../../lib/replica/stateMachine.js';
import type { Decision, SagaCommands } from '../../../../lib/transactions/sagas/commands.js';
import type { SagaStepState, SagaView } from '../../../../lib/transactions/sagas/record.js';
import { sagas } from '../../../../lib/transactions/sagas/sagasMachine.js';
import { fingerprintOf, shapeProblem, type SagaShape } from '../../../../lib/transactions/sagas/shape.js';
import { bytesOf, contextAt, inChunks } from '../../machines/helpers.js';

/** What may follow what, for one step; written down by hand, not derived from the code. */
const mayFollow: Record<SagaStepState, readonly SagaStepState[]> = {
  pending: ['running'],
  // Its dependents cannot run yet; but a saga may turn back and undo it in one move.
  running: ['completed', 'waiting', 'failed', 'unknown', 'undoing'],
  waiting: ['running', 'failed', 'unknown', 'undoing', 'completed'],
  completed: ['undoing'],
  failed: [],
  unknown: ['undoing'],
  undoing: ['undone', 'undoWaiting'],
  undoWaiting: ['undoing', 'undone'],
  undone: [],
};

const shapes = fc
  .tuple(
    fc.array(
      fc.record({ after: fc.array(fc.nat(5), { maxLength: 3 }), undo: fc.boolean(), chained: fc.boolean() }),
      { minLength: 1, maxLength: 6 },
    ),
    fc.option(fc.nat(5)),
  )
  .map(([drawn, pivot]): SagaShape => {
    const steps = drawn.map(({ after, undo, chained }, i) => ({
      id: `s${i}`,
      after: [...new Set(chained && i > 0 ? [i - 1] : after.filter((one) => one < i))].sort(),
      undo,
      pivot: false,
    }));
    const plain = { name: 'n', version: 1, steps };
    if (pivot === null || pivot >= steps.length) return plain;
    const withPivot = {
      ...plain,
      steps: steps.map((step, i) => ({ ...step, pivot: i === pivot, undo: step.undo && i < pivot })),
    };
    return shapeProblem(withPivot) === undefined ? withPivot : plain;
  });

/** What happens next; numbers choose among what is there. */
const moves = fc.array(
  fc.record({
    what: fc.constantFrom(
      ...Array<'done'>(9).fill('done'),
      'failed',
      'failed',
      'final',
      'reject',
      'retry',
      'retry',
      'cancel',
      'expire',
      'take over',
      'leave all',
      'resolve',
      'resolve',
      'old epoch',
      'old attempt',
      'other direction',
    ),
    step: fc.nat(5),
    /** Whether it is about a step that it can be about. */
    aimed: fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
    action: fc.constantFrom<Decision>('retry', 'skip', 'compensate', 'abandon'),
    wait: fc.constantFrom(0, 1, 50),
  }),
  { minLength: 15, maxLength: 60 },
);

class Oracle {
  readonly #shape: SagaShape;
  /** As far as anybody can know. */
  readonly happened: ('no' | 'maybe' | 'yes')[];
  #before: SagaView['saga'] | undefined;
  /** An operator may overrule the pivot, and what is waited for. */
  overruled = false;

  constructor(shape: SagaShape) {
    this.#shape = shape;
    this.happened = shape.steps.map(() => 'no');
  }

  /** The state after a command that was accepted. */
  see({ saga }: SagaView): void {
    const before = this.#before;
    this.#before = saga;
    const { steps } = this.#shape;
    for (const [i, step] of saga.steps.entries()) {
      const was = before?.steps[i];
      if (was !== undefined && step.state !== was.state)
        expect(mayFollow[was.state], `${was.state} → ${step.state}`).to.include(step.state);
      if (step.state === 'running' && (was === undefined || was.state === 'pending')) {
        expect(saga.state).to.equal('running');
        for (const one of steps[i]!.after) expect(saga.steps[one]!.state).to.equal('completed');
      }
      if (step.state === 'undoing' && was?.state !== 'undoing' && was?.state !== 'undoWaiting') {
        expect(steps[i]!.undo).to.equal(true);
        expect(saga.state).to.equal('compensating');
        expect(this.happened[i], `s${i} is undone`).to.not.equal('no');
        for (const [other, { state }] of saga.steps.entries()) {
          expect(state).to.not.equal('running');
          if (this.#waitsFor(other, i)) this.#isBehind(other, state);
        }
      }
      if (step.result !== undefined && was?.result !== undefined)
        expect(step.result).to.deep.equal(was.result);
    }
    if (before !== undefined) {
      expect(saga.epoch).to.be.at.least(before.epoch);
      expect(before.ended, 'nothing follows an end').to.equal(0);
      if (before.state === 'compensating') expect(saga.state).to.not.equal('running');
    }
    const pivot = steps.findIndex((step) => step.pivot);
    if (pivot >= 0 && saga.steps[pivot]!.state === 'completed' && !this.overruled)
      expect(saga.state).to.be.oneOf(['running', 'completed', 'abandoned']);
    this.#atEnd(saga);
  }

  #atEnd(saga: SagaView['saga']): void {
    const { steps } = this.#shape;
    const states = saga.steps.map(({ state }) => state);
    if (saga.state === 'completed') expect(new Set(states)).to.deep.equal(new Set(['completed']));
    if (saga.state === 'compensated') for (const [i, state] of states.entries()) this.#isBehind(i, state);
    // Something is always under way, or waits for its time or an operator.
    if (saga.ended === 0)
      expect(
        states.some((state) => ['running', 'waiting', 'undoing', 'undoWaiting'].includes(state)),
      ).to.equal(true);
    for (const [i, { state, retryAt, stuck }] of saga.steps.entries()) {
      if (saga.ended !== 0) continue;
      const waits = state === 'waiting' || state === 'undoWaiting';
      if (waits && retryAt === 0) expect(stuck, `s${i} waits for an operator`).to.equal(true);
      if (!waits) expect(retryAt).to.equal(0);
      const isEndless = state.startsWith('undo') || steps.some(({ pivot }) => pivot);
      if (stuck) expect(isEndless, `s${i} is ${state} and stuck`).to.equal(true);
    }
  }

  /** Whatever may have happened was undone. */
  #isBehind(i: number, state: SagaStepState): void {
    if (this.happened[i] === 'no') expect(state).to.be.oneOf(['pending', 'failed']);
    else if (this.#shape.steps[i]!.undo) expect(state, `s${i} may have happened`).to.equal('undone');
    else expect(state).to.be.oneOf(['completed', 'unknown', 'failed']);
  }

  #waitsFor(step: number, other: number): boolean {
    return this.#shape.steps[step]!.after.some((one) => one === other || this.#waitsFor(one, other));
  }

  maybe(i: number): void {
    if (this.happened[i] === 'no') this.happened[i] = 'maybe';
  }

  /** What its current state was. */
  get saga(): SagaView['saga'] {
    return this.#before!;
  }
}

/** A step that such a command can be about. */
function aim({ steps }: SagaView['saga'], what: string, n: number): number | undefined {
  const states: Record<string, readonly SagaStepState[]> = {
    done: ['running', 'undoing'],
    failed: ['running', 'undoing'],
    final: ['running', 'undoing'],
    reject: ['running', 'undoing'],
    retry: ['waiting', 'undoWaiting'],
  };
  const fits = [...steps.keys()].filter((i) =>
    what === 'resolve' ? steps[i]!.stuck : states[what]?.includes(steps[i]!.state) === true,
  );
  return fits[n % fits.length];
}

const error = { code: 'E', message: 'it failed', data: undefined };

describe('the state machine of sagas', () => {
  it('lets only that follow what may: any definition, any order of events, owners that die', async () => {
    let resolved = 0;
    let ends = { completed: 0, compensated: 0, abandoned: 0 };
    await fc.assert(
      fc.asyncProperty(shapes, moves, fc.nat(59), async (shape, list, restoreAt) => {
        const machine = sagas();
        let twin = sagas();
        let index = 0;
        let time = 1000;
        const apply = (command: OperationOf<SagaCommands>, origin = 'a'): unknown => {
          index++;
          const run = (one: typeof machine): unknown => {
            try {
              return one.apply(command, contextAt(index, time, origin));
            } catch (thrown) {
              return (thrown as { reason?: string }).reason;
            }
          };
          const result = run(machine);
          expect(run(twin)).to.deep.equal(result);
          return result;
        };
        const view = (): SagaView => machine.query!({ op: 'get', id: 'x' }) as SagaView;
        const definitions = [fingerprintOf(shape)];
        let runners = 0;
        const enlist = (): void => {
          const node = `n${runners++}`;
          apply({ op: 'enlist', runner: `r-${node}`, leaseMs: 100_000, definitions }, node);
        };
        enlist();
        apply({ op: 'start', id: 'x', shape, input: new Uint8Array([1]), timeout: 30, retention: 1e9 });
        const oracle = new Oracle(shape);
        oracle.see(view());
        const isTwin = (): void => {
          expect(bytesOf(twin).equals(bytesOf(machine))).to.equal(true);
        };
        const tokens = new Set([oracle.saga.epoch]);
        for (const [at, { what: drawn, step, aimed, action, wait }] of list.entries()) {
          time += wait;
          if (at === restoreAt) {
            twin = sagas();
            await twin.restore(inChunks(bytesOf(machine), [7, 100]));
          }
          const { saga } = oracle;
          if (saga.ended !== 0) break;
          // What is stuck is decided about often enough.
          const stuck = saga.steps.some((one) => one.stuck);
          const what = stuck && (drawn === 'cancel' || drawn === 'expire') ? 'resolve' : drawn;
          const i = (aimed ? aim(saga, what, step) : undefined) ?? step % saga.steps.length;
          const { state, attempts, retryAt } = saga.steps[i]!;
          const undo = state.startsWith('undo');
          const isAtWork = state === 'running' || state === 'undoing';
          const of = { id: 'x', epoch: saga.epoch, step: i, undo, attempt: Math.max(1, attempts) };
          const isUnchanged = (): void => void expect(view().saga).to.deep.equal(saga);
          let verdict: unknown;
          switch (what) {
            case 'done':
              verdict = apply({ op: 'done', ...of, result: new Uint8Array([at]) });
              expect(verdict).to.deep.equal({ verdict: isAtWork ? 'ok' : 'stale' });
              if (isAtWork && !undo) oracle.happened[i] = 'yes';
              break;
            case 'failed':
            case 'final':
              if (isAtWork && !undo) oracle.maybe(i);
              verdict = apply({
                op: 'failed',
                ...of,
                error,
                rejected: false,
                ...(what === 'failed' && { retryMs: 10 }),
              });
              expect(verdict).to.deep.equal({ verdict: isAtWork ? 'ok' : 'stale' });
              break;
            case 'reject': {
              const isPivot = shape.steps[i]!.pivot;
              // A pivot's word is taken, whatever happened to attempts before.
              if (state === 'running' && isPivot && saga.state === 'running') oracle.happened[i] = 'no';
              verdict = apply({ op: 'failed', ...of, error, rejected: true, retryMs: 10 });
              expect(verdict).to.deep.equal({ verdict: isAtWork ? 'ok' : 'stale' });
              break;
            }
            case 'retry': {
              const waits = state === 'waiting' || state === 'undoWaiting';
              verdict = apply({ op: 'retry', ...of });
              expect(verdict).to.deep.equal({ verdict: waits && retryAt !== 0 ? 'ok' : 'stale' });
              if (waits && retryAt !== 0) expect(view().saga.steps[i]!.attempts).to.equal(attempts + 1);
              break;
            }
            case 'old epoch':
              expect(apply({ op: 'done', ...of, epoch: saga.epoch + 1 })).to.deep.equal({
                verdict: 'fenced',
              });
              for (const token of tokens)
                if (token !== saga.epoch)
                  expect(apply({ op: 'done', ...of, epoch: token })).to.deep.equal({ verdict: 'fenced' });
              isUnchanged();
              break;
            case 'old attempt':
              expect(apply({ op: 'done', ...of, attempt: attempts + 1 })).to.deep.equal({ verdict: 'stale' });
              if (attempts > 1)
                expect(
                  apply({ op: 'failed', ...of, attempt: attempts - 1, error, rejected: true }),
                ).to.deep.equal({
                  verdict: 'stale',
                });
              isUnchanged();
              break;
            case 'other direction':
              expect(apply({ op: 'done', ...of, undo: !undo })).to.deep.equal({
                verdict: 'stale',
              });
              isUnchanged();
              break;
            case 'cancel': {
              const pivot = saga.steps[shape.steps.findIndex((one) => one.pivot)]?.state ?? 'pending';
              verdict = apply({ op: 'cancel', id: 'x', reason: '' });
              const mayNot = saga.state === 'running' && pivot !== 'pending';
              if (mayNot) expect(verdict).to.equal('PAST_PIVOT');
              else expect(view().saga.state).to.be.oneOf(['compensating', 'compensated']);
              break;
            }
            case 'expire':
              verdict = apply({ op: 'expire', id: 'x', epoch: saga.epoch });
              if (saga.state === 'running' && time < 1030)
                expect(verdict).to.deep.equal({ verdict: 'ok', early: 1030 - time });
              break;
            case 'take over':
            case 'leave all': {
              for (const [n, one] of saga.steps.entries()) if (one.state === 'running') oracle.maybe(n);
              if (what === 'take over') enlist();
              apply({ op: 'leave', runner: saga.owner });
              if (what === 'leave all') enlist();
              const now = view().saga;
              if (now.ended === 0) {
                expect(now.epoch, 'a new owner has a new token').to.be.above(saga.epoch);
                expect(now.owner).to.not.equal(saga.owner);
                tokens.add(now.epoch);
              }
              break;
            }
            case 'resolve': {
              const name = action === 'skip' ? { step: `s${i}` } : {};
              const isPossible =
                stuck &&
                (action !== 'skip' || saga.steps[i]!.stuck) &&
                (action !== 'compensate' || saga.state === 'running');
              if (isPossible) resolved++;
              if (isPossible && action === 'compensate') oracle.overruled = true;
              if (isPossible && action === 'skip' && !undo) oracle.happened[i] = 'yes';
              verdict = apply({ op: 'resolve', id: 'x', action, reason: '', ...name });
              expect(typeof verdict === 'object', `${String(verdict)} ${action}`).to.equal(isPossible);
              break;
            }
          }
          oracle.see(view());
          if (at % 8 === 0) isTwin();
        }
        isTwin();
        const { state, ended } = oracle.saga;
        if (ended !== 0) ends = { ...ends, [state]: ends[state as keyof typeof ends] + 1 };
      }),
      { numRuns: 400 },
    );
    // It says little if it ends nowhere.
    expect(ends.completed, 'completed').to.be.above(10);
    expect(ends.compensated, 'compensated').to.be.above(10);
    expect(resolved, 'resolved').to.be.above(10);
  });
});
