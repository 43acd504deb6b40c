/** The conformance suite: what snapshots and erasures do. */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { bytes, entries, hardState, meta, plain, FIRST_REIGN, SECOND_REIGN } from './context.js';
import type { Test } from './context.js';

/** @internal */
export function snapshotsTests(test: Test): void {
  test('installs: keeps what follows the snapshot when the epochs agree', async (c) => {
    await c.write({ group: 'g', entries: [...entries(1, 5), ...entries(6, 5, 10, SECOND_REIGN)] });
    await c.snapshot('g', 7, bytes(10, 1), SECOND_REIGN);
    await c.write({ group: 'g', install: meta(7, SECOND_REIGN), hard: hardState({ commit: 7 }) });
    await c.reopen();
    deepEqual([await c.first('g'), await c.last('g')], [8, 10]);
    deepEqual(plain((await c.store.recover('g'))!.tail), plain(entries(8, 3, 10, SECOND_REIGN)));
  });

  test('installs: drops everything when they differ, or when the log is shorter', async (c) => {
    await c.write({ group: 'g', entries: entries(1, 10) }, { group: 'h', entries: entries(1, 3) });
    await c.snapshot('g', 7, bytes(10, 1), SECOND_REIGN);
    await c.snapshot('h', 20, bytes(10, 1), SECOND_REIGN);
    await c.snapshot('i', 30, bytes(10, 1), SECOND_REIGN);
    await c.write(
      { group: 'g', install: meta(7, SECOND_REIGN), entries: entries(8, 1, 10, SECOND_REIGN) },
      { group: 'h', install: meta(20, SECOND_REIGN) },
      { group: 'i', install: meta(30, SECOND_REIGN) },
    );
    const check = async (): Promise<void> => {
      deepEqual([await c.first('g'), await c.last('g')], [8, 8]);
      deepEqual([await c.first('h'), await c.last('h')], [21, 20]);
      deepEqual([await c.first('i'), await c.last('i')], [31, 30]);
      deepEqual((await c.store.recover('g'))!.snapshot, meta(7, SECOND_REIGN));
    };
    await check();
    await c.reopen();
    await check();
  });

  test('applies the rule of install to a snapshot that was not installed', async (c) => {
    await c.write({ group: 'g', entries: entries(1, 10) }, { group: 'k', entries: entries(1, 10) });
    await c.snapshot('g', 20, bytes(10, 1), SECOND_REIGN);
    await c.snapshot('k', 6, bytes(10, 1), FIRST_REIGN);
    await c.snapshot('new', 5, bytes(10, 1), FIRST_REIGN);
    await c.reopen();
    deepEqual([await c.first('g'), await c.last('g')], [21, 20]);
    deepEqual([await c.first('k'), await c.last('k')], [1, 10]);
    deepEqual([await c.first('new'), await c.last('new')], [6, 5]);
    await c.write({ group: 'g', entries: entries(21, 1, 10, SECOND_REIGN) });
    await c.reopen();
    deepEqual([await c.first('g'), await c.last('g')], [21, 21]);
  });

  test('stores snapshots of any size and reads any part of them', async (c) => {
    for (const [i, size] of [0, 1, 65535, 65536, 65537, 400_000].entries()) {
      const content = bytes(size, i);
      await c.snapshot('g', i + 1, content);
      await c.reopen();
      const reader = (await c.store.openSnapshot('g'))!;
      deepEqual(reader.meta, meta(i + 1));
      equal(reader.size, size);
      equal(Buffer.compare(await reader.read(0, size + 10), content), 0);
      for (const [offset, length] of [
        [0, 10],
        [65530, 20],
        [size - 5, 10],
        [size, 1],
        [100, 0],
        [1000, 200_000],
      ] as const) {
        if (offset < 0) continue;
        equal(
          Buffer.compare(await reader.read(offset, length), content.subarray(offset, offset + length)),
          0,
        );
      }
      await reader.close();
    }
  });

  test('keeps a replaced snapshot for whoever reads it', async (c) => {
    await c.snapshot('g', 1, bytes(100_000, 1));
    const reader = (await c.store.openSnapshot('g'))!;
    await c.snapshot('g', 2, bytes(100_000, 2));
    await c.snapshot('g', 3, bytes(100_000, 3));
    equal(reader.meta.index, 1);
    equal(Buffer.compare(await reader.read(0, 100_000), bytes(100_000, 1)), 0);
    await reader.close();
    await rejects(reader.read(0, 1), { code: 'ERR_CLOSED' });
    await c.reopen();
    const newest = (await c.store.openSnapshot('g'))!;
    equal(newest.meta.index, 3);
    await newest.close();
  });

  test('forgets a snapshot that was not committed', async (c) => {
    await c.snapshot('g', 1, bytes(10, 1));
    const aborted = await c.store.createSnapshot('g');
    await aborted.write(bytes(10, 2));
    await aborted.abort();
    await rejects(aborted.commit(meta(2)), { code: 'ERR_CLOSED' });
    const discarded = await c.store.createSnapshot('g');
    await discarded.write(bytes(10, 3));
    const second = await c.store.createSnapshot('g');
    await rejects(discarded.write(bytes(10, 3)), { code: 'ERR_CLOSED' });
    await second.write(bytes(10, 4));
    await c.reopen();
    equal((await c.store.recover('g'))?.snapshot?.index, 1);
  });

  test('never goes back to an older snapshot', async (c) => {
    await c.snapshot('g', 9, bytes(10, 1));
    await rejects(c.snapshot('g', 8, bytes(10, 2)), { code: 'ERR_COMPACTED' });
    await c.reopen();
    equal((await c.store.recover('g'))?.snapshot?.index, 9);
  });

  test('erases a group with all that belongs to it', async (c) => {
    await c.write(
      { group: 'g', entries: entries(1, 10), hard: hardState({}) },
      { group: 'h', entries: entries(1, 2) },
    );
    await c.snapshot('g', 5, bytes(10, 1));
    await c.write({ group: 'g', compactTo: 5 });
    await c.write({ group: 'g', erase: true });
    const check = async (): Promise<void> => {
      deepEqual(c.store.groups(), ['h']);
      equal(await c.store.recover('g'), undefined);
      equal(await c.store.openSnapshot('g'), undefined);
    };
    await check();
    await c.reopen();
    await check();
    await c.write({ group: 'g', entries: entries(1, 2, 10, SECOND_REIGN) });
    await c.reopen();
    deepEqual(plain((await c.store.recover('g'))!.tail), plain(entries(1, 2, 10, SECOND_REIGN)));
    await c.write({ group: 'g', erase: true, entries: entries(1, 1) });
    await c.reopen();
    equal(await c.last('g'), 1);
  });
}
