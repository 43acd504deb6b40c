import { expect } from 'chai';
import fc from 'fast-check';
import { completeRaftOptions } from '../../../lib/consensus/raft/options.js';
import { Patience, Rhythm } from '../../../lib/consensus/core/patience.js';
import type { Vitals } from '../../../lib/consensus/consensus.js';
import type { RaftOptions } from '../../../lib/consensus/raft/options.js';
import { members } from './rig.js';

const trio = members(['a', 'b', 'c']);
const AWAKE = -Infinity;

/** A rhythm that heard these silences, and the time it is then. */
function heard(silences: readonly number[]): { rhythm: Rhythm; now: number } {
  const rhythm = new Rhythm(50);
  let now = 1000;
  rhythm.heard(now, AWAKE);
  for (const silence of silences) rhythm.heard((now += silence), AWAKE);
  return { rhythm, now };
}

const bearableAfter = (silences: readonly number[]): number => {
  const { rhythm, now } = heard(silences);
  return rhythm.bearable(now, 0);
};

const beats = (count: number, ms = 50): number[] => new Array<number>(count).fill(ms);

function patience(options: RaftOptions = {}, vitals: Readonly<Record<string, Vitals>> = {}): Patience {
  return new Patience(completeRaftOptions({ electionTimeoutMs: 250, ...options }), (id) => vitals[id]);
}

describe('the rhythm of a peer', () => {
  it('is that of its heartbeats as long as nothing else is known', () => {
    expect(new Rhythm(50).bearable(0, 0)).to.be.within(100, 130);
    expect(bearableAfter(beats(1000))).to.be.within(100, 130);
  });

  it('bears twice the worst silence that ended well, for one to two minutes', () => {
    const { rhythm, now } = heard([...beats(100), 180, ...beats(200)]);
    for (const later of [0, 30_000, 59_000]) expect(rhythm.bearable(now + later, 0)).to.equal(360);
    expect(rhythm.bearable(now + 121_000, 0)).to.be.below(150);
  });

  it('bears more where the silences vary: φ 8 of what was measured', () => {
    const regular = bearableAfter(beats(500, 100));
    const irregular = bearableAfter(beats(500, 100).map((ms, n) => ms + (n % 2 === 0 ? 60 : -60)));
    expect(regular).to.equal(200);
    // 100 + 5.6 * 60
    expect(irregular).to.be.within(420, 450);
  });

  it('learns nothing from what comes in quick succession', () => {
    const loaded = [...beats(100), ...beats(1000, 1), ...beats(10)];
    expect(bearableAfter(loaded)).to.be.within(100, 130);
  });

  it('learns nothing from a silence of which this process slept a part, or after which nothing was to be expected', () => {
    const { rhythm, now } = heard(beats(100));
    const before = rhythm.bearable(now, 0);
    rhythm.heard(now + 900, now + 890);
    expect(rhythm.bearable(now + 900, 0)).to.equal(before);
    rhythm.pause();
    rhythm.heard(now + 5000, AWAKE);
    expect(rhythm.bearable(now + 5000, 0)).to.be.at.most(before);
    rhythm.heard(now + 5050, AWAKE);
    rhythm.heard(now + 5350, AWAKE);
    expect(rhythm.bearable(now + 5350, 0), 'and goes on from there').to.equal(600);
  });

  it('adds what the peer says that it stood still to what is usual', () => {
    const { rhythm, now } = heard(beats(100));
    expect(rhythm.bearable(now, 700) - rhythm.bearable(now, 0)).to.be.within(600, 700);
    // What was seen of the stall is not counted twice.
    const { rhythm: seen, now: then } = heard([...beats(100), 700, ...beats(500)]);
    expect(seen.bearable(then, 700)).to.equal(1400);
  });

  it('stays finite, and bears at least twice each silence of the last minute', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(200), fc.nat(1e9)), { maxLength: 50 }), (silences) => {
        const { rhythm, now } = heard(silences);
        const bearable = rhythm.bearable(now, 0);
        expect(bearable).to.be.finite;
        expect(bearable).to.be.at.least(50);
        let age = 0;
        for (const silence of silences.toReversed()) {
          if (age > 60_000) break;
          if (silence >= 25) expect(bearable).to.be.at.least(2 * silence);
          age += silence;
        }
      }),
    );
  });
});

describe('patience', () => {
  const peer = { id: 'b', rhythm: heard([...beats(100), 450, ...beats(10)]).rhythm };
  const now = 6000;

  it('stays within what the user set', () => {
    expect(patience().with(peer, now)).to.equal(900);
    expect(patience({ maxElectionTimeoutMs: 700 }).with(peer, now)).to.equal(700);
    expect(patience({ electionTimeoutMs: 1500 }).with(peer, now)).to.equal(1500);
    expect(patience({ electionTimeoutMs: 3000 }).with(peer, now), 'the other bound follows').to.equal(3000);
    expect(patience().with(undefined, now)).to.equal(250);
    const stalling = { b: { rttMs: 1, stalledMs: 60_000 } };
    expect(patience({}, stalling).with(peer, now)).to.equal(2000);
  });

  it('is twice as long with one that answers, since an answer is late by both ways', () => {
    expect(patience().withAnswers(undefined, now)).to.equal(500);
    expect(patience().withAnswers(peer, now)).to.equal(1800);
    expect(patience({ electionTimeoutMs: 300, maxElectionTimeoutMs: 300 }).withAnswers(peer, now)).to.equal(
      300,
    );
  });

  it('gives an answer two round trips, and an election three to the nearest quorum', () => {
    const vitals = {
      b: { rttMs: 200, stalledMs: 0 },
      c: { rttMs: 600, stalledMs: 0 },
    };
    const p = patience({}, vitals);
    expect([p.answerMs('b'), p.answerMs('c'), p.answerMs('z')]).to.deep.equal([400, 1200, 250]);
    expect(p.electionMs(trio, 'a', '')).to.equal(600);
    expect(p.electionMs(trio, 'a', 'b'), 'who may be dead will not vote').to.equal(1800);
    const five = members(['a', 'b', 'c', 'd', 'e']);
    expect(p.electionMs(five, 'a', ''), 'three of the five are there').to.equal(1800);
    expect(p.electionMs(five, 'a', 'b'), 'no quorum is').to.equal(250);
  });

  it('takes no time for a round trip of one that is not linked', () => {
    const p = patience({}, { c: { rttMs: 300, stalledMs: 0 } });
    expect(p.electionMs(trio, 'a', '')).to.equal(900);
    expect(patience({}, { c: { rttMs: undefined, stalledMs: 0 } }).electionMs(trio, 'a', '')).to.equal(250);
  });
});
