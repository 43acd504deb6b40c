/** Who can reach a quorum is served, nobody else is answered; and what was apart becomes one again. */
import assert from 'node:assert/strict';
import { Random } from '../simulation/random.js';
import { five, three, type Group } from './bench.js';
import { assertLinearizable, get, led, level, others, put, until } from './steps.js';
import type { Suite } from './suite.js';

/** Cuts all links but these. */
function leave(group: Group, links: readonly (readonly [string, string])[]): void {
  const kept = new Set(links.flatMap(([a, b]) => [a + b, b + a]));
  for (const [at, a] of group.nodes.entries())
    for (const b of group.nodes.slice(at + 1)) if (!kept.has(a + b)) group.cut(a, b);
}

/** Commands through these are answered, all the while. */
async function serves(group: Group, ids: readonly string[], rounds: number): Promise<void> {
  for (let n = 0; n < rounds; n++) {
    for (const id of ids) await put(group, id, 'k', `${id} ${n}`);
    await group.run(100);
  }
}

/** @internal */
export function partitionsTests({ test }: Suite): void {
  test('let a majority go on without the rest, the rest not, and end with one state', async (bench) => {
    const group = await bench.elected({ nodes: five });
    const old = group.leader()!;
    const minority = [old, others(group)[0]];
    const majority = five.filter((id) => !minority.includes(id));
    group.partition([minority, majority]);
    const late = group.replica(old).submit({ op: 'put', key: 'k', value: 'late' });
    const lateRead = group.replica(minority[1]!).query({ op: 'get', key: 'k' });
    const leader = await led(group, majority);
    await put(group, leader, 'k', 'majority');
    await group.run(5000);
    assert.equal(group.openCalls, 2, 'what the minority was asked');
    for (const id of minority) assert.equal(group.replica(id).status().quorum, false, id);
    group.heal();
    assert.deepEqual(await group.settle(late), { ok: true });
    await group.settle(lateRead);
    await level(group);
    for (const id of five) assert.equal(group.replica(id).peek({ op: 'get', key: 'k' }), 'late');
    assertLinearizable(group);
  });

  test('replace what a leader without a quorum took in, by what a quorum did', async (bench) => {
    for (let seed = 1; seed <= 2; seed++) {
      const group = await bench.elected({ seed, nodes: five });
      for (let n = 0; n < 4; n++) {
        const old = await led(group);
        const [with_, ...rest] = others(group);
        group.partition([[old, with_], rest]);
        // In its log, and in one other; they are no quorum.
        const lost = [0, 1, 2].map((i) =>
          group.replica(old).submit({ op: 'put', key: `lost ${i}`, value: n }, { timeout: 300 }),
        );
        await group.settle(Promise.allSettled(lost));
        const next = await led(group, rest);
        for (let i = 0; i < 5; i++) await put(group, next, `kept ${i}`, n);
        group.heal();
        await level(group);
        for (const id of five)
          for (let i = 0; i < 5; i++)
            assert.equal(group.replica(id).peek({ op: 'get', key: `kept ${i}` }), n);
      }
      assertLinearizable(group);
    }
  });

  test('that leave a chain of three: all are served, over others or not', async (bench) => {
    for (const relay of [true, false]) {
      const group = await bench.elected({ relay });
      await put(group, 'a', 'k', 0);
      const leader = group.leader()!;
      const [one, other] = others(group);
      leave(group, [
        [one, leader],
        [leader, other],
      ]);
      await group.run(1500);
      await serves(group, three, 10);
      assert.equal(group.leader(), leader, 'it is heard by all: nobody needs another one');
      group.heal();
      // The leader is at one end now.
      leave(group, [
        [leader, one],
        [one, other],
      ]);
      await group.run(2000);
      await serves(group, [one], 10);
      group.heal();
      await level(group);
      assertLinearizable(group);
    }
  });

  // The quorum-loss scenario of OmniPaxos (EuroSys 2023, figure 1a).
  test('that leave one member a quorum, while it still hears the leader: it is served without a way over others', async (bench) => {
    const group = await bench.elected({ nodes: five, relay: false });
    await put(group, 'a', 'k', 0);
    const [hub, ...rest] = others(group);
    const leader = group.leader()!;
    leave(
      group,
      [leader, ...rest].map((id) => [hub, id] as const),
    );
    await put(group, hub, 'k', 'through the hub', { timeout: 30_000 });
    await group.run(3000);
    await serves(group, [hub], 5);
    group.heal();
    await level(group);
    assertLinearizable(group);
  });

  for (const [shape, links] of Object.entries({
    ring: ['ab', 'bc', 'cd', 'de', 'ea'],
    chain: ['ab', 'bc', 'cd', 'de'],
    star: ['ab', 'ac', 'ad', 'ae'],
  }))
    test(`that leave a ${shape} of five: all are served over others`, async (bench) => {
      const group = await bench.elected({ nodes: five, relay: true });
      leave(
        group,
        links.map((pair) => [pair[0]!, pair[1]!] as const),
      );
      await group.run(2500);
      await serves(group, five, 2);
      const reigns = group.counts().reigns;
      await group.run(3000);
      assert.equal(group.counts().reigns, reigns, 'the leadership stays where it is');
      group.heal();
      await level(group);
    });

  for (const seed of [2, 3])
    test(`that come and go at random, one way and both, over half of the links (seed ${seed})`, async (bench) => {
      const group = await bench.elected({ seed, nodes: five, relay: seed === 2 });
      const random = new Random(`partitions ${seed}`);
      const work = { stop: false };
      const client = async (name: string): Promise<void> => {
        const own = random.stream(name);
        for (let n = 0; !work.stop; n++) {
          await group.sleep(own.exponential(15));
          const replica = group.replica(own.pick(group.nodes));
          const limits = { timeout: 500 };
          const call = own.chance(0.5)
            ? replica.submit({ op: 'put', key: own.pick(['x', 'y']), value: `${name} ${n}` }, limits)
            : replica.query({ op: 'get', key: own.pick(['x', 'y']) }, limits);
          await call.catch(() => undefined);
        }
      };
      const clients = Promise.all(['p', 'q', 'r', 's'].map(client));
      clients.catch(() => undefined);
      for (let i = 0; i < 5; i++) {
        for (const a of group.nodes)
          for (const b of group.nodes) if (a !== b && random.chance(0.25)) group.cutOneWay(a, b);
        await group.run(random.between(200, 1200));
        group.heal();
        await group.run(random.pick([50, 400, 1500]));
      }
      await led(group);
      work.stop = true;
      await group.settle(clients);
      for (const id of group.nodes) await put(group, id, id, 'served');
      await level(group);
      assertLinearizable(group);
    });

  test('make an isolated member say that it has no quorum, and the others miss nothing', async (bench) => {
    const group = await bench.elected();
    const [alone, other] = others(group);
    group.partition([three.filter((id) => id !== alone)]);
    await until(group, 'it knows', () => !group.replica(alone).status().quorum);
    await put(group, other, 'k', 1);
    assert.equal(group.replica(other).status().quorum, true);
    group.heal();
    assert.equal(await get(group, alone, 'k'), 1);
  });
}
