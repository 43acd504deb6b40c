/** What a snapshot transfer to a lagging member does to the commits of the others. */
import { diskNote, runAlone, withDirectory } from '../lib/run.js';
import type { BenchOptions } from '../lib/run.js';
import { ratio, table } from '../lib/table.js';
import { BenchCluster } from './cluster.js';
import type { LoadRun } from './member.js';

const MIB = 1024 * 1024;
const bytes = 50 * MIB;
const outstanding = 64;

interface Figures {
  readonly before: LoadRun;
  readonly during: LoadRun;
  readonly transferSeconds: number;
}

async function measure(dir: string, seconds: number): Promise<Figures> {
  // A short log, so that a member that was away needs the snapshot.
  const options = { keepEntries: 100, snapshotLogBytes: 16 * MIB };
  return new BenchCluster(dir, options).run(async (cluster) => {
    const { leader, followerId } = await cluster.roles();
    await leader.call('fill', { count: 16, bytes: 1024 });
    await cluster.kill(followerId);
    await leader.call('fill', { count: bytes / 4096, bytes: 4096 });
    const before = await leader.call<LoadRun>('submits', { outstanding, seconds: Math.max(3, seconds) });
    const goal = (await leader.call<{ commitIndex: number }>('status')).commitIndex;
    const began = performance.now();
    let caughtUp = 0;
    const watch = async (): Promise<void> => {
      await cluster.start(followerId);
      while ((await cluster.status(followerId)).appliedIndex < goal)
        await new Promise((resolve) => setTimeout(resolve, 10));
      caughtUp = performance.now();
    };
    const watching = watch();
    const during = await leader.call<LoadRun>('submits', { outstanding, seconds: Math.max(3, seconds) });
    await watching;
    return { before, during, transferSeconds: (caughtUp - began) / 1000 };
  });
}

export async function reportSnapshot(options: BenchOptions): Promise<string> {
  const { before, during, transferSeconds } = await withDirectory(options.dir, (own) =>
    measure(own, options.seconds),
  );
  const rows = [
    ['two members, no transfer', before.perSecond, before.p50, before.p99, ''],
    ['while the third gets it', during.perSecond, during.p50, during.p99, ratio(during.p99, before.p99)],
  ];
  const title =
    `Commits at ${outstanding} outstanding while a member is brought back with ${bytes / MIB} MiB of state ` +
    `(process start to caught up: ${transferSeconds.toFixed(1)} s; ${diskNote(options.dir)})`;
  return table(title, ['', 'submits/s', 'p50 ms', 'p99 ms', 'p99 ÷ without'], rows);
}

runAlone(import.meta.url, reportSnapshot);
