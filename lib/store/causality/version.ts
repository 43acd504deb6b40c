/**
 * The versions that a store keeps, and their bytes. Equal sets have equal bytes: actors and versions stand in their order.
 *
 * @internal
 */
import { ByteReader, ByteWriter } from '../../bytes.js';
import { isName, QuorateError } from '../../errors.js';
import { compareTimestamps, MAX_COUNTER, MAX_WALL, type HybridTimestamp } from './hybridClock.js';
import { compareDots, VectorClock } from './vectorClock.js';
import type { Dotted, VersionSet } from './versionSet.js';

/** One write of a key. */
export interface Version extends Dotted {
  readonly stamp: HybridTimestamp;
  /** The encoded value; undefined where the key was deleted. */
  readonly value: Uint8Array | undefined;
}

export type Versions = VersionSet<Version>;

/** The most actors of a context. */
export const MAX_ACTORS = 65_536;
/** The longest name of an actor: a node, `~`, and the 16 digits of its incarnation. */
const MAX_ACTOR_BYTES = 128 + 17;
/** The least that an actor, and a version, take as bytes. */
const MIN_ACTOR_BYTES = 20;
const MIN_VERSION_BYTES = 5;

const DELETED = 0;
const VALUE = 1;

/** Newer means: by the clock; where it says the same, by the actor's name, then by its count. Total, as no two versions share a dot. */
export function compareVersions(a: Version, b: Version): number {
  return compareTimestamps(a.stamp, b.stamp) || compareDots(a.dot, b.dot);
}

/** Whether nothing but deletions is left of a key. */
export function isTombstone({ versions }: Versions): boolean {
  return versions.every(({ value }) => value === undefined);
}

/** The name under which an incarnation of a node writes. */
export function actorOf(node: string, incarnation: string): string {
  return `${node}~${incarnation}`;
}

/** The node that writes under this name. */
export function nodeOf(actor: string): string {
  return actor.slice(0, actor.lastIndexOf('~'));
}

/** Whether it is a name as {@link actorOf} makes them. */
export function isActor(actor: string): boolean {
  const at = actor.lastIndexOf('~');
  return isName(actor.slice(0, Math.max(0, at))) && /^[0-9a-f]{16}$/.test(actor.slice(at + 1));
}

export function encodeClock(writer: ByteWriter, clock: VectorClock): void {
  writer.varint(clock.size);
  for (const [actor, counter] of clock.entries()) {
    writer.string(actor);
    writer.varint(counter);
  }
}

export function decodeClock(reader: ByteReader): VectorClock {
  const size = reader.varint();
  if (size > MAX_ACTORS || size * MIN_ACTOR_BYTES > reader.remaining)
    throw malformed(`a clock of ${size} actors`);
  const counters = new Map<string, number>();
  let last = '';
  for (let i = 0; i < size; i++) {
    const actor = reader.string(MAX_ACTOR_BYTES);
    const counter = reader.varint();
    if (!isActor(actor) || actor <= last) throw malformed('an actor that is none, or not in its place');
    if (counter === 0) throw malformed('a counter of 0');
    counters.set(actor, counter);
    last = actor;
  }
  return VectorClock.sorted(counters);
}

export function encodeStamp(writer: ByteWriter, { wall, counter }: HybridTimestamp): void {
  writer.varint(wall);
  writer.varint(counter);
}

export function decodeStamp(reader: ByteReader): HybridTimestamp {
  const wall = reader.varint();
  const counter = reader.varint();
  if (wall > MAX_WALL || counter > MAX_COUNTER) throw malformed('a timestamp out of range');
  return { wall, counter };
}

export function encodeVersions(writer: ByteWriter, { context, versions }: Versions): void {
  encodeClock(writer, context);
  const places = new Map([...context.entries()].map(([actor], place) => [actor, place]));
  writer.varint(versions.length);
  for (const { dot, stamp, value } of versions) {
    writer.varint(places.get(dot.actor)!);
    writer.varint(dot.counter);
    encodeStamp(writer, stamp);
    writer.u8(value === undefined ? DELETED : VALUE);
    if (value !== undefined) writer.bytes(value);
  }
}

/** Throws ERR_CODEC for what {@link encodeVersions} does not write. The values share no memory with the bytes. */
export function decodeVersions(reader: ByteReader, maxValueBytes: number): Versions {
  const context = decodeClock(reader);
  const actors = [...context.entries()];
  const count = reader.varint();
  if (count === 0 || count * MIN_VERSION_BYTES > reader.remaining) throw malformed(`${count} versions`);
  const versions: Version[] = [];
  for (let i = 0; i < count; i++) {
    const place = actors[reader.varint()];
    const counter = reader.varint();
    if (place === undefined || counter === 0 || counter > place[1])
      throw malformed('a version that its context does not cover');
    const dot = { actor: place[0], counter };
    const last = versions.at(-1);
    if (last !== undefined && compareDots(last.dot, dot) >= 0) throw malformed('versions out of order');
    const stamp = decodeStamp(reader);
    const kind = reader.u8();
    if (kind > VALUE) throw malformed(`a version of kind ${kind}`);
    const value = kind === VALUE ? new Uint8Array(reader.bytes(maxValueBytes)) : undefined;
    versions.push({ dot, stamp, value });
  }
  return { context, versions };
}

function malformed(what: string): QuorateError {
  return new QuorateError('ERR_CODEC', `the versions of a key have ${what}`);
}
