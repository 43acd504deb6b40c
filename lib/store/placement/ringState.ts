/**
 * What the members of a placed store agree on: who is on the ring, in which version, and what is being moved. Changed by the group of
 * the store alone (`ringMachine`), sent to members that are behind, and kept on every disk.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import { isName, QuorateError } from '../../errors.js';
import { cbor } from '../../replica/codec.js';
import { MAX_RING_BYTES } from '../local/records.js';
import { MAX_WEIGHT, Ring, type RingMember } from './ring.js';

/** The most members of a store. */
export const MAX_MEMBERS = 64;
/** The most members that come or go, waiting for the move before them. */
export const MAX_QUEUE = 64;

/** One member comes, or goes. */
export interface RingChange {
  readonly id: NodeId;
  /** The weight of one that comes; 0 for one that goes. */
  readonly weight: number;
}

/** How far a new owner is with what it gets. */
export interface RingProgress {
  readonly id: NodeId;
  /** Partitions that it has whole. */
  readonly done: number;
  /** Partitions that it gets. */
  readonly of: number;
}

export interface RingState {
  /** Goes up with each change of this state. */
  readonly revision: number;
  /** The epoch: goes up whenever other members answer for some key. 0 before there is a ring. */
  readonly version: number;
  readonly copies: number;
  readonly partitions: number;
  /** The members of the ring; while keys move, those before. */
  readonly members: readonly RingMember[];
  /** Those after, while keys move. */
  readonly next: readonly RingMember[] | undefined;
  /** Those who get keys in this move; it is over when each has all of them. */
  readonly progress: readonly RingProgress[];
  /** Members whose disks are gone: nobody waits for them. */
  readonly lost: readonly NodeId[];
  /** Members that are off the ring, and may still hold what the others are to be told. */
  readonly leaving: readonly NodeId[];
  readonly queue: readonly RingChange[];
}

/** Before there is a ring. */
export const NO_RING: RingState = {
  revision: 0,
  version: 0,
  copies: 1,
  partitions: 2,
  members: [],
  next: undefined,
  progress: [],
  lost: [],
  leaving: [],
  queue: [],
};

/** The ring before, and the one after where keys move. */
export function ringsOf(state: RingState): readonly Ring[] {
  const { members, next, copies, partitions } = state;
  return [members, ...(next ? [next] : [])].map((list) => new Ring(list, copies, partitions));
}

/** The partitions that a member gets. */
export function incomingOf([before, after]: readonly Ring[], id: NodeId, partitions: number): number[] {
  const out: number[] = [];
  for (let at = 0; after !== undefined && at < partitions; at++)
    if (after.ownersOf(at).includes(id) && !before!.ownersOf(at).includes(id)) out.push(at);
  return out;
}

/** All members that have to do with the store in this state. */
export function peopleOf({ members, next, leaving }: RingState): Set<NodeId> {
  return new Set([...[...members, ...(next ?? [])].map(({ id }) => id), ...leaving]);
}

const codec = cbor();

export function encodeRing(state: RingState): Uint8Array {
  const { revision, version, copies, partitions, lost, leaving } = state;
  const pairs = (list: readonly RingMember[]): unknown => list.map(({ id, weight }) => [id, weight]);
  const progress = state.progress.map(({ id, done, of }) => [id, done, of]);
  const next = state.next ? pairs(state.next) : null;
  const parts = [revision, version, copies, partitions, pairs(state.members), next, progress];
  return codec.encode([...parts, lost, leaving, pairs(state.queue)]);
}

/** Throws ERR_CODEC for what {@link encodeRing} does not make. */
export function decodeRing(bytes: Uint8Array): RingState {
  if (bytes.length > MAX_RING_BYTES) throw malformed(`${bytes.length} bytes`);
  const data: unknown = codec.decode(bytes);
  if (!Array.isArray(data) || data.length !== 10) throw malformed('another form');
  const [revision, version, copies, partitions, members, next, progress, lost, leaving, queue] =
    data as unknown[];
  const state: RingState = {
    revision: whole(revision, 0, Number.MAX_SAFE_INTEGER),
    version: whole(version, 0, Number.MAX_SAFE_INTEGER),
    copies: whole(copies, 1, MAX_MEMBERS),
    partitions: whole(partitions, 2, 65_536),
    members: tuples(members, 2, MAX_MEMBERS).map(([id, weight]) => member(id, weight, 1)),
    next: next === null ? undefined : tuples(next, 2, MAX_MEMBERS).map(([id, w]) => member(id, w, 1)),
    progress: tuples(progress, 3, MAX_MEMBERS).map(([id, done, of]) => {
      const all = whole(of, 1, 65_536);
      return { id: name(id), done: whole(done, 0, all), of: all };
    }),
    lost: names(lost),
    leaving: names(leaving),
    queue: tuples(queue, 2, MAX_QUEUE).map(([id, weight]) => member(id, weight, 0)),
  };
  for (const list of [state.members, state.next ?? [], state.progress]) distinct(list.map(({ id }) => id));
  // One change may end a move, begin the next, and end that too, where it moves nothing.
  if (state.version > 3 * state.revision) throw malformed('more versions than its revisions can have made');
  if ((state.version === 0) !== (state.members.length === 0) || state.next?.length === 0)
    throw malformed('no members');
  return state;
}

function malformed(what: string): QuorateError {
  return new QuorateError('ERR_CODEC', `the state of a ring has ${what}`);
}

function whole(value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw malformed(`a number that is not from ${min} to ${max}`);
}

function name(value: unknown): NodeId {
  if (isName(value)) return value;
  throw malformed('a name that is none');
}

function names(value: unknown): NodeId[] {
  // A member may be lost or leave more often than there are members at a time.
  if (!Array.isArray(value) || value.length > 2 * MAX_MEMBERS) throw malformed('no list of names');
  return distinct(value.map(name));
}

function distinct(list: NodeId[]): NodeId[] {
  if (new Set(list).size !== list.length) throw malformed('a name twice');
  return list;
}

function tuples(value: unknown, length: number, max: number): unknown[][] {
  if (!Array.isArray(value) || value.length > max) throw malformed('a list that is too long, or none');
  for (const tuple of value as unknown[])
    if (!Array.isArray(tuple) || tuple.length !== length) throw malformed('another form');
  return value as unknown[][];
}

function member(id: unknown, weight: unknown, min: number): RingMember {
  return { id: name(id), weight: whole(weight, min, MAX_WEIGHT) };
}
