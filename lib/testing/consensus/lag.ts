/** Queries that may lag, but not by more than they say. */
import assert from 'node:assert/strict';
import type { QueryOptions } from '../../replica/replicaTypes.js';
import { Random } from '../simulation/random.js';
import { three, type Group } from './bench.js';
import { get, others, put, thrown } from './steps.js';
import type { Suite } from './suite.js';

function ask(group: Group, id: string, maxLagMs: number, more: QueryOptions = {}) {
  return group.replica(id).query({ op: 'get', key: 'k' }, { consistency: { maxLagMs }, ...more });
}

/** What a query answers and how long it takes, in virtual milliseconds. */
async function timed(group: Group, id: string, maxLagMs: number) {
  const begun = group.now;
  const value = await group.settle(ask(group, id, maxLagMs));
  return { value, ms: group.now - begun };
}

const slow = { latencyMs: 20, tailMs: 0 };

/** @internal */
export function lagTests({ test }: Suite): void {
  test('are answered at once while the state is known to be fresh, and otherwise by the leader', async (bench) => {
    const group = await bench.elected({ network: slow });
    await put(group, 'a', 'k', 1);
    const [id] = others(group);
    await group.run(2000);
    const asksTheLeader = async (maxLagMs: number, why: string): Promise<void> => {
      const { ms } = await timed(group, id, maxLagMs);
      assert.ok(ms >= 40 && ms <= 100, `${why}: ${ms} ms`);
    };
    await asksTheLeader(500, 'nothing was asked before');
    for (let i = 0; i < 5; i++) {
      assert.equal((await timed(group, id, 500)).ms, 0);
      await group.run(40);
    }
    await asksTheLeader(20, 'not fresh enough for this one');
    await group.run(600);
    await asksTheLeader(500, 'it is old');
  });

  test('never wait when they are asked all the time', async (bench) => {
    const group = await bench.elected({ network: slow });
    await put(group, 'a', 'k', 1);
    const [id] = others(group);
    await timed(group, id, 400);
    let rounds = 0;
    for (let i = 0; i < 200; i++) {
      assert.equal((await timed(group, id, 400)).ms, 0);
      if (group.openReads(id) > 0) rounds++;
      await group.run(10);
    }
    assert.ok(rounds >= 10 && rounds <= 100, `${rounds} times of 200 a question was under way`);
  });

  test('are fresh again after any linearizable read', async (bench) => {
    const group = await bench.elected({ network: slow });
    await put(group, 'a', 'k', 1);
    const [id] = others(group);
    await group.run(2000);
    await get(group, id, 'k');
    assert.equal((await timed(group, id, 300)).ms, 0);
  });

  test('refuse bounds that make no sense', async (bench) => {
    const group = await bench.elected();
    for (const maxLagMs of [0, -1, 1.5, 2 ** 31, Number.NaN, '5' as unknown as number]) {
      const { message } = await thrown(() => ask(group, 'a', maxLagMs), 'ERR_CONFIG');
      assert.match(message, /consistency\.maxLagMs.* 1 .*2147483647/);
    }
  });

  test('fail where nobody can tell how old the state is', async (bench) => {
    for (const [onNoQuorum, code] of [
      ['reject', 'ERR_NOT_READY'],
      ['wait', 'ERR_TIMEOUT'],
    ] as const) {
      const group = await bench.elected({ relay: false, onNoQuorum });
      await put(group, 'a', 'k', 1);
      const [id] = others(group);
      await timed(group, id, 1000);
      for (const other of three) if (other !== id) group.cut(id, other);
      await group.run(500);
      assert.equal((await timed(group, id, 1000)).value, 1, 'it still is fresh');
      await group.run(2000);
      await thrown(() => group.settle(ask(group, id, 1000, { timeout: 700 })), code);
    }
  });

  test('do not take a clock that stood still for a state that is fresh', async (bench) => {
    const group = await bench.elected({ relay: false });
    await put(group, 'a', 'k', 'old');
    const [id, writer] = others(group);
    await timed(group, id, 500);
    for (const other of three) if (other !== id) group.cut(id, other);
    group.suspend(id, 5000);
    await put(group, writer, 'k', 'new');
    await group.run(5000);
    await thrown(() => group.settle(ask(group, id, 500, { timeout: 300 })), 'ERR_TIMEOUT');
  });

  for (const seed of [1, 2])
    test(`show all that was acknowledged before, whatever happens to leaders and links (seed ${seed})`, async (bench) => {
      const lease = bench.features.leases === true && seed === 2;
      const consensus = bench.consensus(lease ? { lease: { maxDrift: 0 } } : {});
      const group = await bench.elected({ seed, relay: false, consensus });
      const random = new Random(`lag ${seed}`);
      const acked: { n: number; at: number }[] = [{ n: 0, at: 0 }];
      const work = { stop: false, answers: 0, atOnce: 0 };
      const writer = async (): Promise<void> => {
        for (let n = 1; !work.stop; n++) {
          const leader = group.leader();
          const id = leader !== undefined && group.state(leader) === 'up' ? leader : 'a';
          await group
            .replica(id)
            .submit({ op: 'put', key: 'k', value: n }, { timeout: 20_000, requestId: `w${n}` })
            .then(() => acked.push({ n, at: group.now }))
            .catch(() => undefined);
          await group.sleep(5);
        }
      };
      const reader = async (own: Random): Promise<void> => {
        while (!work.stop) {
          await group.sleep(own.exponential(15));
          const id = own.pick(three);
          const maxLagMs = own.pick([30, 200, 800]);
          const begun = group.now;
          const due = acked.findLast(({ at }) => at < begun - maxLagMs)?.n ?? 0;
          const value = await ask(group, id, maxLagMs, { timeout: 1000 }).catch(() => undefined);
          if (typeof value !== 'number') continue;
          work.answers++;
          if (group.now === begun) work.atOnce++;
          assert.ok(value >= due, `${id} at ${begun}, ${maxLagMs} ms: ${value} instead of ${due} or more`);
        }
      };
      const all = Promise.all([writer(), ...[1, 2, 3, 4].map((i) => reader(random.stream(`reader ${i}`)))]);
      all.catch(() => undefined);
      for (let i = 0; i < 6; i++) {
        await group.run(random.between(300, 900));
        const id = random.chance(0.5) ? (group.leader() ?? 'a') : random.pick(three);
        const ms = random.between(200, 1500);
        if (random.chance(0.3)) group.pause(id, ms);
        else if (random.chance(0.4)) group.suspend(id, ms);
        else {
          group.partition([[id], three.filter((one) => one !== id)]);
          group.after(ms, () => group.heal());
        }
      }
      group.heal();
      await group.run(2000);
      work.stop = true;
      await group.settle(all);
      assert.ok(work.answers > 150, `${work.answers} answers`);
      assert.ok(work.atOnce > 50, `${work.atOnce} of them at once`);
    });
}
