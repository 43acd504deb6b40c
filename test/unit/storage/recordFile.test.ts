/** The list of records beside the log: what crashes, damage and full disks do to it. */
import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import type { FileSystem } from '../../../lib/files.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import type { NodeStore, RecordFile, Storage } from '../../../lib/storage/storage.js';
import { seeded } from '../support/seeded.js';
import { FaultyDisk } from './support/faultyDisk.js';
import { environmentOn } from './support/harness.js';

const record = (text: string): Uint8Array => Buffer.from(text);
const texts = (file: RecordFile): string[] => file.records.map((bytes) => Buffer.from(bytes).toString());

interface Open {
  readonly store: NodeStore;
  readonly file: RecordFile;
  readonly close: () => Promise<void>;
}

async function open(
  files: FileSystem,
  storage: Storage = diskStorage('/d', { segmentBytes: 65_536, reserve: 1e6 }),
  group = 'g',
): Promise<Open> {
  const environment = environmentOn(files);
  const store = await storage.open({ environment, cluster: 'c', node: 'a' });
  try {
    const file = await storage.openRecords!({ environment, group });
    const close = async (): Promise<void> => {
      await file.close();
      await store.close();
    };
    return { store, file, close };
  } catch (error) {
    await store.close();
    throw error;
  }
}

const append = (file: RecordFile, items: readonly string[], leaveRoom = false): Promise<void> =>
  new Promise((resolve, reject) =>
    file.append(items.map(record), leaveRoom, (error) => (error ? reject(error) : resolve())),
  );

const replace = (file: RecordFile, items: readonly string[]): Promise<void> =>
  new Promise((resolve, reject) =>
    file.replace(items.map(record), (error) => (error ? reject(error) : resolve())),
  );

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

const pathOf = (disk: FaultyDisk): string =>
  [...disk.files().keys()].find((path) => path.endsWith('.records'))!;

describe('a list of records', () => {
  for (const kind of ['disk', 'memory']) {
    it(`holds what was appended, in order, and what replaced it (${kind})`, async () => {
      let disk = new FaultyDisk();
      const storage = kind === 'memory' ? memoryStorage() : undefined;
      let { file, close } = await open(disk, storage);
      expect(texts(file)).to.deep.equal([]);
      await Promise.all([
        append(file, ['a', 'b']),
        append(file, []),
        append(file, ['']),
        append(file, ['c']),
      ]);
      await close();
      disk = disk.restart();
      ({ file, close } = await open(disk, storage));
      expect(texts(file)).to.deep.equal(['a', 'b', '', 'c']);
      const before = file.bytes;
      await append(file, ['d'.repeat(5000)]);
      expect(file.bytes).to.be.greaterThan(before + 4999);
      void append(file, ['e']);
      await replace(file, ['x']);
      expect(file.bytes).to.be.lessThan(200);
      await append(file, ['y']);
      await close();
      disk = disk.restart();
      ({ file, close } = await open(disk, storage));
      expect(texts(file)).to.deep.equal(['x', 'y']);
      await close();
      ({ file, close } = await open(disk.restart(), storage, 'another'));
      expect(texts(file)).to.deep.equal([]);
      await close();
    });
  }

  it('brings back all that was acknowledged, whatever the loss of power leaves, and nothing in part', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seeded(seed);
      let disk = new FaultyDisk();
      let acknowledged: string[] = [];
      let count = 0;
      for (let life = 0; life < 4; life++) {
        const opened = await open(disk);
        const found = texts(opened.file);
        expect(found.slice(0, acknowledged.length), `seed ${seed}`).to.deep.equal(acknowledged);
        const next = found.slice();
        acknowledged = found;
        for (let n = Math.floor(random() * 4); n > 0; n--) {
          next.push(`${++count} ${'.'.repeat(random() * 1500)}`);
          await append(opened.file, next.slice(-1));
          if (random() < 0.2) await replace(opened.file, next);
          acknowledged = next.slice();
        }
        // One more that is under way when the power goes: all three of it are there, or none.
        const three = [1, 2, 3].map((part) => `${count + part} ${'!'.repeat(random() * 900)}`);
        count += 3;
        let steps = Math.floor(random() * 4);
        disk.judge = () => (steps-- > 0 ? 'works' : random() < 0.5 ? 'stops-half' : 'stops');
        opened.file.append(three.map(record), false, () => undefined);
        await new Promise((resolve) => setImmediate(resolve));
        await new Promise((resolve) => setImmediate(resolve));
        disk = disk.crash(random);
        const after = await open(disk);
        const rest = texts(after.file).slice(acknowledged.length);
        expect(rest.length === 0 || rest.join() === three.join(), `seed ${seed}: ${rest.length}`).to.equal(
          true,
        );
        await after.close();
        disk = disk.restart();
      }
    }
  });

  it('takes damage for what it is: cut short at the end only', async () => {
    const disk = new FaultyDisk();
    const { file, close } = await open(disk);
    for (const text of ['one', 'two '.repeat(300), 'three']) await append(file, [text]);
    await close();
    const path = pathOf(disk);
    const whole = Buffer.from(disk.files().get(path)!.current);
    const reopened = async (bytes: Buffer): Promise<string[] | string> => {
      const copy = disk.copy();
      Object.assign(copy.files().get(path)!, { current: bytes, durable: bytes, shared: false });
      try {
        const again = await open(copy);
        await again.close();
        return texts(again.file);
      } catch (error) {
        return (error as QuorateError).code;
      }
    };
    const all = ['one', 'two '.repeat(300), 'three'];
    expect(await reopened(whole)).to.deep.equal(all);
    // A sector that was never written is what a crash leaves, but not in front of a frame that was written later.
    const hole = Buffer.from(whole).fill(0, 512, 1024);
    expect(await reopened(hole)).to.equal('ERR_STORAGE_CORRUPT');
    const last = whole.lastIndexOf('REC1');
    expect(await reopened(hole.subarray(0, last))).to.deep.equal(['one']);
    for (let at = 0; at < whole.length; at += 3) {
      const cut = await reopened(whole.subarray(0, at));
      if (at < 64) expect(cut, `cut at ${at}`).to.equal('ERR_STORAGE_CORRUPT');
      else expect(all.slice(0, cut.length), `cut at ${at}`).to.deep.equal(cut);
      const flipped = Buffer.from(whole);
      flipped[at]! ^= 4;
      const found = await reopened(flipped);
      // What fills up a frame says nothing.
      if (found !== 'ERR_STORAGE_CORRUPT') expect(found, `changed at ${at}`).to.deep.equal(all);
    }
  });

  it('is of one storage and group, and of a format that is known', async () => {
    const disk = new FaultyDisk();
    const { file, close } = await open(disk);
    await append(file, ['one']);
    await close();
    const path = pathOf(disk);
    const other = new FaultyDisk();
    await (await open(other)).close();
    const bytes = disk.files().get(path)!.current;
    Object.assign(other.files().get(path)!, { current: bytes, durable: bytes, shared: true });
    const error = await failure(open(other.restart()));
    expect(error.code).to.equal('ERR_STORAGE_FOREIGN');
  });

  it('refuses what would leave little space, and takes the rest', async () => {
    const disk = new FaultyDisk();
    const { file, close } = await open(disk);
    await append(file, ['one'], true);
    disk.free = 1e6;
    const refused = failure(append(file, ['two'], true));
    const taken = append(file, ['three']);
    expect(await refused).to.include({ code: 'ERR_STORAGE_FULL', fate: 'refused' });
    await taken;
    disk.free = 1e12;
    await append(file, ['four'], true);
    await close();
    const again = await open(disk.restart());
    expect(texts(again.file)).to.deep.equal(['one', 'three', 'four']);
    await again.close();
  });

  it('goes on when there is no space to be written anew, and fails for good when a write or flush fails', async () => {
    const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
    for (const [operation, code] of [
      ['write', 'ENOSPC'],
      ['sync', 'EIO'],
      ['write', 'EIO'],
    ] as const) {
      const disk = new FaultyDisk();
      const { file, close, store } = await open(disk);
      await append(file, ['one']);
      disk.judge = (what, path) =>
        what === operation && path.includes('outbox')
          ? { error: code === 'ENOSPC' ? full : Object.assign(new Error(code), { code }), half: false }
          : 'works';
      if (code === 'ENOSPC') {
        await replace(file, ['other']);
        disk.judge = () => 'works';
        await append(file, ['two']);
        await close();
        const again = await open(disk.restart());
        expect(texts(again.file)).to.deep.equal(['one', 'two']);
        await again.close();
        continue;
      }
      expect((await failure(append(file, ['two']))).code).to.equal('ERR_STORAGE_FAILED');
      disk.judge = () => 'works';
      expect((await failure(append(file, ['three']))).code).to.equal('ERR_STORAGE_FAILED');
      expect((await failure(replace(file, ['three']))).code).to.equal('ERR_STORAGE_FAILED');
      await file.close();
      await store.close();
    }
  });
});
