/** What is shown of a failing seed: what broke, the least that breaks it, what happened, and how to see it again. */
import { minimise, type Minimised } from '../../lib/testing/exploration/minimise.js';
import type { RunPlan } from '../../lib/testing/exploration/plan.js';
import { planSeed } from '../../lib/testing/exploration/storm.js';
import type { RunOutcome } from '../../lib/testing/exploration/runPlan.js';
import { spaceTime } from '../../lib/testing/exploration/spaceTime.js';
import { describePlan } from '../../lib/testing/exploration/describePlan.js';
import type { SoakOptions } from './options.js';
import { planPath, savePlan } from './planFile.js';
import type { Pool } from './pool.js';
import { colours } from './replay.js';

/** While minimising a run that takes so many real milliseconds has not failed, unless hanging is the failure. */
const CANDIDATE_LIMIT_MS = 20_000;

export async function showFailure(outcome: RunOutcome, options: SoakOptions, pool: Pool): Promise<void> {
  const { seed } = outcome;
  const violation = outcome.violation!;
  const plan = planSeed(seed, options);
  console.log(
    `\n${'═'.repeat(100)}\nseed ${seed} violates: ${violation.invariant}\n  ${violation.message}\n`,
  );
  await savePlan(planPath(seed, false), plan);
  if (options.minimiseSeconds === 0) {
    console.log(describePlan(plan));
    sayHow(planPath(seed, false));
    return;
  }
  const hangs = violation.invariant === 'hang';
  const limitMs = hangs ? options.hangSeconds * 1000 : CANDIDATE_LIMIT_MS;
  const smaller = await cutDown(plan, outcome, pool, limitMs, options.minimiseSeconds * 1000);
  await savePlan(planPath(seed, true), smaller.plan);
  const left = smaller.complete ? '' : ', time came to its end';
  console.log(
    `minimised from ${plan.faults.length} faults to ${smaller.plan.faults.length} in ${smaller.runs} runs${left}:\n`,
  );
  console.log(describePlan(smaller.plan));
  const { traceEvents, all } = options;
  const shown = await pool.run({ seed: smaller.plan.seed, plan: smaller.plan, traceEvents }, limitMs);
  if (shown.outcome.violation === undefined)
    console.log('\nThis plan did not fail again: the run is not decided by its seed alone.');
  else if (shown.outcome.trace.length > 0)
    console.log(
      `\n${spaceTime({ nodes: smaller.plan.nodes, ...shown.outcome }, { all, colours: colours() })}`,
    );
  sayHow(planPath(seed, true), planPath(seed, false));
}

async function cutDown(
  plan: RunPlan,
  { violation, seed }: RunOutcome,
  pool: Pool,
  limitMs: number,
  maxMs: number,
): Promise<Minimised> {
  const terminal = process.stderr.isTTY;
  const fails = async (candidate: RunPlan): Promise<boolean> => {
    const { outcome } = await pool.run({ seed: candidate.seed, plan: candidate }, limitMs);
    return outcome.violation?.invariant === violation!.invariant;
  };
  const smaller = await minimise(plan, fails, {
    maxMs,
    violatedAt: violation!.time > 0 ? violation!.time : undefined,
    onProgress: ({ runs, plan: { faults } }) => {
      if (terminal)
        process.stderr.write(`\r\x1b[Kminimising seed ${seed}: ${faults.length} faults left, ${runs} runs`);
    },
  });
  if (terminal) process.stderr.write('\r\x1b[K');
  return smaller;
}

function sayHow(...paths: readonly string[]): void {
  console.log('\nTo see it again:');
  for (const path of paths) console.log(`  npm run soak -- --plan ${path}`);
}
