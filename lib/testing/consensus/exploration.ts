/** Runs of the exploration: every kind of fault there is, storms of elections, groups that grow and shrink, the mesh under fire. */
import assert from 'node:assert/strict';
import type { RunPlan } from '../exploration/plan.js';
import { runPlan } from '../exploration/runPlan.js';
import { planSeed } from '../exploration/storm.js';
import type { ConsensusSettings } from '../consensus.js';
import type { Bench } from './bench.js';
import type { Suite } from './suite.js';

/** Of eight seeds one is a storm of elections, one puts the mesh under fire, and in one the group grows and shrinks: those first. */
const first = [7, 3, 5];

/** What a plan sets, as far as the consensus has it. */
function settingsOf(plan: RunPlan, node: string, { features }: Bench): ConsensusSettings {
  const { lease, ...flow } = plan.raft;
  return {
    ...flow,
    ...(lease !== undefined && features.leases === true && { lease }),
    ...(plan.priorities !== undefined &&
      features.priority === true && { priority: plan.priorities[node] ?? 0 }),
  };
}

/** @internal */
export function explorationTests({ test, seeds }: Suite): void {
  const others = Array.from({ length: seeds + first.length }, (_, at) => at + 1);
  for (const seed of [...first, ...others.filter((one) => !first.includes(one))].slice(0, seeds))
    test(`finds nothing in seed ${seed}`, async (bench) => {
      const planned = planSeed(seed);
      // Without witnesses those nodes take part like any other.
      const plan = bench.features.witnesses === true ? planned : { ...planned, witnesses: undefined };
      const consensus = (node: string) => bench.consensus(settingsOf(plan, node, bench));
      const { violation } = await runPlan(plan, { consensus });
      assert.equal(
        violation,
        undefined,
        violation &&
          `${violation.invariant}: ${violation.message} (at ${violation.time} ms, node ${violation.node})`,
      );
    });
}
