import { expect } from 'chai';
import { Holds } from '../../../lib/engine/holds.js';

describe('engine: holds on the log', () => {
  it('keep what is behind a snapshot on its way, and for a while after it arrived', () => {
    const holds = new Holds();
    const [one, two] = [{}, {}];
    expect(holds.keepFrom(one, 0)).to.equal(Infinity);
    const first = holds.hold(one, 100);
    const second = holds.hold(one, 70);
    expect(holds.keepFrom(one, 1e9)).to.equal(71);
    expect(holds.keepFrom(two, 0)).to.equal(Infinity);
    second(1000, false);
    expect(holds.keepFrom(one, 1000)).to.equal(101);
    first(1000, true);
    expect(holds.keepFrom(one, 30_999)).to.equal(101);
    expect(holds.keepFrom(one, 31_000)).to.equal(Infinity);
  });

  it('end with their group', () => {
    const holds = new Holds();
    const group = {};
    holds.hold(group, 5);
    holds.drop(group);
    expect(holds.keepFrom(group, 0)).to.equal(Infinity);
  });
});
