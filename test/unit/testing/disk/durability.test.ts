import { expect } from 'chai';
import type { FileHandle } from '../../../../lib/files.js';
import { flush, put, textOf, World } from './support.js';

const SECTOR = 512;

/** A disk on which what was not flushed is lost, or kept, as a whole; with a durable empty file. */
async function fileOn(crashKeeps: number, mode: 'create' | 'dsync' = 'create'): Promise<[World, FileHandle]> {
  const world = new World(`durability ${crashKeeps}`, { crashKeeps, crashZeroes: 0 });
  await world.run(world.files.makeDirectory('/d'));
  let handle = await world.run(world.files.open('/d/f', 'create'));
  await world.run(world.files.syncDirectory('/d'));
  if (mode === 'dsync') {
    await world.run(handle.close());
    handle = await world.run(world.files.open('/d/f', 'dsync'));
  }
  return [world, handle];
}

describe('simulated disk: durability', () => {
  it('keeps what was flushed and loses what was not', async () => {
    const [world, handle] = await fileOn(0);
    await world.run(put(handle, 'a'.repeat(1000), 0));
    await world.run(flush(handle));
    await world.run(put(handle, 'b'.repeat(1500), 600));
    expect(await textOf(world, '/d/f')).to.equal('a'.repeat(600) + 'b'.repeat(1500));
    world.restart('crash');
    const found = await textOf(world, '/d/f');
    expect(found.replace(/\0+$/, '')).to.equal('a'.repeat(1000));
  });

  it('loses nothing when only the process dies, and still has it to flush', async () => {
    const [world, handle] = await fileOn(0);
    await world.run(put(handle, 'x'.repeat(700), 0));
    world.restart('kill');
    expect(await textOf(world, '/d/f')).to.equal('x'.repeat(700));
    world.restart('crash');
    expect((await textOf(world, '/d/f')).replace(/\0+$/, '')).to.equal('');
  });

  it('flushes what was completed before the flush began, and nothing else', async () => {
    const [world, handle] = await fileOn(0);
    await world.run(put(handle, 'a'.repeat(SECTOR), 0));
    world.disk.settings = { ...world.disk.settings, sync: { minMs: 50, meanMs: 0 } };
    const flushing = flush(handle);
    await world.run(put(handle, 'b'.repeat(SECTOR), 0));
    await world.run(put(handle, 'c'.repeat(SECTOR), SECTOR));
    await world.run(flushing);
    expect(await textOf(world, '/d/f')).to.equal('b'.repeat(SECTOR) + 'c'.repeat(SECTOR));
    world.restart('crash');
    expect((await textOf(world, '/d/f')).replace(/\0+$/, '')).to.equal('a'.repeat(SECTOR));
  });

  it('makes all durable that overlapping flushes cover, whichever ends first', async () => {
    const [world, handle] = await fileOn(0);
    await world.run(put(handle, 'a'.repeat(SECTOR), 0));
    world.disk.settings = { ...world.disk.settings, sync: { minMs: 50, meanMs: 0 } };
    const slow = flush(handle);
    await world.run(put(handle, 'b'.repeat(SECTOR), 0));
    world.disk.settings = { ...world.disk.settings, sync: { minMs: 1, meanMs: 0 } };
    await world.run(flush(handle));
    expect((await world.outcome(slow, 0)).is).to.equal('pending');
    await world.run(put(handle, 'c'.repeat(SECTOR), 0));
    await world.run(slow);
    world.restart('crash');
    expect(await textOf(world, '/d/f')).to.equal('b'.repeat(SECTOR));
  });

  it('may keep of each sector any version since the last flush', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const world = new World(seed, { crashZeroes: 0 });
      await world.run(world.files.makeDirectory('/d'));
      const handle = await world.run(world.files.open('/d/f', 'create'));
      await world.run(put(handle, 'a'.repeat(2 * SECTOR), 0));
      await world.run(flush(handle));
      await world.run(world.files.syncDirectory('/d'));
      await world.run(put(handle, 'b'.repeat(2 * SECTOR), 0));
      void flush(handle).catch(() => undefined);
      world.disk.settings = { ...world.disk.settings, write: { minMs: 0, meanMs: 0 } };
      await world.run(put(handle, 'c'.repeat(2 * SECTOR), 0));
      world.restart('crash');
      const found = await textOf(world, '/d/f');
      expect(found).to.match(/^(a{512}|b{512}|c{512})(a{512}|b{512}|c{512})$/);
      seen.add(found[0]! + found[SECTOR]!);
    }
    expect(seen.size).to.be.greaterThan(7);
  });

  it('brings back what was cut off but not flushed', async () => {
    const [world, handle] = await fileOn(0);
    await world.run(put(handle, 'a'.repeat(3000), 0));
    await world.run(flush(handle));
    await world.run(handle.truncate(100));
    await world.run(put(handle, 'b'.repeat(50), 1000));
    expect(await textOf(world, '/d/f')).to.equal('a'.repeat(100) + '\0'.repeat(900) + 'b'.repeat(50));
    world.restart('crash');
    const found = await textOf(world, '/d/f');
    // The length is of one moment or another; the bytes are the old ones.
    expect('a'.repeat(3000).startsWith(found), `${found.length} bytes`).to.equal(true);
  });

  it('makes each write with O_DSYNC durable, and only that', async () => {
    const [world, handle] = await fileOn(0, 'dsync');
    const plain = await world.run(world.files.open('/d/f', 'write'));
    await world.run(put(plain, 'p'.repeat(4 * SECTOR), 0));
    await world.run(put(handle, 'd'.repeat(SECTOR), 2 * SECTOR));
    world.restart('crash');
    const found = await textOf(world, '/d/f');
    expect(found.slice(0, 3 * SECTOR)).to.equal('\0'.repeat(2 * SECTOR) + 'd'.repeat(SECTOR));
    expect(found.slice(3 * SECTOR).replace(/\0+$/, '')).to.equal('');
  });

  it('makes names durable by a flush of their directory only', async () => {
    const world = new World('names', { crashKeeps: 0, crashZeroes: 0 });
    const { files } = world;
    await world.run(files.makeDirectory('/d'));
    for (const name of ['kept', 'removed', 'renamed']) {
      const handle = await world.run(files.open(`/d/${name}`, 'create'));
      await world.run(put(handle, name, 0));
      await world.run(flush(handle));
      await world.run(handle.close());
    }
    await world.run(files.syncDirectory('/d'));
    const late = await world.run(files.open('/d/late', 'create'));
    await world.run(flush(late));
    await world.run(files.remove('/d/removed'));
    await world.run(files.rename('/d/renamed', '/d/other'));
    expect(await world.run(files.list('/d'))).to.deep.equal(['kept', 'late', 'other']);
    world.restart('kill');
    expect(await world.run(world.files.list('/d'))).to.deep.equal(['kept', 'late', 'other']);
    world.restart('crash');
    expect(await world.run(world.files.list('/d'))).to.deep.equal(['kept', 'removed', 'renamed']);
    expect(await textOf(world, '/d/renamed')).to.equal('renamed');
    expect(await textOf(world, '/d/removed')).to.equal('removed');
  });

  it('renames whole or not at all, and never without either content', async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const world = new World(seed);
      const { files } = world;
      await world.run(files.makeDirectory('/d'));
      for (const name of ['old', 'new']) {
        const handle = await world.run(files.open(`/d/${name}`, 'create'));
        await world.run(put(handle, name, 0));
        await world.run(flush(handle));
        await world.run(handle.close());
      }
      await world.run(files.syncDirectory('/d'));
      await world.run(files.rename('/d/new', '/d/old'));
      world.restart('crash');
      const names = await world.run(world.files.list('/d'));
      const content = await textOf(world, '/d/old');
      outcomes.add(`${names.join()} ${content}`);
    }
    expect([...outcomes].sort()).to.deep.equal(['new,old old', 'old new']);
  });

  it('does not make a name durable that came while its directory was flushed', async () => {
    const world = new World('late name', { crashKeeps: 0, sync: { minMs: 50, meanMs: 0 } });
    await world.run(world.files.makeDirectory('/d'));
    await world.run(world.files.open('/d/early', 'create'));
    const flushing = world.files.syncDirectory('/d');
    await world.run(world.files.open('/d/late', 'create'));
    await world.run(flushing);
    world.restart('crash');
    expect(await world.run(world.files.list('/d'))).to.deep.equal(['early']);
  });

  it('needs a flush for a directory below the mount point', async () => {
    for (const flushed of [false, true]) {
      const world = new World('directories', { crashKeeps: 0 });
      await world.run(world.files.makeDirectory('/d/e/f'));
      if (flushed) await world.run(world.files.syncDirectory('/d'));
      world.restart('crash');
      expect(await world.run(world.files.list('/d'))).to.deep.equal(flushed ? ['e'] : []);
    }
  });

  it('spoils only what was new in a sector', async () => {
    for (const settings of [{ crashZeroes: 1 }, { crashZeroes: 0, crashGarbage: 1 }]) {
      const world = new World('spoilt', settings);
      await world.run(world.files.makeDirectory('/d'));
      const handle = await world.run(world.files.open('/d/f', 'create'));
      await world.run(put(handle, 'a'.repeat(SECTOR), 0));
      await world.run(flush(handle));
      await world.run(world.files.syncDirectory('/d'));
      await world.run(put(handle, 'b'.repeat(100), 300));
      world.restart('crash');
      const found = await textOf(world, '/d/f');
      expect(found.slice(0, 300)).to.equal('a'.repeat(300));
      expect(found.slice(400)).to.equal('a'.repeat(112));
      if (settings.crashZeroes === 1) expect(found.slice(300, 400)).to.equal('\0'.repeat(100));
      else
        expect(found.slice(300, 400)).not.to.be.oneOf(['a'.repeat(100), 'b'.repeat(100), '\0'.repeat(100)]);
      expect(world.disk.counts.get(settings.crashZeroes === 1 ? 'sector zeroed' : 'sector garbage')).to.equal(
        1,
      );
    }
  });

  it('gives copies, sees its own writes, and reads no further than the end', async () => {
    const [world, handle] = await fileOn(0);
    await world.run(put(handle, 'hello', 3));
    const read = await world.run(handle.read(2, 100));
    expect(Buffer.from(read).toString('latin1')).to.equal('\0hello');
    read.fill(1);
    expect(Buffer.from(await world.run(handle.read(2, 3))).toString('latin1')).to.equal('\0he');
    expect((await world.run(handle.read(100, 5))).length).to.equal(0);
    expect(await world.run(handle.size())).to.equal(8);
    await world.run(handle.truncate(2000));
    expect(await world.run(handle.size())).to.equal(2000);
    expect((await world.run(handle.read(0, 5000))).slice(8).every((byte) => byte === 0)).to.equal(true);
  });
});
