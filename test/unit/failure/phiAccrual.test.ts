import { expect } from 'chai';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import type { FailureMonitor, Verdict } from '../../../lib/failure/failureDetector.js';
import { phiAccrual, type PhiAccrualOptions } from '../../../lib/failure/phiAccrual.js';

const INTERVAL = 250;

function monitorOf(options: PhiAccrualOptions = {}, intervalMs = INTERVAL): FailureMonitor {
  return phiAccrual(options).monitor(0, { intervalMs });
}

/** After how much silence from `from` on, in milliseconds, a verdict is first given. */
function silenceUntil(monitor: FailureMonitor, verdict: Verdict, from: number): number {
  for (let ms = 0; ms < 100_000; ms++) if (monitor.judge(from + ms) === verdict) return ms;
  throw new Error(`never ${verdict}`);
}

/** Hears heartbeats at these gaps, as a link does: traffic first, then what it was. */
class Listener {
  now = 0;
  seq = 0;
  readonly monitor: FailureMonitor;

  constructor(monitor: FailureMonitor) {
    this.monitor = monitor;
  }

  beat(gap: number, stalledMs = 0): this {
    this.now += gap;
    this.monitor.heard(this.now);
    this.monitor.heartbeat(this.now, ++this.seq, stalledMs);
    return this;
  }

  beats(count: number, gap = INTERVAL): this {
    for (let i = 0; i < count; i++) this.beat(gap);
    return this;
  }

  get suspectAfter(): number {
    return silenceUntil(this.monitor, 'suspect', this.now);
  }

  get deadAfter(): number {
    return silenceUntil(this.monitor, 'dead', this.now);
  }
}

describe('phiAccrual', () => {
  it('by default suspects a regular peer after about 560 ms and convicts it after about 1.56 s', () => {
    const listener = new Listener(monitorOf()).beats(40);
    expect(listener.suspectAfter).to.be.within(560, 570);
    expect(listener.deadAfter).to.be.within(1560, 1570);
    expect(listener.monitor.judge(listener.now)).to.equal('alive');
  });

  it('begins with two guesses around the interval, m ± m/4, before any heartbeat came', () => {
    const monitor = monitorOf({ pauseMs: 0, minStdMs: 1 }, 1000);
    expect(monitor.phi(0)).to.be.within(0, 0.001);
    expect(monitor.phi(1000)).to.be.closeTo(0.301, 0.001);
    expect(monitor.phi(2000)).to.be.closeTo(4.737, 0.001);
    expect(monitor.phi(3000)).to.be.closeTo(21.24, 0.01);
  });

  it('finds a peer that never sent a heartbeat', () => {
    expect(silenceUntil(monitorOf(), 'dead', 0)).to.be.within(1550, 1600);
  });

  it('judges as its level says: dead above the threshold, however long the silence', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1, max: 32, noNaN: true }),
        fc.array(fc.integer({ min: 1, max: 900 }), { maxLength: 30 }),
        fc.integer({ min: 0, max: 5000 }),
        (threshold, gaps, silence) => {
          const listener = new Listener(monitorOf({ threshold }));
          for (const gap of gaps) listener.beat(gap);
          const at = listener.now + silence;
          const level = listener.monitor.phi(at);
          fc.pre(Math.abs(level - threshold) > 1e-6);
          return (listener.monitor.judge(at) === 'dead') === level > threshold;
        },
      ),
    );
    expect(monitorOf().phi(1e15)).to.satisfy(Number.isFinite);
  });

  it('learns: a jittery peer earns patience, a regular one loses what it had', () => {
    const jittery = new Listener(monitorOf());
    for (let i = 0; i < 60; i++) jittery.beat(i % 2 ? 100 : 400);
    expect(jittery.suspectAfter).to.be.greaterThan(900);
    const calmed = jittery.beats(1000);
    expect(calmed.suspectAfter).to.be.within(560, 575);
  });

  it('remembers no more than `samples` intervals', () => {
    const listener = new Listener(monitorOf({ samples: 10 }));
    for (let i = 0; i < 20; i++) listener.beat(i % 2 ? 100 : 400);
    listener.beats(8);
    expect(listener.suspectAfter).to.be.greaterThan(570);
    listener.beats(4);
    expect(listener.suspectAfter).to.be.within(560, 570);
  });

  it('measures silence from any traffic, and takes samples from heartbeats alone', () => {
    const listener = new Listener(monitorOf()).beats(40);
    const before = listener.suspectAfter;
    for (let ms = 1; ms < 240; ms++) listener.monitor.heard(listener.now + ms);
    const heardAt = listener.now + 239;
    expect(silenceUntil(listener.monitor, 'suspect', heardAt)).to.equal(before);
    listener.monitor.heard(listener.now); // a clock that is read twice never goes back
    expect(silenceUntil(listener.monitor, 'suspect', heardAt)).to.equal(before);
  });

  it('takes no sample of a heartbeat it has had, nor of one that was overtaken', () => {
    const listener = new Listener(monitorOf()).beats(40);
    const { suspectAfter } = listener;
    const { monitor } = listener;
    monitor.heartbeat(listener.now + 80, listener.seq, 0);
    monitor.heartbeat(listener.now + 160, listener.seq - 1, 0);
    expect(silenceUntil(monitor, 'suspect', listener.now + 160), 'but of life a sign').to.equal(suspectAfter);
    listener.beats(2);
    expect(listener.suspectAfter).to.equal(suspectAfter);
  });

  it('is not poisoned by the burst after a stall of the network', () => {
    const listener = new Listener(monitorOf()).beats(40);
    const before = listener.suspectAfter;
    for (let round = 0; round < 50; round++) {
      listener.beat(2000); // longer than it takes to be dead
      for (let i = 0; i < 7; i++) listener.beat(i % 2);
      listener.beat(130).beats(4);
    }
    expect(listener.suspectAfter).to.be.within(before - 1, before + 1);
  });

  it('records no interval that ended while the peer was taken for dead', () => {
    const listener = new Listener(monitorOf()).beats(40);
    const before = listener.deadAfter;
    listener.beat(before + 1).beats(2);
    expect(listener.deadAfter).to.equal(before);
  });

  it('records one that ended while it was only suspect', () => {
    const listener = new Listener(monitorOf()).beats(40);
    const before = listener.deadAfter;
    listener.beat(before - 100).beats(2);
    expect(listener.deadAfter).to.be.greaterThan(before + 100);
  });

  it('does not learn the stalls of a peer that announces them: its patience covers them', () => {
    const listener = new Listener(monitorOf()).beats(40);
    const before = listener.suspectAfter;
    for (let round = 0; round < 20; round++) {
      listener.beat(1400, 1400);
      for (let i = 0; i < 6; i++) listener.beat(INTERVAL, 1400);
    }
    expect(listener.suspectAfter).to.be.within(before - 1, before + 1);
  });

  for (const excusedFirst of [true, false]) {
    it(`records no interval that contains our own stall, told ${excusedFirst ? 'before' : 'after'} the frames are read`, () => {
      const listener = new Listener(monitorOf()).beats(40);
      const before = listener.suspectAfter;
      for (let round = 0; round < 20; round++) {
        if (excusedFirst) listener.monitor.excuse(1150, listener.now + 1400);
        listener.beat(1400).beat(0).beat(0).beat(0);
        if (!excusedFirst) listener.monitor.excuse(1150, listener.now);
        listener.beat(100).beats(4);
      }
      expect(listener.suspectAfter).to.be.within(before - 1, before + 1);
    });
  }

  it('excuses the time in which this process stood still, and no more', () => {
    const listener = new Listener(monitorOf()).beats(40);
    const { monitor, now, suspectAfter } = listener;
    monitor.excuse(5000, now + 5100);
    expect(monitor.judge(now + 5100)).to.equal('alive');
    expect(silenceUntil(monitor, 'suspect', now + 5000)).to.equal(suspectAfter);
    monitor.excuse(60_000, now + 5200); // never into the future
    expect(silenceUntil(monitor, 'suspect', now + 5200)).to.equal(suspectAfter);
  });

  it('waits as much longer as the peer announces to have stalled, 5 s at most, until it stops announcing', () => {
    const listener = new Listener(monitorOf()).beats(40);
    const { deadAfter, suspectAfter } = listener;
    expect(listener.beat(INTERVAL, 2000).deadAfter).to.equal(deadAfter + 2000);
    expect(listener.suspectAfter, 'suspicion comes as soon').to.equal(suspectAfter);
    expect(listener.beat(INTERVAL, 1e9).deadAfter).to.equal(deadAfter + 5000);
    listener.monitor.heartbeat(listener.now, listener.seq - 1, 0); // one that was overtaken
    expect(listener.deadAfter).to.equal(deadAfter + 5000);
    for (const none of [0, -5, NaN]) {
      listener.beat(INTERVAL, 3000);
      expect(listener.beat(INTERVAL, none).deadAfter).to.equal(deadAfter);
    }
  });

  it('scales with the interval, with a floor for short ones', () => {
    expect(new Listener(monitorOf({}, 1000)).beats(1000, 1000).deadAfter).to.be.within(6200, 6320);
    // 20 + 5.226 · 20 + 500
    expect(new Listener(monitorOf({}, 20)).beats(200, 20).deadAfter).to.be.within(620, 630);
  });

  it('obeys its options', () => {
    const options = { threshold: 12, pauseMs: 3000, minStdMs: 200 };
    const listener = new Listener(monitorOf(options)).beats(400);
    expect(listener.suspectAfter).to.be.within(1500, 1515); // 250 + 6.292 · 200
    expect(listener.deadAfter).to.be.within(4500, 4515);
  });

  it('finds a real death in less than 2 s by default, and never convicts a peer whose path is merely jittery', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 400 }),
        fc.integer({ min: 0, max: 249 }),
        (delays, phase) => {
          const listener = new Listener(monitorOf());
          let look = phase;
          for (const [i, delay] of delays.entries()) {
            const arrival = (i + 1) * INTERVAL + delay;
            for (; look < arrival; look += INTERVAL) {
              if (listener.monitor.judge(look) !== 'alive') return false;
            }
            listener.beat(arrival - listener.now);
          }
          const died = delays.length * INTERVAL; // right after its last heartbeat
          while (listener.monitor.judge(look) !== 'dead') look += INTERVAL;
          return look - died < 2000;
        },
      ),
    );
  });

  for (const [option, value, range] of [
    ['threshold', 0.5, 'a number from 1 to 32'],
    ['threshold', 33, 'a number from 1 to 32'],
    ['pauseMs', -1, 'a number from 0 to 600000'],
    ['pauseMs', NaN, 'a number from 0 to 600000'],
    ['minStdMs', 0, 'a number from 1 to 60000'],
    ['samples', 9, 'an integer from 10 to 10000'],
    ['samples', 100.5, 'an integer from 10 to 10000'],
  ] as const) {
    it(`refuses ${option} ${value}`, () => {
      expect(() => phiAccrual({ [option]: value }))
        .to.throw(`${option} must be ${range}, got ${value}`)
        .with.property('code', 'ERR_CONFIG');
    });
  }
});
