/** The leadership goes where it is wanted, from any member; nobody's call fails for it. */
import assert from 'node:assert/strict';
import { five, three, type Group } from './bench.js';
import { ledger } from './ledger.js';
import { assertLinearizable, level, led, others, put, thrown } from './steps.js';
import type { Suite } from './suite.js';

/** Clients that never stop; `failed` holds what any submit failed with. */
function load(group: Group) {
  const state = { done: 0, failed: [] as unknown[], stop: false };
  const client = async (id: string, name: string): Promise<void> => {
    for (let n = 0; !state.stop; n++) {
      await group.sleep(3);
      await group
        .replica(id)
        .submit({ op: 'put', key: name, value: n })
        .then(
          () => state.done++,
          (error: unknown) => state.failed.push(error),
        );
    }
  };
  const running = Promise.all(
    group.nodes.flatMap((id) => ['x', 'y'].map((key) => client(id, `${id}${key}`))),
  );
  return {
    state,
    end: async () => {
      state.stop = true;
      await group.settle(running);
    },
  };
}

function transfer(group: Group, through: string, to?: string, timeout = 10_000) {
  return group.settle(group.replica(through).transferLeadership(to, { timeout }));
}

/** @internal */
export function transferTests({ test }: Suite): void {
  test('go where they are told, through any member, and it is known where it was asked for', async (bench) => {
    const group = await bench.elected();
    for (const through of three)
      for (const to of three) {
        if (group.leader() === to) continue;
        await transfer(group, through, to);
        assert.equal(group.replica(through).status().leader, to);
        assert.equal(group.leader(), to);
      }
    await level(group);
  });

  test('are done already where the target leads', async (bench) => {
    const group = await bench.elected();
    const leader = group.leader()!;
    const [one] = others(group);
    await level(group);
    // What belongs to the beginning, such as who is on record, is over.
    await group.run(2000);
    const { epoch } = group.replica(one).status();
    await transfer(group, one, leader);
    const status = group.replica(one).status();
    assert.deepEqual([status.leader, status.epoch], [leader, epoch]);
  });

  test('go to somebody else when nobody is named, sooner than by an election', async (bench) => {
    for (const through of [0, 1, 2]) {
      const group = await bench.elected({ nodes: five });
      const before = group.leader();
      const begun = group.now;
      await transfer(group, five[through]!);
      assert.notEqual(group.leader(), before);
      assert.ok(group.now - begun < 150, `${group.now - begun} ms; the election time-out is 300 ms`);
    }
  });

  for (const onNoQuorum of ['wait', 'reject'] as const)
    test(`fail no command under load, with onNoQuorum '${onNoQuorum}'`, async (bench) => {
      const group = await bench.elected({ onNoQuorum });
      const { state, end } = load(group);
      const reigns = group.counts().reigns!;
      for (let n = 0; n < 12; n++) {
        await group.run(40);
        await transfer(group, three[n % 3]!);
      }
      await group.run(100);
      await end();
      assert.deepEqual(state.failed, []);
      assert.ok(state.done > 200, `${state.done} commands`);
      assert.ok(group.counts().reigns! >= reigns + 12);
      assertLinearizable(group);
      await level(group);
    });

  test('apply each command once, whatever was under way when they came', async (bench) => {
    const group = await bench.elected({ stateMachine: ledger, network: { latencyMs: 4, tailMs: 4 } });
    const calls: Promise<number>[] = [];
    for (let n = 0; n < 8; n++) {
      for (let i = 0; i < 12; i++) {
        calls.push(group.replica(three[i % 3]!).submit({ op: 'add', by: 1 }));
        await group.run(2);
      }
      void group
        .replica(three[n % 3]!)
        .transferLeadership()
        .catch(() => undefined);
    }
    const results = await group.settle(Promise.all(calls));
    assert.equal(new Set(results).size, calls.length);
    assert.equal(await group.settle(group.replica('b').query({ op: 'total' })), calls.length);
  });

  test('keep reads linearizable while they go on', async (bench) => {
    const group = await bench.elected();
    const { end } = load(group);
    const seen: Promise<unknown>[] = [];
    for (let n = 0; n < 30; n++) {
      await group.run(7);
      for (const id of three) seen.push(group.replica(id).query({ op: 'get', key: 'ax' }));
      if (n % 3 === 0)
        void group
          .replica(three[n % 2]!)
          .transferLeadership()
          .catch(() => undefined);
    }
    await end();
    await group.settle(Promise.all(seen));
    assertLinearizable(group);
  });

  test('wait for a leader, and time out without one', async (bench) => {
    const group = await bench.elected();
    const [one, other] = others(group);
    group.crash(group.leader()!);
    await group.settle(group.replica(one).transferLeadership(other, { timeout: 20_000 }));
    assert.equal(group.leader(), other);
    group.crash(one);
    await group.run(3000);
    await thrown(() => transfer(group, other, one, 500), 'ERR_TIMEOUT');
  });

  test('refuse a target that is no voter, or that leads and is asked', async (bench) => {
    const group = await bench.elected({ nodes: ['a', 'b', 'c', 'd'], founders: three });
    group.restart('d', { join: 'learner' });
    await group.runUntil(() => group.replica('a').status().members.length === 4, 10_000);
    const leader = group.leader()!;
    for (const to of ['z', 'd', '', 7 as unknown as string]) {
      const { message } = await thrown(() => transfer(group, 'a', to), 'ERR_CONFIG');
      assert.match(message, /^to must be a voter of the group: a, b, c, got /);
    }
    const { message } = await thrown(() => transfer(group, leader, leader), 'ERR_CONFIG');
    assert.match(message, /this one leads already/);
  });

  test('cannot be where nobody else votes', async (bench) => {
    const group = await bench.elected({ nodes: ['only'] });
    const { message } = await thrown(() => transfer(group, 'only'), 'ERR_TRANSFER_FAILED');
    assert.match(message, /there is no other voter on record/);
    await put(group, 'only', 'k', 1);
  });

  test('come first when the leader closes, and the group goes on without a time-out', async (bench) => {
    const group = await bench.elected();
    const leader = group.leader()!;
    const rest = others(group);
    const begun = group.now;
    const waiting = group.replica(rest[0]).submit({ op: 'put', key: 'k', value: 1 });
    await group.settle(group.replica(leader).close());
    await group.settle(waiting);
    await led(group, rest);
    await put(group, rest[0], 'k', 2);
    assert.ok(group.now - begun < 200, `${group.now - begun} ms; the election time-out is 300 ms`);
  });

  test('do not come first when closing is told not to, nor hold it up where nobody could take over', async (bench) => {
    const told = await bench.elected();
    const leader = told.leader()!;
    const begun = told.now;
    await told.settle(told.replica(leader).close({ handOver: false }));
    assert.ok(told.now - begun < 50);
    assert.equal(told.replica(others(told)[0]).status().leader, leader, 'nobody took over yet');
    const alone = await bench.elected();
    const last = alone.leader()!;
    for (const id of others(alone)) alone.crash(id);
    await alone.run(150);
    const at = alone.now;
    await alone.settle(alone.replica(last).close());
    assert.ok(alone.now - at < 1100, `${alone.now - at} ms`);
  });
}
