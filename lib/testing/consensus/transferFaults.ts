/** Transfers that are struck at any moment leave a group that serves, and a leader that does not wait for ever. */
import assert from 'node:assert/strict';
import { three } from './bench.js';
import { assertLinearizable, get, led, level, others, put, thrown, up } from './steps.js';
import type { Suite } from './suite.js';

/** @internal */
export function transferFaultsTests({ test }: Suite): void {
  for (const victim of ['target', 'leader'] as const)
    for (const how of ['crashes', 'is cut off', 'stands still'] as const)
      test(`leave a group that serves when the ${victim} ${how}, at any moment`, async (bench) => {
        // A way takes 4 ms: the steps are those before, in and after each message of a hand-over.
        for (let ms = 1; ms <= 25; ms += 4) {
          const group = await bench.elected({ network: { latencyMs: 4, tailMs: 0 } });
          await put(group, 'a', 'k', 'before');
          const leader = group.leader()!;
          const [target, third] = others(group);
          const struck = victim === 'target' ? target : leader;
          const call = group.replica(third).transferLeadership(target, { timeout: 5000 });
          const ended = call.then(
            () => 'done',
            (error: unknown) => (error as { code: string }).code,
          );
          const written = group.replica(third).submit({ op: 'put', key: 'meanwhile', value: ms });
          await group.run(ms);
          if (how === 'crashes') group.crash(struck);
          else if (how === 'stands still') group.pause(struck, 1500);
          else for (const other of three) if (other !== struck) group.cut(struck, other);
          const result = await group.settle(ended);
          assert.ok(['done', 'ERR_TRANSFER_FAILED', 'ERR_TIMEOUT'].includes(result), result);
          await led(
            group,
            three.filter((id) => group.state(id) === 'up'),
          );
          await put(group, third, 'k', 'after');
          await group.settle(written);
          group.heal();
          if (how === 'crashes') group.restart(struck);
          await up(group, struck);
          await level(group);
          for (const id of three) assert.equal(await get(group, id, 'k'), 'after');
          assertLinearizable(group);
        }
      });

  test('are given up when the target does not take over, and what was held meanwhile is done', async (bench) => {
    const group = await bench.elected();
    const leader = group.leader()!;
    const [target, third] = others(group);
    group.pause(target, 6000);
    const begun = group.now;
    const call = group.replica(third).transferLeadership(target, { timeout: 5000 });
    call.catch(() => undefined);
    const written = Array.from({ length: 10 }, (_, i) =>
      group.replica(three.filter((id) => id !== target)[i % 2]!).submit({ op: 'put', key: `${i}`, value: i }),
    );
    await thrown(() => group.settle(call), 'ERR_TRANSFER_FAILED');
    await group.settle(Promise.all(written));
    assert.ok(group.now - begun < 1500, `${group.now - begun} ms; the election time-out is 300 ms`);
    await put(group, third, 'k', 2);
    assert.equal(group.leader(), leader);
    await group.run(7000);
    await level(group);
    assertLinearizable(group);
  });

  test('are refused for a target that is down', async (bench) => {
    const group = await bench.elected();
    const leader = group.leader()!;
    const [target, third] = others(group);
    group.crash(target);
    await group.run(3000);
    const { message } = await thrown(
      () => group.settle(group.replica(third).transferLeadership(target, { timeout: 5000 })),
      'ERR_TRANSFER_FAILED',
    );
    assert.match(message, /has no link to|has not caught up/);
    await put(group, third, 'k', 1);
    assert.equal(group.leader(), leader);
  });

  test('are refused for a target that is far behind', async (bench) => {
    // Its disk stands still, and so it lacks more than fits the way to it.
    const consensus = bench.consensus({ maxMessageBytes: 2048, maxInflightBytes: 4096 });
    const group = await bench.elected({ consensus });
    const [target, third] = others(group);
    group.disk(target).stall(4000);
    for (let n = 0; n < 8; n++) await put(group, third, `k${n}`, new Uint8Array(1000));
    const { message } = await thrown(
      () => group.settle(group.replica(third).transferLeadership(target, { timeout: 2000 })),
      'ERR_TRANSFER_FAILED',
    );
    assert.match(message, /has not caught up/);
    await put(group, third, 'k', 1);
  });

  test('are asked for again when the request is lost with its link', async (bench) => {
    const group = await bench.elected();
    const leader = group.leader()!;
    const [target, third] = others(group);
    group.network.reset(third, leader);
    const call = group.replica(third).transferLeadership(target, { timeout: 20_000 });
    group.network.reset(third, leader);
    await group.settle(call);
    assert.equal(group.leader(), target);
  });

  test('bear messages that come twice, late, and in another order', async (bench) => {
    for (let seed = 1; seed <= 3; seed++) {
      const messages = { duplicateRate: 0.5, reorderRate: 0.3, delayMs: 60 };
      const group = await bench.elected({ seed, messages });
      for (let n = 0; n < 6; n++) {
        const call = group.replica(three[n % 3]!).transferLeadership(undefined, { timeout: 3000 });
        await group.settle(call.catch(() => undefined));
        await put(group, three[(n + 1) % 3]!, 'k', n);
      }
      assert.equal(await get(group, 'a', 'k'), 5);
    }
  });

  test('end with their signals, and leave nothing behind', async (bench) => {
    const group = await bench.elected();
    const [target, third] = others(group);
    group.pause(target, 3000);
    const abort = new AbortController();
    const { signal } = abort;
    const call = group.replica(third).transferLeadership(target, { signal });
    call.catch(() => undefined);
    group.after(50, () => abort.abort());
    assert.equal((await thrown(() => group.settle(call), 'ERR_ABORTED')).name, 'AbortError');
    await thrown(
      () => group.settle(group.replica(third).transferLeadership(target, { signal })),
      'ERR_ABORTED',
    );
    await put(group, third, 'k', 1);
  });
}
