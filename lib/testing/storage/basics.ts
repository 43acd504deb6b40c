/** The conformance suite: what any storage does. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { lastOf } from '../../consensus/consensus.js';
import type { Entry, HardState } from '../../consensus/consensus.js';
import { encodeMembership, foundingMembership } from '../../consensus/membership.js';
import { bytes, entries, entry, hardState, plain, BINDING, FIRST_REIGN, SECOND_REIGN } from './context.js';
import type { Test } from './context.js';

/** @internal */
export function basicsTests(test: Test): void {
  test('begins empty', async (c) => {
    deepEqual(c.store.groups(), []);
    equal(await c.store.recover('g'), undefined);
    equal(await c.store.openSnapshot('g'), undefined);
    equal(c.store.logBytes('g'), 0);
    ok(c.store.headroom() >= 0);
    equal(c.store.failed, undefined);
  });

  test('keeps its incarnation', async (c) => {
    const { incarnation } = c.store;
    ok(incarnation.length >= 16);
    await c.reopen();
    equal(c.store.incarnation, incarnation);
  });

  test('is opened once at a time, and again after close', async (c) => {
    await rejects(c.storage.open(BINDING), { code: 'ERR_STORAGE_LOCKED' });
    await c.store.close();
    await c.store.close();
    await c.reopen();
  });

  test('belongs to the cluster and node that opened it first', async (c) => {
    await c.store.close();
    await rejects(c.storage.open({ ...BINDING, node: 'b' }), { code: 'ERR_STORAGE_FOREIGN' });
    await rejects(c.storage.open({ ...BINDING, cluster: 'other' }), { code: 'ERR_STORAGE_FOREIGN' });
    await c.reopen();
  });

  test('refuses work after close', async (c) => {
    await c.write({ group: 'g', entries: entries(1, 1) });
    await c.store.close();
    await rejects(c.write({ group: 'g', entries: entries(2, 1) }), { code: 'ERR_CLOSED' });
    await rejects(c.store.read('g', 1, 1, 100), { code: 'ERR_CLOSED' });
    await rejects(c.store.recover('g'), { code: 'ERR_CLOSED' });
    await rejects(c.store.createSnapshot('g'), { code: 'ERR_CLOSED' });
    await rejects(c.store.openSnapshot('g'), { code: 'ERR_CLOSED' });
  });

  test('brings back entries of all kinds as they were', async (c) => {
    const config = encodeMembership(foundingMembership(['a', 'b', 'c']));
    const written: Entry[] = [
      entry(1, { kind: 'noop', data: new Uint8Array(0), time: 1000 }),
      entry(2, { kind: 'config', data: config, time: 1000 }),
      entry(3, { count: 40, time: 1000.25, data: bytes(5000, 1) }),
      entry(43, { epoch: SECOND_REIGN, time: 1001, data: bytes(100_000, 2) }),
      entry(44, { epoch: SECOND_REIGN, time: 1e15, data: bytes(1, 3) }),
      entry(45, { epoch: { config: 3, n: 2 ** 50, priority: 7, node: 'ü'.repeat(60) }, kind: 'stop' }),
    ];
    await c.write({ group: 'g', entries: written.slice(0, 4) });
    await c.write({ group: 'g', entries: written.slice(4) });
    const check = async (): Promise<void> => {
      deepEqual(plain(await c.store.read('g', 1, 45, 1e9)), plain(written));
      const recovered = (await c.store.recover('g'))!;
      deepEqual(plain(recovered.tail), plain(written));
      deepEqual(plain(recovered.configs), plain([written[1]!]));
      deepEqual(
        recovered.runs.map(({ from }) => from),
        [1, 43, 45],
      );
      deepEqual(
        recovered.runs.map(({ epoch }) => epoch),
        [FIRST_REIGN, SECOND_REIGN, written[5]!.epoch],
      );
      deepEqual([recovered.firstIndex, recovered.lastIndex, recovered.lastTime], [1, 45, written[5]!.time]);
      equal(recovered.hard, undefined);
    };
    await check();
    await c.reopen();
    await check();
  });

  test('brings back the newest hard state', async (c) => {
    const states: HardState[] = [
      hardState({ vote: 'a' }),
      hardState({ epoch: SECOND_REIGN, accepted: FIRST_REIGN, commit: 7, genesis: 'f'.repeat(32) }),
      hardState({ promiseMs: 300, commit: 9 }),
    ];
    for (const hard of states) {
      await c.write({ group: 'g', hard });
      deepEqual((await c.store.recover('g'))?.hard, hard);
    }
    await c.reopen();
    const recovered = (await c.store.recover('g'))!;
    deepEqual(recovered.hard, states.at(-1));
    deepEqual([recovered.firstIndex, recovered.lastIndex, recovered.lastTime], [1, 0, 0]);
    deepEqual([recovered.runs, recovered.configs, recovered.tail], [[], [], []]);
  });

  test('calls back in order', async (c) => {
    const order: number[] = [];
    const all: Promise<void>[] = [];
    for (let i = 1; i <= 50; i++) {
      const writes = i % 10 === 0 ? [] : [{ group: `g${i % 3}`, hard: hardState({ commit: i }) }];
      all.push(
        new Promise((resolve, reject) => {
          c.store.write(writes, (error) => {
            order.push(i);
            if (error) reject(error);
            else resolve();
          });
        }),
      );
    }
    await Promise.all(all);
    deepEqual(
      order,
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
  });

  test('takes a write from within a callback', async (c) => {
    await new Promise<void>((resolve, reject) => {
      const step = (next: number): void => {
        if (next > 20) {
          resolve();
          return;
        }
        c.store.write([{ group: 'g', entries: entries(next, 1) }], (error) =>
          error ? reject(error) : step(next + 1),
        );
      };
      step(1);
    });
    await c.reopen();
    equal((await c.store.recover('g'))?.lastIndex, 20);
  });

  test('keeps groups apart', async (c) => {
    await c.write(
      { group: 'x', entries: entries(1, 3) },
      { group: 'X', entries: entries(1, 5) },
      { group: 'a:b@c', entries: entries(1, 2) },
    );
    await c.write({ group: 'x', truncateFrom: 2 }, { group: 'X', entries: entries(6, 1) });
    await c.reopen();
    deepEqual([...c.store.groups()].sort(), ['X', 'a:b@c', 'x']);
    deepEqual([await c.last('x'), await c.last('X'), await c.last('a:b@c')], [1, 6, 2]);
  });

  test('reads whole entries within the limits', async (c) => {
    await c.write({
      group: 'g',
      entries: [...entries(1, 10, 100), entry(11, { count: 5 }), ...entries(16, 10, 100)],
    });
    const indexes = async (from: number, to: number, max: number): Promise<number[]> =>
      (await c.store.read('g', from, to, max)).map(({ index }) => index);
    deepEqual(await indexes(1, 25, 0), [1]);
    deepEqual(await indexes(4, 6, 1e6), [4, 5, 6]);
    deepEqual(await indexes(25, 25, 1e6), [25]);
    deepEqual(await indexes(10, 13, 1e6), [10]);
    deepEqual(await indexes(11, 13, 1e6), [11]);
    deepEqual(await indexes(13, 16, 1e6), [11, 16]);
    const some = await indexes(1, 25, 450);
    ok(some.length >= 2 && some.length <= 4);
    await rejects(c.store.read('g', 26, 26, 1), { code: 'ERR_INTERNAL' });
    await rejects(c.store.read('g', 3, 2, 1), { code: 'ERR_INTERNAL' });
    await rejects(c.store.read('h', 1, 1, 1), { code: 'ERR_INTERNAL' });
  });

  test('reads what is not yet durable, too', async (c) => {
    const done = c.write({ group: 'g', entries: entries(1, 3) });
    equal((await c.store.read('g', 1, 3, 1e6)).length, 3);
    await done;
  });

  test('brings back a long log', async (c) => {
    const written = entries(1, 3000, 1000);
    for (let i = 0; i < written.length; i += 100)
      await c.write({ group: 'g', entries: written.slice(i, i + 100) });
    await c.reopen();
    deepEqual([await c.first('g'), await c.last('g')], [1, 3000]);
    const read: Entry[] = [];
    for (let next = 1; next <= 3000; next = lastOf(read.at(-1)!) + 1)
      read.push(...(await c.store.read('g', next, 3000, 200_000)));
    deepEqual(plain(read), plain(written));
    const { tail } = (await c.store.recover('g'))!;
    equal(tail.at(-1)!.index, 3000);
    tail.forEach((one, i) => equal(one.index, tail[0]!.index + i));
  });
}
