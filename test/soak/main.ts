/** `npm run soak`: explores seeds of the simulation, and shows what a failing one comes down to. */
import { writeFile } from 'node:fs/promises';
import { QuorateError } from '../../lib/errors.js';
import { explore } from './explore.js';
import { showFailure } from './failure.js';
import { parseOptions, usage, type SoakOptions } from './options.js';
import { Pool } from './pool.js';
import { replay } from './replay.js';
import { figures, report } from './report.js';

// Whoever read along has gone, as `head` does.
process.stdout.on('error', () => process.exit(1));

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  let options: SoakOptions;
  try {
    options = parseOptions(args);
    if (options.help) {
      console.log(usage);
      return 0;
    }
    if (options.seed !== undefined || options.plan !== undefined) return await replay(options);
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error;
    console.error(error.message);
    return 2;
  }
  return await soak(options);
}

async function soak(options: SoakOptions): Promise<number> {
  const pool = new Pool();
  const controller = new AbortController();
  const interrupted = (): boolean => controller.signal.aborted;
  const interrupt = (): void => {
    if (interrupted()) process.exit(130);
    controller.abort();
    pool.close();
  };
  process.on('SIGINT', interrupt);
  try {
    const { tally, elapsedMs, failures } = await explore(options, pool, interrupted);
    console.log(report(tally, elapsedMs));
    if (options.json !== undefined)
      await writeFile(options.json, `${JSON.stringify(figures(tally, elapsedMs, options.from), null, 2)}\n`);
    for (const outcome of failures.slice(0, options.failures === Infinity ? 3 : options.failures))
      if (!interrupted()) await showFailure(outcome, options, pool);
    if (interrupted()) return 130;
    return failures.length > 0 ? 1 : 0;
  } finally {
    pool.close();
    process.off('SIGINT', interrupt);
  }
}
