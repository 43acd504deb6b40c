import { expect } from 'chai';
import type { QuorateError } from '../../../lib/errors.js';
import { damage, flip, framesOf, outcome, segmentsOf } from './support/damage.js';
import { FaultyDisk } from './support/faultyDisk.js';
import { seeded } from '../support/seeded.js';
import { contentOf, DIRECTORY, entries, hard, metaAt, openOn, snapshot, write } from './support/harness.js';
import { play } from './support/script.js';

describe('storage: corruption', function () {
  this.timeout(120_000);

  /** One segment: a few batches, the last over several sectors. `shorter` is what is left without the last. */
  async function tail(): Promise<{
    disk: FaultyDisk;
    path: string;
    begin: number;
    end: number;
    whole: string;
    shorter: string;
  }> {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await write(store, { group: 'g', hard: hard(1), entries: entries(1, 5) });
    await write(store, { group: 'h', entries: entries(1, 3) });
    await write(store, { group: 'g', truncateFrom: 4, hard: hard(2), entries: entries(4, 2, 100, 2) });
    const shorter = await contentOf(store);
    await write(
      store,
      { group: 'g', hard: hard(4, 3), entries: entries(6, 12, 200, 3) },
      { group: 'h', truncateFrom: 2 },
    );
    const whole = await contentOf(store);
    await store.close();
    const path = segmentsOf(disk)[0]!;
    const content = disk.files().get(path)!.current;
    const begin = framesOf(disk.files().get(path)!).at(-1)!;
    let end = content.length;
    while (content[end - 1] === 0) end--;
    expect(end - begin).to.be.greaterThan(5 * 512);
    return { disk, path, begin, end, whole, shorter };
  }

  it('takes a batch that is cut off at any byte as never written', async () => {
    const { disk, path, begin, end, whole, shorter } = await tail();
    for (let at = begin; at < end; at++) {
      const cut = damage(disk, path, (content) => content.subarray(0, at));
      expect(await outcome(cut), `file cut at ${at - begin}`).to.equal(shorter);
      const zeroed = damage(disk, path, (content) => content.fill(0, at));
      expect(await outcome(zeroed), `zeros from ${at - begin} on`).to.equal(shorter);
    }
    expect(await outcome(disk.copy())).to.equal(whole);
  });

  it('takes a batch that lacks any of its sectors as never written', async () => {
    const { disk, path, begin, end, shorter } = await tail();
    const first = Math.floor(begin / 512);
    const sectors = Math.floor((end - 1) / 512) - first + 1;
    for (let lost = 1; lost < 1 << sectors; lost++) {
      const torn = damage(disk, path, (content) => {
        for (let i = 0; i < sectors; i++) {
          if ((lost & (1 << i)) === 0) continue;
          content.fill(0, Math.max(begin, (first + i) * 512), (first + i + 1) * 512);
        }
        return content;
      });
      expect(await outcome(torn), `without sectors ${lost.toString(2)}`).to.equal(shorter);
    }
  });

  it('does not let a torn batch come back', async () => {
    const { disk, path, begin, end } = await tail();
    for (let at = begin; at < end; at += 101) {
      const torn = damage(disk, path, (content) => content.fill(0, at));
      const store = await openOn(torn);
      await write(store, { group: 'z', hard: hard(1) });
      const content = await contentOf(store);
      await store.close();
      expect(await outcome(torn)).to.equal(content);
    }
  });

  it('finds every bit that flips in the last segment', async () => {
    const { disk, path, end, whole } = await tail();
    const random = seeded(1);
    const headers = framesOf(disk.files().get(path)!);
    const places: number[] = [];
    for (let i = 0; i < 64; i++) places.push(i);
    for (const at of headers) for (let i = 0; i < 32; i++) places.push(at + i);
    for (let i = 0; i < 400; i++) places.push(64 + Math.floor(random() * (end - 64)));
    let refused = 0;
    for (const place of places) {
      const found = await outcome(flip(disk, path, place, Math.floor(random() * 8)));
      expect(found, `bit at ${place}`).to.be.oneOf([whole, 'ERR_STORAGE_CORRUPT']);
      if (found !== whole) refused++;
    }
    expect(refused).to.be.greaterThan(places.length * 0.97); // padding is not checked
  });

  it('refuses a damaged batch that a valid one follows', async () => {
    const { disk, path, begin } = await tail();
    const frames = framesOf(disk.files().get(path)!);
    for (const at of frames.slice(0, -1)) {
      const next = frames[frames.indexOf(at) + 1]!;
      for (const [from, to] of [
        [at, at + 32],
        [at, next],
        [at + 40, at + 60],
        [at + 8, at + 9],
      ] as const) {
        const torn = damage(disk, path, (content) => content.fill(0, from, to));
        expect(await outcome(torn), `zeros from ${from} to ${to} of ${begin}`).to.equal(
          'ERR_STORAGE_CORRUPT',
        );
      }
    }
  });

  it('is never silently shorter, whatever bit flips in several segments', async () => {
    const disk = new FaultyDisk();
    await play(disk, { issued: 0, acknowledged: 0 });
    const whole = await outcome(disk.copy());
    const random = seeded(2);
    const paths = [...disk.files().keys()];
    let refused = 0;
    for (let i = 0; i < 600; i++) {
      const path = paths[i % paths.length]!;
      const { current } = disk.files().get(path)!;
      let end = current.length;
      while (current[end - 1] === 0) end--;
      const found = await outcome(flip(disk, path, Math.floor(random() * end), Math.floor(random() * 8)));
      expect(found, path).to.be.oneOf([whole, 'ERR_STORAGE_CORRUPT']);
      if (found !== whole) refused++;
    }
    expect(refused).to.be.greaterThan(100);
  });

  it('scans a sealed segment whose footer is damaged, and finds the same', async () => {
    const disk = new FaultyDisk();
    await play(disk, { issued: 0, acknowledged: 0 });
    const whole = await outcome(disk.copy());
    const sealed = segmentsOf(disk).filter((path) => disk.files().get(path)!.current.includes('FOTR'));
    expect(sealed.length).to.be.greaterThan(1);
    for (const path of sealed) {
      for (const back of [1, 20, 31, 33, 40]) {
        const damaged = damage(disk, path, (content) => {
          content[content.length - back]! ^= 0x55;
          return content;
        });
        expect(await outcome(damaged)).to.equal(whole);
        expect(await outcome(damaged), 'sealed anew').to.equal(whole);
      }
      // Without its footer every frame is read again: now damage in one of them shows.
      const frames = framesOf(disk.files().get(path)!);
      const twice = damage(disk, path, (content) => {
        content[content.length - 1]! ^= 1;
        content[frames[0]! + 40]! ^= 1;
        return content;
      });
      expect(await outcome(twice)).to.equal('ERR_STORAGE_CORRUPT');
    }
  });

  it('refuses when a segment that is needed is missing, cut short or of another storage', async () => {
    const disk = new FaultyDisk();
    await play(disk, { issued: 0, acknowledged: 0 });
    const other = new FaultyDisk();
    await play(other, { issued: 0, acknowledged: 0 });
    const whole = await outcome(disk.copy());
    for (const path of segmentsOf(disk)) {
      const written = disk.files().get(path)!.current.includes('FRM1');
      const without = disk.copy();
      without.files().delete(path);
      expect(await outcome(without), path).to.be.oneOf(written ? ['ERR_STORAGE_CORRUPT'] : [whole]);
      const foreign = damage(disk, path, () => Buffer.from(other.files().get(path)!.current));
      expect(await outcome(foreign), path).to.equal('ERR_STORAGE_CORRUPT');
      if (!written) continue;
      const short = damage(disk, path, (content) => content.subarray(0, 64));
      expect(await outcome(short), path).to.equal('ERR_STORAGE_CORRUPT');
    }
  });

  it('does not take frames of another place or storage for its own', async () => {
    const { disk, path, begin, end, whole } = await tail();
    const other = new FaultyDisk();
    const store = await openOn(other);
    for (let i = 1; i <= 9; i++) await write(store, { group: 'g', entries: entries(i, 1) });
    await store.close();
    const foreign = other.files().get(path)!;
    const last = foreign.current.subarray(framesOf(foreign).at(-1));
    const padded = Math.ceil(end / 8) * 8;
    for (const stale of [last.subarray(0, 200), disk.files().get(path)!.current.subarray(begin, end)]) {
      const found = await outcome(
        damage(disk, path, (content) =>
          Buffer.concat([content.subarray(0, padded), stale, content.subarray(padded + stale.length)]),
        ),
      );
      expect(found).to.be.oneOf([whole, 'ERR_STORAGE_CORRUPT']);
    }
  });

  it('refuses when the newest segments are missing', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    for (let i = 1; i <= 80; i++) await write(store, { group: 'g', entries: entries(i, 1, 1000) });
    await store.close();
    const [first, ...later] = segmentsOf(disk);
    expect(disk.files().get(first!)!.current.includes('FOTR')).to.equal(true);
    for (const path of later) disk.files().delete(path);
    expect(await outcome(disk.copy())).to.equal('ERR_STORAGE_CORRUPT');
  });

  it('does not take the batch that another storage wrote at the same place', async () => {
    const stores = [new FaultyDisk(), new FaultyDisk()] as const;
    for (const [i, disk] of stores.entries()) {
      const store = await openOn(disk);
      for (let index = 1; index <= 3 + i; index++)
        await write(store, { group: 'g', entries: entries(index, 1) });
      await store.close();
    }
    const [mine, other] = stores;
    const path = segmentsOf(mine)[0]!;
    const foreign = other.files().get(path)!;
    const at = framesOf(foreign).at(-1)!;
    const spliced = damage(mine, path, (content) =>
      Buffer.concat([content.subarray(0, at), foreign.current.subarray(at)]),
    );
    expect(await outcome(spliced)).to.equal('ERR_STORAGE_CORRUPT');
  });

  it('refuses a damaged, missing or newer manifest', async () => {
    const { disk } = await tail();
    const path = `${DIRECTORY}/manifest`;
    const { length } = disk.files().get(path)!.current;
    for (let byte = 0; byte < length; byte++) {
      expect(await outcome(flip(disk, path, byte, byte % 8)), `byte ${byte}`).to.equal('ERR_STORAGE_CORRUPT');
    }
    const without = disk.copy();
    without.files().delete(path);
    expect(await outcome(without)).to.equal('ERR_STORAGE_CORRUPT');
    const { crc32 } = await import('node:zlib');
    const text = 'quorate storage 2\n{"anything":"else"}\n';
    const newer = damage(disk, path, () =>
      Buffer.from(`${text}${crc32(Buffer.from(text)).toString(16).padStart(8, '0')}\n`),
    );
    expect(await outcome(newer)).to.equal('ERR_STORAGE_VERSION');
  });

  it('finds damage in a snapshot, at the latest when it is read', async () => {
    const disk = new FaultyDisk();
    const store = await openOn(disk);
    await write(store, { group: 'g', entries: entries(1, 9) });
    const content = new Uint8Array(200_000).map((_, i) => i % 251);
    await snapshot(store, 'g', metaAt(5), content);
    await write(store, { group: 'g', compactTo: 5 });
    await store.close();
    const path = [...disk.files().keys()].find((name) => name.endsWith('.snap'))!;
    const { length } = disk.files().get(path)!.current;
    const read = async (damaged: FaultyDisk): Promise<string> => {
      let opened;
      try {
        opened = await openOn(damaged);
        const reader = (await opened.openSnapshot('g'))!;
        return Buffer.compare(await reader.read(0, 1e9), content) === 0 ? 'same' : 'different';
      } catch (error) {
        return (error as QuorateError).code;
      } finally {
        await opened?.close();
      }
    };
    expect(await read(disk.copy())).to.equal('same');
    for (let at = 0; at < length; at += at > length - 400 ? 1 : 997) {
      expect(await read(flip(disk, path, at, at % 8)), `byte ${at}`).to.equal('ERR_STORAGE_CORRUPT');
    }
    for (const at of [0, 31, 65536, length - 1]) {
      expect(await read(damage(disk, path, (bytes) => bytes.subarray(0, at)))).to.equal(
        'ERR_STORAGE_CORRUPT',
      );
    }
    const without = disk.copy();
    without.files().delete(path);
    expect(await read(without)).to.equal('ERR_STORAGE_CORRUPT');
  });

  it('starts again after a creation that was cut short', async () => {
    for (let stop = 1; ; stop++) {
      const disk = new FaultyDisk();
      const halted = new Promise<'halted'>((resolve) => {
        disk.judge = (_operation, _path, step) => {
          if (step < stop) return 'works';
          setImmediate(() => resolve('halted'));
          return 'stops-half';
        };
      });
      const result = await Promise.race([halted, openOn(disk).then((store) => store.close())]);
      if (result !== 'halted') break;
      for (const seed of [1, 2, 3])
        expect(await outcome(disk.crash(seeded(seed))), `stopped at ${stop}`).to.equal('[]');
    }
  });
});
