import { expect } from 'chai';
import fc from 'fast-check';
import { LogSizes } from '../../../lib/consensus/logSizes.js';

const STEP = 16 * 1024;

describe('the sizes of a log', () => {
  /** The bytes of entries that end at 1, 2, … */
  function filled(bytes: readonly number[]): LogSizes {
    const sizes = new LogSizes();
    bytes.forEach((size, at) => sizes.append(at + 1, size));
    return sizes;
  }

  const after = (bytes: readonly number[], index: number): number =>
    bytes.slice(index).reduce((sum, size) => sum + size, 0);

  it('never says more than there is, and little less', () => {
    const cases = fc.array(fc.integer({ min: 1, max: 3 * STEP }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(cases, fc.nat(), (bytes, at) => {
        const index = at % bytes.length;
        const said = filled(bytes).after(index);
        const real = after(bytes, index);
        expect(said).to.be.at.most(real);
        expect(real - said).to.be.lessThan(2 * STEP + 3 * STEP);
      }),
    );
  });

  it('follow the log when it loses its end or its beginning', () => {
    const bytes = Array.from({ length: 100 }, () => STEP);
    const sizes = filled(bytes);
    sizes.truncate(80);
    expect(sizes.after(0)).to.equal(80 * STEP);
    sizes.append(81, STEP);
    expect(sizes.after(79)).to.equal(2 * STEP);
    sizes.forget(50);
    expect(sizes.after(50)).to.equal(31 * STEP);
    expect(sizes.after(10), 'what is left of it').to.equal(31 * STEP);
    sizes.forget(81);
    expect(sizes.after(50)).to.equal(0);
    sizes.append(82, STEP);
    expect(sizes.after(81)).to.equal(STEP);
    sizes.reset(500);
    expect(sizes.after(0)).to.equal(0);
    sizes.append(501, STEP);
    expect(sizes.after(500)).to.equal(STEP);
  });

  it('stay small and near however long the log', () => {
    const sizes = new LogSizes();
    const entries = 100_000;
    for (let i = 1; i <= entries; i++) sizes.append(i, STEP);
    for (const index of [0, 1, 50_000, 99_000]) {
      const real = (entries - index) * STEP;
      expect(sizes.after(index)).to.be.at.most(real);
      expect(real - sizes.after(index), String(index)).to.be.at.most(2 * 32 * STEP);
    }
  });

  it('say nothing of what they do not know', () => {
    expect(new LogSizes().after(0)).to.equal(0);
    expect(filled([10, 10]).after(7)).to.equal(0);
  });
});
