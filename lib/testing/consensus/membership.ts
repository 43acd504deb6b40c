/** Members come and go, one or many at once, under load and under faults; the group goes on meanwhile. */
import assert from 'node:assert/strict';
import { QuorateError } from '../../errors.js';
import type { MembersChange } from '../../replica/replicaTypes.js';
import { five, three, type Group } from './bench.js';
import { assertLinearizable, get, level, members, others, put, settled, thrown, until, up } from './steps.js';
import type { Suite } from './suite.js';

/** A change; refused while too few are there, as right after a crash, it is asked for again. */
async function changed(group: Group, through: string, change: MembersChange): Promise<void> {
  await up(group, through);
  for (let left = 50; ; left--) {
    try {
      await group.settle(group.replica(through).changeMembers(change));
      return;
    } catch (error) {
      if (left === 0 || !(error instanceof QuorateError) || error.code !== 'ERR_MEMBERSHIP') throw error;
      await group.run(200);
    }
  }
}

/** Writes one number after another, each a command; answers the last one that was taken. */
function load(group: Group, through: string) {
  const work = { stop: false, last: 0 };
  const running = (async () => {
    while (!work.stop) {
      await group.replica(through).submit({ op: 'put', key: 'n', value: work.last + 1 });
      work.last++;
      await group.sleep(3);
    }
  })();
  running.catch(() => undefined);
  return {
    work,
    end: async (): Promise<number> => {
      work.stop = true;
      await group.settle(running);
      return work.last;
    },
  };
}

/** @internal */
export function membershipTests({ test }: Suite): void {
  test('grow from one to five and shrink again under load, and whoever is asked', async (bench) => {
    const group = await bench.elected({ nodes: five, founders: ['a'] });
    const { work, end } = load(group, 'a');
    for (const [at, id] of five.slice(1).entries()) {
      group.restart(id);
      await settled(group, five.slice(0, at + 2));
      const before = work.last;
      await until(group, 'commands go on', () => work.last > before + 5);
      assert.equal(group.replica(id).status().role === 'learner', false);
    }
    await group.settle(group.replica('e').changeMembers({ remove: ['b', 'c'] }));
    await settled(group, ['a', 'd', 'e']);
    await group.settle(group.replica('d').removeMember('e'));
    await group.settle(group.replica('a').removeMember('d'));
    const last = await end();
    assert.equal(members(group, 'a'), 'a');
    assert.equal(await get(group, 'a', 'n'), last);
    assert.ok(last > 50, `${last} commands`);
  });

  test('grow to five and shrink to one with a loss of power of the leader in every change', async (bench) => {
    for (let seed = 1; seed <= 2; seed++) {
      const group = await bench.elected({ seed, nodes: five, founders: ['a'] });
      let written = 0;
      const strike = async (): Promise<void> => {
        await group.run((seed * 7) % 40);
        const leader = group.leader() ?? 'a';
        group.crash(leader);
        await group.run(100);
        group.restart(leader);
        await up(group, leader);
      };
      for (const id of five.slice(1)) {
        group.restart(id);
        await strike();
        await settled(group, five.slice(0, five.indexOf(id) + 1));
        await put(group, id, 'n', ++written);
      }
      for (const [at, id] of ['e', 'd', 'c', 'b'].entries()) {
        // Asked of the one that goes, which may be struck before it could pass it on.
        group
          .replica(id)
          .removeMember(id)
          .catch(() => undefined);
        await strike();
        const left = five.slice(0, 4 - at);
        await changed(group, left[0]!, { remove: [id] });
        // Started again it would ask to be let in again.
        group.crash(id);
        await put(group, left[0]!, 'n', ++written);
      }
      assert.equal(members(group, 'a'), 'a');
      assert.equal(await get(group, 'a', 'n'), written);
    }
  });

  test('are replaced all at once, the leader among them, under load from one that comes and one that goes', async (bench) => {
    const nodes = ['a', 'b', 'c', 'd', 'e', 'f'];
    const group = await bench.elected({ nodes, founders: three });
    for (const id of ['d', 'e', 'f']) group.restart(id, { join: 'learner' });
    await until(group, 'they learn', () => members(group, 'a') === '(d) (e) (f) a b c');
    for (const id of ['d', 'e', 'f']) await up(group, id);
    const coming = load(group, 'd');
    await group.run(300);
    await group.settle(
      group
        .replica('b')
        .changeMembers({ add: [{ id: 'd' }, { id: 'e' }, { id: 'f' }], remove: ['a', 'b', 'c'] }),
    );
    await settled(group, ['d', 'e', 'f']);
    for (const id of three) group.crash(id);
    await group.run(3000);
    const last = await coming.end();
    assert.equal(await get(group, 'e', 'n'), last);
    assert.ok(['d', 'e', 'f'].includes(group.leader() ?? ''));
    // And they outlive one of theirs.
    group.crash(group.leader()!);
    await put(
      group,
      ['d', 'e', 'f'].find((id) => group.state(id) === 'up')!,
      'k',
      1,
    );
  });

  test('do not count before they are told to: a newcomer alone with one founder of three is no quorum', async (bench) => {
    const group = await bench.elected({ nodes: ['a', 'b', 'c', 'd'], founders: three });
    group.restart('d', { join: 'learner' });
    await until(group, 'it learns', () => members(group, 'a') === '(d) a b c');
    await put(group, 'd', 'k', 1);
    await level(group);
    const leader = group.leader()!;
    const lost = three.filter((id) => id !== leader);
    for (const id of lost) group.crash(id);
    await thrown(() => put(group, leader, 'k', 2, { timeout: 4000 }), 'ERR_TIMEOUT');
    assert.equal(group.leader(), undefined);
    assert.equal(group.replica('d').status().role, 'learner');
    assert.equal(group.replica('d').peek({ op: 'get', key: 'k' }), 1);
    for (const id of lost) group.restart(id);
    await level(group);
  });

  test('that were added count: with two newcomers three of five are a quorum, and two are none', async (bench) => {
    const group = await bench.elected({ nodes: five, founders: three });
    group.restart('d');
    group.restart('e');
    await settled(group, five);
    await level(group);
    const leader = group.leader()!;
    const old = three.filter((id) => id !== leader).slice(0, 2);
    for (const id of old) group.crash(id);
    await put(group, 'd', 'k', 1);
    const [third] = five.filter((id) => !old.includes(id) && id !== group.leader());
    group.crash(third!);
    const left = five.find((id) => group.state(id) === 'up')!;
    await thrown(() => put(group, left, 'k', 2, { timeout: 3000 }), 'ERR_TIMEOUT');
    for (const id of [...old, third!]) group.restart(id);
    await level(group);
    assertLinearizable(group);
  });

  test('may be learners, which are fed and asked; voters later; and learners again', async (bench) => {
    const group = await bench.elected({ nodes: ['a', 'b'], founders: ['a'] });
    const said: string[] = [];
    group.replica('a').on('members:changed', () => said.push(members(group, 'a')));
    group.restart('b', { join: 'learner' });
    await put(group, 'a', 'k', 1);
    await until(group, 'b learns', () => members(group, 'b') === '(b) a');
    assert.equal(await get(group, 'b', 'k'), 1);
    assert.equal(group.replica('b').status().role, 'learner');
    await put(group, 'b', 'k', 2);
    await group.settle(group.replica('b').addMember('b'));
    await settled(group, ['a', 'b']);
    await group.settle(group.replica('a').addMember('b', { as: 'learner' }));
    await until(group, 'b learns again', () => group.replica('b').status().role === 'learner');
    assert.deepEqual(said, ['(b) a', 'a b', '(b) a'], 'what an app sees of it is told once');
    // It counts no more: nobody waits for it.
    group.crash('b');
    await put(group, 'a', 'k', 3);
    assert.equal(await get(group, 'a', 'k'), 3);
  });

  test('stay learners over restarts and elections', async (bench) => {
    const group = await bench.elected({ nodes: ['a', 'b', 'c', 'd'], founders: three });
    group.restart('d', { join: 'learner' });
    await until(group, 'd learns', () => members(group, 'a') === '(d) a b c');
    for (let i = 0; i < 3; i++) {
      const leader = group.leader()!;
      group.crash(leader);
      group.crash('d');
      group.restart('d', { join: 'learner' });
      await until(group, 'somebody else leads', () => ![undefined, leader].includes(group.leader()));
      assert.notEqual(group.leader(), 'd');
      group.restart(leader);
      await level(group);
      await put(group, 'd', 'k', i);
    }
    for (const id of group.nodes) assert.equal(members(group, id), '(d) a b c', id);
  });

  test('stay as they are where nobody would vote, or too few would answer', async (bench) => {
    const group = await bench.elected();
    const none = await thrown(
      () => group.settle(group.replica('a').changeMembers({ remove: [...three] })),
      'ERR_MEMBERSHIP',
    );
    assert.match(none.message, /nobody would be left to vote/);
    const leader = group.leader()!;
    const [follower, gone] = others(group);
    group.crash(gone);
    await group.run(3000);
    await thrown(() => group.settle(group.replica(leader).removeMember(follower)), 'ERR_MEMBERSHIP');
    assert.equal(members(group, leader), 'a b c');
    await put(group, follower, 'k', 1);
    await group.settle(group.replica(follower).removeMember(gone));
    assert.equal(members(group, leader), [leader, follower].toSorted().join(' '));
  });

  test('do not wait for a newcomer that never comes, which can be taken back', async (bench) => {
    const group = await bench.elected({ nodes: ['a', 'z'], founders: ['a'] });
    await thrown(() => group.settle(group.replica('a').addMember('z', { timeout: 500 })), 'ERR_TIMEOUT');
    await put(group, 'a', 'k', 1);
    await group.settle(group.replica('a').removeMember('z'));
    assert.equal(members(group, 'a'), 'a');
    await put(group, 'a', 'k', 2);
  });

  test('change one time after the other, however many ask at once', async (bench) => {
    const group = await bench.elected({ nodes: five, founders: three });
    for (const id of ['d', 'e']) group.restart(id, { join: 'learner' });
    await until(group, 'they learn', () => members(group, 'a') === '(d) (e) a b c');
    const calls = [
      group.replica('a').addMember('d'),
      group.replica('b').addMember('e'),
      group.replica('c').addMember('d'),
    ];
    await group.settle(Promise.all(calls));
    await settled(group, five);
    await put(group, 'e', 'k', 1);
    assert.equal(await get(group, 'd', 'k'), 1);
  });

  test('survive a blackout in the midst of a change, at any moment', async (bench) => {
    for (const step of [0, 1, 2, 4, 6, 8, 9]) {
      const group = await bench.elected({ seed: step, nodes: five, founders: three });
      for (const id of ['d', 'e']) group.restart(id, { join: 'learner' });
      await until(group, 'they learn', () => members(group, 'a') === '(d) (e) a b c');
      await put(group, 'a', 'k', 'before');
      const change = { add: [{ id: 'd' }, { id: 'e' }], remove: ['a', 'b'] };
      group
        .replica('c')
        .changeMembers(change)
        .catch(() => undefined);
      await group.run(1.5 * step);
      for (const id of five) group.crash(id);
      await group.run(100);
      for (const id of three) group.restart(id);
      for (const id of ['d', 'e']) group.restart(id, { join: 'learner' });
      await changed(group, 'c', change);
      await settled(group, ['c', 'd', 'e']);
      assert.equal(await get(group, 'd', 'k'), 'before');
      for (const id of ['a', 'b']) group.crash(id);
      await put(group, 'e', 'k', 'after');
    }
  });
}
