/** A disk in memory that forgets what was not flushed, stops at a step, or fails at one. */
import { QuorateError } from '../../../../lib/errors.js';
import type { Done, FileHandle, FileSystem } from '../../../../lib/files.js';

const SECTOR = 512;
const PAGE = 4096;

export interface Inode {
  /** What a crash leaves. */
  durable: Buffer;
  /** What reads see. */
  current: Buffer;
  /** Pages whose flush failed: they count as clean, so that no later flush writes them, until something is written there again. */
  forgotten?: Set<number>;
  /** `current` is used elsewhere, too: it has to be copied before it is changed. */
  shared?: boolean;
}

export type Operation =
  'open' | 'write' | 'sync' | 'truncate' | 'rename' | 'remove' | 'syncDirectory' | 'makeDirectory';

/**
 * What happens to one operation that changes something: it works; does nothing and never comes back; is the last that is done,
 * whole or in half; fails, having done nothing, half of it, or all of it.
 */
export type Verdict =
  | 'works'
  | 'hangs'
  | 'stops'
  | 'stops-half'
  /** `half` as a number: of a write so many bytes, of anything else nothing. */
  | { readonly error: Error; readonly half: boolean | number; readonly whole?: boolean };

export function diskError(code: string): Error {
  return Object.assign(new Error(`${code}: simulated`), { code });
}

export class FaultyDisk implements FileSystem {
  /** Asked for every operation that changes something; `step` counts them from 1. */
  judge: (operation: Operation, path: string, step: number) => Verdict = () => 'works';
  steps = 0;
  /** Asked for everything that is read, sizes and lists too: an error to fail with, or nothing. `count` begins at 1. */
  judgeRead: (path: string, count: number) => Error | undefined = () => undefined;
  reads = 0;
  stopped = false;
  free = 1e12;
  /** Bytes that all files may have together; `free` is what is left of it once it is set. */
  capacity = Infinity;
  readonly operations: string[] = [];
  /** Names as reads see them, and as a crash leaves them. */
  readonly #names = new Map<string, Inode>();
  readonly #durableNames = new Map<string, Inode>();
  readonly #directories = new Set<string>();
  readonly #durableDirectories = new Set<string>();
  readonly #locks = new Set<string>();

  /**
   * The disk after a crash: of what was not flushed, each sector and each name is there or is not. Numbers below 0.5 mean that it
   * is not.
   */
  crash(random: () => number): FaultyDisk {
    const after = new FaultyDisk();
    const settled = new Map<Inode, Inode>();
    const settle = (inode: Inode): Inode => {
      let copy = settled.get(inode);
      if (copy === undefined) {
        const content = tear(inode, random);
        settled.set(inode, (copy = { durable: content, current: content, shared: true }));
      }
      return copy;
    };
    for (const path of this.#directories) {
      // Parents come first, and what is in a directory that is gone is gone.
      if (!this.#durableDirectories.has(path) && random() < 0.5) continue;
      if (parentOf(path) === '' || after.#directories.has(parentOf(path))) after.#putDirectory(path);
    }
    for (const path of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      if (!after.#directories.has(parentOf(path))) continue;
      const [now, before] = [this.#names.get(path), this.#durableNames.get(path)];
      const inode = now === before || random() < 0.5 ? before : now;
      if (inode === undefined) continue;
      after.#names.set(path, settle(inode));
      after.#durableNames.set(path, settle(inode));
    }
    return after;
  }

  /** The disk after the process was killed: nothing is lost, and nothing more is flushed than was. */
  restart(): FaultyDisk {
    const after = new FaultyDisk();
    const moved = new Map<Inode, Inode>();
    const move = (inode: Inode): Inode => {
      let copy = moved.get(inode);
      if (copy === undefined) {
        inode.shared = true;
        moved.set(inode, (copy = { ...inode, forgotten: new Set(inode.forgotten) }));
      }
      return copy;
    };
    for (const [path, inode] of this.#names) after.#names.set(path, move(inode));
    for (const [path, inode] of this.#durableNames) after.#durableNames.set(path, move(inode));
    for (const path of this.#directories) after.#directories.add(path);
    for (const path of this.#durableDirectories) after.#durableDirectories.add(path);
    return after;
  }

  /** All files, to be looked at or damaged; what is done to `current` must be done to `durable` too. */
  files(): Map<string, Inode> {
    return this.#names;
  }

  copy(): FaultyDisk {
    const other = new FaultyDisk();
    for (const path of this.#directories) other.#putDirectory(path);
    for (const [path, original] of this.#names) {
      original.shared = true;
      const inode = { durable: original.current, current: original.current, shared: true };
      other.#names.set(path, inode);
      other.#durableNames.set(path, inode);
    }
    return other;
  }

  async open(path: string, mode: 'read' | 'write' | 'create' | 'dsync'): Promise<FileHandle> {
    if (mode === 'create') {
      await this.#change('open', path, () => {
        if (this.#names.has(path)) throw diskError('EEXIST');
        this.#names.set(path, { durable: Buffer.alloc(0), current: Buffer.alloc(0) });
      });
    }
    const inode = this.#names.get(path);
    if (inode === undefined) throw diskError('ENOENT');
    return new Handle(this, path, inode, mode === 'dsync');
  }

  makeDirectory(path: string): Promise<void> {
    return this.#change('makeDirectory', path, () => {
      for (let end = path.indexOf('/', 1); end > 0; end = path.indexOf('/', end + 1))
        this.#directories.add(path.slice(0, end));
      this.#directories.add(path);
    });
  }

  async list(path: string): Promise<string[]> {
    this.willRead(path);
    const names = [...this.#names.keys()].filter((name) => parentOf(name) === path);
    return names.map((name) => name.slice(path.length + 1)).sort();
  }

  rename(from: string, to: string): Promise<void> {
    return this.#change('rename', to, () => {
      this.#names.set(to, this.#names.get(from)!);
      this.#names.delete(from);
    });
  }

  remove(path: string): Promise<void> {
    return this.#change('remove', path, () => this.#names.delete(path));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#change('syncDirectory', path, () => {
      for (const name of this.#durableNames.keys()) {
        if (parentOf(name) === path && !this.#names.has(name)) this.#durableNames.delete(name);
      }
      for (const [name, inode] of this.#names)
        if (parentOf(name) === path) this.#durableNames.set(name, inode);
      for (const name of this.#directories)
        if (parentOf(name) === (path === '/' ? '' : path)) this.#durableDirectories.add(name);
    });
  }

  async freeBytes(path: string): Promise<number> {
    this.willRead(path);
    return this.capacity === Infinity ? this.free : this.capacity - this.used;
  }

  /** Bytes of all files. */
  get used(): number {
    let sum = 0;
    for (const { current } of this.#names.values()) sum += current.length;
    return sum;
  }

  /** Throws what `judgeRead` says. */
  willRead(path: string): void {
    const error = this.judgeRead(path, ++this.reads);
    if (error) throw error;
  }

  #putDirectory(path: string): void {
    this.#directories.add(path);
    this.#durableDirectories.add(path);
  }

  async lock(directory: string): Promise<{ release(): Promise<void> }> {
    if (this.#locks.has(directory)) throw new QuorateError('ERR_STORAGE_LOCKED', directory);
    this.#locks.add(directory);
    return { release: async () => void this.#locks.delete(directory) };
  }

  /** Runs a change, fails it, or lets it hang; `half` is what a change does half-way, `failure` when it fails before that. */
  run(
    operation: Operation,
    path: string,
    change: () => void,
    done: Done,
    half: (bytes?: number) => void = () => {},
    failure: () => void = () => {},
  ): void {
    setImmediate(() => {
      if (this.stopped) return;
      const verdict = this.judge(operation, path, ++this.steps);
      this.operations.push(`${operation} ${path.slice(path.lastIndexOf('/') + 1)}`);
      try {
        if (verdict === 'works') {
          change();
          done(null);
        } else if (typeof verdict === 'object') {
          if (verdict.whole === true) change();
          else if (typeof verdict.half === 'number' && operation === 'write') half(verdict.half);
          else if (verdict.half === true && operation !== 'sync') half();
          else failure();
          done(verdict.error);
        } else if (verdict !== 'hangs') {
          if (verdict === 'stops-half') half();
          else change();
          this.stopped = true;
        }
      } catch (error) {
        done(error as Error);
      }
    });
  }

  #change(operation: Operation, path: string, change: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.run(operation, path, change, (error) => (error ? reject(error) : resolve()));
    });
  }
}

class Handle implements FileHandle {
  readonly #disk: FaultyDisk;
  readonly #path: string;
  readonly #inode: Inode;
  readonly #dsync: boolean;
  #closed = false;

  constructor(disk: FaultyDisk, path: string, inode: Inode, dsync: boolean) {
    this.#disk = disk;
    this.#path = path;
    this.#inode = inode;
    this.#dsync = dsync;
  }

  write(buffers: readonly Uint8Array[], position: number, done: Done): void {
    this.#check();
    const content = Buffer.concat(buffers);
    const put = (bytes: Buffer): void => {
      const inode = this.#inode;
      const grows = position + bytes.length - inode.current.length;
      if (grows > this.#disk.capacity - this.#disk.used) throw diskError('ENOSPC');
      if (grows > 0) inode.current = Buffer.concat([inode.current, Buffer.alloc(grows)]);
      else if (inode.shared === true) inode.current = Buffer.from(inode.current);
      inode.shared = false;
      bytes.copy(inode.current, position);
      for (let page = Math.floor(position / PAGE); page * PAGE < position + bytes.length; page++)
        inode.forgotten?.delete(page);
    };
    const whole = (): void => {
      put(content);
      if (this.#dsync) flush(this.#inode);
    };
    const half = (bytes = Math.floor(content.length / 2)): void => {
      put(content.subarray(0, bytes));
      if (this.#dsync) flush(this.#inode);
    };
    // Its flush failed: the same as below.
    const unflushed = (): void => {
      put(content);
      forget(this.#inode);
    };
    this.#disk.run('write', this.#path, whole, done, half, this.#dsync ? unflushed : undefined);
  }

  sync(done: Done): void {
    this.#check();
    // As Linux has it: after a failed flush what was to be flushed is still read, and counts as clean.
    const nothing = (): void => undefined;
    this.#disk.run(
      'sync',
      this.#path,
      () => flush(this.#inode),
      done,
      nothing,
      () => forget(this.#inode),
    );
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    this.#check();
    this.#disk.willRead(this.#path);
    return new Uint8Array(this.#inode.current.subarray(position, position + length));
  }

  truncate(length: number): Promise<void> {
    this.#check();
    return new Promise((resolve, reject) => {
      const cut = (): void =>
        void (this.#inode.current = Buffer.from(this.#inode.current.subarray(0, length)));
      this.#disk.run('truncate', this.#path, cut, (error) => (error ? reject(error) : resolve()));
    });
  }

  async size(): Promise<number> {
    this.#disk.willRead(this.#path);
    return this.#inode.current.length;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(): void {
    if (this.#closed) throw new Error(`${this.#path} was used after it was closed`);
  }
}

function flush(inode: Inode): void {
  if (inode.forgotten === undefined || inode.forgotten.size === 0) {
    inode.durable = inode.current;
    inode.shared = true;
    return;
  }
  const durable = Buffer.from(inode.current);
  for (const page of inode.forgotten) {
    const at = page * PAGE;
    durable.subarray(at, at + PAGE).fill(0);
    inode.durable.subarray(at, at + PAGE).copy(durable, at);
  }
  inode.durable = durable;
}

function forget(inode: Inode): void {
  const { durable, current } = inode;
  inode.forgotten ??= new Set();
  for (let at = 0; at < current.length; at += PAGE) {
    if (!current.subarray(at, at + PAGE).equals(durable.subarray(at, at + PAGE)))
      inode.forgotten.add(at / PAGE);
  }
}

function tear({ durable, current }: Inode, random: () => number): Buffer {
  if (durable === current) return durable;
  const length = random() < 0.5 ? durable.length : current.length;
  const out = Buffer.alloc(length);
  durable.copy(out);
  for (let at = 0; at < Math.min(length, current.length); at += SECTOR) {
    const end = Math.min(at + SECTOR, length);
    if (current.subarray(at, end).equals(out.subarray(at, end))) continue;
    if (random() >= 0.5) current.copy(out, at, at, Math.min(end, current.length));
  }
  return out;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
