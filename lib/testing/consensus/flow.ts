/** What comes faster than it can be replicated is refused; one slow member slows nobody; what is taken in is not lost. */
import assert from 'node:assert/strict';
import { QuorateError } from '../../errors.js';
import { three, type Group } from './bench.js';
import { get, level, others, put, until } from './steps.js';
import type { Suite } from './suite.js';

const KiB = 1024;
const VALUE = 'v'.repeat(2000);

/** So many clients write through a node, each one command after another; answers how many were done, and how often one was refused. */
async function pressed(group: Group, id: string, clients: number, ms: number) {
  const state = { done: 0, refused: 0, stop: false };
  const client = async (key: string): Promise<void> => {
    while (!state.stop) {
      try {
        await group.replica(id).submit({ op: 'put', key, value: VALUE });
        state.done++;
      } catch (error) {
        if (!(error instanceof QuorateError) || error.code !== 'ERR_OVERLOADED') throw error;
        assert.equal(error.fate, 'refused');
        state.refused++;
      }
      await group.sleep(10);
    }
  };
  const all = Promise.all(Array.from({ length: clients }, (_, n) => client(`${n}`)));
  await group.run(ms);
  state.stop = true;
  await group.settle(all);
  return state;
}

/** @internal */
export function flowTests({ test }: Suite): void {
  test('is held back at the leader: it takes in no more than it may, and goes on', async (bench) => {
    const maxUncommittedBytes = 128 * KiB;
    const consensus = bench.consensus({
      maxMessageBytes: 32 * KiB,
      maxInflightBytes: 128 * KiB,
      maxUncommittedBytes,
    });
    const group = await bench.elected({ consensus });
    const leader = group.leader()!;
    for (const id of others(group)) group.network.shape(leader, id, { bandwidth: 100_000 });
    let most = 0;
    let watching = true;
    const watch = (): void => {
      if (!watching) return;
      most = Math.max(most, group.coreLoad(leader)?.uncommittedBytes ?? 0);
      group.after(5, watch);
    };
    watch();
    const { done } = await pressed(group, leader, 100, 8000);
    watching = false;
    assert.ok(done > 50, `${done} commands: as fast as the way to a majority`);
    assert.ok(most >= maxUncommittedBytes / 2, `${most} bytes, and 100 clients wait`);
    assert.ok(most <= maxUncommittedBytes + 4 * KiB, `${most} bytes, which is more than it may take in`);
    group.network.resetShapes();
    await level(group);
  });

  const slow: Readonly<Record<string, (group: Group, id: string) => void>> = {
    'stands still': (group, id) => group.pause(id, 6000),
    'has a slow disk': (group, id) => group.setDisk(id, { sync: { minMs: 400, meanMs: 0 } }),
    'has a narrow way': (group, id) => {
      for (const other of three) if (other !== id) group.network.shape(other, id, { bandwidth: 20_000 });
    },
  };
  for (const [what, spoil] of Object.entries(slow))
    test(`is that of the others when one member ${what}, and nothing piles up for it`, async (bench) => {
      const window = { maxMessageBytes: 32 * KiB, maxInflightBytes: 64 * KiB };
      const snapshot = { logBytes: 256 * KiB, keepEntries: 50 };
      const group = await bench.elected({ consensus: bench.consensus(window), snapshot });
      const leader = group.leader()!;
      const { done: usual } = await pressed(group, leader, 6, 2000);
      const [laggard] = others(group);
      spoil(group, laggard);
      let most = 0;
      let watching = true;
      const watch = (): void => {
        most = Math.max(most, group.coreLoad(leader)?.inflightBytes ?? 0);
        if (watching) group.after(10, watch);
      };
      watch();
      const { done } = await pressed(group, leader, 6, 4000);
      watching = false;
      assert.equal(group.leader(), leader);
      assert.ok(done >= 2 * usual * 0.9, `${done} commands instead of ${2 * usual}`);
      assert.ok(most <= window.maxInflightBytes + window.maxMessageBytes, `${most} bytes under way`);
      group.network.resetShapes();
      group.setDisk(laggard, { sync: { minMs: 0.1, meanMs: 0.2 } });
      const last = group.commitIndex;
      await until(group, 'it catches up', () => group.replica(laggard).status().appliedIndex >= last, 40_000);
      assert.equal(await get(group, laggard, '0'), VALUE);
    });

  test('ends where disks are full, with a refusal, and goes on when there is room', async (bench) => {
    const group = await bench.elected();
    for (const id of three) group.setDisk(id, { capacityBytes: group.disk(id).usedBytes + 1 });
    const value = new Uint8Array(20_000);
    let code = '';
    for (let n = 0; n < 60 && code === ''; n++)
      await put(group, group.leader() ?? 'a', 'k', value).catch(
        (error: unknown) => (code = (error as QuorateError).code),
      );
    assert.equal(code, 'ERR_STORAGE_FULL');
    for (const id of three) group.setDisk(id, { capacityBytes: 2 ** 30 });
    let served = false;
    for (let n = 0; n < 60 && !served; n++) {
      await group.run(500);
      for (const id of three) if (group.state(id) === 'failed') group.restart(id);
      const leader = group.leader();
      if (leader === undefined) continue;
      served = await put(group, leader, 'k', 1).then(
        () => true,
        () => false,
      );
    }
    assert.ok(served, 'served again');
  });
}
