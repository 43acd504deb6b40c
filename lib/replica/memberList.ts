/** The members of a group as its app sees them. */
import type { Membership } from '../consensus/membership.js';
import type { MemberStatus } from './replicaTypes.js';

/** `before` itself when nothing that an app sees has changed: a joint membership, say, has ended. */
export function memberList(membership: Membership, before: readonly MemberStatus[]): readonly MemberStatus[] {
  const list = [
    ...membership.voters.map(({ id, witness }): MemberStatus => ({ id, as: witness ? 'witness' : 'voter' })),
    ...membership.learners.map(({ id }): MemberStatus => ({ id, as: 'learner' })),
  ];
  const same = ({ id, as }: MemberStatus, at: number): boolean =>
    before[at]?.id === id && before[at].as === as;
  return list.length === before.length && list.every(same) ? before : list;
}
