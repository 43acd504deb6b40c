import { expect } from 'chai';
import type { DiskStorageOptions } from '../../../../lib/storage/diskStorage.js';
import type { DiskSettings } from '../../../../lib/testing/simulation/disk/settings.js';
import { Random } from '../../../../lib/testing/simulation/random.js';
import { expected, SCRIPT } from '../../storage/support/script.js';
import { contentOf, entries, write } from '../../storage/support/harness.js';
import { play } from './script.js';
import { World } from './support.js';

/** What a storage that was interrupted may hold: all that was acknowledged, and perhaps what was asked for. */
async function allowed(progress: { acknowledged: number; issued: number }): Promise<string[]> {
  const out: string[] = [];
  for (let steps = progress.acknowledged; steps <= progress.issued; steps++) out.push(await expected(steps));
  return out;
}

/** Runs the script for so many events, ends it, and checks what comes back. False when it had come to its end. */
async function interruptAt(events: number, seed: number, options: DiskStorageOptions): Promise<boolean> {
  const world = new World(seed);
  const random = new Random(`interrupt ${seed}`);
  const progress = { issued: 0, acknowledged: 0 };
  const played = play(world, progress, options);
  if ((await world.outcome(played, events)).is !== 'pending') return false;
  const end = (): 'kill' | 'crash' => (random.chance(0.3) ? 'kill' : 'crash');
  world.restart(end());
  while (random.chance(0.5)) {
    // Again, while it is being repaired.
    void world.openStore(options).catch(() => undefined);
    await world.outcome(new Promise(() => undefined), 1 + random.integer(60));
    world.restart(end());
  }

  const store = await world.run(world.openStore(options));
  const content = await world.run(contentOf(store));
  const name = `seed ${seed}, ended after ${events} events`;
  expect(await allowed(progress), name).to.include(content);

  // What was read once stays, and it goes on from there.
  world.restart('crash');
  const again = await world.run(world.openStore(options));
  expect(await world.run(contentOf(again)), `${name}, second look`).to.equal(content);
  await world.run(write(again, { group: 'z', entries: entries(1, 1) }));
  const grown = await world.run(contentOf(again));
  world.restart('crash');
  const reopened = await world.run(world.openStore(options));
  expect(await world.run(contentOf(reopened)), `${name}, grown`).to.equal(grown);
  return true;
}

describe('simulated disk: the storage on it', function () {
  this.timeout(120_000);

  for (const sync of ['fdatasync', 'dsync'] as const) {
    it(`comes back with a prefix that has all that was acknowledged, wherever it is ended: ${sync}`, async () => {
      let stop = 1;
      while (await interruptAt(stop, stop, { sync })) stop += 2;
      expect(stop).to.be.greaterThan(200);
    });
  }

  it('never loses what was acknowledged when the disk fails as it likes', async () => {
    const counts = new Map<string, number>();
    let failed = 0;
    for (let seed = 0; seed < 250; seed++) {
      const settings: DiskSettings = {
        errors: {
          write: 0.01,
          sync: 0.01,
          truncate: 0.05,
          rename: 0.02,
          remove: 0.02,
          syncDirectory: 0.02,
          open: 0.01,
        },
        stall: 0.01,
      };
      const world = new World(`faulty ${seed}`, settings);
      const progress = { issued: 0, acknowledged: 0 };
      const outcome = await world.outcome(play(world, progress));
      if (outcome.is === 'error') {
        failed++;
        expect(outcome.error.code, outcome.error.stack).to.equal('ERR_STORAGE_FAILED');
      }
      world.disk.settings = {};
      world.restart(seed % 2 === 0 ? 'crash' : 'kill');
      const store = await world.run(world.openStore());
      const content = await world.run(contentOf(store));
      expect(await allowed(progress), `seed ${seed}`).to.include(content);
      world.restart('crash');
      const again = await world.run(world.openStore());
      expect(await world.run(contentOf(again)), `seed ${seed}, second look`).to.equal(content);
      for (const [what, n] of world.disk.counts) counts.set(what, (counts.get(what) ?? 0) + n);
    }
    expect(failed).to.be.within(50, 249);
    for (const what of [
      'write short',
      'sync lost',
      'stall',
      'write interrupted',
      'sector lost',
      'name lost',
      'sector zeroed',
    ])
      expect(counts.get(what), what).to.be.greaterThan(0);
  });

  it('goes on after a full disk', async () => {
    let full = 0;
    for (let seed = 0; seed < 60; seed++) {
      const world = new World(`full ${seed}`);
      const progress = { issued: 0, acknowledged: 0 };
      world.disk.settings = { capacityBytes: 70_000 + 4000 * seed };
      const outcome = await world.outcome(play(world, progress));
      if (outcome.is === 'error') full++;
      world.disk.settings = {};
      world.restart(seed % 2 === 0 ? 'crash' : 'kill');
      const store = await world.run(world.openStore());
      expect(await allowed(progress), `seed ${seed}`).to.include(await world.run(contentOf(store)));
    }
    expect(full).to.be.greaterThan(20);
  });

  it('recovers everything or refuses, whatever bits flip', async () => {
    let refused = 0;
    let whole = 0;
    for (let seed = 0; seed < 300; seed++) {
      const world = new World(`rot ${seed}`);
      const random = new Random(`rot ${seed}`);
      const progress = { issued: 0, acknowledged: 0 };
      const outcome = await world.outcome(play(world, progress), 20 + random.integer(700));
      expect(outcome.is).not.to.equal('error');
      world.restart(random.chance(0.5) ? 'crash' : 'kill');
      if (random.chance(0.5)) {
        // A repair, and perhaps a little more, before the damage.
        const store = await world.run(world.openStore());
        if (random.chance(0.5)) {
          await world.run(store.close());
        } else {
          world.restart('crash');
        }
      }
      const flipped = world.disk.flip(1 + random.integer(3));
      const name = `seed ${seed}: ${JSON.stringify(flipped)}`;
      const opened = await world.outcome(world.openStore());
      const found = opened.is === 'value' ? await world.outcome(contentOf(opened.value)) : opened;
      if (found.is === 'error') {
        refused++;
        expect(found.error.code, `${name} ${found.error.message}`).to.equal('ERR_STORAGE_CORRUPT');
      } else if (found.is === 'value') {
        whole++;
        expect(await allowed(progress), name).to.include(found.value);
      } else {
        expect.fail(`${name} hangs`);
      }
    }
    expect(refused, `${whole} whole`).to.be.greaterThan(100);
    expect(whole).to.be.greaterThan(10);
  });

  it('is the same twice, to the last byte', async () => {
    const once = async (seed: number): Promise<string> => {
      const settings: DiskSettings = {
        errors: { write: 0.003, sync: 0.003 },
        stall: 0.01,
        crashGarbage: 0.1,
      };
      const world = new World(seed, settings, 100_000);
      await world.outcome(play(world, { issued: 0, acknowledged: 0 }), 600);
      world.restart('crash');
      world.disk.flip(3);
      await world.outcome(world.openStore(), 100);
      world.restart('kill');
      expect(world.trace.length).to.be.greaterThan(100);
      return world.trace.hash;
    };
    const hashes = new Set<string>();
    for (let seed = 0; seed < 10; seed++) {
      const hash = await once(seed);
      expect(await once(seed)).to.equal(hash);
      hashes.add(hash);
    }
    expect(hashes.size).to.equal(10);
    expect(SCRIPT.length).to.be.greaterThan(10);
  });
});
