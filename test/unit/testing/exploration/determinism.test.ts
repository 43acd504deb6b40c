import { expect } from 'chai';
import { planRun } from '../../../../lib/testing/exploration/plan.js';
import { planSeed } from '../../../../lib/testing/exploration/storm.js';
import { runPlan, type RunOutcome } from '../../../../lib/testing/exploration/runPlan.js';
import { runTapped } from '../../../../lib/testing/exploration/runTapped.js';
import { Pool } from '../../../soak/pool.js';

/** The first event in which two runs differ. */
function difference(one: RunOutcome, other: RunOutcome): string {
  const text = (outcome: RunOutcome): string[] =>
    outcome.trace.map(({ time, node, kind, detail }) => `${time} ${node} ${kind} ${detail}`);
  const [a, b] = [text(one), text(other)];
  const at = a.findIndex((line, i) => line !== b[i]);
  return at < 0 ? 'one is longer' : `${at}: "${a[at]!}" and "${b[at]}" after "${a[at - 1] ?? ''}"`;
}

function expectSame(one: RunOutcome, other: RunOutcome): void {
  if (one.hash !== other.hash)
    expect.fail(`seed ${one.seed} went two ways, from event ${difference(one, other)}`);
  expect(other.events).to.equal(one.events);
  expect(other.virtualMs).to.equal(one.virtualMs);
  expect(other.counts).to.deep.equal(one.counts);
}

describe('exploration: one seed decides everything', () => {
  const traceEvents = 200_000;
  let pool: Pool;

  before(() => (pool = new Pool()));
  after(() => pool.close());

  for (const seed of [2, 4, 7]) {
    it(`seed ${seed} goes the same way again, here and in another process`, async function () {
      this.timeout(120_000);
      const elsewhere = pool.run({ seed }, 110_000);
      const first = await runPlan(planSeed(seed), { traceEvents });
      expect(first.events).to.be.above(1000);
      expectSame(first, await runPlan(planSeed(seed), { traceEvents }));
      expectSame(first, (await elsewhere).outcome);
    });
  }

  it('seeds differ', async function () {
    this.timeout(60_000);
    const plan = { ...planRun(5), safetyMs: 500, faults: [] };
    const one = await runPlan(plan);
    const other = await runPlan({ ...plan, seed: 6 });
    expect(one.hash).to.not.equal(other.hash);
  });

  it('does not depend on how much of the trace is kept, nor on who listens', async function () {
    this.timeout(60_000);
    const plan = { ...planRun(7), safetyMs: 800 };
    const one = await runPlan(plan);
    expectSame(one, await runPlan(plan, { traceEvents: 10 }));
    const tapped = await runTapped(plan, { traceEvents: 100_000 });
    expect(tapped.hash).to.equal(one.hash);
    const kinds = new Set(tapped.trace.map(({ kind }) => kind));
    expect(kinds).to.include.keys('message', 'commit', 'deliver');
    const times = tapped.trace.map(({ time }) => time);
    expect(times).to.deep.equal(times.toSorted((a, b) => a - b));
  });
});
