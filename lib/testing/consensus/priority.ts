/** Who would rather lead does, when it can. */
import assert from 'node:assert/strict';
import type { Bench, Group } from './bench.js';
import { level, put, until } from './steps.js';
import type { Suite } from './suite.js';

function rather(bench: Bench, priorities: Readonly<Record<string, number>>, seed = 1): Promise<Group> {
  const consensus = (id: string) =>
    bench.consensus({ heartbeatMs: 50, electionTimeoutMs: 300, priority: priorities[id] ?? 0 });
  return bench.elected({ seed, consensus });
}

/** @internal */
export function priorityTests({ where }: Suite): void {
  where(
    'priority',
    'bring the leadership to who has the highest, and back to it when it returns',
    async (bench) => {
      for (let seed = 1; seed <= 2; seed++) {
        const group = await rather(bench, { b: 5, c: 10 }, seed);
        await until(group, 'c leads', () => group.leader() === 'c');
        await put(group, 'a', 'k', 1);
        group.crash('c');
        await until(group, 'b leads', () => group.leader() === 'b');
        await put(group, 'a', 'k', 2);
        group.restart('c');
        await until(group, 'c leads again', () => group.leader() === 'c');
        await level(group);
      }
    },
  );

  where('priority', 'leave it where it is among equals', async (bench) => {
    const group = await rather(bench, { a: 3, b: 3, c: 3 });
    await put(group, 'a', 'k', 1);
    const leader = group.leader();
    await group.run(20_000);
    assert.equal(group.leader(), leader);
  });

  where('priority', 'fail no command under load', async (bench) => {
    const group = await rather(bench, { c: 10 });
    let done = 0;
    let stop = false;
    const clients = Promise.all(
      ['a', 'b', 'c'].map(async (id) => {
        for (; !stop; done++) {
          await group.replica(id).submit({ op: 'put', key: id, value: done });
          await group.sleep(20);
        }
      }),
    );
    clients.catch(() => undefined);
    for (let n = 0; n < 2; n++) {
      await until(group, 'c leads', () => group.leader() === 'c');
      await group.settle(group.replica('b').transferLeadership('a', { timeout: 10_000 }));
    }
    await until(group, 'c leads', () => group.leader() === 'c');
    stop = true;
    await group.settle(clients);
    assert.ok(done > 100);
  });
}
