/** The figures of the scenarios: kept in a file, printed at the end of the run, and made into the table of the documentation. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { projectRoot } from './forwarder.js';

/** A row of the table. What does not apply, or cannot be told yet, is undefined. */
export interface Row {
  readonly scenario: string;
  readonly nodes: number;
  /** Milliseconds from the start of the first process until every node had a link to every other. */
  readonly formedMs?: number | undefined;
  /** Milliseconds until the last node that is concerned suspected, and until it gave up, the direct link. */
  readonly suspectMs?: number | undefined;
  readonly detectMs?: number | undefined;
  /** States of the partition view at the end of the disturbance, and who reported them. */
  readonly state?: string | undefined;
  /** Milliseconds until the last node reported the state of the end. */
  readonly stateMs?: number | undefined;
  /** How many direct links were given up during the disturbance, each end counted. */
  readonly linksLost: number;
  readonly elections: number;
  readonly commitsBefore: number;
  readonly commitsDuring: number;
  /** Milliseconds after the disturbance until every node had committed a write, and until all links were direct again. */
  readonly serveMs?: number | undefined;
  readonly recoverMs?: number | undefined;
  /** And until every view of partitions said `healthy`. */
  readonly healthyMs?: number | undefined;
  readonly operations: number;
  readonly verdict: string;
}

const file = (): string => join(projectRoot(), 'build/network-scenarios.json');

/** All rows that were ever recorded here, the newest of each scenario. */
export function rows(): Row[] {
  return existsSync(file()) ? (JSON.parse(readFileSync(file(), 'utf8')) as Row[]) : [];
}

const fresh: Row[] = [];

/** Keeps a row, in place of an older one of that scenario. */
export function record(row: Row): void {
  fresh.push(row);
  const all = rows();
  const at = all.findIndex(({ scenario }) => scenario === row.scenario);
  if (at < 0) all.push(row);
  else all[at] = row;
  mkdirSync(dirname(file()), { recursive: true });
  writeFileSync(file(), `${JSON.stringify(all, undefined, 2)}\n`);
}

const whole = (value: number | undefined): string => (value === undefined ? '-' : String(Math.round(value)));

const columns: readonly (readonly [string, (row: Row) => string])[] = [
  ['scenario', (row) => row.scenario],
  ['nodes', (row) => whole(row.nodes)],
  ['formed, ms', (row) => whole(row.formedMs)],
  ['suspect, ms', (row) => whole(row.suspectMs)],
  ['detect, ms', (row) => whole(row.detectMs)],
  ['state reported', (row) => row.state ?? '-'],
  ['state, ms', (row) => whole(row.stateMs)],
  ['links lost', (row) => whole(row.linksLost)],
  ['elections', (row) => whole(row.elections)],
  ['commits/s before', (row) => whole(row.commitsBefore)],
  ['during', (row) => whole(row.commitsDuring)],
  ['serve, ms', (row) => whole(row.serveMs)],
  ['recover, ms', (row) => whole(row.recoverMs)],
  ['healthy, ms', (row) => whole(row.healthyMs)],
  ['operations', (row) => whole(row.operations)],
  ['linearizable', (row) => (row.verdict === 'ok' ? 'yes' : row.verdict)],
];

/** A Markdown table, spaced as prettier does. */
export function table(of: readonly Row[]): string {
  const cells = of.map((row) => columns.map(([, text]) => text(row)));
  const widths = columns.map(([title], at) =>
    Math.max(title.length, 3, ...cells.map((row) => row[at]!.length)),
  );
  const numeric = columns.map(([title]) => !['scenario', 'state reported', 'linearizable'].includes(title));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, at) => (numeric[at] ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!))).join(' | ')} |`;
  const rule = widths.map((width, at) => (numeric[at] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)));
  return [line(columns.map(([title]) => title)), line(rule), ...cells.map(line)].join('\n');
}

// In the root suite: once, after all files.
if (typeof after === 'function') {
  after(() => {
    if (fresh.length > 0) console.log(`\n${table(fresh)}\n\nin ${file()}\n`);
  });
}
