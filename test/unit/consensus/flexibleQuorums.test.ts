/** Quorums that are no majorities, as a membership carries them; quorum.test.ts counts them. */
import { expect } from 'chai';
import { decodeMembership, encodeMembership } from '../../../lib/consensus/membership.js';
import { advance, isLive, readmitted } from '../../../lib/consensus/reconfiguration.js';
import { members, Rig } from './rig.js';
import type { Membership } from '../../../lib/consensus/membership.js';

const five = ['a', 'b', 'c', 'd', 'e'];
const rule = { commit: 2, spare: 0 };
const flexible: Membership = { ...members(five), quorums: rule };

describe('quorums that are no majorities', () => {
  it('hold from when a majority has the founding: until then others may be elected by majorities', () => {
    const options = { quorums: { commit: 2, election: 5 } };
    const rig = new Rig({ founders: five, options }).link('b', 'c', 'd', 'e').lead('b', 'c').flush();
    rig.ack('b', 1);
    rig.flush();
    expect(rig.status.commitIndex, 'two of five').to.equal(0);
    rig.ack('c', 1);
    rig.flush();
    expect(rig.status.commitIndex, 'three').to.equal(1);
    expect(rig.status.membership.outgoing).to.deep.equal([]);
    rig.ack('b', 2);
    rig.flush();
    expect(rig.status.commitIndex, 'two, from now on').to.equal(2);
    expect(rig.status.stable).to.deep.include({ quorums: { commit: 2, spare: 1 } });
    expect(rig.status.stable).to.not.have.property('outgoingQuorums');
    rig.propose();
    rig.flush();
    rig.ack('e', 3);
    rig.flush();
    expect(rig.status.commitIndex).to.equal(3);
  });

  it('stay with the outgoing voters until they are let go', () => {
    const next = { voters: ['a', 'b', 'c'], learners: [] };
    const joint = advance({ ...flexible, next }, () => true)!;
    expect(joint).to.deep.include({ quorums: rule, outgoingQuorums: rule, outgoing: flexible.voters });
    expect(readmitted(flexible, 'b', 'another')).to.deep.include({ quorums: rule, outgoingQuorums: rule });
    const after = advance(joint, () => true)!;
    expect(after.quorums).to.deep.equal(rule);
    expect(after).to.not.have.property('outgoingQuorums');
  });

  it('say how many have to be there for a change', () => {
    const next = { voters: five, learners: [] };
    const alive = (...ids: string[]) => isLive({ ...flexible, next }, ({ id }) => ids.includes(id));
    expect([alive('a', 'b'), alive('a')]).to.deep.equal([true, false]);
  });

  it('come back from bytes, and nothing else does', () => {
    const whole = { ...flexible, outgoing: flexible.voters, outgoingQuorums: { commit: 3, spare: 2 } };
    expect(decodeMembership(encodeMembership(whole))).to.deep.equal(whole);
    const bad: unknown[] = [null, 5, {}, { commit: 0, spare: 0 }, { commit: 2 }, { commit: 2, spare: -1 }];
    bad.push({ commit: 1.5, spare: 0 }, { commit: 2, spare: 5000 }, { commit: 5000, spare: 0 }, 'majority');
    for (const quorums of bad)
      for (const name of ['quorums', 'outgoingQuorums'])
        expect(
          decodeMembership(encodeMembership({ ...members(five), [name]: quorums })),
          `${name} ${JSON.stringify(quorums)}`,
        ).to.equal(undefined);
  });
});
