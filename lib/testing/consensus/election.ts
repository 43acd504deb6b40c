/** Somebody leads as soon as a quorum can meet, and nobody else does; leaders stay as long as they can. */
import assert from 'node:assert/strict';
import { five, three } from './bench.js';
import { get, led, level, others, put, until } from './steps.js';
import type { Suite } from './suite.js';

/** @internal */
export function electionTests({ test }: Suite): void {
  test('give one leader, whom all members name, and who stays', async (bench) => {
    for (const nodes of [three, five, ['a', 'b', 'c', 'd']]) {
      const group = await bench.elected({ nodes });
      await put(group, 'a', 'k', 1);
      await level(group);
      const leader = group.leader()!;
      const { epoch } = group.replica(leader).status();
      for (let i = 0; i < 8; i++) {
        await group.run(500);
        for (const id of nodes) {
          const { role, leader: named, quorum, epoch: own } = group.replica(id).status();
          assert.deepEqual([named, quorum, own], [leader, true, epoch], id);
          assert.equal(role, id === leader ? 'leader' : 'follower');
        }
      }
    }
  });

  test('need nobody in a group of one', async (bench) => {
    const group = await bench.elected({ nodes: ['only'] });
    await put(group, 'only', 'k', 1);
    assert.equal(await get(group, 'only', 'k'), 1);
    assert.equal(group.replica('only').status().role, 'leader');
  });

  test('need a majority, and no more than that', async (bench) => {
    const enough = bench.simulate({ nodes: five });
    for (const id of ['d', 'e']) enough.crash(id);
    await led(enough);
    await put(enough, 'a', 'k', 1);
    const fewer = bench.simulate({ nodes: five });
    for (const id of ['c', 'd', 'e']) fewer.crash(id);
    await fewer.run(8000);
    assert.equal(fewer.leader(), undefined);
    for (const id of ['a', 'b']) assert.equal(fewer.replica(id).status().quorum, false);
  });

  test('come again when any member is lost, as soon as all have met', async (bench) => {
    for (let seed = 1; seed <= 3; seed++) {
      const group = await bench.elected({ seed });
      const old = group.leader()!;
      group.crash(old);
      const begun = group.now;
      const next = await led(group, others(group));
      assert.ok(group.now - begun < 5000, `after ${group.now - begun} ms`);
      await put(group, next, 'k', seed);
    }
  });

  test('go on without a leader that was lost, and take it back as a follower', async (bench) => {
    const group = await bench.elected();
    const old = group.leader()!;
    await put(group, old, 'k', 1);
    group.crash(old, { power: false });
    const next = await led(group, others(group));
    await put(group, next, 'k', 2);
    group.restart(old);
    await level(group);
    assert.equal(await get(group, old, 'k'), 2);
    assert.equal(group.leader(), next, 'who comes back unseats nobody');
  });

  test('move on while a leader stands still, and it has no say when it wakes', async (bench) => {
    const group = await bench.elected();
    const old = group.leader()!;
    const rest = others(group);
    group.pause(old, 10_000);
    const next = await led(group, rest);
    assert.equal(group.replica(old).status().role, 'leader', 'it does not know yet');
    await put(group, next, 'k', 'new');
    const read = group.replica(old).query({ op: 'get', key: 'k' });
    assert.equal(await group.settle(read), 'new');
    assert.notEqual(group.replica(old).status().role, 'leader');
  });

  test('replace a leader whom nobody hears, although it hears all', async (bench) => {
    const group = await bench.elected();
    const leader = group.leader()!;
    const rest = others(group);
    for (const id of rest) group.cutOneWay(leader, id);
    const next = await led(group, rest);
    await put(group, next, 'k', 1);
    await group.run(2000);
    assert.notEqual(group.replica(leader).status().role, 'leader');
    for (const id of rest) group.heal(leader, id);
    await level(group);
  });

  test('replace a leader who hears nobody, although all hear it', async (bench) => {
    const group = await bench.elected();
    const leader = group.leader()!;
    const rest = others(group);
    for (const id of rest) group.cutOneWay(id, leader);
    const next = await led(group, rest);
    await put(group, next, 'k', 1);
    for (const id of rest) group.heal(leader, id);
    await level(group);
    assert.equal(await get(group, leader, 'k'), 1);
  });

  test('are not disturbed by a member that was cut off and comes back', async (bench) => {
    const group = await bench.elected();
    const leader = group.leader()!;
    const [away, other] = others(group);
    for (let i = 0; i < 4; i++) {
      group.partition([[away], [leader, other]]);
      await group.run(2500);
      assert.equal(group.replica(away).status().quorum, false);
      group.heal();
      await put(group, away, 'k', i);
      assert.equal(group.leader(), leader);
    }
  });

  test('are over when the disk of the leader fails: it stops, says so, and others go on', async (bench) => {
    const group = await bench.elected();
    const victim = group.leader()!;
    const rest = others(group);
    group.setDisk(victim, { errors: { write: 1, sync: 1 } });
    const lost = group.replica(victim).submit({ op: 'put', key: 'k', value: 1 }, { requestId: 'once' });
    lost.catch(() => undefined);
    await until(group, `${victim} fails`, () => group.state(victim) === 'failed');
    await led(group, rest);
    await put(group, rest[0], 'k', 2, { requestId: 'once' });
    group.setDisk(victim, { errors: {} });
    group.restart(victim);
    await level(group);
    await put(group, victim, 'k', 3);
  });

  test('are told by events: roles, leaders, quorums', async (bench) => {
    const group = await bench.elected();
    const [one] = others(group);
    const replica = group.replica(one);
    const told: string[] = [];
    replica.on('leader:changed', (leader) => told.push(`leader ${leader ?? '-'}`));
    replica.on('role:changed', (role) => told.push(`role ${role}`));
    replica.on('quorum:lost', () => told.push('lost'));
    replica.on('quorum:regained', () => told.push('regained'));
    group.partition([[one], three.filter((id) => id !== one)]);
    await until(group, 'the loss is noticed', () => told.includes('lost'));
    assert.equal(replica.status().quorum, false);
    assert.ok(told.includes('leader -'), told.join());
    group.heal();
    await until(group, 'the leader is back', () => told.includes('regained'));
    await until(group, 'it is named', () => told.includes(`leader ${group.leader() ?? ''}`));
    assert.equal(told.indexOf('lost') < told.indexOf('regained'), true);
  });
}
