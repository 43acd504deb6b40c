/** What many groups cost that have nothing to do, and how fast one of them is there when it has. `BENCH_GROUPS=N` for another number. */
import { join } from 'node:path';
import { serveSignaling } from 'quorate';
import type { MeshMetrics } from 'quorate';
import { diskNote, runAlone, withDirectory } from '../lib/run.js';
import type { BenchOptions } from '../lib/run.js';
import { Worker } from '../lib/processes.js';
import type { Spread } from '../lib/stats.js';
import { ratio, table } from '../lib/table.js';
import { measureDataChannel } from '../probes/dataChannel.js';
import { ids } from './cluster.js';
import type { JoinArgs, OpenGroupsArgs, Usage, Woken } from './groupsMember.js';

const groups = Number(process.env['BENCH_GROUPS'] ?? 1000);
const QUIET_MS = 2000;

interface Idle {
  /** Of one core, of the busiest process. */
  readonly cpuShare: number;
  readonly rss: number;
  readonly held: number;
  /** Of all processes. */
  readonly framesPerSecond: number;
}

interface Figures {
  readonly openMs: number;
  readonly before: Idle;
  readonly after: Idle;
  readonly woken: Woken | undefined;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function everywhere<T>(members: readonly Worker[], method: string, args?: unknown): Promise<T[]> {
  return Promise.all(members.map((member) => member.call<T>(method, args)));
}

async function idle(members: readonly Worker[], seconds: number): Promise<Idle> {
  const before = await everywhere<Usage>(members, 'usage');
  const sent = async (): Promise<number> =>
    (await everywhere<MeshMetrics>(members, 'metrics')).reduce((sum, { framesSent }) => sum + framesSent, 0);
  const began = performance.now();
  const sentBefore = await sent();
  await sleep(seconds * 1000);
  const frames = (await sent()) - sentBefore;
  const ms = performance.now() - began;
  const after = await everywhere<Usage>(members, 'usageNow');
  return {
    cpuShare: Math.max(...after.map(({ cpu }, i) => (cpu - before[i]!.cpu) / 1000 / ms)),
    rss: Math.max(...before.map(({ rss }) => rss)),
    held: Math.max(...before.map(({ held }) => held)),
    framesPerSecond: (frames / ms) * 1000,
  };
}

async function untilQuiet(members: readonly Worker[], count: number): Promise<void> {
  for (let waited = 0; waited < 120_000; waited += 100) {
    const metrics = await everywhere<MeshMetrics>(members, 'metrics');
    if (metrics.every((one) => one.groups.quiet === count)) return;
    await sleep(100);
  }
  throw new Error('the groups do not go quiet');
}

async function measure(dir: string, count: number, quiet: boolean, seconds: number): Promise<Figures> {
  const server = await serveSignaling({});
  const members = ids.map(() => new Worker(new URL('./groupsMember.js', import.meta.url)));
  try {
    await Promise.all(
      members.map((member, i) => {
        const args: JoinArgs = { id: ids[i]!, members: ids, signaling: server.url, dir: join(dir, ids[i]!) };
        return member.call('join', args);
      }),
    );
    await sleep(1000);
    const before = await idle(members, seconds);
    const args: OpenGroupsArgs = { count, quietAfterMs: quiet ? QUIET_MS : Infinity };
    const openMs = Math.max(...(await everywhere<number>(members, 'open', args)));
    if (quiet) await untilQuiet(members, count);
    await sleep(3000);
    const after = await idle(members, seconds);
    if (!quiet) return { openMs, before, after, woken: undefined };
    // The first command of a replica registers its session: that is no matter of rest.
    const wake = { count: Math.min(150, count) };
    await members[0]!.call<Woken>('wake', wake);
    await untilQuiet(members, count);
    const woken = await members[0]!.call<Woken>('wake', wake);
    return { openMs, before, after, woken };
  } finally {
    await Promise.all(members.map((member) => member.kill()));
    await server.close();
  }
}

export async function reportGroups(options: BenchOptions): Promise<string> {
  const seconds = Math.max(5, options.seconds);
  const rows = [];
  let commits = '';
  for (const quiet of [true, false]) {
    const figures = await withDirectory(options.dir, (own) => measure(own, groups, quiet, seconds));
    const { before, after, openMs, woken } = figures;
    if (woken !== undefined) {
      rows.push(['none yet', undefined, before.cpuShare * 100, before.framesPerSecond, before.rss / 2 ** 20]);
      const { roundTrip } = await measureDataChannel({ seconds: Math.min(2, options.seconds) });
      const raw = roundTrip.p50 / 1000;
      const row = (name: string, { p50, p99 }: Spread): (string | number)[] => [
        name,
        p50,
        p99,
        ratio(p50, raw),
      ];
      commits = table(
        `First commit of a group that was at rest, ms (raw round trip p50 ${raw.toFixed(3)} ms)`,
        ['at', 'p50', 'p99', 'p50 ÷ raw'],
        [
          row('the leader', woken.leader),
          row('the leader, awake', woken.leaderAwake),
          row('a follower', woken.follower),
          row('a follower, awake', woken.followerAwake),
        ],
      );
    }
    rows.push([
      quiet ? `${groups}, at rest` : `${groups}, awake`,
      openMs / 1000,
      after.cpuShare * 100,
      after.framesPerSecond,
      after.rss / 2 ** 20,
      (after.rss - before.rss) / groups / 1024,
      (after.held - before.held) / groups / 1024,
    ]);
  }
  const head = [
    'groups',
    'opened in s',
    '% of a core',
    'frames/s',
    'RSS MiB',
    'RSS KiB a group',
    'held KiB a group',
  ];
  return [
    table(
      `Idle groups of three, three processes, ${diskNote(options.dir)}; the busiest process, frames of all`,
      head,
      rows,
    ),
    commits,
  ].join('\n');
}

runAlone(import.meta.url, reportGroups);
