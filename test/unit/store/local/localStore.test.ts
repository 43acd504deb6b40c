/** Reading and writing on one node, and what comes of it where nodes meet. */
import { expect } from 'chai';
import { crdt, custom, lww, siblings } from '../../../../lib/store/resolve/resolution.js';
import { pnCounter } from '../../../../lib/store/crdt/counter.js';
import { orSet } from '../../../../lib/store/crdt/orSet.js';
import type { StoreConflict } from '../../../../lib/store/local/localTypes.js';
import { memoryStorage } from '../../../../lib/storage/memoryStorage.js';
import { failure, meet, openLocal } from './support.js';

describe('the local part of a store', () => {
  it('gets, puts, updates, deletes and lists', async () => {
    const { local, close } = await openLocal(lww());
    expect(await local.get('x')).to.include({ value: undefined, versions: 0 });
    await local.put('x', { deep: [1, new Date(5)] });
    await local.put('w', 1);
    await local.put('xy', 2);
    expect((await local.get('x')).value).to.deep.equal({ deep: [1, new Date(5)] });
    expect(local.valueIn(await local.update('w', (value) => (value as number) + 1))).to.equal(2);
    expect(await local.list()).to.deep.equal([
      ['w', 2],
      ['x', { deep: [1, new Date(5)] }],
      ['xy', 2],
    ]);
    expect(await local.list({ prefix: 'x', after: 'x' })).to.deep.equal([['xy', 2]]);
    expect(await local.list({ limit: 1 })).to.deep.equal([['w', 2]]);
    await local.delete('x');
    await local.delete('never');
    expect((await local.get('x')).value).to.equal(undefined);
    expect((await local.list()).map(([key]) => key)).to.deep.equal(['w', 'xy']);
    expect(local.valueIn(await local.update('w', () => undefined))).to.equal(undefined);
    expect((await local.list()).map(([key]) => key)).to.deep.equal(['xy']);
    expect(local.status().keys, 'deletions are remembered').to.equal(3);
    await close();
  });

  it('never loses a write unseen, where writers give the context of what they read', async () => {
    const [a, b] = [
      await openLocal(siblings<string>(), { node: 'a' }),
      await openLocal(siblings<string>(), { node: 'b' }),
    ];
    await a.local.put('k', 'old');
    await meet(a.local, b.local);
    const { context } = await a.local.get('k');
    await a.local.put('k', 'one', { context });
    await b.local.put('k', 'two', { context });
    await a.local.put('k', 'three', { context });
    await meet(a.local, b.local);
    const read = await b.local.get('k');
    expect(read.value?.slice().sort()).to.deep.equal(['one', 'three', 'two']);
    expect((await a.local.get('k')).value, 'newest first, the same everywhere').to.deep.equal(read.value);
    // A context that was read on one node serves on any other, also where that node lags.
    const c = await openLocal(siblings<string>(), { node: 'c' });
    await c.local.put('k', 'merged', { context: read.context });
    await meet(c.local, a.local);
    expect((await a.local.get('k')).value).to.deep.equal(['merged']);
    expect((await c.local.get('k')).value).to.deep.equal(['merged']);
    for (const { close } of [a, b, c]) await close();
  });

  it('resolves siblings by a function, and says when that throws', async () => {
    const resolve = siblings<number[]>((all) => {
      if (all.flat().includes(13)) throw new Error('bad luck');
      return [...new Set(all.flat())].sort();
    });
    const [a, b] = [await openLocal(resolve, { node: 'a' }), await openLocal(resolve, { node: 'b' })];
    await a.local.put('k', [1, 3]);
    await b.local.put('k', [2]);
    await meet(a.local, b.local);
    expect(await a.local.get('k')).to.deep.include({ value: [1, 2, 3], versions: 2 });
    await a.local.update('k', (value) => [...value!, 4]);
    expect(await a.local.get('k')).to.deep.include({ value: [1, 2, 3, 4], versions: 1 });
    await a.local.put('k', [13]);
    const error = await failure(a.local.get('k'));
    expect([error.code, error.message]).to.deep.equal([
      'ERR_RESOLVER_FAILED',
      'the function that resolves conflicts threw: bad luck',
    ]);
    for (const { close } of [a, b]) await close();
  });

  it('merges by a function of two', async () => {
    const most = custom<number>((x, y) => Math.max(x, y));
    const [a, b] = [await openLocal(most, { node: 'a' }), await openLocal(most, { node: 'b' })];
    for (const value of [3, 9, 5]) await a.local.put('k', value);
    await b.local.put('k', 7);
    await meet(a.local, b.local);
    expect([(await a.local.get('k')).value, (await b.local.get('k')).value]).to.deep.equal([9, 9]);
    for (const { close } of [a, b]) await close();
  });

  it('lets the last write win, and tells which lost', async () => {
    const [a, b] = [
      await openLocal(lww<string>(), { node: 'a' }),
      await openLocal(lww<string>(), { node: 'b' }),
    ];
    const told: StoreConflict[] = [];
    for (const { local } of [a, b]) local.on('conflict', (conflict) => told.push(conflict));
    await a.local.put('k', 'early');
    b.wall.ms += 10;
    await b.local.put('k', 'late');
    await meet(a.local, b.local);
    expect([(await a.local.get('k')).value, (await b.local.get('k')).value]).to.deep.equal(['late', 'late']);
    expect(
      told.map(({ key, winner, losers }) => [
        key,
        winner.value,
        winner.node,
        losers.map(({ value }) => value),
      ]),
    ).to.deep.equal([['k', 'late', 'b', ['early']]]);
    await a.local.put('k', 'later, and knows');
    await meet(a.local, b.local);
    expect(told.length, 'what is replaced knowingly is no conflict').to.equal(1);
    for (const { close } of [a, b]) await close();
  });

  it('lets what was written later win for its cause, though a clock is an hour ahead', async () => {
    const [a, b, c] = [
      await openLocal(lww<string>(), { node: 'a', wall: { ms: 1_700_003_600_000 } }),
      await openLocal(lww<string>(), { node: 'b' }),
      await openLocal(lww<string>(), { node: 'c' }),
    ];
    const ahead: number[] = [];
    b.local.on('clock:ahead', ({ aheadMs }) => ahead.push(aheadMs));
    await a.local.put('k', 'from the future');
    await meet(a.local, b.local);
    expect(ahead).to.deep.equal([3_600_000]);
    await b.local.put('k', 'from now');
    c.wall.ms += 10;
    await c.local.put('k', 'unaware');
    await meet(b.local, c.local);
    await meet(c.local, a.local);
    await meet(a.local, b.local);
    for (const { local } of [a, b, c]) expect((await local.get('k')).value).to.equal('from now');
    expect(b.local.table.clock.now().wall, 'its clock did not follow').to.equal(1_700_000_000_000);
    // A context that was read elsewhere is enough for that too.
    const d = await openLocal(lww<string>(), { node: 'd' });
    await d.local.put('k', 'by context', { context: (await b.local.get('k')).context });
    await meet(d.local, a.local);
    expect((await a.local.get('k')).value).to.equal('by context');
    for (const { close } of [a, b, c, d]) await close();
  });

  it('counts and collects what is added anywhere', async () => {
    const counters = crdt(pnCounter());
    const [a, b] = [await openLocal(counters, { node: 'a' }), await openLocal(counters, { node: 'b' })];
    expect(a.local.valueIn(await a.local.update('n', { op: 'add', by: 5 }))).to.equal(5);
    expect(b.local.valueIn(await b.local.update('n', [{ op: 'add' }, { op: 'add', by: -3 }]))).to.equal(-2);
    await meet(a.local, b.local);
    expect([(await a.local.get('n')).value, (await b.local.get('n')).value]).to.deep.equal([3, 3]);
    expect((await failure(a.local.put('n', 5 as never))).code).to.equal('ERR_CONFIG');
    expect((await failure(a.local.update('n', { op: 'sub' } as never))).code).to.equal('ERR_CONFIG');
    expect((await failure(a.local.update('n', []))).code).to.equal('ERR_CONFIG');
    expect((await failure(a.local.update('n', { op: 'add', by: 2 ** 53 - 1 }))).code).to.equal('ERR_CONFIG');
    expect((await a.local.get('n')).value).to.equal(3);
    const sets = await openLocal(crdt(orSet<string>()));
    expect(sets.local.valueIn(await sets.local.update('tags', { op: 'add', value: 'x' }))).to.deep.equal([
      'x',
    ]);
    await sets.local.delete('tags');
    expect((await sets.local.get('tags')).value).to.equal(undefined);
    for (const { close } of [a, b, sets]) await close();
  });

  it('does not let a peer bring in what cannot be read', async () => {
    const { local, close } = await openLocal(crdt(pnCounter()));
    const other = await openLocal(lww(), { node: 'b' });
    await other.local.put('n', 'no counter');
    expect((await failure(local.merge('n', (await other.local.versionsOf('n'))!))).code).to.equal(
      'ERR_CODEC',
    );
    expect((await failure(local.merge('n', Uint8Array.of(0, 0)))).code).to.equal('ERR_CODEC');
    expect(local.status().keys).to.equal(0);
    await other.close();
    await close();
  });

  it('refuses bad keys, values, contexts and options', async () => {
    const { local, close } = await openLocal(lww(), { limits: { maxValueBytes: 10 } });
    for (const key of ['', 5, 'x'.repeat(1025), 'é'.repeat(513), '\ud800', undefined] as string[])
      expect((await failure(local.put(key, 1))).code, JSON.stringify(key)).to.equal('ERR_CONFIG');
    expect((await failure(local.put('k', undefined))).code).to.equal('ERR_CONFIG');
    expect((await failure(local.put('k', () => 1))).code).to.equal('ERR_CODEC');
    expect((await failure(local.put('k', 'x'.repeat(10)))).code).to.equal('ERR_TOO_LARGE');
    for (const context of ['', '!', 'AAAAAA', 'A', 5] as string[])
      expect((await failure(local.put('k', 1, { context }))).code, JSON.stringify(context)).to.equal(
        'ERR_CONFIG',
      );
    expect((await failure(local.list({ limit: 0 }))).code).to.equal('ERR_CONFIG');
    expect(() => local.watch({ prefix: 1 as never }))
      .to.throw()
      .with.property('code', 'ERR_CONFIG');
    expect(local.status().keys).to.equal(0);
    await close();
    expect((await failure(local.put('k', 1))).code).to.equal('ERR_CLOSED');
    for (const bad of [
      { merkleLeaves: 3 },
      { maxClockOffsetMs: -1 },
      { name: 'a b' },
      { resolve: {} as never },
      { limits: { maxKeys: 0 } },
    ])
      expect((await failure(openLocal(lww(), bad))).code, JSON.stringify(bad)).to.equal('ERR_CONFIG');
  });

  it('keeps within its caps, and still deletes', async () => {
    const { local, close } = await openLocal(siblings<string>(), { limits: { maxKeys: 2, maxSiblings: 2 } });
    await local.put('a', '1');
    await local.put('b', '1');
    expect((await failure(local.put('c', '1'))).code).to.equal('ERR_STORAGE_FULL');
    await local.put('a', '2');
    const error = await failure(local.put('a', '3'));
    expect([error.code, error.fate]).to.deep.equal(['ERR_OVERLOADED', 'refused']);
    const { context } = await local.get('a');
    await local.put('a', '3', { context });
    expect((await local.get('a')).value).to.deep.equal(['3']);
    await local.delete('a');
    await close();
    const small = await openLocal(lww<Uint8Array>(), {
      limits: { maxBytes: 65_536, maxPendingBytes: 65_536 },
    });
    await small.local.put('a', new Uint8Array(40_000));
    expect((await failure(small.local.put('b', new Uint8Array(40_000)))).code).to.equal('ERR_STORAGE_FULL');
    await small.local.put('a', new Uint8Array(41_000));
    const writes = ['x', 'y'].map(() => small.local.put('a', new Uint8Array(40_000)));
    expect((await Promise.allSettled(writes)).map(({ status }) => status)).to.deep.equal([
      'fulfilled',
      'rejected',
    ]);
    await small.local.delete('a');
    await small.local.put('b', new Uint8Array(40_000));
    await small.close();
  });

  it('tells who watches what changed, each key once until somebody looks', async () => {
    const { local, close } = await openLocal(lww<number>());
    const watch = local.watch({ prefix: 'k' });
    const controller = new AbortController();
    const other = local.watch({ signal: controller.signal });
    const waiting = watch.next();
    for (const value of [1, 2, 3]) await local.put('k1', value);
    await local.put('other', 1);
    await local.put('k2', 1);
    await local.delete('k2');
    expect((await waiting).value).to.deep.equal({ key: 'k1', value: 1 });
    const told = [];
    for await (const change of watch) if (told.push(change) === 2) break;
    expect(told).to.deep.equal([
      { key: 'k1', value: 3 },
      { key: 'k2', value: undefined },
    ]);
    expect((await watch.next()).done).to.equal(true);
    expect((await other.next()).done).to.equal(false);
    controller.abort();
    expect((await other.next()).done).to.equal(true);
    const last = local.watch().next();
    await close();
    expect((await last).done).to.equal(true);
  });

  for (const checkpoint of [false, true])
    it(`forgets a deletion once all that is known of it is covered, and not before (checkpoint: ${checkpoint})`, async () => {
      const storage = memoryStorage();
      const a = await openLocal(siblings<number>(), { storage });
      await a.local.put('k', 1);
      const { context: early } = a.local.table.get('k');
      await a.local.delete('k');
      const { context } = a.local.table.get('k');
      expect(a.local.table.forget('k', early, () => undefined)).to.equal(false);
      await a.local.put('kept', 1);
      expect(a.local.table.forget('kept', a.local.table.get('kept').context, () => undefined)).to.equal(
        false,
      );
      const stale = (await a.local.get('k')).context;
      await a.local.delete('kept');
      const last = a.local.table.get('kept').context;
      for (const [key, covered] of [
        ['k', context],
        ['kept', last],
      ] as const)
        expect(a.local.table.forget(key, covered, () => undefined)).to.equal(true);
      expect(a.local.status().keys).to.equal(0);
      expect(a.local.status().root).to.equal((await openLocal(lww())).local.status().root);
      if (checkpoint) await a.local.checkpoint();
      await a.close();
      // After a restart too, a new life of the key has events of its own: who saw the old one has not seen the new one.
      const again = await openLocal(siblings<number>(), { storage });
      expect(again.local.status().keys).to.equal(0);
      await again.local.put('k', 2);
      await again.local.put('k', 3, { context: stale });
      expect((await again.local.get('k')).value).to.deep.equal([3, 2]);
      expect(again.local.table.get('k').versions[0]!.dot.counter).to.equal(
        last.get(again.local.table.actor) + 1,
      );
      await again.close();
    });
});
