import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Backoff } from '../../../lib/mesh/backoff.js';
import { Heartbeats } from '../../../lib/mesh/heartbeats.js';
import { newIncarnation, isIncarnation } from '../../../lib/mesh/incarnation.js';
import { newCounters } from '../../../lib/mesh/metrics.js';
import type { MeshCounters } from '../../../lib/mesh/metrics.js';
import { RoundTrip } from '../../../lib/mesh/roundTrip.js';
import { VirtualEnvironment } from './support.js';

describe('heartbeats', () => {
  const setUp = (): {
    environment: VirtualEnvironment;
    log: string[];
    heartbeats: Heartbeats;
    counters: MeshCounters;
  } => {
    const environment = new VirtualEnvironment();
    const log: string[] = [];
    const counters = newCounters();
    const heartbeats = new Heartbeats({
      intervalMs: 250,
      environment,
      counters,
      onStall: (ms) => log.push(`stall ${ms}`),
      onBeat: (now, stalledMs) => {
        log.push(`beat at ${now} stalled ${stalledMs}`);
        environment.defer(() => log.push('frames read'));
      },
      onLook: (now, mayConvict) => log.push(`look at ${now}${mayConvict ? '' : ' mildly'}`),
    });
    return { environment, log, heartbeats, counters };
  };

  it('looks five times a beat, after what waits in that turn was read', async () => {
    const { environment, log, heartbeats } = setUp();
    const start = environment.now();
    await environment.run(250);
    const looks = [50, 100, 150, 200].map((ms) => `look at ${start + ms}`);
    const end = start + 250;
    expect(log).to.deep.equal([...looks, `beat at ${end} stalled 0`, 'frames read', `look at ${end}`]);
    heartbeats.close();
    log.length = 0;
    await environment.run(1000);
    expect([log, environment.timers]).to.deep.equal([[], 0]);
  });

  it('tells of a stall of its own at once, and is mild for as long', async () => {
    const { environment, log, heartbeats, counters } = setUp();
    environment.stall(550);
    await environment.run(0);
    const now = environment.now();
    expect(log.splice(0)).to.deep.equal([
      'stall 500',
      `beat at ${now} stalled 500`,
      'frames read',
      `look at ${now} mildly`,
    ]);
    expect(counters).to.include({ stalls: 1, stalledMs: 500 });
    await environment.run(450);
    expect(log.filter((line) => line.startsWith('look') && !line.endsWith('mildly'))).to.deep.equal([]);
    await environment.run(100);
    expect(log.at(-1)).to.equal(`look at ${now + 550}`);
    expect(heartbeats.stalledMs).to.equal(500);
    heartbeats.close();
  });

  it('measures the round trip without the time that the other end held the heartbeat', () => {
    const [near, far] = [new RoundTrip(), new RoundTrip()];
    let now = 1000;
    for (let i = 0; i < 50; i++) {
      const ping = near.next(now);
      far.heard(ping.seq, ping.echo, ping.heldUs, now + 15);
      const pong = far.next(now + 90); // held for 75 ms
      near.heard(pong.seq, pong.echo, pong.heldUs, now + 105);
      now += 250;
    }
    expect(near.rttMs).to.be.closeTo(30, 0.01);
  });

  it('ignores echoes that are old, or of heartbeats never sent', () => {
    const trip = new RoundTrip();
    trip.next(0);
    trip.heard(1, 99, 0, 10);
    expect(trip.rttMs).to.equal(undefined);
    trip.heard(1, 1, 0, 10); // that sequence was heard already
    expect(trip.rttMs).to.equal(undefined);
    trip.heard(2, 1, 1_000_000_000, 10);
    expect(trip.rttMs).to.equal(0);
  });
});

describe('the back-off', () => {
  it('doubles up to its maximum, jittered by half, and starts afresh', () => {
    for (const [random, factor] of [
      [0, 0.5],
      [1, 1],
    ] as const) {
      const backoff = new Backoff(50, 5000, () => random);
      const delays = Array.from({ length: 9 }, () => backoff.next() / factor);
      expect(delays).to.deep.equal([50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
      for (let i = 0; i < 100; i++) expect(backoff.next() / factor).to.equal(5000);
      backoff.reset();
      expect(backoff.next() / factor).to.equal(50);
    }
  });
});

describe('an incarnation', () => {
  it('is newer each time, as a string, also when the clock stands still or goes back', () => {
    const environment = new VirtualEnvironment();
    const first = Array.from({ length: 20 }, () => newIncarnation(environment));
    environment.wallClock = () => 5;
    const all = [...first, ...Array.from({ length: 20 }, () => newIncarnation(environment))];
    expect([...all].sort()).to.deep.equal(all);
    expect(new Set(all).size).to.equal(40);
    expect(all.every(isIncarnation)).to.equal(true);
    expect(['', '1-2', `${all[0]!}x`, all[0]!.toUpperCase() + '!'].some(isIncarnation)).to.equal(false);
  });
});
