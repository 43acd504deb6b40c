/** Replicated data types equal an oracle that keeps whole histories, whoever writes, deletes, meets or loses its disk when. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { CrdtType } from '../../../../lib/store/crdt/crdt.js';
import { pnCounter, type CounterOperation } from '../../../../lib/store/crdt/counter.js';
import { flag, type FlagOperation } from '../../../../lib/store/crdt/flag.js';
import { orSet, type SetOperation } from '../../../../lib/store/crdt/orSet.js';
import {
  lwwMap,
  lwwRegister,
  type MapOperation,
  type RegisterOperation,
} from '../../../../lib/store/crdt/registers.js';
import { cbor } from '../../../../lib/replica/codec.js';
import { Cluster, type Case, type Command } from './oracle.js';

const codec = cbor();

const commands = <Op>(operation: fc.Arbitrary<Op>): fc.Arbitrary<Command<Op>[]> => {
  const at = fc.nat(2);
  const operations = fc.array(operation, { minLength: 1, maxLength: 3 });
  const update = fc.record({
    kind: fc.constant('update' as const),
    at,
    operations,
    wallMs: fc.integer({ min: -3, max: 3 }),
  });
  return fc.array(
    fc.oneof(
      { weight: 12, arbitrary: update },
      { weight: 10, arbitrary: fc.record({ kind: fc.constant('sync' as const), at, from: fc.nat(2) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), at }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('loss' as const), at }) },
    ),
    { maxLength: 40 },
  );
};

function agrees<State, Value, Op>(
  name: string,
  given: Case<State, Value, Op>,
  operation: fc.Arbitrary<Op>,
  known: readonly Command<Op>[][] = [],
): void {
  it(`${name}: reads what the histories say, and converges`, () => {
    let runs = 0;
    fc.assert(
      fc.property(commands(operation), (list) => {
        const cluster = new Cluster(given);
        for (const command of list) {
          cluster.run(command);
          const { real, expected } = cluster.read(command.at);
          expect(real).to.deep.equal(expected);
        }
        if (++runs % 5 === 0)
          obeysLaws(given.type, [0, 1, 2].flatMap((at) => cluster.read(at).states).slice(0, 4));
        cluster.heal();
        const [first, ...others] = cluster.sets();
        for (const other of others) expect(other).to.deep.equal(first);
        const { real, expected } = cluster.read(0);
        expect(real).to.deep.equal(expected);
      }),
      { numRuns: 150, examples: known.map((list) => [list]) },
    );
  });
}

const update = <Op>(at: number, ...operations: Op[]): Command<Op> => ({
  kind: 'update',
  at,
  operations,
  wallMs: 1,
});
const remove = (at: number): Command<never> => ({ kind: 'delete', at });
const sync = (at: number, from: number): Command<never> => ({ kind: 'sync', at, from });

/** As bytes, so that equal states have equal bytes too. */
function obeysLaws<State>(type: CrdtType<State, unknown, never>, states: readonly State[]): void {
  const bytes = (state: State): string => Buffer.from(codec.encode(type.encode(state))).toString('hex');
  for (const a of states) {
    expect(bytes(type.merge(a, a))).to.equal(bytes(a));
    expect(bytes(type.merge(type.initial(), a))).to.equal(bytes(a));
    expect(bytes(type.decode(codec.decode(codec.encode(type.encode(a)))))).to.equal(bytes(a));
    for (const b of states) {
      const ab = type.merge(a, b);
      expect(bytes(ab)).to.equal(bytes(type.merge(b, a)));
      for (const c of states)
        expect(bytes(type.merge(ab, c))).to.equal(bytes(type.merge(a, type.merge(b, c))));
    }
  }
}

const add = (by: number): CounterOperation => ({ op: 'add', by });
const put = (value: string): SetOperation<unknown> => ({ op: 'add', value });
const word = fc.constantFrom('x', 'y', 'z');
const base64 = (value: unknown): string => Buffer.from(codec.encode(value)).toString('base64');

describe('replicated data types', () => {
  agrees<never, number, CounterOperation>(
    'a counter',
    {
      type: pnCounter() as unknown as CrdtType<never, number, CounterOperation>,
      union: true,
      effect: ({ by = 1 }) => ({ place: '', value: by, adds: true }),
      expected: (counting) => counting.reduce((sum, { value }) => sum + (value as number), 0),
    },
    fc.record({
      op: fc.constant('add' as const),
      by: fc.option(fc.integer({ min: -9, max: 9 }), { nil: undefined }),
    }),
    // What a had added comes back after its own delete, in two states of different age.
    [
      [
        ...[
          update(0, add(5)),
          sync(1, 0),
          update(1, add(1)),
          update(0, add(1)),
          sync(2, 0),
          update(2, add(1)),
        ],
        ...[remove(0), sync(0, 1), update(0, add(1)), sync(0, 2)],
      ],
    ],
  );

  const setOperation: fc.Arbitrary<SetOperation<unknown>> = fc.oneof(
    fc.record({
      op: fc.constantFrom('add' as const, 'add' as const, 'remove' as const),
      value: fc.oneof(word, fc.constant({ deep: [1] })),
    }),
    fc.constant({ op: 'clear' as const }),
  );
  agrees<never, unknown[], SetOperation<unknown>>(
    'a set',
    {
      type: orSet() as unknown as CrdtType<never, unknown[], SetOperation<unknown>>,
      effect: (operation) =>
        operation.op === 'clear'
          ? { place: undefined }
          : { place: base64(operation.value), value: operation.op === 'add' ? operation.value : undefined },
      expected: (counting) => {
        const elements = new Map(counting.map(({ place, value }) => [place, value]));
        return [...elements.keys()].sort().map((place) => elements.get(place));
      },
    },
    setOperation,
    // x came from c; a removes it with its key, and begins anew; b, who adds to what it had seen, brings the old x along.
    [
      [
        ...[update(2, put('x')), sync(0, 2), sync(1, 2), update(1, put('y')), remove(0), update(0, put('z'))],
        sync(0, 1),
      ],
    ],
  );

  const mapOperation: fc.Arbitrary<MapOperation<number>> = fc.oneof(
    { weight: 4, arbitrary: fc.record({ op: fc.constant('set' as const), key: word, value: fc.nat(99) }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('remove' as const), key: word }) },
    { weight: 1, arbitrary: fc.constant({ op: 'clear' as const }) },
  );
  agrees<never, Map<string, number>, MapOperation<number>>(
    'a map',
    {
      type: lwwMap<number>() as unknown as CrdtType<never, Map<string, number>, MapOperation<number>>,
      effect: (operation) =>
        operation.op === 'clear'
          ? { place: undefined }
          : { place: operation.key, value: operation.op === 'set' ? operation.value : undefined },
      expected: (counting) => {
        const latest = new Map(counting.map(({ place, value }) => [place, value as number]));
        return new Map([...latest].sort(([a], [b]) => (a < b ? -1 : 1)));
      },
    },
    mapOperation,
  );

  agrees<never, number | undefined, RegisterOperation<number>>(
    'a register',
    {
      type: lwwRegister<number>() as unknown as CrdtType<
        never,
        number | undefined,
        RegisterOperation<number>
      >,
      effect: ({ value }) => ({ place: '', value }),
      expected: (counting) => counting.at(-1)?.value as number | undefined,
    },
    fc.record({ op: fc.constant('set' as const), value: fc.nat(99) }),
  );

  for (const wins of ['enable', 'disable'] as const) {
    agrees<never, boolean, FlagOperation>(
      `a flag, ${wins} wins`,
      {
        type: flag({ wins }) as unknown as CrdtType<never, boolean, FlagOperation>,
        effect: ({ op }) => ({ place: '', value: op === wins ? true : undefined }),
        expected: (counting, exists) => exists && counting.length > 0 === (wins === 'enable'),
      },
      fc.record({ op: fc.constantFrom('enable' as const, 'disable' as const) }),
    );
  }
});
