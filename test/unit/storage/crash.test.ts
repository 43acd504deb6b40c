import { expect } from 'chai';
import type { DiskStorageOptions } from '../../../lib/storage/diskStorage.js';
import { FaultyDisk } from './support/faultyDisk.js';
import { seeded } from '../support/seeded.js';
import type { Verdict } from './support/faultyDisk.js';
import { contentOf, entries, openOn, write } from './support/harness.js';
import { expected, expectedBetween, play, QUIET_SCRIPT, SCRIPT } from './support/script.js';

/** Runs the script until the disk stops, crashes it, and checks what comes back. False when the script came to its end. */
async function crashAt(
  stop: number,
  verdict: Verdict,
  seed: number,
  options: DiskStorageOptions,
  script = SCRIPT,
): Promise<boolean> {
  const disk = new FaultyDisk();
  const progress = { issued: 0, acknowledged: 0 };
  const halted = new Promise<void>((resolve) => {
    disk.judge = (_operation, _path, step) => {
      if (step < stop) return 'works';
      setImmediate(resolve);
      return verdict;
    };
  });
  const played = play(disk, progress, options, undefined, script);
  const ended = await Promise.race([halted.then(() => false), played.then(() => true)]);
  if (ended) return false;

  const random = seeded(seed);
  // The machine crashes; or only the process is killed, and the page cache outlives it.
  let after = seed % 4 === 1 ? disk.restart() : disk.crash(random);
  if (seed % 2 === 0) {
    // A second crash while the first is being repaired.
    const interrupted = after;
    const at = 1 + Math.floor(random() * 12);
    const again = new Promise<void>((resolve) => {
      interrupted.judge = (_operation, _path, step) => {
        if (step < at) return 'works';
        setImmediate(resolve);
        return 'stops';
      };
    });
    const opened = openOn(interrupted, options).then((store) => store.close());
    await Promise.race([again, opened]);
    interrupted.stopped = true;
    after = interrupted.crash(random);
  }

  const store = await openOn(after, options);
  const content = await contentOf(store);
  const allowed = await expectedBetween(progress, script);
  expect(allowed, `stopped at ${stop}, seed ${seed}: ${disk.operations.at(-1)}`).to.include(content);

  // What was read once stays, even if the machine crashes now.
  const again = await openOn(after.crash(random), options);
  expect(await contentOf(again), `stopped at ${stop}, seed ${seed}, second look`).to.equal(content);
  await again.close();

  // It goes on from there, and nothing of what was cut off comes back.
  await write(store, { group: 'z', entries: entries(1, 1) });
  const grown = await contentOf(store);
  await store.close();
  const reopened = await openOn(after.crash(random), options);
  expect(await contentOf(reopened)).to.equal(grown);
  await reopened.close();
  return true;
}

describe('storage: crashes', function () {
  this.timeout(120_000);

  const cases: [string, Verdict, DiskStorageOptions, typeof SCRIPT?][] = [
    ['after each step of writing entries again', 'stops', {}, QUIET_SCRIPT],
    ['half-way through each write, while entries are written again', 'stops-half', {}, QUIET_SCRIPT],
    ['after each step', 'stops', {}],
    ['half-way through each write', 'stops-half', {}],
    ['after each step, with O_DSYNC', 'stops', { sync: 'dsync' }],
  ];
  for (const [name, verdict, options, script] of cases) {
    it(`comes back with a prefix that has all that was acknowledged: ${name}`, async () => {
      let stop = 1;
      while (await crashAt(stop, verdict, stop, options, script)) stop++;
      expect(stop).to.be.greaterThan(100);
    });
  }

  it('uses several segments, and removes them', async () => {
    const disk = new FaultyDisk();
    await play(disk, { issued: 0, acknowledged: 0 }, {});
    const made = new Set(disk.operations.filter((line) => /^rename .*\.seg$/.test(line)));
    const removed = disk.operations.filter((line) => /^remove .*\.seg$/.test(line));
    expect(made.size).to.be.greaterThan(4);
    expect(removed.length).to.be.greaterThan(1);
    const store = await openOn(disk);
    expect(await contentOf(store)).to.equal(await expected(SCRIPT.length));
    await store.close();
  });
});
