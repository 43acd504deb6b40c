import { expect } from 'chai';
import { Progress } from '../../../lib/consensus/core/progress.js';

describe('progress', () => {
  it('probes with one append at a time and does not move on', () => {
    const progress = new Progress(5, 3, 100);
    expect(progress.open).to.equal(true);
    progress.sent(7, 30, 0);
    expect([progress.open, progress.next, progress.inflight]).to.deep.equal([false, 5, 0]);
  });

  it('pipelines within a window of messages', () => {
    const progress = new Progress(1, 3, 1000);
    progress.toReplicate();
    for (const last of [2, 4, 6]) progress.sent(last, 10, 0);
    expect([progress.open, progress.next, progress.inflight, progress.inflightBytes]).to.deep.equal([
      false,
      7,
      3,
      30,
    ]);
    expect(progress.acknowledged(3, 1)).to.equal(true);
    expect([progress.open, progress.inflight, progress.inflightBytes]).to.deep.equal([true, 2, 20]);
    progress.acknowledged(6, 2);
    expect([progress.inflight, progress.inflightBytes, progress.movedAt]).to.deep.equal([0, 0, 2]);
  });

  it('pipelines within a window of bytes, but one append always goes', () => {
    const progress = new Progress(1, 10, 100);
    progress.toReplicate();
    progress.sent(1, 500, 0);
    expect(progress.open).to.equal(false);
    progress.acknowledged(1, 1);
    expect(progress.open).to.equal(true);
  });

  it('takes no acknowledgement for news that is old', () => {
    const progress = new Progress(1, 10, 100);
    progress.toReplicate();
    progress.sent(9, 5, 0);
    progress.acknowledged(9, 1);
    expect(progress.acknowledged(4, 2)).to.equal(false);
    expect([progress.matched, progress.next]).to.deep.equal([9, 10]);
  });

  it('never probes at or below what matched', () => {
    const progress = new Progress(1, 10, 100);
    progress.acknowledged(9, 0);
    progress.toProbe(3);
    expect(progress.next).to.equal(10);
  });

  it('sends nothing while a snapshot is under way, and forgets its window', () => {
    const progress = new Progress(1, 10, 100);
    progress.toReplicate();
    progress.sent(9, 5, 0);
    progress.toSnapshot(7, 12, false);
    expect([progress.open, progress.inflight, progress.inflightBytes, progress.snapshot]).to.deep.equal([
      false,
      0,
      0,
      7,
    ]);
    progress.toProbe(20);
    expect([progress.open, progress.snapshot, progress.next]).to.deep.equal([true, 0, 20]);
  });

  it('keeps its books over a long run', () => {
    const progress = new Progress(1, 64, 1 << 20);
    progress.toReplicate();
    for (let i = 1; i <= 5000; i++) {
      progress.sent(i, 3, i);
      if (i > 10) progress.acknowledged(i - 10, i);
    }
    expect([progress.inflight, progress.inflightBytes, progress.next]).to.deep.equal([10, 30, 5001]);
  });
});
