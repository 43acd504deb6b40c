/** A member whose storage was lost knows nothing of what it said: it counts again only when it has learned, and was admitted. */
import assert from 'node:assert/strict';
import { five, three } from './bench.js';
import { get, level, others, put, settled, thrown } from './steps.js';
import type { Suite } from './suite.js';

/** @internal */
export function wipedTests({ test, where }: Suite): void {
  test('are replaced by empty ones: the member learns all, is admitted again, and counts', async (bench) => {
    const group = await bench.elected();
    for (let n = 0; n < 20; n++) await put(group, three[n % 3]!, `${n}`, n);
    await level(group);
    const [lost, other] = others(group);
    group.crash(lost);
    group.disk(lost).wipe();
    group.restart(lost);
    await settled(group, three);
    await level(group);
    assert.equal(group.replica(lost).peek({ op: 'get', key: '19' }), 19);
    group.crash(other);
    await put(group, lost, 'k', 'with it');
    assert.equal(await get(group, lost, 'k'), 'with it');
  });

  test('do not help to lose what was acknowledged: an empty member and one that lags are no quorum', async (bench) => {
    for (let seed = 1; seed <= 2; seed++) {
      const group = await bench.elected({ seed });
      await put(group, 'a', 'k', 'old');
      await level(group);
      const leader = group.leader()!;
      const [lagging, lost] = others(group);
      group.crash(lagging);
      await put(group, lost, 'k', 'new');
      await level(group, [leader, lost]);
      // On two disks of three, of which one is lost and the other one away.
      group.crash(leader);
      group.crash(lost);
      group.disk(lost).wipe();
      group.restart(lost);
      group.restart(lagging);
      await group.run(6000);
      assert.equal(group.leader(), undefined, 'nobody who knows what was acknowledged is there');
      await thrown(() => get(group, lagging, 'k', { timeout: 1000 }), 'ERR_TIMEOUT');
      group.restart(leader);
      assert.equal(await get(group, lagging, 'k'), 'new');
      await level(group);
      for (const id of three) assert.equal(group.replica(id).peek({ op: 'get', key: 'k' }), 'new');
    }
  });

  test('may be two of five, one after the other, under load', async (bench) => {
    const group = await bench.elected({ nodes: five, snapshot: { logBytes: 4096, keepEntries: 10 } });
    const work = { stop: false, last: 0 };
    const leader = group.leader()!;
    const writer = (async () => {
      while (!work.stop) {
        await group.replica(leader).submit({ op: 'put', key: 'n', value: work.last + 1 });
        work.last++;
        await group.sleep(3);
      }
    })();
    writer.catch(() => undefined);
    const [one, two] = others(group);
    for (const id of [one, two]) {
      await group.run(500);
      group.crash(id);
      group.disk(id).wipe();
      group.restart(id);
      await settled(group, five);
    }
    work.stop = true;
    await group.settle(writer);
    for (const id of five) assert.equal(await get(group, id, 'n'), work.last);
  });

  where('readmit', 'count no more where the operators want to decide', async (bench) => {
    const { nodes } = bench;
    const strict = { consensus: bench.consensus({ readmit: false }) };
    const [a] = await Promise.all(three.map((id) => nodes.open(id, strict)));
    await a!.submit({ op: 'add', by: 1 });
    await nodes.until('b to be recorded', () => a!.status().commitIndex > 1);
    await nodes.stop('b');
    nodes.wipe('b');
    const blank = await nodes.open('b', strict);
    await nodes.until('b to follow', () => blank.peek({ op: 'total' }) === 1);
    assert.equal(await a!.submit({ op: 'add', by: 1 }), 2, 'a and c are a quorum');
    await nodes.stop('c');
    const refused = a!.submit({ op: 'add', by: 1 }, { timeout: 1500 });
    await thrown(() => refused, 'ERR_TIMEOUT');
    assert.notEqual(blank.status().role, 'leader');
  });

  test('of members that kept everything in memory are admitted again as well, in real time', async (bench) => {
    const { nodes } = bench;
    const [a] = await Promise.all(three.map((id) => nodes.open(id)));
    await a!.submit({ op: 'add', by: 1 });
    await nodes.until('all to be recorded', () => a!.status().commitIndex > 1);
    await nodes.stop('b');
    nodes.wipe('b');
    await a!.ready();
    const blank = await nodes.open('b');
    await blank.ready();
    await nodes.until('b to count again', () => blank.status().role === 'follower');
    assert.equal(blank.status().members.length, 3);
    assert.equal(await blank.submit({ op: 'add', by: 1 }), 2);
  });

  test('of a whole group mean another group, which is not mistaken for the old one', async (bench) => {
    const { nodes } = bench;
    const members = ['a', 'b'];
    const first = await nodes.open('a', { members });
    await nodes.open('b', { members });
    await first.submit({ op: 'add', by: 1 });
    await nodes.stop('a');
    await nodes.stop('b');
    const kept = nodes.storage('b');
    nodes.wipe('a');
    nodes.wipe('b');
    await nodes.open('b', { members });
    const other = await nodes.open('a', { members });
    await other.submit({ op: 'add', by: 1 });
    await nodes.stop('b');
    const warned = new Promise<Error>((resolve) => other.once('warning', resolve));
    await nodes.open('b', { members, storage: kept });
    assert.equal(((await warned) as Error & { code?: string }).code, 'ERR_GENESIS_DIFFERS');
  });

  test('are no excuse for founders to differ: who was told of others is refused', async (bench) => {
    const { nodes } = bench;
    const a = await nodes.open('a');
    const warned = new Promise<Error>((resolve) => a.once('warning', resolve));
    const b = await nodes.open('b', { members: ['a', 'b'] });
    assert.equal(((await warned) as Error & { code?: string }).code, 'ERR_MEMBERS_DIFFER');
    await thrown(() => b.submit({ op: 'add', by: 1 }, { timeout: 200 }), 'ERR_TIMEOUT');
  });
}
