/** Who may open a group with what its storage holds. */
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { NO_EPOCH, type CoreStatus } from '../../../lib/consensus/consensus.js';
import type { Membership } from '../../../lib/consensus/membership.js';
import { checkMembership } from '../../../lib/engine/openChecks.js';
import { QuorateError } from '../../../lib/errors.js';

function status(ids: string, more: Partial<Membership> = {}): CoreStatus {
  const voters = Array.from(ids, (id) => ({ id, incarnation: '' }));
  const stable = { genesis: 'G', founders: [], voters, outgoing: [], learners: [], ...more };
  return {
    role: 'follower',
    leader: '',
    epoch: NO_EPOCH,
    quorum: false,
    quiet: false,
    transferring: '',
    membership: stable,
    membershipIndex: 5,
    stable,
    stableIndex: 5,
    genesis: 'G',
    commitIndex: 5,
    lastIndex: 5,
    stopped: undefined,
  };
}

describe('opening', () => {
  it('is for members, and for whoever was never told of any', () => {
    checkMembership('g', 'a', status('abc'));
    checkMembership('g', 'd', status('abc', { learners: [{ id: 'd', incarnation: '' }] }));
    checkMembership('g', 'd', status('abc', { genesis: '' }));
    expect(() => checkMembership('g', 'd', status('abc')))
      .to.throw(QuorateError, /no member of group g/)
      .with.property('code', 'ERR_NOT_A_MEMBER');
  });

  it('is for those, too, whom a configuration let go: they may be the only ones that know how it ended', () => {
    checkMembership('g', 'd', status('abc', { config: 2 }));
  });
});
