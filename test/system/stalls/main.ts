/**
 * The figures of the documentation, measured: `node build/test/system/stalls/main.js soak|blocks|deaths|pauses|mesh`. Prints tables,
 * keeps the raw figures in build/stalls-<part>.json, and fails when a run did not show what it must.
 *
 * `--seconds N`: how long the soak, or that of blocked event loops, lasts (600). `--worst N`: its first stall and every third, in ms. `--times N`: repetitions
 * of deaths (10) or of the mesh (5).
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { table, type Cell } from '../../../bench/lib/table.js';
import { meshTable, runFullMesh, type MeshFigures } from '../fullMeshRun.js';
import { longestBlockMs, runBlocks, type BlockFigures } from './blockRun.js';
import { runDeaths, spread, type Death } from './deathRun.js';
import { runPause, type PauseFigures } from './pauseRun.js';
import { runStalls, type StallFigures } from './stallRun.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '600' },
    worst: { type: 'string' },
    times: { type: 'string' },
  },
});
const times = (usual: number): number => Number(values.times ?? usual);
const whole = (value: number | undefined): string =>
  value === undefined || !Number.isFinite(value) ? '–' : String(Math.round(value));

/** A figure a line, a run a column. */
function columns<T>(
  title: string,
  runs: readonly T[],
  rows: readonly (readonly [string, (run: T) => Cell])[],
) {
  return table(
    title,
    ['', ...runs.map(() => '')],
    rows.map(([name, of]) => [name, ...runs.map(of)]),
  );
}

/** Both roles at the same time, in groups of their own. */
async function soak(): Promise<boolean> {
  const seconds = Number(values.seconds);
  const worst = values.worst === undefined ? undefined : Number(values.worst);
  const runs = await Promise.all([
    runStalls('leader', seconds, worst),
    runStalls('follower', seconds, worst),
  ]);
  keep('soak', runs);
  console.log(
    columns<StallFigures>(`Stalls, ${seconds} s`, runs, [
      ['the one that stalls is, at first', ({ role }) => `a ${role}`],
      ['stalls', ({ stalls }) => whole(stalls)],
      ['stood still in all, s', ({ stalledSeconds }) => whole(stalledSeconds)],
      ['longest stall, ms', ({ longestMs }) => whole(longestMs)],
      ['healthy peers that it took for dead', ({ convicts }) => whole(convicts.length)],
      ['suspected by peers', ({ suspected }) => whole(suspected)],
      ['taken for dead by peers', ({ convicted }) => whole(convicted)],
      ['of these after patience had widened', ({ convictedLate }) => whole(convictedLate.length)],
      ['links that it saw its peers close', ({ closedByPeers }) => whole(closedByPeers)],
      ['links lost that nobody closed', ({ unexplained }) => whole(unexplained.length)],
      ['links lost between the others', ({ linksLostByOthers }) => whole(linksLostByOthers)],
      ['elections', ({ elections }) => whole(elections)],
      ['stalls of others, not ordered, 300 ms or more', (run) => whole(run.unorderedStalls)],
      ['commits', ({ commits }) => whole(commits)],
      ['operations checked', ({ operations }) => whole(operations)],
      ['linearizable', ({ verdict }) => verdict],
    ]),
  );
  return runs.every(
    ({ convicts, convictedLate, unexplained, elections, unorderedStalls, verdict }) =>
      convicts.length + convictedLate.length + unexplained.length === 0 &&
      elections <= 1 + unorderedStalls &&
      verdict === 'ok',
  );
}

/** Nobody is elected while event loops are blocked for half an election time-out, unless the machine stalls a member for longer. */
async function blocks(): Promise<boolean> {
  const run = await runBlocks(Number(values.seconds));
  keep('blocks', run);
  const title = `Full load, all event loops blocked for up to ${longestBlockMs} ms, ${run.seconds} s`;
  console.log(
    columns<BlockFigures>(
      title,
      [run],
      [
        ['blocks', (one) => whole(one.blocks)],
        ['blocked in all, s', ({ blockedSeconds }) => whole(blockedSeconds)],
        ['longest, drawn out by the machine, ms', ({ longestMs }) => whole(longestMs)],
        ['elections', ({ elections }) => whole(elections)],
        ['stalls of 300 ms or more, by the machine', ({ drawnOut }) => whole(drawnOut.length)],
        ['commits', ({ commits }) => whole(commits)],
      ],
    ),
  );
  return run.elections <= run.drawnOut.length && run.commits > 0;
}

async function deaths(): Promise<boolean> {
  const all: Death[] = [];
  for (const loaded of [false, true]) all.push(...(await runDeaths(times(10), loaded)));
  keep('deaths', all);
  const rows = [false, true].map((loaded) => {
    const of = all.filter((death) => death.loaded === loaded);
    const first = spread(of.map(({ firstMs }) => firstMs));
    const last = spread(of.map(({ lastMs }) => lastMs));
    const suspect = spread(of.map(({ suspectMs }) => suspectMs));
    const cells = [suspect.p50, suspect.max, first.p50, first.max, last.p50, last.max].map(whole);
    return [loaded ? 'loaded' : 'idle', whole(of.length), ...cells];
  });
  const head = [
    'group',
    'kills',
    'suspect p50',
    'max',
    'first survivor p50',
    'max',
    'last survivor p50',
    'max',
  ];
  console.log(table('kill -9 noticed, ms', head, rows));
  return all.every(({ lastMs }) => lastMs !== undefined);
}

async function pauses(): Promise<boolean> {
  const runs: PauseFigures[] = [];
  for (const role of ['leader', 'follower'] as const)
    for (const ms of [2000, 10_000]) runs.push(await runPause(role, ms));
  keep('pauses', runs);
  const head = [
    'suspended',
    'for, ms',
    'peers that convicted it',
    'convicted by it',
    'serves again, ms',
    'links back, ms',
    'elections',
    'operations',
    'linearizable',
  ];
  const rows = runs.map((run) => [
    `a ${run.role}`,
    ...[run.pausedMs, run.convicted, run.convicts.length, run.servesMs, run.backMs, run.elections].map(whole),
    whole(run.operations),
    run.verdict,
  ]);
  console.log(table('Suspended and woken', head, rows));
  return runs.every(
    ({ convicts, unexplained, verdict }) => convicts.length + unexplained.length === 0 && verdict === 'ok',
  );
}

async function mesh(): Promise<boolean> {
  const runs: MeshFigures[] = [];
  for (let time = 0; time < times(5); time++) runs.push(await runFullMesh({ nodes: 15, triples: 3 }));
  keep('mesh', runs);
  console.log(meshTable(runs));
  return runs.every(({ formedMs, rounds }) => formedMs > 0 && rounds.length === 3);
}

function keep(part: string, figures: unknown): void {
  const file = join(fileURLToPath(new URL('../../..', import.meta.url)), `stalls-${part}.json`);
  writeFileSync(file, `${JSON.stringify(figures, undefined, 2)}\n`);
}

const parts = { soak, blocks, deaths, pauses, mesh };
const [part = ''] = positionals;
if (!Object.hasOwn(parts, part)) {
  console.error(`what to measure: ${Object.keys(parts).join(', ')}; got '${part}'`);
  process.exitCode = 2;
} else if (!(await parts[part as keyof typeof parts]())) {
  console.error('did not show what it must: see the figures above');
  process.exitCode = 1;
}
