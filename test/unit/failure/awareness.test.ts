import { expect } from 'chai';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { Awareness, patienceFor } from '../../../lib/failure/awareness.js';
import type { FailureDetector, FailureMonitor, Verdict } from '../../../lib/failure/failureDetector.js';
import { heartbeatTimeout } from '../../../lib/failure/heartbeatTimeout.js';
import { phiAccrual } from '../../../lib/failure/phiAccrual.js';
import { StallDetector } from '../../../lib/failure/stallDetector.js';

describe('Awareness', () => {
  it('convicts nobody for as long as the stall was, 5 s at most', () => {
    const awareness = new Awareness();
    expect(awareness.mayConvict(0)).to.equal(true);
    awareness.stalled(2000, 10_000);
    expect(awareness.mayConvict(11_999)).to.equal(false);
    expect(awareness.mayConvict(12_000)).to.equal(true);
    awareness.stalled(3_600_000, 20_000);
    awareness.stalled(100, 20_500); // a small one does not end the grace of a large one
    expect(awareness.mayConvict(24_999)).to.equal(false);
    expect(awareness.mayConvict(25_000)).to.equal(true);
  });

  it('announces its worst stall in full for a minute, then less and less, then nothing', () => {
    const awareness = new Awareness();
    expect(awareness.announce(0)).to.equal(0);
    awareness.stalled(2000, 0);
    expect([0, 60_000, 90_000, 119_000, 120_000, 1e9].map((at) => awareness.announce(at))).to.deep.equal([
      2000, 2000, 1000, 34, 0, 0,
    ]);
  });

  it('announces the worst, and the next worst when that has faded', () => {
    const awareness = new Awareness();
    awareness.stalled(3000, 0);
    awareness.stalled(1000, 50_000);
    awareness.stalled(500, 70_000);
    expect(awareness.announce(60_000)).to.equal(3000);
    expect(awareness.announce(108_000)).to.equal(1000);
    expect(awareness.announce(140_000)).to.equal(500);
    expect(awareness.announce(175_000)).to.equal(125);
    expect(awareness.announce(190_000)).to.equal(0);
  });

  it('announces at most a minute, in whole milliseconds', () => {
    const awareness = new Awareness();
    awareness.stalled(333.3, 0);
    expect(awareness.announce(0)).to.equal(334);
    awareness.stalled(8 * 3_600_000, 100);
    expect(awareness.announce(100)).to.equal(60_000);
  });

  it('never announces less than the worst of the last minute, whatever happened before', () => {
    const stall = fc.record({
      gap: fc.integer({ min: 1, max: 30_000 }),
      ms: fc.integer({ min: 1, max: 9000 }),
    });
    fc.assert(
      fc.property(fc.array(stall, { minLength: 1, maxLength: 60 }), (stalls) => {
        const awareness = new Awareness();
        const past: { at: number; ms: number }[] = [];
        let now = 0;
        for (const { gap, ms } of stalls) {
          now += gap;
          past.push({ at: now, ms });
          awareness.stalled(ms, now);
          const worst = (since: number): number =>
            Math.max(0, ...past.filter(({ at }) => at >= since).map((one) => one.ms));
          expect(awareness.announce(now)).to.be.within(worst(now - 60_000), worst(now - 120_000));
        }
        expect(awareness.announce(now + 120_000)).to.equal(0);
      }),
    );
  });

  it('stays small, and never understates, when stalls come ever shorter', () => {
    const awareness = new Awareness();
    for (let i = 0; i < 5000; i++) awareness.stalled(6000 - i, i * 10);
    expect(awareness.announce(50_000)).to.equal(6000);
    expect(awareness.announce(109_990)).to.be.at.least(1001);
    expect(awareness.announce(139_990)).to.be.at.least(500);
    expect(awareness.announce(200_000)).to.equal(0);
  });

  it('takes nothing for a stall that is none', () => {
    const awareness = new Awareness();
    for (const ms of [0, -5, NaN]) awareness.stalled(ms, 100);
    expect(awareness.announce(100)).to.equal(0);
    expect(awareness.mayConvict(100)).to.equal(true);
    expect([-1, NaN, 0, 20, 5000, 1e9].map(patienceFor)).to.deep.equal([0, 0, 0, 20, 5000, 5000]);
  });
});

const INTERVAL = 250;
const LOOK = 50;

interface Stall {
  readonly from: number;
  readonly to: number;
}

/** Stalls one after the other, from gaps and lengths. */
function stallsOf(pairs: readonly (readonly [gap: number, ms: number])[]): Stall[] {
  let now = 2000;
  return pairs.map(([gap, ms]) => {
    const from = now + gap;
    now = from + ms;
    return { from, to: now };
  });
}

/** When a process that stands still at times gets to do what is due at `at`. */
function awake(stalls: readonly Stall[], at: number): number {
  const stall = stalls.find(({ from, to }) => at >= from && at < to);
  return stall === undefined ? at : stall.to;
}

interface Beat {
  readonly sent: number;
  readonly stalledMs: number;
}

/** The heartbeats of a process with these stalls, as its one timer sends them. */
function beatsOf(stalls: readonly Stall[], until: number): Beat[] {
  const stall = new StallDetector(INTERVAL);
  const awareness = new Awareness();
  const beats: Beat[] = [];
  let now = 0;
  let looks = 0;
  while (now < until) {
    stall.expect(now + LOOK);
    now = awake(stalls, now + LOOK);
    const late = stall.fired(now);
    awareness.stalled(late, now);
    if (++looks < INTERVAL / LOOK && late === 0) continue;
    looks = 0;
    beats.push({ sent: now, stalledMs: awareness.announce(now) });
  }
  return beats;
}

interface Watch {
  readonly detector: FailureDetector;
  /** When the watcher itself stands still. */
  readonly stalls?: readonly Stall[];
  /** How long after a stall what came meanwhile gets through to this process. */
  readonly lagMs?: number;
  /** After a stall, what came meanwhile is read before the timer runs. */
  readonly readsFirst?: boolean;
  readonly until: number;
  /** A link that is convicted is made anew at once, as meshes do. */
  readonly relink?: boolean;
}

interface Opinion {
  readonly at: number;
  readonly verdict: Verdict;
}

/** What a process thinks of a peer with these heartbeats, look by look. It does as the timer of a mesh does. */
function watch(beats: readonly Beat[], options: Watch): Opinion[] {
  const { detector, stalls = [], lagMs = 0, readsFirst = false, until, relink = false } = options;
  const arrivals = beats
    .map(({ sent, stalledMs }, seq) => {
      const at = awake(stalls, sent + 5);
      return { at: at === sent + 5 ? at : awake(stalls, at + lagMs), seq, stalledMs };
    })
    .sort((a, b) => a.at - b.at);
  const stall = new StallDetector(INTERVAL);
  const awareness = new Awareness();
  const seen: Opinion[] = [];
  let monitor: FailureMonitor = detector.monitor(0, { intervalMs: INTERVAL });
  let next = 0;
  const read = (until: number): void => {
    for (let arrival = arrivals[next]; arrival && arrival.at <= until; arrival = arrivals[++next]) {
      monitor.heard(arrival.at);
      monitor.heartbeat(arrival.at, arrival.seq, arrival.stalledMs);
    }
  };
  let now = 0;
  while (now < until) {
    stall.expect(now + LOOK);
    now = awake(stalls, now + LOOK);
    read(readsFirst ? now : now - 0.5);
    const late = stall.fired(now);
    if (late > 0) {
      awareness.stalled(late, now);
      monitor.excuse(late, now);
    }
    stall.expect(now + LOOK);
    // A stall may begin right here, before the rest is read: then the look comes at its end.
    const then = awake(stalls, now + 0.25);
    if (then === now + 0.25) read(then);
    if (stall.overdue(then)) continue;
    const opinion = monitor.judge(then);
    const verdict = opinion === 'dead' && !awareness.mayConvict(then) ? 'suspect' : opinion;
    seen.push({ at: then, verdict });
    if (verdict === 'dead' && relink) monitor = detector.monitor(then, { intervalMs: INTERVAL });
  }
  return seen;
}

const when = (seen: readonly Opinion[], verdict: Verdict): number[] =>
  seen.filter((one) => one.verdict === verdict).map(({ at }) => at);

// Gaps of whole looks too, so that some stalls begin in the middle of one.
const gap = fc.oneof(
  fc.integer({ min: 1, max: 3000 }),
  fc.integer({ min: 1, max: 60 }).map((looks) => looks * LOOK),
);
const pairs = fc.array(fc.tuple(gap, fc.integer({ min: 1, max: 2000 })), { minLength: 1, maxLength: 40 });

for (const [name, detector] of [
  ['phiAccrual', phiAccrual()],
  ['heartbeatTimeout', heartbeatTimeout()],
] as const) {
  describe(`stalls, with ${name}`, () => {
    it('a process that stands still again and again never convicts a healthy peer', () => {
      fc.assert(
        fc.property(
          pairs,
          fc.integer({ min: 0, max: 300 }),
          fc.boolean(),
          (gapsAndLengths, lagMs, readsFirst) => {
            const stalls = stallsOf(gapsAndLengths);
            const until = stalls.at(-1)!.to + 5000;
            const seen = watch(beatsOf([], until), { detector, stalls, lagMs, readsFirst, until });
            return when(seen, 'dead').length === 0 && seen.at(-1)!.verdict === 'alive';
          },
        ),
        { numRuns: 300 },
      );
    });

    it('and one that was away for hours does not either', () => {
      const stalls = [{ from: 5000, to: 5000 + 8 * 3_600_000 }];
      const until = stalls[0]!.to + 10_000;
      // The peer's heartbeats of that time are lost; it goes on when this process is back.
      const beats = [
        ...beatsOf([], 5000),
        ...beatsOf([], 10_000).map((b) => ({ ...b, sent: stalls[0]!.to + b.sent })),
      ];
      expect(when(watch(beats, { detector, stalls, until }), 'dead')).to.deep.equal([]);
    });

    it('a peer that stands still for 2 s again and again is convicted once at most, and then only suspected', () => {
      fc.assert(
        fc.property(
          fc.array(fc.integer({ min: 300, max: 55_000 }), { minLength: 2, maxLength: 12 }),
          (gaps) => {
            const stalls = stallsOf(gaps.map((gap) => [gap, 2000] as const));
            const until = stalls.at(-1)!.to + 3000;
            const seen = watch(beatsOf(stalls, until), { detector, until, relink: true });
            const firstEnd = stalls[0]!.to + 100;
            expect(
              when(seen, 'suspect').some((at) => at < firstEnd),
              'suspected',
            ).to.equal(true);
            expect(when(seen, 'dead').filter((at) => at > firstEnd)).to.deep.equal([]);
            expect(when(seen, 'dead')).to.have.length.at.most(1);
          },
        ),
        { numRuns: 100 },
      );
    });

    it('patience goes back: two minutes after its last stall, a death is found as fast as ever', () => {
      const stalls = stallsOf([[1000, 2000]]);
      for (const [died, most] of [
        [20_000, 4000],
        [200_000, 2000],
      ] as const) {
        const seen = watch(beatsOf(stalls, died), { detector, until: died + 10_000 });
        const found = when(seen, 'dead').find((at) => at > died);
        expect(found, `death at ${died}`).to.be.within(died + (most - 1000), died + most);
      }
    });

    it('a real death is found, within 2 s, by a process that stood still before', () => {
      fc.assert(
        fc.property(pairs, fc.integer({ min: 0, max: 249 }), (gapsAndLengths, phase) => {
          const stalls = stallsOf(gapsAndLengths);
          const died = stalls.at(-1)!.to + 5000 + phase;
          const seen = watch(beatsOf([], died), { detector, stalls, until: died + 5000 });
          const found = when(seen, 'dead')[0] ?? Infinity;
          return found > died && found - died < 2000;
        }),
        { numRuns: 100 },
      );
    });
  });
}
