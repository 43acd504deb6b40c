import { expect } from 'chai';
import { Canonical } from '../../../../lib/testing/linearizability/canonical.js';
import {
  analyzeLinearizability,
  checkLinearizable,
} from '../../../../lib/testing/linearizability/checkLinearizable.js';
import type { Model, Operation } from '../../../../lib/testing/linearizability/model.js';

class Hidden {
  readonly #n: number;
  constructor(n: number) {
    this.#n = n;
  }
  get n(): number {
    return this.#n;
  }
}
class Tagged extends Map<string, number> {}

const symbol = Symbol('s');
const cyclic: { self?: unknown } = {};
cyclic.self = cyclic;
const impostor: unknown = Object.create(Map.prototype);

/** No two of these are the same state. */
const different: unknown[] = [
  undefined, null, 0, -0, NaN, Infinity, 1, '1', 1n, '', 'u', 'n1;', true, false, 'true',
  {}, [], new Map(), new Set(), Object.create(null), new Date(0), new Date(1), new Date(NaN),
  { a: undefined }, { a: null }, { a: { b: 1 } }, { a: 1, b: 2 }, { ab: 12 }, { a: 'b', c: 'd' }, { a: 'bs1:c' },
  { a: 0 }, { a: -0 }, { a: NaN }, { 1: 1 }, { [symbol]: 1 }, { [Symbol('s')]: 1 },
  Object.defineProperty({}, 'a', { value: 1 }), { a: 1 }, Object.defineProperty({}, 'a', { get: () => 1, enumerable: true }),
  [undefined], [null], new Array(1), Object.assign(new Array(2), { 1: undefined }), [1, 2], [2, 1], [[1], 2], [[1, 2]], ['1', 2], [1, [2]], Object.assign([1], { x: 1 }),
  new Map([[1, 2]]), new Map([['1', 2]]), new Map([[1, '2']]), new Map([[{}, 1]]), new Map([[[], 1]]),
  new Set([1]), new Set(['1']), new Set([1, 2]), new Set([[1, 2]]), new Set([new Set([1])]),
  new Uint8Array([1]), new Int8Array([1]), Buffer.from([1]), new Uint16Array([1]), new Uint8Array([1, 0]), new DataView(new ArrayBuffer(1)),
  Object.assign(new Uint8Array([1]), { x: 1 }), new ArrayBuffer(1),
  new Hidden(1), new Hidden(2), new Hidden(1), new Tagged(), Object.assign(new Map(), { x: 1 }), /a/, /b/, new Error('x'), Object(1), impostor,
  () => 1, () => 2, symbol, cyclic, { self: { self: {} } },
]; // prettier-ignore

describe('Canonical', () => {
  it('never takes two different values for the same', () => {
    for (const ordered of [true, false]) {
      const canonical = new Canonical();
      const texts = new Map<string, number>();
      for (const [i, value] of different.entries()) {
        const text = canonical.text(value, ordered);
        expect(texts.get(text), `value ${i} and value ${texts.get(text) ?? ''}`).to.equal(undefined);
        expect(canonical.text(value, ordered)).to.equal(text);
        texts.set(text, i);
      }
    }
  });

  it('takes plain data of the same content for the same', () => {
    const make = () => ({
      n: [1, 'x', null, undefined, NaN, -0, 2n],
      m: new Map<unknown, unknown>([[{ k: 1 }, new Set([1, [2]])]]),
      d: new Date(5),
      b: new Uint8Array([1, 2]),
      o: { ...{ p: Object.assign(Object.create(null), { q: 1 }) as object } },
    });
    const canonical = new Canonical();
    expect(canonical.text(make(), true)).to.equal(canonical.text(make(), true));
    expect(canonical.text(make(), false)).to.equal(canonical.text(make(), false));
  });

  it('minds the order of properties, entries and members only if asked to', () => {
    const pairs: [unknown, unknown][] = [
      [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ],
      [
        new Map([
          [1, 1],
          [2, 2],
        ]),
        new Map([
          [2, 2],
          [1, 1],
        ]),
      ],
      [new Set([1, 2]), new Set([2, 1])],
    ];
    const canonical = new Canonical();
    for (const [a, b] of pairs) {
      expect(canonical.text(a, false)).to.equal(canonical.text(b, false));
      expect(canonical.text(a, true)).to.not.equal(canonical.text(b, true));
    }
  });

  it('bears depth, breadth and circles', () => {
    const chain = (end: number) => {
      let list: unknown = end;
      for (let i = 0; i < 20_000; i++) list = { next: list };
      return list;
    };
    let bush: unknown = 1;
    for (let i = 0; i < 100; i++) bush = [bush, bush];
    const canonical = new Canonical();
    expect(canonical.text(chain(1), true)).to.not.equal(canonical.text(chain(2), true));
    expect(canonical.text(bush, true)).to.equal(canonical.text(bush, true));
    expect(canonical.text(new Array(1e9), true)).to.match(/^@/);
  });
});

type Put = { put: string } | { has: string } | 'evict' | 'size';
type PutOperation = Operation<Put>;

function concurrent(count: number): PutOperation[] {
  return Array.from({ length: count }, (_, i) => ({
    process: i,
    call: 0,
    return: 10,
    input: { put: `k${i}` },
    output: undefined,
  }));
}
const then = (call: number, input: Put, output: unknown): PutOperation => ({
  process: 'x',
  call,
  return: call + 1,
  input,
  output,
});

/** A set of keys under one of several kinds of state; `evict` gives the key that was put first. */
function bag<S>(empty: () => S, add: (s: S, key: string) => S, keys: (s: S) => string[]): Model<S, Put> {
  return {
    init: empty,
    step(state, input, output) {
      if (input === 'size') return { ok: output === keys(state).length, state };
      if (input === 'evict') return { ok: output === keys(state)[0], state };
      if ('has' in input) return { ok: output === keys(state).includes(input.has), state };
      return { ok: true, state: add(state, input.put) };
    },
  };
}
const bags: Record<string, Model<never, Put>> = {
  Set: bag(
    () => new Set<string>(),
    (s, k) => new Set(s).add(k),
    (s) => [...s],
  ) as unknown as Model<never, Put>,
  Map: bag(
    () => new Map<string, number>(),
    (s, k) => new Map(s).set(k, 1),
    (s) => [...s.keys()],
  ) as unknown as Model<never, Put>,
  object: bag(
    () => ({}),
    (s, k) => ({ ...s, [k]: 1 }),
    Object.keys,
  ) as unknown as Model<never, Put>,
};

describe('checkLinearizable: states', () => {
  for (const [name, model] of Object.entries(bags)) {
    it(`merges states of type ${name} that differ in order`, () => {
      // 11 concurrent puts: 2^11 sets of keys, but 11! orders.
      const history = [...concurrent(11), then(11, 'size', 10)];
      const { verdict } = analyzeLinearizability(model, history, { timeoutMs: 60_000 });
      expect(verdict).to.equal('illegal');
    });

    it(`minds the order in states of type ${name} if the model does`, () => {
      const history = concurrent(4);
      for (const first of ['k0', 'k1', 'k2', 'k3']) {
        expect(checkLinearizable(model, [...history, then(11, 'evict', first)])).to.equal('ok');
      }
      expect(checkLinearizable(model, [...history, then(11, 'evict', 'k9')])).to.equal('illegal');
    });
  }

  it('keeps instances of classes apart, unless there is a key', () => {
    const model: Model<Hidden, 'add' | 'double', number | undefined> = {
      init: () => new Hidden(1),
      step(state, input, output) {
        const n = input === 'add' ? state.n + 1 : state.n * 2;
        return { ok: output === undefined || output === n, state: new Hidden(n) };
      },
    };
    const base = { process: 0, call: 0, return: 5, output: undefined };
    const last = (output: number) => ({ process: 1, call: 6, return: 7, input: 'add' as const, output });
    const history = (output: number) => [
      { ...base, input: 'add' as const },
      { ...base, input: 'double' as const },
      last(output),
    ];
    for (const m of [model, { ...model, key: (s: Hidden) => s.n }]) {
      expect(checkLinearizable(m, history(5))).to.equal('ok'); // (1 + 1) * 2 + 1
      expect(checkLinearizable(m, history(4))).to.equal('ok'); // 1 * 2 + 1 + 1
      expect(checkLinearizable(m, history(6))).to.equal('illegal');
    }
  });

  it('refuses a model that changes its states in place', () => {
    const model: Model<Map<string, number>, string, undefined> = {
      init: () => new Map(),
      step: (state, key) => ({ ok: true, state: state.set(key, 1) }),
    };
    const history = [{ process: 0, call: 0, return: 1, input: 'a', output: undefined }];
    expect(() => checkLinearizable(model, history))
      .to.throw(/changed it in place/)
      .with.property('code', 'ERR_CONFIG');
  });
});
