/** What an exploration found, made fit to be looked at. */
import { QuorateError } from '../../errors.js';
import type { Violation } from '../simulation/violation.js';
import { describeFault } from './describePlan.js';
import type { Runs } from './exploreRuns.js';
import { minimise } from './minimise.js';
import type { RunPlan } from './plan.js';
import type { RunOutcome } from './runPlan.js';
import { spaceTime } from './spaceTime.js';

/** How much of a run a diagram is drawn from. */
const DIAGRAM_EVENTS = 20_000;
const DIAGRAM_LINES = 80;

/** What {@link explore} found: the `data` of its error. */
export interface ExploreFinding {
  /** What did not hold. */
  readonly violation: Violation;
  readonly seed: number;
  /** What was done in that seed. */
  readonly plan: RunPlan;
  /** The smallest plan that was found to end alike; undefined if none was looked for, or the seed's second run ended well. */
  readonly smallest: RunPlan | undefined;
  /** A second run of the seed was the same, event by event. */
  readonly reproducible: boolean;
  /** How it came to that, as a space-time diagram of the smallest plan: for people, its form may change. */
  readonly diagram: string;
}

/** Runs the seed again, cuts its plan down, and makes an error of it all. @internal */
export async function found(
  runs: Runs,
  plan: RunPlan,
  first: RunOutcome,
  violation: Violation,
  maxMs: number,
): Promise<QuorateError> {
  const { invariant, time, node, message } = violation;
  const alike = ({ violation: other }: RunOutcome): boolean => other?.invariant === invariant;
  let again = await runs.run(plan, DIAGRAM_EVENTS);
  const reproducible = again.hash === first.hash;
  const smaller =
    alike(again) && maxMs > 0
      ? await minimise(plan, async (candidate) => alike(await runs.run(candidate)), {
          maxMs,
          violatedAt: time,
        })
      : undefined;
  if (smaller !== undefined) again = await runs.run(smaller.plan, DIAGRAM_EVENTS);
  const { seed } = plan;
  const lines = [
    `${invariant} (seed ${seed}, at ${time.toFixed(3)} ms${node === '' ? '' : `, node ${node}`}): ${message}`,
    `To run this seed alone: explore({ from: ${seed}, seeds: 1, … }).`,
  ];
  if (!reproducible) {
    const end = alike(again) ? 'went another way' : 'ended otherwise';
    lines.push(
      `A second run of the seed ${end}: the state machine or the client takes time or randomness from elsewhere than \`context\` and \`random\`.`,
    );
  }
  if (smaller !== undefined) lines.push(...faultsOf(smaller.plan, plan.faults.length));
  const { trace, violation: shown } = again;
  const finding: ExploreFinding = {
    violation,
    seed,
    plan,
    smallest: smaller?.plan,
    reproducible,
    diagram: spaceTime(
      { nodes: (smaller?.plan ?? plan).nodes, trace, violation: shown },
      { maxLines: DIAGRAM_LINES },
    ),
  };
  return new QuorateError('ERR_INVARIANT', lines.join('\n'), { data: finding });
}

function faultsOf({ faults }: RunPlan, planned: number): string[] {
  if (faults.length === 0) return [`It takes no fault (${planned} were planned).`];
  const lines = faults.map(({ at, fault }) => `  ${at.toFixed(0).padStart(7)} ms  ${describeFault(fault)}`);
  return [`Of the ${planned} faults that were planned it takes:`, ...lines];
}
