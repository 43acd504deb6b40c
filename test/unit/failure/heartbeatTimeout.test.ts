import { expect } from 'chai';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { heartbeatTimeout } from '../../../lib/failure/heartbeatTimeout.js';

describe('heartbeatTimeout', () => {
  it('suspects at half of the time-out and convicts after it', () => {
    const monitor = heartbeatTimeout({ timeoutMs: 1000 }).monitor(0, { intervalMs: 250 });
    expect(monitor.judge(500)).to.equal('alive');
    expect(monitor.judge(501)).to.equal('suspect');
    expect(monitor.judge(1000)).to.equal('suspect');
    expect(monitor.judge(1001)).to.equal('dead');
  });

  it('takes any sign of life', () => {
    const monitor = heartbeatTimeout({ timeoutMs: 1000 }).monitor(0, { intervalMs: 250 });
    monitor.heard(900);
    expect(monitor.judge(1400)).to.equal('alive');
    expect(monitor.judge(1901)).to.equal('dead');
  });

  it('excuses the time in which this process stood still, and no more', () => {
    const monitor = heartbeatTimeout({ timeoutMs: 1000 }).monitor(0, { intervalMs: 250 });
    monitor.excuse(5000, 5200);
    expect(monitor.judge(5200)).to.equal('alive');
    expect(monitor.judge(5501)).to.equal('suspect');
    expect(monitor.judge(6001)).to.equal('dead');
  });

  it('never lets an excuse reach into the future', () => {
    const monitor = heartbeatTimeout({ timeoutMs: 1000 }).monitor(0, { intervalMs: 250 });
    monitor.heard(100);
    monitor.excuse(60_000, 200);
    expect(monitor.judge(1201)).to.equal('dead');
  });

  it('judges by the newest sign alone', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (gaps) => {
        const monitor = heartbeatTimeout({ timeoutMs: 1000 }).monitor(0, { intervalMs: 250 });
        let now = 0;
        for (const gap of gaps) {
          now += gap;
          if (monitor.judge(now) !== 'alive') return false;
          monitor.heard(now);
        }
        return monitor.judge(now + 1001) === 'dead';
      }),
    );
  });

  it('gives a peer that announces stalls as much more time, 5 s at most, until it stops announcing', () => {
    const monitor = heartbeatTimeout({ timeoutMs: 1000 }).monitor(0, { intervalMs: 250 });
    monitor.heartbeat(0, 1, 2000);
    expect(monitor.judge(501), 'suspicion comes as soon').to.equal('suspect');
    expect(monitor.judge(3000)).to.equal('suspect');
    expect(monitor.phi(3000)).to.equal(1);
    expect(monitor.judge(3001)).to.equal('dead');
    monitor.heartbeat(100, 2, 1e9);
    expect(monitor.judge(6100)).to.equal('suspect');
    expect(monitor.judge(6101)).to.equal('dead');
    monitor.heartbeat(200, 3, 0);
    monitor.heartbeat(200, 2, 5000); // one that was overtaken
    expect(monitor.judge(1201)).to.equal('dead');
    for (const odd of [NaN, -5]) monitor.heartbeat(300, 4, odd);
    expect(monitor.judge(1300)).to.equal('suspect');
    expect(monitor.judge(1301)).to.equal('dead');
  });

  it('takes a heartbeat that was overtaken for a sign of life', () => {
    const monitor = heartbeatTimeout({ timeoutMs: 1000 }).monitor(0, { intervalMs: 250 });
    monitor.heartbeat(0, 5, 0);
    monitor.heartbeat(900, 4, 0);
    expect(monitor.judge(1900)).to.equal('suspect');
  });

  it('names its option, the value and the range', () => {
    expect(() => heartbeatTimeout({ timeoutMs: 5 })).to.throw(
      /timeoutMs must be a number from 10 to 600000, got 5/,
    );
  });
});
