/** The engine in the app's thread and in one of its own: what the way between two threads costs, and what it is good for. */
import { withDirectory, diskNote, runAlone } from '../lib/run.js';
import type { BenchOptions } from '../lib/run.js';
import { ratio, table } from '../lib/table.js';
import { measurePipeline } from '../probes/pipeline.js';
import { BenchCluster } from './cluster.js';
import type { LoadRun } from './member.js';

const threads = ['main', 'worker'] as const;
const outstandings = [1, 64, 1024];
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

type Thread = (typeof threads)[number];

interface Figures extends LoadRun {
  /** Microseconds of processor time of the three processes for each commit. */
  readonly cpu: number;
}

function cluster<T>(
  thread: Thread,
  dir: string | undefined,
  body: (cluster: BenchCluster) => Promise<T>,
): Promise<T> {
  return new BenchCluster(dir, { thread }).run(body);
}

function measure(
  thread: Thread,
  dir: string | undefined,
  outstanding: number,
  seconds: number,
): Promise<Figures> {
  return cluster(thread, dir, async (group) => {
    const cpu = async (): Promise<number> =>
      (await Promise.all([...group.members.values()].map((member) => member.call<number>('cpu')))).reduce(
        (sum, used) => sum + used,
        0,
      );
    await (await group.roles()).leader.call('submits', { outstanding, seconds: Math.min(1, seconds) });
    const { leader } = await group.roles();
    const before = await cpu();
    const run = await leader.call<LoadRun>('submits', { outstanding, seconds });
    return { ...run, cpu: ((await cpu()) - before) / run.count };
  });
}

async function reportCost(options: BenchOptions): Promise<string> {
  const tables: string[] = [];
  for (const durable of [true, false]) {
    const rows = [];
    for (const outstanding of outstandings) {
      const bare = await measurePipeline(options, outstanding, durable);
      const cells: (string | number)[] = [`${outstanding}`, bare.perSecond, bare.p50];
      for (const thread of threads) {
        const run = await withDirectory(options.dir, (own) =>
          measure(thread, durable ? own : undefined, outstanding, options.seconds),
        );
        cells.push(run.perSecond, run.p50, run.p99, ratio(run.perSecond, bare.perSecond), run.cpu);
      }
      rows.push(cells);
    }
    const each = ['/s', 'p50 ms', 'p99', '÷ bare', 'µs CPU'];
    const head = [
      'outstanding',
      'bare/s',
      'p50',
      ...threads.flatMap((thread) => each.map((one) => `${thread} ${one}`)),
    ];
    const where = durable ? `durable, ${diskNote(options.dir)}` : 'in memory';
    tables.push(table(`Submits on the leader by the engine's thread, ~100 B, ${where}`, head, rows));
  }
  return tables.join('\n');
}

/** Another member's commits while the leader's app is at rest, blocks 1 s every 5 s, and blocks once for 10 s. */
async function blocked(thread: Thread, how: 'spin' | 'sleep', dir: string): Promise<(string | number)[]> {
  return cluster(thread, dir, async (group) => {
    const { leader, leaderId, follower, followerId } = await group.roles();
    const submits = (seconds: number): Promise<LoadRun> =>
      follower.call<LoadRun>('submits', { outstanding: 4, seconds });
    await submits(1);
    const { epoch } = await group.status(followerId);
    const quiet = await submits(10);
    const blocking = async (): Promise<void> => {
      for (let i = 0; i < 4; i++) {
        await leader.call('block', { ms: 1000, how });
        await sleep(4000);
      }
    };
    const [often] = await Promise.all([submits(20), blocking()]);
    const [once] = await Promise.all([
      submits(15),
      sleep(2000).then(() => leader.call('block', { ms: 10_000, how })),
    ]);
    const after = await group.status(followerId);
    return [
      `${thread}, ${how}`,
      ...[quiet.p50, quiet.p99],
      ...[often.p50, often.p99, ratio(often.p99, quiet.p99)],
      ...[once.p50, once.p99, ratio(once.p99, quiet.p99)],
      ...[after.epoch - epoch, after.leader === leaderId ? 'the same' : 'another'],
    ];
  });
}

export async function reportBlocked(options: BenchOptions): Promise<string> {
  const rows = [];
  for (const thread of threads)
    for (const how of ['spin', 'sleep'] as const)
      rows.push(await withDirectory(options.dir, (own) => blocked(thread, how, own)));
  const head = [
    'engine in',
    ...['p50 ms', 'p99'],
    ...['1 s of 5: p50', 'p99', '÷'],
    ...['10 s once: p50', 'p99', '÷'],
    ...['elections', 'leader'],
  ];
  return table(
    `Submits of another member while the leader's app blocks its event loop, 4 outstanding`,
    head,
    rows,
  );
}

export async function reportThreads(options: BenchOptions): Promise<string> {
  return `${await reportCost(options)}\n${await reportBlocked(options)}`;
}

runAlone(import.meta.url, reportThreads);
