/** Handing the leadership over, as a call: what it waits for, and how it speaks. */
import type { RequestFailure } from '../engine/door.js';
import { configError } from '../errors.js';
import type { Wanted } from './leaderCalls.js';
import type { MemberStatus } from './replicaTypes.js';

/** Throws ERR_CONFIG for who cannot be given the leadership. `leader`: this member, if it leads. */
export function checkTarget(to: string, members: readonly MemberStatus[], leader: string | undefined): void {
  const voters = members.filter(({ as }) => as === 'voter').map(({ id }) => id);
  if (!voters.includes(to)) throw configError('to', to, `a voter of the group: ${voters.join(', ')}`);
  if (to === leader) throw configError('to', to, 'another member: this one leads already');
}

/** `to` leads; anyone else than now, when it is empty. With `once`, any refusal is final. */
export function transferTo(to: string, once = false): Wanted {
  return {
    request: { type: 'transfer', to },
    reached: ({ leader, contact }, from) =>
      leader !== '' && contact !== 0 && (to === '' ? from !== '' && leader !== from : leader === to),
    missing: to === '' ? 'no other member leads' : `${to} does not lead`,
    refused: 'the leadership stays where it is',
    explain: (why) => explain(why, to),
    code: 'ERR_TRANSFER_FAILED',
    once,
  };
}

function explain(why: RequestFailure, to: string): string {
  const who = to === '' ? 'another voter' : to;
  switch (why) {
    case 'notLeader':
      return 'no leader could be asked';
    case 'notVoter':
      return to === '' ? 'there is no other voter on record' : `${to} is no voter on record`;
    case 'notLinked':
      return `the leader has no link to ${who}`;
    case 'lagging':
      return to === '' ? 'no other voter has caught up' : `${to} has not caught up`;
    case 'transferring':
      return 'another transfer is under way, or there were too many just now';
    case 'preparing':
      return 'the leader is new, and nothing of its reign is committed yet';
    case 'configPending':
      return 'the membership is being changed';
    case 'stopped':
      return 'the leader has stopped';
    case 'invalid':
    case 'noQuorum':
      return 'the leader could not'; // never of a transfer
    case 'gaveUp':
      return `${who} did not take over within an election time-out`;
  }
}
