import { expect } from 'chai';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { CountWindow, TimeWindow } from '../../../lib/failure/circuitBreakerWindow.js';

interface Call {
  readonly gap: number;
  readonly failed: boolean;
  readonly slow: boolean;
}

const calls = fc.array(
  fc.record<Call>({ gap: fc.integer({ min: 0, max: 400 }), failed: fc.boolean(), slow: fc.boolean() }),
  { minLength: 1, maxLength: 200 },
);

const tallyOf = (some: readonly Call[]): object => ({
  calls: some.length,
  failures: some.filter(({ failed }) => failed).length,
  slow: some.filter(({ slow }) => slow).length,
});

describe('CountWindow', () => {
  it('holds the newest calls', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), calls, (size, all) => {
        const window = new CountWindow(size);
        for (const { failed, slow } of all) window.record(0, failed, slow);
        expect(window.tally()).to.deep.equal(tallyOf(all.slice(-size)));
      }),
    );
  });
});

describe('TimeWindow', () => {
  it('holds the calls of its time, to one bucket, whatever the clock says', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: -5000, max: 1e9 }),
        fc.integer({ min: 0, max: 2000 }),
        calls,
        (buckets, start, idle, all) => {
          const bucketMs = 100;
          const window = new TimeWindow(buckets * bucketMs, buckets);
          let now = start;
          const at: number[] = [];
          for (const { gap, failed, slow } of all) {
            now += gap;
            at.push(now);
            window.record(now, failed, slow);
          }
          now += idle;
          const oldest = (Math.floor(now / bucketMs) - buckets + 1) * bucketMs;
          expect(window.tally(now)).to.deep.equal(tallyOf(all.filter((_, i) => at[i]! >= oldest)));
        },
      ),
    );
  });

  it('forgets a whole window at once after a long silence, not a bucket a call', () => {
    const window = new TimeWindow(1000, 10);
    for (let i = 0; i < 10; i++) window.record(i * 100, true, false);
    expect(window.tally(999).failures).to.equal(10);
    window.record(60_000, false, false);
    expect(window.tally(60_000)).to.deep.equal({ calls: 1, failures: 0, slow: 0 });
  });
});
