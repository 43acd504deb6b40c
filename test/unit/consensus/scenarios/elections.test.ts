/** Who leads: pre-vote, check-quorum, both together, stickiness, and who may vote at all. */
import { expect } from 'chai';
import { configEntry, members } from '../rig.js';
import { Stage } from './stage.js';

const trio = ['a', 'b', 'c'];

/** Three with the same log; a leads in term 2, and everyone knows all it holds. */
function led(): Stage {
  const seed = { log: [1], commit: 1 };
  const s = new Stage({ a: seed, b: seed, c: seed }).elect('a').deliver();
  s.beat('a').deliver();
  expect(s.all(...trio)).to.deep.equal(['leader 2: 1 2 (2)', 'follower 2: 1 2 (2)', 'follower 2: 1 2 (2)']);
  return s.forget();
}

describe('pre-vote', () => {
  it('when a node was alone for long, then it comes back in the same term and disturbs nobody', () => {
    const s = led().isolate('c');
    for (let i = 0; i < 5; i++) s.timeout('c');
    expect(s.at('c')).to.equal('candidate 2: 1 2 (2)');
    s.run(100);
    s.propose('a');
    s.deliver().heal().run(700);
    expect(s.all(...trio)).to.deep.equal([
      'leader 2: 1 2 2 (3)',
      'follower 2: 1 2 2 (3)',
      'follower 2: 1 2 2 (3)',
    ]);
  });

  it('when the log of who asks is older, then it gets no pre-vote and no term changes', () => {
    const s = led().cut('a', 'c');
    s.propose('a');
    s.deliver().crash('a').timeout('c').deliver();
    expect(s.all('b', 'c')).to.deep.equal(['follower 2: 1 2 2 (3)', 'candidate 2: 1 2 (2)']);
    s.elect('b').deliver();
    expect(s.all('b', 'c')).to.deep.equal(['leader 3: 1 2 2 3 (4)', 'follower 3: 1 2 2 3 (4)']);
  });

  // Pitfall 7 (openraft#1796, canonical/raft#279): the newer log must learn the newer term by being refused.
  it('when one has the newer log and another one the newer term, then the newer log wins in the end', () => {
    const s = new Stage({
      a: { log: [1, 1], term: 7, commit: 1 },
      b: { log: [1, 2, 2], term: 2, commit: 1 },
      c: { log: [1], commit: 1 },
    });
    s.crash('c').timeout('a').deliver();
    expect(s.all('a', 'b')).to.deep.equal(['candidate 7: 1 1 (1)', 'follower 2: 1 2 2 (1)']);
    s.timeout('b').deliver();
    expect(s.all('a', 'b')).to.deep.equal(['candidate 7: 1 1 (1)', 'follower 7: 1 2 2 (1)']);
    s.timeout('b').deliver();
    expect(s.all('a', 'b')).to.deep.equal(['follower 8: 1 2 2 8 (4)', 'leader 8: 1 2 2 8 (4)']);
  });

  it('when two run at once and split the votes, then a later term decides', () => {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed, d: seed });
    s.timeout('a').timeout('b');
    const pair = (one: string, other: string): void => {
      s.deliver({ type: 'vote', from: one, to: other }).deliver({ type: 'voteReply', to: one });
    };
    // Everyone says yes to both that they might run; c then hears a first and d hears b first.
    for (const id of ['a', 'b']) for (const to of ['c', 'd']) s.deliverOne({ type: 'vote', from: id, to });
    s.deliver({ type: 'voteReply' });
    expect(s.all('a', 'b')).to.deep.equal(['candidate 2: 1 (1)', 'candidate 2: 1 (1)']);
    pair('a', 'c');
    pair('b', 'd');
    s.deliver();
    expect(s.all('a', 'b').map((at) => at.split(' ')[1])).to.deep.equal(['2:', '2:']);
    expect([...s.nodes.values()].some(({ core }) => core.status.role === 'leader')).to.equal(false);
    s.elect('b').deliver();
    expect(s.all('a', 'b', 'c', 'd')).to.deep.equal([
      'follower 3: 1 3 (2)',
      'leader 3: 1 3 (2)',
      'follower 3: 1 3 (2)',
      'follower 3: 1 3 (2)',
    ]);
  });
});

describe('check-quorum', () => {
  it('when a leader hears no quorum for a time-out, then it steps down, and takes no proposal', () => {
    const s = led().isolate('a').wait(290, 'a');
    expect(s.node('a').core.status.role).to.equal('leader');
    s.wait(60, 'a');
    expect(s.at('a')).to.equal('follower 2: 1 2 (2)');
    expect(s.propose('a')).to.deep.equal({ ok: false, why: 'notLeader' });
  });

  it('when one of two followers answers, then it leads on', () => {
    const s = led().isolate('b').run(2000);
    expect(s.at('a')).to.equal('leader 2: 1 2 (2)');
  });

  it('when it only hears a learner, then it steps down', () => {
    const membership = { ...members(['a', 'b']), learners: [{ id: 'c', incarnation: 'C' }] };
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed }, { membership }).elect('a').deliver();
    s.isolate('b').run(700);
    expect(s.node('a').core.status.role).to.not.equal('leader');
    expect(s.at('c')).to.equal('learner 2: 1 2 (2)');
  });

  it('when the old leader was cut off and writes, then its entries give way to those of the new one', () => {
    const s = led().isolate('a');
    s.propose('a', 2);
    s.elect('b', 'c').deliver();
    s.propose('b');
    s.deliver();
    expect(s.all(...trio)).to.deep.equal([
      'leader 2: 1 2 2 2 (2)',
      'leader 3: 1 2 3 3 (4)',
      'follower 3: 1 2 3 3 (4)',
    ]);
    s.heal().run(400);
    expect(s.all(...trio)).to.deep.equal([
      'follower 3: 1 2 3 3 (4)',
      'leader 3: 1 2 3 3 (4)',
      'follower 3: 1 2 3 3 (4)',
    ]);
  });
});

describe('pre-vote with check-quorum', () => {
  // Pitfall 6 (etcd#8501): a candidate of a newer term, and a majority that sticks to the leader of an older one.
  it('when a candidate fails in a newer term and the leader is back, then it is not stuck for ever', () => {
    const s = led();
    s.timeout('c').deliver({ type: 'vote', to: 'b' }).deliver({ type: 'voteReply', to: 'c' });
    s.lose();
    expect(s.all(...trio)).to.deep.equal([
      'leader 2: 1 2 (2)',
      'follower 2: 1 2 (2)',
      'candidate 3: 1 2 (2)',
    ]);
    // b hears a again and would refuse c; c's answer tells a the newer term.
    s.beat('a').deliver({ from: 'a', to: 'b' }).deliver({ from: 'b', to: 'a' });
    s.deliver();
    expect(s.node('a').core.status).to.deep.include({ role: 'follower', leader: '' });
    s.run(2000);
    const leader = [...s.nodes.values()].find(({ core }) => core.status.role === 'leader')!;
    expect(leader.core.status.epoch.n).to.be.above(3);
    expect(s.propose(leader.id).ok).to.equal(true);
    s.run(200);
    expect(new Set(s.all(...trio).map((at) => at.split(': ')[1])).size).to.equal(1);
    expect(leader.core.status.commitIndex).to.equal(leader.core.status.lastIndex);
  });

  // The same with silence on one way: the leader's word reaches nobody, everybody's reaches it.
  it('when nobody hears the leader but it hears them, then another one takes over', () => {
    const s = led().cut('a', 'b').cut('a', 'c').run(2000);
    const leaders = [...s.nodes.values()].filter(({ core }) => core.status.role === 'leader');
    expect(leaders.map(({ id }) => id)).to.not.include('a');
    expect(leaders).to.have.length(1);
    expect(leaders[0]!.core.status.epoch.n).to.be.above(2);
  });

  // raft-rs#84: who asks for pre-votes has forgotten its leader, else two that lost it refuse each other.
  it('when both followers have lost the leader, then they elect one of them', () => {
    const s = led().crash('a').wait(290, 'b', 'c').timeout('b').timeout('c').deliver();
    s.run(1500);
    expect(s.all('b', 'c').filter((at) => at.startsWith('leader'))).to.have.length(1);
  });
});

describe('stickiness', () => {
  it('when a node still hears the leader, then nobody gets its vote and its term stays', () => {
    const s = led().isolate('c', ['a']);
    for (let i = 0; i < 3; i++) {
      s.beat('a').deliver();
      s.wait(200, 'c').deliver();
    }
    expect(s.sentOf('vote', { from: 'c' }).length).to.be.above(0);
    expect(s.sentOf('voteReply', { from: 'b' }).map((m) => [m.granted, m.term])).to.deep.equal([[false, 2]]);
    expect(s.all('a', 'b')).to.deep.equal(['leader 2: 1 2 (2)', 'follower 2: 1 2 (2)']);
  });

  it('when it forgets its leader, since the link broke, then it votes at once', () => {
    const s = led().crash('a').wait(700, 'c').deliver();
    expect(s.all('b', 'c')).to.deep.equal(['follower 3: 1 2 3 (3)', 'leader 3: 1 2 3 (3)']);
  });

  it('when the leader itself is asked for a vote, then it stays and answers with its term', () => {
    const s = led().timeout('c').deliver({ to: 'a' });
    expect(s.sentOf('voteReply', { from: 'a' })[0]).to.deep.include({ granted: false, term: 2 });
    expect(s.at('a')).to.equal('leader 2: 1 2 (2)');
  });
});

describe('learners and memberships that not everybody knows yet', () => {
  const two = { ...members(['a', 'b']), learners: [{ id: 'c', incarnation: 'C' }] };
  const promoted = configEntry(2, 1, members(trio));

  // Pitfall 8 (etcd#10998, raft-rs#57): two of three voters are up, and one of them takes itself for a learner.
  it('when a promoted learner does not know it yet, then its vote decides all the same', () => {
    const knows = { log: [1, promoted], commit: 1 };
    const s = new Stage({ a: knows, b: knows, c: { log: [1], commit: 1 } }, { membership: two }).crash('b');
    expect(s.at('c')).to.equal('learner 1: 1 (1)');
    s.elect('a').deliver();
    expect(s.all('a', 'c')).to.deep.equal(['leader 2: 1 1 2 (3)', 'follower 2: 1 1 2 (3)']);
  });

  // Pitfall 9 (NuRaft#553, redpanda#8495).
  it('when all voters are gone, then a learner still does not run', () => {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed }, { membership: two }).crash('a').crash('b');
    s.wait(5000, 'c');
    expect([s.at('c'), s.sent]).to.deep.equal(['learner 1: 1 (1)', []]);
  });

  it('when only a learner holds an entry besides the leader, then it is not committed', () => {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed }, { membership: two }).elect('a');
    s.isolate('b').deliver();
    expect(s.all('a', 'c')).to.deep.equal(['leader 2: 1 2 (1)', 'learner 2: 1 2 (1)']);
    s.heal().link('a', 'b').deliver();
    expect(s.at('a')).to.equal('leader 2: 1 2 (2)');
  });

  it('when only one node knows of a change of members, then its newer log wins, and the change with it', () => {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: { log: [1, promoted], commit: 1 }, b: seed, c: seed }, { membership: two });
    const promotedAt = (id: string): number => s.node(id).core.status.membership.voters.length;
    expect([promotedAt('a'), promotedAt('b')]).to.deep.equal([3, 2]);
    // For a the vote of c would do; for b, which never heard of the change, it is that of a, and a has the newer log.
    s.isolate('a').timeout('b').deliver();
    expect(s.node('b').core.status.role).to.not.equal('leader');
    s.heal().elect('a', 'c').deliver();
    expect(s.all(...trio)).to.deep.equal([
      'leader 2: 1 1 2 (3)',
      'follower 2: 1 1 2 (3)',
      'follower 2: 1 1 2 (3)',
    ]);
    expect([promotedAt('b'), promotedAt('c')]).to.deep.equal([3, 3]);
  });

  // Pitfall 12 (Ongaro 2015): who counts may change only after a commit in the leader's own term, else two leaders could
  // build on different changes. Putting a storage on record is such a change.
  it('when a member is first met, then it goes on record only after a commit of the reign', () => {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed }, { membership: members(trio, ['a', 'b']) });
    s.elect('a', 'b').link('a', 'c');
    expect(s.at('a')).to.equal('leader 2: 1 2 (1)');
    // c's word does not count yet.
    s.deliver({ among: ['a', 'c'] });
    expect(s.all('a', 'c')).to.deep.equal(['leader 2: 1 2 (1)', 'follower 2: 1 2 (1)']);
    s.deliver();
    expect(s.all(...trio)).to.deep.equal([
      'leader 2: 1 2 2 (3)',
      'follower 2: 1 2 2 (3)',
      'follower 2: 1 2 2 (3)',
    ]);
    expect(s.node('c').core.status.membership).to.deep.equal(members(trio));
  });

  it('when a change is joint, then entries and votes need a majority of both halves', () => {
    const joint = { ...members(['a', 'b', 'c']), outgoing: members(['a', 'd', 'e']).voters };
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed, d: seed, e: seed }, { membership: joint });
    s.elect('a', 'b', 'c');
    expect(s.at('a')).to.equal('candidate 1: 1 (1)');
    s.elect('a', 'b', 'd').deliver({ among: trio });
    expect(s.at('a')).to.equal('leader 2: 1 2 (1)');
    s.deliver({ from: 'a', to: 'e' }).deliver({ from: 'e', to: 'a' });
    // The old voters are let go by themselves.
    expect(s.at('a')).to.equal('leader 2: 1 2 2 (2)');
  });
});
