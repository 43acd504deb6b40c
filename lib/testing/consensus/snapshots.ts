/** Who needs what the others have forgotten gets a snapshot, whole, from whom it costs least, whatever breaks meanwhile. */
import assert from 'node:assert/strict';
import { three, type Bench, type Group } from './bench.js';
import { get, level, others, put, until } from './steps.js';
import type { Suite } from './suite.js';

const RATE = 50_000;
const VALUE = 'v'.repeat(1000);
const KEYS = 400;

interface Scene {
  readonly group: Group;
  readonly leader: string;
  readonly source: string;
  readonly laggard: string;
}

/** One member was down while the others wrote 400 kB and compacted their logs; it comes up again now. */
async function behind(bench: Bench): Promise<Scene> {
  const group = await bench.elected({
    seed: 3,
    snapshot: { logBytes: 64 * 1024, keepEntries: 0, maxBytesPerSecond: RATE },
  });
  const leader = group.leader()!;
  const [laggard, source] = others(group);
  group.crash(laggard, { power: false });
  for (let n = 0; n < KEYS; n += 20) {
    const puts = Array.from({ length: 20 }, (_, i) =>
      group.replica(leader).submit({ op: 'put', key: String(n + i), value: VALUE }),
    );
    await group.settle(Promise.all(puts));
  }
  await group.run(3000);
  group.restart(laggard);
  const met = (): boolean =>
    [leader, source].every((id) =>
      group
        .mesh(id)
        .peers()
        .every(({ state }) => state === 'up'),
    );
  await until(group, 'all have met', met, 10_000);
  return { group, leader, source, laggard };
}

const installs = (group: Group): number => group.counts()['snapshots installed'] ?? 0;

async function installed({ group, laggard }: Scene): Promise<void> {
  await until(group, 'a snapshot was installed', () => installs(group) > 0, 60_000);
  await level(group);
  assert.equal(group.replica(laggard).peek({ op: 'get', key: String(KEYS - 1) }), VALUE);
}

/** @internal */
export function snapshotsTests({ test }: Suite): void {
  test('come from a follower, and cost the leader nothing', async (bench) => {
    const scene = await behind(bench);
    const { group, leader, source } = scene;
    const sent = (id: string): number => group.mesh(id).metrics().bytesSent;
    const before = [sent(source), sent(leader)] as const;
    await installed(scene);
    assert.ok(sent(source) - before[0] > 250_000, `${sent(source) - before[0]} bytes`);
    assert.ok(sent(leader) - before[1] < 100_000, `${sent(leader) - before[1]} bytes, heartbeats`);
  });

  test('go on where they ended when their link breaks, again and again', async (bench) => {
    const scene = await behind(bench);
    const { group, source, laggard } = scene;
    const begun = group.now;
    for (let i = 0; i < 4; i++) group.after(1600 * (i + 1), () => group.network.reset(source, laggard));
    await until(group, 'a snapshot was installed', () => installs(group) > 0, 60_000);
    // 400 kB at 50 kB a second, and what it takes to meet again; from the beginning each time it would never end.
    assert.ok(group.now - begun < 16_000, `${group.now - begun} ms`);
    assert.equal(group.counts()['network: resets'], 4);
    await installed(scene);
  });

  test('come from the leader when the follower that sends them dies', async (bench) => {
    const scene = await behind(bench);
    const { group, source } = scene;
    await group.run(2500);
    group.crash(source, { power: false });
    await until(group, 'a snapshot was installed', () => installs(group) > 0, 60_000);
    group.restart(source);
    await installed(scene);
  });

  test('survive that the leader dies', async (bench) => {
    const scene = await behind(bench);
    const { group, leader } = scene;
    await group.run(2500);
    group.crash(leader, { power: false });
    await group.run(1000);
    group.restart(leader);
    await installed(scene);
  });

  test('survive that the one who gets them loses its power in the midst of it', async (bench) => {
    const scene = await behind(bench);
    const { group, laggard } = scene;
    for (const ms of [1000, 4000, 7500]) {
      await group.run(ms);
      group.crash(laggard);
      await group.run(100);
      group.restart(laggard);
    }
    await until(group, 'a snapshot was installed', () => installs(group) > 0, 60_000);
    await installed(scene);
  });

  test('bring a member that was away for longer than the log, while commands go on', async (bench) => {
    const group = await bench.elected({ snapshot: { logBytes: 4096, keepEntries: 0 } });
    const [away, other] = others(group);
    for (let round = 0; round < 3; round++) {
      group.crash(away);
      const writers = [group.leader()!, other];
      for (let n = 0; n < 200; n++)
        await put(group, writers[n % 2]!, `${n % 7}`, `${round} ${n} ${'v'.repeat(150)}`);
      await group.run(500);
      group.restart(away);
      const work = { stop: false, done: 0 };
      const writer = (async () => {
        for (; !work.stop; work.done++) {
          await group.replica(other).submit({ op: 'put', key: 'n', value: work.done });
          await group.sleep(3);
        }
      })();
      await until(
        group,
        'it has all',
        () =>
          group.state(away) === 'up' &&
          group.replica(away).peek({ op: 'get', key: '3' }) ===
            group.replica(other).peek({ op: 'get', key: '3' }),
      );
      work.stop = true;
      await group.settle(writer);
      assert.equal(await get(group, away, 'n'), work.done - 1);
    }
    assert.ok(installs(group) > 0, 'by a snapshot');
    // What it writes by itself goes on where the snapshot stands.
    await put(group, away, 'k', 'mine');
    await level(group);
  });

  test('hold all that reads and commands need: all members start from theirs', async (bench) => {
    const group = await bench.elected({ snapshot: { logBytes: 4096, keepEntries: 0 } });
    for (let n = 0; n < 90; n++) await put(group, three[n % 3]!, `${n}`, 'v'.repeat(200));
    for (let n = 0; n < 3; n++) {
      for (const id of three) group.crash(id);
      for (const id of three) group.restart(id);
      await put(group, three[n]!, 'again', n);
      for (const id of three) {
        assert.equal(await get(group, id, 'again'), n);
        assert.equal(await get(group, id, '89'), 'v'.repeat(200));
      }
    }
  });
}
