import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import type { Entry } from '../../../lib/consensus/consensus.js';
import type { GroupWrite, NodeStore } from '../../../lib/storage/storage.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import { nodeEnvironment } from '../../../lib/environment.js';
import { diskError, FaultyDisk } from './support/faultyDisk.js';
import { seeded } from '../support/seeded.js';
import {
  contentOf,
  DIRECTORY,
  entries,
  entry,
  environmentOn,
  hard,
  metaAt,
  openOn,
  snapshot,
  write,
} from './support/harness.js';

const segmentsOf = (disk: FaultyDisk): string[] =>
  [...disk.files().keys()].filter((path) => path.endsWith('.seg')).sort();

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe('disk storage', function () {
  this.timeout(60_000);

  it('names the option, the value and the range when one is wrong', () => {
    const wrong: [unknown, object][] = [
      ['', {}],
      ['a\0b', {}],
      [undefined, {}],
      ['d', { segmentBytes: 1000 }],
      ['d', { segmentBytes: 2 ** 30 }],
      ['d', { segmentBytes: 70000.5 }],
      ['d', { reserve: -1 }],
      ['d', { sync: 'never' }],
    ];
    for (const [directory, options] of wrong) {
      const make = (): unknown => diskStorage(directory as string, options);
      const [name = 'directory'] = Object.keys(options);
      expect(make, JSON.stringify(options)).to.throw(QuorateError, name).with.property('code', 'ERR_CONFIG');
    }
  });

  it('refuses names that are none', async () => {
    for (const storage of [diskStorage(DIRECTORY), memoryStorage()]) {
      for (const names of [
        { cluster: '', node: 'a' },
        { cluster: 'c', node: 'a/b' },
      ]) {
        const error = await storage
          .open({ environment: environmentOn(new FaultyDisk()), ...names })
          .catch((thrown: unknown) => thrown);
        expect(error).to.have.property('code', 'ERR_CONFIG');
      }
    }
  });

  it('gives every file a name that any file system takes, and none to two groups', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    const groups = ['a', 'A', 'a:b', 'a_b', `${'x'.repeat(127)}y`, `${'x'.repeat(127)}z`, '..', '-'];
    for (const [i, group] of groups.entries()) await snapshot(store, group, metaAt(i + 1));
    await store.close();
    const names = [...disk.files().keys()]
      .filter((path) => path.endsWith('.snap'))
      .map((path) => path.split('/').at(-1)!);
    expect(new Set(names.map((name) => name.toLowerCase())).size).to.equal(groups.length);
    for (const name of names) expect(name).to.match(/^[a-z0-9_-]{1,90}\.snap$/);
    const reopened = await openOn(disk);
    expect(reopened.groups()).to.deep.equal([...groups].sort());
    for (const [i, group] of groups.entries())
      expect((await reopened.recover(group))?.snapshot?.index).to.equal(i + 1);
    await reopened.close();
  });

  it('removes what interrupted snapshots left', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await (await store.createSnapshot('g')).write(new Uint8Array(100_000));
    const after = disk.copy(); // the process dies here
    expect([...after.files().keys()].filter((path) => path.endsWith('.tmp')).length).to.equal(1);
    await (await openOn(after)).close();
    expect([...after.files().keys()].filter((path) => path.endsWith('.tmp'))).to.deep.equal([]);
    await store.close();
    expect([...disk.files().keys()].filter((path) => path.endsWith('.tmp'))).to.deep.equal([]);
  });

  it('gives a batch that is larger than a segment one of its own', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await write(store, { group: 'g', entries: entries(1, 3) });
    const data = new Uint8Array(300_000).fill(9);
    await write(store, { group: 'g', entries: [entry(4, { data })] });
    await write(store, { group: 'g', entries: entries(5, 3) });
    const content = await contentOf(store);
    await store.close();
    expect(segmentsOf(disk).length).to.be.within(3, 4);
    const reopened = await openOn(disk);
    expect(await contentOf(reopened)).to.equal(content);
    await reopened.close();
  });

  it('does not write large batches twice, and brings them back, torn or whole', async () => {
    const disk = new FaultyDisk();
    const options = { segmentBytes: 1 << 20 };
    const store = await openOn(disk, options);
    const zeroed = (): number => disk.operations.filter((line) => /^write .*\.tmp$/.test(line)).length;
    const data = new Uint8Array(900_000).fill(9);
    for (let i = 1; i <= 12; i++) await write(store, { group: 'g', entries: [entry(i, { data })] });
    const before = zeroed();
    await write(store, { group: 'g', entries: [entry(13, { data })] });
    await write(store, { group: 'g', entries: [entry(14, { data })] });
    expect(zeroed() - before).to.be.below(8); // two headers and two frames; the zeros of one segment alone are four
    const whole = await contentOf(store);
    disk.judge = (operation, path) =>
      operation === 'write' && path.includes('.seg') ? 'stops-half' : 'works';
    store.write([{ group: 'g', entries: [entry(15, { data })] }], () => expect.fail('cannot be durable'));
    await until(() => disk.stopped);
    for (const after of [
      disk.restart(),
      disk.crash(() => 0.1),
      disk.crash(seeded(1)),
      disk.crash(seeded(2)),
    ]) {
      const reopened = await openOn(after, options);
      expect(await contentOf(reopened)).to.equal(whole);
      await write(reopened, { group: 'g', entries: [entry(15, { data })] });
      await reopened.close();
    }
  });

  it('frees the segments that nobody needs, also those between others that are needed', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await write(store, { group: 'idle', entries: entries(1, 1), hard: hard(0, 7) });
    for (let i = 1; i <= 400; i++) await write(store, { group: 'busy', entries: entries(i, 1, 1000) });
    const full = segmentsOf(disk).length;
    expect(full).to.be.greaterThan(6);
    await snapshot(store, 'busy', metaAt(400));
    await write(store, { group: 'busy', compactTo: 400 });
    await write(store, { group: 'busy', hard: hard(400) });
    const content = await contentOf(store);
    await store.close();
    expect(segmentsOf(disk).length).to.be.within(2, 3);
    const reopened = await openOn(disk);
    expect(await contentOf(reopened)).to.equal(content);
    await write(reopened, { group: 'idle', erase: true });
    for (let i = 401; i <= 500; i++) await write(reopened, { group: 'busy', entries: entries(i, 1, 1000) });
    await reopened.close();
    expect(segmentsOf(disk)[0]).not.to.contain('000000000001');
  });

  it('does not free a segment before what frees it is durable', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    for (let i = 1; i <= 200; i++) await write(store, { group: 'g', entries: entries(i, 1, 1000) });
    await snapshot(store, 'g', metaAt(200));
    const before = segmentsOf(disk);
    disk.judge = (operation) => (operation === 'sync' ? 'stops' : 'works');
    store.write([{ group: 'g', compactTo: 200 }], () => expect.fail('cannot be durable'));
    while (!disk.stopped) await new Promise((resolve) => setImmediate(resolve));
    expect(segmentsOf(disk)).to.deep.equal(before);
    const reopened = await openOn(disk.crash(() => 0.1)); // nothing that was not flushed is left
    expect(reopened.groups()).to.deep.equal(['g']);
    await reopened.close();
  });

  it('does not free a segment for what is queued behind the flush that ends', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    for (let i = 1; i <= 200; i++) await write(store, { group: 'g', entries: entries(i, 1, 1000) });
    await snapshot(store, 'g', metaAt(200));
    const before = segmentsOf(disk);
    expect(before.length).to.be.greaterThan(2);
    let syncs = 0;
    disk.judge = (operation) => (operation === 'sync' && ++syncs === 2 ? 'hangs' : 'works');
    const first = write(store, { group: 'g', hard: hard(1) });
    store.write([{ group: 'g', compactTo: 200 }], () => expect.fail('cannot be durable'));
    await first;
    await until(() => syncs === 2);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(segmentsOf(disk)).to.deep.equal(before);
    await (await openOn(disk.crash(() => 0.1))).close();
  });

  it('seals a segment as it was when it was left, whatever is queued behind', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    const list = entries(1, 60, 1000);
    for (let i = 0; i < 60; i += 10) await write(store, { group: 'g', entries: list.slice(i, i + 10) });
    let writes = 0;
    disk.judge = (operation, path) => {
      const active =
        operation === 'write' &&
        path.includes('000000000002') &&
        disk.operations.includes('rename 000000000002.seg');
      return active && ++writes === 2 ? 'hangs' : 'works';
    };
    const rotating = write(store, { group: 'g', entries: entries(61, 10, 1000) });
    store.write([{ group: 'g', truncateFrom: 20, entries: entries(20, 1, 10, 2) }], () =>
      expect.fail('cannot be durable'),
    );
    await rotating;
    await until(
      () =>
        disk.operations.includes('truncate 000000000001.seg') ||
        disk.operations.includes('truncate 000000000001.seg.tmp'),
    );
    const sealing = disk.operations.length;
    await until(() => disk.operations.slice(sealing).some((line) => line.startsWith('sync 000000000001')));
    expect(writes).to.equal(2);
    const reopened = await openOn(disk.crash(() => 0.1));
    const { lastIndex, runs } = (await reopened.recover('g'))!;
    expect([lastIndex, runs.length]).to.deep.equal([70, 1]);
    expect((await reopened.read('g', 1, 70, 1 << 20)).length).to.equal(70);
    await reopened.close();
  });

  it('goes on in the segment before when the first batch of a new one is torn', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    for (let i = 1; i <= 51; i += 10) await write(store, { group: 'g', entries: entries(i, 10, 1000) });
    disk.judge = (operation, path) => {
      const active =
        operation === 'write' &&
        path.includes('000000000002') &&
        disk.operations.includes('rename 000000000002.seg');
      return active ? 'stops-half' : 'works';
    };
    store.write([{ group: 'g', entries: entries(61, 10, 1000) }], () => expect.fail('cannot be durable'));
    await until(() => disk.stopped);
    let after = disk.restart();
    for (let round = 0; round < 2; round++) {
      const reopened = await openOn(after);
      expect((await reopened.recover('g'))?.lastIndex).to.equal(60);
      await reopened.close();
      expect(after.operations.some((line) => line.startsWith('truncate'))).to.equal(false);
      after = after.crash(() => 0.1);
    }
    const reopened = await openOn(after);
    for (let i = 61; i <= 101; i += 10) await write(reopened, { group: 'g', entries: entries(i, 10, 1000) });
    await reopened.close();
    const last = await openOn(after);
    expect((await last.recover('g'))?.lastIndex).to.equal(110);
    await last.close();
  });

  it('forgets the snapshot of an erased group, even if it could not be removed', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await snapshot(store, 'g', metaAt(5));
    await write(store, { group: 'g', install: metaAt(5) });
    disk.judge = (operation) =>
      operation === 'remove' ? { error: diskError('EACCES'), half: false } : 'works';
    await write(store, { group: 'g', erase: true });
    await store.close();
    const snapshots = (): string[] => [...disk.files().keys()].filter((path) => path.endsWith('.snap'));
    expect(snapshots().length).to.equal(1);
    disk.judge = () => 'works';
    const reopened = await openOn(disk);
    expect(reopened.groups()).to.deep.equal([]);
    await reopened.close();
    expect(snapshots()).to.deep.equal([]);
  });

  it('keeps the vote of a group that is silent while segments come and go', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await write(store, { group: 'silent', hard: hard(3, 9) });
    for (let i = 1; i <= 200; i++) await write(store, { group: 'busy', entries: entries(i, 1, 1000) });
    await snapshot(store, 'busy', metaAt(200));
    await write(store, { group: 'busy', compactTo: 200 });
    await store.close();
    expect(segmentsOf(disk)[0]).not.to.contain('000000000001');
    const reopened = await openOn(disk);
    expect((await reopened.recover('silent'))?.hard).to.deep.equal(hard(3, 9));
    await reopened.close();
  });

  it('reads while segments are sealed and removed under it', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    let reading = true;
    let reads = 0;
    const reader = (async () => {
      while (reading) {
        await new Promise((resolve) => setImmediate(resolve));
        const recovered = await store.recover('g');
        if (recovered === undefined || recovered.firstIndex > recovered.lastIndex) continue;
        const from = recovered.firstIndex;
        const read = await store.read('g', from, recovered.lastIndex, 1 << 20).catch((error: unknown) => {
          expect(error).to.have.property('code', 'ERR_COMPACTED');
          return [] as Entry[];
        });
        read.forEach((one, i) => expect(one.index).to.equal(from + i));
        reads++;
      }
    })();
    for (let i = 1; i <= 600; i += 2) {
      await write(store, { group: 'g', entries: entries(i, 2, 1000) });
      if (i % 60 !== 1 || i < 60) continue;
      await snapshot(store, 'g', metaAt(i - 30));
      await write(store, { group: 'g', compactTo: i - 30 });
    }
    reading = false;
    await reader;
    expect(reads).to.be.greaterThan(5);
    await store.close();
  });

  it('does the same as the memory storage, whatever is written', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = seeded(seed);
      const pick = (limit: number): number => Math.floor(random() * limit);
      const disk = new FaultyDisk();
      let subject = await openOn(disk);
      const memory = memoryStorage();
      const binding = { environment: nodeEnvironment, cluster: 'c', node: 'a' };
      let model = await memory.open(binding);
      const held = new Map<string, { first: number; last: number; snapshot: number; reign: number }>();
      const both = async (body: (store: NodeStore) => Promise<void>): Promise<void> => {
        await body(subject);
        await body(model);
      };
      for (let step = 0; step < 60; step++) {
        const group = `g${pick(3)}`;
        const state = held.get(group) ?? { first: 1, last: 0, snapshot: 0, reign: 1 };
        held.set(group, state);
        const change = pick(10);
        let job: GroupWrite = { group, hard: hard(step, state.reign) };
        if (change < 5) {
          const list =
            pick(4) === 0
              ? [
                  entry(state.last + 1, {
                    count: 1 + pick(9),
                    epoch: { config: 0, n: state.reign, priority: 0, node: 'm' },
                  }),
                ]
              : entries(state.last + 1, 1 + pick(30), pick(2000), state.reign);
          job = { group, entries: list };
        } else if (change === 5 && state.last >= state.first) {
          const [at] = await model.read(
            group,
            state.first + pick(state.last - state.first + 1),
            state.last,
            0,
          );
          if (at!.index > state.snapshot && at!.index >= state.first)
            job = { group, truncateFrom: at!.index, hard: hard(step, ++state.reign) };
        } else if (change === 6 && state.last >= state.first) {
          const [at] = await model.read(group, state.last, state.last, 0);
          const index = at!.index + at!.count - 1;
          if (index >= state.snapshot) {
            await both((store) => snapshot(store, group, { ...metaAt(index), epoch: at!.epoch }));
            job = { group, compactTo: state.first + pick(index - state.first + 1) };
          }
        } else if (change === 7) {
          const index = state.last + 1 + pick(20);
          state.reign++;
          await both((store) => snapshot(store, group, metaAt(index, state.reign)));
          job = { group, install: metaAt(index, state.reign) };
        } else if (change === 8 && pick(4) === 0) {
          job = { group, erase: true };
        } else if (change === 9) {
          await both((store) => store.close());
          subject = await openOn(disk);
          model = await memory.open(binding);
        }
        await both((store) => write(store, job));
        const now = await model.recover(group);
        if (now === undefined) held.delete(group);
        else
          Object.assign(state, {
            first: now.firstIndex,
            last: now.lastIndex,
            snapshot: now.snapshot?.index ?? 0,
          });
      }
      expect(await contentOf(subject), `seed ${seed}`).to.equal(await contentOf(model));
      await both((store) => store.close());
      subject = await openOn(disk);
      model = await memory.open(binding);
      expect(await contentOf(subject), `seed ${seed}, opened anew`).to.equal(await contentOf(model));
      await both((store) => store.close());
    }
  });

  it('opens without scanning sealed segments', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    for (let i = 1; i <= 300; i++) await write(store, { group: 'g', entries: entries(i, 1, 1000) });
    await store.close();
    let bytes = 0;
    const open = disk.open.bind(disk);
    disk.open = async (path, mode) => {
      const handle = await open(path, mode);
      const read = handle.read.bind(handle);
      handle.read = async (position, length) => {
        const content = await read(position, length);
        if (path.includes('000000000001')) bytes += content.length;
        return content;
      };
      return handle;
    };
    await (await openOn(disk)).close();
    expect(bytes).to.be.within(1, 8192);
  });
});
