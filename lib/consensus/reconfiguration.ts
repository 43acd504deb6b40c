/**
 * Changes of a membership, as pure functions. Voters change through a joint membership, in which both the old and the new voters
 * must agree, and which ends by itself (Raft paper §6, dissertation §4.3): so any number of them may come and go at once. Who is
 * to vote learns first (§4.2.1): until then the change waits in `next`.
 */
import { allMembers, jointWith, leaveJoint, maxMembers } from './membership.js';
import { commitSize } from './quorum.js';
import type { MembershipChange, NodeId } from './consensus.js';
import type { Member, Membership } from './membership.js';

/** The incarnation of the storage with which a node is linked now; empty when it is not. @internal */
export type Met = (id: NodeId) => string;

/**
 * The membership after a change was taken: who is new learns from now on, and a change of voters waits in `next`. The same object
 * when nothing changes; undefined when the change makes no sense: nobody would vote, there would be too many, a witness would have
 * to hold data, or witnesses alone could be a quorum.
 *
 * @internal
 */
export function plan(membership: Membership, change: MembershipChange, met: Met): Membership | undefined {
  const voters = new Set(membership.next?.voters ?? membership.voters.map(({ id }) => id));
  const learners = new Set(membership.next?.learners ?? membership.learners.map(({ id }) => id));
  for (const id of change.remove ?? []) {
    voters.delete(id);
    learners.delete(id);
  }
  for (const id of change.addVoters ?? []) {
    voters.add(id);
    learners.delete(id);
  }
  for (const id of change.addLearners ?? []) {
    learners.add(id);
    voters.delete(id);
  }
  for (const id of change.addWitnesses ?? []) voters.add(id);
  if (voters.size === 0 || voters.size + learners.size > maxMembers) return undefined;
  const witnesses = witnessesAfter(membership, change);
  // Each quorum must have somebody who holds what was committed, and who may lead.
  if (witnesses === undefined || count(voters, witnesses) >= commitSize(voters.size, membership.quorums))
    return undefined;
  const { next: before, ...current } = membership;
  const now = new Set(membership.voters.map(({ id }) => id));
  const wanted = [...voters, ...learners].filter((id) => !now.has(id));
  const admit = (id: NodeId): Member =>
    witnesses.has(id) ? { id, incarnation: met(id), witness: true } : { id, incarnation: met(id) };
  const learning = wanted.map((id) => membership.learners.find((one) => one.id === id) ?? admit(id));
  const sameLearners = sameIds(learning, membership.learners);
  if (sameIds(membership.voters, voters)) {
    if (sameLearners && before === undefined) return membership;
    return { ...current, learners: learning };
  }
  const next = { voters: [...voters].sort(), learners: [...learners].sort() };
  const same = before !== undefined && sameIds(before.voters, voters) && sameIds(before.learners, learners);
  if (same && sameLearners) return membership;
  return { ...current, learners: learning, next };
}

/** Who is a witness, now or by a change; undefined when a member would become another kind of member than it is. */
function witnessesAfter(
  membership: Membership,
  { addVoters = [], addLearners = [], addWitnesses = [] }: MembershipChange,
): ReadonlySet<NodeId> | undefined {
  const members = allMembers(membership);
  const witnesses = new Set(members.filter(({ witness }) => witness).map(({ id }) => id));
  if ([...addVoters, ...addLearners].some((id) => witnesses.has(id))) return undefined;
  if (addWitnesses.some((id) => !witnesses.has(id) && members.some((member) => member.id === id)))
    return undefined;
  return new Set([...witnesses, ...addWitnesses]);
}

function count(ids: Iterable<NodeId>, among: ReadonlySet<NodeId>): number {
  let n = 0;
  for (const id of ids) if (among.has(id)) n++;
  return n;
}

/** Whether the voters that a membership waits for would be a group, as far as `answers` goes; newcomers may still come. @internal */
export function isLive(membership: Membership, answers: (voter: Member) => boolean): boolean {
  const { next, quorums } = membership;
  if (next === undefined) return true;
  const dead = membership.voters.filter((voter) => next.voters.includes(voter.id) && !answers(voter));
  return next.voters.length - dead.length >= commitSize(next.voters.length, quorums);
}

/**
 * The next step of a change that is under way, if its time has come: the joint membership once all new voters have caught up, or
 * the new one after the joint one. Undefined: there is nothing to do yet.
 *
 * @internal
 */
export function advance(
  membership: Membership,
  caughtUp: (member: Member) => boolean,
): Membership | undefined {
  if (membership.outgoing.length > 0) return leaveJoint(membership);
  const { next, ...current } = membership;
  if (next === undefined) return undefined;
  const known = new Map([...membership.learners, ...membership.voters].map((one) => [one.id, one]));
  const take = (id: NodeId): Member => known.get(id) ?? { id, incarnation: '' };
  const voters = next.voters.map(take);
  if (!voters.every((voter) => membership.voters.includes(voter) || caughtUp(voter))) return undefined;
  return jointWith(membership, { ...current, voters, learners: next.learners.map(take) });
}

/**
 * Admits a voter again whose storage is another than the one on record. The old one is a voter that is dead for good: it may have
 * voted, so it goes on counting among those who have to agree (docs/raft.md, "Admitted again").
 *
 * @internal
 */
export function readmitted(membership: Membership, id: NodeId, incarnation: string): Membership {
  const voters = membership.voters.map((voter) => (voter.id === id ? { ...voter, incarnation } : voter));
  return jointWith(membership, { ...membership, voters });
}

function sameIds(
  members: readonly (Member | NodeId)[],
  ids: ReadonlySet<NodeId> | readonly (Member | NodeId)[],
): boolean {
  const other = new Set([...ids].map(idOf));
  return members.length === other.size && members.every((member) => other.has(idOf(member)));
}

function idOf(member: Member | NodeId): NodeId {
  return typeof member === 'string' ? member : member.id;
}
