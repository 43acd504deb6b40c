/**
 * Counting: majorities, joint majorities, and the highest value that a quorum has reached. Pure functions of a
 * {@link Membership}; while a joint change is under way (dissertation §4.3) both halves must agree. They count members, not ids: a
 * member that is admitted again has one storage in the one half and another in the other.
 */
import type { Member, Membership } from './membership.js';

/** How many of `n` voters make a majority. @internal */
export function majority(n: number): number {
  return (n >> 1) + 1;
}

/** Whether a quorum satisfies `is`. No voters, no quorum. @internal */
export function hasQuorum(membership: Membership, is: (voter: Member) => boolean): boolean {
  return (
    hasMajority(membership.voters, is) &&
    (membership.outgoing.length === 0 || hasMajority(membership.outgoing, is))
  );
}

function hasMajority(voters: readonly Member[], is: (voter: Member) => boolean): boolean {
  let yes = 0;
  for (const voter of voters) if (is(voter)) yes++;
  return yes >= majority(voters.length);
}

/** How an election stands. @internal */
export type VoteResult = 'won' | 'lost' | 'pending';

/** Tallies votes: `true` granted, `false` refused, `undefined` not in yet. @internal */
export function voteResult(
  membership: Membership,
  voteOf: (voter: Member) => boolean | undefined,
): VoteResult {
  if (hasQuorum(membership, (voter) => voteOf(voter) === true)) return 'won';
  return hasQuorum(membership, (voter) => voteOf(voter) !== false) ? 'pending' : 'lost';
}

const scratch: number[] = [];

/**
 * The highest value that a quorum has reached, such as the index that a quorum holds; 0 without voters.
 *
 * @internal
 */
export function quorumValue(membership: Membership, valueOf: (voter: Member) => number): number {
  const incoming = majorityValue(membership.voters, valueOf);
  return membership.outgoing.length === 0
    ? incoming
    : Math.min(incoming, majorityValue(membership.outgoing, valueOf));
}

function majorityValue(voters: readonly Member[], valueOf: (voter: Member) => number): number {
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
  return scratch[majority(n) - 1]!;
}
