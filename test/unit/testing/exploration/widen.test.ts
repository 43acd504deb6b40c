/** The members may change once more when the faults are over: who is needed then is mended as well. */
import { expect } from 'chai';
import type { Fault } from '../../../../lib/testing/exploration/fault.js';
import { planRun, type RunPlan } from '../../../../lib/testing/exploration/plan.js';
import { runPlan, type RunOutcome } from '../../../../lib/testing/exploration/runPlan.js';

const SAFETY_MS = 3000;

/** What `a` asks for right before the end comes about after it: the message to the leader takes its time. */
function planOf(fault: Fault, core: readonly string[], rest: RunPlan['rest']): RunPlan {
  const nodes = ['a', 'b', 'c'];
  return {
    ...planRun(1, { nodes, kinds: [] }),
    network: { latencyMs: 20, tailMs: 0.1, lossRate: 0 },
    disk: {},
    messages: {},
    clocks: {},
    relay: false,
    outside: undefined,
    clients: 1,
    safetyMs: SAFETY_MS,
    core,
    rest,
    faults: [{ at: SAFETY_MS - 6, fault }],
  };
}

function expectServed({ violation, counts }: RunOutcome): void {
  expect(violation?.message).to.equal(undefined);
  expect(counts['runs that served and converged']).to.equal(1);
}

describe('exploration: members that change once more in the end', () => {
  const kind = 'members';
  for (const fate of ['slow', 'cut off', 'mute', 'deaf'] as const) {
    it(`have the one mended who is needed and was to stay ${fate}`, async () => {
      const learn: Fault = { kind, add: [], learn: ['a'], remove: [] };
      const outcome = await runPlan(planOf(learn, ['a', 'b'], { c: fate }));
      expectServed(outcome);
      expect(outcome.counts['nodes needed by a change that was under way']).to.equal(1);
    });
  }

  it('leave alone who is not needed', async () => {
    const remove: Fault = { kind, add: [], learn: [], remove: ['c'] };
    const outcome = await runPlan(planOf(remove, ['a', 'b'], { c: 'slow' }));
    expectServed(outcome);
    expect(outcome.counts['nodes needed by a change that was under way']).to.equal(undefined);
  });
});
