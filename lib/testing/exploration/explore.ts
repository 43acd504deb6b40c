/** Many seeds of a cluster of the caller's own state machine, with faults of every kind. */
import { configError } from '../../errors.js';
import type { StateMachine } from '../../replica/stateMachine.js';
import { found } from './exploreFinding.js';
import {
  checkExploration,
  type ExploreOptions,
  type ExploreReport,
  type ExploreStep,
  type ReadonlyDeep,
} from './exploreOptions.js';
import { Runs } from './exploreRuns.js';
import { planRun } from './plan.js';

/**
 * Tests a state machine on simulated clusters: each seed is a run of some virtual seconds in which clients submit and ask while
 * nodes crash, lose power and stand still, links are cut, messages come late or twice, disks fail, and clocks go wrong. Then a
 * majority is mended, and has to serve and agree. Members must apply the same commands, answer them alike and reach the same
 * states, which is where a machine shows that is not deterministic; and the library itself is under observation, see
 * {@link Simulation.check}.
 *
 * Everything happens in this process, in virtual time, some tenths of a second a seed.
 *
 * @example
 * ```ts
 * it('is deterministic', async () => {
 *   await explore({
 *     stateMachine: () => raffle(),
 *     client: (random) =>
 *       random.chance(0.8)
 *         ? { command: { op: 'enter', name: random.pick(['Ada', 'Grace', 'Edsger']) } }
 *         : { command: { op: 'draw' } },
 *     seeds: 50,
 *   });
 * });
 * ```
 *
 * @throws `QuorateError` `ERR_INVARIANT` for the first thing that does not hold: the message says what, in which seed, how
 * to run that seed alone and which faults it takes; `data` is an {@link ExploreFinding}. `ERR_CONFIG` for an option that is wrong,
 * for a client that answers something else than a step, or none of whose calls was ever answered. `ERR_ABORTED` when the signal
 * fires. What `client` or `onSeed` throws.
 */
export async function explore<M extends StateMachine, const Step extends ReadonlyDeep<ExploreStep<M>>>(
  options: ExploreOptions<M, Step>,
): Promise<ExploreReport> {
  const exploration = checkExploration(options);
  const { seeds, from, nodes, kinds, onSeed } = exploration;
  const runs = new Runs(exploration);
  const counts = new Map<string, number>();
  let events = 0;
  let virtualMs = 0;
  for (let done = 1; done <= seeds; done++) {
    const seed = from + done - 1;
    const plan = planRun(seed, { nodes, kinds });
    const outcome = await runs.run(plan);
    if (outcome.violation !== undefined)
      throw await found(runs, plan, outcome, outcome.violation, exploration.minimiseMs);
    events += outcome.events;
    virtualMs += outcome.virtualMs;
    for (const [kind, n] of Object.entries(outcome.counts)) counts.set(kind, (counts.get(kind) ?? 0) + n);
    onSeed?.({ seed, done, seeds, virtualMs: outcome.virtualMs, events: outcome.events });
  }
  // Else a client with a slip of the pen, whose calls are all refused, would be taken for a test that passes.
  if ((counts.get('calls: ok') ?? 0) === 0)
    throw configError(
      'client',
      exploration.client,
      'a function some of whose calls are answered, all failed',
    );
  const sorted = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  return { seeds, events, virtualMs, counts: Object.fromEntries(sorted) };
}
