/** Disks that are slow, end in batches, or fail: what is said of the disk must be on it (dissertation §10.2.1). */
import { expect } from 'chai';
import { members } from '../rig.js';
import { Stage } from './stage.js';

const trio = ['a', 'b', 'c'];

function fresh(): Stage {
  const seed = { log: [1], commit: 1 };
  return new Stage({ a: seed, b: seed, c: seed });
}

function led(): Stage {
  const s = fresh().elect('a').deliver();
  return s.beat('a').deliver().forget();
}

describe('votes and the disk', () => {
  it('when a vote is not on disk yet, then no answer leaves, and after a crash it was never given', () => {
    const s = fresh().slow('b').isolate('c').timeout('a').deliver();
    expect(s.at('a')).to.equal('candidate 2: 1 (1)');
    expect(s.sentOf('voteReply', { from: 'b' }).filter((m) => !m.pre)).to.deep.equal([]);
    s.restart('b').heal().isolate('a').elect('c', 'b');
    expect(s.at('c')).to.equal('leader 2: 1 2 (1)');
  });

  // Pitfall 29: else two could lead in one term.
  it('when a vote was given, then it holds after a crash', () => {
    const s = fresh().isolate('c').timeout('a').deliver({ to: 'b' }).deliver({ type: 'voteReply' });
    s.deliver({ type: 'vote', to: 'b' });
    expect(s.sentOf('voteReply', { from: 'b' }).at(-1)).to.deep.include({ pre: false, granted: true });
    s.restart('b').heal().isolate('a').timeout('c').deliver();
    // b knows term 2 and gave its vote; c has to run in term 3.
    expect(s.at('c')).to.match(/^follower 2/);
    s.elect('c', 'b');
    expect(s.at('c')).to.equal('leader 3: 1 3 (1)');
  });

  it('when the own vote is not on disk, then a candidate does not lead', () => {
    const s = fresh().slow('a').timeout('a').deliver();
    expect([s.at('a'), s.writing('a')]).to.deep.equal(['candidate 2: 1 (1)', 1]);
    s.finish('a').deliver();
    expect(s.node('a').core.status.role).to.equal('leader');
  });

  it('when an older write ends, then the own vote, written after it, still does not count', () => {
    // Its own vote is all that a needs; c, a learner, knows a newer term and makes it run again.
    const membership = { ...members(['a']), learners: [{ id: 'c', incarnation: 'C' }] };
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, c: { ...seed, term: 9 } }, { membership }).slow('a');
    s.wait(600, 'a').finish('a').deliver();
    expect(s.at('a')).to.equal('follower 9: 1 2 (1)');
    s.wait(600, 'a');
    // The entry of term 2, term 9, and the vote in term 10.
    expect([s.at('a'), s.writing('a')]).to.deep.equal(['candidate 10: 1 2 (1)', 3]);
    s.finish('a', 1).finish('a', 1);
    expect(s.at('a')).to.equal('candidate 10: 1 2 (1)');
    s.finish('a', 1);
    expect(s.at('a')).to.equal('leader 10: 1 2 10 (1)');
  });
});

describe('entries and the disk', () => {
  it('when the own disk is slow, then a leader commits by the others', () => {
    const s = led().slow('a');
    s.propose('a');
    s.deliver({ to: 'b' }).deliver({ to: 'a' });
    expect(s.at('a')).to.equal('leader 2: 1 2 2 (2)');
    s.deliver();
    expect(s.at('a')).to.equal('leader 2: 1 2 2 (3)');
    // It may lose what it never had on disk: the others have it.
    s.crash('a').elect('b').deliver();
    s.start('a').deliver();
    s.beat('b').deliver();
    expect(s.all(...trio)).to.deep.equal([
      'follower 3: 1 2 2 3 (4)',
      'leader 3: 1 2 2 3 (4)',
      'follower 3: 1 2 2 3 (4)',
    ]);
  });

  it('when followers are slow, then nothing is committed before two disks have it', () => {
    const s = led().slow('b').slow('c');
    s.propose('a');
    s.deliver().beat('a').deliver();
    expect(s.at('a')).to.equal('leader 2: 1 2 2 (2)');
    s.finish('c').deliver();
    expect(s.at('a')).to.equal('leader 2: 1 2 2 (3)');
  });

  it('when writes are reported out of order, then the newest counts and the older ones change nothing', () => {
    const s = led().slow('b').isolate('c');
    for (let i = 0; i < 3; i++) {
      s.propose('a');
      s.deliver();
    }
    expect(s.writing('b')).to.equal(3);
    s.finish('b', 2, true).deliver();
    expect(s.at('a')).to.equal('leader 2: 1 2 2 2 2 (4)');
    s.finish('b').deliver();
    expect(s.at('a')).to.equal('leader 2: 1 2 2 2 2 (5)');
  });

  it('when a vote is reported before an older write, then the older one does not take it back', () => {
    const s = led().slow('b');
    s.propose('a');
    s.deliver().crash('a').timeout('c').deliver();
    expect([s.at('c'), s.writing('b')]).to.deep.equal(['candidate 3: 1 2 2 (3)', 2]);
    s.finish('b', 2, true).deliver();
    expect(s.at('c')).to.equal('leader 3: 1 2 2 3 (3)');
    // The new entry is not on b's disk yet, but b can say so: its term is.
    s.forget().beat('c').deliver();
    const said = s.sentOf('ack', { from: 'b' }).map((m) => `${m.term}, ${m.matched}`);
    expect([...new Set(said)]).to.deep.equal(['3, 3']);
    s.finish('b').deliver();
    expect(s.at('c')).to.equal('leader 3: 1 2 2 3 (4)');
  });

  it('when one write ends at a time, then exactly that much is acknowledged', () => {
    const s = led().slow('b').isolate('c');
    for (let i = 0; i < 3; i++) {
      s.propose('a');
      s.deliver();
    }
    for (const commit of [3, 4, 5]) {
      s.finish('b', 1).deliver();
      expect(s.node('a').core.status.commitIndex).to.equal(commit);
    }
  });

  // Pitfall 19: the write of an entry ends when another one has taken its place (append ABA).
  it('when an entry is replaced while its write is under way, then the old write says nothing of the new one', () => {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed, d: seed, e: seed });
    const acked = (): number => Math.max(0, ...s.sentOf('ack', { from: 'b' }).map((m) => m.matched));
    s.elect('a', 'd', 'e').slow('b').deliver({ to: 'b' });
    expect([s.at('b'), s.writing('b')]).to.deep.equal(['follower 2: 1 2 (1)', 1]);
    s.lose();
    // The term of c is a write of its own; then comes c's entry, at the same index.
    s.isolate('a')
      .elect('c', 'd', 'e')
      .beat('c')
      .deliver({ type: 'heartbeat', to: 'b' })
      .deliver({ to: 'b' });
    expect([s.at('b'), s.writing('b')]).to.deep.equal(['follower 3: 1 3 (1)', 3]);
    s.finish('b', 2);
    expect(s.sentOf('ack', { from: 'b', to: 'c' })).to.have.length(1);
    expect(acked()).to.be.below(2);
    // And once more: a is back, and puts its own entry there again.
    s.lose();
    s.heal().isolate('c').elect('a', 'd', 'e').beat('a');
    s.deliver({ type: 'heartbeat', to: 'b' }).deliver({ among: ['a', 'b'] });
    expect([s.at('b'), s.writing('b')]).to.deep.equal(['follower 4: 1 3 (1)', 2]);
    s.finish('b', 1);
    expect(acked()).to.be.below(2);
    s.finish('b', 1).deliver({ among: ['a', 'b'] });
    expect([s.at('b'), s.writing('b')]).to.deep.equal(['follower 4: 1 2 4 (1)', 1]);
    s.beat('a').deliver({ among: ['a', 'b'] });
    expect(acked()).to.be.below(2);
    s.finish('b');
    expect(acked()).to.equal(3);
  });

  // Pitfall 17 (etcd#14370).
  it('when there is nobody else, then nothing is committed before the own disk has it', () => {
    const s = new Stage({ a: { log: [1], commit: 1 } }).slow('a').wait(10, 'a').finish('a').finish('a');
    s.propose('a');
    expect(s.at('a')).to.equal('leader 2: 1 2 2 (2)');
    s.finish('a');
    expect(s.at('a')).to.equal('leader 2: 1 2 2 (3)');
  });

  it('when a follower crashes with writes under way, then it is fed again what it lost', () => {
    const s = led().slow('b');
    s.propose('a', 3);
    s.deliver();
    expect(s.at('b')).to.equal('follower 2: 1 2 2 2 2 (2)');
    s.restart('b');
    expect(s.at('b')).to.match(/^follower 2: 1 2 \(\d\)$/);
    s.deliver().beat('a').deliver();
    expect(s.at('b')).to.equal('follower 2: 1 2 2 2 2 (5)');
  });

  // Pitfall 22 (hashicorp#503, #612).
  it('when the disk of the leader fails, then it is silent and the others go on', () => {
    const s = led();
    s.propose('a');
    s.deliver({ to: 'b' }).deliver({ to: 'a' });
    s.fail('a').lose();
    s.forget().run(2000);
    expect(s.sent.filter(({ from }) => from === 'a')).to.deep.equal([]);
    const leader = s.all('b', 'c').find((at) => at.startsWith('leader'));
    expect(leader).to.match(/^leader \d: 1 2 2 \d \(4\)$/);
  });

  it('when the disk of a follower fails, then it acknowledges and votes no more', () => {
    const s = led().fail('b').forget();
    s.propose('a');
    s.deliver();
    expect(s.at('a')).to.equal('leader 2: 1 2 2 (3)');
    s.crash('c').run(1000);
    expect(s.sent.filter(({ from }) => from === 'b')).to.deep.equal([]);
    expect(s.node('a').core.status.role).to.not.equal('leader');
  });
});

describe('snapshots and the disk', () => {
  it('when a snapshot is not on disk yet, then it is not acknowledged, and after a crash it never came', () => {
    const s = led().isolate('c');
    s.propose('a', 3);
    s.deliver().compact('a').heal().slow('c').link('a', 'c').deliver();
    const [stream] = s.streams;
    expect(s.stream(stream!)).to.equal(5);
    s.beat('a').deliver();
    expect(s.sentOf('ack', { from: 'c' }).every((m) => m.matched <= 2)).to.equal(true);
    s.streams = [];
    s.restart('c');
    expect(s.at('c')).to.match(/^follower 2: 1 2 \(\d\)$/);
    // It has to know whose snapshot it is: that of the leader it follows.
    s.deliver().beat('a').deliver();
    s.stream(s.streams[0]!);
    s.deliver();
    expect(s.at('c')).to.equal('follower 2: …5  (5)');
    s.propose('a');
    s.deliver().beat('a').deliver();
    expect(s.at('c')).to.equal('follower 2: …5 2 (6)');
  });

  it('when entries behind a snapshot come before it is on disk, then they wait their turn', () => {
    const s = led().isolate('c');
    s.propose('a', 3);
    s.deliver().compact('a').heal().slow('c').link('a', 'c').deliver();
    s.stream(s.streams[0]!);
    s.propose('a');
    s.streamed(s.streams[0]!, 5).deliver();
    expect(s.writing('c')).to.equal(2);
    s.finish('c', 1).deliver();
    expect(s.sentOf('ack', { from: 'c' }).at(-1)!.matched).to.equal(5);
    s.finish('c').deliver();
    expect(s.sentOf('ack', { from: 'c' }).at(-1)!.matched).to.equal(6);
  });
});
