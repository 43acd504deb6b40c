/** Snapshots of the sagas: a header, then a record for each. @internal */
import { QuorateError } from '../../errors.js';
import type { Capture } from '../../machines/cowTable.js';
import { readSnapshot, snapshotChunks } from '../../machines/snapshotFormat.js';
import { batchCodec, cbor } from '../../replica/codec.js';
import type { RunnerRecord, SagaRecord } from './record.js';
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
  const known = new Map(header.shapes.map((shape) => [fingerprintOf(shape), shape.steps.length]));
  for (const [at, saga] of records.entries())
    if (!isSaga(saga, known)) fail(`its record ${at} is no saga of a definition that it holds`);
  return { header, records: records as SagaRecord[] };
}

function isHeader(value: unknown): value is SagasHeader {
  if (typeof value !== 'object' || value === null) return false;
  const { now, reassigned, runners, shapes } = value as Partial<Record<keyof SagasHeader, unknown>>;
  const isRunner = (one: unknown): boolean => {
    const { id, definitions, expires } = (one ?? {}) as Partial<RunnerRecord>;
    return typeof id === 'string' && typeof expires === 'number' && Array.isArray(definitions);
  };
  if (typeof now !== 'number' || typeof reassigned !== 'number') return false;
  if (!Array.isArray(runners) || !runners.every(isRunner)) return false;
  return Array.isArray(shapes) && shapes.every((shape) => shapeProblem(shape) === undefined);
}

function isSaga(value: unknown, known: ReadonlyMap<string, number>): value is SagaRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { id, definition, input, state, owner, steps } = value as Partial<SagaRecord>;
  if (typeof id !== 'string' || typeof owner !== 'string' || typeof state !== 'string') return false;
  if (!(input instanceof Uint8Array) || !Array.isArray(steps)) return false;
  return known.get(definition!) === steps.length;
}

function fail(why: string): never {
  throw new QuorateError('ERR_CODEC', `the snapshot cannot be read: ${why}`);
}
