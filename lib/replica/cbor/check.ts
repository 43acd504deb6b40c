/**
 * Checks bytes before cbor-x decodes them. It would take more than its encoder writes: tags for regular
 * expressions, references that close cycles, records, nesting until the stack ends (where that is, differs from
 * member to member). Whether bytes are accepted must be the same everywhere, and what comes out of them must be
 * something that can be encoded again.
 *
 * @internal
 */
import { QuorateError } from '../../errors.js';
import { MAX_BIGINT_BYTES, MAX_DEPTH, typedArrays } from './values.js';

const TAG_DATE = 1; // RFC 8949 §3.4.2, seconds since 1970
const TAG_BIG_POSITIVE = 2; // RFC 8949 §3.4.3
const TAG_BIG_NEGATIVE = 3;
const TAG_SET = 258; // IANA: a mathematical finite set
const TAG_MAP = 259; // IANA: a Map, told apart from an object

/** How many bytes an element of the typed array of a tag has. */
const elementSize = new Map<number, number>(
  typedArrays.map(({ tag, type }) => [tag, type.BYTES_PER_ELEMENT]),
);
const PROTO = Buffer.from('__proto__');

/** Throws ERR_CODEC unless the bytes from `from` up to `to` are one value in the form that the codec writes. */
export function checkBytes(bytes: Uint8Array, from: number, to: number): void {
  const end = endOf(bytes, from, to, 0, 0);
  if (end !== to) fail(`${to - end} bytes are left over`);
}

function fail(why: string): never {
  throw new QuorateError('ERR_CODEC', `cannot decode the bytes: ${why}`);
}

function need(more: number, at: number, to: number): void {
  if (more > to - at) fail(`they end ${more - (to - at)} too early`);
}

/** Where the item ends that begins at `at`; `tag` is the tag before it, or 0. */
function endOf(bytes: Uint8Array, from: number, to: number, depth: number, tag: number): number {
  need(1, from, to);
  const head = bytes[from]!;
  const major = head >> 5;
  const form = head & 0x1f;
  let at = from + 1;
  let argument = form;
  if (form > 23) {
    // Eight bytes are for bigints and floats; nothing is so long that its length needs them.
    if (form > 27 || (form === 27 && major > 1 && major < 7)) fail(`length form ${form} is not supported`);
    const size = 1 << (form - 24);
    need(size, at, to);
    argument = 0;
    if (form < 27) for (let i = 0; i < size; i++) argument = argument * 256 + bytes[at + i]!;
    at += size;
  }
  if (tag !== 0) checkTagged(tag, major, form, argument);
  switch (major) {
    case 0:
    case 1:
      return at;
    case 2:
    case 3:
      need(argument, at, to);
      return at + argument;
    case 4:
      checkDepth(depth);
      need(argument, at, to);
      for (let i = 0; i < argument; i++) at = endOf(bytes, at, to, depth + 1, 0);
      return at;
    case 5:
      checkDepth(depth);
      for (let i = 0; i < argument; i++) {
        const key = at;
        at = endOf(bytes, key, to, depth + 1, 0);
        if (tag !== TAG_MAP) checkName(bytes, key, at);
        at = endOf(bytes, at, to, depth + 1, 0);
      }
      return at;
    case 6:
      if (tag !== 0) fail('a tag follows a tag');
      return endOf(bytes, at, to, depth, checkTag(argument));
    default:
      if (form !== 27 && (form < 20 || form > 23))
        fail(`simple value or float form ${form} is not supported`);
      return at;
  }
}

function checkDepth(depth: number): void {
  if (depth >= MAX_DEPTH) fail(`they nest more than ${MAX_DEPTH} deep`);
}

/** The name of a property: a string, and not the one that cbor-x would change. */
function checkName(bytes: Uint8Array, from: number, to: number): void {
  const head = bytes[from]!;
  if (head >> 5 !== 3) fail('the name of a property is not a string');
  if (bytes[to - 1] !== PROTO[0]) return;
  const form = head & 0x1f;
  const text = from + 1 + (form > 23 ? 1 << (form - 24) : 0);
  if (to - text === PROTO.length && PROTO.equals(bytes.subarray(text, to)))
    fail('a property is called __proto__');
}

function checkTag(tag: number): number {
  if (
    tag !== TAG_SET &&
    tag !== TAG_MAP &&
    (tag < TAG_DATE || tag > TAG_BIG_NEGATIVE) &&
    !elementSize.has(tag)
  ) {
    fail(`tag ${tag} is not supported`);
  }
  return tag;
}

function checkTagged(tag: number, major: number, form: number, argument: number): void {
  switch (tag) {
    case TAG_DATE:
      if (form === 27 ? major !== 7 : major > 1) fail('a date is not a number');
      return;
    case TAG_BIG_POSITIVE:
    case TAG_BIG_NEGATIVE:
      if (major !== 2 || argument > MAX_BIGINT_BYTES) {
        fail(`a bigint is not a byte string of at most ${MAX_BIGINT_BYTES} bytes`);
      }
      return;
    case TAG_SET:
      if (major !== 4) fail('a Set is not an array');
      return;
    case TAG_MAP:
      if (major !== 5) fail('a Map is not a map');
      return;
    default:
      if (major !== 2) fail('a typed array is not a byte string');
      if (argument % elementSize.get(tag)! !== 0) {
        fail(`${argument} bytes are no array of ${elementSize.get(tag)!}-byte numbers`);
      }
  }
}
