/**
 * Counting: quorums, joint quorums, and the highest value that a quorum has reached. Pure functions of a {@link Membership}; while
 * a joint change is under way (dissertation §4.3) both halves must agree. They count members, not ids: a member that is admitted
 * again has one storage in the one half and another in the other.
 *
 * There are two sizes (Howard, Malkhi, Spiegelman: Flexible Paxos, 2016), both majorities unless a membership says otherwise. Who
 * is to lead is elected by `election` voters. Who leads works with `commit` voters: they hold what is committed, confirm reads, give
 * promises for a lease, and are heard. Any two of different kinds share a voter. Raft needs more than Paxos: two elections of one
 * term must share a voter as well, since a term names no candidate, and logs are compared by terms.
 */
import { jointWith, type Member, type Membership, type Quorums } from './membership.js';

/** How many of `n` voters make a majority. @internal */
export function majority(n: number): number {
  return (n >> 1) + 1;
}

/** How many of `n` voters hold what is committed. @internal */
export function commitSize(n: number, quorums?: Quorums): number {
  return quorums === undefined ? majority(n) : Math.max(1, Math.min(quorums.commit, n));
}

/** How many of `n` voters elect: one more than may lack a commit, a majority, and the spare ones. @internal */
export function electionSize(n: number, quorums?: Quorums): number {
  if (quorums === undefined) return majority(n);
  const needed = Math.max(majority(n), n - commitSize(n, quorums) + 1);
  return Math.max(1, Math.min(n, needed + quorums.spare));
}

/** The rule that gives these sizes with `n` voters. @internal */
export function quorumsFor(
  n: number,
  sizes: { readonly commit: number; readonly election?: number },
): Quorums {
  const { commit, election = 0 } = sizes;
  return { commit, spare: Math.max(0, election - electionSize(n, { commit, spare: 0 })) };
}

/**
 * The first membership of a group with such quorums. Who has not heard of the founding elects by majorities; so a majority, too, has
 * to hold it before other quorums count.
 *
 * @internal
 */
export function foundedWith(
  membership: Membership,
  sizes: 'majority' | Parameters<typeof quorumsFor>[1],
): Membership {
  if (sizes === 'majority') return membership;
  return jointWith(membership, { ...membership, quorums: quorumsFor(membership.voters.length, sizes) });
}

/** Which of the two sizes. @internal */
export type QuorumKind = 'commit' | 'election';

/** Whether a quorum satisfies `is`. No voters, no quorum. @internal */
export function hasQuorum(
  membership: Membership,
  is: (voter: Member) => boolean,
  kind: QuorumKind = 'commit',
): boolean {
  const { voters, outgoing, quorums, outgoingQuorums } = membership;
  const size = kind === 'commit' ? commitSize : electionSize;
  return (
    hasMany(voters, is, size(voters.length, quorums)) &&
    (outgoing.length === 0 || hasMany(outgoing, is, size(outgoing.length, outgoingQuorums)))
  );
}

function hasMany(voters: readonly Member[], is: (voter: Member) => boolean, wanted: number): boolean {
  let yes = 0;
  for (const voter of voters) if (is(voter)) yes++;
  return yes >= wanted;
}

/** How an election stands. @internal */
export type VoteResult = 'won' | 'lost' | 'pending';

/** Tallies votes: `true` granted, `false` refused, `undefined` not in yet. @internal */
export function voteResult(
  membership: Membership,
  voteOf: (voter: Member) => boolean | undefined,
): VoteResult {
  if (hasQuorum(membership, (voter) => voteOf(voter) === true, 'election')) return 'won';
  return hasQuorum(membership, (voter) => voteOf(voter) !== false, 'election') ? 'pending' : 'lost';
}

const scratch: number[] = [];

/**
 * The highest value that a quorum of those who commit has reached, such as the index that it holds; 0 without voters.
 *
 * @internal
 */
export function quorumValue(membership: Membership, valueOf: (voter: Member) => number): number {
  const { voters, outgoing, quorums, outgoingQuorums } = membership;
  const incoming = valueOfMany(voters, valueOf, commitSize(voters.length, quorums));
  if (outgoing.length === 0) return incoming;
  return Math.min(incoming, valueOfMany(outgoing, valueOf, commitSize(outgoing.length, outgoingQuorums)));
}

/** The highest value that so many have reached. */
function valueOfMany(voters: readonly Member[], valueOf: (voter: Member) => number, wanted: number): number {
  const n = voters.length;
  if (n === 0) return 0;
  // An insertion sort into a reused array: groups are small, and this runs for every acknowledgement.
  for (let i = 0; i < n; i++) {
    const value = valueOf(voters[i]!);
    let at = i;
    while (at > 0 && scratch[at - 1]! < value) {
      scratch[at] = scratch[at - 1]!;
      at--;
    }
    scratch[at] = value;
  }
  return scratch[wanted - 1]!;
}
