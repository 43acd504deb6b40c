import { expect } from 'chai';
import fc from 'fast-check';
import { equalValues } from '../../../lib/machines/equal.js';
import { detach } from '../../../lib/replica/detach.js';
import { anyValue } from '../replica/values.js';

describe('equalValues', () => {
  it('holds for a copy, in both directions', () => {
    fc.assert(
      fc.property(anyValue, anyValue, (a, b) => {
        expect(equalValues(a, detach(a))).to.equal(true);
        expect(equalValues(a, b)).to.equal(equalValues(b, a));
        expect(equalValues([a], [a, b])).to.equal(false);
      }),
      { numRuns: 500 },
    );
  });

  it('looks at content, not at order or identity', () => {
    const same: [unknown, unknown][] = [
      [NaN, NaN],
      [0, -0],
      [{ a: 1, b: 2 }, { b: 2, a: 1 }],
      [new Map<unknown, unknown>([['a', 1], [{ k: 1 }, 2], [{ k: 2 }, 3]]), new Map<unknown, unknown>([[{ k: 2 }, 3], [{ k: 1 }, 2], ['a', 1]])],
      [new Set([{ a: 1 }, { b: 1 }, 5]), new Set([5, { b: 1 }, { a: 1 }])],
      [new Date(5), new Date(5)],
      [new Date(NaN), new Date(NaN)],
      [Float64Array.of(NaN), Float64Array.of(NaN)],
      [Buffer.from('a'), Uint8Array.of(97)],
      [Object.assign(Object.create(null) as object, { a: 1 }), { a: 1 }],
    ]; // prettier-ignore
    const different: [unknown, unknown][] = [
      [1, 1n], [1, '1'], [null, undefined], [null, {}], [{}, []], [[], new Set()], [new Map(), new Set()],
      [{ a: undefined }, {}], [{ a: undefined }, { b: undefined }], [{ a: 1 }, { a: 1, b: 2 }], [[1], [2]], [[1], [1, 2]],
      [JSON.parse('{"__proto__":1}'), { a: 1 }], [{ toString: 1 }, { a: 1 }],
      [new Map([['a', 1]]), new Map([['a', 2]])], [new Map([['a', undefined]]), new Map([['b', undefined]])],
      [new Map([[{ k: 1 }, 1]]), new Map([[{ k: 1 }, 2]])],
      [new Map<unknown, unknown>([['a', 1], [{}, 1]]), new Map<unknown, unknown>([['a', 1], ['b', 1]])],
      [new Set([{ a: 1 }, { b: 1 }]), new Set([{ a: 1 }, { a: 1 }])], [new Set([1]), new Set([2])],
      [new Date(5), new Date(6)], [new Date(5), { a: 1 }], [Uint8Array.of(1), Int8Array.of(1)],
      [Uint8Array.of(1), Uint8Array.of(2)], [Uint8Array.of(1), Uint8Array.of(1, 1)], [new Error('a'), new Error('a')],
    ]; // prettier-ignore
    for (const [a, b] of same) expect([equalValues(a, b), equalValues(b, a)]).to.deep.equal([true, true]);
    for (const [a, b] of different)
      expect([equalValues(a, b), equalValues(b, a)]).to.deep.equal([false, false]);
  });
});
