import { expect } from 'chai';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { SampleWindow } from '../../../lib/failure/sampleWindow.js';

function filled(capacity: number, values: readonly number[]): SampleWindow {
  const window = new SampleWindow(capacity);
  for (const value of values) window.add(value);
  return window;
}

describe('SampleWindow', () => {
  it('has the mean and the population variance', () => {
    const window = filled(1000, [100, 200, 125, 340, 130]);
    expect(window.mean).to.equal(179);
    expect(window.variance).to.be.closeTo(7584, 1e-6);
    expect(window.count).to.equal(5);
  });

  it('forgets the oldest', () => {
    const window = filled(3, [100, 110, 90, 140]);
    expect(window.mean).to.be.closeTo(113.3333, 1e-3);
    expect(window.variance).to.be.closeTo(422.2222, 1e-3);
    expect(window.count).to.equal(3);
  });

  it('agrees with the plain sums over the newest, however many came before', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.double({ min: 0, max: 1e5, noNaN: true }), { minLength: 1, maxLength: 200 }),
        (capacity, values) => {
          const window = filled(capacity, values);
          const newest = values.slice(-capacity);
          const mean = newest.reduce((sum, value) => sum + value, 0) / newest.length;
          const variance = newest.reduce((sum, value) => sum + (value - mean) ** 2, 0) / newest.length;
          expect(window.mean).to.be.closeTo(mean, 1e-6);
          expect(window.variance).to.be.closeTo(variance, 1e-2);
        },
      ),
    );
  });

  it('keeps no rounding error of what has left: a huge value leaves no trace', () => {
    const window = filled(4, [1e12, 0.1, 0.2, 0.3, 0.4, 0.1, 0.2, 0.3]);
    expect(window.mean).to.be.closeTo(0.25, 1e-12);
    expect(window.variance).to.be.closeTo(0.0125, 1e-12);
  });
});
