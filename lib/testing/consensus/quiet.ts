/** Groups in which nothing happens say nothing, and are there at once when somebody wants something. */
import assert from 'node:assert/strict';
import { three, type Bench, type Group } from './bench.js';
import { assertLinearizable, get, led, level, others, put, until } from './steps.js';
import type { Suite } from './suite.js';

function untilQuiet(group: Group, ids: readonly string[] = three): Promise<void> {
  return until(group, 'the group rests', () =>
    ids.every((id) => group.state(id) === 'up' && group.replica(id).status().quiet),
  );
}

async function resting(bench: Bench, seed = 1): Promise<Group> {
  const consensus = bench.consensus({ heartbeatMs: 50, electionTimeoutMs: 300, quietAfterMs: 400 });
  const group = await bench.elected({ seed, consensus });
  await put(group, 'a', 'k', 0);
  await untilQuiet(group);
  return group;
}

/** @internal */
export function quietTests({ where }: Suite): void {
  where('quiet', 'lasts while nobody wants anything, and ends at once through any member', async (bench) => {
    const group = await resting(bench);
    const leader = group.leader()!;
    await group.run(60_000);
    for (const id of three) assert.equal(group.replica(id).status().quiet, true, id);
    for (const id of three) {
      await untilQuiet(group);
      const begun = group.now;
      await put(group, id, id, 1);
      assert.equal(await get(group, id, id), 1);
      assert.ok(group.now - begun < 100, `through ${id}: ${group.now - begun} ms`);
    }
    assert.equal(group.leader(), leader);
  });

  where('quiet', 'ends when the leader dies, is closed, or is cut off', async (bench) => {
    for (const how of ['dies', 'is closed', 'is cut off'] as const) {
      const group = await resting(bench);
      const leader = group.leader()!;
      const rest = others(group);
      if (how === 'dies') group.crash(leader);
      else if (how === 'is cut off') group.partition([[leader], rest]);
      else await group.settle(group.replica(leader).close({ handOver: false }));
      await led(group, rest);
      await put(group, rest[0], 'k', how);
      if (how === 'is cut off') {
        const read = group.replica(leader).query({ op: 'get', key: 'k' });
        await group.run(2000);
        group.heal();
        assert.equal(await group.settle(read), how);
      } else group.restart(leader);
      await level(group);
      assertLinearizable(group);
      await untilQuiet(group);
    }
  });
}
