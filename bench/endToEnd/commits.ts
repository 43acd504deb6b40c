/** Commits and reads of a replicated key-value machine, beside the bare pipeline in the same run. */
import { withDirectory, diskNote, runAlone } from '../lib/run.js';
import type { BenchOptions } from '../lib/run.js';
import { ratio, table } from '../lib/table.js';
import { measurePipeline, outstandings } from '../probes/pipeline.js';
import { BenchCluster } from './cluster.js';
import type { LoadRun } from './member.js';

interface Runs {
  readonly outstanding: number;
  readonly leader: LoadRun;
  readonly follower: LoadRun;
  readonly leaderReads: LoadRun;
  readonly followerReads: LoadRun;
}

async function measure(dir: string | undefined, outstanding: number, seconds: number): Promise<Runs> {
  return new BenchCluster(dir).run(async (cluster) => {
    const args = { outstanding, seconds };
    const warmUp = { outstanding, seconds: Math.min(1, seconds) };
    await (await cluster.roles()).leader.call('submits', warmUp);
    // A leader may change under load: each figure asks again who it is.
    const leader = await (await cluster.roles()).leader.call<LoadRun>('submits', args);
    const follower = await (await cluster.roles()).follower.call<LoadRun>('submits', args);
    const leaderReads = await (await cluster.roles()).leader.call<LoadRun>('reads', args);
    const followerReads = await (await cluster.roles()).follower.call<LoadRun>('reads', args);
    return { outstanding, leader, follower, leaderReads, followerReads };
  });
}

export async function reportCommits(options: BenchOptions): Promise<string> {
  const tables: string[] = [];
  for (const durable of [true, false]) {
    const rows = [];
    const readRows = [];
    for (const outstanding of outstandings) {
      const bare = await measurePipeline(options, outstanding, durable);
      const runs = await withDirectory(options.dir, (own) =>
        measure(durable ? own : undefined, outstanding, options.seconds),
      );
      const { leader, follower, leaderReads, followerReads } = runs;
      rows.push([
        `${outstanding}`,
        ...[bare.perSecond, bare.p50],
        ...[
          leader.perSecond,
          leader.p50,
          leader.p99,
          ratio(leader.perSecond, bare.perSecond),
          ratio(leader.p50, bare.p50),
        ],
        ...[follower.perSecond, follower.p50, follower.p99, ratio(follower.perSecond, leader.perSecond)],
        leader.failed + follower.failed,
      ]);
      readRows.push([
        `${outstanding}`,
        ...[leaderReads.perSecond, leaderReads.p50, leaderReads.p99],
        ...[followerReads.perSecond, followerReads.p50, followerReads.p99],
      ]);
    }
    const where = durable ? `durable, ${diskNote(options.dir)}` : 'in memory';
    const head = [
      'outstanding',
      'bare/s',
      'p50',
      'leader/s',
      'p50',
      'p99 ms',
      '/s ÷ bare',
      'p50 ÷ bare',
      'follower/s',
      'p50',
      'p99 ms',
      '÷ leader',
      'failed',
    ];
    tables.push(table(`Submits, three processes, ~100 B, ${where}`, head, rows));
    const readHead = ['outstanding', 'leader/s', 'p50', 'p99 ms', 'follower/s', 'p50', 'p99 ms'];
    tables.push(table(`Linearizable reads, ${where}`, readHead, readRows));
  }
  return tables.join('\n');
}

runAlone(import.meta.url, reportCommits);
