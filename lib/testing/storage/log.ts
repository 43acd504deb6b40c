/** The conformance suite: how a log is cut. */
import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import { encodeMembership, foundingMembership } from '../../consensus/membership.js';
import type { GroupWrite } from '../../storage/storage.js';
import { bytes, entries, entry, meta, plain, FIRST_REIGN, SECOND_REIGN } from './context.js';
import type { Test } from './context.js';

/** @internal */
export function logTests(test: Test): void {
  test('truncates, and what was cut off stays away', async (c) => {
    const config = encodeMembership(foundingMembership(['a']));
    await c.write({
      group: 'g',
      entries: [...entries(1, 9), entry(10, { kind: 'config', data: config }), ...entries(11, 10)],
    });
    await c.write({ group: 'g', truncateFrom: 8, entries: entries(8, 2, 10, SECOND_REIGN) });
    const check = async (): Promise<void> => {
      const recovered = (await c.store.recover('g'))!;
      deepEqual([recovered.firstIndex, recovered.lastIndex], [1, 9]);
      deepEqual(recovered.configs, []);
      deepEqual(recovered.runs, [
        { from: 1, epoch: FIRST_REIGN },
        { from: 8, epoch: SECOND_REIGN },
      ]);
      deepEqual(plain(recovered.tail), plain([...entries(1, 7), ...entries(8, 2, 10, SECOND_REIGN)]));
      deepEqual(plain(await c.store.read('g', 6, 9, 1e6)), plain(recovered.tail.slice(5)));
    };
    await check();
    await c.reopen();
    await check();
    await c.write({ group: 'g', truncateFrom: 1 });
    await c.reopen();
    deepEqual([await c.first('g'), await c.last('g')], [1, 0]);
    await c.write({ group: 'g', truncateFrom: 5, entries: entries(1, 1) });
    equal(await c.last('g'), 1);
  });

  test('refuses writes that make no sense, and changes nothing then', async (c) => {
    await c.write({ group: 'g', entries: [...entries(1, 4), entry(5, { count: 3 })] });
    const refused = (write: Omit<GroupWrite, 'group'>): void => {
      throws(() => c.store.write([{ group: 'g', ...write }], () => undefined), { code: 'ERR_INTERNAL' });
    };
    refused({ entries: entries(9, 1) });
    refused({ entries: entries(7, 1) });
    refused({ entries: [...entries(8, 1), ...entries(10, 1)] });
    refused({ truncateFrom: 6 });
    refused({ compactTo: 2 });
    refused({ install: meta(5) });
    refused({ entries: [entry(8, { count: 0 })] });
    refused({ entries: [entry(8, { count: 2, kind: 'noop' })] });
    refused({ entries: [entry(8, { time: NaN })] });
    await c.write({ group: 'g', entries: entries(8, 1) });
    await c.reopen();
    equal(await c.last('g'), 8);
  });

  test('compacts up to the bound of an entry', async (c) => {
    await c.write({
      group: 'g',
      entries: [...entries(1, 50), entry(51, { count: 10 }), ...entries(61, 5)],
    });
    const before = c.store.logBytes('g');
    await c.snapshot('g', 55, bytes(10, 1));
    await c.write({ group: 'g', compactTo: 20 });
    equal(await c.first('g'), 21);
    await rejects(c.store.read('g', 20, 21, 1e6), { code: 'ERR_COMPACTED' });
    await c.write({ group: 'g', compactTo: 54 });
    equal(await c.first('g'), 51);
    ok(c.store.logBytes('g') < before);
    await c.write({ group: 'g', compactTo: 3 });
    await c.reopen();
    deepEqual([await c.first('g'), await c.last('g')], [51, 65]);
    deepEqual((await c.store.recover('g'))!.runs, [{ from: 51, epoch: FIRST_REIGN }]);
    await c.snapshot('g', 65, bytes(10, 2));
    await c.write({ group: 'g', compactTo: 65 });
    await c.reopen();
    deepEqual([await c.first('g'), await c.last('g')], [66, 65]);
    equal(c.store.logBytes('g'), 0);
    await c.write({ group: 'g', entries: entries(66, 1) });
    equal(await c.last('g'), 66);
  });
}
