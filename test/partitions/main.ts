/** `npm run partitions`: the table of docs/partial-partitions.md. `--seeds N` (20), `--from N` (1). */
import { parseArgs } from 'node:util';
import { paxos, raft } from '../../lib/replica/consensus.js';
import { ELECTION_MS, measure, type Outcome } from './measure.js';
import { scenarios } from './scenarios.js';

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '20' }, from: { type: 'string', default: '1' } },
});
const [seeds, from] = [Number(values.seeds), Number(values.from)];
if (!(Number.isSafeInteger(seeds) && seeds > 0 && Number.isSafeInteger(from) && from >= 0)) {
  console.error('--seeds is an integer from 1, --from one from 0');
  process.exit(2);
}

const head = [
  'consensus',
  'relay',
  'scenario',
  'stable progress',
  'down, median (most)',
  'new leaders, median (most)',
  'members served',
  'all served after healing',
];
const rows: string[][] = [];
for (const consensus of [raft(), paxos()])
  for (const relay of [false, true])
    for (const scenario of scenarios) {
      const outcomes: Outcome[] = [];
      for (let seed = from; seed < from + seeds; seed++)
        outcomes.push(await measure({ scenario, consensus, relay, seed }));
      const stable = outcomes.filter((one) => one.stable).length;
      const down = outcomes.map(({ downMs }) => downMs / ELECTION_MS);
      const healed = outcomes.map(({ healedMs }) => healedMs ?? Infinity);
      rows.push([
        `${consensus.name}()`,
        relay ? 'on' : 'off',
        scenario.name,
        `${stable} of ${seeds}`,
        stable === 0 ? 'all the time' : `${median(down).toFixed(1)} (${Math.max(...down).toFixed(1)})`,
        spread(outcomes.map(({ changes }) => changes)),
        `${median(outcomes.map(({ served }) => served))} of ${scenario.parts.length}`,
        `${(median(healed) / 1000).toFixed(1)} s (${(Math.max(...healed) / 1000).toFixed(1)} s)`,
      ]);
    }
console.log(`down times are in election time-outs of ${ELECTION_MS} ms; ${seeds} seeds from ${from} on\n`);
const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
const line = (row: readonly string[]): string =>
  `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`;
console.log(
  [line(head), `| ${widths.map((n) => '-'.repeat(n)).join(' | ')} |`, ...rows.map(line)].join('\n'),
);
// Calls that were never answered wait in virtual time, which passes no more.
process.exit(0);

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}

function spread(numbers: readonly number[]): string {
  return `${median(numbers)} (${Math.max(...numbers)})`;
}
