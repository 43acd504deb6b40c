import { expect } from 'chai';
import fc from 'fast-check';
import { keyValue } from '../../../../lib/machines/keyValue.js';
import type { ApplyContext } from '../../../../lib/replica/stateMachine.js';
import {
  analyzeLinearizability,
  checkLinearizable,
} from '../../../../lib/testing/linearizability/checkLinearizable.js';
import { keyValueModel, type KeyValueInput } from '../../../../lib/testing/linearizability/keyValueModel.js';
import type { Operation } from '../../../../lib/testing/linearizability/model.js';
import { registerModel } from '../../../../lib/testing/linearizability/registerModel.js';

type KeyValueOperation = Operation<KeyValueInput>;

const key = fc.constantFrom('a', 'b', 'ab');
const value = fc.oneof(fc.nat(1), fc.constant({ x: [1] }));
const withoutList: fc.Arbitrary<KeyValueInput> = fc.oneof(
  fc.record({ op: fc.constant('put' as const), key, value }),
  fc.record({ op: fc.constant('delete' as const), key }),
  fc.record({ op: fc.constant('cas' as const), key, expected: fc.option(value, { nil: undefined }), value }),
  fc.record({ op: fc.constant('get' as const), key }),
);
const list: fc.Arbitrary<KeyValueInput> = fc.record({
  op: fc.constant('list' as const),
  prefix: fc.constantFrom(undefined, '', 'a'),
  after: fc.constantFrom(undefined, 'a'),
  limit: fc.constantFrom(undefined, 0, 1),
});

/** What the real machine answers, one operation after the other. */
function record(inputs: readonly KeyValueInput[]): KeyValueOperation[] {
  const machine = keyValue();
  return inputs.map((input, i) => {
    const output =
      input.op === 'get' || input.op === 'list'
        ? machine.query!(input)
        : machine.apply(input, {} as ApplyContext);
    return { process: 0, call: 2 * i, return: 2 * i + 1, input, output };
  });
}

describe('keyValueModel', () => {
  it('says what the machine does', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(withoutList, list), { maxLength: 12 }), (inputs) => {
        const { verdict, text } = analyzeLinearizability(keyValueModel(), record(inputs));
        expect(verdict, text).to.equal('ok');
      }),
      { numRuns: 400 },
    );
  });

  for (const [name, inputs] of [
    ['with lists', fc.oneof(withoutList, list)],
    ['per key', withoutList],
  ] as const) {
    it(`refuses every other output, ${name}`, () => {
      const wrong = [
        { ok: true },
        { ok: false },
        { ok: true, current: 0 },
        { ok: false, current: 0 },
        0,
        'q',
        [],
      ];
      fc.assert(
        fc.property(
          fc.array(inputs, { minLength: 1, maxLength: 8 }),
          fc.constantFrom(...wrong),
          fc.nat(),
          (some, output, n) => {
            const history = record(some);
            const at = n % history.length;
            const right = JSON.stringify(history[at]!.output) === JSON.stringify(output);
            history[at] = { ...history[at]!, output };
            expect(checkLinearizable(keyValueModel(), history)).to.equal(right ? 'ok' : 'illegal');
          },
        ),
        { numRuns: 400 },
      );
    });
  }

  it('takes an absent value of a get as just that', () => {
    const [put] = record([{ op: 'put', key: 'a', value: 1 }]);
    const get = {
      process: 1,
      call: 5,
      return: 6,
      input: { op: 'get', key: 'a' } as const,
      output: undefined,
    };
    expect(checkLinearizable(keyValueModel(), [put!, get])).to.equal('illegal');
    expect(checkLinearizable(keyValueModel(), [put!, { ...get, call: 0 }])).to.equal('ok');
  });

  it('lets commands of unknown outcome happen or not', () => {
    const unknown = { process: 1, call: 0, return: Infinity, output: undefined };
    const get = (call: number, output: unknown): KeyValueOperation => ({
      process: 2,
      call,
      return: call + 1,
      input: { op: 'get', key: 'a' },
      output,
    });
    const history: KeyValueOperation[] = [
      { ...unknown, input: { op: 'put', key: 'a', value: 1 } },
      { ...unknown, input: { op: 'cas', key: 'a', expected: 1, value: 2 } },
      { ...unknown, input: { op: 'delete', key: 'a' } },
    ];
    const check = (...outputs: unknown[]) =>
      checkLinearizable(keyValueModel(), [...history, ...outputs.map((output, i) => get(2 * i, output))]);
    expect(check(undefined, 1, 2, undefined)).to.equal('ok');
    expect(check(undefined, undefined)).to.equal('ok');
    expect(check(2, 1)).to.equal('illegal');
    expect(check(1, undefined, 1)).to.equal('illegal');
  });

  it('looks at keys one by one, unless a list sees them all', () => {
    const model = keyValueModel();
    const history = record([
      { op: 'put', key: 'a', value: 1 },
      { op: 'put', key: 'b', value: 1 },
      { op: 'get', key: 'a' },
    ]);
    expect(model.partition!(history).map((part) => part.length)).to.deep.equal([2, 1]);
    const listed = record([{ op: 'put', key: 'a', value: 1 }, { op: 'list' }]);
    expect(model.partition!(listed)).to.deep.equal([listed]);
    // The list shows b without a, which no order of the two puts one after the other explains.
    const torn = [...history, { ...listed[1]!, call: 10, return: 11, output: [['b', 1]] }];
    expect(checkLinearizable(keyValueModel(), torn)).to.equal('illegal');
  });

  it('refuses an operation that the machine does not have', () => {
    const history = record([{ op: 'get', key: 'a' }]).map((o) => ({ ...o, input: { op: 'pop' } as never }));
    expect(() => checkLinearizable(keyValueModel(), history)).to.throw(/input\.op.*"pop"/);
  });
});

describe('registerModel', () => {
  const at = (i: number, input: unknown, output: unknown) =>
    ({ process: 0, call: 2 * i, return: 2 * i + 1, input, output }) as Operation<never, never>;

  it('reads, writes, compares and sets by content', () => {
    const history = [
      at(0, { op: 'read' }, null),
      at(1, { op: 'write', value: { v: 1 } }, undefined),
      at(2, { op: 'cas', expected: { v: 2 }, value: 3 }, false),
      at(3, { op: 'cas', expected: { v: 1 }, value: 3 }, true),
      at(4, { op: 'read' }, 3),
    ];
    expect(checkLinearizable(registerModel(), history)).to.equal('ok');
    expect(checkLinearizable(registerModel(7), history)).to.equal('illegal');
    expect(
      checkLinearizable(registerModel(), history.with(2, { ...history[2]!, output: true as never })),
    ).to.equal('illegal');
    expect(
      checkLinearizable(registerModel(), history.with(3, { ...history[3]!, output: false as never })),
    ).to.equal('illegal');
  });
});

describe('analyzeLinearizability', () => {
  it('shows where a history goes wrong', () => {
    const history = [
      { process: 'a', call: 0, return: 4, input: { op: 'write', value: 1 } as const, output: undefined },
      { process: 'b', call: 5, return: 9, input: { op: 'write', value: 2 } as const, output: undefined },
      { process: 'c', call: 6, return: 7, input: { op: 'read' } as const, output: 3 },
    ];
    const { verdict, text, failure, reason } = analyzeLinearizability(registerModel<number>(), history);
    expect(verdict).to.equal('illegal');
    expect(reason).to.equal(undefined);
    expect(failure!.linearized).to.deep.equal([history[0], history[1]]);
    expect(failure!.stuck).to.deep.equal([history[2]]);
    expect(failure!.state).to.equal(2);
    const bars = text.split('\n').filter((line) => line.includes('├'));
    expect(text).to.match(/^illegal: 3 operations, of which at most 2 were put in order/);
    expect(text).to.include('State then: 2');
    expect(bars.length).to.equal(3);
    expect(bars[0]).to.match(/^ {2}a ├─+┤ .*#1 \{ op: 'write', value: 1 \} → undefined$/);
    expect(bars[2]).to.match(/^ {2}c .*✗ \{ op: 'read' \} → 3$/);
    expect(bars[2]!.indexOf('├')).to.be.greaterThan(bars[1]!.indexOf('├'));
    expect(bars[2]!.indexOf('┤')).to.be.lessThan(bars[1]!.indexOf('┤'));
  });

  it('shows a part of a long history, by the words of the model', () => {
    const model = { ...registerModel<number>(), describe: (input: { op: string }) => `did ${input.op}` };
    const writes = Array.from({ length: 100 }, (_, i) => ({
      process: i,
      call: i,
      return: i,
      input: { op: 'write', value: i } as const,
      output: undefined,
    }));
    const lost = { ...writes[0]!, return: Infinity, input: { op: 'write', value: 500 } as const };
    const last = { process: 'r', call: 200, return: 201, input: { op: 'read' } as const, output: -1 };
    const { text, failure } = analyzeLinearizability(model, [...writes, lost, last]);
    expect(failure!.linearized.length).to.be.at.least(100);
    expect(text.split('\n').length).to.be.lessThan(20);
    expect(text)
      .to.include('✗ did read')
      .and.to.match(/operations not shown/);
  });

  it('is brief when all is well', () => {
    const analysis = analyzeLinearizability(registerModel(), []);
    expect(analysis).to.deep.equal({ verdict: 'ok', text: 'ok: 0 operations are linearizable' });
  });
});
