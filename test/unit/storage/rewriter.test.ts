import { expect } from 'chai';
import { lastOf } from '../../../lib/consensus/consensus.js';
import type { NodeStore } from '../../../lib/storage/storage.js';
import { diskError, FaultyDisk } from './support/faultyDisk.js';
import { contentOf, DIRECTORY, entries, hard, metaAt, openOn, snapshot, write } from './support/harness.js';
import { expected, play, QUIET_SCRIPT } from './support/script.js';

/** How many segments the log has. */
async function segments(disk: FaultyDisk): Promise<number> {
  return (await disk.list(`${DIRECTORY}/log`)).filter((name) => name.endsWith('.seg')).length;
}

/** A group that writes a segment and more, then takes a snapshot. */
async function churn(store: NodeStore, round: number): Promise<void> {
  const first = 1 + round * 80;
  for (let part = 0; part < 4; part++)
    await write(store, {
      group: 'busy',
      entries: entries(first + part * 20, 20, 1000),
      hard: hard(first - 1),
    });
  await snapshot(store, 'busy', metaAt(first + 79));
  await write(store, { group: 'busy', compactTo: first + 79 });
}

/** Until the store has done what it does in the background. */
async function settled(disk: FaultyDisk): Promise<void> {
  for (let still = 0, seen = -1; still < 5; still++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (seen !== disk.operations.length) still = 0;
    seen = disk.operations.length;
  }
}

describe('storage: entries of quiet groups', function () {
  this.timeout(60_000);

  it('keep no segments for themselves: a log that goes on stays as short as what is needed of it', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    let most = 0;
    for (let round = 0; round < 40; round++) {
      // In every segment there is a little of somebody who never writes again.
      await write(store, { group: `quiet${round}`, entries: entries(1, 2, 300), hard: hard(1) });
      await churn(store, round);
      await settled(disk);
      if (round > 5) most = Math.max(most, await segments(disk));
    }
    expect(most, 'of 50 that were made').to.be.at.most(9);
    const before = await contentOf(store);
    expect(store.groups()).to.have.length(41);
    await store.close();
    const again = await openOn(disk.restart());
    expect(await contentOf(again)).to.equal(before);
    await again.close();
  });

  it('are left alone while the log is short', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await write(store, { group: 'quiet', entries: entries(1, 2, 300) });
    await churn(store, 0);
    await churn(store, 1);
    await settled(disk);
    expect(disk.operations.filter((line) => /^remove .*\.seg$/.test(line))).to.have.length(1);
    const [first] = (await store.recover('quiet'))!.tail;
    expect(first?.index).to.equal(1);
    await store.close();
  });

  it('are left where they are when that is most of their segment', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    // Eight segments, all needed: to write them again would gain nothing.
    for (let n = 0; n < 8; n++)
      await write(store, { group: `large${n}`, entries: entries(1, 50, 1000), hard: hard(1) });
    const written = (): number => disk.operations.filter((line) => line.startsWith('write ')).length;
    await settled(disk);
    const before = written();
    for (let round = 0; round < 3; round++) await churn(store, round);
    await settled(disk);
    expect(await segments(disk)).to.be.at.least(8);
    expect(written() - before).to.be.below(60);
    await store.close();
  });

  it('can be read, written and cut while they are written again', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    let last = 2;
    await write(store, { group: 'quiet', entries: entries(1, 2, 300), hard: hard(1) });
    const reads: Promise<void>[] = [];
    for (let round = 0; round < 12; round++) {
      const churned = churn(store, round);
      for (let n = 0; n < 20; n++) {
        reads.push(
          store.read('quiet', 1, 2, 1 << 20).then((held) => {
            expect(held.map(({ index }) => index)).to.deep.equal([1, 2]);
          }),
        );
        if (n % 7 === 0) {
          if (last > 4)
            await write(store, { group: 'quiet', truncateFrom: last, entries: entries(last, 1, 10, 2) });
          else await write(store, { group: 'quiet', entries: entries(++last, 1, 10, 2) });
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      await churned;
    }
    await Promise.all(reads);
    const held = await store.read('quiet', 1, last, 1 << 20);
    expect(lastOf(held.at(-1)!)).to.equal(last);
    await store.close();
  });

  it('are written again from where the group begins, be that within a block', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await write(store, { group: 'quiet', entries: entries(1, 20, 10), hard: hard(20) });
    await snapshot(store, 'quiet', metaAt(15));
    await write(store, { group: 'quiet', compactTo: 13 });
    for (let round = 0; round < 12; round++) {
      // Its segment is the one that costs least to clear.
      await write(store, { group: `other${round}`, entries: entries(1, 2, round === 0 ? 10 : 1000) });
      await churn(store, round);
    }
    await settled(disk);
    expect(store.failed).to.equal(undefined);
    expect(await disk.list(`${DIRECTORY}/log`)).to.not.include('000000000001.seg');
    const { firstIndex, lastIndex } = (await store.recover('quiet'))!;
    expect([firstIndex, lastIndex]).to.deep.equal([14, 20]);
    await store.close();
  });

  it('that cannot be read any more stay where they are, and harm nobody else', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await write(store, { group: 'quiet', entries: entries(1, 2, 300), hard: hard(1) });
    for (let round = 0; round < 2; round++) await churn(store, round);
    let failed = 0;
    disk.judgeRead = (path) => {
      if (!path.endsWith('000000000001.seg')) return undefined;
      failed++;
      return diskError('EIO');
    };
    for (let round = 2; round < 12; round++) {
      await write(store, { group: `other${round}`, entries: entries(1, 2, 1000) });
      await churn(store, round);
    }
    await settled(disk);
    expect(failed).to.be.above(0);
    expect(store.failed).to.equal(undefined);
    disk.judgeRead = () => undefined;
    expect(await store.read('quiet', 1, 2, 1 << 20)).to.have.length(2);
    await store.close();
  });

  it('play the script of the crash tests to its end, and are written again in it', async () => {
    const disk = new FaultyDisk();
    await play(disk, { issued: 0, acknowledged: 0 }, {}, undefined, QUIET_SCRIPT);
    const store = await openOn(disk.restart());
    expect(await contentOf(store)).to.equal(await expected(QUIET_SCRIPT.length, QUIET_SCRIPT));
    await store.close();
    expect(await segments(disk), 'of about nine').to.be.at.most(6);
  });
});
