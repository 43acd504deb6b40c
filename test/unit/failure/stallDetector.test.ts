import { expect } from 'chai';
import { describe, it } from 'mocha';
import { StallDetector } from '../../../lib/failure/stallDetector.js';

describe('StallDetector', () => {
  it('reports by how much a timer was late, above the tolerance', () => {
    const detector = new StallDetector(250);
    detector.expect(250);
    expect(detector.fired(250)).to.equal(0);
    detector.expect(500);
    expect(detector.fired(625)).to.equal(0);
    detector.expect(1000);
    expect(detector.fired(1126)).to.equal(126);
  });

  it('tolerates 100 ms however short the interval', () => {
    const detector = new StallDetector(20);
    detector.expect(20);
    expect(detector.fired(120)).to.equal(0);
    detector.expect(140);
    expect(detector.fired(241)).to.equal(101);
  });

  it('says nothing when no timer was expected', () => {
    expect(new StallDetector(100).fired(10_000)).to.equal(0);
  });

  it('tells that the timer is overdue before it has fired', () => {
    const detector = new StallDetector(250);
    expect(detector.overdue(1e9), 'no timer was set').to.equal(false);
    detector.expect(250);
    expect(detector.overdue(375)).to.equal(false);
    expect(detector.overdue(376)).to.equal(true);
    detector.fired(376);
    expect(detector.overdue(1e9)).to.equal(false);
  });
});
