/**
 * The mutation proof: plants each bug of the list in a copy of the library and lets the simulation find it. Exit code 1 if one
 * survives. `npm run mutants -- --help` tells the options.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hunt } from './hunt.js';
import { mutants } from './list.js';
import { markdownTable, textTable, type Row } from './table.js';
import type { Mutant } from './mutant.js';
import { root } from './workshop.js';

const HELP = `npm run mutants -- [options]
  --only TEXT   only bugs whose name contains this
  --share K/N   only every Nth bug, from the Kth on (0 to N - 1): as many runs as N hunt all
  --from S      the first seed (1)
  --starts N    hunt each bug N times, from S, S + 1000, S + 2000 … (1)
  --seeds N     at most so many seeds for each hunt (what the list says)
  --jobs J      processes at once (the number of cores)
  --write       put the table into docs/proof.md`;

/** Seeds that have to be clean when there is no bug, or finding one means nothing. */
const CONTROL_SEEDS = 20;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    share: { type: 'string', default: '0/1' },
    from: { type: 'string', default: '1' },
    starts: { type: 'string', default: '1' },
    seeds: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

function numberOf(name: 'from' | 'starts' | 'seeds' | 'jobs'): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    console.error(`--${name} ${text}: a whole number from 1 on is wanted`);
    process.exit(2);
  }
  return value;
}

/** Which part of the list is hunted. */
function shareOf(text: string): { first: number; every: number } {
  const [, first = NaN, every = NaN] = (/^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? []).map(Number);
  if (first < every) return { first, every };
  console.error(`--share ${text}: K/N is wanted, N from 1 on and K from 0 to N - 1`);
  process.exit(2);
}

/** Hunts one bug from every start. */
async function prove(mutant: Mutant, starts: readonly number[], seeds: number): Promise<Row> {
  const catches = [];
  for (const start of starts) catches.push(await hunt(mutant, start, seeds));
  return { mutant, catches };
}

async function main(): Promise<number> {
  const from = numberOf('from')!;
  const starts = Array.from({ length: numberOf('starts')! }, (_, at) => from + 1000 * at);
  const seeds = numberOf('seeds');
  const { first, every } = shareOf(values.share);
  const named = mutants.filter(({ name }) => name.includes(values.only ?? ''));
  const chosen = named.filter((_, at) => at % every === first);
  if (chosen.length === 0) {
    console.error(`--only ${values.only ?? ''} --share ${values.share}: no bug is left`);
    return 2;
  }
  for (const kinds of [undefined, 'storm', 'mesh', 'growth'] as const) {
    const control = await hunt(undefined, from, CONTROL_SEEDS, kinds);
    if (control.by === undefined) continue;
    console.error(`without any bug, seed ${control.seed} breaks ${control.by}: ${control.message}`);
    return 1;
  }
  const rows: Row[] = [];
  const waiting = [...chosen];
  const work = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const row = await prove(mutant, starts, seeds ?? mutant.within);
      rows.push(row);
      console.log(`${rows.length}/${chosen.length} ${textTable([row])}`);
    }
  };
  await Promise.all(Array.from({ length: numberOf('jobs')! }, work));
  rows.sort((a, b) => chosen.indexOf(a.mutant) - chosen.indexOf(b.mutant));
  console.log(`\n${textTable(rows)}`);
  if (values.write) {
    if (chosen.length < mutants.length) {
      console.error('--write needs all bugs');
      return 2;
    }
    write(markdownTable(rows));
  }
  const survivors = rows.filter(({ catches }) => catches.some(({ by }) => by === undefined));
  for (const { mutant } of survivors) console.error(`${mutant.name}: survives`);
  return survivors.length === 0 ? 0 : 1;
}

function write(table: string): void {
  const file = join(root, 'docs', 'proof.md');
  const page = readFileSync(file, 'utf8');
  const place = /(<!-- mutants -->\n)[\s\S]*(\n<!-- \/mutants -->)/;
  if (!place.test(page)) throw new Error(`${file} has no markers for the table`);
  writeFileSync(
    file,
    page.replace(place, (_, before: string, after: string) => `${before}\n${table}\n${after}`),
  );
}

if (values.help) console.log(HELP);
else process.exitCode = await main();
