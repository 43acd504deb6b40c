/** Members come and go (Raft paper §6; dissertation §4): through learners and joint memberships, whoever dies on the way. */
import { expect } from 'chai';
import { members } from '../rig.js';
import { Stage } from './stage.js';
import type { RaftOptions } from '../../../../lib/consensus/raft/options.js';

/** a, b and c, led by a in term 2, and d and e that found nothing. All are linked. */
function group(options: RaftOptions = {}): Stage {
  const seed = { log: [1], commit: 1 };
  const none = { log: [] };
  const s = new Stage({ a: seed, b: seed, c: seed, d: none, e: none }, { joiners: ['d', 'e'], options });
  s.elect('a', 'b', 'c').deliver();
  s.beat('a').deliver();
  expect(s.at('a')).to.equal('leader 2: 1 2 (2)');
  return s.forget();
}

/** What the leader's own log says, one membership after another. */
function steps(s: Stage, id: string): string[] {
  const seen: string[] = [];
  const look = (): void => {
    const now = s.parts(id);
    if (seen.at(-1) !== now) seen.push(now);
  };
  look();
  for (let i = 0; i < 500 && s.has({}); i++) {
    s.deliverOne();
    look();
  }
  return seen;
}

describe('a change of the membership', () => {
  it('when a voter is added, then it learns first, votes along with the old voters, and then counts', () => {
    const s = group();
    expect(s.change('a', { addVoters: ['d'] })).to.equal('ok');
    expect(steps(s, 'a')).to.deep.equal(['abc +d ⇒ abcd', 'abcd/abc', 'abcd']);
    s.run(200);
    for (const id of ['a', 'b', 'c', 'd']) expect(s.parts(id)).to.equal('abcd');
    expect(s.node('d').core.status.role).to.equal('follower');
    // Three of four from now on.
    s.isolate('a', ['c', 'd']).propose('a');
    s.deliver();
    expect(s.node('a').core.status.commitIndex).to.equal(s.node('a').core.status.lastIndex - 1);
  });

  it('when a learner is added, then it is fed, and counts for nothing', () => {
    const s = group();
    expect(s.change('a', { addLearners: ['d'] })).to.equal('ok');
    expect(steps(s, 'a')).to.deep.equal(['abc +d']);
    s.run(100);
    expect(s.at('d')).to.equal(s.at('c').replace('follower', 'learner'));
    s.isolate('a', ['b', 'c']).propose('a');
    s.deliver();
    expect(s.node('a').core.status.commitIndex).to.equal(s.node('a').core.status.lastIndex - 1);
  });

  it('when several are replaced at once, then both majorities decide, and the old ones are let go', () => {
    const s = group();
    expect(s.change('a', { addVoters: ['d', 'e'], remove: ['b', 'c'] })).to.equal('ok');
    expect(steps(s, 'a')).to.deep.equal(['abc +de ⇒ ade', 'ade/abc', 'ade']);
    s.run(200);
    expect(['a', 'd', 'e'].map((id) => s.parts(id))).to.deep.equal(['ade', 'ade', 'ade']);
    // Those who are gone heard of it.
    expect(['b', 'c'].map((id) => s.node(id).core.status.role)).to.deep.equal(['learner', 'learner']);
    expect(['b', 'c'].map((id) => s.parts(id))).to.deep.equal(['ade', 'ade']);
  });

  it('when a voter is to learn only, then it keeps its place and loses its vote', () => {
    const s = group();
    expect(s.change('a', { addLearners: ['c'] })).to.equal('ok');
    expect(steps(s, 'a')).to.deep.equal(['ab/abc +c', 'ab +c']);
    s.run(100);
    expect(s.node('c').core.status.role).to.equal('learner');
    expect(s.at('c')).to.equal(s.at('b').replace('follower', 'learner'));
  });

  it('when nothing would change, then nothing is written; when nobody would vote, it is refused', () => {
    const s = group();
    const before = s.at('a');
    expect(s.change('a', { addVoters: ['b'], remove: ['e'] })).to.equal('ok');
    expect(s.change('a', { remove: ['a', 'b', 'c'] })).to.equal('invalid');
    expect(s.change('b', { addVoters: ['d'] })).to.equal('notLeader');
    expect(s.at('a')).to.equal(before);
  });

  it('when one is under way, then the next has to wait', () => {
    const s = group();
    expect(s.change('a', { remove: ['c'] })).to.equal('ok');
    expect(s.change('a', { remove: ['b'] })).to.equal('configPending');
    s.deliver();
    expect(s.change('a', { remove: ['b'] })).to.equal('ok');
    expect(steps(s, 'a')).to.deep.equal(['a/ab', 'a']);
  });

  it('when a learner was added and that is not committed, then the next has to wait as well', () => {
    const s = group();
    expect(s.change('a', { addLearners: ['d'] })).to.equal('ok');
    expect(s.change('a', { addLearners: ['e'] })).to.equal('configPending');
    s.deliver();
    expect(s.change('a', { addLearners: ['e'] })).to.equal('ok');
  });

  it('when a newcomer never comes, then it can be taken back, and the group was never held up', () => {
    const s = group();
    s.crash('d');
    expect(s.change('a', { addVoters: ['d'] })).to.equal('ok');
    s.deliver();
    expect(s.parts('a')).to.equal('abc +d ⇒ abcd');
    s.isolate('a', ['c']).propose('a');
    s.deliver();
    expect(s.node('a').core.status.commitIndex).to.equal(s.node('a').core.status.lastIndex);
    expect(s.change('a', { remove: ['d'] })).to.equal('ok');
    s.deliver();
    expect(s.parts('a')).to.equal('abc');
  });

  it('when too few would be left that are there, then it is refused', () => {
    const s = group();
    s.crash('c').run(400);
    expect(s.change('a', { remove: ['b'] })).to.equal('noQuorum');
    // a and b remain, and both are there.
    expect(s.change('a', { remove: ['c'] })).to.equal('ok');
    s.deliver();
    expect(s.parts('a')).to.equal('ab');
  });

  it('when a newcomer has caught up but is gone again, then the old voters go on without it', () => {
    const s = group();
    s.cut('d', 'a');
    expect(s.change('a', { addVoters: ['d', 'e'] })).to.equal('ok');
    s.run(1000);
    expect(s.parts('a')).to.equal('abc +de ⇒ abcde');
    s.heal().run(1000);
    expect(s.parts('a')).to.equal('abcde');
  });
});

describe('a change of the membership and its leader', () => {
  // Pitfall 12 (Ongaro 2015).
  it('when no entry of the reign is committed yet, then nothing may be changed', () => {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed }, {}).elect('a', 'b');
    expect(s.node('a').core.status.role).to.equal('leader');
    expect(s.change('a', { remove: ['c'] })).to.equal('preparing');
  });

  // Pitfall 11 (etcd#11046, #12136).
  it('when the joint membership is committed, then it is left once, by whoever leads', () => {
    const s = group();
    s.change('a', { addVoters: ['d'] });
    while (s.parts('a') !== 'abcd/abc') s.deliverOne();
    // The others have the joint entry, and the leader dies before it knows.
    for (const id of ['b', 'c', 'd']) s.deliver({ from: 'a', to: id });
    s.crash('a');
    expect(s.parts('b')).to.equal('abcd/abc');
    s.elect('b', 'c', 'd').deliver();
    expect(s.parts('b')).to.equal('abcd');
    const configs = s.node('b').disk.written.entries.filter(({ kind }) => kind === 'config');
    expect(configs).to.have.length(4); // founding, the newcomer, joint, and the way out
    s.start('a').run(300);
    expect(['a', 'b'].map((id) => s.parts(id))).to.deep.equal(['abcd', 'abcd']);
  });

  it('when the leader dies before its joint entry gets anywhere, then the change never was', () => {
    const s = group();
    s.change('a', { remove: ['c'] });
    s.crash('a');
    s.elect('b', 'c').deliver();
    expect(s.parts('b')).to.equal('abc');
    s.start('a').run(300);
    expect(s.parts('a')).to.equal('abc');
  });

  it('when the leader dies while a newcomer catches up, then the next one goes on', () => {
    const s = group();
    s.cut('a', 'd').change('a', { addVoters: ['d'] });
    s.deliver();
    expect(s.parts('b')).to.equal('abc +d ⇒ abcd');
    s.crash('a').elect('b', 'c').deliver();
    s.run(300);
    expect(s.parts('b')).to.equal('abcd');
  });

  // Pitfall 16 (raft#83): dissertation §4.2.2.
  it('when the leader is removed, then it counts no longer, leads until that is committed, and is silent after it', () => {
    const s = group();
    expect(s.change('a', { remove: ['a'] })).to.equal('ok');
    expect(s.parts('a')).to.equal('bc/abc');
    s.deliver({ among: ['a', 'b'] });
    // Of b and c only b has it, and a does not count.
    expect(s.parts('a')).to.equal('bc/abc');
    expect(s.node('a').core.status.role).to.equal('leader');
    s.deliver();
    expect([s.parts('a'), s.node('a').core.status.role]).to.deep.equal(['bc', 'learner']);
    s.forget().wait(2000, 'a').deliver();
    expect(s.sentOf('heartbeat', { from: 'a' })).to.deep.equal([]);
    expect(s.sentOf('vote', { from: 'a' })).to.deep.equal([]);
    s.elect('b', 'c').deliver();
    expect(s.node('b').core.status.role).to.equal('leader');
  });

  // Pitfall 15 (hashicorp#476, #524): a member that never heard that it is gone.
  it('when a removed member knows nothing of it, then it disturbs nobody', () => {
    const s = group().isolate('c');
    s.change('a', { remove: ['c'] });
    s.deliver();
    expect(s.parts('a')).to.equal('ab');
    for (let i = 0; i < 3; i++) s.timeout('c');
    s.heal().run(100);
    s.timeout('c').deliver();
    expect(s.node('a').core.status.epoch.n).to.equal(2);
    expect(s.node('a').core.status.role).to.equal('leader');
  });

  // Found by the simulated cluster, seed 5: dissertation §4.2.2, the example of figure 4.6.
  it('when only the one to be removed has the last entry, then it finishes its removal', () => {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed }, {}).elect('b', 'a').deliver();
    s.beat('b').deliver().forget();
    expect(s.change('b', { remove: ['b'] })).to.equal('ok');
    expect(s.parts('b')).to.equal('a/ab');
    s.deliver({ from: 'b', to: 'a' }).deliverOne({ from: 'a', to: 'b' });
    // The joint entry is committed at b; the way out is on b's disk only.
    expect(s.parts('b')).to.equal('a');
    s.lose({ from: 'b' });
    expect(s.parts('a')).to.equal('a/ab');
    s.unlink('a', 'b').run(1000);
    s.link('a', 'b').run(2000);
    expect(s.parts('a')).to.equal('a');
    expect(s.node('a').core.status.role).to.equal('leader');
  });
});

describe('a voter that lost its memory', () => {
  it('when it has learned again, then it is admitted again, and counts from then on', () => {
    const s = group();
    s.wipe('c').run(500);
    expect(s.parts('a')).to.equal('abc');
    expect(s.node('a').core.status.membership.voters.map(({ incarnation }) => incarnation)).to.deep.equal([
      'A',
      'B',
      'C2',
    ]);
    expect(s.node('c').core.status.role).to.equal('follower');
    s.isolate('a', ['b']).propose('a');
    s.deliver();
    expect(s.node('a').core.status.commitIndex).to.equal(s.node('a').core.status.lastIndex);
  });

  // Or a leader of the past, who does not know of a vote that the lost storage gave, could commit with the new one.
  it('when it comes back, then the others decide about it alone', () => {
    const s = group();
    s.isolate('a', ['b']).wipe('c').run(250);
    const { voters, outgoing } = s.node('a').core.status.membership;
    expect([voters, outgoing].map((half) => half.map(({ incarnation }) => incarnation))).to.deep.equal([
      ['A', 'B', 'C2'],
      ['A', 'B', 'C'],
    ]);
    // Of a, b and the c of old there is only a.
    const index = s.node('a').core.status.commitIndex;
    s.propose('a');
    s.deliver();
    expect(s.node('a').core.status.commitIndex).to.equal(index);
  });

  it('when it votes, then its vote counts for the new storage only', () => {
    const s = group();
    s.isolate('a', ['b']).wipe('c').run(250);
    expect(s.node('a').core.status.membership.outgoing).to.have.length(3);
    // a lost its quorum, and asks again: with the new c it has two of the new voters, and one of the old.
    s.run(700);
    expect(s.node('a').core.status.role).to.not.equal('leader');
    s.forget().run(2000);
    expect(s.sentOf('vote', { from: 'a', to: 'c' })).to.not.deep.equal([]);
    expect(s.sentOf('heartbeat', { from: 'a' })).to.deep.equal([]);
    s.heal().elect('a', 'b', 'c').deliver();
    s.run(300);
    expect(s.node('a').core.status.membership.outgoing).to.deep.equal([]);
    expect(s.node('a').core.status.role).to.equal('leader');
  });

  it('when that is not wanted, then it learns until it is removed and added', () => {
    const s = group({ readmit: false });
    s.wipe('c').run(1000);
    expect(s.node('a').core.status.membership.voters.map(({ incarnation }) => incarnation)).to.deep.equal([
      'A',
      'B',
      'C',
    ]);
    expect(s.change('a', { remove: ['c'] })).to.equal('ok');
    s.run(200);
    expect(s.change('a', { addVoters: ['c'] })).to.equal('ok');
    s.run(300);
    expect(s.node('a').core.status.membership).to.deep.equal({
      ...members(['a', 'b', 'c']),
      founders: ['a', 'b', 'c'],
      voters: [
        { id: 'a', incarnation: 'A' },
        { id: 'b', incarnation: 'B' },
        { id: 'c', incarnation: 'C2' },
      ],
    });
  });
});
