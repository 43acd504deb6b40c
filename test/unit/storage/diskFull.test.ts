/** A disk of a given size, used up by what is written to it. */
import { expect } from 'chai';
import { nodeEnvironment } from '../../../lib/environment.js';
import type { QuorateError } from '../../../lib/errors.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import type { NodeStore } from '../../../lib/storage/storage.js';
import { FaultyDisk } from './support/faultyDisk.js';
import { seeded } from '../support/seeded.js';
import { contentOf, DIRECTORY, entries, hard, metaAt, openOn, snapshot, write } from './support/harness.js';

const SEGMENT = 65536;
const RESERVE = 4 * SEGMENT;

/** A store on a disk, and a way to let the time pass after which it looks at the free space anew. */
async function openFull(disk: FaultyDisk): Promise<{ store: NodeStore; refresh: () => Promise<void> }> {
  let timers: (() => void)[] = [];
  const environment = {
    ...nodeEnvironment,
    files: disk,
    setTimer: (_delay: number, callback: () => void) => {
      timers.push(callback);
      return { cancel: () => void (timers = timers.filter((one) => one !== callback)) };
    },
  };
  const storage = diskStorage(DIRECTORY, { segmentBytes: SEGMENT, reserve: RESERVE });
  const store = await storage.open({ environment, cluster: 'c', node: 'a' });
  const refresh = async (): Promise<void> => {
    for (const timer of timers.splice(0)) timer();
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  };
  return { store, refresh };
}

describe('storage: disk full', function () {
  this.timeout(60_000);

  it('has proposals refused while votes and snapshots still find room, and goes on when there is space', async () => {
    const disk = new FaultyDisk();
    disk.capacity = 24 * SEGMENT;
    const { store, refresh } = await openFull(disk);
    const random = seeded(1);
    let next = 1;
    for (let round = 1; round <= 8; round++) {
      // As the engine does it: an entry is proposed only if the headroom is at least its size.
      let size = 1000;
      for (let left = 2000; left > 0 && store.headroom() >= size; left--) {
        await write(store, { group: 'g', entries: entries(next++, 1, size), hard: hard(next, round) });
        size = 200 + Math.floor(random() * 20_000);
      }
      expect(store.headroom(), `round ${round}`).to.be.below(size);
      // The reserve is for these; none of them fails.
      for (let i = 0; i < 20; i++) await write(store, { group: 'votes', hard: hard(0, 100 * round + i) });
      await snapshot(store, 'g', metaAt(next - 1), new Uint8Array(SEGMENT));
      const refused = store.headroom();
      await write(store, { group: 'g', compactTo: next - 1 });
      await write(store, { group: 'g', hard: hard(next, round) });
      expect(store.failed).to.equal(undefined);
      while (disk.capacity - disk.used < 12 * SEGMENT) await new Promise((resolve) => setImmediate(resolve));
      await refresh();
      expect(store.headroom(), `round ${round}, after compaction`).to.be.greaterThan(refused + 4 * SEGMENT);
    }
    const content = await contentOf(store);
    expect(content).to.include('"n":819');
    await store.close();
    const { store: reopened } = await openFull(disk.crash(() => 0.1));
    expect(await contentOf(reopened)).to.equal(content);
    await reopened.close();
  });

  it('does not count on space that others took, once it has looked', async () => {
    const disk = new FaultyDisk();
    disk.capacity = 24 * SEGMENT;
    const { store, refresh } = await openFull(disk);
    expect(store.headroom()).to.be.greaterThan(10 * SEGMENT);
    disk.capacity = disk.used + RESERVE;
    await refresh();
    expect(store.headroom()).to.equal(0);
    disk.capacity += SEGMENT;
    await refresh();
    expect(store.headroom()).to.equal(SEGMENT);
    await store.close();
  });

  it('loses nothing acknowledged when it is written to the last byte all the same, and can be opened with some space', async () => {
    for (const slack of [0, 1, 700, 4096, SEGMENT - 1]) {
      const disk = new FaultyDisk();
      disk.capacity = 6 * SEGMENT + slack;
      const store = await openOn(disk);
      let acknowledged = '';
      let error: QuorateError | undefined;
      for (let i = 1; error === undefined; i++) {
        await write(store, { group: 'g', entries: entries(i, 1, 3000), hard: hard(i) }).then(
          async () => (acknowledged = await contentOf(store)),
          (thrown: unknown) => (error = thrown as QuorateError),
        );
      }
      expect(error.code).to.equal('ERR_STORAGE_FAILED');
      expect(error.cause).to.have.property('code', 'ENOSPC');
      expect(store.failed).to.equal(error);
      await store.close();
      for (const after of [disk.restart(), disk.crash(seeded(slack)), disk.crash(() => 0.1)]) {
        const reopened = await openOn(after);
        expect(await contentOf(reopened), `slack ${slack}`).to.equal(acknowledged);
        await write(reopened, { group: 'v', hard: hard(1) });
        await reopened.close();
      }
      // No more space than there was: what is there can be read, and the vote fits the room that is zeroed already, or fails aloud.
      const tight = disk.restart();
      tight.capacity = tight.used;
      const reopened = await openOn(tight);
      expect(await contentOf(reopened)).to.equal(acknowledged);
      await reopened.close();
    }
  });
});
