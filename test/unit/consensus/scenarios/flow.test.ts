/** Feeding followers: probes, windows, snapshots, and messages that are lost, late or double. */
import { expect } from 'chai';
import { Stage } from './stage.js';
import type { RaftOptions } from '../../../../lib/consensus/raft/options.js';

const trio = ['a', 'b', 'c'];

/** a leads in term 2, all hold [1 2] and know it is committed. */
function led(options: RaftOptions = {}): Stage {
  const seed = { log: [1], commit: 1 };
  const s = new Stage({ a: seed, b: seed, c: seed }, { options }).elect('a').deliver();
  return s.beat('a').deliver().forget();
}

/** Proposes one by one, each in a turn of its own. */
function write(s: Stage, n: number): void {
  for (let i = 0; i < n; i++) s.propose('a');
}

describe('windows', () => {
  // Pitfall 23 (etcd#14633, "replicate pause").
  it('when the window is full and all of it is lost, then answers to heartbeats get it going again', () => {
    const s = led({ maxInflightMessages: 3 });
    for (const id of ['b', 'c']) s.hold('a', id);
    write(s, 10);
    expect(s.sentOf('append', { to: 'b' })).to.have.length(3);
    s.lose({ type: 'append', to: 'b' });
    s.release().deliver();
    expect(s.all(...trio)).to.deep.equal([
      'leader 2: 1 2 2 2 2 2 2 2 2 2 2 2 (12)',
      'follower 2: 1 2 (2)',
      'follower 2: 1 2 2 2 2 2 2 2 2 2 2 2 (12)',
    ]);
    s.run(200);
    // Nothing more is sent into a full window.
    expect(s.sentOf('append', { to: 'b' })).to.have.length(3);
    s.run(300);
    expect(s.at('b')).to.equal(s.at('c'));
    // One to ask, one with what is missing: no storm.
    expect(s.sentOf('append', { to: 'b' }).length).to.be.at.most(3 + 5);
  });

  it('when one in the middle of a window is lost, then only what follows it is sent again', () => {
    const s = led();
    write(s, 4);
    s.lose({ to: 'c' });
    const mail = s.lose({ type: 'append' });
    s.forget().inject(mail.filter((_, at) => at !== 1));
    s.deliver({ among: ['a', 'b'] });
    expect(s.at('b')).to.equal('follower 2: 1 2 2 (3)');
    s.isolate('c').run(200);
    expect(s.at('b')).to.equal('follower 2: 1 2 2 2 2 2 (6)');
    expect(Math.min(...s.sentOf('append').map((m) => m.prevIndex))).to.equal(3);
  });

  // Pitfall 27 (openraft#1810).
  it('when one follower takes nothing, then the others are fed and entries are committed', () => {
    const s = led({ maxInflightMessages: 2 }).hold('a', 'c');
    for (let i = 0; i < 20; i++) {
      s.propose('a');
      s.deliver();
    }
    expect(s.node('b').core.status.commitIndex).to.equal(22);
    expect(s.mail.filter(({ to, message }) => to === 'c' && message.type === 'append')).to.have.length(2);
    s.release().deliver();
    expect(s.at('c')).to.equal(s.at('b'));
  });

  it('when every message comes twice and in reverse, then the outcome is the same', () => {
    const s = led();
    for (let i = 0; i < 5; i++) {
      write(s, 3);
      for (let rounds = 0; rounds < 6; rounds++) {
        const mail = s.lose();
        s.inject([...mail, ...mail].reverse());
      }
      s.run(60);
    }
    s.run(600);
    expect(s.node('a').core.status.commitIndex).to.equal(17);
    expect(s.at('b')).to.equal(s.at('a').replace('leader', 'follower'));
    expect(s.at('c')).to.equal(s.at('b'));
  });
});

describe('probes', () => {
  it('when a probe is lost, then the answer to a heartbeat gets it going again', () => {
    const s = led().crash('c');
    write(s, 2);
    s.deliver().start('c');
    s.lose({ type: 'append', to: 'c' });
    s.forget().run(250);
    expect(s.sentOf('append', { to: 'c' })).to.deep.equal([]);
    s.run(200);
    expect(s.at('c')).to.equal('follower 2: 1 2 2 2 (4)');
  });

  it('when proposals come while it probes, then they wait for its answer and travel together', () => {
    const s = led().restart('c').hold('c', 'a').forget();
    s.deliver();
    write(s, 5);
    s.deliver();
    expect(s.sentOf('append', { to: 'c' })).to.have.length(0);
    s.release().deliver();
    expect(s.sentOf('append', { to: 'c' }).map((m) => m.entries.length)).to.deep.equal([5]);
    expect(s.at('c')).to.equal(s.at('b'));
  });

  it('when the logs part by two reigns, then two refusals find the place', () => {
    const s = new Stage({
      a: { log: [1, 1, 2, 2, 2, 5], term: 5, commit: 2 },
      b: { log: [1, 1, 2, 2, 2, 5], term: 5, commit: 2 },
      c: { log: [1, 1, 2, 3, 3, 3, 3, 3], term: 5, commit: 2 },
    });
    s.elect('a').deliver();
    expect(s.sentOf('ack', { from: 'c' }).filter((m) => m.conflict !== undefined)).to.have.length(2);
    expect(s.at('c')).to.equal('follower 6: 1 1 2 2 2 5 6 (7)');
  });

  // Pitfall 20 (openraft#1823): what c said of its log before it was cut back.
  it('when an acknowledgement of an earlier reign comes after the log was cut back, then it does not count', () => {
    const s = led().isolate('b');
    write(s, 1);
    s.deliver({ to: 'c' });
    const late = s.lose({ type: 'ack', from: 'c' });
    expect(late).to.have.length(1);
    // b takes over with c... which has the newer log: so it is c that leads, without what only a knows.
    s.heal().isolate('a').elect('c', 'b').deliver();
    s.heal().beat('c').deliver();
    s.elect('a', 'b').lose();
    s.propose('a', 3);
    const { commitIndex } = s.node('a').core.status;
    s.inject(late);
    expect(s.node('a').core.status.commitIndex).to.equal(commitIndex);
    s.run(500);
    expect(s.all('b', 'c').map((at) => at.replace('leader', 'follower'))).to.deep.equal([
      s.at('a').replace('leader', 'follower'),
      s.at('a').replace('leader', 'follower'),
    ]);
  });

  it('when a leader is back after its log and theirs were cut back, then nothing acknowledged before counts', () => {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed, d: seed, e: seed }).elect('a').deliver();
    s.beat('a').deliver();
    // b acknowledges up to 5 to a; then c leads without these entries, and replaces them.
    s.isolate('a', ['c', 'd', 'e']);
    write(s, 3);
    s.deliver().elect('c', 'd', 'e').lose({ from: 'a' });
    s.heal().link('c', 'a').deliver();
    expect(s.all('a', 'b')).to.deep.equal(['follower 3: 1 2 3 (3)', 'follower 3: 1 2 3 (3)']);
    s.elect('a', 'd', 'e');
    for (const to of ['b', 'c', 'e']) s.lose({ to });
    write(s, 1);
    s.deliver({ among: ['a', 'd'] });
    // a and d hold 5; b, which once acknowledged 5, does not.
    expect(s.all('a', 'd')).to.deep.equal(['leader 4: 1 2 3 4 4 (3)', 'follower 4: 1 2 3 4 4 (3)']);
    s.link('a', 'b').deliver();
    expect(s.at('a')).to.equal('leader 4: 1 2 3 4 4 (5)');
  });

  // Pitfall 28 (openraft).
  it('when an old append comes late, then nothing that follows it is taken away', () => {
    const s = led();
    write(s, 1);
    const late = s.mail.filter(({ to, message }) => to === 'b' && message.type === 'append');
    s.deliver();
    write(s, 3);
    s.deliver().inject(late).deliver();
    expect(s.at('b')).to.equal('follower 2: 1 2 2 2 2 2 (6)');
  });

  it('when an old append of an older reign comes late, then it is refused with the newer term', () => {
    const s = led().isolate('a');
    write(s, 2);
    const late = s.sent.filter(({ message }) => message.type === 'append');
    s.elect('b', 'c').deliver();
    s.forget().inject(late);
    expect(s.at('c')).to.equal('follower 3: 1 2 3 (3)');
    expect(s.sentOf('ack', { to: 'a' }).every((m) => m.term === 3 && m.matched === 0)).to.equal(true);
    expect(s.sentOf('ack', { to: 'a', from: 'c' })).to.have.length(2);
  });
});

describe('commits', () => {
  // raft#138: a follower that holds everything but was not told that it is committed.
  it('when the word of a commit is lost, then the next heartbeat brings it, and no append', () => {
    const s = led();
    write(s, 1);
    s.deliver({ type: 'append' }).deliver({ type: 'ack' });
    expect(s.lose({ type: 'heartbeat' })).to.have.length(2);
    expect(s.all(...trio)).to.deep.equal([
      'leader 2: 1 2 2 (3)',
      'follower 2: 1 2 2 (2)',
      'follower 2: 1 2 2 (2)',
    ]);
    s.forget().beat('a').deliver();
    expect(s.all('b', 'c')).to.deep.equal(['follower 2: 1 2 2 (3)', 'follower 2: 1 2 2 (3)']);
    expect(s.sentOf('append')).to.deep.equal([]);
  });

  it('when a follower holds entries that nobody confirmed, then a heartbeat commits none of them', () => {
    const s = led().isolate('c');
    write(s, 3);
    s.deliver({ type: 'append' });
    s.crash('a').heal().elect('c', 'b');
    expect(s.node('c').core.status.role).to.not.equal('leader');
    s.elect('b', 'c').deliver({ to: 'c', type: 'heartbeat' });
    expect(s.at('c')).to.equal('follower 3: 1 2 (2)');
    s.deliver();
    expect(s.all('b', 'c')).to.deep.equal(['leader 3: 1 2 2 2 2 3 (6)', 'follower 3: 1 2 2 2 2 3 (6)']);
  });

  it('when a follower lags, then a heartbeat names no commit beyond what it has acknowledged', () => {
    const s = led().hold('c', 'a');
    write(s, 3);
    s.deliver().beat('a').deliver();
    expect(s.node('a').core.status.commitIndex).to.equal(5);
    const told = (id: string): number => Math.max(...s.sentOf('heartbeat', { to: id }).map((m) => m.commit));
    expect([told('b'), told('c')]).to.deep.equal([5, 2]);
    s.release().deliver();
    expect(told('c')).to.equal(5);
  });

  it("when a follower's own suffix is longer than the leader's, then a commit beyond the match is not believed", () => {
    const s = led().isolate('c');
    s.isolate('a');
    write(s, 4);
    s.elect('b');
    s.heal().isolate('a').elect('b', 'c').deliver();
    s.propose('b', 4);
    s.deliver();
    // a has six entries; the leader's commit is 7. A heartbeat alone may commit nothing of a's own.
    s.heal().beat('b').deliver({ type: 'heartbeat', to: 'a' });
    expect(s.at('a')).to.equal('follower 3: 1 2 2 2 2 2 (2)');
    s.link('a', 'b').deliver();
    expect(s.at('a')).to.equal('follower 3: 1 2 3 3 3 3 3 (7)');
  });
});

describe('followers that the log has left behind', () => {
  /** c is cut off in the middle of a stream; the leader goes on and drops what c lacks. */
  function behind(): Stage {
    const s = led();
    write(s, 2);
    s.deliver().isolate('c');
    write(s, 4);
    s.deliver().compact('a', 7);
    expect(s.all('a', 'c')).to.deep.equal(['leader 2: …7 2 (8)', 'follower 2: 1 2 2 2 (4)']);
    return s.heal().forget();
  }

  // raft#31, etcd's "slow follower after compaction".
  it('when what it lacks is compacted, then it gets a snapshot and is fed from there', () => {
    const s = behind().run(400);
    const [stream, ...more] = s.streams;
    expect([stream!.to, stream!.atLeast, more.length]).to.deep.equal(['c', 7, 0]);
    write(s, 1);
    s.deliver();
    expect(s.sentOf('append', { to: 'c' }).filter((m) => m.entries.length > 0)).to.deep.equal([]);
    const index = s.stream(stream!);
    s.streamed(stream!, index).deliver();
    expect(s.at('c')).to.equal('follower 2: …8 2 (9)');
  });

  it('when the stream arrived and only its end is not known, then an acknowledgement tells', () => {
    const s = behind().link('a', 'c').deliver();
    s.stream(s.streams[0]!);
    s.deliver();
    write(s, 2);
    s.run(60);
    expect(s.at('c')).to.equal('follower 2: …8 2 2 (10)');
    // The late word of its end changes nothing.
    s.streamed(s.streams[0]!, 8).run(60);
    expect([s.at('c'), s.streams.length]).to.deep.equal(['follower 2: …8 2 2 (10)', 1]);
  });

  it('when an older snapshot arrives than the log needs by now, then another one follows', () => {
    const s = behind().link('a', 'c').deliver();
    const old = s.node('a').disk.durable.snapshot!;
    write(s, 3);
    s.deliver({ among: ['a', 'b'] }).compact('a');
    s.stream(s.streams[0]!, old);
    s.run(60);
    expect(s.at('c')).to.equal('follower 2: …8  (8)');
    s.streamed(s.streams[0]!, 8).run(60);
    expect(s.streams).to.have.length(2);
    s.streamed(s.streams[1]!, s.stream(s.streams[1]!)).run(60);
    expect(s.at('c')).to.equal('follower 2: …11  (11)');
    write(s, 1);
    s.run(60);
    expect(s.at('c')).to.equal('follower 2: …11 2 (12)');
  });

  it('when a stream breaks, then it is not sent again at once, but again', () => {
    const s = behind().link('a', 'c').deliver();
    s.streamed(s.streams[0]!, 0, false).run(200);
    expect(s.streams).to.have.length(1);
    s.run(200);
    expect(s.streams).to.have.length(2);
    s.streamed(s.streams[1]!, s.stream(s.streams[1]!)).run(60);
    expect(s.at('c')).to.equal('follower 2: …8  (8)');
  });

  it('when a snapshot arrives that is older than what is there, then it changes nothing', () => {
    const s = behind();
    const old = s.node('a').disk.durable.snapshot!;
    s.link('a', 'c').deliver();
    s.streamed(s.streams[0]!, s.stream(s.streams[0]!)).run(60);
    write(s, 3);
    s.run(60);
    const before = s.at('c');
    s.stream({ ...s.streams[0]! }, old);
    expect(s.at('c')).to.equal(before);
  });

  it('when the leader changes while a stream is under way, then the new one feeds it', () => {
    const s = behind().link('a', 'c').deliver();
    expect(s.streams).to.have.length(1);
    s.crash('a').elect('b').deliver();
    expect(s.at('c')).to.equal('follower 3: 1 2 2 2 2 2 2 2 3 (9)');
    // The stream of the one before comes to its end.
    s.stream(s.streams[0]!, { meta: { ...metaOf(s), index: 8 }, state: s.node('b').state.slice(0, 8) });
    s.beat('b').deliver();
    expect(s.at('c')).to.equal('follower 3: 1 2 2 2 2 2 2 2 3 (9)');
  });

  function metaOf(s: Stage) {
    const { epoch, time } = s.node('b').state[7]!;
    return { index: 8, epoch, time, membership: s.node('b').membership, protocol: 'raft' };
  }
});
