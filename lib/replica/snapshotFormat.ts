/**
 * What a group's snapshot contains: a head with what the library keeps in the replicated state, then the chunks of the state
 * machine. The head's length comes first, so that chunk bounds do not matter.
 */
import { ByteReader, ByteWriter } from '../bytes.js';
import { QuorateError } from '../errors.js';
import type { Codec } from './codec.js';
import { Failure, type Outcome } from './outcome.js';
import type { RequestImage, SessionImage, SessionsImage } from './sessions.js';
import type { StateMachine } from './stateMachine.js';

const FORMAT = 2;
const CHUNK_BYTES = 256 * 1024;
const MAX_HEAD_BYTES = 256 * 1024 * 1024;

type Wire = readonly [0, unknown] | readonly [1, string, string, string | undefined, unknown];

interface Head {
  readonly format: number;
  readonly machine: number;
  readonly clock: SessionsImage['clock'];
  readonly sessions: readonly (readonly [
    number,
    string,
    string,
    number,
    number,
    SessionImage['ranges'],
    readonly [number, readonly Wire[]][],
  ])[];
  readonly requests: readonly (readonly [string, number, Wire])[];
}

/** The chunks of a snapshot of what was captured; made as they are taken. */
export async function* snapshotChunks(
  codec: Codec,
  version: number,
  image: SessionsImage,
  machine: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const head: Head = {
    format: FORMAT,
    machine: version,
    clock: image.clock,
    sessions: image.sessions.map((s) => [
      s.id,
      s.origin,
      s.nonce,
      s.time,
      s.floor,
      s.ranges,
      s.blocks.map(({ first, outcomes }) => [first, outcomes.map(toWire)]),
    ]),
    requests: image.requests.map(({ id, time, outcome }) => [id, time, toWire(outcome)]),
  };
  const bytes = codec.encode(head);
  const writer = new ByteWriter(bytes.length + 8);
  writer.u32(bytes.length);
  writer.raw(bytes);
  const whole = writer.take();
  for (let at = 0; at < whole.length; at += CHUNK_BYTES) yield whole.subarray(at, at + CHUNK_BYTES);
  yield* machine;
}

/** Restores sessions and machine from chunks. Throws ERR_CODEC, ERR_MACHINE_VERSION, and what the machine throws. */
export async function restoreChunks(
  codec: Codec,
  machine: StateMachine,
  chunks: AsyncIterator<Uint8Array>,
): Promise<SessionsImage> {
  const { head, rest } = await readHead(codec, chunks);
  if (head.format !== FORMAT) {
    throw new QuorateError(
      'ERR_MACHINE_VERSION',
      `the snapshot has format ${head.format}, this version reads ${FORMAT}`,
    );
  }
  if (head.machine !== machine.version) {
    const message = `the snapshot was made by version ${head.machine} of the state machine, this one has version ${machine.version}`;
    throw new QuorateError('ERR_MACHINE_VERSION', message);
  }
  const image = imageOf(head);
  await machine.restore(follow(rest, chunks));
  return image;
}

/** What a head says of the sessions: it comes from another member, so every field is looked at. */
function imageOf(head: Head): SessionsImage {
  const [time, age] = listOf(head.clock, 2);
  return {
    clock: [timeOf(time), timeOf(age)],
    sessions: listOf(head.sessions).map((session) => {
      const [id, origin, nonce, time, floor, ranges, blocks] = listOf(session, 7) as Head['sessions'][number];
      return {
        id: countOf(id),
        origin: textOf(origin),
        nonce: textOf(nonce),
        time: timeOf(time),
        floor: countOf(floor),
        ranges: listOf(ranges).map((range) => {
          const [from, to] = listOf(range, 2);
          if (countOf(from) > countOf(to)) throw malformed();
          return [from as number, to as number] as const;
        }),
        blocks: listOf(blocks).map((block) => {
          const [first, outcomes] = listOf(block, 2);
          return { first: countOf(first), outcomes: listOf(outcomes).map(fromWire) };
        }),
      };
    }),
    requests: listOf(head.requests).map((request): RequestImage => {
      const [id, time, outcome] = listOf(request, 3);
      return { id: textOf(id), time: timeOf(time), outcome: fromWire(outcome) };
    }),
  };
}

function listOf(value: unknown, length?: number): readonly unknown[] {
  if (!Array.isArray(value) || (length !== undefined && value.length !== length)) throw malformed();
  return value;
}

function countOf(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw malformed();
  return value as number;
}

function timeOf(value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw malformed();
  return value;
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw malformed();
  return value;
}

function malformed(): QuorateError {
  return new QuorateError('ERR_CODEC', 'the head of a snapshot does not make sense');
}

async function readHead(
  codec: Codec,
  chunks: AsyncIterator<Uint8Array>,
): Promise<{ head: Head; rest: Uint8Array }> {
  const parts: Uint8Array[] = [];
  let have = 0;
  let want = 4;
  for (;;) {
    if (have >= 4 && want === 4) {
      want = 4 + new ByteReader(join(parts)).u32();
      if (want > MAX_HEAD_BYTES)
        throw new QuorateError('ERR_CODEC', `the head of a snapshot claims ${want} bytes`);
    }
    if (have >= want && want > 4) break;
    const next = await chunks.next();
    if (next.done)
      throw new QuorateError('ERR_CODEC', `a snapshot ends after ${have} bytes, within its head`);
    parts.push(next.value);
    have += next.value.length;
  }
  const bytes = join(parts);
  const head = codec.decode(bytes.subarray(4, want));
  if (typeof head !== 'object' || head === null) throw malformed();
  return { head: head as Head, rest: bytes.subarray(want) };
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

async function* follow(
  first: Uint8Array,
  chunks: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (first.length > 0) yield first;
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
}

function toWire(outcome: Outcome): Wire {
  if (outcome instanceof Failure) return [1, outcome.code, outcome.message, outcome.reason, outcome.data];
  return [0, outcome];
}

function fromWire(value: unknown): Outcome {
  const [type, first, message, reason, data] = listOf(value);
  if (type === 0) return first;
  if (type !== 1) throw malformed();
  const said = reason === undefined ? undefined : textOf(reason);
  return new Failure(textOf(first) as Failure['code'], textOf(message), said, data);
}
