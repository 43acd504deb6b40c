/** Leases save reads their round, and nothing more: they end before anybody else may lead. */
import assert from 'node:assert/strict';
import { five, three, type Bench, type Group, type GroupOptions } from './bench.js';
import { assertLinearizable, get, led, others, put } from './steps.js';
import type { Suite } from './suite.js';
import { turmoil } from './turmoil.js';

const lease = { maxDrift: 0.1 };

/** A group whose leader has a lease. */
async function leased(bench: Bench, options: GroupOptions = {}): Promise<Group> {
  const group = await bench.elected({
    consensus: bench.consensus({ heartbeatMs: 50, electionTimeoutMs: 300, lease }),
    ...options,
  });
  await put(group, 'a', 'k', 'old');
  await group.run(200);
  return group;
}

/** How long a read through a node takes, in virtual milliseconds. */
async function timeOfRead(group: Group, id: string): Promise<number> {
  const begun = group.now;
  await get(group, id, 'k');
  return group.now - begun;
}

/** @internal */
export function leasesTests({ where }: Suite): void {
  where(
    'leases',
    'save a read its round: none at the leader, one way there and back at a follower',
    async (bench) => {
      const network = { latencyMs: 20, tailMs: 0 };
      for (const [consensus, atLeader, atFollower] of [
        [undefined, 0, 40],
        [bench.consensus(), 40, 80],
      ] as const) {
        const group = await leased(bench, { network, ...(consensus && { consensus }) });
        const [leader, follower] = [
          await timeOfRead(group, group.leader()!),
          await timeOfRead(group, others(group)[0]),
        ];
        assert.ok(leader >= atLeader && leader <= atLeader + 5, `${leader} ms at the leader`);
        assert.ok(follower >= atFollower && follower <= atFollower + 5, `${follower} ms at a follower`);
      }
    },
  );

  where('leases', 'run out before the others elect another leader', async (bench) => {
    const group = await leased(bench, { relay: false });
    const leader = group.leader()!;
    const rest = others(group);
    for (const id of rest) group.cut(leader, id);
    // For a while it still answers, though nobody hears it; then not any more.
    let answered = 0;
    for (let i = 0; i < 200; i++) {
      const asked = group.replica(leader).query({ op: 'get', key: 'k' }, { timeout: 5 });
      await group.settle(
        asked.then(
          () => answered++,
          () => undefined,
        ),
      );
      const { leader: next } = group.replica(rest[0]).status();
      if (next !== undefined && next !== leader) await put(group, next, 'k', `new ${i}`);
      await group.run(5);
    }
    assert.ok(answered >= 5 && answered <= 60, `${answered} answers`);
    assertLinearizable(group);
  });

  // The clock of a machine that sleeps stands still, and its lease would be as good as new when it wakes up.
  where('leases', 'are void after the leader was suspended', async (bench) => {
    for (const [seed, ms] of [1000, 1500, 1000, 4000].entries()) {
      const group = await leased(bench, { seed });
      const leader = group.leader()!;
      const wakes = group.now + ms;
      const rest = others(group);
      group.suspend(leader, ms);
      // It may hear of the others when it wakes up, or nothing.
      if (seed % 2 === 0) group.partition([[leader], rest]);
      const next = await led(group, rest);
      await put(group, next, 'k', 'new');
      await group.run(Math.max(0, wakes - group.now));
      // It wakes up: by its clock no time has gone by.
      let stale = 0;
      for (let i = 0; i < 50; i++) {
        group
          .replica(leader)
          .query({ op: 'get', key: 'k' }, { timeout: 3000 })
          .then(
            (value) => (stale += value === 'old' ? 1 : 0),
            () => undefined,
          );
        await group.run(1);
      }
      group.heal();
      await group.run(3000);
      assert.equal(stale, 0, `after ${ms} ms`);
      assertLinearizable(group);
    }
  });

  // Who forgets its promise lets the one lead that has waited for just that.
  where('leases', 'are safe from a voter that restarts', async (bench) => {
    for (const seed of [1, 2, 3]) {
      const group = await leased(bench, { relay: false, seed });
      const leader = group.leader()!;
      const [voter, waiting] = others(group);
      group.cut(leader, waiting);
      await group.run(3000);
      if (group.leader() !== leader) continue; // it was unseated, which is no business of this test
      group.cut(leader, voter);
      group.crash(voter);
      group.restart(voter);
      const written = group.replica(waiting).submit({ op: 'put', key: 'k', value: 'new' });
      for (let i = 0; i < 150; i++) {
        void group
          .replica(leader)
          .query({ op: 'get', key: 'k' }, { timeout: 50 })
          .catch(() => undefined);
        await group.run(4);
      }
      await group.settle(written);
      await group.run(3000);
      assert.notEqual(group.leader(), leader);
      assertLinearizable(group);
    }
  });

  where('leases', 'do not survive a transfer', async (bench) => {
    for (let seed = 1; seed <= 2; seed++) {
      const group = await leased(bench, { seed, network: { latencyMs: 10, tailMs: 30 } });
      for (let n = 0; n < 6; n++) {
        const old = group.leader()!;
        const [to] = others(group);
        const call = group.replica(to).transferLeadership(to, { timeout: 5000 });
        const written = group.replica(to).submit({ op: 'put', key: 'k', value: `${n}` });
        for (let i = 0; i < 60; i++) {
          void group
            .replica(old)
            .query({ op: 'get', key: 'k' }, { timeout: 300 })
            .catch(() => undefined);
          await group.run(3);
        }
        await group.settle(Promise.all([call, written]));
      }
      assertLinearizable(group);
    }
  });

  for (const [seed, nodes] of [three, five].entries())
    where(
      'leases',
      `keep reads linearizable under pauses, suspends, drifting clocks, restarts and transfers (seed ${seed})`,
      async (bench) => {
        await turmoil(
          await leased(bench, { seed, nodes, clocks: { driftRate: 0.1 }, relay: seed % 2 === 0 }),
        );
      },
    );
}
