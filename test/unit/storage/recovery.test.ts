/** Opening under the knife: it fails, or the machine crashes, at each of its own steps. */
import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import type { DiskStorageOptions } from '../../../lib/storage/diskStorage.js';
import { diskError, FaultyDisk } from './support/faultyDisk.js';
import { seeded } from '../support/seeded.js';
import type { Operation, Verdict } from './support/faultyDisk.js';
import { contentOf, DIRECTORY, entries, hard, metaAt, openOn, snapshot, write } from './support/harness.js';
import { expectedBetween, play } from './support/script.js';
import type { Progress } from './support/script.js';

/** Of what was not flushed nothing survives a crash. */
const LOSE_ALL = (): number => 0.1;

interface Wounded {
  /** A fresh copy of the disk as a crash left it. */
  readonly disk: () => FaultyDisk;
  readonly allowed: readonly string[];
  readonly name: string;
}

/** The disk that stops at a step of the script, and what may be read of it then; undefined when the script ended before. */
async function stoppedAt(
  stop: number,
  verdict: Verdict,
): Promise<{ disk: FaultyDisk; progress: Progress } | undefined> {
  const disk = new FaultyDisk();
  const progress = { issued: 0, acknowledged: 0 };
  const halted = new Promise<false>((resolve) => {
    disk.judge = (_operation, _path, step) => {
      if (step < stop) return 'works';
      setImmediate(() => resolve(false));
      return verdict;
    };
  });
  const ended = await Promise.race([halted, play(disk, progress).then(() => true)]);
  return ended ? undefined : { disk, progress };
}

/** Disks as crashes at many steps of the script leave them: by power loss, and when only the process is killed. */
async function* wounds(every: number): AsyncGenerator<Wounded> {
  for (let stop = 1; ; stop += every) {
    const stopped = await stoppedAt(stop, stop % 2 === 0 ? 'stops-half' : 'stops');
    if (stopped === undefined) return;
    const { disk, progress } = stopped;
    const allowed = await expectedBetween(progress);
    const killed = stop % 3 === 0;
    const name = `${killed ? 'killed' : 'crashed'} at ${stop}, ${disk.operations.at(-1)}`;
    yield { disk: () => (killed ? disk.restart() : disk.crash(seeded(stop))), allowed, name };
  }
}

/** What is read now, and again after the machine crashed, which must be the same and allowed. */
async function check(disk: FaultyDisk, { allowed, name }: Wounded, what: string): Promise<void> {
  const store = await openOn(disk);
  const content = await contentOf(store);
  expect(allowed, `${name}; ${what}`).to.include(content);
  const again = await openOn(disk.crash(LOSE_ALL));
  expect(await contentOf(again), `${name}; ${what}; second look`).to.equal(content);
  await again.close();
  await store.close();
}

/** How many bytes of a write are done: often few, about a sector's bounds, or almost all. */
function shortOf(random: () => number): number {
  const near = Math.floor(random() * 41);
  const sectors = 512 * Math.floor(random() * 16);
  return random() < 0.5 ? near : Math.max(0, sectors + near - 20);
}

/**
 * Many lives of one disk, each of which ends with a failed operation, a kill or a loss of power, most while it writes or opens.
 * `fails` decides about operations that are no writes. Returns how often something failed.
 */
async function lives(seed: number, count: number, fails: (operation: Operation) => boolean): Promise<number> {
  const random = seeded(seed);
  let disk = new FaultyDisk();
  let failures = 0;
  let acknowledged = 0;
  let issued = 0;
  const options = { sync: seed % 2 === 0 ? 'fdatasync' : 'dsync' } as const;
  for (let life = 0; life < count; life++) {
    const chance = [0, 0.02, 0.1, 0.4][Math.floor(random() * 4)]!;
    let halt = (): void => undefined;
    const halted = new Promise<void>((resolve) => (halt = resolve));
    disk.judge = (operation) => {
      if (random() >= chance || !(operation === 'write' || fails(operation))) return 'works';
      failures++;
      if (random() < 0.7) return { error: diskError('EIO'), half: shortOf(random) };
      setImmediate(halt);
      return random() < 0.5 ? 'stops-half' : 'stops';
    };
    const serve = async (): Promise<void> => {
      const store = await openOn(disk, options);
      const { lastIndex = 0, hard: vote } = (await store.recover('g')) ?? {};
      const what = `seed ${seed}, life ${life}`;
      expect(lastIndex, what).to.be.within(acknowledged, issued);
      expect(vote?.commit ?? 0, what).to.equal(lastIndex);
      await contentOf(store);
      acknowledged = issued = lastIndex;
      for (let i = Math.floor(random() * 12); i > 0; i--) {
        const size = [1, 100, 700, 6000][Math.floor(random() * 4)]!;
        const added = entries(issued + 1, 1 + Math.floor(random() * 4), size, life);
        const last = (issued += added.length);
        await write(store, { group: 'g', entries: added, hard: hard(last) });
        acknowledged = last;
      }
      if (random() < 0.3) await store.close();
    };
    const error = await Promise.race([halted, serve()]).catch((thrown: unknown) => thrown);
    if (error !== undefined && (error as QuorateError).code !== 'ERR_STORAGE_FAILED') throw error as Error;
    disk = random() < 0.5 ? disk.restart() : disk.crash(random);
  }
  return failures;
}

describe('storage: recovery', function () {
  this.timeout(120_000);

  it('may crash at each of its steps', async () => {
    let crashes = 0;
    for await (const wounded of wounds(4)) {
      for (let step = 1; ; step++) {
        const disk = wounded.disk();
        const halted = new Promise<false>((resolve) => {
          disk.judge = (_operation, _path, count) => {
            if (count < step) return 'works';
            setImmediate(() => resolve(false));
            return step % 2 === 0 ? 'stops' : 'stops-half';
          };
        });
        const opened = openOn(disk)
          .then((store) => store.close())
          .then(() => true);
        if (await Promise.race([halted, opened])) break;
        crashes++;
        const after = step % 3 === 0 ? disk.restart() : disk.crash(seeded(step));
        await check(after, wounded, `then at ${step}, ${disk.operations.at(-1)}`);
      }
    }
    expect(crashes).to.be.greaterThan(300);
  });

  // A seed of the simulator (700553): the name of the newer one was lost in a crash, the removal of the older one was not.
  it('removes no snapshot before the newer one that replaces it has a durable name', async () => {
    for (let step = 1; ; step++) {
      const disk = new FaultyDisk();
      const store = await openOn(disk);
      await write(store, { group: 'g', entries: entries(1, 10), hard: hard(10) });
      await snapshot(store, 'g', metaAt(5));
      await write(store, { group: 'g', compactTo: 5 });
      const renamed = new Promise<void>((resolve) => {
        disk.judge = (operation) => {
          if (operation !== 'rename') return 'works';
          setImmediate(resolve);
          return 'stops';
        };
      });
      void snapshot(store, 'g', metaAt(8)).catch(() => undefined);
      await renamed;
      const killed = disk.restart();
      const halted = new Promise<false>((resolve) => {
        killed.judge = (_operation, _path, count) => {
          if (count < step) return 'works';
          setImmediate(() => resolve(false));
          return 'stops';
        };
      });
      const opened = openOn(killed)
        .then((again) => again.close())
        .then(() => true);
      const done = await Promise.race([halted, opened]);
      for (let seed = 1; seed <= 16; seed++) {
        const after = await openOn(killed.crash(seeded(seed)));
        const { snapshot: newest, lastIndex } = (await after.recover('g'))!;
        expect(newest?.index, `step ${step}, seed ${seed}`).to.be.oneOf(done ? [8] : [5, 8]);
        expect(lastIndex).to.equal(10);
        await after.close();
      }
      if (done) return;
    }
  });

  it('may fail at each of its steps, says so, lets go of the lock, and loses nothing', async () => {
    const failed = new Set<Operation>();
    for await (const wounded of wounds(5)) {
      for (let step = 1; ; step++) {
        const disk = wounded.disk();
        let reached: Operation | undefined;
        disk.judge = (operation, _path, count) => {
          if (count !== step) return 'works';
          reached = operation;
          return { error: diskError(step % 2 === 0 ? 'EIO' : 'ENOSPC'), half: step % 3 === 0 };
        };
        const error = await openOn(disk)
          .then((store) => store.close())
          .then(
            () => undefined,
            (thrown: unknown) => thrown,
          );
        if (reached === undefined) break;
        const { operations } = disk;
        failed.add(reached);
        disk.judge = () => 'works';
        if (error !== undefined) {
          expect(error).to.be.instanceOf(QuorateError);
          expect((error as QuorateError).code, `${wounded.name}; ${reached}`).to.equal('ERR_STORAGE_FAILED');
          expect((error as QuorateError).message).to.include(DIRECTORY);
        }
        // At once, in the same process: what the failed flush left in the page cache must not be taken for durable.
        await check(disk, wounded, `then ${reached} failed at ${step}, ${operations[step - 1]}`);
      }
    }
    expect([...failed].sort()).to.include.members(['open', 'rename', 'sync', 'syncDirectory', 'write']);
  });

  it('takes a read that fails for what it is, never for the end of the log', async () => {
    let reads = 0;
    for await (const wounded of wounds(9)) {
      for (let count = 1; ; count++) {
        const disk = wounded.disk();
        disk.judgeRead = (_path, at) => (at === count ? diskError('EIO') : undefined);
        const error = await openOn(disk)
          .then((store) => store.close())
          .then(
            () => undefined,
            (thrown: unknown) => (thrown as QuorateError).code,
          );
        if (disk.reads < count) break;
        reads++;
        expect(error, `${wounded.name}; read ${count}`).to.equal('ERR_STORAGE_FAILED');
        disk.judgeRead = () => undefined;
        await check(disk, wounded, `then read ${count} failed`);
      }
    }
    expect(reads).to.be.greaterThan(80);
  });

  it('opens again after any number of short writes, kills and power losses, and loses nothing', async () => {
    let failures = 0;
    for (let seed = 0; seed < 60; seed++) failures += await lives(seed, 12, () => false);
    expect(failures).to.be.greaterThan(200);
  });

  it('fails a read that fails, and nothing else', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    for (let i = 1; i <= 100; i++) await write(store, { group: 'g', entries: entries(i, 1, 1000) });
    disk.judgeRead = () => diskError('EIO');
    for (const index of [1, 99]) {
      const error = await store.read('g', index, index, 0).then(
        () => expect.fail('read from a disk that cannot be read'),
        (thrown: unknown) => thrown,
      );
      expect(error).to.have.property('code', 'ERR_STORAGE_FAILED');
      expect((error as Error).cause).to.have.property('code', 'EIO');
    }
    disk.judgeRead = () => undefined;
    expect((await store.read('g', 1, 1, 0))[0]?.index).to.equal(1);
    await write(store, { group: 'g', entries: entries(101, 1) });
    await store.close();
  });

  it('makes the last batch durable anew: its flush may have failed, and its pages count as clean', async () => {
    for (const options of [
      { sync: 'fdatasync' },
      { sync: 'dsync' },
    ] as const satisfies DiskStorageOptions[]) {
      // Large enough that the end of the segment is not read together with the batch.
      const large = { ...options, segmentBytes: 4 << 20 };
      const disk = new FaultyDisk();
      const store = await openOn(disk, large);
      await write(store, { group: 'g', entries: entries(1, 3), hard: hard(1, 1) });
      disk.judge = (operation, path) => {
        const flushing = operation === (options.sync === 'dsync' ? 'write' : 'sync') && path.endsWith('.seg');
        return flushing ? { error: diskError('EIO'), half: false } : 'works';
      };
      const error = await write(store, { group: 'g', entries: entries(4, 3), hard: hard(1, 2) }).then(
        () => expect.fail('flushed'),
        (thrown: unknown) => thrown,
      );
      expect(error).to.have.property('code', 'ERR_STORAGE_FAILED');
      await store.close();
      disk.judge = () => 'works';
      const reopened = await openOn(disk, large);
      const content = await contentOf(reopened);
      const after = await openOn(disk.crash(LOSE_ALL), large);
      expect(await contentOf(after)).to.equal(content);
      expect((await after.recover('g'))?.hard?.epoch.n).to.equal(2); // it was read from the cache, and so it was voted
      await after.close();
      await reopened.close();
    }
  });

  it('keeps the directories that it made on the way', async () => {
    for (const random of [LOSE_ALL, seeded(3), seeded(4)]) {
      const disk = new FaultyDisk();
      const store = await openOn(disk);
      await write(store, { group: 'g', hard: hard(1, 5) });
      const reopened = await openOn(disk.crash(random));
      expect((await reopened.recover('g'))?.hard).to.deep.equal(hard(1, 5));
      await reopened.close();
      await store.close();
    }
  });

  it('opens below directories that cannot be flushed by this process, but not above a broken one', async () => {
    for (const [path, code, outcome] of [
      ['/', 'EACCES', 'opened'],
      ['/', 'EINVAL', 'opened'],
      ['/', 'EIO', 'ERR_STORAGE_FAILED'],
      ['/data', 'EACCES', 'ERR_STORAGE_FAILED'],
    ] as const) {
      const disk = new FaultyDisk();
      disk.judge = (operation, at) =>
        operation === 'syncDirectory' && at === path ? { error: diskError(code), half: false } : 'works';
      const result = await openOn(disk).then(
        (store) => store.close().then(() => 'opened'),
        (error: unknown) => (error as QuorateError).code,
      );
      expect(result, `${path} ${code}`).to.equal(outcome);
    }
  });
});
