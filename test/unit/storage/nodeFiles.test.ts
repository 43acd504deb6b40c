import { join } from 'node:path';
import { expect } from 'chai';
import type { FileHandle } from '../../../lib/files.js';
import { nodeFileSystem } from '../../../lib/nodeFiles.js';
import { temporaryDirectory } from './support/directories.js';

function put(handle: FileHandle, buffers: Uint8Array[], position: number): Promise<void> {
  return new Promise((resolve, reject) =>
    handle.write(buffers, position, (error) => (error ? reject(error) : resolve())),
  );
}

function flush(handle: FileHandle): Promise<void> {
  return new Promise((resolve, reject) => handle.sync((error) => (error ? reject(error) : resolve())));
}

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(
    () => undefined,
    (error: unknown) => (error as NodeJS.ErrnoException).code,
  );
}

describe('node file system', () => {
  let path: string;
  let remove: () => Promise<void>;
  beforeEach(async () => ({ path, remove } = await temporaryDirectory()));
  afterEach(() => remove());

  it('writes one and many buffers, more than a call takes, and reads them back', async () => {
    for (const mode of ['write', 'dsync'] as const) {
      const file = join(path, mode);
      await (await nodeFileSystem.open(file, 'create')).close();
      const handle = await nodeFileSystem.open(file, mode);
      const many = Array.from({ length: 2500 }, (_, i) => new Uint8Array(i % 7).fill(i % 256));
      await put(handle, [], 0);
      await put(handle, [new Uint8Array([1, 2, 3])], 5);
      await put(handle, many, 8);
      await flush(handle);
      const whole = Buffer.concat([new Uint8Array(5), new Uint8Array([1, 2, 3]), ...many]);
      expect(await handle.size()).to.equal(whole.length);
      expect(Buffer.compare(await handle.read(0, 1e6), whole)).to.equal(0);
      expect((await handle.read(whole.length - 2, 10)).length).to.equal(2);
      expect((await handle.read(whole.length + 2, 10)).length).to.equal(0);
      await handle.truncate(4);
      expect(await handle.size()).to.equal(4);
      await handle.close();
      await handle.close();
      expect(await codeOf(put(handle, [new Uint8Array(1)], 0))).to.equal('ERR_CLOSED');
      expect(await codeOf(flush(handle))).to.equal('ERR_CLOSED');
      expect(await codeOf(handle.read(0, 1))).to.equal('ERR_CLOSED');
    }
  });

  it('closes once what is under way has ended', async () => {
    const handle = await nodeFileSystem.open(join(path, 'f'), 'create');
    const order: string[] = [];
    const work = [
      put(handle, [new Uint8Array(4 << 20)], 0).then(() => order.push('written')),
      flush(handle).then(() => order.push('flushed')),
      handle.read(0, 10).then(() => order.push('read')),
    ];
    await handle.close().then(() => order.push('closed'));
    await Promise.all(work);
    expect(order.at(-1)).to.equal('closed');
    expect(order.length).to.equal(4);
  });

  it('opens as its modes say', async () => {
    const file = join(path, 'f');
    expect(await codeOf(nodeFileSystem.open(file, 'read'))).to.equal('ENOENT');
    expect(await codeOf(nodeFileSystem.open(file, 'write'))).to.equal('ENOENT');
    expect(await codeOf(nodeFileSystem.open(file, 'dsync'))).to.equal('ENOENT');
    await (await nodeFileSystem.open(file, 'create')).close();
    expect(await codeOf(nodeFileSystem.open(file, 'create'))).to.equal('EEXIST');
    const reading = await nodeFileSystem.open(file, 'read');
    expect(await codeOf(put(reading, [new Uint8Array(1)], 0))).to.equal('EBADF');
    await reading.close();
  });

  it('lists, renames, removes and measures', async () => {
    const nested = join(path, 'a', 'b');
    await nodeFileSystem.makeDirectory(nested);
    await nodeFileSystem.makeDirectory(nested);
    for (const name of ['z', 'x', 'y'])
      await (await nodeFileSystem.open(join(nested, name), 'create')).close();
    await nodeFileSystem.rename(join(nested, 'z'), join(nested, 'x'));
    await nodeFileSystem.remove(join(nested, 'y'));
    await nodeFileSystem.remove(join(nested, 'y'));
    await nodeFileSystem.syncDirectory(nested);
    expect(await nodeFileSystem.list(nested)).to.deep.equal(['x']);
    expect(await nodeFileSystem.freeBytes(nested)).to.be.greaterThan(0);
  });
});
