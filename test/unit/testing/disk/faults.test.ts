import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import type { FileHandle } from '../../../../lib/files.js';
import type { DiskSettings } from '../../../../lib/testing/simulation/disk/settings.js';
import { flush, put, settled, textOf, World } from './support.js';

async function create(world: World, path = '/d/f'): Promise<FileHandle> {
  await world.run(world.files.makeDirectory('/d'));
  return world.run(world.files.open(path, 'create'));
}

describe('simulated disk: faults', () => {
  it('tells what is wrong as an operating system does', async () => {
    const world = new World('codes');
    const { files } = world;
    const handle = await create(world);
    expect(await world.code(files.open('/d/g', 'read'))).to.equal('ENOENT');
    expect(await world.code(files.open('/d/f', 'create'))).to.equal('EEXIST');
    expect(await world.code(files.open('/none/f', 'create'))).to.equal('ENOENT');
    expect(await world.code(files.open('/d', 'read'))).to.equal('EISDIR');
    expect(await world.code(files.open('/d/f/g', 'read'))).to.equal('ENOTDIR');
    expect(await world.code(files.list('/none'))).to.equal('ENOENT');
    expect(await world.code(files.syncDirectory('/none'))).to.equal('ENOENT');
    expect(await world.code(files.rename('/d/g', '/d/h'))).to.equal('ENOENT');
    expect(await world.code(files.makeDirectory('/d/f'))).to.equal('EEXIST');
    expect(await world.code(files.remove('/d/g'))).to.equal('value');
    const reader = await world.run(files.open('/d/f', 'read'));
    expect(await world.code(put(reader, 'x', 0))).to.equal('EBADF');
    expect(await world.code(reader.truncate(0))).to.equal('EBADF');
    await world.run(handle.close());
    await world.run(handle.close());
    expect(await world.code(put(handle, 'x', 0))).to.equal('ERR_CLOSED');
    expect(await world.code(flush(handle))).to.equal('ERR_CLOSED');
    expect(await world.code(handle.size())).to.equal('ERR_CLOSED');
  });

  it('closes a file after what is under way, and reads on after it was removed', async () => {
    const world = new World('close', { write: { minMs: 100, meanMs: 0 } });
    const handle = await create(world);
    const order: string[] = [];
    void put(handle, 'x', 0).then(() => order.push('written'));
    await world.run(handle.close().then(() => order.push('closed')));
    expect(order).to.deep.equal(['written', 'closed']);
    const reader = await world.run(world.files.open('/d/f', 'read'));
    await world.run(world.files.remove('/d/f'));
    expect(Buffer.from(await world.run(reader.read(0, 9))).toString()).to.equal('x');
    expect(world.disk.usedBytes).to.equal(1);
    await world.run(reader.close());
    expect(world.disk.usedBytes).to.equal(0);
  });

  it('fails each operation with EIO when told to, and no other', async () => {
    const kinds = [
      'open',
      'write',
      'sync',
      'read',
      'truncate',
      'size',
      'list',
      'rename',
      'remove',
      'syncDirectory',
      'freeBytes',
      'lock',
      'makeDirectory',
    ] as const;
    for (const kind of kinds) {
      const world = new World(`EIO ${kind}`);
      const handle = await create(world);
      world.disk.settings = { errors: { [kind]: 1 }, halfDone: 0 };
      const attempts: [string, () => Promise<unknown>][] = [
        ['write', () => put(handle, 'hello', 0)],
        ['sync', () => flush(handle)],
        ['read', () => handle.read(0, 5)],
        ['truncate', () => handle.truncate(3)],
        ['size', () => handle.size()],
        ['makeDirectory', () => world.files.makeDirectory('/d/e')],
        ['list', () => world.files.list('/d')],
        ['open', () => world.files.open('/d/f', 'read')],
        ['syncDirectory', () => world.files.syncDirectory('/d')],
        ['freeBytes', () => world.files.freeBytes('/d')],
        ['lock', () => world.files.lock('/d')],
        ['rename', () => world.files.rename('/d/f', '/d/g')],
        ['remove', () => world.files.remove('/d/g')],
      ];
      for (const [what, attempt] of attempts) {
        expect(await world.code(attempt()), `${what} of ${kind}`).to.equal(what === kind ? 'EIO' : 'value');
      }
      expect(world.disk.counts.get(`${kind} failed`)).to.equal(1);
    }
  });

  it('leaves nothing or a part of a write that fails', async () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const world = new World(seed, { errors: { write: 1 } });
      const handle = await create(world);
      expect(await world.code(put(handle, 'x'.repeat(1000), 0))).to.equal('EIO');
      const { length } = await textOf(world, '/d/f');
      expect(length).to.be.at.most(1000);
      lengths.add(length);
    }
    expect(lengths).to.include(0);
    expect(lengths.size).to.be.greaterThan(10);
  });

  it('does a rename that fails, or does not', async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const world = new World(seed);
      await create(world);
      world.disk.settings = { errors: { rename: 1 } };
      expect(await world.code(world.files.rename('/d/f', '/d/g'))).to.equal('EIO');
      outcomes.add((await world.run(world.files.list('/d'))).join());
    }
    expect([...outcomes].sort()).to.deep.equal(['f', 'g']);
  });

  it('fills up, by part of a write, and has space again', async () => {
    const world = new World('full', { capacityBytes: 1000 });
    const handle = await create(world);
    expect(await world.run(world.files.freeBytes('/d'))).to.equal(1000);
    await world.run(put(handle, 'a'.repeat(600), 0));
    expect(await world.code(put(handle, 'b'.repeat(600), 500))).to.equal('ENOSPC');
    expect(await textOf(world, '/d/f')).to.equal('a'.repeat(500) + 'b'.repeat(500));
    expect(await world.run(world.files.freeBytes('/d'))).to.equal(0);
    await world.run(put(handle, 'c'.repeat(1000), 0)); // over what is there already
    expect(await world.code(handle.truncate(1001))).to.equal('ENOSPC');
    expect(await world.code(world.files.open('/d/g', 'create'))).to.equal('ENOSPC');
    await world.run(handle.truncate(10));
    expect(world.disk.freeBytes).to.equal(990);
    await world.run(handle.close());
    await world.run(world.files.rename('/d/f', '/d/h'));
    await world.run(world.files.remove('/d/h'));
    expect(world.disk.freeBytes).to.equal(1000);
  });

  it('may lose for good what a failed flush was to write', async () => {
    const after = async (settings: DiskSettings): Promise<string[]> => {
      const world = new World('fsyncgate', { crashKeeps: 0, crashZeroes: 0 });
      const handle = await create(world);
      await world.run(put(handle, 'a'.repeat(512), 0));
      await world.run(flush(handle));
      await world.run(world.files.syncDirectory('/d'));
      await world.run(put(handle, 'b'.repeat(512), 0));
      world.disk.settings = { ...settings, errors: { sync: 1 }, crashKeeps: 0, crashZeroes: 0 };
      expect(await world.code(flush(handle))).to.equal('EIO');
      world.disk.settings = { crashKeeps: 0, crashZeroes: 0 };
      await world.run(flush(handle));
      const cached = (await textOf(world, '/d/f'))[0]!;
      world.restart('crash');
      return [cached, (await textOf(world, '/d/f'))[0]!];
    };
    expect(await after({ syncLoses: 0 })).to.deep.equal(['b', 'b']);
    expect(await after({ syncLoses: 1, lostIsCached: 1 })).to.deep.equal(['b', 'a']);
    expect(await after({ syncLoses: 1, lostIsCached: 0 })).to.deep.equal(['a', 'a']);
  });

  it('flushes what is written again over what a failed flush lost', async () => {
    const world = new World('rewritten', { crashKeeps: 0, crashZeroes: 0, syncLoses: 1, lostIsCached: 1 });
    const handle = await create(world);
    await world.run(world.files.syncDirectory('/d'));
    const settings = world.disk.settings;
    await world.run(put(handle, 'a'.repeat(1024), 0));
    world.disk.settings = { ...settings, errors: { sync: 1 } };
    expect(await world.code(flush(handle))).to.equal('EIO');
    world.disk.settings = settings;
    await world.run(put(handle, 'a'.repeat(512), 0));
    world.restart('crash');
    expect(await textOf(world, '/d/f')).to.equal('\0'.repeat(1024));
    const again = await world.run(world.files.open('/d/f', 'write'));
    await world.run(put(again, 'a'.repeat(1024), 0));
    world.disk.settings = { ...settings, errors: { sync: 1 } };
    expect(await world.code(flush(again))).to.equal('EIO');
    world.disk.settings = settings;
    await world.run(put(again, 'a'.repeat(512), 0));
    await world.run(flush(again));
    world.restart('crash');
    expect(await textOf(world, '/d/f')).to.equal('a'.repeat(512) + '\0'.repeat(512));
  });

  it('has it all still to flush after a failed flush that lost nothing', async () => {
    const world = new World('kept', { crashKeeps: 0, crashZeroes: 0, syncLoses: 0 });
    const { settings } = world.disk;
    const handle = await create(world);
    await world.run(world.files.syncDirectory('/d'));
    await world.run(put(handle, 'a'.repeat(1024), 0));
    world.disk.settings = { ...settings, errors: { sync: 1 } };
    expect(await world.code(flush(handle))).to.equal('EIO');
    world.disk.settings = settings;
    world.restart('crash');
    expect((await textOf(world, '/d/f')).replace(/\0+$/, '')).to.equal('');
  });

  it('goes back to what the medium has when a write over what a failed flush lost is lost too', async () => {
    const world = new World('lost twice', { crashKeeps: 0, crashZeroes: 0, syncLoses: 1, lostIsCached: 1 });
    const { settings } = world.disk;
    const handle = await create(world);
    await world.run(put(handle, 'a'.repeat(512), 0));
    await world.run(flush(handle));
    await world.run(world.files.syncDirectory('/d'));
    await world.run(put(handle, 'b'.repeat(512), 0));
    world.disk.settings = { ...settings, errors: { sync: 1 }, sync: { minMs: 50, meanMs: 0 } };
    const failing = flush(handle);
    await world.run(put(handle, 'c'.repeat(512), 0));
    expect(await world.code(failing)).to.equal('EIO');
    expect(await textOf(world, '/d/f')).to.equal('c'.repeat(512));
    world.restart('crash');
    expect(await textOf(world, '/d/f')).to.equal('a'.repeat(512));
  });

  it('hangs for a while, and everything with it', async () => {
    const world = new World('stall');
    const handle = await create(world);
    const before = world.scheduler.now;
    world.disk.stall(5000);
    await world.run(put(handle, 'x', 0));
    expect(world.scheduler.now - before).to.be.within(5000, 5100);
    world.disk.settings = { stall: 1, stallMs: 2000 };
    await world.run(flush(handle));
    expect(world.scheduler.now - before).to.be.greaterThan(5100);
    expect(world.disk.counts.get('stall')).to.equal(2);
  });

  it('takes as long as its settings say', async () => {
    const world = new World('latency', { write: { minMs: 3, meanMs: 0 }, sync: { minMs: 7, meanMs: 2 } });
    const handle = await create(world);
    const before = world.scheduler.now;
    await world.run(put(handle, 'x', 0));
    expect(world.scheduler.now - before).to.be.closeTo(3, 1e-9);
    let sum = 0;
    for (let i = 0; i < 400; i++) {
      const from = world.scheduler.now;
      await world.run(flush(handle));
      expect(world.scheduler.now - from).to.be.at.least(7 - 1e-9);
      sum += world.scheduler.now - from;
    }
    expect(sum / 400).to.be.closeTo(9, 0.5);
  });

  it('refuses settings out of their range, naming them', () => {
    const world = new World('settings');
    const wrong: [object, RegExp][] = [
      [{ stall: 1.1 }, /^stall must be a number from 0 to 1, got 1.1/],
      [{ write: { minMs: -1, meanMs: 0 } }, /^write.minMs must be/],
      [{ sync: { minMs: 0, meanMs: NaN } }, /^sync.meanMs must be/],
      [{ errors: { sync: 2 } }, /^errors.sync must be/],
      [{ errors: { close: 0.1 } }, /^errors.close must be a number from 0 to 0/],
      [{ errors: { fsync: 0.1 } }, /^errors must be of open, .*got "fsync"/],
      [{ capacityBytes: -1 }, /^capacityBytes must be/],
      [{ capacityBytes: 1.5 }, /^capacityBytes must be/],
      [{ stallMs: 4e6 }, /^stallMs must be/],
      [null as unknown as object, /^disk settings must be an object/],
    ];
    for (const [settings, message] of wrong) {
      const set = (): void => {
        world.disk.settings = settings;
      };
      expect(set, JSON.stringify(settings))
        .to.throw(QuorateError, message)
        .with.property('code', 'ERR_CONFIG');
    }
    expect(() => world.disk.flip(0)).to.throw(QuorateError, /^count must be/);
    expect(() => world.disk.stall(-1)).to.throw(QuorateError, /^ms must be/);
    world.disk.settings = { ...world.disk.settings, errors: { sync: 0.5 } };
    world.disk.settings = { ...world.disk.settings };
    expect(world.disk.settings.errors?.sync).to.equal(0.5);
  });
});

describe('simulated disk: processes', () => {
  it('tells a dead process nothing, and does nothing it asks for', async () => {
    for (const end of ['kill', 'crash', 'wipe'] as const) {
      const world = new World(`dead ${end}`);
      const handle = await create(world);
      const dead = world.files;
      let heard = 0;
      const hear = (): void => {
        heard++;
      };
      handle.write([Buffer.from('x')], 0, hear);
      handle.sync(hear);
      dead.list('/d').then(hear, hear);
      world.restart(end);
      handle.write([Buffer.from('y')], 0, hear);
      handle.sync(hear);
      handle.close().then(hear, hear);
      dead.open('/d/g', 'create').then(hear, hear);
      dead.makeDirectory('/e').then(hear, hear);
      dead.syncDirectory('/none').then(hear, hear);
      dead.syncDirectory('/d').then(hear, hear);
      await settled();
      while (world.scheduler.step(Infinity)) await settled();
      expect(heard, end).to.equal(0);
      expect(await world.code(world.files.list('/e'))).to.equal('ENOENT');
      const used = world.disk.usedBytes;
      expect(used).to.be.oneOf([0, 1]);
    }
  });

  it('does what was under way when its process died, or not, or in part', async () => {
    const lengths = new Set<number>();
    const names = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const world = new World(seed);
      const handle = await create(world);
      handle.write([Buffer.from('x'.repeat(400)), Buffer.from('x'.repeat(600))], 0, () => undefined);
      void world.files.rename('/d/f', '/d/g');
      world.restart('kill');
      const list = await world.run(world.files.list('/d'));
      names.add(list.join());
      lengths.add((await textOf(world, `/d/${list[0]!}`)).length);
    }
    expect([...names].sort()).to.deep.equal(['f', 'g']);
    expect(lengths).to.include(0).and.to.include(1000);
    expect(lengths.size).to.be.greaterThan(10);
  });

  it('locks a directory against others, until it is released or its process is dead', async () => {
    const world = new World('lock');
    await create(world);
    expect(await world.code(world.files.lock('/none'))).to.equal('ENOENT');
    const lock = await world.run(world.files.lock('/d'));
    expect(await world.code(world.files.lock('/d/'))).to.equal('ERR_STORAGE_LOCKED');
    await world.run(lock.release());
    const again = await world.run(world.files.lock('/d'));
    await world.run(lock.release()); // the old one, which holds nothing any more
    expect(await world.code(world.files.lock('/d'))).to.equal('ERR_STORAGE_LOCKED');
    expect(again).not.to.equal(undefined);
    world.restart('kill');
    expect(await world.code(world.files.lock('/d'))).to.equal('value');
  });

  it('ends a run that nobody ended when the next one begins', async () => {
    const world = new World('forgotten');
    await create(world);
    await world.run(world.files.lock('/d'));
    const handle = await world.run(world.files.open('/d/f', 'write'));
    let heard = false;
    handle.write([Buffer.from('x')], 0, () => (heard = true));
    const files = world.disk.files(world.process);
    expect(await world.code(files.lock('/d'))).to.equal('value');
    expect(heard).to.equal(false);
    expect(world.disk.counts.get('kill')).to.equal(1);
    // Its handles are dead, though nobody said that of the process.
    expect(await world.code(put(handle, 'late', 0))).to.equal('pending');
    expect(world.disk.usedBytes).to.be.at.most(1);
  });

  it('has nothing left after a wipe', async () => {
    const world = new World('wipe');
    await create(world);
    world.restart('wipe');
    expect(await world.code(world.files.list('/d'))).to.equal('ENOENT');
    expect(world.disk.usedBytes).to.equal(0);
    expect(world.disk.flip(5)).to.deep.equal([]);
  });

  it('writes what happens into the trace', async () => {
    const world = new World('trace', {}, 100);
    const handle = await create(world);
    await world.run(put(handle, 'hello', 7));
    await world.run(flush(handle));
    world.disk.settings = { errors: { sync: 1 } };
    expect(await world.code(flush(handle))).to.equal('EIO');
    world.restart('crash');
    const [flipped] = world.disk.flip(1);
    const lines = world.trace.events.map(({ kind, detail }) => `${kind} ${detail}`);
    expect(lines)
      .to.include('disk write d/f 7+5')
      .and.to.include('disk sync d/f')
      .and.to.include('disk sync d/f EIO');
    if (flipped) expect(lines).to.include(`disk flip ${flipped.path} ${flipped.offset} ${flipped.bit}`);
    const times = world.trace.events.map(({ time }) => time);
    expect(times).to.deep.equal([...times].sort((a, b) => a - b));
  });
});

describe('simulated disk: bit rot', () => {
  it('flips that bit for good, and no other', async () => {
    const world = new World('flip');
    const handle = await create(world);
    const content = Buffer.alloc(3000, 'abc');
    await world.run(put(handle, content, 0));
    await world.run(flush(handle));
    await world.run(world.files.syncDirectory('/d'));
    await world.run(put(handle, content, 0)); // dirty: the medium has to change as well as what is read
    world.restart('kill');
    const flipped = world.disk.flip(20);
    expect(flipped.length).to.equal(20);
    const wanted = Buffer.from(content);
    for (const { path, offset, bit } of flipped) {
      expect(path).to.equal('/d/f');
      wanted[offset]! ^= 1 << bit;
    }
    expect(await textOf(world, '/d/f')).to.equal(wanted.toString('latin1'));
    world.restart('crash');
    expect(await textOf(world, '/d/f')).to.equal(wanted.toString('latin1'));
  });

  it('spares the newest durable write of the newest files of the log, and those after it', async () => {
    const hit = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const world = new World(seed);
      await world.run(world.files.makeDirectory('/d'));
      for (const name of ['1.seg', '2.seg', '3.seg', '4.seg']) {
        const handle = await world.run(world.files.open(`/d/${name}`, 'create'));
        for (const at of [0, 100, 200]) {
          await world.run(put(handle, 'x'.repeat(100), at));
          if (at < 200) await world.run(flush(handle));
        }
        await world.run(put(handle, new Uint8Array(100), 300)); // zeros are no write of their own
      }
      world.restart('kill');
      const handle = await world.run(world.files.open('/d/4.seg', 'write'));
      await world.run(flush(handle)); // what an earlier life wrote last may have been cut short
      world.restart('kill');
      for (const { path, offset } of world.disk.flip(50)) hit.add(`${path} ${Math.floor(offset / 100)}`);
    }
    for (const name of ['2', '3', '4']) {
      expect(hit).to.include(`/d/${name}.seg 0`);
      expect(hit).not.to.include(`/d/${name}.seg 1`).and.not.to.include(`/d/${name}.seg 2`);
      expect(hit).to.include(`/d/${name}.seg 3`);
    }
    for (const at of [0, 1, 2]) expect(hit).to.include(`/d/1.seg ${at}`);
  });
});
