/** Who takes part in a group, as the log and the snapshots carry it. */
import type { NodeId } from './consensus.js';

/** A member of a group. */
export interface Member {
  readonly id: NodeId;
  /**
   * The incarnation of the storage with which this member was admitted; empty until it was first met.
   * A member that comes with another one lost its memory: it neither votes nor counts.
   */
  readonly incarnation: string;
}

/** The members of a group. Immutable; a change makes a new one. */
export interface Membership {
  /** Made at the founding; two groups of the same name with different ones never mix. Empty before. */
  readonly genesis: string;
  /** Who founded the group, sorted. */
  readonly founders: readonly NodeId[];
  readonly voters: readonly Member[];
  /** While a joint change is under way: the voters of the old configuration; otherwise empty. */
  readonly outgoing: readonly Member[];
  readonly learners: readonly Member[];
}

/** The membership that founders start from: nobody was met yet. */
export function foundingMembership(founders: readonly NodeId[]): Membership {
  const sorted = [...new Set(founders)].sort();
  return {
    genesis: '',
    founders: sorted,
    voters: sorted.map((id) => ({ id, incarnation: '' })),
    outgoing: [],
    learners: [],
  };
}

/** The member of that id in any part, or undefined. */
export function findMember(membership: Membership, id: NodeId): Member | undefined {
  const same = (member: Member): boolean => member.id === id;
  return membership.voters.find(same) ?? membership.outgoing.find(same) ?? membership.learners.find(same);
}

/** Every member once, voters first. */
export function allMembers(membership: Membership): Member[] {
  const seen = new Map<NodeId, Member>();
  for (const part of [membership.voters, membership.outgoing, membership.learners]) {
    for (const member of part) if (!seen.has(member.id)) seen.set(member.id, member);
  }
  return [...seen.values()];
}

/** The same membership with the incarnation of one member recorded. */
export function withIncarnation(membership: Membership, id: NodeId, incarnation: string): Membership {
  const record = (member: Member): Member => (member.id === id ? { id, incarnation } : member);
  return {
    ...membership,
    voters: membership.voters.map(record),
    outgoing: membership.outgoing.map(record),
    learners: membership.learners.map(record),
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** For the data of a `config` entry and for snapshots. */
export function encodeMembership(membership: Membership): Uint8Array {
  return encoder.encode(JSON.stringify(membership));
}

/** The reverse of {@link encodeMembership}; undefined for bytes that are no membership. */
export function decodeMembership(data: Uint8Array): Membership | undefined {
  try {
    return checkMembership(JSON.parse(decoder.decode(data)));
  } catch {
    return undefined;
  }
}

/** Returns what it was given if it has the shape of a membership; undefined otherwise. */
export function checkMembership(value: unknown): Membership | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { genesis, founders, voters, outgoing, learners } = value as Record<string, unknown>;
  const sound =
    typeof genesis === 'string' &&
    Array.isArray(founders) &&
    founders.every((id) => typeof id === 'string') &&
    [voters, outgoing, learners].every((part) => Array.isArray(part) && part.every(isMember));
  return sound ? (value as Membership) : undefined;
}

function isMember(value: unknown): value is Member {
  if (typeof value !== 'object' || value === null) return false;
  const { id, incarnation } = value as Record<string, unknown>;
  return typeof id === 'string' && id.length > 0 && typeof incarnation === 'string';
}
