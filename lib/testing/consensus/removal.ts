/** Who was removed learns of it with proof, closes, disturbs nobody, and may come back. */
import assert from 'node:assert/strict';
import { three, type Group } from './bench.js';
import { failure, get, level, members, others, put, thrown, until } from './steps.js';
import type { Suite } from './suite.js';

/** The node's replica closed itself because it was removed, and says so. */
async function closesAsRemoved(group: Group, id: string): Promise<void> {
  await until(group, `${id} knows that it was removed`, () => group.state(id) === 'closed');
  const { code } = group.failure(id) as Error & { code?: string };
  assert.equal(code, 'ERR_NOT_A_MEMBER');
  assert.equal(group.replica(id).status().state, 'removed');
}

/** @internal */
export function removalTests({ test }: Suite): void {
  for (const who of ['the leader', 'a follower'] as const)
    for (const through of ['itself', 'another'] as const)
      test(`is closed: ${who}, asked for through ${through}`, async (bench) => {
        const group = await bench.elected();
        await put(group, 'a', 'k', 1);
        const gone = who === 'the leader' ? group.leader()! : others(group)[0];
        const rest = three.filter((id) => id !== gone);
        const told: (readonly string[])[] = [];
        const replica = group.replica(gone);
        replica.on('replica:removed', (ids) => told.push(ids));
        await group.settle(group.replica(through === 'itself' ? gone : rest[0]!).removeMember(gone));
        await closesAsRemoved(group, gone);
        assert.deepEqual(
          told.map((ids) => ids.toSorted()),
          [rest],
        );
        const write = await thrown(
          () => replica.submit({ op: 'put', key: 'k', value: 2 }),
          'ERR_NOT_A_MEMBER',
        );
        assert.equal(write.fate, 'refused');
        await thrown(() => replica.query({ op: 'get', key: 'k' }), 'ERR_NOT_A_MEMBER');
        for (const id of rest) await put(group, id, 'k', id);
        // Two are a quorum of two, and one is none.
        assert.deepEqual(group.replica(rest[0]!).status().quorums, { commit: 2, election: 2 });
        assert.equal(members(group, rest[0]!), rest.join(' '));
      });

  test('while it was away, is told by the others when it comes back, and disturbs nobody', async (bench) => {
    const group = await bench.elected();
    await put(group, 'a', 'k', 1);
    await level(group);
    const leader = group.leader()!;
    const [gone, other] = others(group);
    group.crash(gone);
    await group.settle(group.replica(other).removeMember(gone));
    const { epoch } = group.replica(leader).status();
    await put(group, other, 'k', 2);
    group.restart(gone);
    await closesAsRemoved(group, gone);
    await group.run(2000);
    assert.equal(group.leader(), leader);
    assert.equal(group.replica(other).status().epoch, epoch);
    // The same with an empty storage, told to found what is founded already.
    group.crash(gone);
    group.disk(gone).wipe();
    group.restart(gone);
    await closesAsRemoved(group, gone);
    assert.equal(group.leader(), leader);
  });

  test('is not believed by one of two: what waits there is told so when it is proven', async (bench) => {
    const group = await bench.elected();
    await put(group, 'a', 'k', 1);
    await level(group);
    const leader = group.leader()!;
    const [gone, other] = others(group);
    group.crash(gone);
    await group.settle(group.replica(leader).removeMember(gone));
    await level(group, [leader, other]);
    group.crash(other);
    group.restart(gone);
    await until(group, 'it is up', () => group.state(gone) === 'up');
    const waiting = failure(
      group.replica(gone).submit({ op: 'put', key: 'k', value: 9 }, { requestId: 'r', timeout: 60_000 }),
    );
    await group.run(4000);
    assert.equal(group.state(gone), 'up', 'one of two says so: that is no proof');
    group.restart(other);
    const error = await group.settle(waiting);
    assert.equal(error?.code, 'ERR_NOT_A_MEMBER');
    assert.ok(error.fate === 'ambiguous' || error.fate === 'refused');
    await closesAsRemoved(group, gone);
  });

  test('may come back: it joins, learns what it missed, and votes', async (bench) => {
    const group = await bench.elected();
    const [gone, other] = others(group);
    await group.settle(group.replica(gone).removeMember(gone));
    await closesAsRemoved(group, gone);
    await put(group, other, 'k', 'meanwhile');
    group.restart(gone, { join: 'voter' });
    await until(group, 'it votes again', () => members(group, other) === 'a b c');
    assert.equal(await get(group, gone, 'k'), 'meanwhile');
    // It counts: without one of the others there is a quorum.
    await level(group);
    group.crash(other);
    await put(group, gone, 'k', 'with it');
  });

  test('stays removed, although it had asked to be let in, when links are made anew', async (bench) => {
    const group = await bench.elected({ founders: ['a', 'b'] });
    group.restart('c');
    await until(group, 'c votes', () => members(group, 'a') === 'a b c');
    await group.settle(group.replica('a').removeMember('c'));
    for (const id of ['a', 'b']) group.network.reset('c', id);
    await group.run(5000);
    assert.equal(members(group, 'a'), 'a b');
  });

  test('ends in a group of one, when one after the other goes', async (bench) => {
    const group = await bench.elected();
    for (let n = 0; n < 2; n++) {
      const leader = group.leader()!;
      const left = three.filter((id) => group.state(id) === 'up' && id !== leader);
      await group.settle(group.replica(left[0]!).removeMember(leader));
      await until(group, 'somebody else leads', () => left.includes(group.leader() ?? ''));
      await put(group, left[0]!, 'k', n);
    }
    assert.equal(await get(group, group.leader()!, 'k'), 1);
  });
}
