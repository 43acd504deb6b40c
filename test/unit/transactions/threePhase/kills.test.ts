/**
 * Three-phase commit over the mesh, when nodes lose power: the coordinator, a participant, several at once, at each message and at each
 * word of a resource; and under random faults. The outcome is the same everywhere, what the caller was told is true, and when all is
 * mended nobody is in doubt for longer than the bound.
 */
import { expect } from 'chai';
import type { Message } from '../../../../lib/transactions/threePhase/wire.js';
import { BOUND_MS, runSites } from './fire.js';
import { Stage } from './stage.js';

/** Somebody is about to send that for the first time. */
interface Moment {
  readonly type: string;
  /** From the coordinator, or to it. */
  readonly down: boolean;
  /** Whether it still goes out. */
  readonly sent: boolean;
}

const moments: readonly Moment[] = [
  { type: 'vote?', down: true },
  { type: 'vote', down: false },
  { type: 'prepare', down: true },
  { type: 'prepared', down: false },
  { type: 'outcome', down: true },
  { type: 'done', down: false },
  { type: 'done', down: true },
].flatMap((each) => [
  { ...each, sent: false },
  { ...each, sent: true },
]);

type Victim = 'coordinator' | 'sender' | 'other';
const victims: readonly (readonly Victim[])[] = [
  ['coordinator'],
  ['sender'],
  ['other'],
  ['coordinator', 'other'],
  ['coordinator', 'sender', 'other'],
];

function typeOf(message: Message): string {
  return message.kind === 'step' ? message.message.type : message.kind;
}

describe('three-phase commit whose nodes lose power', function () {
  this.timeout(240_000);

  for (const [at, who] of victims.entries())
    it(`has one outcome, at whatever message it happens to: ${who.join(', ')}`, async () => {
      const stage = await new Stage(20 + at).ready();
      const { simulation } = stage;
      const outcomes = new Set<string>();
      for (const moment of moments) {
        const name = `${moment.sent ? 'after' : 'before'} ${moment.type} ${moment.down ? 'down' : 'up'}`;
        let sprung = false;
        stage.filter = (from, to, message) => {
          const isIt = typeOf(message) === moment.type && (from === 'a') === moment.down && to !== 'z';
          if (sprung || !isIt) return true;
          sprung = true;
          const sender = from === 'a' ? to : from;
          const other = ['b', 'c'].find((node) => node !== sender)!;
          const names = { coordinator: 'a', sender, other } as const;
          const down = who.map((each) => names[each]);
          // What is sent has a chance to arrive before others die.
          const strike = (): void => {
            for (const node of down) stage.crash(node);
          };
          if (moment.sent) simulation.after(0, strike);
          else strike();
          for (const [n, node] of down.entries()) simulation.after(700 + 300 * n, () => stage.restart(node));
          return moment.sent;
        };
        const told = stage.begin('a', ['a', 'b', 'c']);
        expect(await simulation.runUntil(() => sprung, 5000), name).to.equal(true);
        await simulation.run(1500);
        stage.filter = () => true;
        const through = await simulation.runUntil(() => stage.settled, BOUND_MS);
        simulation.check();
        expect(through, `${name}: nobody is in doubt`).to.equal(true);
        stage.check([told], name);
        for (const outcome of stage.outcomes(told.id!)) outcomes.add(outcome);
      }
      expect([...outcomes].sort()).to.deep.equal(['abort', 'commit']);
    });

  // More of them: SITE_SEEDS=100-199
  const [first = 1, last = 3] = (process.env['SITE_SEEDS'] ?? '1-3').split('-').map(Number);
  for (let seed = first; seed <= last; seed++)
    it(`has one outcome under fire: seed ${seed}`, async () => {
      const { calls, stage } = await runSites(seed);
      const counts = { committed: 0, refused: 0, ambiguous: 0, 'under way': 0 };
      for (const { outcome } of calls) counts[outcome]++;
      if (process.env['SITE_SEEDS'] !== undefined) console.log(seed, JSON.stringify(counts));
      expect(counts.committed, JSON.stringify(counts)).to.be.greaterThan(3);
      const ends = new Set(calls.flatMap(({ id }) => [...stage.outcomes(id ?? '')]));
      expect(ends.size, 'both outcomes').to.equal(2);
    });
});
