import { expect } from 'chai';
import { SuspendDetector } from '../../../lib/failure/suspendDetector.js';

describe('the detection of a suspended machine', () => {
  /** Looks every 50 ms, while the wall clock runs at a rate of its own and shows whole milliseconds. */
  function watched(rate: number, ms: number): { detector: SuspendDetector; now: number; found: number } {
    const detector = new SuspendDetector();
    let found = 0;
    let now = 0.3;
    for (; now < ms; now += 50) if (detector.observe(now, Math.floor(1e12 + now * rate))) found++;
    return { detector, now, found };
  }

  it('finds nothing while both clocks run, even at different rates', () => {
    for (const rate of [0.5, 0.99, 1, 1.0005, 1.01])
      expect(watched(rate, 600_000).found, `${rate}`).to.equal(0);
  });

  it('finds that the wall clock went on alone, once', () => {
    const { detector, now } = watched(1, 10_000);
    expect(detector.observe(now, Math.floor(1e12 + now + 30))).to.equal(true);
    expect(detector.observe(now + 1, Math.floor(1e12 + now + 31))).to.equal(false);
    expect(detector.observe(now + 50, Math.floor(1e12 + now + 5000))).to.equal(true);
  });

  it('finds it after the wall clock was set back', () => {
    const { detector, now } = watched(1, 10_000);
    const wall = 1e12 + now - 3_600_000;
    expect(detector.observe(now, wall)).to.equal(false);
    expect(detector.observe(now + 10, wall + 10 + 100)).to.equal(true);
  });

  it('does not take a process that stood still while its clock ran for it', () => {
    const { detector, now } = watched(1, 10_000);
    expect(detector.observe(now + 60_000, Math.floor(1e12 + now + 60_000))).to.equal(false);
  });
});
