import { expect } from 'chai';
import { trio } from './bench.js';
import { configEntry, entry, epoch, foundEntries, members, Rig, snapshotMeta } from './rig.js';
import type { Entry, Index } from '../../../lib/consensus/consensus.js';
import type { RaftOptions } from '../../../lib/consensus/raft/options.js';

describe('catching a follower up', () => {
  /** A leader whose memory reaches back only a little; `at` is where the log begins. */
  function longLog(start: Index, options: RaftOptions = {}): Rig {
    const log: Entry[] = [configEntry(1, 1, trio)];
    for (let i = 2; i <= 50; i++) log.push(entry(i, 1));
    const recovered = { ...foundEntries(log, { commit: 50 }), tail: log.slice(-5) };
    const rig = new Rig({ recovered, options }).link('b', 'c').lead('b').flush();
    rig.ack('b', 51);
    rig.drain();
    if (start > 0) rig.core.compacted(snapshotMeta(40, 1, trio), start + 1);
    rig.sent = [];
    return rig;
  }

  function refused(rig: Rig, index: Index): void {
    rig.ack('c', 0, { conflict: { prevIndex: 50, index, epoch: epoch(index === 0 ? 0 : 1) } });
    rig.drain();
  }

  it('reads from storage what memory no longer holds, one request at a time', () => {
    const rig = longLog(0);
    refused(rig, 10);
    const [request, ...more] = rig.fx.fetch;
    expect([request!.from, request!.to, more.length]).to.deep.equal([11, 45, 0]);
    rig.pass(50).drain();
    expect(rig.fx.fetch).to.deep.equal([]);
    const entries = Array.from({ length: 10 }, (_, i) => entry(11 + i, 1));
    rig.core.fetched(rig.now, request!.request, entries);
    rig.drain();
    expect(rig.take('append', 'c').at(-1)).to.deep.include({ prevIndex: 10, entries });
    rig.ack('c', 20);
    rig.drain();
    expect(rig.fx.fetch[0]).to.deep.include({ from: 21, to: 45 });
  });

  it('ignores what was read for a question that is no longer asked', () => {
    const rig = longLog(0);
    refused(rig, 10);
    const { request } = rig.fx.fetch[0]!;
    rig.meet('c', { session: 2 });
    rig.drain();
    rig.core.fetched(rig.now, request, [entry(11, 1)]);
    rig.drain();
    expect(rig.take('append', 'c').some((m) => m.entries[0]?.index === 11)).to.equal(false);
  });

  it('falls back to a snapshot when storage has compacted it, or brings something else', () => {
    for (const answer of ['compacted', [], [entry(12, 1)], [entry(11, 9)]] as const) {
      const rig = longLog(0);
      refused(rig, 10);
      rig.core.fetched(rig.now, rig.fx.fetch[0]!.request, answer);
      rig.drain();
      expect(rig.fx.snapshotTo.map(({ to }) => to)).to.deep.equal(['c']);
    }
  });

  // Pitfall 24 (raft#31): a slow follower after a compaction.
  it('sends a snapshot for what is compacted, and goes on behind it', () => {
    const rig = longLog(30);
    refused(rig, 10);
    const [request] = rig.fx.snapshotTo;
    expect(request).to.deep.include({ to: 'c', atLeast: 30 });
    rig.pass(200).drain();
    rig.ack('b', 51, { round: 1 });
    rig.propose();
    rig.drain();
    expect(rig.take('append', 'c')).to.deep.equal([]);
    expect(rig.take('heartbeat', 'c')).to.have.length.above(0);
    rig.core.snapshotDone(rig.now, request!.request, 40, true);
    rig.drain();
    // It is not believed to match before it says so itself.
    expect(rig.fx.fetch[0]).to.deep.include({ from: 41 });
    rig.core.fetched(rig.now, rig.fx.fetch[0]!.request, [
      entry(41, 1),
      entry(42, 1),
      entry(43, 1),
      entry(44, 1),
      entry(45, 1),
    ]);
    rig.drain();
    expect(rig.take('append', 'c')[0]).to.deep.include({ prevIndex: 40 });
  });

  it('tries again a while after a snapshot failed', () => {
    const rig = longLog(30);
    refused(rig, 10);
    rig.core.snapshotDone(rig.now, rig.fx.snapshotTo[0]!.request, 0, false);
    let again = 0;
    for (let i = 0; i < 5; i++) {
      rig.pass(80).ack('b', 51, { round: 1 });
      rig.drain();
      again += rig.fx.snapshotTo.length;
      if (i < 3) expect(again).to.equal(0);
    }
    expect(again).to.equal(1);
  });

  it('learns from an acknowledgement that a snapshot arrived, and not when it is still behind', () => {
    const rig = longLog(30);
    refused(rig, 10);
    rig.ack('c', 20);
    rig.propose();
    rig.drain();
    expect(rig.take('append', 'c')).to.deep.equal([]);
    rig.ack('c', 49);
    rig.drain();
    expect(rig.take('append', 'c')[0]).to.deep.include({ prevIndex: 49 });
  });

  it('knows when it does not know what comes before its log', () => {
    const log = Array.from({ length: 10 }, (_, i) => entry(41 + i, 1));
    const recovered = { ...foundEntries(log, { commit: 50 }), snapshot: snapshotMeta(45, 1, trio) };
    const rig = new Rig({ recovered }).link('b', 'c').lead('b').flush();
    rig.ack('c', 0, { conflict: { prevIndex: 50, index: 40, epoch: epoch(1) } });
    rig.drain();
    expect(rig.fx.snapshotTo[0]).to.deep.include({ to: 'c', atLeast: 41 });
  });

  it('names the members that keep up as those that could send a snapshot', () => {
    const five = members(['a', 'b', 'c', 'd', 'e']);
    const log: Entry[] = [configEntry(1, 1, five)];
    for (let i = 2; i <= 50; i++) log.push(entry(i, 1));
    const rig = new Rig({ founders: five.founders, recovered: foundEntries(log, { commit: 50 }) });
    rig.link('b', 'c', 'd', 'e').lead('b', 'c').flush();
    rig.core.compacted(snapshotMeta(40, 1, five), 31);
    for (const id of ['b', 'd', 'e']) rig.ack(id, 51);
    rig.drain();
    rig.meet('e', { up: false });
    rig.ack('c', 0, { conflict: { prevIndex: 50, index: 10, epoch: epoch(1) } });
    rig.drain();
    expect(rig.fx.snapshotTo).to.have.length(1);
    expect(rig.fx.snapshotTo[0]).to.deep.include({ to: 'c', atLeast: 30, sources: ['b', 'd'] });
  });

  describe('by snapshot or by log', () => {
    const KiB = 1024;
    const options: RaftOptions = {
      maxMessageBytes: 16 * KiB,
      maxInflightBytes: 64 * KiB,
      cacheBytes: 8 * 1024 * KiB,
    };

    /** A leader that has 100 entries of 16 KiB from 52 on, and a snapshot of `bytes` at `index`; `c` says that it has 50. */
    function choosing(index: Index, bytes: number | undefined): Rig {
      const log: Entry[] = [configEntry(1, 1, trio)];
      for (let i = 2; i <= 50; i++) log.push(entry(i, 1));
      const rig = new Rig({ recovered: foundEntries(log, { commit: 50 }), options });
      rig.link('b', 'c').lead('b').flush();
      for (let i = 0; i < 100; i++) {
        rig.ack('b', 51 + i);
        rig.propose(1, 16 * KiB);
        rig.flush();
      }
      rig.ack('b', 151);
      rig.flush();
      expect(rig.status.commitIndex).to.equal(151);
      rig.core.compacted(snapshotMeta(index, 2, trio), 2, bytes);
      rig.sent = [];
      rig.ack('c', 50);
      rig.drain();
      return rig;
    }

    const chosen = (rig: Rig): boolean => rig.fx.snapshotTo.length > 0;

    it('a follower gets the snapshot when that and what follows are less than half of what it lacks', () => {
      const rig = choosing(141, 500 * KiB);
      expect(rig.fx.snapshotTo).to.have.length(1);
      expect(rig.fx.snapshotTo[0]).to.deep.include({ to: 'c', atLeast: 141, sources: ['b'] });
      expect(rig.take('append', 'c')).to.deep.equal([]);
    });

    it('members that lag themselves are none that could send it', () => {
      const five = members(['a', 'b', 'c', 'd', 'e']);
      const log: Entry[] = [configEntry(1, 1, five)];
      for (let i = 2; i <= 50; i++) log.push(entry(i, 1));
      const recovered = foundEntries(log, { commit: 50 });
      const rig = new Rig({ founders: five.founders, recovered, options });
      rig.link('b', 'c', 'd', 'e').lead('b', 'e').flush();
      rig.ack('d', 51);
      for (let i = 0; i < 100; i++) {
        for (const id of ['b', 'e']) rig.ack(id, 51 + i);
        rig.propose(1, 16 * KiB);
        rig.flush();
      }
      rig.core.compacted(snapshotMeta(141, 2, five), 2, 1);
      rig.ack('c', 50);
      rig.drain();
      expect(rig.fx.snapshotTo).to.have.length(1);
      expect(rig.fx.snapshotTo[0]).to.deep.include({ to: 'c', sources: ['b', 'e'] });
    });

    const logs: Record<string, () => Rig> = {
      'when the snapshot is larger': () => choosing(141, 700 * KiB),
      'when too much follows it': () => choosing(90, 1),
      'when the size of the snapshot is not known': () => choosing(141, undefined),
    };
    for (const [when, make] of Object.entries(logs)) {
      it(`it gets the log ${when}`, () => {
        const rig = make();
        expect(chosen(rig)).to.equal(false);
        expect(rig.take('append', 'c')[0]).to.deep.include({ prevIndex: 50 });
      });
    }

    it('it gets the log when what it lacks fits in its window', () => {
      const rig = choosing(151, 1);
      expect(chosen(rig)).to.equal(true);
      rig.core.snapshotDone(rig.now, rig.fx.snapshotTo[0]!.request, 151, true);
      rig.drain();
      rig.ack('c', 151);
      for (let i = 0; i < 3; i++) rig.propose(1, 16 * KiB);
      rig.flush();
      rig.ack('b', 154);
      rig.flush();
      rig.core.compacted(snapshotMeta(154, 2, trio), 2, 1);
      rig.meet('c', { session: 2 });
      rig.sent = [];
      rig.drain();
      expect(chosen(rig)).to.equal(false);
      expect(rig.take('append', 'c')[0]).to.deep.include({ prevIndex: 151 });
    });

    it('what it acknowledges on the way below the snapshot ends nothing, what reaches it does', () => {
      const rig = choosing(141, 1);
      rig.ack('c', 60);
      rig.drain();
      rig.ack('c', 140);
      rig.drain();
      expect(rig.take('append', 'c')).to.deep.equal([]);
      rig.ack('c', 141);
      rig.drain();
      expect(rig.take('append', 'c')[0]).to.deep.include({ prevIndex: 141 });
    });

    // Else one whose snapshot takes longer than the log takes to grow by as much gets one after the other, and never catches up.
    for (const why of ['was cheaper', 'was needed']) {
      it(`it gets the log behind a snapshot that ${why}, until it has caught up`, () => {
        const rig = choosing(141, 1);
        if (why === 'was needed') rig.core.compacted(snapshotMeta(141, 2, trio), 142, 1);
        const grow = (from: Index): void => {
          for (let i = 0; i < 50; i++) {
            rig.ack('b', from + i);
            rig.propose(1, 16 * KiB);
            rig.flush();
          }
          rig.ack('b', from + 50);
          rig.flush();
          // More than a window follows it.
          rig.core.compacted(snapshotMeta(from + 40, 2, trio), 142, 1);
          rig.drain();
        };
        const { request } = rig.fx.snapshotTo[0]!;
        grow(151);
        rig.core.snapshotDone(rig.now, request, 141, true);
        rig.drain();
        expect(chosen(rig)).to.equal(false);
        for (let matched = 141; matched < 200; matched++) {
          rig.ack('c', matched);
          rig.drain();
          expect(chosen(rig)).to.equal(false);
        }
        // The link stays; it is the follower that stands still for a while.
        rig.ack('c', 201);
        rig.drain();
        grow(201);
        rig.ack('c', 205);
        rig.drain();
        expect(chosen(rig)).to.equal(true);
      });
    }

    it('it gets the log at once when the snapshot fails, until contact is made anew', () => {
      const rig = choosing(141, 1);
      rig.core.snapshotDone(rig.now, rig.fx.snapshotTo[0]!.request, 0, false);
      rig.drain();
      expect(chosen(rig)).to.equal(false);
      expect(rig.take('append', 'c')[0]).to.deep.include({ prevIndex: 50 });
      rig.ack('c', 55);
      rig.drain();
      expect(chosen(rig)).to.equal(false);
      rig.meet('c', { session: 2 });
      rig.drain();
      expect(chosen(rig)).to.equal(true);
    });
  });
});
