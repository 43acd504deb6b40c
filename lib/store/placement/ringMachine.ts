/**
 * The versions of a store's ring, as a state machine: one move at a time, each between two rings. While keys move, the owners by both
 * rings answer for them; the move is over when every member that gets keys has said, for this version, that it has all of them.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import { isName } from '../../errors.js';
import { defineMachine, type OperationsOf } from '../../machines/defineMachine.js';
import type { ApplyContext, TypedStateMachine } from '../../replica/stateMachine.js';
import { MAX_WEIGHT } from './ring.js';
import {
  decodeRing,
  encodeRing,
  incomingOf,
  MAX_MEMBERS,
  MAX_QUEUE,
  NO_RING,
  ringsOf,
  type RingChange,
  type RingState,
} from './ringState.js';

interface Held {
  ring: RingState;
}

interface Founding {
  readonly members: readonly NodeId[];
  readonly copies: number;
  readonly partitions: number;
}

const commands = {
  /** The first ring. Does nothing where there is one. */
  found: (held: Held, { members, copies, partitions }: Founding, context: ApplyContext): number => {
    const { ring } = held;
    if (ring.version > 0) {
      if (ring.copies !== copies || ring.partitions !== partitions)
        context.reject('DIFFERS', { copies: ring.copies, partitions: ring.partitions });
      return ring.version;
    }
    held.ring = {
      ...NO_RING,
      revision: 1,
      version: 1,
      copies,
      partitions,
      members: [...members].sort().map((id) => ({ id, weight: 1 })),
    };
    return 1;
  },

  /** Has a member come, with a weight, or go, with none. Results in false where that is so, or on its way, already. */
  change: (held: Held, change: RingChange, context: ApplyContext): boolean => {
    const { ring } = held;
    if (ring.version === 0) context.reject('NO_RING');
    const { id, weight } = change;
    if (!isName(id) || !Number.isInteger(weight) || weight < 0 || weight > MAX_WEIGHT)
      context.reject('INVALID');
    const after = afterAll(ring);
    if ((after.get(id) ?? 0) === weight) return false;
    if (weight === 0) after.delete(id);
    else after.set(id, weight);
    if (after.size < ring.copies) context.reject('TOO_FEW', { copies: ring.copies });
    if (after.size > MAX_MEMBERS || ring.queue.length >= MAX_QUEUE) context.reject('TOO_MANY');
    const leaving = weight > 0 ? ring.leaving.filter((one) => one !== id) : ring.leaving;
    const lost = weight > 0 ? ring.lost.filter((one) => one !== id) : ring.lost;
    put(held, begun({ ...ring, leaving, lost, queue: [...ring.queue, { id, weight }] }));
    return true;
  },

  /** A member's disk is gone: nothing waits for it. It has to go from the ring, too. */
  lost: (held: Held, { id }: { readonly id: NodeId }): boolean => {
    const { ring } = held;
    const known = [...ring.members, ...(ring.next ?? [])].some((one) => one.id === id);
    const leaving = ring.leaving.filter((one) => one !== id);
    if (ring.lost.includes(id) || (!known && leaving.length === ring.leaving.length)) return false;
    const progress = ring.progress.filter((one) => one.id !== id);
    put(held, ended({ ...ring, leaving, progress, lost: known ? [...ring.lost, id] : ring.lost }));
    return true;
  },

  /** A member that gets keys has so many of its partitions whole, in this version. */
  progress: (
    held: Held,
    { version, id, done }: { readonly version: number; readonly id: NodeId; readonly done: number },
  ): boolean => {
    const { ring } = held;
    const own = ring.progress.find((one) => one.id === id);
    if (version !== ring.version || own === undefined || own.done === done || done > own.of) return false;
    const progress = ring.progress.map((one) => (one === own ? { ...own, done } : one));
    put(held, ended({ ...ring, progress }));
    return true;
  },

  /** A member that is off the ring holds nothing any more. */
  left: (held: Held, { id }: { readonly id: NodeId }): boolean => {
    const { ring } = held;
    if (!ring.leaving.includes(id)) return false;
    put(held, { ...ring, leaving: ring.leaving.filter((one) => one !== id) });
    return true;
  },
};

const queries = {
  ring: (held: Held): RingState => held.ring,
};

export type RingMachine = TypedStateMachine<OperationsOf<typeof commands>, OperationsOf<typeof queries>>;

export function ringMachine(): RingMachine {
  return defineMachine({
    version: 1,
    initial: (): Held => ({ ring: NO_RING }),
    commands,
    queries,
    encode: ({ ring }) => encodeRing(ring),
    decode: (bytes) => ({ ring: decodeRing(bytes) }),
  });
}

function put(held: Held, ring: RingState): void {
  held.ring = { ...ring, revision: held.ring.revision + 1 };
}

/** The weights once everything that is asked for is done. */
function afterAll(ring: RingState): Map<NodeId, number> {
  const after = new Map((ring.next ?? ring.members).map(({ id, weight }) => [id, weight]));
  for (const { id, weight } of ring.queue)
    if (weight === 0) after.delete(id);
    else after.set(id, weight);
  return after;
}

/** Begins the move to what is asked for, unless keys move already. */
function begun(ring: RingState): RingState {
  if (ring.next !== undefined || ring.queue.length === 0) return ring;
  const next = [...afterAll(ring)].map(([id, weight]) => ({ id, weight }));
  next.sort((a, b) => (a.id < b.id ? -1 : 1));
  const moving: RingState = { ...ring, version: ring.version + 1, next, queue: [] };
  const rings = ringsOf(moving);
  const progress = next
    .filter(({ id }) => !ring.lost.includes(id))
    .map(({ id }) => ({ id, done: 0, of: incomingOf(rings, id, ring.partitions).length }))
    .filter(({ of }) => of > 0);
  return ended({ ...moving, progress });
}

/** Ends the move if all have what they get. */
function ended(ring: RingState): RingState {
  const { next, members, lost, leaving, progress, version } = ring;
  if (next === undefined || progress.some(({ done, of }) => done < of)) return ring;
  const stays = new Set(next.map(({ id }) => id));
  const gone = members.map(({ id }) => id).filter((id) => !stays.has(id) && !lost.includes(id));
  return begun({
    ...ring,
    version: version + 1,
    members: next,
    next: undefined,
    progress: [],
    lost: lost.filter((id) => stays.has(id)),
    leaving: [...new Set([...leaving.filter((id) => !stays.has(id)), ...gone])],
  });
}
