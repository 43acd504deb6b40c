/**
 * An exclusive lock of a directory that the kernel drops when its process dies, whatever kills it.
 *
 * Node has no flock. On macOS, the BSDs and Windows a file can be opened exclusively. On Linux each contender listens on a
 * Unix socket of its own in the directory: a name that still takes connections belongs to a live process, in whatever
 * container it runs; a name that refuses them is dead for good, since names are random and are published only after
 * listening began. Process ids would not do: in containers they all are 1.
 */
import { createHash, randomBytes } from 'node:crypto';
import { constants, realpathSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as net from 'node:net';
import { join } from 'node:path';
import { QuorateError } from '../errors.js';

interface Lock {
  release(): Promise<void>;
}

const PREFIX = 'lock-';
const ANSWER_TIMEOUT_MS = 2000;
const HELD = 'H';

/** Takes the lock; rejects with ERR_STORAGE_LOCKED when a live holder has it. @internal */
export async function lockDirectory(directory: string): Promise<Lock> {
  return process.platform === 'linux' ? lockBySocket(directory) : lockByExclusiveOpen(directory);
}

function locked(directory: string, cause?: unknown): QuorateError {
  return new QuorateError(
    'ERR_STORAGE_LOCKED',
    `${directory} is in use by another storage object or process`,
    { cause },
  );
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | null)?.code ?? '';
}

/** O_EXLOCK | O_NONBLOCK of the BSDs, UV_FS_O_EXLOCK of libuv on Windows; neither is in fs.constants. */
async function lockByExclusiveOpen(directory: string): Promise<Lock> {
  const exclusive = process.platform === 'win32' ? 0x10000000 : 0x20 | 0x4;
  try {
    const handle = await fs.open(
      join(directory, 'lock'),
      constants.O_RDWR | constants.O_CREAT | exclusive,
      0o600,
    );
    return { release: () => handle.close() };
  } catch (error) {
    if (['EAGAIN', 'EWOULDBLOCK', 'EBUSY', 'EPERM', 'EACCES'].includes(codeOf(error)))
      throw locked(directory, error);
    throw error;
  }
}

/**
 * Everyone publishes first and looks around afterwards, so of two contenders at least one sees the other. Whoever sees a
 * holder, or a contender with a smaller name, gives way; the smallest waits for the others to decide.
 */
async function lockBySocket(directory: string): Promise<Lock> {
  const handle = await fs.open(directory, 'r'); // a short way to the directory, as socket addresses end at 107 bytes
  const near = (name: string): string => `/proc/self/fd/${handle.fd}/${name}`;
  const name = `${PREFIX}${randomBytes(12).toString('hex')}`;
  let answer = 'C';
  const server = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(answer);
    socket.unref();
  });
  const release = async (): Promise<void> => {
    await fs.rm(join(directory, name), { force: true });
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await handle.close();
  };
  try {
    // `exclusive` keeps a cluster worker from handing the socket to its primary process.
    await listen(server, near(`new-${name}`));
  } catch (error) {
    await handle.close();
    if (codeOf(error) === 'EADDRINUSE') throw locked(directory, error);
    return lockByAbstractSocket(directory); // a file system without sockets
  }
  try {
    await fs.rename(join(directory, `new-${name}`), join(directory, name));
    for (const other of await fs.readdir(directory)) {
      if (other.startsWith(PREFIX) && other !== name) await outlast(directory, other, near(other), name);
      else if (other.startsWith(`new-${PREFIX}`)) await removeIfOld(join(directory, other));
    }
    answer = HELD;
    return { release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Returns once `other` is gone; throws when it is to have the lock. */
async function outlast(directory: string, other: string, address: string, self: string): Promise<void> {
  let unansweredUntil = Infinity;
  for (;;) {
    const heard = await ask(address);
    if (heard === 'dead') return fs.rm(join(directory, other), { force: true });
    if (heard === 'gone') return;
    if (heard === 'cut off') {
      unansweredUntil = Math.min(unansweredUntil, performance.now() + ANSWER_TIMEOUT_MS);
      if (performance.now() > unansweredUntil) throw locked(directory);
    } else if (heard === 'held' || other < self) throw locked(directory);
    else unansweredUntil = Infinity;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** `cut off`: no word came, as when a contender gives way just then (an error of connecting or of reading). Ask again. */
function ask(address: string): Promise<'dead' | 'gone' | 'held' | 'contender' | 'cut off'> {
  return new Promise((resolve) => {
    let text = '';
    let late = false;
    const socket = net.connect(address);
    // A live process that is too busy to answer counts as a holder, and so does anything that cannot be understood.
    const timer = setTimeout(() => {
      late = true;
      socket.destroy();
    }, ANSWER_TIMEOUT_MS);
    socket.on('data', (data) => (text += data.toString('latin1')));
    socket.on('error', (error) => {
      if (codeOf(error) === 'ECONNREFUSED') resolve('dead');
      else if (codeOf(error) === 'ENOENT') resolve('gone');
    });
    socket.on('close', () => {
      clearTimeout(timer);
      if (text === '' && !late) resolve('cut off');
      else resolve(text === 'C' ? 'contender' : 'held');
    });
  });
}

/** A socket that was never published, left by a process that died between listening and renaming. */
async function removeIfOld(path: string): Promise<void> {
  const stats = await fs.stat(path).catch(() => undefined);
  if (stats && Date.now() - stats.mtimeMs > 60_000) await fs.rm(path, { force: true });
}

/** Where no socket can be made: an abstract one, which the kernel keeps by name for each network namespace. */
async function lockByAbstractSocket(directory: string): Promise<Lock> {
  const key = createHash('sha256').update(realpathSync(directory)).digest('hex').slice(0, 40);
  const server = net.createServer((socket) => socket.destroy());
  try {
    await listen(server, `\0quorate-${key}`);
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE') throw locked(directory, error);
    throw error;
  }
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

function listen(server: net.Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path, exclusive: true }, () => {
      server.off('error', reject);
      server.on('error', () => undefined); // accepting may fail for want of descriptors; the lock stands
      server.unref();
      resolve();
    });
  });
}
