import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { nodeEnvironment } from '../../../lib/environment.js';
import { QuorateError } from '../../../lib/errors.js';
import { nodeFileSystem } from '../../../lib/nodeFiles.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import type { NodeStore } from '../../../lib/storage/storage.js';
import { temporaryDirectory } from './support/directories.js';

const HOLDER = fileURLToPath(new URL('./support/holder.js', import.meta.url));

function holder(directory: string, mode = 'hold'): ChildProcess {
  return fork(HOLDER, [directory, mode], { execArgv: [] });
}

async function message(child: ChildProcess): Promise<unknown> {
  const [value] = (await once(child, 'message')) as [unknown];
  return value;
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

function open(path: string): Promise<NodeStore> {
  const storage = diskStorage(path, { segmentBytes: 65536, reserve: 0 });
  return storage.open({ environment: nodeEnvironment, cluster: 'c', node: 'a' });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error as QuorateError).code,
  );
}

describe('storage: lock', function () {
  this.timeout(60_000);
  let path: string;
  let remove: () => Promise<void>;
  beforeEach(async () => ({ path, remove } = await temporaryDirectory()));
  afterEach(() => remove());

  it('keeps out other objects of this process', async () => {
    const store = await open(path);
    expect(await codeOf(open(path))).to.equal('ERR_STORAGE_LOCKED');
    expect(await codeOf(open(join(path, '..', path.split('/').at(-1)!)))).to.equal('ERR_STORAGE_LOCKED');
    await store.close();
    await (await open(path)).close();
    expect((await readdir(path)).filter((name) => name.includes('lock-'))).to.deep.equal([]);
  });

  it('keeps out other processes, and a killed one holds nothing', async () => {
    const child = holder(path);
    expect(await message(child)).to.equal('open');
    expect(await codeOf(open(path))).to.equal('ERR_STORAGE_LOCKED');
    await kill(child);
    const store = await open(path);
    const second = holder(path);
    expect(await message(second)).to.equal('ERR_STORAGE_LOCKED');
    await once(second, 'exit');
    await store.close();
  });

  it('keeps out others while its holder is stopped', async function () {
    if (process.platform === 'win32') this.skip();
    const child = holder(path);
    expect(await message(child)).to.equal('open');
    child.kill('SIGSTOP');
    expect(await codeOf(open(path))).to.equal('ERR_STORAGE_LOCKED');
    await kill(child);
  });

  it('keeps out other threads', async () => {
    const lock = await nodeFileSystem.lock(path);
    const url = new URL('../../../lib/nodeFiles.js', import.meta.url).href;
    const source = `import(${JSON.stringify(url)}).then(({ nodeFileSystem }) => nodeFileSystem.lock(${JSON.stringify(path)}))
      .then(() => 'taken', (error) => error.code).then((answer) => require('node:worker_threads').parentPort.postMessage(answer))`;
    const worker = new Worker(source, { eval: true });
    expect(await once(worker, 'message')).to.deep.equal(['ERR_STORAGE_LOCKED']);
    await worker.terminate();
    await lock.release();
  });

  it('goes to exactly one of many who want it at once', async () => {
    for (let round = 0; round < 10; round++) {
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => nodeFileSystem.lock(path)));
      const taken = tries.filter((one) => one.status === 'fulfilled');
      expect(taken.length, `round ${round}`).to.equal(1);
      for (const one of tries)
        if (one.status === 'rejected') expect(one.reason).to.have.property('code', 'ERR_STORAGE_LOCKED');
      await taken[0]!.value.release();
    }
  });

  it('goes to who stays when another gives way in the middle of a question', async function () {
    if (process.platform !== 'linux') this.skip();
    let asked = 0;
    const leaver = createServer((socket) => {
      // What the kernel does to the connections that a closing socket has not accepted yet.
      socket.destroy();
      if (++asked === 2) leaver.close();
    });
    await new Promise<void>((resolve) =>
      leaver.unref().listen(join(path, `lock-${'f'.repeat(24)}`), resolve),
    );
    const lock = await nodeFileSystem.lock(path);
    expect(asked).to.equal(2);
    await lock.release();
  });

  it('counts who takes questions and never answers as a holder', async function () {
    if (process.platform !== 'linux') this.skip();
    const silent = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) =>
      silent.unref().listen(join(path, `lock-${'f'.repeat(24)}`), resolve),
    );
    expect(await codeOf(nodeFileSystem.lock(path))).to.equal('ERR_STORAGE_LOCKED');
    await new Promise((resolve) => silent.close(resolve));
  });

  it('goes to exactly one of many when its holder was killed', async () => {
    for (let round = 0; round < 3; round++) {
      const child = holder(path);
      expect(await message(child)).to.equal('open');
      await kill(child);
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => nodeFileSystem.lock(path)));
      const taken = tries.filter((one) => one.status === 'fulfilled');
      expect(taken.length, `round ${round}`).to.equal(1);
      await taken[0]!.value.release();
    }
    expect(await readdir(path)).not.to.satisfy((names: string[]) =>
      names.some((name) => name.startsWith('lock-')),
    );
  });

  it('works where the path is longer than the address of a socket may be', async () => {
    const long = join(path, 'x'.repeat(120), 'y'.repeat(120));
    await mkdir(long, { recursive: true });
    const lock = await nodeFileSystem.lock(long);
    expect(await codeOf(nodeFileSystem.lock(long))).to.equal('ERR_STORAGE_LOCKED');
    await lock.release();
    await (await nodeFileSystem.lock(long)).release();
  });

  it('loses nothing that was acknowledged when its process is killed, again and again', async () => {
    let acknowledged = 0;
    for (let round = 0; round < 3; round++) {
      const child = holder(path, 'write');
      const enough = acknowledged + 30 + 25 * round;
      await new Promise<void>((resolve) => {
        child.on('message', (value) => {
          if (typeof value !== 'number') return;
          acknowledged = value;
          if (value >= enough) resolve();
        });
      });
      await kill(child);
      const store = await open(path);
      const { lastIndex, hard } = (await store.recover('g'))!;
      expect(lastIndex).to.be.at.least(acknowledged);
      expect(hard!.commit).to.equal(lastIndex);
      for (let next = 1; next <= lastIndex;) {
        const read = await store.read('g', next, lastIndex, 1 << 20);
        for (const one of read) expect(one.data[0]).to.equal(((one.index + 1) % 255) + 1);
        next += read.length;
      }
      acknowledged = lastIndex;
      await store.close();
    }
  });
});
