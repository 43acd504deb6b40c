/** Runs seeds until there are enough of them, of failures or of minutes. */
import type { RunOutcome } from '../../lib/testing/exploration/runPlan.js';
import type { SoakOptions } from './options.js';
import type { Pool } from './pool.js';
import { Progress } from './progress.js';
import { Tally } from './tally.js';

/** What was found. */
export interface Explored {
  readonly tally: Tally;
  readonly elapsedMs: number;
  readonly failures: readonly RunOutcome[];
}

/** `stopped`: asked before every seed. */
export async function explore(options: SoakOptions, pool: Pool, stopped: () => boolean): Promise<Explored> {
  const { seeds, from, minutes, nodes, kinds, consensus, jobs, failures, hangSeconds } = options;
  const limitMs = minutes * 60_000;
  const tally = new Tally(kinds);
  const progress = new Progress(tally, seeds, limitMs);
  let next = from;
  const more = (): boolean =>
    next < from + seeds && progress.elapsedMs < limitMs && tally.violations.length < failures && !stopped();
  const work = async (): Promise<void> => {
    while (more()) {
      const seed = next++;
      const done = await pool.run({ seed, nodes, kinds, consensus }, hangSeconds * 1000);
      // Killed by the end of the soak, not by itself.
      if (stopped()) return;
      tally.add(done);
      const { violation } = done.outcome;
      if (violation !== undefined) {
        const where = violation.node === '' ? '' : ` at ${violation.node}`;
        const text = violation.message.split('\n')[0]!.slice(0, 300);
        progress.say(
          `seed ${seed}: ${violation.invariant}${where}, ${violation.time.toFixed(3)} ms: ${text}`,
        );
      }
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  progress.end();
  return { tally, elapsedMs: progress.elapsedMs, failures: tally.violations };
}
