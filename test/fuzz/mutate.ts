/** Makes what a peer might send out of what peers do send. */
import { ByteWriter } from '../../lib/bytes.js';
import type { Random } from './random.js';

/** Longest input that a mutation makes. */
const MAX_BYTES = 64 * 1024;

/** Numbers at which something changes, for those who count, shift, or allocate. */
const edges = [
  0,
  1,
  2,
  3,
  7,
  8,
  15,
  16,
  31,
  32,
  63,
  64,
  127,
  128,
  129,
  255,
  256,
  1023,
  1024,
  4095,
  4096,
  16_383,
  16_384,
  65_535,
  65_536,
  2 ** 20,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 32 + 1,
  2 ** 40,
  2 ** 48,
  2 ** 49,
  2 ** 50,
  2 ** 50 + 1,
  2 ** 52,
  Number.MAX_SAFE_INTEGER - 1,
  Number.MAX_SAFE_INTEGER,
];

function varint(value: number): Uint8Array {
  const writer = new ByteWriter(16);
  writer.varint(value);
  return writer.take();
}

/** What fits no corpus but many formats. */
const universal: readonly Uint8Array[] = [
  ...edges.map(varint),
  Uint8Array.of(0x80, 0x00), // overlong
  Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
  Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
  Uint8Array.of(0xff, 0xff, 0xff, 0xff),
  Uint8Array.of(0xff, 0xff, 0xff, 0x7f),
  Uint8Array.of(0, 0, 0, 0, 0, 0, 0xf0, 0x7f), // Infinity
  Uint8Array.of(0, 0, 0, 0, 0, 0, 0xf8, 0x7f), // NaN
  Uint8Array.of(0xed, 0xa0, 0x80), // half a surrogate pair
  Uint8Array.of(0xc0, 0x80), // overlong UTF-8
  Buffer.from('__proto__'),
  Buffer.from('constructor'),
  Buffer.from('\r\n'),
  Buffer.from('[[[[[[[[[[[[[[[['),
  Buffer.from('{"":'),
  Buffer.from('1e999'),
  Buffer.from('-0'),
  Buffer.from('\u0000'),
];

type Mutator = (
  random: Random,
  input: Uint8Array,
  corpus: readonly Uint8Array[],
  words: readonly Uint8Array[],
) => Uint8Array;

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(
    Math.min(
      MAX_BYTES,
      parts.reduce((sum, part) => sum + part.length, 0),
    ),
  );
  let at = 0;
  for (const part of parts) {
    const fits = part.subarray(0, out.length - at);
    out.set(fits, at);
    at += fits.length;
  }
  return out;
}

/** Puts `word` at a place, over what is there or between. */
function put(random: Random, input: Uint8Array, word: Uint8Array, over = random.chance(0.5)): Uint8Array {
  const at = random.below(input.length + 1);
  return join(input.subarray(0, at), word, input.subarray(over ? at + word.length : at));
}

const flipBits: Mutator = (random, input) => {
  const out = Uint8Array.from(input);
  for (let n = 1 + random.below(4); n > 0 && out.length > 0; n--)
    out[random.below(out.length)]! ^= 1 << random.below(8);
  return out;
};

const setByte: Mutator = (random, input) => {
  const out = Uint8Array.from(input);
  if (out.length > 0)
    out[random.below(out.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
  return out;
};

const truncate: Mutator = (random, input) =>
  Uint8Array.from(input.subarray(0, random.below(input.length + 1)));
const cut: Mutator = (random, input) => {
  const from = random.below(input.length + 1);
  return join(input.subarray(0, from), input.subarray(from + 1 + random.below(8)));
};
const repeat: Mutator = (random, input) => {
  const from = random.below(input.length + 1);
  const part = input.subarray(from, from + 1 + random.below(32));
  const parts: Uint8Array[] = [input.subarray(0, from)];
  for (let n = random.chance(0.05) ? 500 : 1 + random.below(8); n > 0; n--) parts.push(part);
  return join(...parts, input.subarray(from));
};
const splice: Mutator = (random, input, corpus) => {
  const other = random.pick(corpus);
  return join(
    input.subarray(0, random.below(input.length + 1)),
    other.subarray(random.below(other.length + 1)),
  );
};
const word: Mutator = (random, input, _corpus, words) =>
  put(random, input, words.length > 0 && random.chance(0.6) ? random.pick(words) : random.pick(universal));
const number: Mutator = (random, input) => put(random, input, varint(random.pick(edges)), true);
const random32: Mutator = (random, input) => put(random, input, random.bytes(4), true);

/** A varint that is there says another number now, longer or overlong: lengths lie. */
const lie: Mutator = (random, input) => {
  if (input.length === 0) return input;
  const at = random.below(input.length);
  let end = at;
  while (end < input.length - 1 && input[end]! >= 0x80 && end - at < 8) end++;
  let value = 0;
  for (let i = end; i >= at; i--) value = value * 128 + (input[i]! & 0x7f);
  const lies = [value + 1, value - 1, value * 2, value + 128, random.pick(edges)];
  const told = Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, random.pick(lies)));
  const bytes = random.chance(0.15) ? Uint8Array.of((input[at]! & 0x7f) | 0x80, 0) : varint(told);
  return join(input.subarray(0, at), bytes, input.subarray(end + 1));
};

const insertRandom: Mutator = (random, input) => put(random, input, random.bytes(random.below(16)));
const fresh: Mutator = (random) => random.bytes(random.below(random.chance(0.1) ? 2048 : 64));

const mutators: readonly Mutator[] = [
  flipBits,
  flipBits,
  setByte,
  truncate,
  cut,
  repeat,
  splice,
  word,
  word,
  number,
  lie,
  lie,
  random32,
  insertRandom,
  fresh,
];

/** A mutation, or a few, of something out of the corpus. */
export function mutate(
  random: Random,
  corpus: readonly Uint8Array[],
  words: readonly Uint8Array[],
): Uint8Array {
  let input = random.pick(corpus);
  for (let rounds = random.chance(0.6) ? 1 : 2 + random.below(4); rounds > 0; rounds--)
    input = random.pick(mutators)(random, input, corpus, words);
  return input;
}
