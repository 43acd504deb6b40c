import { expect } from 'chai';
import fc from 'fast-check';
import { lastOf, NO_EPOCH } from '../../../lib/consensus/consensus.js';
import { Log } from '../../../lib/consensus/log.js';
import { entry, epoch } from './rig.js';
import type { Entry } from '../../../lib/consensus/consensus.js';

/** A log of entries with these terms; a pair is a term and a count. */
function logOf(...shape: readonly (number | readonly [number, number])[]): Log {
  const log = new Log(1 << 20);
  for (const one of shape) {
    const [n, count] = typeof one === 'number' ? [one, 1] : one;
    log.append([entry(log.last + 1, n, { count })]);
  }
  return log;
}

function terms(log: Log): (number | undefined)[] {
  return Array.from({ length: log.last }, (_, i) => log.epochAt(i + 1)?.n);
}

describe('the log', () => {
  it('knows the epoch of every index it holds, and of the one before', () => {
    const log = logOf(1, [1, 3], 2, [4, 2]);
    expect(terms(log)).to.deep.equal([1, 1, 1, 1, 2, 4, 4]);
    expect(log.epochAt(0)).to.equal(NO_EPOCH);
    expect(log.epochAt(8)).to.equal(undefined);
    expect(log.lastEpoch.n).to.equal(4);
  });

  // The gateway: a gap, or "prev = none" after a failed read (openraft#1795), must never get in.
  it('refuses gaps and epochs that go back, and stays as it was', () => {
    const log = logOf(1, 2);
    expect(() => log.append([entry(4, 2)])).to.throw('does not follow');
    expect(() => log.append([entry(3, 2), entry(5, 2)])).to.throw('does not follow');
    expect(() => log.append([entry(3, 1)])).to.throw('term 1 follows one of term 2');
    expect(log.last).to.equal(2);
    expect(log.slice(1, 9, 9999)).to.have.length(2);
  });

  it('truncates at entry bounds only, and never what is compacted', () => {
    const log = logOf(1, [1, 3], 2, 2);
    expect(() => log.truncateFrom(3)).to.throw('inside an entry');
    log.truncateFrom(5);
    expect(terms(log)).to.deep.equal([1, 1, 1, 1]);
    log.compact(4);
    expect(() => log.truncateFrom(4)).to.throw('compacted');
    log.append([entry(5, 7)]);
    expect(log.lastEpoch.n).to.equal(7);
  });

  it('keeps the point of compaction, within a run and at its end', () => {
    const log = logOf(1, 1, 2, 2, 3);
    log.compact(3);
    expect([log.start, log.epochAt(2), log.epochAt(3)?.n, log.epochAt(4)?.n]).to.deep.equal([
      3,
      undefined,
      2,
      2,
    ]);
    log.compact(4);
    expect([log.epochAt(3), log.epochAt(4)?.n, log.epochAt(5)?.n]).to.deep.equal([undefined, 2, 3]);
    expect(() => log.compact(6)).to.throw('the log ends at 5');
    expect(log.boundAtMost(2)).to.equal(2);
  });

  it('finds bounds of entries', () => {
    const log = logOf(1, [1, 3], [2, 2]);
    expect([0, 1, 2, 3, 4, 5, 6, 9].map((i) => log.boundAtMost(i))).to.deep.equal([0, 1, 1, 1, 4, 4, 6, 6]);
  });

  it('slices whole entries: at least one, then as many as fit', () => {
    const log = new Log(1 << 20);
    for (let i = 1; i <= 4; i++) log.append([entry(i, 1, { data: new Uint8Array(100) })]);
    expect(log.slice(1, 4, 250).map((e) => e.index)).to.deep.equal([1, 2]);
    expect(log.slice(2, 4, 10).map((e) => e.index)).to.deep.equal([2]);
    expect(log.slice(2, 2, 1000).map((e) => e.index)).to.deep.equal([2]);
    expect(log.slice(5, 9, 1000)).to.deep.equal([]);
  });

  it('evicts the oldest beyond its cap, but nothing that is not committed', () => {
    const log = new Log(500);
    for (let i = 1; i <= 10; i++) log.append([entry(i, 1, { data: new Uint8Array(36) })]);
    log.evict(2);
    expect(log.cachedFrom).to.equal(3);
    log.evict(10);
    expect([log.cachedFrom, log.cachedBytes]).to.deep.equal([6, 500]);
    expect(log.slice(5, 10, 1000)).to.deep.equal([]);
    expect(log.epochAt(1)?.n).to.equal(1);
  });

  it('gives time monotonically', () => {
    const log = logOf(1);
    expect(log.lastTime).to.equal(1001);
    log.reset(9, epoch(1), 500);
    expect(log.lastTime).to.equal(1001);
  });

  // etcd's hints: a probe skips a whole reign of disagreement.
  it('finds where to probe next', () => {
    const log = logOf(1, 1, 3, 3, 5);
    expect(log.findConflict(9, epoch(4))).to.deep.equal({ index: 4, epoch: epoch(3) });
    expect(log.findConflict(4, epoch(2))).to.deep.equal({ index: 2, epoch: epoch(1) });
    expect(log.findConflict(3, epoch(3))).to.deep.equal({ index: 3, epoch: epoch(3) });
    expect(log.findConflict(5, epoch(0))).to.deep.equal({ index: 0, epoch: NO_EPOCH });
    log.compact(2);
    expect(log.findConflict(5, epoch(2)).index).to.equal(2);
    expect(log.findConflict(1, epoch(2)).index).to.equal(1);
  });

  it('refuses what a storage brings back when it does not fit', () => {
    const log = new Log(1000);
    const run = { from: 4, epoch: epoch(2) };
    expect(() => log.restore(3, epoch(1), [{ ...run, from: 5 }], 6, 0, [])).to.throw('run at 5');
    expect(() => log.restore(3, epoch(1), [], 6, 0, [])).to.throw('nothing known of 4 to 6');
    expect(() => log.restore(3, epoch(1), [run], 6, 0, [entry(5, 2)])).to.throw('end at 5 instead of 6');
    expect(() => log.restore(3, epoch(1), [run], 6, 0, [entry(5, 2), entry(6, 3)])).to.throw(
      'entry 6 does not fit',
    );
    expect(() => log.restore(3, epoch(1), [run, { from: 5, epoch: epoch(1) }], 6, 0, [])).to.throw(
      'run at 5',
    );
    log.restore(3, undefined, [run], 6, 0, [entry(5, 2), entry(6, 2)]);
    expect([log.last, log.cachedFrom, log.epochAt(3), log.epochAt(4)?.n]).to.deep.equal([6, 5, undefined, 2]);
  });

  it('behaves like a plain list under any sequence of changes', () => {
    const step = fc.oneof(
      fc.record({ append: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 }), bump: fc.boolean() }),
      fc.record({ truncate: fc.nat(20) }),
      fc.record({ compact: fc.nat(20) }),
      fc.record({ evict: fc.nat(20) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const log = new Log(400);
        let model: Entry[] = [];
        let start = 0;
        let n = 1;
        const last = (): number => (model.length === 0 ? start : lastOf(model.at(-1)!));
        for (const one of steps) {
          if ('append' in one) {
            if (one.bump) n++;
            for (const count of one.append) {
              const next = entry(last() + 1, n, { count });
              log.append([next]);
              model.push(next);
            }
          } else if ('truncate' in one) {
            const at = model[one.truncate];
            if (at === undefined || at.index <= start) continue;
            log.truncateFrom(at.index);
            model = model.slice(0, one.truncate);
          } else if ('compact' in one) {
            const at = model[one.compact];
            if (at === undefined) continue;
            log.compact(lastOf(at));
            start = lastOf(at);
            model = model.slice(one.compact + 1);
          } else {
            log.evict(one.evict);
          }
          expect(log.last).to.equal(last());
          expect(log.start).to.equal(start);
          for (const held of model) {
            expect(log.epochAt(held.index)?.n).to.equal(held.epoch.n);
            expect(log.epochAt(lastOf(held))?.n).to.equal(held.epoch.n);
            if (held.index < log.cachedFrom) continue;
            expect(log.slice(lastOf(held), lastOf(held), 1)[0]).to.equal(held);
            expect(log.boundAtMost(held.index - 1)).to.equal(held.index - 1);
          }
        }
      }),
    );
  });
});
