/** Commands come from any member, in order, alike everywhere, and are answered with what the machine did. */
import assert from 'node:assert/strict';
import type { AppliedChange } from '../../replica/changes.js';
import { three } from './bench.js';
import { ledger, UNLUCKY } from './ledger.js';
import { get, level, others, put, thrown } from './steps.js';
import type { Suite } from './suite.js';

/** @internal */
export function commandsTests({ test }: Suite): void {
  test('are taken, and queries answered, by every member', async (bench) => {
    const group = await bench.elected();
    for (const id of three) assert.deepEqual(await put(group, id, `from ${id}`, id), { ok: true });
    for (const id of three)
      for (const other of three) assert.equal(await get(group, id, `from ${other}`), other);
    await level(group);
    const digests = await Promise.all(three.map((id) => group.replica(id).digest()));
    assert.equal(new Set(digests.map(({ digest }) => digest)).size, 1);
  });

  test('are answered with what the machine returned, each once and in one order', async (bench) => {
    const group = await bench.elected({ stateMachine: ledger });
    const calls = three.flatMap((id) =>
      Array.from({ length: 100 }, () => group.replica(id).submit({ op: 'add', by: 1 })),
    );
    const results = await group.settle(Promise.all(calls));
    assert.deepEqual(
      results.toSorted((a, b) => a - b),
      Array.from({ length: 300 }, (_, i) => i + 1),
    );
    const seen = await group.settle(group.replica('a').query({ op: 'seen' }));
    assert.equal(seen.length, 300);
    for (let i = 1; i < seen.length; i++)
      assert.ok(seen[i]! > seen[i - 1]!, 'every command has an index of its own');
  });

  test('of one member are applied in the order in which they were submitted', async (bench) => {
    const group = await bench.elected({ stateMachine: ledger });
    for (const id of three) {
      const names = Array.from({ length: 60 }, (_, i) => `${id}${i}`);
      const calls: Promise<unknown>[] = [];
      for (const [at, name] of names.entries()) {
        calls.push(group.replica(id).submit({ op: 'name', name }));
        // Some in one turn, some in the next ones, while the first are under way.
        if (at % 7 === 0) await group.run(0.3);
      }
      await group.settle(Promise.all(calls));
    }
    const names = await group.settle(group.replica('a').query({ op: 'names' }));
    for (const id of three)
      assert.deepEqual(
        names.filter((name) => name.startsWith(id)),
        Array.from({ length: 60 }, (_, i) => `${id}${i}`),
      );
  });

  test('that the machine refuses, that throw, or that it does not know, fail alike everywhere', async (bench) => {
    const group = await bench.elected({ stateMachine: ledger });
    for (const id of three) {
      const replica = group.replica(id);
      const submit = (by: number) => () => group.settle(replica.submit({ op: 'add', by }));
      const rejected = await thrown(submit(-1), 'ERR_REJECTED');
      assert.deepEqual([rejected.reason, rejected.data, rejected.fate], ['negative', { by: -1 }, undefined]);
      await thrown(submit(UNLUCKY), 'ERR_COMMAND_FAILED');
      const unknown = replica.submit({ op: 'nonsense' } as never);
      await thrown(() => group.settle(unknown), 'ERR_UNKNOWN_OPERATION');
      await thrown(() => group.settle(replica.query({ op: 'broken' })), 'ERR_QUERY_FAILED');
    }
    assert.equal(await group.settle(group.replica('b').query({ op: 'total' })), 0);
    await level(group);
  });

  test('have a time that never goes back, whatever the clocks of leaders do', async (bench) => {
    const group = await bench.elected({ stateMachine: ledger });
    const time = () => group.settle(group.replica(others(group)[0]).submit({ op: 'time' }));
    const { now: first } = await time();
    group.shiftClock(group.leader()!, 3_600_000);
    const { before, now: later } = await time();
    assert.equal(before, first);
    assert.ok(later - first >= 3_600_000 && later - first < 3_620_000, `${later - first} ms`);
    group.shiftClock(group.leader()!, -7_200_000);
    assert.ok((await time()).now >= later);
    await group.settle(group.replica('a').transferLeadership());
    assert.ok((await time()).now >= later, 'under the next leader');
  });

  test('bear messages that are lost, doubled, late and out of order', async (bench) => {
    for (let seed = 1; seed <= 3; seed++) {
      const messages = { lossRate: 0.15, duplicateRate: 0.2, reorderRate: 0.2, delayMs: 60 };
      const group = await bench.elected({ seed, stateMachine: ledger, messages });
      const calls = Array.from({ length: 60 }, async (_, i) => {
        await group.sleep(10 * i);
        return group.replica(three[i % 3]!).submit({ op: 'add', by: 1 });
      });
      const results = await group.settle(Promise.all(calls));
      assert.equal(new Set(results).size, 60);
      assert.equal(await group.settle(group.replica('c').query({ op: 'total' })), 60);
    }
  });

  test('bear links that break again and again', async (bench) => {
    const group = await bench.elected({ stateMachine: ledger });
    const calls: Promise<number>[] = [];
    for (let i = 0; i < 60; i++) {
      calls.push(group.replica(three[i % 3]!).submit({ op: 'add', by: 1 }));
      if (i % 4 === 0) group.network.reset(three[i % 3]!, three[(i + 1) % 3]!);
      await group.run(15);
    }
    assert.equal(new Set(await group.settle(Promise.all(calls))).size, 60);
  });

  test('may be larger than a message, and than all that may be under way', async (bench) => {
    const consensus = bench.consensus({ maxMessageBytes: 1024, maxInflightBytes: 4096 });
    const group = await bench.elected({ consensus });
    for (const id of three) {
      const value = new Uint8Array(40_000).fill(id.charCodeAt(0));
      const calls = [1, 2, 3].map((n) => group.replica(id).submit({ op: 'put', key: `${id}${n}`, value }));
      await group.settle(Promise.all(calls));
      assert.deepEqual(await get(group, id, `${id}3`), value);
    }
    await level(group);
  });

  test('are streamed to whoever wants the changes, from an index on', async (bench) => {
    const group = await bench.elected({ stateMachine: ledger });
    const a = group.replica('a');
    const b = group.replica('b');
    await group.settle(a.submit({ op: 'add', by: 1 }));
    await group.settle(b.ready());
    const stream = b.changes();
    assert.equal(((await group.settle(stream.next())).value as { type: string }).type, 'reset');
    for (let by = 2; by <= 5; by++) await group.settle(a.submit({ op: 'add', by }));
    await thrown(() => group.settle(a.submit({ op: 'add', by: -1 })), 'ERR_REJECTED');
    const got: AppliedChange[] = [];
    for (let i = 0; i < 5; i++) got.push((await group.settle(stream.next())).value as AppliedChange);
    assert.deepEqual(
      got.map(({ command, ok, origin }) => [command, ok, origin]),
      [2, 3, 4, 5, -1].map((by) => [{ op: 'add', by }, by > 0, 'a']),
    );
    const resumed = b.changes({ from: got[1]!.index });
    assert.deepEqual((await group.settle(resumed.next())).value, got[2]);
    await stream.return?.();
    await resumed.return?.();
  });

  test('of many groups on one mesh and one storage do not meet', async (bench) => {
    const { nodes } = bench;
    const groups = await Promise.all(
      ['one', 'two', 'three'].map((group) => Promise.all(three.map((id) => nodes.open(id, { group })))),
    );
    await Promise.all(groups.map((replicas, at) => replicas[at]!.submit({ op: 'add', by: at + 1 })));
    for (const [at, replicas] of groups.entries())
      assert.equal(await replicas[0]!.query({ op: 'total' }), at + 1);
    await groups[0]![0]!.close();
    assert.equal(await groups[1]![0]!.submit({ op: 'add', by: 1 }), 3);
  });
}
