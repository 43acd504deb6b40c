/** What calls do while no quorum answers: they wait, are refused, or are kept; and their errors say what became of them. */
import assert from 'node:assert/strict';
import { three } from './bench.js';
import { ledger } from './ledger.js';
import { failure, get, level, others, put, thrown, until, up } from './steps.js';
import type { Suite } from './suite.js';

/** @internal */
export function noQuorumTests({ test }: Suite): void {
  test('has calls wait until it is back', async (bench) => {
    const group = await bench.elected();
    const [alone] = others(group);
    group.partition([[alone], three.filter((id) => id !== alone)]);
    await until(group, 'the loss is known', () => !group.replica(alone).status().quorum);
    const write = group.replica(alone).submit({ op: 'put', key: 'k', value: 1 });
    const read = group.replica(alone).query({ op: 'get', key: 'k' });
    await group.run(4000);
    assert.equal(group.openCalls, 2);
    assert.equal(group.replica(alone).peek({ op: 'get', key: 'k' }), undefined);
    group.heal();
    assert.deepEqual(await group.settle(write), { ok: true });
    await group.settle(read);
    assert.equal(await get(group, others(group)[0], 'k'), 1);
  });

  test('is no reason for a leader to say that it has one', async (bench) => {
    const group = await bench.elected();
    const leader = group.leader()!;
    for (const id of others(group)) group.crash(id);
    await until(group, 'the loss is known', () => !group.replica(leader).status().quorum, 5000);
    assert.notEqual(group.replica(leader).status().role, 'leader');
    const error = await thrown(() => put(group, leader, 'k', 1, { timeout: 500 }), 'ERR_TIMEOUT');
    assert.ok(error.fate !== undefined);
    await thrown(() => get(group, leader, 'k', { timeout: 500 }), 'ERR_TIMEOUT');
  });

  test("is told at once with onNoQuorum 'reject', and no longer than it lasts", async (bench) => {
    const group = await bench.elected({ onNoQuorum: 'reject' });
    const [alone] = others(group);
    group.partition([[alone], three.filter((id) => id !== alone)]);
    await until(group, 'the loss is known', () => !group.replica(alone).status().quorum);
    const begun = group.now;
    assert.equal((await thrown(() => put(group, alone, 'k', 1), 'ERR_NOT_READY')).fate, 'refused');
    await thrown(() => get(group, alone, 'k'), 'ERR_NOT_READY');
    assert.equal(group.now, begun);
    await group.settle(group.replica(alone).query({ op: 'get', key: 'k' }, { consistency: 'local' }));
    group.heal();
    await until(group, 'a quorum', () => group.replica(alone).status().quorum);
    await put(group, alone, 'k', 2);
    assert.equal(await get(group, others(group)[0], 'k'), 2);
  });

  test("has commands kept with onNoQuorum 'queue', over a loss of power, each applied once and in order", async (bench) => {
    const group = await bench.elected({ onNoQuorum: 'queue', stateMachine: ledger });
    const [alone] = others(group);
    group.partition([[alone], three.filter((id) => id !== alone)]);
    await until(group, 'the loss is known', () => !group.replica(alone).status().quorum);
    const queued: string[] = [];
    group
      .replica(alone)
      .on('outbox:queued', ({ command }) => queued.push((command as { name: string }).name));
    for (let i = 0; i < 20; i++) {
      group
        .replica(alone)
        .submit({ op: 'name', name: `q${i}` })
        .catch(() => undefined);
      await group.run(5);
    }
    await until(group, 'all are queued', () => queued.length === 20);
    group.crash(alone);
    group.heal();
    group.restart(alone);
    await up(group, alone);
    const names = (): string[] => group.replica(others(group)[0]).peek({ op: 'names' });
    await until(group, 'all are replayed', () => names().length === 20);
    await level(group);
    assert.deepEqual(names(), queued);
    assert.equal(group.replica(alone).status().outbox.size, 0);
  });

  test('ends calls by their time-outs: refused if they never left, and otherwise ambiguous, with a request id', async (bench) => {
    const group = bench.simulate({ stateMachine: ledger });
    for (const id of ['b', 'c']) group.crash(id);
    await up(group, 'a');
    const add = (requestId?: string, timeout = 400) =>
      group.settle(
        group.replica('a').submit({ op: 'add', by: 1 }, { timeout, ...(requestId && { requestId }) }),
      );
    const unsent = await thrown(() => add(), 'ERR_TIMEOUT');
    assert.equal(unsent.fate, 'refused');
    for (const id of ['b', 'c']) group.restart(id);
    await group.ready();
    assert.equal(await add(undefined, 5000), 1);
    const leader = group.leader()!;
    await group.settle(group.replica(leader).submit({ op: 'add', by: 1 }));
    for (const id of others(group)) group.crash(id);
    // Its leadership has not run out yet: it takes the command in.
    const call = group.replica(leader).submit({ op: 'add', by: 10 }, { timeout: 200 });
    const sent = await thrown(() => group.settle(call), 'ERR_TIMEOUT');
    assert.equal(sent.fate, 'ambiguous');
    assert.ok(sent.requestId !== undefined);
    for (const id of three) if (id !== leader) group.restart(id);
    for (const id of three) await up(group, id);
    const again = group.replica(three.find((id) => id !== leader)!);
    const { requestId } = sent;
    assert.equal(await group.settle(again.submit({ op: 'add', by: 10 }, { requestId })), 12);
  });

  test('leaves calls to their signals', async (bench) => {
    const group = bench.simulate();
    for (const id of ['b', 'c']) group.crash(id);
    await up(group, 'a');
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [
      failure(group.replica('a').query({ op: 'get', key: 'k' }, { signal })),
      failure(group.replica('a').submit({ op: 'put', key: 'k', value: 1 }, { signal })),
      failure(group.replica('a').ready({ signal })),
    ];
    await group.run(100);
    controller.abort();
    for (const error of await group.settle(Promise.all(calls)))
      assert.deepEqual([error?.code, error?.name], ['ERR_ABORTED', 'AbortError']);
  });

  test('ends every call when the replica closes, with a fate', async (bench) => {
    const group = await bench.elected();
    const [alone] = others(group);
    group.partition([[alone], three.filter((id) => id !== alone)]);
    const writes = Array.from({ length: 10 }, (_, i) =>
      failure(group.replica(alone).submit({ op: 'put', key: `${i}`, value: i })),
    );
    const reads = Array.from({ length: 10 }, () =>
      failure(group.replica(alone).query({ op: 'get', key: '1' })),
    );
    await group.run(1000);
    await group.settle(group.replica(alone).close());
    for (const error of await group.settle(Promise.all(writes))) {
      assert.equal(error?.code, 'ERR_CLOSED');
      assert.ok(error.fate === 'ambiguous' || error.fate === 'refused');
    }
    for (const error of await group.settle(Promise.all(reads))) assert.equal(error?.code, 'ERR_CLOSED');
  });
}
