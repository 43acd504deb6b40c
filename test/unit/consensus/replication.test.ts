import { expect } from 'chai';
import { leader, trio } from './bench.js';
import { epoch, found, Rig, snapshotMeta } from './rig.js';

describe('replication at the leader', () => {
  it('begins its reign with a noop and sends it at once', () => {
    const rig = new Rig({ recovered: found(trio, [1, 1], { commit: 2 }) }).link('b', 'c').lead('b').drain();
    expect(rig.fx.append.map((e) => [e.index, e.kind, e.epoch.n])).to.deep.equal([[3, 'noop', 2]]);
    for (const id of ['b', 'c']) {
      const [append] = rig.take('append', id);
      expect(append).to.deep.include({ prevIndex: 2, prevEpoch: epoch(1), commit: 2, term: 2 });
      expect(append!.entries).to.have.length(1);
    }
  });

  it('sends what came in one turn as one append and one write', () => {
    const rig = leader();
    for (let i = 0; i < 100; i++) rig.propose(3);
    rig.drain();
    expect(rig.fx.append).to.have.length(100);
    const [append, ...more] = rig.take('append', 'b');
    expect([append!.entries.length, more.length]).to.deep.equal([100, 0]);
    expect(append!.entries[0]).to.equal(rig.fx.append[0]);
    expect(rig.status.lastIndex).to.equal(302);
  });

  it('answers a proposal with its place, and dates it no earlier than the entry before', () => {
    const rig = leader();
    const { core } = rig;
    expect(core.propose(rig.now, 9000, new Uint8Array(1), 5)).to.deep.equal({
      ok: true,
      index: 3,
      epoch: epoch(2, 'a'),
    });
    expect(core.propose(rig.now, 10, new Uint8Array(1), 1)).to.deep.include({ ok: true, index: 8 });
    rig.drain();
    expect(rig.fx.append.map((e) => e.time)).to.deep.equal([9000, 9000]);
  });

  it('cuts appends at their size, and pipelines as many as may be under way', () => {
    const rig = leader({
      options: { maxMessageBytes: 1024, maxInflightMessages: 3, maxInflightBytes: 1 << 20 },
    });
    for (let i = 0; i < 10; i++) rig.propose(1, 500);
    rig.drain();
    expect(rig.take('append', 'b').map((m) => m.entries.map((e) => e.index))).to.deep.equal([
      [3, 4],
      [5, 6],
      [7, 8],
    ]);
    rig.ack('b', 4);
    rig.drain();
    expect(rig.take('append', 'b').map((m) => m.prevIndex)).to.deep.equal([8]);
  });

  it('bounds the bytes under way', () => {
    const rig = leader({ options: { maxMessageBytes: 1024, maxInflightBytes: 2048 } });
    for (let i = 0; i < 10; i++) rig.propose(1, 1000);
    rig.drain();
    expect(rig.take('append', 'b')).to.have.length(3);
  });

  it('refuses proposals beyond the quota, except when nothing is uncommitted', () => {
    const rig = leader({ options: { maxUncommittedBytes: 1000 } });
    rig.flush();
    expect(rig.propose(1, 5000).ok).to.equal(true);
    expect(rig.propose(1, 1)).to.deep.equal({ ok: false, why: 'quota' });
    rig.flush();
    rig.ack('b', 3);
    expect(rig.propose(1, 800).ok).to.equal(true);
    expect(rig.propose(1, 800)).to.deep.equal({ ok: false, why: 'quota' });
  });

  // Pitfall 17: its own disk is one of the quorum, or is not.
  it('counts itself only when its disk has it, and commits by others before that', () => {
    const rig = leader();
    rig.propose();
    rig.drain();
    rig.ack('b', 3);
    expect(rig.status.commitIndex).to.equal(2);
    rig.flush();
    expect(rig.status.commitIndex).to.equal(3);
    rig.propose();
    rig.drain();
    rig.ack('b', 4);
    rig.ack('c', 4);
    expect(rig.status.commitIndex).to.equal(4);
  });

  // Pitfall 29, Figure 8 of the paper: an entry of an older term on a quorum may still be replaced.
  it('commits entries of older terms only along with one of its own', () => {
    const rig = leader({ terms: [1, 1, 1], commit: 1, matched: 0 });
    rig.ack('b', 3);
    rig.ack('c', 3);
    expect(rig.status.commitIndex).to.equal(1);
    rig.ack('b', 4);
    expect(rig.status.commitIndex).to.equal(4);
  });

  it('commits whole entries', () => {
    const rig = leader();
    rig.propose(4);
    rig.propose(4);
    rig.flush();
    rig.ack('b', 8);
    expect(rig.status.commitIndex).to.equal(6);
  });

  it('tells a commit at once when no append carries it, and wants no answer', () => {
    const rig = leader();
    rig.propose();
    rig.flush();
    rig.ack('b', 3);
    rig.drain();
    expect(rig.take('heartbeat', 'b')).to.deep.include({
      type: 'heartbeat',
      term: 2,
      commit: 3,
      round: 0,
      genesis: '',
      promiseMs: 0,
    });
    // c has not said that it holds entry 3.
    expect(rig.take('heartbeat', 'c')).to.deep.equal([]);
  });

  // Pitfall 20 (openraft#1823, nats#6512).
  it('counts no acknowledgement of an older term', () => {
    const rig = leader();
    rig.propose();
    rig.flush();
    rig.ack('b', 3, { term: 1 });
    expect(rig.status.commitIndex).to.equal(2);
  });

  it('takes no acknowledgement of what it never sent', () => {
    const rig = leader();
    expect(rig.ack('b', 99)).to.equal(false);
    expect(rig.ack('b', 2, { round: 99 })).to.equal(false);
    expect(rig.status.commitIndex).to.equal(2);
  });

  // Raft Figure 7: whatever a follower's log looks like, a few rounds find where the logs part.
  for (const [name, theirs] of [
    ['a', [1, 1, 1, 4, 4, 5, 5, 6, 6]],
    ['b', [1, 1, 1, 4]],
    ['c', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
    ['d', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
    ['e', [1, 1, 1, 4, 4, 4, 4]],
    ['f', [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ] as const) {
    it(`repairs the log of follower (${name}) in Figure 7`, () => {
      const mine = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
      const rig = new Rig({ recovered: found(trio, mine, { term: 7, commit: 3 }) })
        .link('b', 'c')
        .lead('c')
        .flush();
      const other = new Rig({ self: 'b', recovered: found(trio, theirs, { term: 7, commit: 1 }) }).link('a');
      let rounds = 0;
      for (; rig.status.commitIndex < 11; rounds++) {
        expect(rounds).to.be.below(5);
        for (const m of rig.take('append', 'b')) other.receive('a', m);
        other.flush();
        for (const m of other.take('ack', 'a')) rig.receive('b', m);
        rig.drain();
      }
      expect(other.core.entries(2, 11, 1e6).map((e) => e.epoch.n)).to.deep.equal([
        1, 1, 4, 4, 5, 5, 6, 6, 6, 8,
      ]);
    });
  }

  it('ignores a refusal that is older than what has matched', () => {
    const rig = leader();
    for (let i = 0; i < 3; i++) {
      rig.propose();
      rig.flush();
    }
    rig.ack('b', 4);
    rig.sent = [];
    rig.ack('b', 4, { conflict: { prevIndex: 3, index: 2, epoch: epoch(2, 'a') } });
    rig.propose();
    rig.drain();
    expect(rig.take('append', 'b').map((m) => m.prevIndex)).to.deep.equal([5]);
  });

  // Pitfall 23 (etcd#14633, "replicate pause"): the window is full and all of it is lost.
  it('gets going again when everything under way was lost', () => {
    const rig = leader({ options: { maxInflightMessages: 2, maxMessageBytes: 1 } });
    for (let i = 0; i < 5; i++) rig.propose();
    rig.flush();
    expect(rig.take('append', 'b')).to.have.length(2);
    for (let i = 0; i < 3; i++) {
      rig.ack('c', 7);
      rig.pass(110);
      rig.ack('b', 2, { round: 1 });
      rig.drain();
    }
    const [feeler, ...more] = rig.take('append', 'b');
    expect(more).to.deep.equal([]);
    expect(feeler).to.deep.include({ prevIndex: 4, entries: [] });
    rig.ack('b', 2, { conflict: { prevIndex: 4, index: 2, epoch: epoch(2, 'a') } });
    rig.drain();
    expect(rig.take('append', 'b').map((m) => m.entries[0]!.index)).to.deep.equal([3]);
    rig.ack('b', 3);
    rig.drain();
    expect(rig.take('append', 'b').map((m) => m.entries[0]!.index)).to.deep.equal([4, 5]);
  });

  // A simulated cluster found it: who asks for pre-votes forgets what matches, and takes no commit index until it knows again.
  it('tells a follower that answers as if it knew nothing where the logs match', () => {
    const rig = leader();
    rig.propose();
    rig.drain();
    for (const id of ['b', 'c']) rig.ack(id, 3);
    rig.flush();
    rig.sent = [];
    const answers = (): number[] => {
      rig.pass(50);
      rig.ack('b', 0);
      rig.ack('c', 3);
      rig.drain();
      return rig.take('append', 'b').map((m) => m.prevIndex);
    };
    const prevIndexes = Array.from({ length: 12 }, answers).flat();
    expect(prevIndexes).to.deep.equal([3, 3]); // once in an election time-out
    expect(rig.take('append', 'c')).to.deep.equal([]);
  });

  it('recovers from a lost probe by the answer to a heartbeat', () => {
    const rig = leader({ matched: 0 });
    rig.pass(50).drain();
    expect(rig.take('append', 'b')).to.deep.equal([]);
    for (let i = 0; i < 4; i++) {
      rig.pass(100);
      rig.ack('c', 2, { round: 1 });
      rig.ack('b', 0, { round: 1 });
      rig.drain();
    }
    expect(rig.take('append', 'b')).to.have.length(1);
  });

  it('starts over from what is sure when a link is new', () => {
    const rig = leader();
    for (let i = 0; i < 3; i++) rig.propose();
    rig.drain();
    expect(rig.take('append', 'b')).to.have.length(1);
    rig.meet('b', { session: 2 });
    rig.drain();
    const [again] = rig.take('append', 'b');
    expect([again!.prevIndex, again!.entries.length]).to.deep.equal([2, 3]);
    // The end of the old link is no news.
    rig.meet('b', { session: 1, up: false });
    rig.propose();
    rig.ack('b', 5);
    rig.drain();
    expect(rig.take('append', 'b')).to.have.length(1);
  });

  it('goes on after a hole is reported in the middle of a window', () => {
    const rig = leader({ options: { maxMessageBytes: 1 } });
    for (let i = 0; i < 4; i++) rig.propose();
    rig.flush();
    rig.sent = [];
    rig.ack('b', 3, { conflict: { prevIndex: 4, index: 3, epoch: epoch(2, 'a') } });
    rig.drain();
    expect(rig.take('append', 'b').map((m) => m.prevIndex)).to.deep.equal([3]);
  });

  it('drops an inquiry about a lost append when the log behind it is compacted', () => {
    const rig = leader({ terms: [1, 1, 1, 1], matched: 5 });
    rig.core.compacted(snapshotMeta(4, 1, trio), 5);
    rig.meet('b', { session: 2 });
    rig.drain();
    expect(rig.take('append', 'b').map((m) => m.prevIndex)).to.deep.equal([5]);
  });
});
