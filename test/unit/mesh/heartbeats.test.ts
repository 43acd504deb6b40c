import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Backoff } from '../../../lib/mesh/backoff.js';
import { Heartbeats } from '../../../lib/mesh/heartbeats.js';
import { newIncarnation, isIncarnation } from '../../../lib/mesh/incarnation.js';
import { newCounters } from '../../../lib/mesh/metrics.js';
import type { Peers } from '../../../lib/mesh/peers.js';
import { RoundTrip } from '../../../lib/mesh/roundTrip.js';
import { VirtualEnvironment } from './support.js';

describe('heartbeats', () => {
  it('judges only after what waits in this turn was read, and excuses a stall first', async () => {
    const environment = new VirtualEnvironment();
    const log: string[] = [];
    const peers = {
      heartbeat: () => {
        log.push('heartbeat');
        environment.defer(() => log.push('frames read'));
      },
      excuse: (ms: number) => log.push(`excuse ${ms}`),
      judge: () => log.push('judge'),
    } as unknown as Peers;
    const counters = newCounters();
    const onStall = (ms: number): void => void log.push(`stall ${ms}`);
    const heartbeats = new Heartbeats({ intervalMs: 100, environment, peers, counters, onStall });
    await environment.run(100);
    expect(log.splice(0)).to.deep.equal(['heartbeat', 'frames read', 'judge']);
    environment.stall(500);
    await environment.run(0);
    expect(log.splice(0)).to.deep.equal(['excuse 400', 'stall 400', 'heartbeat', 'frames read', 'judge']);
    expect(counters).to.include({ stalls: 1, stalledMs: 400 });
    heartbeats.close();
    await environment.run(1000);
    expect([log, environment.timers]).to.deep.equal([[], 0]);
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
