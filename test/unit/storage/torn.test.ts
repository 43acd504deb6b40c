/** Torn batches wherever one can be last, and every bit of what is not payload. */
import { expect } from 'chai';
import type { DiskStorageOptions } from '../../../lib/storage/diskStorage.js';
import type { GroupWrite } from '../../../lib/storage/storage.js';
import { damage, endOf, flip, framesOf, outcome, segmentsOf } from './support/damage.js';
import { diskError, FaultyDisk } from './support/faultyDisk.js';
import { seeded } from '../support/seeded.js';
import { contentOf, entries, entry, hard, metaAt, openOn, snapshot, write } from './support/harness.js';

const CORRUPT = 'ERR_STORAGE_CORRUPT';

/** A log whose last batch is the one to be torn. */
interface Tail {
  readonly disk: FaultyDisk;
  readonly path: string;
  /** Bounds of the last batch. */
  readonly begin: number;
  readonly end: number;
  /** What is read with and without it. */
  readonly whole: string;
  readonly shorter: string;
  readonly options: DiskStorageOptions;
}

async function tail(
  before: readonly GroupWrite[],
  last: readonly GroupWrite[],
  options: DiskStorageOptions = {},
): Promise<Tail> {
  const disk = new FaultyDisk();
  const store = await openOn(disk, options);
  for (const one of before) await write(store, one);
  const shorter = await contentOf(store);
  await write(store, ...last);
  const whole = await contentOf(store);
  // As it is at this moment: closing would seal what was left.
  const image = disk.copy();
  await store.close();
  const path = segmentsOf(image).findLast((one) => framesOf(image.files().get(one)!).length > 0)!;
  const inode = image.files().get(path)!;
  const begin = framesOf(inode).at(-1)!;
  return { disk: image, path, begin, end: endOf(inode), whole, shorter, options };
}

/** The last batch without the sectors (by number, from its first) that `lost` names. */
function without({ disk, path, begin, end }: Tail, lost: (sector: number) => boolean): FaultyDisk {
  return damage(disk, path, (content) => {
    const first = Math.floor(begin / 512);
    for (let i = first; i * 512 < end; i++) {
      if (lost(i - first)) content.fill(0, Math.max(begin, i * 512), Math.min(content.length, (i + 1) * 512));
    }
    return content;
  });
}

describe('storage: torn batches', function () {
  this.timeout(120_000);

  it('takes the first batch of a segment as never written when any of it is missing', async () => {
    const filling = Array.from({ length: 6 }, (_, i) => ({
      group: 'g',
      entries: entries(1 + 10 * i, 10, 1000),
    }));
    const torn = await tail(
      [{ group: 'v', hard: hard(1, 9) }, ...filling],
      [{ group: 'g', entries: entries(61, 4, 900) }],
    );
    const { disk, path, begin, end, whole, shorter } = torn;
    expect([segmentsOf(disk).indexOf(path), begin]).to.deep.equal([1, 64]);
    const sectors = Math.ceil(end / 512);
    for (let lost = 1; lost < 1 << sectors; lost++) {
      const found = await outcome(without(torn, (i) => (lost & (1 << i)) !== 0));
      expect(found, `without sectors ${lost.toString(2)}`).to.equal(shorter);
    }
    for (let at = begin; at < end; at += at < begin + 100 || at > end - 100 ? 1 : 13) {
      const cut = damage(disk, path, (content) => content.subarray(0, at));
      expect(await outcome(cut), `file cut at ${at}`).to.equal(shorter);
      const zeroed = damage(disk, path, (content) => content.fill(0, at));
      expect(await outcome(zeroed), `zeros from ${at} on`).to.equal(shorter);
    }
    expect(await outcome(disk.copy())).to.equal(whole);
  });

  it('flushes the zeros over a torn first batch of a segment before the one before it goes on', async () => {
    const filling = Array.from({ length: 6 }, (_, i) => ({
      group: 'g',
      entries: entries(1 + 10 * i, 10, 1000),
    }));
    const torn = await tail(filling, [{ group: 'g', entries: entries(61, 4, 900) }]);
    // Its header is whole: if it came back, it would claim the sequence of a batch that is written now.
    const disk = without(torn, (sector) => sector === 3);
    const store = await openOn(disk);
    await write(store, { group: 'g', entries: entries(61, 1, 10, 2) });
    await write(store, { group: 'g', hard: hard(61, 2) });
    const content = await contentOf(store);
    const after = disk.crash(() => 0.1);
    await store.close();
    expect(await outcome(after)).to.equal(content);
  });

  for (const [name, segmentBytes, size] of [
    ['a large batch within a segment', 1 << 18, 60_000],
    ['a batch that makes its segment grow', 65536, 150_000],
  ] as const) {
    it(`takes ${name} as never written when any sectors are missing`, async () => {
      const data = new Uint8Array(size).map((_, i) => (i % 255) + 1);
      const torn = await tail(
        [{ group: 'g', hard: hard(1), entries: entries(1, 5) }],
        [
          { group: 'g', entries: [entry(6, { data })] },
          { group: 'h', hard: hard(1, 4) },
        ],
        { segmentBytes },
      );
      const { disk, path, begin, end, whole, shorter, options } = torn;
      const sectors = Math.floor((end - 1) / 512) - Math.floor(begin / 512) + 1;
      const random = seeded(size);
      const check = async (what: string, lost: (sector: number) => boolean): Promise<void> => {
        expect(await outcome(without(torn, lost), options), what).to.equal(shorter);
      };
      for (let i = 0; i < sectors; i++) {
        await check(`without sector ${i}`, (sector) => sector === i);
        if (i % 3 === 0) await check(`up to sector ${i}`, (sector) => sector >= i);
        if (i % 3 === 1) await check(`from sector ${i} on`, (sector) => sector <= i);
      }
      for (let round = 0; round < 150; round++) {
        const share = random();
        const certain = Math.floor(random() * sectors);
        await check(`round ${round}`, (sector) => sector === certain || random() < share);
      }
      for (let round = 0; round < 100; round++) {
        const at = begin + Math.floor(random() * (end - begin));
        const cut = damage(disk, path, (content) => content.subarray(0, at));
        expect(await outcome(cut, options), `cut at ${at}`).to.equal(shorter);
      }
      expect(await outcome(disk.copy(), options)).to.equal(whole);
    });
  }

  for (const [name, place, before] of [
    ['within a segment', 0, [{ group: 'g', entries: entries(1, 20), hard: hard(1) }]],
    [
      'the first of a segment',
      1,
      [1, 11, 21, 31, 41, 51].map((i) => ({ group: 'g', entries: entries(i, 10, 1000) })),
    ],
  ] as const) {
    it(`takes a torn batch as never written when its repair was cut short at any byte: ${name}`, async () => {
      const last = before.length === 1 ? 21 : 61;
      const torn = await tail(before, [{ group: 'g', entries: entries(last, 4, 900) }]);
      const { disk, path, begin, end, shorter } = torn;
      expect(segmentsOf(disk).indexOf(path)).to.equal(place);
      // What the first repair finds: cut off within the header, behind it, at the end; without a sector.
      const wounds = [begin + 1, begin + 31, begin + 32, begin + 700, end - 1].map((at) =>
        damage(disk, path, (content) => content.fill(0, at)),
      );
      wounds.push(
        without(torn, (sector) => sector === 1),
        without(torn, (sector) => sector === 0),
      );
      for (const [i, wound] of wounds.entries()) {
        for (let bytes = 0; bytes < end - begin; bytes += bytes < 40 ? 1 : 97) {
          // Three repairs in a row fail: cut short at that byte, a little before it, and a little after it.
          let after = wound.copy();
          for (const done of [bytes, Math.max(0, bytes - 3), bytes + 5]) {
            after.judge = (operation) =>
              operation === 'write' ? { error: diskError('EIO'), half: done } : 'works';
            expect(await outcome(after), `wound ${i}, ${done} bytes`).to.equal('ERR_STORAGE_FAILED');
            after = done % 2 === 0 ? after.restart() : after.crash(seeded(bytes));
          }
          expect(await outcome(after), `wound ${i}, repair cut short at ${bytes}`).to.equal(shorter);
        }
      }
    });
  }

  it('lets nothing of a torn batch come back, whatever is written over it and however often it crashes', async () => {
    const random = seeded(7);
    for (let round = 0; round < 60; round++) {
      const torn = await tail(
        [{ group: 'g', entries: entries(1, 20), hard: hard(1) }],
        [{ group: 'g', truncateFrom: 10, entries: entries(10, 20, 300, 2), hard: hard(2, 2) }],
      );
      const certain = Math.floor(random() * 10);
      let disk = without(torn, (sector) => sector === certain || random() < 0.3);
      let content = torn.shorter;
      for (let again = 0; again < 3; again++) {
        const store = await openOn(disk);
        expect(await contentOf(store), `round ${round}, opening ${again}`).to.equal(content);
        // Shorter than what was there, so that remains of it would follow.
        await write(store, { group: 'g', entries: entries(21 + again, 1, 10 + 40 * again, 3) });
        content = await contentOf(store);
        const next = disk.crash(() => 0.1);
        await store.close();
        disk = next;
      }
      expect(await outcome(disk), `round ${round}`).to.equal(content);
    }
  });
});

describe('storage: flipped bits', function () {
  this.timeout(120_000);

  /** All entries are needed: three sealed segments, the last one, and a snapshot. */
  async function full(): Promise<{ disk: FaultyDisk; whole: string }> {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await snapshot(store, 's', metaAt(7), new Uint8Array(70_000).fill(3));
    await write(store, { group: 's', install: metaAt(7), hard: hard(7, 2) });
    for (let i = 1; i <= 210; i += 6) await write(store, { group: 'g', entries: entries(i, 6, 1000) });
    await write(store, { group: 'g', hard: hard(200, 3), truncateFrom: 205 });
    await store.close();
    return { disk, whole: await outcome(disk.copy()) };
  }

  it('finds every bit of every header, and reads past a damaged footer', async () => {
    const { disk, whole } = await full();
    const paths = segmentsOf(disk);
    const written = paths.filter((path) => disk.files().get(path)!.current.includes('FRM1'));
    expect(written.length).to.be.greaterThan(3);
    const last = written.at(-1)!;
    for (const path of [paths[0]!, last]) {
      for (let bit = 0; bit < 64 * 8; bit++) {
        const found = await outcome(flip(disk, path, bit >> 3, bit & 7));
        expect(found, `${path} header, bit ${bit}`).to.equal(CORRUPT);
      }
    }
    for (const frame of framesOf(disk.files().get(last)!).slice(-3)) {
      for (let bit = 0; bit < 32 * 8; bit++) {
        const found = await outcome(flip(disk, last, frame + (bit >> 3), bit & 7));
        expect(found, `${last} frame at ${frame}, bit ${bit}`).to.equal(CORRUPT);
      }
    }
    // A sealed segment is read through its footer: what that does not need may be damaged, and damage to it costs a scan.
    const { current } = disk.files().get(written[0]!)!;
    const footer = current.length - 32 - current.readUInt32LE(current.length - 28);
    for (let byte = footer; byte < current.length; byte++) {
      for (let bit = byte % 2; bit < 8; bit += 2) {
        expect(await outcome(flip(disk, written[0]!, byte, bit)), `footer byte ${byte}`).to.equal(whole);
      }
    }
    for (const path of written.slice(0, -1)) {
      for (const frame of framesOf(disk.files().get(path)!).slice(0, 3)) {
        for (let bit = 0; bit < 32 * 8; bit += 7) {
          const found = await outcome(flip(disk, path, frame + (bit >> 3), bit & 7));
          // The first header of a segment is looked at in passing; the others are not.
          expect(found, `${path} frame at ${frame}, bit ${bit}`).to.be.oneOf([whole, CORRUPT]);
        }
      }
    }
  });

  it('finds every flipped bit of an entry that is needed', async () => {
    const { disk } = await full();
    const random = seeded(11);
    for (const path of segmentsOf(disk)) {
      const inode = disk.files().get(path)!;
      for (const frame of framesOf(inode)) {
        const bodyLength = inode.current.readUInt32LE(frame + 4);
        if (bodyLength < 6000) continue;
        for (let i = 0; i < 12; i++) {
          const at = frame + 32 + Math.floor(random() * bodyLength);
          const found = await outcome(flip(disk, path, at, Math.floor(random() * 8)));
          expect(found, `${path}, byte ${at}`).to.equal(CORRUPT);
        }
      }
    }
  });

  it('finds every flipped bit of the manifest and of what a snapshot says of itself', async () => {
    const { disk } = await full();
    for (const [path, { current }] of disk.files()) {
      const from = path.endsWith('manifest') ? 0 : path.endsWith('.snap') ? 70_000 + 8 : Infinity;
      for (let byte = from; byte < current.length; byte++) {
        for (let bit = 0; bit < 8; bit++) {
          const found = await outcome(flip(disk, path, byte, bit));
          expect(found, `${path}, byte ${byte}, bit ${bit}`).to.equal(CORRUPT);
        }
      }
    }
  });
});
