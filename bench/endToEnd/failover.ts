/** How long a group of three is without a leader when that is killed: default settings, real processes, disks and data channels. */
import { setTimeout as sleep } from 'node:timers/promises';
import { diskNote, runAlone, withDirectory } from '../lib/run.js';
import type { BenchOptions } from '../lib/run.js';
import { Samples } from '../lib/stats.js';
import { table } from '../lib/table.js';
import { measurePipeline } from '../probes/pipeline.js';
import { BenchCluster, ids } from './cluster.js';
import type { Failover } from './member.js';

const KILLS = 20;
/** So long everybody has been there before the next kill; a random time of a heartbeat or two comes on top. */
const SETTLE_MS = 1500;

/** What is asked of a group of three by default settings, in milliseconds. */
const goal = { median: 350, most: 700 };

interface Times {
  /** From the kill: until a survivor gave the leader up, knew the next one, and had a write acknowledged that it began after the kill. */
  readonly lost: number;
  readonly elected: number;
  readonly written: number;
}

async function killOnce(cluster: BenchCluster): Promise<Times> {
  await sleep(SETTLE_MS + Math.random() * 100);
  const { leaderId } = await cluster.roles();
  const survivors = ids.filter((id) => id !== leaderId).map((id) => cluster.members.get(id)!);
  await Promise.all(survivors.map((member) => member.call('watch')));
  const killed = cluster.kill(leaderId);
  const at = now();
  const seen = await Promise.all(survivors.map((member) => member.call<Failover>('failover')));
  await killed;
  const first = (of: keyof Failover): number => Math.min(...seen.map((one) => one[of])) - at;
  const times = { lost: first('lostAt'), elected: first('electedAt'), written: first('writtenAt') };
  await cluster.start(leaderId);
  const members = [...cluster.members.values()];
  await Promise.all(members.map((member) => member.call('ready')));
  // Otherwise the next two survivors might not even know each other yet.
  await Promise.all(members.map((member) => member.call('linked', { others: ids.length - 1 })));
  return times;
}

/** Milliseconds by the clock that all processes of the machine share. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

async function measure(dir: string, outstanding: number): Promise<Times[]> {
  return new BenchCluster(dir).run(async (cluster) => {
    const times: Times[] = [];
    while (times.length < KILLS) {
      if (outstanding > 0)
        for (const member of cluster.members.values()) await member.call('busy', { outstanding });
      times.push(await killOnce(cluster));
    }
    return times;
  });
}

export async function reportFailover(options: BenchOptions): Promise<string> {
  const bare = await measurePipeline({ ...options, seconds: Math.min(1, options.seconds) }, 1, true);
  const rows = [];
  for (const outstanding of [0, 16]) {
    const times = await withDirectory(options.dir, (dir) => measure(dir, outstanding));
    const of = (kind: keyof Times): Samples => {
      const samples = new Samples();
      for (const one of times) samples.add(one[kind]);
      return samples;
    };
    const [lost, elected, written] = [of('lost'), of('elected'), of('written')];
    rows.push([
      outstanding === 0 ? 'idle' : `${outstanding} submits outstanding at each member`,
      `${times.length}`,
      ...[lost, elected, written].flatMap((one) => [one.percentile(50), one.percentile(100)]),
      written.percentile(50) <= goal.median && written.percentile(100) <= goal.most ? 'yes' : 'no',
    ]);
  }
  const title =
    `Leader killed (kill -9), three processes, default settings: milliseconds until a survivor gives it up, knows the next one, and ` +
    `has a write acknowledged (bare pipeline of one write: p50 ${bare.p50.toFixed(2)} ms; ${diskNote(options.dir)})`;
  const head = [
    '',
    'kills',
    ...['given up p50', 'max', 'next p50', 'max', 'write p50', 'max'],
    `≤ ${goal.median}, ≤ ${goal.most}`,
  ];
  return table(title, head, rows);
}

runAlone(import.meta.url, reportFailover);
