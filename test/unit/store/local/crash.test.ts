/** What a store's disk does to it: crashes at any step, damage, loss, a return to an earlier state. */
import { expect } from 'chai';
import { crdt, lww, siblings } from '../../../../lib/store/resolve/resolution.js';
import { pnCounter } from '../../../../lib/store/crdt/counter.js';
import { compareTimestamps } from '../../../../lib/store/causality/hybridClock.js';
import { memoryStorage } from '../../../../lib/storage/memoryStorage.js';
import { diskError, FaultyDisk } from '../../storage/support/faultyDisk.js';
import { environmentOn } from '../../storage/support/harness.js';
import { seeded } from '../../support/seeded.js';
import { failure, meet, openLocal } from './support.js';
import { StoreLog } from '../../../../lib/store/local/storeLog.js';
import { ByteReader } from '../../../../lib/bytes.js';

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

describe('the disk of a store', () => {
  it('brings back all that was acknowledged, and the clocks, whatever the loss of power leaves', async function () {
    this.timeout(60_000);
    let events = 0;
    for (let seed = 1; seed <= 15; seed++) {
      const random = seeded(seed);
      let disk = new FaultyDisk();
      const wall = { ms: 1_700_000_000_000 };
      /** By key: the last value that was acknowledged, and those begun since. */
      const acknowledged = new Map<string, string>();
      const begun = new Map<string, (string | undefined)[]>();
      const dots = new Set<string>();
      let actor: string | undefined;
      let last = { wall: 0, counter: 0 };
      for (let life = 0; life < 5; life++) {
        const { local } = await openLocal(lww<string>(), { files: disk, wall, seed: seed * 10 + life });
        if (life > 0) expect(local.table.actor, 'the same writer').to.equal(actor);
        actor = local.table.actor;
        for (const [key, value] of acknowledged) {
          const { value: held } = await local.get(key);
          expect([value, ...(begun.get(key) ?? [])], `seed ${seed}, life ${life}, ${key}`).to.include(held);
        }
        acknowledged.clear();
        begun.clear();
        for (const [key, value] of await local.list()) acknowledged.set(key, value);
        expect(compareTimestamps(local.table.clock.now(), last), 'clocks go on').to.be.greaterThan(0);
        wall.ms -= 1000; // the wall clock is set back in every life

        disk.judge = (_, __, step) => (step >= until ? (random() < 0.5 ? 'stops' : 'stops-half') : 'works');
        const until = disk.steps + 1 + Math.floor(random() * 60);
        for (let n = 0; n < 30 && !disk.stopped; n++) {
          const key = `k${Math.floor(random() * 6)}`;
          const value = random() < 0.2 ? undefined : `${seed} ${life} ${n} ${'x'.repeat(random() * 3000)}`;
          const writing = value === undefined ? local.delete(key) : local.put(key, value);
          const { dot, stamp = last } = local.table.get(key).versions[0] ?? {};
          begun.set(key, [...(begun.get(key) ?? []), value]);
          if (random() < 0.1) local.checkpoint().catch(() => undefined);
          const writes = random() < 0.7;
          const ended = writing.then(() => {
            events++;
            if (value === undefined) acknowledged.delete(key);
            else acknowledged.set(key, value);
            const list = begun.get(key)!;
            begun.set(key, list.slice(list.indexOf(value) + 1));
            // What was acknowledged may be anywhere: nobody may ever use its dot again.
            if (dot !== undefined) dots.add(`${dot.actor} ${dot.counter} ${value}`);
            last = stamp;
          });
          if (writes) await Promise.race([ended, settle()]);
        }
        if (!disk.stopped) await settle();
        disk.stopped = true;
        disk = disk.crash(random);
      }
      const used = [...dots].map((dot) => dot.split(' ').slice(0, 2).join(' '));
      expect(new Set(used).size, 'no dot twice').to.equal(used.length);
    }
    expect(events).to.be.greaterThan(200);
  });

  it('holds after a restart what it held before, with a checkpoint that was written while it changed', async () => {
    for (const kind of ['disk', 'memory']) {
      const disk = new FaultyDisk();
      const at = kind === 'disk' ? { files: disk } : { storage: memoryStorage() };
      const first = await openLocal(siblings<string>(), { ...at, limits: { maxValueBytes: 1 << 21 } });
      const { local } = first;
      for (let n = 0; n < 300; n++)
        await Promise.all([local.put(`k${n}`, 'x'.repeat(1000)), local.put(`k${n}`, 'y')]);
      const checkpoint = local.checkpoint();
      for (let n = 0; n < 300; n += 3) {
        await local.update(`k${n}`, (value) => `${value!.length} replaced`);
        if (n % 2 === 0) await local.delete(`k${n + 1}`);
      }
      await local.put('after', 'z'.repeat(200_000));
      await checkpoint;
      const [before, counter] = [local.status(), (await local.get('after')).context];
      const contents = await local.list();
      await first.close();
      const again = await openLocal(siblings<string>(), at.files ? { files: at.files.restart() } : at);
      expect(again.local.status()).to.deep.equal(before);
      expect(await again.local.list()).to.deep.equal(contents);
      expect((await again.local.get('after')).context).to.equal(counter);
      await again.close();
    }
  });

  it('writes checkpoints by itself, so that the log does not grow for ever', async () => {
    const disk = new FaultyDisk();
    const { local, store, close } = await openLocal(lww<string>(), { files: disk });
    for (let n = 0; n < 300; n++) await local.put(`k${n % 7}`, `${n} ${'x'.repeat(20_000)}`);
    expect(store.logBytes('store@s')).to.be.lessThan(3 << 20);
    const root = local.status();
    await close();
    const again = await openLocal(lww<string>(), { files: disk.restart() });
    expect(again.local.status()).to.deep.equal(root);
    expect((await again.local.get('k5')).value?.slice(0, 4)).to.equal('299 ');
    await again.close();
  });

  it('stops for good when a write fails, and says so to whoever waits', async () => {
    const disk = new FaultyDisk();
    const { local, store } = await openLocal(lww<number>(), { files: disk });
    await local.put('k', 1);
    const failed: Error[] = [];
    local.on('failed', (error) => failed.push(error));
    disk.judge = (operation) =>
      operation === 'write' || operation === 'sync' ? { error: diskError('EIO'), half: false } : 'works';
    const [put, read, more] = [local.put('k', 2), local.get('k'), local.put('other', 3)];
    expect((await failure(put)).code).to.equal('ERR_STORAGE_FAILED');
    expect((await failure(read)).code, 'it was never durable').to.equal('ERR_STORAGE_FAILED');
    expect((await failure(more)).code).to.equal('ERR_STORAGE_FAILED');
    expect((await failure(local.put('k', 4))).code).to.equal('ERR_STORAGE_FAILED');
    expect(failed.length).to.equal(1);
    await local.close();
    await store.close().catch(() => undefined);
  });

  it('refuses writes when the disk is nearly full, and goes on when it is not', async () => {
    const disk = new FaultyDisk();
    disk.free = 300_000;
    const { local, close } = await openLocal(lww<string>(), { files: disk });
    let error: unknown;
    let count = 0;
    for (; count < 400 && error === undefined; count++)
      await local.put(`k${count}`, 'x'.repeat(2000)).catch((cause: unknown) => (error = cause));
    expect(error).to.include({ code: 'ERR_STORAGE_FULL', fate: 'refused' });
    expect((await local.get(`k${count - 1}`)).versions, 'nothing of it is there').to.equal(0);
    await close();
    const roomy = disk.restart();
    const again = await openLocal(lww<string>(), { files: roomy });
    expect(again.local.status().keys).to.equal(count - 1);
    await again.local.put('more', 'x');
    await again.close();
  });

  it('makes another writer of a node that lost its disk, and of one whose disk was put back', async () => {
    const counters = crdt(pnCounter());
    const disk = new FaultyDisk();
    let a = await openLocal(counters, { files: disk, seed: 1 });
    const b = await openLocal(counters, { node: 'b' });
    await a.local.update('n', { op: 'add', by: 1 });
    await a.close();
    const old = disk.copy();
    a = await openLocal(counters, { files: disk, seed: 2 });
    await a.local.update('n', { op: 'add', by: 10 });
    await meet(a.local, b.local);
    const { actor } = a.local.table;
    await a.close();

    // A new disk: nothing is known, and what it adds is on top of what it added before.
    a = await openLocal(counters, { files: new FaultyDisk(), seed: 3 });
    expect(a.local.table.actor).to.not.equal(actor);
    await a.local.update('n', { op: 'add', by: 100 });
    await meet(a.local, b.local);
    expect((await b.local.get('n')).value).to.equal(111);
    await a.close();

    // The old disk comes back: it would use the dot of the ten again.
    a = await openLocal(counters, { files: old, seed: 4 });
    const told: unknown[] = [];
    a.local.on('disk:rolled-back', (event) => told.push(event));
    expect(a.local.table.actor).to.equal(actor);
    await meet(a.local, b.local);
    expect(told).to.deep.equal([{ before: actor, after: a.local.table.actor }]);
    expect(a.local.table.actor).to.not.equal(actor);
    await a.local.update('n', { op: 'add', by: 1000 });
    await meet(a.local, b.local);
    expect([(await a.local.get('n')).value, (await b.local.get('n')).value]).to.deep.equal([1111, 1111]);
    await a.close();
    a = await openLocal(counters, { files: old.restart(), seed: 5 });
    expect((await a.local.get('n')).value).to.equal(1111);
    await a.close();
    await b.close();
  });

  it('that belongs to another node, or holds what makes no sense, is refused', async () => {
    const storage = memoryStorage();
    const environment = environmentOn(new FaultyDisk());
    const store = await storage.open({ environment, cluster: 'c', node: 'a' });
    const loaded: number[] = [];
    const open = (): Promise<StoreLog> =>
      StoreLog.open({
        store,
        group: 'store@s',
        node: 'a',
        environment,
        load: (record: ByteReader) => loaded.push(record.u8()),
        failed: () => undefined,
      });
    const log = await open();
    await new Promise((resolve) => log.append(Uint8Array.of(9), resolve));
    await log.close();
    await (await open()).close();
    expect(loaded).to.deep.equal([9]);
    await store.close();
    const error = await failure(openLocal(lww(), { storage }));
    expect([error.code, error.message]).to.deep.equal([
      'ERR_STORAGE_CORRUPT',
      'what store@s wrote does not make sense: there is no record of type 9',
    ]);
  });
});
