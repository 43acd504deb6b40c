import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import type { NodeStore } from '../../../lib/storage/storage.js';
import { diskError, FaultyDisk } from './support/faultyDisk.js';
import { seeded } from '../support/seeded.js';
import type { Operation } from './support/faultyDisk.js';
import { contentOf, entries, entry, hard, metaAt, openOn, snapshot, write } from './support/harness.js';
import { expectedBetween, play } from './support/script.js';

/** Of what was not flushed nothing survives a crash. */
const LOSE_ALL = (): number => 0.1;

/** Leftovers may stay: a removal that fails ends nothing. */
const HARMLESS: readonly Operation[] = ['remove'];

describe('storage: faults', function () {
  this.timeout(120_000);

  for (const [code, how, sync] of [
    ['EIO', 'not done', 'fdatasync'],
    ['EIO', 'half done', 'fdatasync'],
    ['EIO', 'done nevertheless', 'fdatasync'],
    ['ENOSPC', 'half done', 'fdatasync'],
    ['EIO', 'not done', 'dsync'],
  ] as const) {
    it(`stops for good when any operation fails, and loses nothing: ${code}, ${how}, ${sync}`, async () => {
      const failedAt = new Set<string>();
      for (let at = 1; ; at++) {
        const disk = new FaultyDisk();
        let failed: Operation | undefined;
        disk.judge = (operation, _path, step) => {
          if (step !== at) return 'works';
          failed = operation;
          return { error: diskError(code), half: how === 'half done', whole: how === 'done nevertheless' };
        };
        const progress = { issued: 0, acknowledged: 0 };
        let store: NodeStore | undefined;
        const stores: NodeStore[] = [];
        const opened = (now: NodeStore | undefined): void => {
          store = now;
          if (now !== undefined) stores.push(now);
        };
        const error = await play(disk, progress, { sync }, opened).then(
          () => undefined,
          (thrown: unknown) => thrown as QuorateError,
        );
        if (failed === undefined) break;
        failedAt.add(failed);
        if (store === undefined) {
          if (HARMLESS.includes(failed) && error === undefined) continue;
          expect(error?.code, `step ${at}, ${failed}`).to.equal('ERR_STORAGE_FAILED');
        } else if (error !== undefined) {
          expect(error.code).to.be.oneOf(
            code === 'EIO' ? ['ERR_STORAGE_FAILED'] : ['ERR_STORAGE_FAILED', 'ERR_STORAGE_FULL'],
          );
          expect((error.cause as Error).message).to.equal(`${code}: simulated`);
          if (error.code === 'ERR_STORAGE_FAILED') {
            expect(store.failed).to.equal(error);
            await write(store, { group: 'g', hard: hard(99) }).then(
              () => expect.fail('written after a failure'),
              (again: unknown) => expect(again).to.equal(error),
            );
            await expectRejected(store.read('g', 1, 1, 1), 'ERR_STORAGE_FAILED');
          }
          await store.close();
        } else if (!HARMLESS.includes(failed) && code === 'EIO') {
          // It came in the background, after the last answer; the script had nothing more to ask of that store.
          const failures = stores.map((one) => (one.failed as QuorateError | undefined)?.code);
          expect(failures, `step ${at}, ${failed}`).to.include('ERR_STORAGE_FAILED');
        }
        // Whatever the failed operation left behind: all that was acknowledged is there, after a crash of the machine and after
        // one of the process alone; and what was read then is there after the machine crashes, too.
        for (const after of [disk.crash(seeded(at)), disk.restart()]) {
          const reopened = await openOn(after, { sync });
          const content = await contentOf(reopened);
          const allowed = await expectedBetween(progress);
          expect(allowed, `${code} at step ${at}, ${failed}`).to.include(content);
          await reopened.close();
          const again = await openOn(after.crash(LOSE_ALL), { sync });
          expect(await contentOf(again), `${code} at step ${at}, ${failed}, second look`).to.equal(content);
          await again.close();
        }
      }
      expect([...failedAt].sort()).to.include.members([
        'open',
        'rename',
        'sync',
        'syncDirectory',
        'truncate',
        'write',
      ]);
    });
  }

  it('answers everything that is queued when a flush fails, in order', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await write(store, { group: 'g', entries: entries(1, 1) });
    disk.judge = (operation) => (operation === 'sync' ? { error: diskError('EIO'), half: false } : 'works');
    const answers: string[] = [];
    await new Promise<void>((resolve) => {
      for (let i = 2; i <= 6; i++) {
        store.write([{ group: 'g', entries: entries(i, 1) }], (error) => {
          answers.push(`${i} ${(error as QuorateError | undefined)?.code}`);
          if (i === 6) resolve();
        });
      }
    });
    expect(answers).to.deep.equal([2, 3, 4, 5, 6].map((i) => `${i} ERR_STORAGE_FAILED`));
    expect(disk.operations.filter((line) => line.startsWith('sync ')).length).to.be.greaterThan(0);
    const syncs = disk.operations.length;
    await store.close();
    expect(disk.operations.slice(syncs).filter((line) => line.startsWith('sync'))).to.deep.equal([]); // never tried again
  });

  it('flushes once a batch, and gathers what is queued behind a flush', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk, { segmentBytes: 1 << 20 });
    const count = (): number => disk.operations.filter((line) => line.startsWith('sync ')).length;
    let before = count();
    for (let i = 1; i <= 10; i++) await write(store, { group: 'g', entries: entries(i, 1) });
    expect(count() - before).to.equal(10);
    before = count();
    await Promise.all(
      Array.from({ length: 200 }, (_, i) => write(store, { group: `g${i}`, entries: entries(1, 1) })),
    );
    expect(count() - before).to.equal(2);
    await store.close();
  });

  it('does not copy large payloads', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk, { segmentBytes: 1 << 20 });
    const data = new Uint8Array(100_000).fill(5);
    const seen: Uint8Array[] = [];
    const open = disk.open.bind(disk);
    await store.close();
    disk.open = async (path, mode) => {
      const handle = await open(path, mode);
      const original = handle.write.bind(handle);
      handle.write = (buffers, position, done) => {
        seen.push(...buffers);
        original(buffers, position, done);
      };
      return handle;
    };
    const again = await openOn(disk, { segmentBytes: 1 << 20 });
    await write(again, { group: 'g', entries: [entry(1, { data })] });
    expect(seen.some((buffer) => buffer === data)).to.equal(true);
    await again.close();
  });

  it('refuses proposals by its headroom before the reserve is used, and recovers', async () => {
    const disk = new FaultyDisk();
    disk.free = 100e6;
    const store = await openOn(disk, { reserve: 64 << 20 });
    expect(store.headroom()).to.be.within(20e6, 100e6 - (64 << 20));
    disk.free = 64 << 20;
    const big = new Uint8Array(1 << 20);
    for (let i = 1; i <= 9; i++) await write(store, { group: 'g', entries: [entry(i, { data: big })] });
    while (store.headroom() > 0) await new Promise((resolve) => setImmediate(resolve));
    await write(store, { group: 'g', entries: entries(10, 1) }); // what has to be written still is
    disk.free = 200e6;
    for (let i = 11; i <= 19; i++) await write(store, { group: 'g', entries: [entry(i, { data: big })] });
    while (store.headroom() === 0) await new Promise((resolve) => setImmediate(resolve));
    await store.close();
  });

  it('survives want of space for a snapshot, and for a segment that is not needed yet', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await write(store, { group: 'g', entries: entries(1, 10) });
    let full = true;
    disk.judge = (operation, path) => {
      const expendable = path.endsWith('.tmp') && operation === 'write';
      return full && expendable ? { error: diskError('ENOSPC'), half: true } : 'works';
    };
    await expectRejected(snapshot(store, 'g', metaAt(5), new Uint8Array(200_000)), 'ERR_STORAGE_FULL');
    expect(store.headroom()).to.equal(0);
    // A third of the segment: the next one would be made ready now.
    await write(store, { group: 'g', entries: entries(11, 20, 1000) });
    await write(store, { group: 'g', entries: entries(31, 1) });
    expect(store.failed).to.equal(undefined);
    full = false;
    await snapshot(store, 'g', metaAt(5), new Uint8Array(200_000));
    for (let i = 32; i < 132; i++) await write(store, { group: 'g', entries: entries(i, 1, 1000) });
    expect(store.failed).to.equal(undefined);
    await store.close();
    expect([...disk.files().keys()].filter((path) => path.endsWith('.tmp'))).to.deep.equal([]);
  });

  it('survives want of space for a segment that is made ahead, whatever the headroom said', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    let refused = 0;
    disk.judge = (operation, path) => {
      if (operation !== 'write' || !path.endsWith('.seg.tmp')) return 'works';
      refused++;
      return { error: diskError('ENOSPC'), half: true };
    };
    for (let i = 1; refused === 0; i++) await write(store, { group: 'g', entries: entries(i, 1, 1000) });
    while (store.headroom() > 0) await new Promise((resolve) => setImmediate(resolve));
    await write(store, { group: 'g', hard: hard(1) });
    expect(store.failed).to.equal(undefined);
    await store.close();
  });

  it('fails when there is no space for a segment that is needed', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    disk.judge = (operation, path) =>
      operation === 'write' && path.endsWith('.tmp') ? { error: diskError('ENOSPC'), half: true } : 'works';
    let error: QuorateError | undefined;
    for (let i = 1; error === undefined; i++) {
      await write(store, { group: 'g', entries: entries(i, 1, 5000) }).catch(
        (thrown: unknown) => (error = thrown as QuorateError),
      );
    }
    expect(error.code).to.equal('ERR_STORAGE_FAILED');
    await store.close();
  });

  it('goes on with the other callbacks when one throws', async () => {
    const store = await openOn(new FaultyDisk());
    const uncaught = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const surfaced = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
    try {
      store.write([{ group: 'g', hard: hard(1) }], () => {
        throw new Error('from a callback');
      });
      await write(store, { group: 'g', hard: hard(2) });
      expect((await surfaced).message).to.equal('from a callback');
    } finally {
      for (const listener of uncaught) process.on('uncaughtException', listener);
    }
    await store.close();
  });
});

async function expectRejected(promise: Promise<unknown>, code: string): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).to.be.instanceOf(QuorateError);
  expect((error as QuorateError).code).to.equal(code);
}
