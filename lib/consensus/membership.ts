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
  /** It votes and keeps the log without what the entries carry: it has no state, never leads, and is no copy of the data. */
  readonly witness?: true;
}

/**
 * How many voters decide, where that is not majorities (Howard, Malkhi, Spiegelman: Flexible Paxos, 2016). A rule for any number of
 * voters; `quorum.ts` says what it comes to.
 */
export interface Quorums {
  /** So many voters hold what is committed; all, where there are fewer. */
  readonly commit: number;
  /** So many more than needed elect. */
  readonly spare: number;
}

/** The members of a group. Immutable; a change makes a new one. */
export interface Membership {
  /** Made at the founding; two groups of the same name with different ones never mix. Empty before. */
  readonly genesis: string;
  /** The genesis of the group from whose data this one was founded anew, by a recovery or from a backup. */
  readonly formerly?: string;
  /** Who founded the group, sorted. */
  readonly founders: readonly NodeId[];
  readonly voters: readonly Member[];
  /** While a joint change is under way: the voters of the old configuration; otherwise empty. */
  readonly outgoing: readonly Member[];
  readonly learners: readonly Member[];
  /** The change that was taken and waits: who is to vote and who to learn, once all new voters have caught up. */
  readonly next?: NextMembership;
  /** The number of the configuration, where each is ended by a stop-sign (Paxos); left out: 0. */
  readonly config?: number;
  /** Left out: majorities. */
  readonly quorums?: Quorums;
  /** Those of the outgoing voters, only with them. Left out: majorities. */
  readonly outgoingQuorums?: Quorums;
}

/** Who is to take part, by id. Those who are not members yet are learners until then. */
export interface NextMembership {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
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
  const record = (member: Member): Member => (member.id === id ? { ...member, incarnation } : member);
  return {
    ...membership,
    voters: membership.voters.map(record),
    outgoing: membership.outgoing.map(record),
    learners: membership.learners.map(record),
  };
}

/** The membership in which the voters decide together with those of the one before, until that is committed (§4.3). */
export function jointWith(before: Membership, after: Membership): Membership {
  const { voters: outgoing, quorums } = before;
  return { ...after, outgoing, ...(quorums && { outgoingQuorums: quorums }) };
}

/** The membership after the joint one. */
export function leaveJoint(membership: Membership): Membership {
  const after: { -readonly [K in keyof Membership]: Membership[K] } = { ...membership, outgoing: [] };
  delete after.outgoingQuorums;
  return after;
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

/** The most members of each kind, and the most founders. @internal */
export const maxMembers = 1024;
const MAX_ID = 128;

/**
 * Reads a membership out of what was parsed; undefined if it is none. Nothing but what belongs to a membership is taken over: it
 * goes on into the log, snapshots and hellos.
 */
export function checkMembership(value: unknown): Membership | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { genesis, ...rest } = value as Record<string, unknown>;
  const voters = checkMembers(rest['voters']);
  const outgoing = checkMembers(rest['outgoing']);
  const learners = checkMembers(rest['learners']);
  if (voters === undefined || outgoing === undefined || learners === undefined) return undefined;
  const founders: unknown = rest['founders'];
  if (!isShort(genesis) || !Array.isArray(founders) || founders.length > maxMembers) return undefined;
  if (!founders.every(isShort)) return undefined;
  const membership: Membership = { genesis, founders, voters, outgoing, learners };
  const formerly = optional(rest['formerly'], (given) => (isShort(given) ? given : undefined));
  const next = optional(rest['next'], checkNext);
  const config = optional(rest['config'], (given) =>
    Number.isSafeInteger(given) && (given as number) > 0 ? (given as number) : undefined,
  );
  const quorums = optional(rest['quorums'], checkQuorums);
  const outgoingQuorums = optional(rest['outgoingQuorums'], checkQuorums);
  if (config === null || formerly === null || next === null || quorums === null || outgoingQuorums === null)
    return undefined;
  return {
    ...membership,
    ...(formerly !== undefined && { formerly }),
    ...(next && { next }),
    ...(config !== undefined && { config }),
    ...(quorums && { quorums }),
    ...(outgoingQuorums && { outgoingQuorums }),
  };
}

/** Null: there is something, and it is not right. */
function optional<T>(value: unknown, check: (value: unknown) => T | undefined): T | undefined | null {
  return value === undefined ? undefined : (check(value) ?? null);
}

function checkQuorums(value: unknown): Quorums | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { commit, spare } = value as Record<string, unknown>;
  return isSize(commit) && commit > 0 && isSize(spare) ? { commit, spare } : undefined;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= maxMembers;
}

function checkNext(value: unknown): NextMembership | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { voters, learners } = value as Record<string, unknown>;
  return isIds(voters) && voters.length > 0 && isIds(learners) ? { voters, learners } : undefined;
}

function isIds(value: unknown): value is NodeId[] {
  return Array.isArray(value) && value.length <= maxMembers && value.every((id) => isShort(id) && id !== '');
}

function checkMembers(value: unknown): Member[] | undefined {
  if (!Array.isArray(value) || value.length > maxMembers) return undefined;
  const members: Member[] = [];
  for (const member of value as readonly unknown[]) {
    if (typeof member !== 'object' || member === null) return undefined;
    const { id, incarnation, witness } = member as Record<string, unknown>;
    if (!isShort(id) || id === '' || !isShort(incarnation)) return undefined;
    if (witness !== undefined && witness !== true) return undefined;
    members.push(witness === true ? { id, incarnation, witness } : { id, incarnation });
  }
  return members;
}

function isShort(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_ID;
}
