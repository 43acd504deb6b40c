/** One run of a protocol: three processes of its own, submits, then linearizable reads, at the leader. */
import { BenchCluster } from './cluster.js';
import type { LoadRun } from './member.js';

export const protocols = ['raft', 'paxos'] as const;

export interface Runs {
  readonly submits: LoadRun;
  readonly reads: LoadRun;
}

export async function measureProtocol(
  consensus: (typeof protocols)[number],
  dir: string | undefined,
  outstanding: number,
  seconds: number,
): Promise<Runs> {
  return new BenchCluster(dir, { consensus }).run(async (cluster) => {
    const args = { outstanding, seconds };
    await (await cluster.roles()).leader.call('submits', { outstanding, seconds: Math.min(1, seconds) });
    const submits = await (await cluster.roles()).leader.call<LoadRun>('submits', args);
    const reads = await (await cluster.roles()).leader.call<LoadRun>('reads', args);
    return { submits, reads };
  });
}
