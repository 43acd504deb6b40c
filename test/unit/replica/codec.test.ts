import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import fc from 'fast-check';
import { isDeepStrictEqual } from 'node:util';
import { ByteReader, ByteWriter } from '../../../lib/bytes.js';
import { QuorateError } from '../../../lib/errors.js';
import { batchCodec, cbor } from '../../../lib/replica/codec.js';
import { detach } from '../../../lib/replica/detach.js';
import { anyValue } from './values.js';

const codec = cbor();
const roundTrip = (value: unknown) => codec.decode(codec.encode(value));
const hex = (value: unknown) => Buffer.from(codec.encode(value)).toString('hex');
const fromHex = (bytes: string) => codec.decode(Buffer.from(bytes, 'hex'));

function errorOf(run: () => unknown): QuorateError {
  try {
    run();
  } catch (error) {
    expect(error).to.be.instanceOf(QuorateError);
    return error as QuorateError;
  }
  throw new Error('it should have thrown');
}

describe('cbor', () => {
  it('brings every kind of value back', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const back = roundTrip(value);
        expect(isDeepStrictEqual(back, value), hex(value)).to.equal(true);
        expect(hex(back)).to.equal(hex(value));
      }),
      { numRuns: 1000 },
    );
  });

  it('brings dates back, far ones to the millisecond', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 51), max: 2 ** 51 }), (ms) => {
        expect((roundTrip(new Date(ms)) as Date).getTime()).to.equal(ms);
      }),
      { numRuns: 5000 },
    );
    expect((roundTrip(new Date(NaN)) as Date).getTime()).to.be.NaN;
    expect((roundTrip(new Date(-(2 ** 51))) as Date).getTime()).to.equal(-(2 ** 51));
  });

  it('brings strings of all lengths and widths back', () => {
    for (const unit of ['a', 'é', '€', '😀', '\u0000']) {
      for (const length of [
        0, 1, 7, 8, 11, 12, 15, 16, 23, 24, 31, 32, 63, 64, 65, 85, 127, 128, 255, 256, 21845, 65535, 65536,
      ]) {
        const text = unit.repeat(length);
        if (roundTrip(text) !== text) expect.fail(`${length} times ${JSON.stringify(unit)}`);
        if (roundTrip(`${text}!`) !== `${text}!`)
          expect.fail(`${length} times ${JSON.stringify(unit)} and one more`);
        const object = { [text]: 1 };
        expect(roundTrip(object)).to.deep.equal(object);
      }
    }
  });

  it('follows RFC 8949, appendix A', () => {
    const vectors: [unknown, string][] = [
      [0, '00'], [23, '17'], [24, '1818'], [100, '1864'], [1000, '1903e8'], [1000000, '1a000f4240'],
      [18446744073709551615n, '1bffffffffffffffff'], [18446744073709551616n, 'c249010000000000000000'],
      [-18446744073709551615n, '3bfffffffffffffffe'], [-18446744073709551617n, 'c349010000000000000000'],
      [-1, '20'], [-10, '29'], [-100, '3863'], [-1000, '3903e7'], [1.1, 'fb3ff199999999999a'],
      [1e300, 'fb7e37e43c8800759c'], [-4.1, 'fbc010666666666666'], [Infinity, 'fb7ff0000000000000'],
      [NaN, 'fb7ff8000000000000'], [-Infinity, 'fbfff0000000000000'], [false, 'f4'], [true, 'f5'], [null, 'f6'],
      [undefined, 'f7'], [new Date(1363896240000), 'c11a514b67b0'], [new Date(1363896240500), 'c1fb41d452d9ec200000'],
      [new Uint8Array(0), '40'], [Uint8Array.of(1, 2, 3, 4), '4401020304'], ['', '60'], ['IETF', '6449455446'],
      ['"\\', '62225c'], ['ü', '62c3bc'], ['水', '63e6b0b4'], ['𐅑', '64f0908591'], [[], '80'], [[1, 2, 3], '83010203'],
      [[1, [2, 3], [4, 5]], '8301820203820405'], [{}, 'a0'], [{ a: 1, b: [2, 3] }, 'a26161016162820203'],
      [Array.from({ length: 25 }, (_, i) => i + 1), '98190102030405060708090a0b0c0d0e0f101112131415161718181819'],
    ]; // prettier-ignore
    for (const [value, bytes] of vectors) {
      expect(hex(value)).to.equal(bytes);
      expect(fromHex(bytes)).to.deep.equal(value);
    }
    expect(fromHex('3bffffffffffffffff')).to.equal(-18446744073709551616n);
  });

  it('gives all NaNs the same bytes', () => {
    const bits = new BigUint64Array([0x7ff8000000000001n, 0xfff8000000000000n, 0x7ff0000000000001n]);
    for (const nan of new Float64Array(bits.buffer)) {
      expect(hex(nan)).to.equal('fb7ff8000000000000');
      expect(hex([{ nan }])).to.equal('81a1636e616efb7ff8000000000000');
    }
  });

  it('makes 0 of -0 everywhere', () => {
    const back = roundTrip([-0, { n: -0 }, new Map([['k', -0]])]) as [
      number,
      { n: number },
      Map<string, number>,
    ];
    for (const zero of [roundTrip(-0), back[0], back[1].n, back[2].get('k')])
      expect(Object.is(zero, 0)).to.equal(true);
  });

  it('turns what is not plain into plain data', () => {
    class Point {
      readonly x = 1;
      readonly #hidden = 2;
      get sum(): number {
        return this.x + this.#hidden;
      }
    }
    const bare = Object.assign(Object.create(null) as object, { a: 1 });
    expect(roundTrip(new Point())).to.deep.equal({ x: 1 });
    expect(Object.getPrototypeOf(roundTrip(new Point()))).to.equal(Object.prototype);
    expect(roundTrip(bare)).to.deep.equal({ a: 1 });
    expect(roundTrip({ [Symbol('s')]: 1, a: 2 })).to.deep.equal({ a: 2 });
    const holes = [1];
    holes[2] = 3;
    expect(roundTrip(holes)).to.deep.equal([1, undefined, 3]);
    const buffer = roundTrip(Buffer.from('abc'));
    expect(Object.getPrototypeOf(buffer)).to.equal(Uint8Array.prototype);
    expect(roundTrip(runInNewContext('({ m: new Map([[1, [2]]]), d: new Date(5) })'))).to.deep.equal({
      m: new Map([[1, [2]]]),
      d: new Date(5),
    });
    // Names by which cbor-x, or a careless reader, might be led astray.
    const odd = { constructor: 1, hasOwnProperty: 2, toJSON: 3, length: 4, tag: 5, value: 6 };
    expect(roundTrip(odd)).to.deep.equal(odd);
    class Numbers extends Float64Array {}
    class Pairs extends Map<string, number> {}
    class List extends Array<number> {}
    expect(Object.getPrototypeOf(roundTrip(Numbers.of(1)))).to.equal(Float64Array.prototype);
    expect(roundTrip(new Pairs([['a', 1]]))).to.deep.equal(new Map([['a', 1]]));
    expect(roundTrip(List.of(1, 2))).to.deep.equal([1, 2]);
  });

  it('lets no property called __proto__ in or out', () => {
    const value = JSON.parse('{"a":[{"__proto__":{"polluted":1}}]}') as object;
    expect(errorOf(() => codec.encode(value)).message).to.match(/at \.a\[0\]\.__proto__$/);
    expect(roundTrip(new Map([['__proto__', 1]]))).to.deep.equal(new Map([['__proto__', 1]]));
    expect(roundTrip({ ___proto__: 1, __proto_: 2 })).to.deep.equal({ ___proto__: 1, __proto_: 2 });
    const name = Buffer.from('__proto__').toString('hex');
    for (const head of ['69', '7809', '790009', '7a00000009']) {
      expect(errorOf(() => fromHex(`a1${head}${name}a0`)).message).to.match(/a property is called __proto__/);
    }
    for (const bytes of [`a1 49${name} a0`, 'a1 816161 01', 'a1 d9010280 01', 'a1 f6 01']) {
      expect(errorOf(() => fromHex(bytes.replaceAll(' ', ''))).message).to.match(/not a string/);
    }
    expect(({} as Record<string, unknown>)['polluted']).to.equal(undefined);
  });

  it('names the place of what it cannot encode', () => {
    const cycle: Record<string, unknown> = { a: [1] };
    (cycle['a'] as unknown[]).push({ back: cycle });
    const deep = (levels: number) => {
      let value: unknown = 1;
      for (let i = 0; i < levels; i++) value = [value];
      return value;
    };
    const transferred = new Float64Array(2);
    structuredClone(transferred, { transfer: [transferred.buffer] });
    const cases: [unknown, RegExp][] = [
      [() => 1, /a function$/],
      [{ a: [1, { f: () => 1 }] }, /a function at \.a\[1\]\.f$/],
      [{ s: Symbol('x') }, /a symbol at \.s$/],
      [new Map([['k', Promise.resolve()]]), /a value of type Promise at \.get\("k"\)$/],
      [new Map([[() => 1, 1]]), /a function at \.key\(0\)$/],
      [new Set([1, () => 1]), /a function at \.member\(1\)$/],
      [{ e: new Error('x') }, /a value of type Error at \.e$/],
      [/x/, /a value of type RegExp$/],
      [new WeakMap(), /a value of type WeakMap$/],
      [[new ArrayBuffer(1)], /a value of type ArrayBuffer at \[0\]$/],
      [new DataView(new ArrayBuffer(1)), /a value of type DataView$/],
      [Object(1), /a value of type Number$/],
      [cycle, /a value that contains itself at \.a\[1\]\.back$/],
      [deep(257), /a value nested more than 256 deep at (\[0\]){16}…$/],
      ['a\ud800', /half a surrogate pair$/],
      [{ text: '\udc00b'.repeat(99) }, /half a surrogate pair at \.text$/],
      [{ 'x\ud800': 1 }, /half a surrogate pair at \.x/],
      [['\ufefftext'], /byte order mark \(U\+FEFF\) at \[0\]$/],
      [{ d: new Date(2 ** 51 + 1) }, /a date more than 2\^51 ms .* at \.d$/],
      [[2n ** 32768n], /a bigint of more than 4096 bytes at \[0\]$/],
      [-(2n ** 32768n) - 1n, /a bigint of more than 4096 bytes$/],
      [new Map([[{}, Symbol('s')]]), /a symbol at \.value\(0\)$/],
      [transferred, /a Float64Array whose memory was transferred$/],
    ];
    for (const [value, message] of cases) {
      const error = errorOf(() => codec.encode(value));
      expect(error.code).to.equal('ERR_CODEC');
      expect(error.message).to.match(message);
    }
    expect(roundTrip(deep(256))).to.deep.equal(deep(256));
    expect(roundTrip(2n ** 32768n - 1n)).to.equal(2n ** 32768n - 1n);
    expect(roundTrip(-(2n ** 32768n))).to.equal(-(2n ** 32768n));
    // The same object twice is no cycle.
    const shared = { x: 1 };
    expect(roundTrip([shared, { shared }])).to.deep.equal([{ x: 1 }, { shared: { x: 1 } }]);
  });

  it('works on after an error, and within a getter of a value', () => {
    errorOf(() => codec.encode({ text: 'x'.repeat(3000), f: () => 1 }));
    expect(roundTrip('after')).to.equal('after');
    const inner = { long: 'i'.repeat(500) };
    const writer = new ByteWriter();
    const value = {
      before: 1,
      get bytes() {
        batchCodec(codec).encodeInto(writer, inner);
        return codec.encode(inner);
      },
      after: 2,
    };
    const bytes = codec.encode(inner);
    expect(roundTrip(value)).to.deep.equal({ before: 1, bytes, after: 2 });
    expect(Buffer.from(bytes).equals(writer.take())).to.equal(true);
    // What a getter gives is asked for once.
    let asked = 0;
    expect(roundTrip({ get n() { return ++asked; } })).to.deep.equal({ n: 1 }); // prettier-ignore
    const boom = new Error('boom');
    expect(() => codec.encode({ get n() { throw boom; } })).to.throw(boom); // prettier-ignore
  });

  it('hands out bytes that nothing else uses', () => {
    const first = codec.encode({ text: 'a'.repeat(100) });
    const copy = Uint8Array.from(first);
    codec.encode({ text: 'b'.repeat(100) });
    expect(first).to.deep.equal(copy);
    expect(first.byteLength).to.equal(first.buffer.byteLength);
    expect(Object.getPrototypeOf(codec.encode(1))).to.equal(Uint8Array.prototype);
  });

  it('decodes values that hold on to nothing of the bytes', () => {
    const bytes = codec.encode({
      text: 'a'.repeat(100),
      small: Uint8Array.of(1, 2),
      large: new Uint8Array(500).fill(7),
    });
    const value = codec.decode(bytes);
    bytes.fill(0);
    expect(value).to.deep.equal({
      text: 'a'.repeat(100),
      small: Uint8Array.of(1, 2),
      large: new Uint8Array(500).fill(7),
    });
  });

  it('meets every truncation and every trailing byte with ERR_CODEC', () => {
    const bytes = codec.encode({
      s: 'x'.repeat(50), n: [1, 300, 70000, 1.5, 2n ** 70n, 5n], m: new Map([[1, 2]]), t: Float32Array.of(1),
      d: new Date(5), set: new Set(['a']), b: new Uint8Array(40),
    }); // prettier-ignore
    for (let length = 0; length < bytes.length; length++) {
      expect(errorOf(() => codec.decode(bytes.subarray(0, length))).code).to.equal('ERR_CODEC');
    }
    expect(errorOf(() => codec.decode(Buffer.concat([bytes, Buffer.of(0)]))).message).to.match(
      /1 bytes are left over/,
    );
  });

  it('answers any bytes with ERR_CODEC, or a value that can be encoded unless its text is odd', () => {
    const answers = (bytes: Uint8Array) => {
      let value: unknown;
      try {
        value = codec.decode(bytes);
      } catch (error) {
        expect((error as QuorateError).code).to.equal('ERR_CODEC');
        expect((error as QuorateError).cause, 'the check before cbor-x found it').to.equal(undefined);
        return;
      }
      try {
        const again = hex(value);
        expect(hex(roundTrip(value))).to.equal(again);
        expect(hex(detach(value))).to.equal(again);
      } catch (error) {
        expect((error as QuorateError).message).to.match(/byte order mark|a date more than/);
      }
    };
    fc.assert(
      fc.property(
        anyValue,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (value, flips) => {
          const bytes = codec.encode(value);
          for (const [at, byte] of flips) bytes[at % bytes.length] = byte;
          answers(bytes);
        },
      ),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        answers(bytes);
      }),
      { numRuns: 5000 },
    );
  });

  it('is not made to allocate by lengths that are only claimed', () => {
    for (const bytes of [
      '9affffffff',
      'baffffffff',
      '5affffffff',
      '7affffffff',
      'd901029affffffff',
      'd90103baffffffff',
    ]) {
      expect(errorOf(() => fromHex(bytes)).code).to.equal('ERR_CODEC');
    }
    // Each level claims as much as there are bytes left: 200 levels of 64 KiB.
    const nested = Buffer.alloc(65_536, 0xf6);
    for (let i = 0; i < 200; i++) nested.set([0x99, 0xf0, 0x00], i * 3);
    expect(errorOf(() => codec.decode(nested)).code).to.equal('ERR_CODEC');
    // As deep as what can be encoded, and no deeper.
    expect(() => codec.decode(Buffer.concat([Buffer.alloc(256, 0x81), Buffer.of(0)]))).to.not.throw();
    const tooDeep = errorOf(() => codec.decode(Buffer.concat([Buffer.alloc(257, 0x81), Buffer.of(0)])));
    expect(tooDeep.message).to.match(/more than 256 deep/);
    const deep = Buffer.alloc(100_000, 0x81);
    expect(errorOf(() => codec.decode(deep)).message).to.match(/more than 256 deep/);
  });

  it('refuses what it does not speak, by name', () => {
    const cases: [string, RegExp][] = [
      ['9fff', /length form 31/],
      ['f93c00', /form 25 is not supported/],
      ['d818 00'.replace(' ', ''), /tag 24 is not supported/],
      ['d9dfff83 01', /tag 57343 is not supported/],
      ['c160', /a date is not a number/],
      ['c11b0000000000000001', /a date is not a number/],
      ['c1f6', /a date is not a number/],
      ['c260', /a bigint is not a byte string/],
      [`c2591001${'01'.repeat(4097)}`, /a bigint is not a byte string of at most 4096 bytes/],
      ['c1c100', /a tag follows a tag|a date is not a number/],
      ['d81b8266526567457870613a', /tag 27 is not supported/], // a regular expression
      ['d81c81d81d00', /tag 28 is not supported/], // an array that contains itself
      ['d9010301', /a Map is not a map/],
      ['d8564401020304', /4 bytes are no array of 8-byte numbers/],
      ['5b0000000000000001ff', /length form 27/],
      ['f800', /form 24 is not supported/],
      ['e0', /form 0 is not supported/],
      ['d85643010203', /3 bytes are no array of 8-byte numbers/],
      ['a10101', /the name of a property is not a string/],
      ['d90102a0', /a Set is not an array/],
      ['1c', /length form 28/],
    ];
    for (const [bytes, message] of cases)
      expect(errorOf(() => fromHex(bytes.replace(' ', ''))).message).to.match(message);
  });

  it('leaves no trace of one value in the next', () => {
    // A definition of a record with id 0, in the way of cbor-x, and one that uses it.
    const define = 'd9dfff83 19e000 8161 61 01'.replaceAll(' ', '');
    expect(errorOf(() => fromHex(define)).code).to.equal('ERR_CODEC');
    expect(errorOf(() => fromHex('d9e0008101')).code).to.equal('ERR_CODEC');
    // Shorter bytes after longer ones in the same working memory.
    codec.decode(codec.encode({ text: 'x'.repeat(200), n: [1, 2, 3] }));
    expect(errorOf(() => fromHex('19ff')).message).to.match(/1 too early/);
    expect(codec.decode(codec.encode('ab'))).to.equal('ab');
  });

  it('decodes alike at every place, from every kind of bytes', () => {
    const batch = batchCodec(codec);
    for (const length of [10, 60, 100, 139, 140, 4000, 4096, 5000]) {
      const value = { text: 'é€'.repeat(length / 5), bytes: new Uint8Array(length).fill(7), key: 'k' };
      const bytes = codec.encode(value);
      for (const before of [0, 1, 3, 8191]) {
        const larger = Buffer.concat([Buffer.alloc(before, 0xff), bytes, Buffer.alloc(9, 0xff)]);
        for (const source of [larger, new Uint8Array(larger)]) {
          const back = batch.decodeRange(source, before, before + bytes.length) as typeof value;
          expect(isDeepStrictEqual(back, value)).to.equal(true);
          expect(back.bytes.buffer).to.not.equal(source.buffer);
          expect(back.bytes.buffer.byteLength).to.equal(length);
        }
      }
    }
  });

  it('gives the working memory of a large value back', () => {
    const batch = batchCodec(codec);
    const large = codec.encode(new Uint8Array(3_000_000));
    const lent: ArrayBufferLike[] = [];
    const writer = { raw: (bytes: Uint8Array) => lent.push(bytes.buffer) } as unknown as ByteWriter;
    batch.encodeInto(writer, 'small');
    expect(large).to.have.length(3_000_005);
    expect(lent[0]!.byteLength).to.be.below(100_000);
  });

  it('caps the size of one value', () => {
    const small = cbor({ maxBytes: 20_000 });
    expect(small.decode(small.encode('x'.repeat(10_000)))).to.have.length(10_000);
    for (const value of [
      'x'.repeat(40_000),
      [new Uint8Array(30_000)],
      Array.from({ length: 30_000 }, () => 1),
    ]) {
      const error = errorOf(() => small.encode(value));
      expect(error.code).to.equal('ERR_TOO_LARGE');
      expect(error.message).to.match(/more than 20000 bytes/);
    }
    expect(small.decode(small.encode('after'))).to.equal('after');
    for (const maxBytes of [0, -1, 1.5, NaN, 2 ** 31, '5' as unknown as number]) {
      expect(errorOf(() => cbor({ maxBytes })).code).to.equal('ERR_CONFIG');
    }
  });

  it('appends to a batch and reads out of one', () => {
    const values = Array.from({ length: 300 }, (_, i) => ({
      op: 'put',
      key: `k${i}`,
      value: 'v'.repeat(i * 7),
    }));
    const batch = batchCodec(codec);
    const writer = new ByteWriter();
    for (const value of values) {
      const at = writer.length;
      writer.u32(0);
      batch.encodeInto(writer, value);
      writer.patchU32(at, writer.length - at - 4);
    }
    const bytes = Buffer.concat([Buffer.alloc(3), writer.take()]).subarray(3);
    const reader = new ByteReader(bytes);
    for (const value of values) {
      const length = reader.u32();
      expect(batch.decodeRange(bytes, reader.at, reader.at + length)).to.deep.equal(value);
      reader.raw(length);
    }
  });

  it('lends the ability to work in batches to any codec', () => {
    const json = {
      encode: (value: unknown) => Buffer.from(JSON.stringify(value)),
      decode: (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString()) as unknown,
    };
    const batch = batchCodec(json);
    const writer = new ByteWriter();
    writer.u8(9);
    batch.encodeInto(writer, { a: 1 });
    const bytes = writer.take();
    expect(batch.decodeRange(bytes, 1, bytes.length)).to.deep.equal({ a: 1 });
    expect(batch.decode(batch.encode([1]))).to.deep.equal([1]);
    expect(batchCodec(codec)).to.equal(codec);
  });
});
