/** Snapshots of the sagas: a header, then a record for each. @internal */
import { isName, QuorateError } from '../../errors.js';
import type { Capture } from '../../machines/cowTable.js';
import { readSnapshot, snapshotChunks } from '../../machines/snapshotFormat.js';
import { batchCodec, cbor } from '../../replica/codec.js';
import {
  hasEnded,
  sagaStates,
  stepStates,
  type CauseRecord,
  type ErrorRecord,
  type RunnerRecord,
  type SagaRecord,
  type SagaState,
  type SagaStepState,
  type StepRecord,
} from './record.js';
import { fingerprintOf, shapeProblem, type SagaShape } from './shape.js';

export interface SagasHeader {
  readonly now: number;
  readonly reassigned: number;
  readonly runners: readonly RunnerRecord[];
  readonly shapes: readonly SagaShape[];
}

/** Captured now: the records are never changed in place. */
export function writeSagas(header: SagasHeader, capture: Capture<SagaRecord>): Iterable<Uint8Array> {
  const codec = batchCodec(cbor());
  function* records(): Generator {
    yield header;
    for (const [, saga] of capture.entries()) yield saga;
  }
  return snapshotChunks('sagas', capture.size + 1, records(), (writer, record) =>
    codec.encodeInto(writer, record),
  );
}

/** Rejects with ERR_CODEC for what makes no sense. */
export async function readSagas(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ header: SagasHeader; records: SagaRecord[] }> {
  const codec = batchCodec(cbor());
  const values: unknown[] = [];
  await readSnapshot(
    'sagas',
    chunks,
    (bytes, from, to) => void values.push(codec.decodeRange(bytes, from, to)),
  );
  const [header, ...records] = values;
  if (!isHeader(header)) fail('its header makes no sense');
  const known = new Map(header.shapes.map((shape) => [fingerprintOf(shape), shape]));
  const runners = new Set(header.runners.map(({ id }) => id));
  for (const [at, saga] of records.entries())
    if (!isSaga(saga, known, runners)) fail(`its record ${at} is no saga of a definition that it holds`);
  return { header, records: records as SagaRecord[] };
}

type Fields<T> = Partial<Record<keyof T, unknown>>;

function isHeader(value: unknown): value is SagasHeader {
  const { now, reassigned, runners, shapes } = fieldsOf<SagasHeader>(value);
  if (!isCount(now) || !isCount(reassigned)) return false;
  if (!Array.isArray(runners) || !runners.every(isRunner)) return false;
  return Array.isArray(shapes) && shapes.every((shape) => shapeProblem(shape) === undefined);
}

function isRunner(value: unknown): boolean {
  const { id, node, leaseMs, expires, definitions } = fieldsOf<RunnerRecord>(value);
  if (!isName(id) || !isName(node) || !isCount(leaseMs) || !isCount(expires)) return false;
  return Array.isArray(definitions) && definitions.every((one) => typeof one === 'string');
}

function isSaga(
  value: unknown,
  known: ReadonlyMap<string, SagaShape>,
  runners: ReadonlySet<string>,
): boolean {
  const saga = fieldsOf<SagaRecord>(value);
  const { id, name, version, definition, input, state, owner, cause, steps } = saga;
  const shape = known.get(definition as string);
  if (!isName(id) || shape?.name !== name || shape?.version !== version) return false;
  if (!(input instanceof Uint8Array) || !sagaStates.includes(state as SagaState)) return false;
  const counts = [saga.index, saga.started, saga.deadline, saga.retention, saga.epoch, saga.ended];
  if (!counts.every(isCount) || (owner !== '' && !runners.has(owner as string))) return false;
  if (hasEnded(state as SagaState) && owner !== '') return false;
  if (cause !== undefined ? !isCause(cause) : state === 'compensating') return false;
  return Array.isArray(steps) && steps.length === shape?.steps.length && steps.every(isStep);
}

function isCause(value: unknown): boolean {
  const { kind, step, error } = fieldsOf<CauseRecord>(value);
  if (!['step', 'cancelled', 'timeout', 'resolved'].includes(kind as string)) return false;
  return isOptional(step, (one) => typeof one === 'string') && isOptional(error, isError);
}

function isStep(value: unknown): boolean {
  const { state, attempts, patience, uncertain, stuck, retryAt, result, error } = fieldsOf<StepRecord>(value);
  if (!stepStates.includes(state as SagaStepState)) return false;
  if (!isCount(attempts) || !isCount(patience) || !isCount(retryAt)) return false;
  if (typeof uncertain !== 'boolean' || typeof stuck !== 'boolean') return false;
  return isOptional(result, isBytes) && isOptional(error, isError);
}

function isError(value: unknown): boolean {
  const { code, message, data } = fieldsOf<ErrorRecord>(value);
  return typeof code === 'string' && typeof message === 'string' && isOptional(data, isBytes);
}

function isOptional(value: unknown, check: (value: unknown) => boolean): boolean {
  return value === undefined || check(value);
}

function isBytes(value: unknown): boolean {
  return value instanceof Uint8Array;
}

/** Times, indexes and the like. */
function isCount(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
}

/** The properties of an object; none of anything else. */
function fieldsOf<T>(value: unknown): Fields<T> {
  return typeof value === 'object' && value !== null ? value : {};
}

function fail(why: string): never {
  throw new QuorateError('ERR_CODEC', `the snapshot cannot be read: ${why}`);
}
