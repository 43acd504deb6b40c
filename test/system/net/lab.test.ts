/** The laboratory itself: a cut cuts, a shape is what it says, and nothing is left behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Lab, namespaces } from './support/lab.js';
import type { Measured } from './support/probe.js';
import { lines, run, until } from './support/processes.js';
import { labDescribe } from './support/requirements.js';
import { firstLine, program, startTurn } from './support/servers.js';

const port = 7000;

/** Starts an echo on a host; returns how many datagrams it has heard. */
async function echo(lab: Lab, host: string): Promise<() => number> {
  let said = 0;
  const running = lab.spawn(host, `echo on ${host}`, [process.execPath, program('probe'), 'echo', `${port}`]);
  lines(running.stdout, () => said++);
  await until('the echo', () => said > 0, 20_000);
  return () => said - 1;
}

async function measure(
  lab: Lab,
  from: string,
  to: string,
  { count = 20, bytes = 64, intervalMs = 5 } = {},
): Promise<Measured> {
  const { address } = lab.host(to);
  const args = [address, port, count, bytes, intervalMs].map(String);
  const measured = lab.spawn(from, 'probe', [process.execPath, program('probe'), 'measure', ...args]);
  return JSON.parse(await firstLine(measured)) as Measured;
}

const answered = async (lab: Lab, from: string, to: string): Promise<number> =>
  (await measure(lab, from, to, { count: 5 })).roundTrips.length;

/** Not gone, and not dead and waiting for its parent to notice. */
function running(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

labDescribe('network laboratory', [], () => {
  let lab: Lab;
  afterEach(() => lab.close());

  it('cuts both ways, one way and between groups, and heals', async () => {
    lab = await Lab.open({ a: {}, b: {}, c: {} });
    await Promise.all(['a', 'b', 'c'].map((host) => echo(lab, host)));
    expect(await answered(lab, 'a', 'b'), 'at first').to.equal(5);
    await lab.cut('a', 'b');
    expect(await answered(lab, 'a', 'b'), 'cut').to.equal(0);
    expect(await answered(lab, 'a', 'c'), 'the others').to.equal(5);
    await lab.heal('b', 'a');
    expect(await answered(lab, 'b', 'a'), 'healed').to.equal(5);
    await lab.partition([['a'], ['b', 'c']]);
    expect(await Promise.all([answered(lab, 'a', 'c'), answered(lab, 'b', 'a')]), 'groups').to.deep.equal([
      0, 0,
    ]);
    expect(await answered(lab, 'b', 'c'), 'within a group').to.equal(5);
    await lab.heal();
    expect(await answered(lab, 'c', 'a'), 'healed again').to.equal(5);
  });

  it('cuts one way only', async () => {
    lab = await Lab.open({ a: {}, b: {} });
    const heard = await echo(lab, 'b');
    await lab.cutOneWay('b', 'a');
    expect(await answered(lab, 'a', 'b'), 'no answer comes back').to.equal(0);
    expect(heard(), 'what was asked arrived').to.equal(5);
    await lab.heal();
    await lab.cutOneWay('a', 'b');
    expect(await answered(lab, 'a', 'b')).to.equal(0);
    expect(heard(), 'nothing more arrived').to.equal(5);
  });

  it('moves a host to another address, and its cuts with it', async () => {
    lab = await Lab.open({ a: {}, b: {} });
    await echo(lab, 'b');
    const before = lab.host('b').address;
    expect(await lab.setAddress('b', 99)).to.not.equal(before);
    expect(await answered(lab, 'a', 'b'), 'at the new address').to.equal(5);
    await lab.cut('a', 'b');
    await lab.setAddress('a', 98);
    expect(await answered(lab, 'a', 'b'), 'cut, whatever the address').to.equal(0);
  });

  it('hides a host behind a NAT: it reaches out and is not reached', async () => {
    lab = await Lab.open({ a: { nat: 'random' }, b: {} });
    const heard = await echo(lab, 'a');
    await echo(lab, 'b');
    expect(await answered(lab, 'a', 'b'), 'out').to.equal(5);
    const inside = lab.host('a').address.replace(/\d+$/, '0/24');
    await lab.exec('b', ['ip', 'route', 'add', inside, 'via', '10.77.0.1']);
    expect(await answered(lab, 'b', 'a'), 'in').to.equal(0);
    expect(heard(), 'what came in').to.equal(0);
  });

  it('leaves no namespace and no process behind', async () => {
    lab = await Lab.open({ a: {}, b: {} });
    const child = lab.spawn('a', 'sleeper', ['sleep', '1000']);
    expect(namespaces(process.pid)).to.have.length(3);
    await lab.close();
    expect(namespaces(process.pid)).to.deep.equal([]);
    expect(child.end).to.include('SIGKILL');
    await lab.close();
  });

  it('leaves nothing behind when its process is killed', async () => {
    lab = await Lab.open({});
    const victim = spawn(process.execPath, [program('abandoned')], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [text] = (await once(victim.stdout, 'data')) as [Buffer];
    const sleeper = Number(text.toString());
    expect(namespaces(victim.pid)).to.have.length(2);
    victim.kill('SIGKILL');
    await once(victim, 'exit');
    await until('its namespaces gone', () => namespaces(victim.pid).length === 0, 20_000);
    await until('its process gone', () => !running(sleeper), 20_000);
  });
});

labDescribe('network laboratory: forwarder', ['cc'], () => {
  let lab: Lab;
  afterEach(() => lab.close());

  it('delays, loses, narrows, and changes that at run time', async () => {
    lab = await Lab.open({ a: { shaped: true }, b: {} });
    await echo(lab, 'b');
    expect(median((await measure(lab, 'a', 'b')).roundTrips), 'unspoilt').to.be.below(20);

    await lab.shape('a', { delayMs: 40 });
    const delayed = await measure(lab, 'a', 'b', { count: 50 });
    expect(delayed.roundTrips).to.have.length(50);
    expect(Math.min(...delayed.roundTrips), 'twice 40 ms').to.be.at.least(80);
    expect(median(delayed.roundTrips)).to.be.below(120);

    await lab.shape('a', { delayMs: 40, jitterMs: 20 });
    const { roundTrips } = await measure(lab, 'a', 'b', { count: 200, intervalMs: 20 });
    expect(Math.min(...roundTrips), 'at least 20 ms each way').to.be.at.least(40);
    expect(Math.max(...roundTrips) - Math.min(...roundTrips), 'jitter').to.be.above(20);

    await lab.shape('a', { delayMs: 0, jitterMs: 0, lossPercent: 20 }, 'up');
    await lab.shape('a', { delayMs: 0, jitterMs: 0 }, 'down');
    const before = await lab.counts('a', 'up');
    const lossy = await measure(lab, 'a', 'b', { count: 1000, intervalMs: 1 });
    const after = await lab.counts('a', 'up');
    // 1000 trials at 0.2 have a deviation of 13: these bounds are five of them away.
    expect(1000 - lossy.roundTrips.length, 'lost').to.be.within(135, 265);
    expect(after.lost - before.lost).to.be.at.least(1000 - lossy.roundTrips.length);

    await lab.shape('a', { lossPercent: 0, bitsPerSecond: 1_000_000 });
    const narrow = await measure(lab, 'a', 'b', { count: 40, bytes: 1200, intervalMs: 1 });
    expect(narrow.roundTrips).to.have.length(40);
    // 39 frames of 1242 bytes at 1 Mbit/s take 387 ms.
    expect(narrow.spanMs, 'as long as the bottleneck makes it').to.be.within(370, 700);

    const flood = await measure(lab, 'a', 'b', { count: 200, bytes: 1200, intervalMs: 0 });
    expect(flood.roundTrips.length, 'what the queue did not hold was dropped').to.be.within(40, 150);
    const counts = await lab.counts('a', 'up');
    expect(counts.full).to.be.above(50);
    expect(counts.giant + (await lab.counts('a', 'down')).giant, 'segmentation offload').to.equal(0);
  });

  it('passes TCP unharmed, checksums and all', async () => {
    lab = await Lab.open({ a: { shaped: true }, b: { shaped: true } });
    const script = (body: string): string[] => [process.execPath, '-e', body];
    const bytes = 4 << 20;
    const server = lab.spawn(
      'b',
      'server',
      script(
        `require('net').createServer((s) => s.end(Buffer.alloc(${bytes}, 'q'))).listen(8000, () => console.log('up'))`,
      ),
    );
    await firstLine(server);
    const client = lab.spawn(
      'a',
      'client',
      script(
        `let n = 0; require('net').connect(8000, '${lab.host('b').address}').on('data', (d) => n += d.length).on('end', () => console.log(n))`,
      ),
    );
    expect(Number(await firstLine(client))).to.equal(bytes);
    expect((await lab.counts('a', 'down')).giant).to.equal(0);
  });

  it('refuses what it does not know', async () => {
    lab = await Lab.open({ a: { shaped: true } });
    const error = (promise: Promise<unknown>): Promise<string> =>
      promise.then(
        () => 'nothing',
        (reason: unknown) => (reason as Error).message,
      );
    expect(await error(lab.shape('z', { delayMs: 1 }))).to.include('no such pair');
    expect(await error(lab.shape('a', { lossPercent: 101 }))).to.include('loss=101');
    expect(await error(lab.shape('a', { delayMs: Number.NaN }))).to.include('delay');
  });
});

labDescribe('network laboratory: TURN server', ['turnserver'], () => {
  it('starts on a host, and ends with the laboratory', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'quorate-turn-'));
    const lab = await Lab.open({ turn: {} });
    try {
      const { iceServers } = await startTurn(lab, 'turn', directory);
      expect(iceServers).to.deep.equal(['stun:10.77.0.1:3478', 'turn:lab:oratory@10.77.0.1:3478']);
    } finally {
      await lab.close();
      await rm(directory, { recursive: true, force: true });
    }
    expect((await run('ip', ['netns', 'list'])).includes(`-${process.pid}-`)).to.equal(false);
  });
});
