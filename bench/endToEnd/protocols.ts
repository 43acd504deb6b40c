/** Raft and Paxos over the same three processes, one after the other in turns, beside the bare pipeline of the same run. */
import { diskNote, runAlone, withDirectory } from '../lib/run.js';
import type { BenchOptions } from '../lib/run.js';
import { ratio, table } from '../lib/table.js';
import type { Cell } from '../lib/table.js';
import { measurePipeline } from '../probes/pipeline.js';
import { measureProtocol, protocols } from './protocolRun.js';
import type { LoadRun } from './member.js';
import type { Runs } from './protocolRun.js';

const outstandings = [1, 64];
/** Of each protocol in turns; the middle one counts. */
const TURNS = 3;

function middle(runs: readonly LoadRun[]): LoadRun {
  return runs.toSorted((a, b) => a.perSecond - b.perSecond)[runs.length >> 1]!;
}

export async function reportProtocols(options: BenchOptions): Promise<string> {
  const head = ['', 'outstanding', 'bare/s', 'p50', 'submits/s', 'p50', 'p99 ms'];
  head.push('/s ÷ bare', 'p50 ÷ bare', 'reads/s', 'p50', 'failed');
  const tables: string[] = [];
  for (const durable of [true, false]) {
    const rows: Cell[][] = [];
    for (const outstanding of outstandings) {
      const bare = await measurePipeline(options, outstanding, durable);
      const runs = new Map<string, Runs[]>(protocols.map((name) => [name, []]));
      for (let turn = 0; turn < TURNS; turn++)
        for (const name of protocols)
          runs
            .get(name)!
            .push(
              await withDirectory(options.dir, (own) =>
                measureProtocol(name, durable ? own : undefined, outstanding, options.seconds),
              ),
            );
      for (const [name, all] of runs) {
        const submits = middle(all.map((one) => one.submits));
        const reads = middle(all.map((one) => one.reads));
        rows.push([
          `${name}()`,
          `${outstanding}`,
          ...[bare.perSecond, bare.p50, submits.perSecond, submits.p50, submits.p99],
          ...[ratio(submits.perSecond, bare.perSecond), ratio(submits.p50, bare.p50)],
          ...[reads.perSecond, reads.p50, submits.failed + reads.failed],
        ]);
      }
    }
    const where = durable ? `durable, ${diskNote(options.dir)}` : 'in memory';
    tables.push(table(`Raft and Paxos, three processes, ~100 B, ${where}`, head, rows));
  }
  return tables.join('\n');
}

runAlone(import.meta.url, reportProtocols);
