/**
 * Seeds of transactions at length: the bank over three groups, three-phase commits, and sagas, under faults. Exit code 1 if one fails.
 *
 *     node build/test/soak/transactions.js --what bank|sites|sagas --from 1 --seeds 100 --minutes 60
 */
import { parseArgs } from 'node:util';
import { runBank } from '../unit/transactions/bankRun.js';
import { runSagas } from '../unit/transactions/sagas/fire.js';
import { runSites } from '../unit/transactions/threePhase/fire.js';

const { values } = parseArgs({
  options: {
    what: { type: 'string', default: 'bank' },
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '100' },
    minutes: { type: 'string', default: '10080' },
  },
});

function numberOf(name: 'from' | 'seeds' | 'minutes', min: number): number {
  const value = Number(values[name]);
  if (Number.isFinite(value) && value >= min) return value;
  console.error(`--${name} ${values[name]}: a number from ${min} on is wanted`);
  process.exit(2);
}

type Counts = Readonly<Record<string, number>>;

const runs: Readonly<Record<string, (seed: number) => Promise<Counts>>> = {
  bank: async (seed) => (await runBank(seed)).counts,
  sites: async (seed) => {
    const counts: Record<string, number> = {};
    for (const { outcome } of (await runSites(seed)).calls) counts[outcome] = (counts[outcome] ?? 0) + 1;
    return counts;
  },
  sagas: runSagas,
};

async function main(): Promise<number> {
  const run = runs[values.what];
  if (run === undefined) {
    console.error(`--what ${values.what}: one of ${Object.keys(runs).join(', ')} is wanted`);
    return 2;
  }
  const from = numberOf('from', 0);
  const seeds = numberOf('seeds', 1);
  const began = Date.now();
  const end = began + numberOf('minutes', 0) * 60_000;
  const all: Record<string, number> = {};
  const failed: number[] = [];
  let seed = from;
  for (; seed < from + seeds && Date.now() < end; seed++) {
    try {
      for (const [what, count] of Object.entries(await run(seed))) all[what] = (all[what] ?? 0) + count;
    } catch (error) {
      failed.push(seed);
      console.log(`seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
    if ((seed - from) % 20 === 19) console.log(`${seed - from + 1} seeds`);
  }
  const minutes = (Date.now() - began) / 60_000;
  const rate = (seed - from) / minutes;
  const cpu = process.cpuUsage();
  console.log(
    `${seed - from} seeds of ${values.what} in ${minutes.toFixed(1)} min, ${rate.toFixed(0)} a minute ` +
      `(${((cpu.user + cpu.system) / 1e6 / (seed - from)).toFixed(2)} s of CPU each)`,
  );
  console.log(JSON.stringify(all));
  console.log(failed.length === 0 ? 'all is well' : `failing seeds: ${failed.join(', ')}`);
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = await main();
