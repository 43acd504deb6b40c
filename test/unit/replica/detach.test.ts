import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { QuorateError } from '../../../lib/errors.js';
import { cbor } from '../../../lib/replica/codec.js';
import { detach } from '../../../lib/replica/detach.js';
import { anyValue } from './values.js';

/** All objects within a value, and the memory under typed arrays. */
function objectsOf(value: unknown, into = new Set<object>()): Set<object> {
  if (typeof value !== 'object' || value === null) return into;
  into.add(value);
  if (ArrayBuffer.isView(value)) into.add(value.buffer);
  else if (value instanceof Map) for (const pair of value) pair.forEach((child) => objectsOf(child, into));
  else if (value instanceof Set) for (const child of value) objectsOf(child, into);
  else for (const child of Object.values(value)) objectsOf(child, into);
  return into;
}

describe('detach', () => {
  it('is what encoding and decoding would be, and shares nothing', () => {
    const codec = cbor();
    fc.assert(
      fc.property(anyValue, (value) => {
        const copy = detach(value);
        expect(isDeepStrictEqual(copy, codec.decode(codec.encode(value)))).to.equal(true);
        const originals = objectsOf(value);
        for (const object of objectsOf(copy)) expect(originals.has(object)).to.equal(false);
      }),
      { numRuns: 1000 },
    );
  });

  it('copies what is not plain as the codec would', () => {
    class Point {
      readonly x = [1];
      constructor() {
        Object.assign(this, { [Symbol('s')]: {} });
      }
    }
    const bytes = Buffer.from('abc');
    const holes = [1];
    holes[2] = 3;
    const value = {
      point: new Point(),
      bytes,
      holes,
      zeros: [-0, { zero: -0 }],
      typed: new (class extends Int16Array {})(3),
    };
    const copy = detach(value) as { point: object; bytes: Uint8Array };
    expect(isDeepStrictEqual(copy, cbor().decode(cbor().encode(value)))).to.equal(true);
    expect(Object.getOwnPropertySymbols(copy.point)).to.deep.equal([]);
    expect(Object.is(detach(-0), 0)).to.equal(true);
    bytes.fill(0);
    expect(Buffer.from(copy.bytes).toString()).to.equal('abc');
  });

  it('refuses what the codec refuses, in the same words', () => {
    const cycle: unknown[] = [];
    cycle.push([cycle]);
    for (const value of [
      () => 1,
      Symbol('s'),
      { a: [() => 1] },
      new Map([[1, Promise.resolve()]]),
      new Error('x'),
      cycle,
      'a\ud800',
      ['\ufeff'],
      JSON.parse('{"__proto__":1}'),
      2n ** 40_000n,
      new Date(8e15),
    ]) {
      let message = '';
      try {
        cbor().encode(value);
      } catch (error) {
        message = (error as Error).message;
      }
      expect(message).to.not.equal('');
      expect(() => detach(value))
        .to.throw(QuorateError, message)
        .with.property('code', 'ERR_CODEC');
    }
  });
});
