/** A member of the measured cluster. */
import { writeFile } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';
import {
  diskStorage,
  joinMesh,
  keyValue,
  memoryStorage,
  openReplica,
  paxos,
  raft,
  webrtc,
  webSocketSignaling,
} from 'quorate';
import type { Mesh, Replica } from 'quorate';
import { serve } from '../lib/processes.js';
import { Samples, spread } from '../lib/stats.js';
import type { Spread } from '../lib/stats.js';

export interface OpenArgs {
  readonly id: string;
  readonly members: readonly string[];
  readonly signaling: string;
  /** Undefined: in memory. */
  readonly dir: string | undefined;
  /** Where the engine is; the library's default otherwise. */
  readonly thread?: 'main' | 'worker';
  readonly consensus?: 'raft' | 'paxos';
  readonly keepEntries?: number;
  readonly snapshotLogBytes?: number;
}

export interface LoadRun extends Spread {
  readonly perSecond: number;
  readonly failed: number;
}

/** When, by the clock that all processes of the machine share, a leader was given up, the next known, a first write acknowledged. */
export interface Failover {
  readonly lostAt: number;
  readonly electedAt: number;
  readonly writtenAt: number;
}

type Machine = ReturnType<typeof keyValue<string>>;

const opened: { mesh?: Mesh; replica?: Replica<Machine> } = {};

function replica(): Replica<Machine> {
  if (!opened.replica) throw new Error('not open');
  return opened.replica;
}

/** With key and CBOR around it, a command of about 100 bytes. */
const value = 'v'.repeat(70);

/** Runs `outstanding` loops of an operation for so many seconds. */
async function load(
  outstanding: number,
  seconds: number,
  operation: (i: number) => Promise<unknown>,
): Promise<LoadRun> {
  const samples = new Samples();
  let failed = 0;
  let next = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  const loop = async (): Promise<void> => {
    while (performance.now() < end) {
      const began = performance.now();
      try {
        await operation(next++);
        samples.add(performance.now() - began);
      } catch {
        failed++;
      }
    }
  };
  await Promise.all(Array.from({ length: outstanding }, loop));
  const perSecond = (samples.count / (performance.now() - start)) * 1000;
  return { ...spread(samples), perSecond, failed };
}

const sharedNow = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Changes of the leader since the last `watch`: when somebody was given up, and when the next one was known. */
let watched = { lostAt: Infinity, electedAt: Infinity };
let busy = 0;

function noteLeader(leader: string | undefined): void {
  const at = sharedNow();
  if (leader === undefined) watched.lostAt = Math.min(watched.lostAt, at);
  else watched.electedAt = Math.min(watched.electedAt, at);
}

serve({
  open: async ({
    id,
    members,
    signaling,
    dir,
    keepEntries = 10_000,
    snapshotLogBytes = 64 * 1024 * 1024,
    thread,
    consensus = 'raft',
  }: OpenArgs) => {
    const transport = webrtc({ signaling: webSocketSignaling(signaling), bindAddress: '127.0.0.1' });
    opened.mesh = await joinMesh({
      id,
      cluster: 'bench',
      secret: 'the secret of a bench, not of a cluster',
      transport,
      ...(thread && { thread }),
    });
    opened.replica = await openReplica({
      mesh: opened.mesh,
      group: 'bench',
      members,
      stateMachine: keyValue<string>(),
      consensus: consensus === 'raft' ? raft() : paxos(),
      storage: dir === undefined ? memoryStorage() : diskStorage(dir),
      snapshot: { keepEntries, logBytes: snapshotLogBytes },
    });
  },
  ready: () => replica().ready(),
  /** Waits until this member is linked with so many others. */
  linked: ({ others }: { others: number }) => opened.mesh?.waitFor(others),
  /** Keeps so many submits outstanding until the process ends. */
  busy: ({ outstanding }: { outstanding: number }) => {
    while (busy < outstanding) {
      busy++;
      void load(1, 3600, (i) => replica().submit({ op: 'put', key: `busy-${i % 100}`, value }));
    }
  },
  watch: () => {
    watched = { lostAt: Infinity, electedAt: Infinity };
    replica().off('leader:changed', noteLeader);
    replica().on('leader:changed', noteLeader);
  },
  /** Writes at once, and tells when that was acknowledged. */
  failover: async (): Promise<Failover> => {
    await replica().submit({ op: 'put', key: 'failover', value });
    return { ...watched, writtenAt: sharedNow() };
  },
  status: () => replica().status(),
  submits: ({ outstanding, seconds }: { outstanding: number; seconds: number }) =>
    load(outstanding, seconds, (i) => replica().submit({ op: 'put', key: `key-${i % 10_000}`, value })),
  reads: ({ outstanding, seconds }: { outstanding: number; seconds: number }) =>
    load(outstanding, seconds, (i) => replica().query({ op: 'get', key: `key-${i % 10_000}` })),
  /** Fills the state with `count` values of `bytes` bytes. */
  fill: async ({ count, bytes }: { count: number; bytes: number }) => {
    const large = 'x'.repeat(bytes);
    let next = 0;
    const loop = async (): Promise<void> => {
      while (next < count) await replica().submit({ op: 'put', key: `fill-${next++}`, value: large });
    };
    await Promise.all(Array.from({ length: 64 }, loop));
  },
  /** Blocks the event loop of the app: at work, or asleep. */
  block: ({ ms, how }: { ms: number; how: 'spin' | 'sleep' }) => {
    const end = performance.now() + ms;
    if (how === 'sleep') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    while (performance.now() < end);
  },
  /** Microseconds of processor time that this process has used. */
  cpu: () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  meshMetrics: () => opened.mesh?.metrics(),
  /** Profiles this process for a while; for whoever looks for what costs. */
  profile: async ({ seconds, path }: { seconds: number; path: string }) => {
    const session = new Session();
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: 200 });
    await session.post('Profiler.start');
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const { profile } = await session.post('Profiler.stop');
    session.disconnect();
    await writeFile(path, JSON.stringify(profile));
  },
  close: () => opened.mesh?.close(),
});
