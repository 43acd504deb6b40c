/** Values on their way into the log and back: bytes that the state machine never looks into. @internal */
import { QuorateError } from '../../errors.js';
import { cbor, type Codec } from '../../replica/codec.js';
import { MAX_ERROR_DATA_BYTES, MAX_MESSAGE, MAX_RESULT_BYTES } from './limits.js';
import { isStuck, type CauseRecord, type ErrorRecord, type SagaView } from './record.js';
import type { SagaCause, SagaFailure, SagaStatus } from './sagasTypes.js';

const codec: Codec = cbor();

/** Throws ERR_CODEC or ERR_TOO_LARGE, naming what it was for. */
export function encodeValue(what: string, value: unknown, maxBytes: number): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = codec.encode(value);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError('ERR_CODEC', `${what}: ${why}`, { fate: 'refused', cause });
  }
  if (bytes.length > maxBytes)
    throw new QuorateError(
      'ERR_TOO_LARGE',
      `${what} has ${bytes.length} bytes when encoded, at most ${maxBytes} are allowed`,
      { fate: 'refused' },
    );
  return bytes;
}

/** What a handler returned; nothing is kept of nothing. */
export function encodeResult(step: string, value: unknown): Uint8Array | undefined {
  if (value === undefined) return undefined;
  return encodeValue(`the result of step ${JSON.stringify(step)}`, value, MAX_RESULT_BYTES);
}

export function decodeValue(bytes: Uint8Array | undefined): unknown {
  return bytes === undefined ? undefined : codec.decode(bytes);
}

/** Text that any codec can carry, not too long. */
export function plainText(text: string): string {
  const cut = text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE - 1)}…` : text;
  // toWellFormed is ES2024, in Node since 20. A byte order mark in front would not come back.
  return (cut as string & { toWellFormed(): string }).toWellFormed().replace(/^\uFEFF+/, '');
}

/** Whatever was thrown, in a form that the log can carry. */
export function errorRecord(error: unknown, code?: string, data?: unknown): ErrorRecord {
  const { code: own, message } = (typeof error === 'object' && error !== null ? error : {}) as {
    readonly code?: unknown;
    readonly message?: unknown;
  };
  return {
    code: plainText(code ?? (typeof own === 'string' ? own : 'ERR_STEP')),
    message: plainText(typeof message === 'string' ? message : typeof error === 'string' ? error : ''),
    data: encodeData(data),
  };
}

function encodeData(data: unknown): Uint8Array | undefined {
  if (data === undefined) return undefined;
  try {
    const bytes = codec.encode(data);
    return bytes.length > MAX_ERROR_DATA_BYTES ? undefined : bytes;
  } catch {
    return undefined;
  }
}

export function failureOf({ code, message, data }: ErrorRecord): SagaFailure {
  return data === undefined ? { code, message } : { code, message, data: decodeValue(data) };
}

export function causeOf({ kind, step, error }: CauseRecord): SagaCause {
  return {
    kind,
    ...(step !== undefined && { step }),
    ...(error !== undefined && { error: failureOf(error) }),
  };
}

/** What an app is told of a saga. */
export function statusOf({ saga, shape, node }: SagaView): SagaStatus {
  const { id, name, version, state, index, epoch, started, deadline, ended, cause } = saga;
  return {
    id,
    name,
    version,
    state,
    stuck: isStuck(saga),
    index,
    owner: node,
    token: epoch,
    started,
    ...(deadline !== 0 && { deadline }),
    ...(ended !== 0 && { ended }),
    ...(cause !== undefined && { cause: causeOf(cause) }),
    steps: saga.steps.map(({ state: stands, attempts, stuck, retryAt, error }, i) => ({
      id: shape.steps[i]!.id,
      state: stands,
      attempts,
      stuck,
      ...(retryAt !== 0 && { retryAt }),
      ...(error !== undefined && { error: failureOf(error) }),
    })),
  };
}

/** The results of some steps, by their ids. */
export function resultsOf({ saga, shape }: SagaView, steps: Iterable<number>): Record<string, unknown> {
  const results: Record<string, unknown> = {};
  for (const i of steps) {
    const { state, result } = saga.steps[i]!;
    if (state !== 'pending') results[shape.steps[i]!.id] = decodeValue(result);
  }
  return results;
}
