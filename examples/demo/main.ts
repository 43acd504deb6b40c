/**
 * The demo: three processes, three disks, one replicated key-value machine over WebRTC data channels. The leader is killed with
 * SIGKILL under load and comes back from its disk; at the end every acknowledged write has to be on all three.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveSignaling } from 'quorate';
import type { NodeSetup, Order, Report } from './protocol.js';
import { bold, dim, done, failed, green, line, red, status, step, thousands, yellow } from './terminal.js';

const ids = ['a', 'b', 'c'];
const outstanding = 32;
const loadMs = 4000;

class Node {
  readonly id: string;
  readonly setup: NodeSetup;
  child: ChildProcess | undefined;
  role = 'down';
  leader: string | undefined;
  epoch = 0;
  commit = 0;
  applied = 0;
  readonly acknowledged: number[] = [];
  failures = 0;
  latencies: number[] = [];
  #expected: { type: Report['type']; resolve: (report: Report) => void } | undefined;

  constructor(id: string, setup: NodeSetup) {
    this.id = id;
    this.setup = setup;
  }

  start(): Promise<Report> {
    const child = fork(new URL('./node.js', import.meta.url), [JSON.stringify(this.setup)]);
    this.child = child;
    this.role = 'starting';
    child.on('message', (report: Report) => this.#take(report));
    child.on('exit', (code, signal) => {
      if (this.child !== child) return;
      this.child = undefined;
      this.role = 'down';
      if (code !== 0 && signal !== 'SIGKILL')
        stop(`node ${this.id} ended with code ${code ?? signal ?? 'unknown'}`);
    });
    return this.expect('open');
  }

  #take(report: Report): void {
    if (report.type === 'status') {
      ({
        role: this.role,
        leader: this.leader,
        epoch: this.epoch,
        commit: this.commit,
        applied: this.applied,
      } = report);
    } else if (report.type === 'writes') {
      for (const value of report.acknowledged) this.acknowledged.push(value);
      this.failures += report.failed;
      for (const ms of report.latencies) this.latencies.push(ms);
      onWrites?.(this);
    }
    if (this.#expected?.type === report.type) {
      const { resolve } = this.#expected;
      this.#expected = undefined;
      resolve(report);
    }
  }

  expect<T extends Report['type']>(type: T): Promise<Extract<Report, { type: T }>> {
    return new Promise((resolve) => {
      this.#expected = { type, resolve: (report) => resolve(report as Extract<Report, { type: T }>) };
    });
  }

  send(order: Order): void {
    this.child?.send(order);
  }
}

let onWrites: ((node: Node) => void) | undefined;
const directory = await mkdtemp(join(tmpdir(), 'quorate-demo-'));
const signaling = await serveSignaling({});
const secret = randomBytes(32).toString('base64');
const nodes = ids.map(
  (id) =>
    new Node(id, { id, members: ids, signaling: signaling.url, secret, directory: join(directory, id) }),
);

const watchdog = setTimeout(() => stop('the demo did not finish within two minutes'), 120_000);
process.on('SIGINT', () => stop('interrupted'));

function stop(why: string): never {
  failed(red(why));
  for (const { child } of nodes) child?.kill('SIGKILL');
  process.exit(1);
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, condition: () => boolean, ms = 30_000): Promise<number> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > ms) stop(`${what}: not within ${ms / 1000} s`);
    await sleep(5);
  }
  return performance.now() - start;
}

const total = (): number => nodes.reduce((sum, node) => sum + node.acknowledged.length, 0);

function show(rate: string): void {
  const parts = nodes.map(({ id, role, applied }) => {
    const mark = role === 'leader' ? green('●') : role === 'follower' ? '●' : dim('○');
    return `${mark} ${bold(id)} ${role === 'leader' ? green(role) : role} ${dim(`@${thousands(applied)}`)}`;
  });
  status(`  ${parts.join('   ')}   ${rate}`);
}

/** Watches the load for a while, and tells what was seen. */
async function watch(ms: number): Promise<{ rate: number; p50: number; p99: number }> {
  for (const node of nodes) node.latencies = [];
  const start = performance.now();
  const before = total();
  let last = before;
  while (performance.now() - start < ms) {
    await sleep(200);
    const now = total();
    show(`${thousands((now - last) * 5)} writes/s`);
    last = now;
  }
  const latencies = nodes.flatMap((node) => node.latencies).sort((x, y) => x - y);
  const at = (q: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? 0;
  return { rate: ((total() - before) * 1000) / (performance.now() - start), p50: at(0.5), p99: at(0.99) };
}

const leaderOf = (): Node | undefined => nodes.find(({ role }) => role === 'leader');

line(bold('quorate demo') + dim('  three processes · WebRTC data channels · Raft · fsync on every commit'));

step('Start a rendezvous and three nodes');
const opened = performance.now();
await Promise.all(nodes.map((node) => node.start()));
done(
  `rendezvous at ${signaling.url}, nodes ${nodes.map(({ id, child }) => `${bold(id)} (pid ${child?.pid ?? '?'})`).join(', ')}`,
);
await until('a leader', () => leaderOf() !== undefined && nodes.every(({ leader }) => leader !== undefined));
done(
  `${bold(leaderOf()!.id)} leads in term ${leaderOf()!.epoch}, ${((performance.now() - opened) / 1000).toFixed(1)} s after the start`,
);

step(`Write from all three members, ${outstanding} writes outstanding each`);
for (const node of nodes) node.send({ type: 'load', outstanding });
const calm = await watch(loadMs);
done(
  `${thousands(calm.rate)} durable writes/s, p50 ${calm.p50.toFixed(1)} ms, p99 ${calm.p99.toFixed(1)} ms`,
);

const victim = leaderOf() ?? stop('no leader to kill');
step(`kill -9 the leader, ${victim.id}`);
const survivors = nodes.filter((node) => node !== victim);
let firstWrite = 0;
victim.child?.kill('SIGKILL');
const killed = performance.now();
// Writes that were committed before the kill may still be reported for a moment: the first after a new leader counts.
await until('a new leader', () => survivors.some(({ role }) => role === 'leader'));
onWrites = () => {
  if (firstWrite === 0) firstWrite = performance.now();
};
await until('a write', () => firstWrite > 0);
onWrites = undefined;
done(
  `${bold(leaderOf()!.id)} took over in term ${leaderOf()!.epoch}; next successful write after ${bold(`${(firstWrite - killed).toFixed(0)} ms`)}`,
);
const degraded = await watch(loadMs);
done(`${thousands(degraded.rate)} writes/s with two of three`);

step(`Restart ${victim.id} from its disk, while the others go on writing`);
const restarted = performance.now();
const { restored } = (await victim.start()) as Extract<Report, { type: 'open' }>;
const behind = Math.max(...survivors.map(({ commit }) => commit)) - restored;
done(
  `open ${(performance.now() - restarted).toFixed(0)} ms after the start, ${thousands(behind)} commands behind`,
);
await until('catching up', () => {
  show(yellow('catching up'));
  return victim.applied > 0 && victim.applied >= Math.max(...survivors.map(({ applied }) => applied)) - 2000;
});
done(`caught up after ${((performance.now() - restarted) / 1000).toFixed(1)} s`);
victim.send({ type: 'load', outstanding });
const again = await watch(loadMs / 2);
done(`${thousands(again.rate)} writes/s with all three again`);

step('Stop, and count');
const stopped = nodes.map((node) => node.expect('stopped'));
for (const node of nodes) node.send({ type: 'stop' });
await Promise.all(stopped);
const acknowledged = Object.fromEntries(nodes.map((node) => [node.id, node.acknowledged]));
// The highest commit index is applied everywhere before states are compared.
await until('all members at the same index', () => new Set(nodes.map(({ applied }) => applied)).size === 1);
const verdicts = nodes.map((node) => node.expect('verified'));
for (const node of nodes) node.send({ type: 'verify', acknowledged });
let sound = true;
for (const [i, verdict] of verdicts.entries()) {
  const { missing, checked, index, digest } = await verdict;
  const text = `${bold(ids[i]!)} holds ${thousands(checked - missing)} of ${thousands(checked)} acknowledged writes, state ${digest.slice(0, 16)} at index ${thousands(index)}`;
  if (missing > 0) {
    sound = false;
    failed(text);
  } else {
    done(text);
  }
}
const digests = new Set((await Promise.all(verdicts)).map(({ digest }) => digest));
if (digests.size !== 1) {
  sound = false;
  failed('the states differ');
}
const ended = nodes.map((node) => new Promise((resolve) => node.child?.once('exit', resolve)));
for (const node of nodes) node.send({ type: 'close' });
await Promise.all(ended);
await signaling.close();
await rm(directory, { recursive: true, force: true });
clearTimeout(watchdog);
line();
line(
  sound
    ? green(bold('Nothing that was acknowledged was lost, and the states are equal.'))
    : red(bold('The demo found a fault.')),
);
process.exitCode = sound ? 0 : 1;
