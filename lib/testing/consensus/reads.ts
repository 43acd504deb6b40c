/** Queries show everything that was done before them, whoever answers; and when nobody can know that, nobody answers. */
import assert from 'node:assert/strict';
import { five, three } from './bench.js';
import { assertLinearizable, failure, get, led, level, others, put, thrown } from './steps.js';
import type { Suite } from './suite.js';
import { turmoil } from './turmoil.js';

/** @internal */
export function readsTests({ test }: Suite): void {
  test('show what was written a moment before through any member', async (bench) => {
    const group = await bench.elected({ network: { latencyMs: 5, tailMs: 20 } });
    for (let n = 0; n < 5; n++)
      for (const writer of three) {
        await put(group, writer, 'k', `${writer} ${n}`);
        const asked = three.map((id) => group.replica(id).query({ op: 'get', key: 'k' }));
        for (const answer of await group.settle(Promise.all(asked))) assert.equal(answer, `${writer} ${n}`);
      }
  });

  test('of a leader that is cut off, and does not know it, are not answered', async (bench) => {
    const group = await bench.elected({ nodes: five });
    await put(group, 'a', 'k', 'old');
    const old = group.leader()!;
    const rest = others(group);
    group.partition([[old, rest[0]], rest.slice(1)]);
    // From the first moment on: whatever it answers now, it cannot know whether it is true.
    const answers: unknown[] = [];
    for (let i = 0; i < 150; i++) {
      for (const id of [old, rest[0]])
        group
          .replica(id)
          .query({ op: 'get', key: 'k' }, { timeout: 1000 })
          .then(
            (answer) => answers.push(answer),
            () => undefined,
          );
      await group.run(10);
    }
    const next = await led(group, rest.slice(1));
    await put(group, next, 'k', 'new');
    await group.run(3000);
    assert.deepEqual(answers, []);
    group.heal();
    assert.equal(await get(group, old, 'k'), 'new');
    assertLinearizable(group);
  });

  test('wait at a new leader until it knows what was committed before it', async (bench) => {
    for (let seed = 1; seed <= 2; seed++) {
      const group = await bench.elected({ seed, nodes: five, network: { latencyMs: 3, tailMs: 5 } });
      for (let n = 0; n < 3; n++) {
        const rest = others(group);
        const writes = Array.from({ length: 4 }, (_, i) =>
          failure(group.replica(rest[i % 4]!).submit({ op: 'put', key: 'k', value: `${n} ${i}` })),
        );
        await group.run(9);
        const old = group.leader()!;
        group.crash(old);
        const reads: Promise<unknown>[] = [];
        // As soon as anybody leads, and before that.
        for (let i = 0; i < 30; i++) {
          const limits = { timeout: 1000 };
          reads.push(failure(group.replica(rest[i % 4]!).query({ op: 'get', key: 'k' }, limits)));
          await group.run(30);
        }
        await group.settle(Promise.all([...writes, ...reads]));
        group.restart(old);
        await level(group);
      }
      assertLinearizable(group);
    }
  });

  test('of a leader that wakes up after others went on are not answered from what it remembers', async (bench) => {
    for (const how of ['pause', 'suspend'] as const) {
      const group = await bench.elected();
      await put(group, 'a', 'k', 'old');
      const old = group.leader()!;
      const rest = others(group);
      const wakes = group.now + 4000;
      group[how](old, 4000);
      const next = await led(group, rest);
      await put(group, next, 'k', 'new');
      await group.run(wakes - group.now);
      const answers: unknown[] = [];
      for (let i = 0; i < 50; i++) {
        group
          .replica(old)
          .query({ op: 'get', key: 'k' }, { timeout: 3000 })
          .then(
            (answer) => answers.push(answer),
            () => undefined,
          );
        await group.run(1);
      }
      await group.run(4000);
      assert.ok(
        answers.every((answer) => answer === 'new'),
        `${how}: ${answers.join()}`,
      );
      assertLinearizable(group);
    }
  });

  test('of the local state need nobody, and show what is committed and nothing else', async (bench) => {
    const group = await bench.elected();
    await put(group, 'a', 'k', 'agreed');
    await level(group);
    const leader = group.leader()!;
    group.partition(three.map((id) => [id]));
    // The leader takes it in; nobody else does, and so nobody sees it.
    group
      .replica(leader)
      .submit({ op: 'put', key: 'k', value: 'only said' }, { timeout: 2000 })
      .catch(() => undefined);
    await group.run(1000);
    const begun = group.now;
    for (const id of three)
      for (const consistency of ['committed', 'local'] as const)
        assert.equal(await get(group, id, 'k', { consistency }), 'agreed');
    assert.equal(group.now, begun);
    group.heal();
    await level(group);
  });

  test('without a quorum end by their time-outs and signals, each once', async (bench) => {
    const group = await bench.elected();
    const [alone] = others(group);
    group.partition([[alone], three.filter((id) => id !== alone)]);
    await thrown(() => get(group, alone, 'k', { timeout: 50 }), 'ERR_TIMEOUT');
    await thrown(() => group.settle(group.replica(alone).ready({ timeout: 50 })), 'ERR_TIMEOUT');
    const controller = new AbortController();
    const read = failure(group.replica(alone).query({ op: 'get', key: 'k' }, { signal: controller.signal }));
    await group.run(3000);
    controller.abort();
    assert.equal((await group.settle(read))?.code, 'ERR_ABORTED');
    group.heal();
    await get(group, alone, 'k');
    await group.run(1000);
    for (const id of three) assert.equal(group.openReads(id), 0, 'none is left behind');
  });

  test('are answered while nobody writes, a thousand at once', async (bench) => {
    const group = await bench.elected();
    await put(group, 'a', 'k', 1);
    const reads = Array.from({ length: 1000 }, (_, i) =>
      group.replica(three[i % 3]!).query({ op: 'get', key: 'k' }),
    );
    assert.deepEqual(new Set(await group.settle(Promise.all(reads))), new Set([1]));
  });

  for (const [seed, nodes] of [three, five].entries())
    test(`stay linearizable under pauses, suspends, drifting clocks, restarts and transfers (seed ${seed})`, async (bench) => {
      const relay = seed % 2 === 0;
      await turmoil(await bench.elected({ seed, nodes, clocks: { driftRate: 0.1 }, relay }));
    });
}
