/** The real file system: {@link FileSystem} on node:fs. */
import { constants } from 'node:fs';
import * as fs from 'node:fs';
import { QuorateError } from './errors.js';
import type { Done, FileHandle, FileSystem } from './files.js';
import { lockDirectory } from './nodeFiles/directoryLock.js';

/** Whether an O_DSYNC write reaches the medium; on macOS only F_FULLFSYNC does, and Windows has no such flag here. */
const hasDsync = process.platform === 'linux' && typeof constants.O_DSYNC === 'number';

/** @internal */
export const nodeFileSystem: FileSystem = {
  open(path, mode) {
    const dsync = mode === 'dsync';
    const flags = {
      read: 'r',
      write: 'r+',
      create: 'wx+',
      dsync: hasDsync ? constants.O_RDWR | constants.O_DSYNC : 'r+',
    };
    return promised<number>((done) => fs.open(path, flags[mode], 0o600, done)).then(
      (fd) => new NodeFileHandle(fd, path, dsync && !hasDsync),
    );
  },

  async makeDirectory(path) {
    await promised<string | undefined>((done) => fs.mkdir(path, { recursive: true }, done));
  },

  async list(path) {
    const names = await promised<string[]>((done) => fs.readdir(path, done));
    return names.sort();
  },

  rename: (from, to) => promised((done) => fs.rename(from, to, done)),

  remove: (path) => promised((done) => fs.rm(path, { force: true }, done)),

  async syncDirectory(path) {
    if (process.platform === 'win32') return; // a directory cannot be opened there, and NTFS journals its metadata
    const fd = await promised<number>((done) => fs.open(path, 'r', done));
    try {
      await promised((done) => fs.fsync(fd, done));
    } finally {
      await promised((done) => fs.close(fd, done));
    }
  },

  async freeBytes(path) {
    const stats = await promised<fs.StatsFs>((done) => fs.statfs(path, done));
    return stats.bavail * stats.bsize;
  },

  lock: lockDirectory,
};

class NodeFileHandle implements FileHandle {
  readonly #fd: number;
  readonly #path: string;
  readonly #syncEveryWrite: boolean;
  #closed: Promise<void> | undefined;
  /** Operations under way: the descriptor's number must not go to another file before they end. */
  #pending = 0;
  #idle: (() => void) | undefined;

  constructor(fd: number, path: string, syncEveryWrite: boolean) {
    this.#fd = fd;
    this.#path = path;
    this.#syncEveryWrite = syncEveryWrite;
  }

  write(buffers: readonly Uint8Array[], position: number, done: Done): void {
    if (this.#refuse(done)) return;
    const ended = this.#begin(done);
    const then: Done = this.#syncEveryWrite
      ? (error) => (error ? ended(error) : fs.fdatasync(this.#fd, ended))
      : ended;
    if (buffers.length === 1) this.#writeOne(buffers[0]!, position, then);
    else this.#writeMany(buffers, position, then);
  }

  sync(done: Done): void {
    if (this.#refuse(done)) return;
    fs.fdatasync(this.#fd, this.#begin(done));
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    this.#check();
    return this.#counted(this.#read(position, length));
  }

  async #read(position: number, length: number): Promise<Uint8Array> {
    const buffer = Buffer.allocUnsafeSlow(length);
    let at = 0;
    while (at < length) {
      const from = at;
      const count = await promised<number>((done) =>
        fs.read(this.#fd, buffer, from, Math.min(length - from, MAX_TRANSFER), position + from, done),
      );
      if (count === 0) break;
      at += count;
    }
    return new Uint8Array(buffer.buffer, buffer.byteOffset, at);
  }

  async truncate(length: number): Promise<void> {
    this.#check();
    await this.#counted(promised((done) => fs.ftruncate(this.#fd, length, done)));
  }

  async size(): Promise<number> {
    this.#check();
    const stats = await this.#counted(promised<fs.Stats>((done) => fs.fstat(this.#fd, done)));
    return stats.size;
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    if (this.#pending > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    await promised((done) => fs.close(this.#fd, done));
  }

  #begin(done: Done): Done {
    this.#pending++;
    return (error) => {
      this.#end();
      done(error);
    };
  }

  #end(): void {
    if (--this.#pending === 0) this.#idle?.();
  }

  async #counted<T>(work: Promise<T>): Promise<T> {
    this.#pending++;
    try {
      return await work;
    } finally {
      this.#end();
    }
  }

  #writeOne(buffer: Uint8Array, position: number, done: Done): void {
    fs.write(this.#fd, buffer, 0, Math.min(buffer.length, MAX_TRANSFER), position, (error, written) => {
      if (error) done(error);
      else if (written === buffer.length) done(null);
      else if (written === 0) done(this.#stuck());
      else this.#writeOne(buffer.subarray(written), position + written, done);
    });
  }

  #writeMany(buffers: readonly Uint8Array[], position: number, done: Done): void {
    if (buffers.length === 0) {
      process.nextTick(done, null);
      return;
    }
    let total = 0;
    let count = 0;
    while (count < buffers.length && count < MAX_BUFFERS && total + buffers[count]!.length <= MAX_TRANSFER) {
      total += buffers[count++]!.length;
    }
    if (count === 0) {
      const head = buffers[0]!;
      this.#writeOne(head, position, (error) => {
        if (error) done(error);
        else this.#writeMany(buffers.slice(1), position + head.length, done);
      });
      return;
    }
    const part = count === buffers.length ? buffers : buffers.slice(0, count);
    fs.writev(this.#fd, part, position, (error, written) => {
      if (error) done(error);
      else if (written === total && count === buffers.length) done(null);
      else if (written === 0 && total > 0) done(this.#stuck());
      else this.#writeMany(skip(buffers, written), position + written, done);
    });
  }

  #stuck(): Error {
    return Object.assign(new Error(`${this.#path} takes no more bytes`), { code: 'EIO' });
  }

  #check(): void {
    if (this.#closed) throw new QuorateError('ERR_CLOSED', `${this.#path} was closed`);
  }

  /** After close the descriptor's number may belong to another file: nothing may be done with it any more. */
  #refuse(done: Done): boolean {
    if (!this.#closed) return false;
    process.nextTick(done, new QuorateError('ERR_CLOSED', `${this.#path} was closed`));
    return true;
  }
}

/** Below 2^31, the most that one system call transfers. */
const MAX_TRANSFER = 1 << 30;

/** IOV_MAX. */
const MAX_BUFFERS = 1024;

/** What is left of the buffers after so many bytes. */
function skip(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let first = 0;
  let rest = bytes;
  while (first < buffers.length && rest >= buffers[first]!.length) rest -= buffers[first++]!.length;
  const left = buffers.slice(first);
  if (rest > 0) left[0] = left[0]!.subarray(rest);
  return left;
}

function promised<T = void>(start: (done: (error: Error | null, value?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error) reject(error);
      else resolve(value as T);
    });
  });
}
