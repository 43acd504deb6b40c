/** A member of a cluster that carries many groups. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { diskStorage, joinMesh, keyValue, openReplica, raft, webrtc, webSocketSignaling } from 'quorate';
import type { Mesh, Replica } from 'quorate';
import { serve } from '../lib/processes.js';
import { Samples, spread } from '../lib/stats.js';
import type { Spread } from '../lib/stats.js';

export interface JoinArgs {
  readonly id: string;
  readonly members: readonly string[];
  readonly signaling: string;
  readonly dir: string;
}

export interface OpenGroupsArgs {
  readonly count: number;
  readonly quietAfterMs: number;
}

/** What a member has used. */
export interface Usage {
  /** Microseconds of processor time. */
  readonly cpu: number;
  readonly rss: number;
  /** Bytes of objects and buffers. */
  readonly held: number;
}

export interface Woken {
  readonly leader: Spread;
  readonly leaderAwake: Spread;
  readonly follower: Spread;
  readonly followerAwake: Spread;
}

/** So many groups are opened at once. */
const PORTION = 50;

type Machine = ReturnType<typeof keyValue<string>>;

const opened: { mesh?: Mesh; args?: JoinArgs; replicas: Replica<Machine>[] } = { replicas: [] };

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function usage(): Usage {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { cpu: user + system, rss, held: heapUsed + external };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

serve({
  join: async (args: JoinArgs) => {
    const transport = webrtc({ signaling: webSocketSignaling(args.signaling), bindAddress: '127.0.0.1' });
    const secret = 'the secret of a bench, not of a cluster';
    opened.mesh = await joinMesh({ id: args.id, cluster: 'bench', secret, transport });
    opened.args = args;
    await opened.mesh.waitFor(args.members.filter((id) => id !== args.id));
  },
  /** Milliseconds until all are open and have a leader. */
  open: async ({ count, quietAfterMs }: OpenGroupsArgs) => {
    const { mesh, args } = opened;
    const storage = diskStorage(args!.dir);
    const openOne = (n: number): Promise<Replica<Machine>> =>
      openReplica({
        mesh: mesh!,
        group: `group-${n}`,
        members: args!.members,
        stateMachine: keyValue<string>(),
        storage,
        consensus: raft({ quietAfterMs }),
        timeout: 60_000,
      });
    return timed(async () => {
      // In portions: a thousand elections at once would keep a small machine from answering any of them in time.
      for (let from = 0; from < count; from += PORTION) {
        const portion = Array.from({ length: Math.min(PORTION, count - from) }, async (_, i) =>
          openOne(from + i),
        );
        const replicas = await Promise.all(portion);
        await Promise.all(replicas.map((replica) => replica.ready()));
        opened.replicas.push(...replicas);
      }
    });
  },
  /** After a garbage collection, so that the figures of memory say what is held. */
  usage: (): Usage => {
    collectGarbage();
    return usage();
  },
  usageNow: (): Usage => usage(),
  metrics: () => opened.mesh!.metrics(),
  /**
   * Writes to groups that rest, one after the other, and to each once more while it is awake. In milliseconds, for groups that are
   * led here, and for others.
   */
  wake: async ({ count }: { count: number }): Promise<Woken> => {
    const samples = Array.from({ length: 4 }, () => new Samples());
    for (const replica of opened.replicas.slice(0, count)) {
      const { role, quiet } = replica.status();
      if (!quiet) throw new Error(`${replica.group} does not rest`);
      const at = role === 'leader' ? 0 : 2;
      const put = (): Promise<unknown> => replica.submit({ op: 'put', key: 'key', value: 'v'.repeat(70) });
      samples[at]!.add(await timed(put));
      samples[at + 1]!.add(await timed(put));
    }
    const [leader, leaderAwake, follower, followerAwake] = samples.map(spread) as [
      Spread,
      Spread,
      Spread,
      Spread,
    ];
    return { leader, leaderAwake, follower, followerAwake };
  },
  close: () => opened.mesh?.close(),
});
