/**
 * Calls that a member makes for another one, which does not own the key, and what came of them.
 *
 * @internal
 */
import { ByteReader, ByteWriter } from '../../bytes.js';
import { isName, QuorateError, type ErrorCode } from '../../errors.js';
import { cbor } from '../../replica/codec.js';
import type { WriteReport } from '../coordination/storeOptions.js';
import { MAX_KEY_BYTES } from '../local/limits.js';

/** What is to be done. `operate` applies operations of a replicated data type. */
export const forwardKinds = ['get', 'put', 'delete', 'operate'] as const;
const MAX_CONTEXT = 16 << 20;
const MAX_ERROR = 65_536;
const MAX_NAME = 128;

export interface Forwarded {
  readonly kind: (typeof forwardKinds)[number];
  readonly key: string;
  /** How many members have to take part. */
  readonly level: number;
  readonly timeoutMs: number;
  readonly context: string | undefined;
  /** The value or the operations, encoded; empty for the other kinds. */
  readonly input: Uint8Array;
}

export function encodeForward({ kind, key, level, timeoutMs, context, input }: Forwarded): Uint8Array {
  const writer = new ByteWriter(64 + key.length * 3 + input.length);
  writer.u8(forwardKinds.indexOf(kind));
  writer.string(key);
  writer.varint(level);
  writer.varint(Math.ceil(timeoutMs));
  writer.u8(context === undefined ? 0 : 1);
  if (context !== undefined) writer.string(context);
  writer.raw(input);
  return writer.take();
}

/** Throws ERR_CODEC. */
export function decodeForward(body: Uint8Array, copies: number): Forwarded {
  const reader = new ByteReader(body);
  const kind = forwardKinds[reader.u8()];
  if (kind === undefined) throw malformed('no call');
  const key = reader.string(MAX_KEY_BYTES);
  const level = reader.varint();
  const timeoutMs = reader.varint();
  if (level < 1 || level > copies) throw malformed(`the level ${level}`);
  if (timeoutMs < 1 || timeoutMs > 2 ** 31 - 1) throw malformed(`a time-out of ${timeoutMs} ms`);
  const given = reader.u8();
  if (given > 1) throw malformed('a context of another kind');
  const context = given === 1 ? reader.string(MAX_CONTEXT) : undefined;
  const input = reader.raw(reader.remaining);
  if (input.length > 0 !== (kind === 'put' || kind === 'operate'))
    throw malformed('a value too many, or none');
  return { kind, key, level, timeoutMs, context, input };
}

const DONE = 0;
const FAILED = 1;
const codec = cbor();

/** What came of a call that did not fail. */
export interface Outcome {
  /** What the key holds afterwards, encoded; undefined for nothing. */
  readonly versions: Uint8Array | undefined;
  readonly report: WriteReport;
}

export function encodeDone({ versions, report: { acknowledged, hinted } }: Outcome): Uint8Array {
  const writer = new ByteWriter(64 + (versions?.length ?? 0));
  writer.u8(DONE);
  writer.varint(acknowledged);
  writer.varint(hinted.length);
  for (const member of hinted) writer.string(member);
  writer.raw(versions ?? new Uint8Array(0));
  return writer.take();
}

export function encodeFailure(error: unknown): Uint8Array {
  const { code, message, fate, data } =
    error instanceof QuorateError ? error : new QuorateError('ERR_INTERNAL', String(error));
  const shown = message.slice(0, 1024);
  const body = codec.encode([code, shown, fate ?? null, data ?? null]);
  const fits = body.length < MAX_ERROR ? body : codec.encode([code, shown, fate ?? null, null]);
  return Buffer.concat([Uint8Array.of(FAILED), fits]);
}

/** What came of the call, or what it failed with. Throws ERR_CODEC for what is no outcome. */
export function decodeOutcome(body: Uint8Array, copies: number): Outcome | QuorateError {
  return body[0] === DONE ? decodeDone(body, copies) : decodeFailure(body);
}

function decodeDone(body: Uint8Array, copies: number): Outcome {
  const reader = new ByteReader(body.subarray(1));
  const acknowledged = reader.varint();
  if (acknowledged > copies) throw malformed(`${acknowledged} acknowledgements of ${copies} owners`);
  const count = reader.varint();
  // While keys move, there are owners before and after.
  if (count > copies * 2) throw malformed(`${count} hints`);
  const hinted = Array.from({ length: count }, () => reader.string(MAX_NAME));
  if (!hinted.every(isName)) throw malformed('a hint for no member');
  const rest = reader.raw(reader.remaining);
  return { versions: rest.length === 0 ? undefined : rest, report: { acknowledged, hinted } };
}

function decodeFailure(body: Uint8Array): QuorateError {
  const rest = body.subarray(1);
  let told: unknown;
  try {
    told = body[0] === FAILED && rest.length <= MAX_ERROR ? codec.decode(rest) : undefined;
  } catch {
    // what follows says it
  }
  const [code, message, fate, data] = Array.isArray(told) ? (told as unknown[]) : [];
  const sound = typeof code === 'string' && /^ERR_[A-Z_]{1,40}$/.test(code) && typeof message === 'string';
  if (!sound || ![null, 'refused', 'ambiguous', 'lost'].includes(fate as string | null))
    throw malformed('no outcome');
  return new QuorateError(code as ErrorCode, message, {
    ...(fate !== null && { fate: fate as 'refused' }),
    ...(data !== null && { data }),
  });
}

function malformed(what: string): QuorateError {
  return new QuorateError('ERR_CODEC', `a forwarded call has ${what}`, { reason: 'MALFORMED' });
}
