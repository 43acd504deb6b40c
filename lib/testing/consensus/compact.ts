/** A member's log goes when its app says so: what is behind is in a snapshot of its own. */
import assert from 'node:assert/strict';
import { alterCores } from '../exploration/alterCores.js';
import { three, type Bench, type Group } from './bench.js';
import { get, led, level, others, put, thrown, until, up } from './steps.js';
import type { Suite } from './suite.js';

/** No member takes a snapshot by itself in these tests. */
const snapshot = { keepEntries: 0 };

/** What the storage of a member holds, durably, as long as it runs. */
function held(group: Group, id: string): { readonly first: number; readonly snapshot: number } {
  const disk = [...group.group.disks.values()].find(({ node }) => node === id);
  return { first: disk?.durable.first ?? 0, snapshot: disk?.snapshot?.index ?? 0 };
}

async function filled(bench: Bench, count: number, consensus = bench.consensus()): Promise<Group> {
  const group = await bench.elected({ snapshot, consensus });
  for (let n = 0; n < count; n++) await put(group, three[n % 3]!, `key ${n % 9}`, n);
  await level(group);
  return group;
}

/** @internal */
export function compactTests({ test }: Suite): void {
  test('leaves a snapshot of all that was applied, behind which the log begins, at once and after a loss of power', async (bench) => {
    const found = new Map<string, number | undefined>();
    const consensus = alterCores(
      bench.consensus(),
      () => ({}),
      (setup) => {
        found.set(setup.self, setup.recovered?.firstIndex);
        return setup;
      },
    );
    const group = await filled(bench, 40, consensus);
    const compacted = new Map<string, number>();
    for (const id of three) {
      const { appliedIndex } = group.replica(id).status();
      assert.equal(held(group, id).first, 1);
      const { index } = await group.settle(group.replica(id).compact());
      assert.ok(index >= appliedIndex, `${index}`);
      assert.deepEqual(held(group, id), { first: index + 1, snapshot: index });
      compacted.set(id, index);
    }
    for (const id of three) group.crash(id);
    for (const id of three) group.restart(id);
    await led(group);
    for (const id of three) {
      assert.equal(found.get(id), compacted.get(id)! + 1);
      for (let n = 0; n < 9; n++) assert.equal(await get(group, id, `key ${n}`), n < 4 ? 36 + n : 27 + n);
    }
    await put(group, 'a', 'again', 1);
    await level(group);
  });

  test('makes a snapshot of what a member lacks that was away', async (bench) => {
    const group = await bench.elected({ snapshot });
    const [away] = others(group);
    group.crash(away);
    const here = three.filter((id) => id !== away);
    for (let n = 0; n < 60; n++) await put(group, here[n % 2]!, `${n % 7}`, n);
    await level(group, here);
    for (const id of here) await group.settle(group.replica(id).compact());
    const before = group.counts()['snapshots installed'] ?? 0;
    group.restart(away);
    await up(group, away);
    const has = (): boolean => group.replica(away).peek({ op: 'get', key: '3' }) === 59;
    await until(group, 'it has all', has, 60_000);
    assert.equal((group.counts()['snapshots installed'] ?? 0) - before, 1, 'by a snapshot');
    await put(group, away, 'k', 'mine');
    await level(group);
  });

  test('writes nothing where there is nothing new, and once for calls that come together', async (bench) => {
    const group = await filled(bench, 20);
    const [id] = others(group);
    const renamed = (): number => group.disk(id).counts.get('rename') ?? 0;
    const before = renamed();
    const replica = group.replica(id);
    const together = await group.settle(Promise.all([1, 2, 3].map(() => replica.compact())));
    assert.equal(renamed() - before, 1);
    assert.equal(new Set(together.map(({ index }) => index)).size, 1);
    assert.deepEqual(await group.settle(replica.compact()), together[0]);
    assert.equal(renamed() - before, 1);
  });

  test('needs no quorum, and disturbs none', async (bench) => {
    const group = await filled(bench, 20);
    const leader = group.leader()!;
    const { epoch } = group.replica(leader).status();
    const [one, other] = others(group);
    group.partition([[one], [leader, other]]);
    await put(group, leader, 'k', 1);
    const { index } = await group.settle(group.replica(one).compact());
    assert.equal(held(group, one).snapshot, index);
    const work = { stop: false };
    const writer = (async () => {
      while (!work.stop) await group.replica(leader).submit({ op: 'put', key: 'k', value: 'v'.repeat(100) });
    })();
    for (let n = 0; n < 10; n++) {
      const { appliedIndex } = group.replica(leader).status();
      const compacted = await group.settle(group.replica(leader).compact());
      assert.ok(compacted.index >= appliedIndex);
      await group.run(20);
    }
    work.stop = true;
    await group.settle(writer);
    assert.equal(group.replica(leader).status().epoch, epoch);
    group.heal();
    await level(group);
  });

  test('ends with the process, with its time-out and with its signal, and fails where the disk is full', async (bench) => {
    const group = await filled(bench, 20);
    const [id, other] = others(group);
    const replica = group.replica(id);
    await thrown(() => group.settle(replica.compact({ timeout: 0 })), 'ERR_CONFIG');
    group.setDisk(id, { capacityBytes: 0 });
    await thrown(() => group.settle(replica.compact()), 'ERR_STORAGE_FULL');
    assert.equal(replica.status().state, 'running');
    group.setDisk(id, { capacityBytes: 2 ** 30 });
    group.disk(id).stall(5000);
    await thrown(() => group.settle(replica.compact({ timeout: 100 })), 'ERR_TIMEOUT');
    const controller = new AbortController();
    const aborted = replica.compact({ signal: controller.signal });
    controller.abort();
    await thrown(() => group.settle(aborted), 'ERR_ABORTED');
    await group.run(6000);
    const { index } = await group.settle(replica.compact());
    assert.equal(held(group, id).snapshot, index);
    const left = group.replica(other);
    await put(group, id, 'k', 1);
    await level(group);
    group.disk(other).stall(1000);
    const closed = left.compact();
    const stopping = group.stop(other);
    await thrown(() => group.settle(closed), 'ERR_CLOSED');
    await group.settle(stopping);
    group.restart(other);
    await up(group, other);
    await level(group);
  });
}
