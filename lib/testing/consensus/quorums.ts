/** Groups whose quorums are no majorities: of five, two to commit and four to elect. */
import assert from 'node:assert/strict';
import { five, three, type Bench, type Group } from './bench.js';
import type { ConsensusSettings } from '../consensus.js';
import { assertLinearizable, get, led, level, others, put, settled, thrown, until } from './steps.js';
import type { Suite } from './suite.js';

/** Majorities count until the founding is over: whoever has not heard of it elects by them. So what is asked here is asked after it. */
async function flexible(bench: Bench, more: ConsensusSettings = {}): Promise<Group> {
  const settings = { heartbeatMs: 50, electionTimeoutMs: 300, quorums: { commit: 2, election: 4 }, ...more };
  const group = await bench.elected({ nodes: five, consensus: bench.consensus(settings) });
  await settled(group, five);
  await led(group);
  await level(group);
  return group;
}

type Four = readonly [string, string, string, string];

/** @internal */
export function quorumsTests({ where }: Suite): void {
  where('quorums', 'go on with one follower, and elect nobody with three members', async (bench) => {
    const group = await flexible(bench);
    await put(group, 'a', 'k', 1);
    const leader = group.leader()!;
    const [one, ...rest] = others(group) as unknown as Four;
    for (const id of rest) group.crash(id);
    await group.run(3000);
    assert.equal(group.leader(), leader);
    await put(group, one, 'k', 2);
    assert.equal(await get(group, one, 'k'), 2);
    // The last of those who hold it: with three others the group must wait for it.
    group.crash(leader);
    group.restart(rest[0]);
    group.restart(rest[1]);
    await group.run(5000);
    assert.equal(group.leader(), undefined, 'three members');
    group.restart(rest[2]);
    await led(group);
    assert.equal(await get(group, rest[2], 'k'), 2);
  });

  where(
    'quorums',
    'lose nothing when those who hold it are not among those who elect at first',
    async (bench) => {
      const group = await flexible(bench, bench.features.leases === true ? { lease: {} } : {});
      const leader = group.leader()!;
      const [one, ...rest] = others(group) as unknown as Four;
      group.partition([[leader, one], rest]);
      await put(group, one, 'k', 'of two');
      await group.run(4000);
      for (const id of rest) assert.equal(group.replica(id).status().leader, undefined);
      group.crash(leader);
      group.heal();
      await led(group);
      for (const id of [one, ...rest]) assert.equal(await get(group, id, 'k'), 'of two');
      group.restart(leader);
      await level(group);
      assertLinearizable(group);
    },
  );

  where('quorums', 'make a leader without a follower step down, and answer no reads', async (bench) => {
    const group = await flexible(bench);
    await put(group, 'a', 'k', 1);
    const leader = group.leader()!;
    group.partition([[leader], others(group)]);
    await thrown(() => get(group, leader, 'k', { timeout: 2000 }), 'ERR_TIMEOUT');
    assert.notEqual(group.replica(leader).status().role, 'leader');
    group.heal();
    await level(group);
    assert.equal(await get(group, leader, 'k'), 1);
  });

  where('quorums', 'are told by the status, and follow the members', async (bench) => {
    const group = await flexible(bench);
    await put(group, 'a', 'k', 1);
    await level(group);
    for (const id of five) assert.deepEqual(group.replica(id).status().quorums, { commit: 2, election: 4 });
    const [gone, asked] = others(group);
    await group.settle(group.replica(asked).removeMember(gone));
    // A change may end a reign: whoever leads next tells the same.
    const known = (): boolean => group.replica(asked).status().members.length === 4;
    await until(group, 'it is known', known);
    assert.deepEqual(group.replica(asked).status().quorums, { commit: 2, election: 3 });
    const majority = await bench.elected({ nodes: three });
    assert.deepEqual(majority.replica('a').status().quorums, { commit: 2, election: 2 });
  });
}
