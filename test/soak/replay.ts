/** `--seed S` and `--plan FILE`: one run, in this process, with its trace. */
import { planSeed } from '../../lib/testing/exploration/storm.js';
import { runTapped } from '../../lib/testing/exploration/runTapped.js';
import { spaceTime } from '../../lib/testing/exploration/spaceTime.js';
import { describePlan } from '../../lib/testing/exploration/describePlan.js';
import type { SoakOptions } from './options.js';
import { loadPlan } from './planFile.js';
import { group } from './report.js';

/** Whether colours are welcome on standard output. */
export function colours(): boolean {
  return process.stdout.isTTY && !process.env.NO_COLOR;
}

/** Returns the exit code. */
export async function replay(options: SoakOptions): Promise<number> {
  const { seed, nodes, kinds, consensus, all, traceEvents } = options;
  const saved = options.plan === undefined ? undefined : await loadPlan(options.plan);
  const plan =
    saved === undefined
      ? planSeed(seed!, { nodes, kinds, consensus })
      : seed === undefined
        ? saved
        : { ...saved, seed };
  console.log(describePlan(plan));
  const began = performance.now();
  const outcome = await runTapped(plan, { traceEvents });
  const ms = performance.now() - began;
  console.log(spaceTime({ nodes: plan.nodes, ...outcome }, { all, colours: colours() }));
  console.log(
    `\n${(outcome.virtualMs / 1000).toFixed(1)} virtual s, ${group(outcome.events)} events in ${ms.toFixed(0)} ms, ` +
      `commit ${outcome.commitIndex}, trace ${outcome.hash}`,
  );
  const { violation } = outcome;
  if (violation === undefined) console.log('No violation.');
  else
    console.log(`VIOLATED: ${violation.invariant} at ${violation.time.toFixed(3)} ms: ${violation.message}`);
  return violation === undefined ? 0 : 1;
}
