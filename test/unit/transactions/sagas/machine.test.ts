import { expect } from 'chai';
import fc from 'fast-check';
import { QuorateError } from '../../../../lib/errors.js';
import type { SagaView } from '../../../../lib/transactions/sagas/record.js';
import { Retention } from '../../../../lib/transactions/sagas/retention.js';
import { sagas } from '../../../../lib/transactions/sagas/sagasMachine.js';
import { fingerprintOf, shapeProblem, type SagaShape } from '../../../../lib/transactions/sagas/shape.js';
import { bytesOf, contextAt, driver, errorOf, inChunks, rejectionOf } from '../../machines/helpers.js';

const step = (id: string, after: number[] = [], undo = true) => ({ id, after, undo, pivot: false });
const shape: SagaShape = { name: 'n', version: 1, steps: [step('one'), step('two', [0])] };
const input = new Uint8Array([1]);
const start = { op: 'start', id: 'x', shape, input, timeout: 0, retention: 1000 };
const enlist = { op: 'enlist', runner: 'r', leaseMs: 1000, definitions: [fingerprintOf(shape)] };
const attempt = { id: 'x', epoch: 2, step: 0, undo: false, attempt: 1 };
const error = { code: 'E', message: 'm', data: undefined };

describe('the state machine of sagas and what it is given', () => {
  it('rejects what makes no sense, and changes nothing', () => {
    const machine = sagas();
    const apply = driver(machine);
    apply(enlist);
    apply(start);
    const before = machine.query!({ op: 'get', id: 'x' }) as SagaView;
    const wrong: Record<string, unknown>[] = [
      { ...start, id: 'a/b' },
      { ...start, id: undefined },
      { ...start, input: 'text' },
      { ...start, input: undefined },
      { ...start, input: new Uint8Array(262_145) },
      { ...start, timeout: -1 },
      { ...start, retention: 0.5 },
      { ...start, shape: undefined },
      { ...start, shape: { ...shape, steps: [] } },
      { ...enlist, leaseMs: 99 },
      { ...enlist, definitions: ['short'] },
      { ...enlist, definitions: undefined },
      { op: 'beat', runner: '' },
      { op: 'leave', runner: 7 },
      { op: 'done', ...attempt, epoch: 0 },
      { op: 'done', ...attempt, step: 64 },
      { op: 'done', ...attempt, undo: 1 },
      { op: 'done', ...attempt, attempt: '1' },
      { op: 'done', ...attempt, result: new Uint8Array(65_537) },
      { op: 'failed', ...attempt, rejected: false },
      { op: 'failed', ...attempt, error: { code: 'E' }, rejected: false },
      { op: 'failed', ...attempt, error, rejected: 'no' },
      { op: 'failed', ...attempt, error, rejected: false, retryMs: -1 },
      { op: 'failed', ...attempt, error: { ...error, message: 'm'.repeat(1001) }, rejected: false },
      { op: 'failed', ...attempt, error: { ...error, data: new Uint8Array(4097) }, rejected: false },
      { op: 'expire', id: 'x' },
      { op: 'cancel', id: 'x' },
      { op: 'cancel', id: 'x', reason: 'r'.repeat(1001) },
      { op: 'resolve', id: 'x', action: 'pray', reason: '' },
      { op: 'resolve', id: 'x', action: 'skip', reason: '' },
      { op: 'resolve', id: 'x', action: 'retry', reason: '', step: 1 },
    ];
    for (const command of wrong)
      expect(errorOf(() => apply(command)).reason, JSON.stringify(command)).to.equal('INVALID');
    expect(errorOf(() => apply({ op: 'else' })).code).to.equal('ERR_UNKNOWN_OPERATION');
    expect(errorOf(() => machine.query!({ op: 'else' } as never)).code).to.equal('ERR_UNKNOWN_OPERATION');
    expect((machine.query!({ op: 'get', id: 'x' }) as SagaView).saga).to.deep.equal(before.saga);
  });

  it('takes commands of any form whatever without an error of its own', () => {
    const machine = sagas();
    let index = 0;
    const field = fc.oneof(
      fc.constantFrom(
        'x',
        'r',
        '',
        input,
        shape,
        [fingerprintOf(shape)],
        error,
        true,
        'skip',
        'one',
        undefined,
      ),
      fc.integer({ min: -1, max: 70 }),
      fc.anything({ maxDepth: 2 }),
    );
    const names = [
      'id',
      'shape',
      'input',
      'timeout',
      'retention',
      'runner',
      'leaseMs',
      'definitions',
      'epoch',
      'step',
    ];
    const more = ['undo', 'attempt', 'result', 'error', 'rejected', 'retryMs', 'reason', 'action'];
    const ops = fc.constantFrom(
      ...['start', 'enlist', 'beat', 'leave', 'done', 'failed', 'retry', 'expire', 'cancel', 'resolve'],
    );
    const command = fc
      .tuple(ops, fc.dictionary(fc.constantFrom(...names, ...more), field, { maxKeys: 8 }), fc.boolean())
      .map(([op, fields, whole]) => {
        const base = whole
          ? { ...start, ...enlist, ...attempt, error, rejected: false, reason: '', action: 'retry' }
          : {};
        return { ...base, ...fields, op };
      });
    // Found by such a run: `null` is an object, too.
    const withoutError = { ...start, ...enlist, ...attempt, rejected: false, error: null, op: 'failed' };
    fc.assert(
      fc.property(command, (one) => {
        try {
          machine.apply(one as never, contextAt(++index, index * 5));
        } catch (thrown) {
          if (!(thrown instanceof QuorateError) || thrown.code !== 'ERR_REJECTED') throw thrown;
        }
      }),
      { numRuns: 1500, examples: [[withoutError]] },
    );
  });

  it('says what is wrong with a definition', () => {
    const pivot = (i: number, steps: SagaShape['steps']): unknown => ({
      ...shape,
      steps: steps.map((one, at) => ({ ...one, pivot: at === i })),
    });
    const wrong: [unknown, string][] = [
      [7, 'an object'],
      [{ ...shape, name: '' }, 'name'],
      [{ ...shape, version: 0 }, 'version'],
      [{ ...shape, steps: Array.from({ length: 65 }, (_, i) => step(`s${i}`)) }, '64 steps'],
      [{ ...shape, steps: [step('one'), step('one')] }, 'two steps'],
      [{ ...shape, steps: [step('__proto__')] }, 'id of step 0'],
      [{ ...shape, steps: [step('x'.repeat(65))] }, 'id of step 0'],
      [{ ...shape, steps: [step('one', [0])] }, 'defined before'],
      [{ ...shape, steps: [step('one'), step('two', [0, 0])] }, 'named once'],
      [{ ...shape, steps: [step('one'), step('two'), step('three', [1, 0])] }, 'named once'],
      [{ ...shape, steps: [step('one'), step('two', [-1])] }, 'defined before'],
      [pivot(0, [step('one')]), 'must have no undo'],
      [pivot(0, [step('one', [], false), step('two', [0])]), 'comes after the pivot'],
      [pivot(1, [step('one'), step('two', [0], false), step('three', [0], false)]), 'beside'],
    ];
    for (const [one, why] of wrong) expect(shapeProblem(one)).to.include(why);
    expect(shapeProblem(shape)).to.equal(undefined);
    expect(
      shapeProblem(pivot(1, [step('one'), step('two', [0], false), step('three', [1], false)])),
    ).to.equal(undefined);
  });

  it('keeps what a snapshot holds, and refuses one that was changed', async () => {
    const machine = sagas();
    const apply = driver(machine);
    apply(enlist);
    for (let i = 0; i < 300; i++) apply({ ...start, id: `x${i}` });
    apply({ op: 'done', ...attempt, id: 'x0', result: new Uint8Array([9]) });
    apply({ op: 'cancel', id: 'x1', reason: 'why' });
    const bytes = bytesOf(machine);
    const twin = sagas();
    await twin.restore(inChunks(bytes, [5, 1000]));
    expect(bytesOf(twin).equals(bytes)).to.equal(true);
    expect(twin.query!({ op: 'owned', runner: 'r' })).to.have.length(300);
    for (const op of ['runners', 'list', 'activity'] as const)
      expect(twin.query!({ op })).to.deep.equal(machine.query!({ op }));
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const damaged = Uint8Array.from(bytes);
        damaged[at]! ^= flip;
        const { code } = await rejectionOf(twin.restore(inChunks(damaged)));
        expect(code).to.equal('ERR_CODEC');
      }),
      { numRuns: 50 },
    );
    expect(bytesOf(twin).equals(bytes)).to.equal(true);
  });

  it('captures a snapshot that later changes do not show in', () => {
    const machine = sagas();
    const apply = driver(machine);
    apply(enlist);
    apply(start);
    const before = bytesOf(machine);
    const chunks = machine.snapshot() as Iterable<Uint8Array>;
    apply({ op: 'done', ...attempt });
    apply({ ...start, id: 'y' });
    expect(Buffer.concat([...chunks]).equals(before)).to.equal(true);
    expect(bytesOf(machine).equals(before)).to.equal(false);
  });

  it('gives a saga to another runner when the lease is over, to the millisecond, and not before', () => {
    const machine = sagas();
    const apply = driver(machine);
    const owner = (): string => (machine.query!({ op: 'get', id: 'x' }) as SagaView).saga.owner;
    apply(enlist, 0, 'a');
    apply({ ...enlist, runner: 's' }, 0, 'b');
    apply(start, 5000, 'a'); // while nobody owned anything nobody had to beat: both have a lease from now on
    expect(owner()).to.equal('r');
    apply({ op: 'beat', runner: 's' }, 5500, 'b');
    apply({ op: 'beat', runner: 's' }, 5999, 'b');
    expect(owner()).to.equal('r');
    apply({ op: 'beat', runner: 's' }, 6000, 'b');
    expect(owner()).to.equal('s');
    expect(apply({ op: 'beat', runner: 'r' }, 6001, 'a')).to.deep.equal({ known: false });
    // A new life of a node takes the place of the old one at once.
    apply({ ...enlist, runner: 't' }, 6002, 'b');
    expect(owner()).to.equal('t');
    apply({ op: 'leave', runner: 't' }, 6003, 'b');
    expect(owner()).to.equal('');
    expect(apply({ op: 'done', ...attempt }, 6004)).to.deep.equal({ verdict: 'fenced' });
  });

  it('remembers a definition as long as a saga of it, and refuses another under the same name and version', () => {
    const machine = sagas();
    const apply = driver(machine);
    const other = { ...shape, steps: [step('else')] };
    apply({ ...start, retention: 0 }, 1);
    expect(errorOf(() => apply({ ...start, id: 'y', shape: other }, 2)).reason).to.equal(
      'DEFINITION_DIFFERS',
    );
    expect(errorOf(() => apply({ ...start, shape: other }, 2)).reason).to.equal('DEFINITION_DIFFERS');
    expect(apply({ ...start, id: 'z', shape: { ...other, version: 2 } }, 2)).to.deep.equal({ created: true });
    expect(apply({ op: 'resolve', id: 'x', action: 'abandon', reason: '' }, 3)).to.deep.equal({
      state: 'abandoned',
    });
    expect(apply({ ...start, id: 'y', shape: other }, 4)).to.deep.equal({ created: true });
    expect(machine.query!({ op: 'shape', name: 'n', version: 1 })).to.deep.equal(other);
  });

  it('lists by state, name and whether stuck, in pages', () => {
    const machine = sagas();
    const apply = driver(machine);
    apply(enlist);
    for (let i = 0; i < 10; i++) apply({ ...start, id: `x${i}` });
    const ids = (query: object): string[] =>
      (machine.query!({ op: 'list', ...query }) as SagaView[]).map(({ saga }) => saga.id);
    expect(ids({ limit: 3 })).to.deep.equal(['x0', 'x1', 'x2']);
    const third = (machine.query!({ op: 'get', id: 'x2' }) as SagaView).saga.index;
    expect(ids({ after: third, limit: 2 })).to.deep.equal(['x3', 'x4']);
    expect(ids({ name: 'other' })).to.deep.equal([]);
    expect(ids({ state: 'active', stuck: true })).to.deep.equal([]);
    expect(ids({ state: 'completed' })).to.deep.equal([]);
  });

  it('forgets in the order in which times come, whatever order they were noted in', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50), { maxLength: 40 }), fc.nat(60), (times, now) => {
        const retention = new Retention();
        for (const [i, at] of times.entries()) retention.add(at, i, String(i));
        const due = [...times.entries()].filter(([, at]) => at <= now);
        const expected = due.sort(([i, a], [j, b]) => a - b || i - j).map(([i]) => String(i));
        expect([...retention.take(now, 7), ...retention.take(now, 1000)]).to.deep.equal(expected);
      }),
    );
  });
});
