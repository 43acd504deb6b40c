import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import {
  autopilotStep,
  changeOf,
  type AutopilotPolicy,
  type AutopilotStep,
  type ObservedMember,
} from '../../../lib/consensus/autopilot.js';
import { majority } from '../../../lib/consensus/quorum.js';

const policy: AutopilotPolicy = {
  voters: 5,
  minVoters: 3,
  candidates: undefined,
  deadMs: 30_000,
  removeAfterMs: 600_000,
};

/**
 * Members in a line: `a` leads. Upper case: a voter; lower case: a learner. Behind it: nothing, it is up and stable; `?`, it is up
 * only just now; `-`, it is silent for a second; `+`, it is dead; `!`, it is not heard for very long. `W`, `X` are witnesses.
 */
function members(line: string): ObservedMember[] {
  return [...line.matchAll(/(\w)([?+!-]?)/g)].map(([, name, mark]) => {
    const up = mark === '' || mark === '?';
    const silentMs = { '': 0, '?': 0, '-': 1000, '+': 40_000, '!': 700_000 }[mark!]!;
    const witness = 'WXwx'.includes(name!);
    return { id: name!.toLowerCase(), voter: name! < 'a', witness, up, stable: mark === '', silentMs };
  });
}

function next(line: string, changes: Partial<AutopilotPolicy> = {}): string {
  const found = autopilotStep('a', members(line), { ...policy, ...changes });
  if (found === undefined) return '';
  const { why, promoted, demoted, removed } = found;
  return `${why} +${promoted.join('')} -${demoted.join('')} x${removed.join('')}`;
}

describe('autopilot', () => {
  const table: [what: string, line: string, then: string, changes?: Partial<AutopilotPolicy>][] = [
    ['all is well', 'A B C D E f', ''],
    ['too few voters, and nobody to promote', 'A B C d? e- f+', ''],
    ['too few voters', 'A B C e d', 'promote +d - x'],
    ['a silent voter that is not dead yet', 'A B C D E- f', ''],
    ['a dead voter and a learner', 'A B C D E+ f', 'replace +f -e x'],
    ['a dead voter and a learner that came just now', 'A B C D E+ f?', ''],
    ['of two dead voters, the one that is dead for longer', 'A B C D+ E! f g', 'replace +f -e x'],
    ['a dead voter, and too few voters', 'A B C D+ e', 'replace +e -d x'],
    ['a dead voter, and nothing to be won without it', 'A B C D E+', ''],
    ['two dead voters: without them another may fail', 'A B C D+ E+', 'shrink + -de x'],
    ['one of four is dead', 'A B C D+', 'shrink + -d x'],
    ['one of three is dead', 'A B C+', ''],
    ['one of three is dead, and two are enough', 'A B C+', '', { voters: 3, minVoters: 2 }],
    ['three of seven are dead', 'A B C D E+ F+ G+', 'shrink + -ef x', { voters: 7 }],
    ['no quorum', 'A B C+ D+ E+ f', ''],
    ['too many voters', 'A B C D E F', 'demote + -f x'],
    ['too many voters, one is dead', 'A B+ C D E F', 'demote + -b x'],
    ['too many voters, one is silent', 'A B- C D E F', ''],
    [
      'too many voters, one of them no candidate',
      'A B C D',
      'demote + -c x',
      {
        voters: 3,
        candidates: new Set(['a', 'b', 'd']),
      },
    ],
    ['who is no candidate', 'A B C d e', 'promote +e - x', { candidates: new Set(['e']) }],
    ['a learner that was not heard for long', 'A B C d! e+', 'remove + - xd'],
    ['first what is urgent', 'A B C D E+ f g!', 'replace +f -e x'],
    ['one alone', 'A', ''],
    ['one alone, and two that came', 'A b c', 'promote +b - x'],
    ['one of two is dead', 'A B+ c', ''],
    ['a leader that is no voter any more', 'a B C D', ''],
    ['a dead witness', 'A B W+ c', '', { voters: 3 }],
    ['a dead voter beside a witness', 'A B+ W c', 'replace +c -b x', { voters: 3 }],
    ['a witness that is being admitted', 'A B w', '', { voters: 3 }],
    ['too many voters, and the last by name is a witness', 'A B C W', 'demote + -c x', { voters: 3 }],
    ['without another two witnesses could decide', 'A B W X', '', { voters: 3 }],
    ['the same, one of them dead', 'A B+ W X d', 'replace +d -b x', { voters: 3 }],
    [
      'of two dead voters only one may go beside two witnesses',
      'A B C+ D+ W X',
      'shrink + -c x',
      { voters: 6, minVoters: 2 },
    ],
  ];
  for (const [what, line, then, changes] of table) {
    it(`${what}: ${line} → ${then || 'nothing'}`, () => {
      expect(next(line, changes)).to.equal(then);
    });
  }

  const member = fc.record({
    voter: fc.boolean(),
    witness: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
    state: fc.constantFrom('stable', 'up', 'silent', 'dead', 'gone'),
    silentMs: fc.nat(29_999),
  });
  const anyView = fc.record({
    leader: fc.constant(true),
    others: fc.array(member, { maxLength: 12 }),
    voters: fc.integer({ min: 1, max: 9 }),
    minVoters: fc.integer({ min: 1, max: 9 }),
    candidates: fc.option(fc.subarray(Array.from('abcdefghijklm')), { nil: undefined }),
  });

  type Drawn = { voter: boolean; witness: boolean; state: string; silentMs: number };
  function observed(one: Drawn, i: number): ObservedMember {
    const up = one.state === 'stable' || one.state === 'up';
    const base = { stable: 0, up: 0, silent: 0, dead: 30_000, gone: 600_000 }[one.state]!;
    const id = String.fromCharCode(98 + i);
    return {
      id,
      voter: one.voter,
      witness: one.witness,
      up,
      stable: one.state === 'stable',
      silentMs: up ? 0 : base + one.silentMs,
    };
  }

  /** The members after a step. */
  function after(before: readonly ObservedMember[], step: AutopilotStep): ObservedMember[] {
    const { addVoters = [], addLearners = [], remove = [] } = changeOf(step);
    return before
      .filter(({ id }) => !remove.includes(id))
      .map((one) => ({
        ...one,
        voter: addVoters.includes(one.id) || (one.voter && !addLearners.includes(one.id)),
      }));
  }

  const votersOf = (all: readonly ObservedMember[]): ObservedMember[] => all.filter(({ voter }) => voter);
  /** Whether every quorum has somebody with the data. */
  const hasData = (all: readonly ObservedMember[]): boolean =>
    votersOf(all).filter(({ witness }) => witness).length < majority(votersOf(all).length);
  /** How many more may fail. */
  const spare = (all: readonly ObservedMember[]): number =>
    votersOf(all).filter(({ up }) => up).length - majority(votersOf(all).length);

  it('never takes a vote from who is up, nor puts the quorum at risk, whatever it sees', () => {
    fc.assert(
      fc.property(anyView, ({ others, voters, minVoters: min, candidates }) => {
        const minVoters = Math.min(min, voters);
        const self: ObservedMember = {
          id: 'a',
          voter: true,
          witness: false,
          up: true,
          stable: true,
          silentMs: 0,
        };
        const before = [self, ...others.map(observed)];
        if (!hasData(before)) return;
        const rules = { ...policy, voters, minVoters, candidates: candidates && new Set(candidates) };
        const step = autopilotStep('a', before, rules);
        if (step === undefined) return;
        const then = after(before, step);
        const of = (id: string): ObservedMember => before.find((one) => one.id === id)!;
        expect(hasData(then)).to.equal(true);
        for (const id of [...step.promoted, ...step.demoted]) expect(of(id).witness).to.equal(false);
        const [n, m] = [votersOf(before).length, votersOf(then).length];
        // There is a quorum before and after; each is one of the joint membership as well.
        expect(spare(before)).to.be.at.least(0);
        expect(spare(then)).to.be.at.least(0);
        const surplus = n > voters;
        if (!surplus) expect(spare(then)).to.be.at.least(spare(before));
        expect(step.demoted).to.not.include('a');
        for (const id of step.demoted) {
          expect(of(id).voter).to.equal(true);
          const lost = !of(id).up && of(id).silentMs >= 30_000;
          if (!lost)
            expect([surplus, step.demoted.length, spare(before)]).to.deep.equal([true, 1, n - majority(n)]);
        }
        expect(step.promoted.length).to.be.at.most(1);
        for (const id of step.promoted) {
          expect([of(id).voter, of(id).stable]).to.deep.equal([false, true]);
          expect(candidates?.includes(id)).to.not.equal(false);
        }
        for (const id of step.removed) {
          expect([of(id).voter, of(id).up]).to.deep.equal([false, false]);
          expect(of(id).silentMs).to.be.at.least(600_000);
        }
        expect(m).to.be.at.most(Math.max(n, voters));
        expect(m).to.be.at.least(Math.min(n, minVoters));
        expect(step.promoted.length + step.demoted.length + step.removed.length).to.be.at.least(1);
      }),
      { numRuns: 3000 },
    );
  });

  it('comes to rest, and with as many voters as are wanted where there are so many', () => {
    fc.assert(
      fc.property(anyView, ({ others, voters, minVoters: min }) => {
        const rules = { ...policy, voters, minVoters: Math.min(min, voters), candidates: undefined };
        const self: ObservedMember = {
          id: 'a',
          voter: true,
          witness: false,
          up: true,
          stable: true,
          silentMs: 0,
        };
        // Who is silent for a moment is waited for.
        let now = [self, ...others.filter(({ state }) => state !== 'silent').map(observed)];
        const up = now.filter((one) => one.up && (one.voter || (one.stable && !one.witness))).length;
        if (spare(now) < 0 || !hasData(now)) return;
        let steps = 0;
        for (; steps < 60; steps++) {
          const step = autopilotStep('a', now, rules);
          if (step === undefined) break;
          now = after(now, step);
        }
        expect(steps).to.be.below(60);
        const live = votersOf(now).filter((one) => one.up).length;
        // The place of a witness is kept for it.
        const kept = votersOf(now).filter((one) => one.witness && !one.up).length;
        expect(live).to.be.at.least(Math.min(voters - kept, up));
      }),
      { numRuns: 2000 },
    );
  });
});
