import { expect } from 'chai';
import { follower, leader, trio } from './bench.js';
import { configEntry, entry, epoch, foundEntries, members, Rig, snapshotMeta } from './rig.js';

describe('replication at a follower', () => {
  it('acknowledges only what is on disk, once a drain', () => {
    const rig = follower([1]);
    rig.append('b', { term: 2, prevIndex: 1, prevEpoch: epoch(1), entries: [entry(2, 2)] });
    rig.append('b', { term: 2, prevIndex: 2, prevEpoch: epoch(2), entries: [entry(3, 2)] });
    rig.drain();
    expect(rig.take('ack')).to.deep.equal([]);
    rig.beat('b', 2, { round: 4 });
    rig.drain();
    expect(rig.take('ack', 'b')).to.deep.equal([
      { type: 'ack', term: 2, matched: 1, round: 4, promised: false, conflict: undefined },
    ]);
    rig.flush();
    expect(rig.take('ack', 'b').map((m) => m.matched)).to.deep.equal([3]);
  });

  it('answers nothing in a term that is not on disk', () => {
    const rig = follower([1]);
    rig.beat('b', 5, { round: 1 });
    rig.append('b', { term: 5, prevIndex: 9, prevEpoch: epoch(4) });
    rig.drain();
    expect(rig.take('ack')).to.deep.equal([]);
    rig.flush();
    const acks = rig.take('ack', 'b');
    expect(acks).to.have.length(1);
    expect(acks[0]).to.deep.include({ term: 5, round: 1 });
    expect(acks[0]!.conflict).to.deep.include({ prevIndex: 9, index: 1 });
  });

  it('truncates on a real conflict only', () => {
    const rig = follower([1, 1, 1, 1]);
    rig.append('b', { term: 2, prevIndex: 1, prevEpoch: epoch(1), entries: [entry(2, 1), entry(3, 2)] });
    rig.drain();
    expect([rig.fx.truncateFrom, rig.fx.append.map((e) => e.index), rig.status.lastIndex]).to.deep.equal([
      3,
      [3],
      3,
    ]);
  });

  // Pitfall 28 (openraft): an append that was overtaken by a newer one must not take entries away.
  it('keeps what follows when an old append comes late', () => {
    const rig = follower([1]);
    const entries = [entry(2, 2), entry(3, 2), entry(4, 2)];
    rig.append('b', { term: 2, prevIndex: 1, prevEpoch: epoch(1), entries });
    rig.flush();
    rig.append('b', { term: 2, prevIndex: 1, prevEpoch: epoch(1), entries: entries.slice(0, 1) });
    rig.append('b', { term: 2, prevIndex: 2, prevEpoch: epoch(2) });
    rig.flush();
    expect(rig.status.lastIndex).to.equal(4);
    expect(rig.take('ack', 'b').at(-1)!.matched).to.equal(4);
  });

  // Pitfall 19: the disk reports entries that were replaced meanwhile (append ABA).
  it('does not take the write of a replaced entry for that of the new one', () => {
    const rig = follower([1]);
    const other = [2, 3].map((index) => entry(index, 3, { epoch: epoch(3, 'c') }));
    rig.append('b', { term: 2, prevIndex: 1, prevEpoch: epoch(1), entries: [entry(2, 2), entry(3, 2)] });
    rig.drain();
    rig.beat('c', 3);
    rig.drain();
    const old = rig.tokens.at(-1)!;
    rig.append('c', { term: 3, prevIndex: 1, prevEpoch: epoch(1), entries: other });
    rig.drain();
    expect(rig.fx.truncateFrom).to.equal(2);
    rig.core.persisted(rig.now, old);
    rig.drain();
    expect(rig.take('ack', 'c').map((m) => m.matched)).to.deep.equal([1]);
    rig.flush();
    expect(rig.take('ack', 'c').map((m) => m.matched)).to.deep.equal([3]);
  });

  it('never changes what is committed: whoever wants that breaks the protocol', () => {
    const rig = follower([1, 1, 1], 2, 3);
    const append = { term: 2, prevIndex: 1, prevEpoch: epoch(1), entries: [entry(2, 2)], commit: 0 };
    expect(rig.core.receive(rig.now, 'b', { type: 'append', ...append })).to.equal(false);
    expect(rig.status.stopped).to.equal(undefined);
    rig.drain();
    expect(rig.fx.io).to.equal(0);
    expect(rig.status.lastIndex).to.equal(3);
  });

  it('commits no further than it is known to match', () => {
    const rig = follower([1, 1, 1]);
    rig.beat('b', 2, { commit: 3 });
    expect(rig.status.commitIndex).to.equal(1);
    rig.append('b', { term: 2, prevIndex: 2, prevEpoch: epoch(1), commit: 9 });
    expect(rig.status.commitIndex).to.equal(2);
  });

  it('says where the logs part', () => {
    const rig = follower([1, 1, 3, 3], 4);
    for (const [prevIndex, n, index, at] of [
      [9, 4, 4, 3],
      [4, 2, 2, 1],
      [3, 4, 3, 3],
    ] as const) {
      rig.append('b', { term: 4, prevIndex, prevEpoch: epoch(n) });
      rig.drain();
      expect(rig.take('ack', 'b')[0]!.conflict).to.deep.equal({ prevIndex, index, epoch: epoch(at) });
    }
  });

  // Appends travel on two lanes: small ones overtake large ones.
  it('waits a moment for an append that was overtaken', () => {
    const rig = follower([1]);
    rig.append('b', { term: 2, prevIndex: 1, prevEpoch: epoch(1) });
    rig.flush();
    rig.take('ack');
    rig.append('b', { term: 2, prevIndex: 3, prevEpoch: epoch(2), entries: [entry(4, 2)] });
    rig.append('b', { term: 2, prevIndex: 2, prevEpoch: epoch(2), entries: [entry(3, 2)] });
    rig.flush();
    expect(rig.take('ack')).to.deep.equal([]);
    rig.append('b', { term: 2, prevIndex: 1, prevEpoch: epoch(1), entries: [entry(2, 2)] });
    rig.flush();
    expect(rig.take('ack', 'b').at(-1)).to.deep.include({ matched: 4, conflict: undefined });
  });

  it('reports a gap that stays, and one that its buffer cannot hold', () => {
    const rig = follower([1]);
    rig.append('b', { term: 2, prevIndex: 1, prevEpoch: epoch(1) });
    rig.flush();
    rig.append('b', { term: 2, prevIndex: 3, prevEpoch: epoch(2), entries: [entry(4, 2)] });
    rig.flush();
    rig.take('ack');
    rig.pass(60).drain();
    expect(rig.take('ack', 'b')[0]!.conflict).to.deep.include({ prevIndex: 3, index: 1 });
    for (let i = 10; i < 75; i++) {
      rig.append('b', { term: 2, prevIndex: i - 1, prevEpoch: epoch(2), entries: [entry(i, 2)] });
    }
    rig.drain();
    expect(rig.take('ack', 'b')[0]!.conflict).to.deep.include({ prevIndex: 73, index: 1 });
  });

  it('believes entries only whole', () => {
    const big = entry(2, 1, { count: 5 });
    const rig = new Rig({
      recovered: foundEntries([configEntry(1, 1, trio), big], { term: 2, commit: 1 }),
    }).link('b');
    const bent = { ...big, count: 9 };
    expect(rig.append('b', { term: 2, prevIndex: 1, prevEpoch: epoch(1), entries: [bent] })).to.equal(false);
    expect(rig.status.lastIndex).to.equal(6);
    expect(
      rig.append('b', {
        term: 2,
        prevIndex: 1,
        prevEpoch: epoch(1),
        entries: [{ ...entry(2, 2), kind: 'config' }],
      }),
    ).to.equal(false);
  });

  it('goes back to the membership before when a change is truncated', () => {
    const other = { ...trio, voters: trio.voters.slice(0, 2) };
    const rig = new Rig({
      recovered: foundEntries([configEntry(1, 1, trio), configEntry(2, 1, other)], { commit: 1 }),
    }).link('b');
    expect(rig.status.membership.voters).to.have.length(2);
    rig.append('b', { term: 2, prevIndex: 1, prevEpoch: epoch(1), entries: [entry(2, 2)] });
    expect(rig.status.membership.voters).to.have.length(3);
  });

  it('stops for good when the disk fails', () => {
    const rig = follower([1]);
    rig.beat('b', 2);
    rig.core.read(rig.now, 5);
    rig.core.ioFailed(new Error('disk'));
    rig.drain();
    expect(rig.failed).to.deep.equal([5]);
    expect(rig.status.stopped!.message).to.equal('disk');
    rig.ask('b', { term: 9 });
    rig.append('b', { term: 9 });
    expect(rig.propose()).to.deep.equal({ ok: false, why: 'stopped' });
    expect(rig.core.read(rig.now, 6)).to.deep.equal({ ok: false, why: 'stopped' });
    rig.pass(5000).drain();
    expect(rig.sent).to.deep.equal([]);
    expect(rig.core.nextDeadline()).to.equal(Infinity);
  });

  it('starts stopped from a log that cannot be', () => {
    const gap = { ...foundEntries([entry(5, 1), entry(6, 1)]), snapshot: snapshotMeta(3, 1, trio) };
    expect(new Rig({ recovered: gap }).status.stopped!.message).to.equal('log: entries 4 to 4 are missing');
  });
});

describe('snapshots at a follower', () => {
  it('replaces what it covers, and acknowledges it when it is on disk', () => {
    const rig = follower([1, 1]);
    rig.beat('b', 2);
    rig.flush();
    rig.take('ack');
    expect(rig.core.install(rig.now, 'b', snapshotMeta(20, 2, trio))).to.equal(true);
    rig.drain();
    expect(rig.fx.install!.index).to.equal(20);
    expect(rig.fx.commit).to.equal(20);
    rig.beat('b', 2, { round: 2 });
    rig.drain();
    expect(rig.take('ack', 'b')[0]!.matched).to.equal(0);
    rig.flush();
    expect(rig.take('ack', 'b').at(-1)!.matched).to.equal(20);
    rig.append('b', { term: 2, prevIndex: 20, prevEpoch: epoch(2), entries: [entry(21, 2)] });
    rig.flush();
    expect(rig.take('ack', 'b').at(-1)!.matched).to.equal(21);
  });

  it('keeps what follows when it holds the last entry', () => {
    const rig = follower([1, 1, 1, 1, 1]);
    expect(rig.core.install(rig.now, 'b', snapshotMeta(3, 1, trio))).to.equal(true);
    expect([rig.status.commitIndex, rig.status.lastIndex]).to.deep.equal([3, 5]);
    const other = follower([1, 1, 1, 1, 1]);
    other.core.install(other.now, 'b', snapshotMeta(3, 2, trio));
    expect([other.status.commitIndex, other.status.lastIndex]).to.deep.equal([3, 3]);
  });

  it('is handed out alone, before what was appended behind it', () => {
    const rig = follower([1]);
    rig.core.install(rig.now, 'b', snapshotMeta(3, 2, trio));
    rig.append('b', { term: 2, prevIndex: 3, prevEpoch: epoch(2), entries: [entry(4, 2)] });
    rig.core.drain(rig.now, rig.fx);
    expect([rig.fx.install!.index, rig.fx.append.length]).to.deep.equal([3, 0]);
    expect(rig.core.dirty).to.equal(true);
    expect(rig.core.nextDeadline()).to.be.at.most(rig.now);
    rig.core.drain(rig.now, rig.fx);
    expect([rig.fx.install, rig.fx.append.map((e) => e.index)]).to.deep.equal([undefined, [4]]);
  });

  // Pitfall 13 (openraft#1808): else two quorums could be disjoint.
  it('brings its membership with it', () => {
    const rig = follower([1]);
    const other = members(['a', 'd', 'e']);
    rig.core.install(rig.now, 'b', snapshotMeta(20, 2, other));
    expect(rig.status.membership).to.deep.equal(other);
    rig.link('d', 'e').flush().pass(600).drain();
    expect(rig.take('vote').length).to.equal(2);
  });

  it('takes none that is old, foreign or without a founding', () => {
    const rig = follower([1, 1, 1], 2, 3);
    expect(rig.core.install(rig.now, 'b', snapshotMeta(3, 1, trio))).to.equal(false);
    expect(rig.core.install(rig.now, 'b', snapshotMeta(9, 1, { ...trio, genesis: 'other' }))).to.equal(false);
    expect(rig.core.install(rig.now, 'b', snapshotMeta(9, 1, { ...trio, genesis: '' }))).to.equal(false);
    expect(rig.drain().fx.install).to.equal(undefined);
    expect(leader().core.install(0, 'b', snapshotMeta(99, 1, trio))).to.equal(false);
  });

  it("says nothing to a leader about another node's snapshot", () => {
    const rig = follower([1]);
    rig.beat('b', 2);
    rig.core.install(rig.now, 'c', snapshotMeta(20, 2, trio));
    rig.flush();
    expect(rig.take('ack', 'b').at(-1)!.matched).to.equal(0);
  });
});
