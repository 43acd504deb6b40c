/** A process that runs one seed after another, as it is told. */
import { planSeed } from '../../lib/testing/exploration/storm.js';
import { runPlan, type RunOutcome } from '../../lib/testing/exploration/runPlan.js';
import { runTapped } from '../../lib/testing/exploration/runTapped.js';
import type { Broken, Done, Job } from './messages.js';

let rejected: string | undefined;

process.on('disconnect', () => process.exit(0));
process.on('unhandledRejection', (reason) => (rejected ??= textOf(reason)));
process.on('uncaughtException', (error) => give({ broken: textOf(error) }, () => process.exit(1)));
process.on('message', (job) => void run(job as Job));

async function run(job: Job): Promise<void> {
  rejected = undefined;
  const { seed, nodes, kinds, consensus, traceEvents = 0 } = job;
  const began = performance.now();
  try {
    const plan = job.plan ?? planSeed(seed, { nodes, kinds, consensus });
    const outcome = await (traceEvents > 0 ? runTapped(plan, { traceEvents }) : runPlan(plan));
    // Rejections are told of when the microtasks are done.
    await new Promise((resolve) => setImmediate(resolve));
    give({ outcome: withRejection(outcome), ms: performance.now() - began });
  } catch (error) {
    give({ broken: textOf(error) }, () => process.exit(1));
  }
}

function withRejection(outcome: RunOutcome): RunOutcome {
  if (rejected === undefined || outcome.violation !== undefined) return outcome;
  const violation = {
    invariant: 'no unhandled rejection',
    node: '',
    time: outcome.virtualMs,
    message: `a promise was rejected that nobody handles: ${rejected}`,
  };
  return { ...outcome, violation };
}

function give(message: Done | Broken, then?: () => void): void {
  process.send!(message, () => then?.());
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
