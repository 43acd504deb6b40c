import { expect } from 'chai';
import fc from 'fast-check';
import {
  analyzeLinearizability,
  checkLinearizable,
} from '../../../../lib/testing/linearizability/checkLinearizable.js';
import type { Model, Operation } from '../../../../lib/testing/linearizability/model.js';
import { registerModel, type RegisterInput } from '../../../../lib/testing/linearizability/registerModel.js';
import { bruteForce } from './bruteForce.js';

type Register = Operation<RegisterInput<number>, number | boolean | null | undefined>;

const register = registerModel<number>();

function op(call: number, end: number, input: RegisterInput<number>, output?: Register['output']): Register {
  return { process: call, call, return: end, input, output };
}
const write = (call: number, end: number, value: number) => op(call, end, { op: 'write', value });
const read = (call: number, end: number, value: number | null) => op(call, end, { op: 'read' }, value);

/** Times from a small range, so that there are ties and much concurrency. */
const times = fc.tuple(fc.nat(9), fc.nat(5), fc.boolean());
function histories<I, O>(input: fc.Arbitrary<readonly [I, O]>, unknown: O): fc.Arbitrary<Operation<I, O>[]> {
  return fc.array(
    fc.tuple(times, input, fc.nat(3)).map(([[call, length, isUnknown], [what, output], process]) => ({
      process,
      call,
      return: isUnknown && length > 2 ? Infinity : call + length,
      input: what,
      output: isUnknown && length > 2 ? unknown : output,
    })),
    { maxLength: 7 },
  );
}
const small = fc.nat(2);
const registerOperations: fc.Arbitrary<readonly [RegisterInput<number>, Register['output']]> = fc.oneof(
  fc.tuple(fc.constant({ op: 'read' } as const), fc.option(small)),
  fc.tuple(
    small.map((value) => ({ op: 'write', value }) as const),
    fc.constant(undefined),
  ),
  fc.tuple(
    fc.tuple(small, small).map(([expected, value]) => ({ op: 'cas', expected, value }) as const),
    fc.boolean(),
  ),
);

/** A queue: what was put in is not forgotten, so an operation of unknown outcome stays visible. */
type QueueInput = { put: number } | 'take';
const queue: Model<readonly number[], QueueInput, number | null | undefined> = {
  init: () => [],
  step(state, input, output) {
    if (input !== 'take') return { ok: true, state: [...state, input.put] };
    return { ok: output === undefined || output === (state[0] ?? null), state: state.slice(1) };
  },
};

describe('checkLinearizable', () => {
  it('follows the definition', () => {
    expect(checkLinearizable(register, [])).to.equal('ok');
    expect(checkLinearizable(register, [write(0, 1, 1), read(2, 3, 1)])).to.equal('ok');
    expect(checkLinearizable(register, [write(0, 1, 1), read(2, 3, null)])).to.equal('illegal');
    expect(checkLinearizable(register, [read(2, 3, 1), write(0, 4, 1)])).to.equal('ok');
    const stale = [write(0, 9, 1), read(1, 2, 1), read(3, 4, null)];
    expect(checkLinearizable(register, stale)).to.equal('illegal');
  });

  it('takes a call at the moment of a return as concurrent with it', () => {
    expect(checkLinearizable(register, [write(0, 2, 1), read(2, 3, null)])).to.equal('ok');
    expect(checkLinearizable(register, [write(1, 1, 1), read(1, 1, null)])).to.equal('ok');
  });

  it('lets an operation of unknown outcome happen late, or never', () => {
    const lost = op(0, Infinity, { op: 'write', value: 1 });
    expect(checkLinearizable(register, [lost, read(1, 2, null)])).to.equal('ok');
    expect(checkLinearizable(register, [lost, read(1, 2, null), read(3, 4, 1)])).to.equal('ok');
    expect(checkLinearizable(register, [lost, read(1, 2, 1), read(3, 4, null)])).to.equal('illegal');
    expect(checkLinearizable(register, [read(0, 1, 1), op(2, Infinity, lost.input)])).to.equal('illegal');
    expect(checkLinearizable(register, [lost])).to.equal('ok');
  });

  it('agrees with the definition on random registers', () => {
    const seen = new Set<boolean>();
    fc.assert(
      fc.property(histories(registerOperations, undefined), (history) => {
        const legal = bruteForce(register, history);
        seen.add(legal);
        expect(checkLinearizable(register, history)).to.equal(legal ? 'ok' : 'illegal');
      }),
      { numRuns: 1000 },
    );
    expect(seen.size).to.equal(2);
  });

  it('agrees with the definition on random queues', () => {
    const operations = fc.oneof(
      small.map((put) => [{ put }, undefined] as const),
      fc.option(small).map((output) => ['take', output] as const),
    );
    const seen = new Set<boolean>();
    fc.assert(
      fc.property(histories<QueueInput, number | null | undefined>(operations, undefined), (history) => {
        const legal = bruteForce(queue, history);
        seen.add(legal);
        expect(checkLinearizable(queue, history)).to.equal(legal ? 'ok' : 'illegal');
      }),
      { numRuns: 1000 },
    );
    expect(seen.size).to.equal(2);
  });

  it('finds the one wrong output in a long history of ten clients', () => {
    const history = counterHistory(2000, 10);
    expect(checkLinearizable(counter, history)).to.equal('ok');
    for (const at of [0, 700, 1999]) {
      const wrong = history.map((o, i) => (i === at ? { ...o, output: o.output! + 1 } : o));
      expect(checkLinearizable(counter, wrong)).to.equal('illegal');
    }
  });

  it('checks 10,000 operations one after the other', () => {
    const history = counterHistory(10_000, 1);
    expect(checkLinearizable(counter, history, { timeoutMs: Infinity })).to.equal('ok');
    expect(checkLinearizable(counter, [...history, { ...history[0]!, call: 1e9, return: 1e9 }])).to.equal(
      'illegal',
    );
  });

  it('needs no luck with many unknown writes of a register', () => {
    const unknown = Array.from({ length: 120 }, (_, i) => op(i, Infinity, { op: 'write', value: i }));
    const reads = Array.from({ length: 60 }, (_, i) => read(1000 + i, 1000 + i + 0.5, 119 - i));
    expect(checkLinearizable(register, [...unknown, ...reads])).to.equal('ok');
    const again = read(2000, 2001, 90); // overwritten since
    expect(checkLinearizable(register, [...unknown, ...reads, again])).to.equal('illegal');
  });

  it('lets one operation stay open while a hundred others come and go', () => {
    const others = Array.from({ length: 100 }, (_, i) => [
      write(2 * i + 1, 2 * i + 1.5, i),
      read(2 * i + 2, 2 * i + 2.5, i),
    ]);
    const history = [write(0, 1000, -1), ...others.flat()];
    expect(checkLinearizable(register, [...history, read(500, 501, -1)])).to.equal('ok');
    expect(checkLinearizable(register, [...history, read(500, 501, -1), read(502, 503, 99)])).to.equal(
      'illegal',
    );
  });

  it('forgets none of the states that the same operations lead to', () => {
    const numbers = [0, 1, 2, 3, 4, 5];
    const permutation = fc.shuffledSubarray(numbers, { minLength: numbers.length });
    const puts = numbers.map((put) => ({
      process: put,
      call: 0,
      return: 1,
      input: { put },
      output: undefined,
    }));
    fc.assert(
      fc.property(permutation, (order) => {
        const takes = order.map((output, i) => ({
          process: 'x',
          call: 2 * i + 2,
          return: 2 * i + 3,
          input: 'take' as const,
          output,
        }));
        expect(checkLinearizable(queue, [...puts, ...takes])).to.equal('ok');
      }),
      { numRuns: 40 },
    );
  });

  it('says unknown when time runs out', () => {
    const history = hopeless(40);
    const { verdict, reason, text, failure } = analyzeLinearizability(queue, history, { timeoutMs: 100 });
    expect(verdict).to.equal('unknown');
    expect(reason).to.equal('timeout');
    expect(text).to.match(/^unknown \(timeout\)/);
    expect(failure!.partition.length).to.equal(41);
    expect(checkLinearizable(queue, history, { timeoutMs: 100 })).to.equal('unknown');
  });

  it('says unknown when memory runs out', () => {
    const { verdict, reason } = analyzeLinearizability(queue, hopeless(40), {
      memoryLimit: 2 ** 20,
      timeoutMs: Infinity,
    });
    expect([verdict, reason]).to.deep.equal(['unknown', 'memory']);
  });

  it('finds an illegal part beside one that cannot be decided', () => {
    const model = { ...queue, partition: () => [hopeless(40), wrong] };
    const wrong = [{ process: 'x', call: 0, return: 1, input: 'take' as const, output: 7 }];
    expect(checkLinearizable(model, wrong, { timeoutMs: 200 })).to.equal('illegal');
    const other = { ...queue, partition: () => [hopeless(40), []] };
    expect(checkLinearizable(other, wrong, { timeoutMs: 50 })).to.equal('unknown');
  });

  it('does not recurse: thousands of concurrent operations', () => {
    const history = Array.from({ length: 1500 }, (_, i) => ({
      process: i,
      call: 0,
      return: 1,
      input: { add: 1 },
      output: i + 1,
    }));
    expect(checkLinearizable(counter, history.slice(0, 200))).to.equal('ok');
    const same = history.map((o) => ({ ...o, output: undefined }));
    expect(checkLinearizable(counter, same)).to.equal('ok');
  });

  it('leaves the history as it is', () => {
    const history = [read(5, 6, 1), write(0, 1, 1)].map((o) => Object.freeze(o));
    expect(checkLinearizable(register, Object.freeze(history))).to.equal('ok');
    expect(history[0]!.call).to.equal(5);
  });

  it('lets an error of the model through', () => {
    const failing: Model<number> = {
      init: () => 0,
      step: () => {
        throw new RangeError('mine');
      },
    };
    expect(() => checkLinearizable(failing, [write(0, 1, 1)])).to.throw(RangeError, 'mine');
  });
});

describe('checkLinearizable: wrong arguments', () => {
  const good = [write(0, 1, 1)];
  const cases: [name: string, run: () => unknown, message: RegExp][] = [
    ['no model', () => checkLinearizable(undefined as never, good), /model must be an object, got undefined/],
    ['no step', () => checkLinearizable({ init: () => 0 } as never, good), /model\.step must be a function/],
    [
      'a key that is none',
      () => checkLinearizable({ ...register, key: 1 } as never, good),
      /model\.key.*got 1/,
    ],
    ['no history', () => checkLinearizable(register, 3 as never), /history must be an array.*got 3/],
    ['no operation', () => checkLinearizable(register, [null as never]), /history\[0\].*got null/],
    [
      'a return before the call',
      () => checkLinearizable(register, [write(5, 4, 1)]),
      /history\[0\]\.return.*from 5.*got 4/,
    ],
    ['a return that is NaN', () => checkLinearizable(register, [write(5, NaN, 1)]), /return.*got NaN/],
    [
      'a call that is NaN',
      () => checkLinearizable(register, [write(NaN, 4, 1)]),
      /call must be a finite.*got NaN/,
    ],
    [
      'a call at infinity',
      () => checkLinearizable(register, [write(Infinity, Infinity, 1)]),
      /call.*got Infinity/,
    ],
    ['null options', () => checkLinearizable(register, good, null as never), /options.*got null/],
    ['a time-out below 0', () => checkLinearizable(register, good, { timeoutMs: -1 }), /timeoutMs.*got -1/],
    ['too little memory', () => checkLinearizable(register, good, { memoryLimit: 9 }), /memoryLimit.*got 9/],
    [
      'a partition that is none',
      () => checkLinearizable({ ...register, partition: () => 5 } as never, good),
      /partition.*got 5/,
    ],
    [
      'a bad part',
      () => checkLinearizable({ ...register, partition: () => [[{}]] } as never, good),
      /partition\(history\)\[0\]\[0\]\.call/,
    ],
    [
      'a step without result',
      () => checkLinearizable({ ...register, step: () => undefined } as never, good),
      /model\.step.*got undefined/,
    ],
    [
      'a key that is an object',
      () => checkLinearizable({ ...register, key: () => ({}) } as never, good),
      /model\.key.*an object/,
    ],
    [
      'an unknown input',
      () => checkLinearizable(register, [op(0, 1, { op: 'swap' } as never)]),
      /input\.op.*"swap"/,
    ],
  ];
  for (const [name, run, message] of cases) {
    it(`refuses ${name}`, () => {
      expect(run).to.throw(message).with.property('code', 'ERR_CONFIG');
    });
  }
});

const counter: Model<number, { add: number }, number | undefined> = {
  init: () => 0,
  step: (n, { add }, output) => ({ ok: output === undefined || output === n + add, state: n + add }),
};

/** A legal history: the i-th addition takes effect at i, and is open for about as long as there are clients. */
function counterHistory(length: number, clients: number): Operation<{ add: number }, number | undefined>[] {
  let sum = 0;
  return Array.from({ length }, (_, i) => {
    const add = 1 + ((i * 7) % 5);
    sum += add;
    const spread = clients - 1;
    return {
      process: i % clients,
      call: i - ((i * 31) % 97) * (spread / 194),
      return: i + ((i * 17) % 89) * (spread / 178),
      input: { add },
      output: sum,
    };
  });
}

/** Puts of unknown outcome, all different, and a take that none explains: every order of every subset is a state. */
function hopeless(count: number): Operation<QueueInput, number | null | undefined>[] {
  const puts = Array.from({ length: count }, (_, i) => ({
    process: i,
    call: i,
    return: Infinity,
    input: { put: i },
    output: undefined,
  }));
  return [...puts, { process: 'x', call: 100, return: 101, input: 'take', output: -1 }];
}
