/** A command takes effect once, however often it is sent, by whom, and through what crashes. */
import assert from 'node:assert/strict';
import { Random } from '../simulation/random.js';
import { three } from './bench.js';
import { ledger } from './ledger.js';
import { failure, level, led, others, thrown, up } from './steps.js';
import type { Suite } from './suite.js';

/** @internal */
export function sessionsTests({ test }: Suite): void {
  test('apply a request id once, from whatever member it comes, and answer alike', async (bench) => {
    const group = await bench.elected({ stateMachine: ledger });
    for (const id of [...three, ...three]) {
      const call = group.replica(id).submit({ op: 'add', by: 5 }, { requestId: 'order-7' });
      assert.equal(await group.settle(call), 5);
    }
    const calls = three.map((id) =>
      group.replica(id).submit({ op: 'add', by: 1 }, { requestId: 'at once, by all' }),
    );
    assert.deepEqual(await group.settle(Promise.all(calls)), [6, 6, 6]);
    assert.equal(await group.settle(group.replica('a').query({ op: 'total' })), 6);
  });

  test('answer a refusal again as it was', async (bench) => {
    const group = await bench.elected({ stateMachine: ledger });
    for (const id of three) {
      const call = group.replica(id).submit({ op: 'add', by: -2 }, { requestId: 'refused' });
      assert.deepEqual((await thrown(() => group.settle(call), 'ERR_REJECTED')).data, { by: -2 });
    }
  });

  for (const power of [true, false])
    test(`remember request ids when all members ${power ? 'lose power' : 'are killed'}, and behind snapshots`, async (bench) => {
      const snapshot = { logBytes: 4096, keepEntries: 0 };
      const group = await bench.elected({ stateMachine: ledger, snapshot });
      const add = (id: string) => group.replica(id).submit({ op: 'add', by: 5 }, { requestId: 'x' });
      await group.settle(add('a'));
      for (let i = 0; i < 100; i++) {
        const name = `${i} ${'n'.repeat(80)}`;
        await group.settle(group.replica(three[i % 3]!).submit({ op: 'name', name }));
      }
      for (const id of three) group.crash(id, { power });
      await group.run(500);
      for (const id of three) group.restart(id);
      for (const id of three) await up(group, id);
      for (const id of three) assert.equal(await group.settle(add(id)), 5);
      assert.equal(await group.settle(group.replica('b').query({ op: 'total' })), 5);
    });

  for (const victim of ['the leader', 'who was asked'] as const)
    test(`apply a command once when ${victim} crashes at any moment, and it is submitted again through another`, async (bench) => {
      for (let step = 0; step < 17; step += 2.5) {
        const group = await bench.elected({ stateMachine: ledger, network: { latencyMs: 3, tailMs: 0 } });
        const leader = group.leader()!;
        const [asked, third] = others(group);
        const first = group.replica(asked).submit({ op: 'add', by: 1 }, { requestId: 'once' });
        first.catch(() => undefined);
        await group.run(step);
        const struck = victim === 'the leader' ? leader : asked;
        group.crash(struck);
        const again = group.replica(third).submit({ op: 'add', by: 1 }, { requestId: 'once' });
        assert.equal(await group.settle(again), 1, `after ${step} ms`);
        if (struck === leader) assert.equal(await group.settle(first), 1);
        group.restart(struck);
        await level(group);
        for (const id of three) assert.equal(group.replica(id).peek({ op: 'total' }), 1);
      }
    });

  for (const seed of [2, 3])
    test(`apply once what is submitted again after every ambiguous end, under crashes and cuts (seed ${seed})`, async (bench) => {
      const group = await bench.elected({ seed, stateMachine: ledger });
      const random = new Random(`sessions ${seed}`);
      const work = { stop: false };
      const sure: string[] = [];
      const never: string[] = [];
      const client = async (name: string): Promise<void> => {
        const own = random.stream(name);
        for (let n = 0; !work.stop; n++) {
          await group.sleep(own.exponential(10));
          const item = `${name}.${n}`;
          let requestId: string | undefined;
          for (;;) {
            const id = own.pick(three);
            const options = { timeout: 300, ...(requestId !== undefined && { requestId }) };
            const error = await failure(group.replica(id).submit({ op: 'name', name: item }, options));
            if (error === undefined) {
              sure.push(item);
              break;
            }
            if (error.code === 'ERR_RESULT_EXPIRED') {
              // It says that the command was applied, and no more.
              sure.push(item);
              break;
            }
            assert.ok(error.fate === 'refused' || error.fate === 'ambiguous', `${error.message} has a fate`);
            if (error.fate === 'refused' && requestId === undefined) {
              never.push(item);
              break;
            }
            requestId ??= error.requestId;
            // Its process died with it: nobody knows its name.
            if (requestId === undefined) break;
            await group.sleep(50);
          }
        }
      };
      const clients = Promise.all(['x', 'y', 'z', 'w'].map(client));
      clients.catch(() => undefined);
      for (let i = 0; i < 6; i++) {
        await group.run(random.between(200, 600));
        const id = random.chance(0.5) ? (group.leader() ?? 'a') : random.pick(three);
        if (random.chance(0.5)) {
          group.crash(id, { power: random.chance(0.5) });
          await group.run(random.between(10, 700));
          group.restart(id);
        } else {
          group.partition([[id], three.filter((other) => other !== id)]);
          await group.run(random.between(100, 900));
          group.heal();
        }
      }
      await led(group);
      work.stop = true;
      await group.settle(clients);
      const names = await group.settle(group.replica(group.leader()!).query({ op: 'names' }));
      assert.equal(new Set(names).size, names.length, 'none twice');
      assert.deepEqual(
        sure.filter((item) => !names.includes(item)),
        [],
        'acknowledged, and lost',
      );
      assert.deepEqual(
        never.filter((item) => names.includes(item)),
        [],
        'refused, and applied',
      );
      assert.ok(sure.length > 40, `${sure.length} commands`);
    });
}
