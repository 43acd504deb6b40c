import fc from 'fast-check';

/** Any string that the codec carries: no half of a surrogate pair, no byte order mark in front. */
export const anyString = fc
  .oneof(
    { weight: 4, arbitrary: fc.string({ unit: 'binary' }) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 20, maxLength: 300 }) },
  )
  .filter((text) => !text.startsWith('\ufeff'));

export const primitive: fc.Arbitrary<unknown> = fc.oneof(
  fc.boolean(),
  fc.constant(null),
  fc.constant(undefined),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double().map((value) => value + 0), // no -0, which comes back as 0
  fc.constantFrom(23, 24, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, -24, -25, -(2 ** 32), -(2 ** 32) - 1),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
  fc.constantFrom(2n ** 64n, 2n ** 64n - 1n, -(2n ** 64n), -(2n ** 64n) - 1n, 0n, -1n),
  anyString,
);

const leaf: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: primitive },
  {
    weight: 1,
    arbitrary: fc.date({ min: new Date(-(2 ** 51)), max: new Date(2 ** 51), noInvalidDate: true }),
  },
  { weight: 1, arbitrary: fc.uint8Array() },
  {
    weight: 1,
    arbitrary: fc.oneof(fc.float64Array(), fc.int16Array(), fc.bigUint64Array(), fc.uint8ClampedArray()),
  },
);

/** Names of properties. fast-check likes to make one that the codec refuses. */
const key = fc
  .oneof(anyString, fc.constantFrom('__proto_', 'constructor', 'hasOwnProperty', 'toJSON', 'op', 'key', ''))
  .filter((name) => name !== '__proto__');

/** An object with own properties of these names, whatever they are. */
export function objectOf(entries: readonly (readonly [string, unknown])[]): object {
  const out = {};
  for (const [name, value] of entries) {
    Object.defineProperty(out, name, { value, enumerable: true, configurable: true, writable: true });
  }
  return out;
}

/** Any value that the codec carries unchanged. */
export const anyValue: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('nested')),
  nested: fc.oneof(
    fc.array(tie('value'), { maxLength: 6 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 6 }).map(objectOf),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 4 }).map((entries) => new Map(entries)),
    fc.array(tie('value'), { maxLength: 4 }).map((members) => new Set(members)),
  ),
})).value;
