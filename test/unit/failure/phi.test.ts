import { expect } from 'chai';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { phi, sigmasFor } from '../../../lib/failure/phi.js';

describe('phi', () => {
  // What Akka's form gives where it does not overflow.
  for (const [elapsed, expected] of [
    [900, 0.075],
    [1000, 0.301],
    [1100, 0.7995],
    [1200, 1.6428],
    [1400, 4.7367],
    [1500, 7.2999],
    [1600, 10.7826],
    [1700, 15.3685],
  ] as const) {
    it(`is ${expected} after ${elapsed} ms, for intervals of 1000 ± 100 ms`, () => {
      expect(phi(elapsed, 1000, 100)).to.be.closeTo(expected, 0.00051);
    });
  }

  it('is next to nothing well before the mean', () => {
    expect(phi(500, 1000, 100)).to.be.within(0, 1e-6);
  });

  it('is the −log10 of the tail that Akka computes, wherever that is finite', () => {
    fc.assert(
      fc.property(fc.double({ min: -6, max: 6, noNaN: true }), (y) => {
        const e = Math.exp(-y * (1.5976 + 0.070566 * y * y));
        const akka = y > 0 ? -Math.log10(e / (1 + e)) : -Math.log10(1 - 1 / (1 + e));
        expect(phi(1000 + 100 * y, 1000, 100)).to.be.closeTo(akka, 1e-9);
      }),
    );
  });

  it('stays finite and grows where the plain form overflows', () => {
    const levels = [22, 100, 1e4].map((sigmas) => phi(1000 + 100 * sigmas, 1000, 100));
    expect(levels.every(Number.isFinite)).to.equal(true);
    expect(levels[0]).to.be.lessThan(levels[1]!);
    expect(levels[1]).to.be.lessThan(levels[2]!);
  });

  it('never falls as time goes by; finite and never negative, whatever the numbers', () => {
    const any = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(
        any,
        any,
        any,
        fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
        (a, b, mean, sd) => {
          const earlier = phi(Math.min(a, b), mean, sd);
          const later = phi(Math.max(a, b), mean, sd);
          return Number.isFinite(later) && earlier >= 0 && earlier <= later;
        },
      ),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1400 }),
        (at) => phi(at + 200, 1000, 100) > phi(at + 199, 1000, 100),
      ),
    );
  });

  it('takes a deviation of nothing', () => {
    expect(phi(5, 5, 0)).to.be.closeTo(0.301, 0.001);
    expect(phi(4, 5, 0)).to.equal(0);
    expect(phi(6, 5, 0)).to.be.greaterThan(1000);
  });

  it('has an inverse', () => {
    for (const [threshold, sigmas] of [
      [3, 3.06],
      [5, 4.12],
      [8, 5.226],
      [12, 6.292],
    ] as const) {
      expect(sigmasFor(threshold)).to.be.closeTo(sigmas, 0.005);
    }
    fc.assert(
      fc.property(fc.double({ min: 1, max: 32, noNaN: true }), (threshold) => {
        expect(phi(sigmasFor(threshold), 0, 1)).to.be.closeTo(threshold, 1e-9);
      }),
    );
  });
});
