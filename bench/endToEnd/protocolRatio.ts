/**
 * The throughput of paxos() over that of raft(), in pairs that follow one another, and what it is at least. What else the machine
 * does changes more slowly than a pair takes, so it hits both; which one goes first changes with each pair.
 */
import { diskNote, runAlone, withDirectory } from '../lib/run.js';
import type { BenchOptions } from '../lib/run.js';
import { median, medianAtLeast } from '../lib/stats.js';
import { table } from '../lib/table.js';
import type { Cell } from '../lib/table.js';
import { measureProtocol, protocols } from './protocolRun.js';

const PAIRS = 12;
const outstandings = [1, 64];

export async function reportProtocolRatio(options: BenchOptions): Promise<string> {
  const rows: Cell[][] = [];
  for (const durable of [true, false]) {
    for (const outstanding of outstandings) {
      const submits: number[] = [];
      const reads: number[] = [];
      for (let pair = 0; pair < PAIRS; pair++) {
        const per = { raft: [0, 0], paxos: [0, 0] };
        for (const name of pair % 2 === 0 ? protocols : protocols.toReversed()) {
          const runs = await withDirectory(options.dir, (own) =>
            measureProtocol(name, durable ? own : undefined, outstanding, options.seconds),
          );
          per[name] = [runs.submits.perSecond, runs.reads.perSecond];
        }
        submits.push(per.paxos[0]! / per.raft[0]!);
        reads.push(per.paxos[1]! / per.raft[1]!);
      }
      for (const [what, ratios] of [
        ['submits', submits],
        ['linearizable reads', reads],
      ] as const) {
        const range = `${Math.min(...ratios).toFixed(2)} – ${Math.max(...ratios).toFixed(2)}`;
        const where = durable ? 'durable' : 'in memory';
        rows.push([
          `${what}, ${where}`,
          `${outstanding}`,
          ...[median(ratios), medianAtLeast(ratios)].map((value) => value.toFixed(2)),
          range,
        ]);
      }
    }
  }
  const head = ['', 'outstanding', 'paxos ÷ raft, median', 'at least (95 %)', 'range'];
  return table(`${PAIRS} pairs of three processes each, ~100 B, ${diskNote(options.dir)}`, head, rows);
}

runAlone(import.meta.url, reportProtocolRatio);
