/** A disk in memory that forgets what was not flushed, stops at a step, or fails at one. */
import { QuorateError } from '../../../../lib/errors.js';
import type { Done, FileHandle, FileSystem } from '../../../../lib/files.js';

const SECTOR = 512;

export interface Inode {
  /** What a crash leaves. */
  durable: Buffer;
  /** What reads see. */
  current: Buffer;
}

export type Operation =
  'open' | 'write' | 'sync' | 'truncate' | 'rename' | 'remove' | 'syncDirectory' | 'makeDirectory';

/**
 * What happens to one operation that changes something: it works; does nothing and never comes back; is the last that is done,
 * whole or in half; fails, having done nothing or half of it.
 */
export type Verdict =
  'works' | 'hangs' | 'stops' | 'stops-half' | { readonly error: Error; readonly half: boolean };

export function diskError(code: string): Error {
  return Object.assign(new Error(`${code}: simulated`), { code });
}

export class FaultyDisk implements FileSystem {
  /** Asked for every operation that changes something; `step` counts them from 1. */
  judge: (operation: Operation, path: string, step: number) => Verdict = () => 'works';
  steps = 0;
  stopped = false;
  free = 1e12;
  readonly operations: string[] = [];
  /** Names as reads see them, and as a crash leaves them. */
  readonly #names = new Map<string, Inode>();
  readonly #durableNames = new Map<string, Inode>();
  readonly #locks = new Set<string>();

  /** The disk after a crash: of what was not flushed, each sector and each name is there or is not. */
  crash(random: () => number): FaultyDisk {
    const after = new FaultyDisk();
    const settled = new Map<Inode, Inode>();
    const settle = (inode: Inode): Inode => {
      let copy = settled.get(inode);
      if (copy === undefined) {
        const content = tear(inode, random);
        settled.set(inode, (copy = { durable: content, current: Buffer.from(content) }));
      }
      return copy;
    };
    for (const path of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
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
      if (copy === undefined) moved.set(inode, (copy = { ...inode, current: Buffer.from(inode.current) }));
      return copy;
    };
    for (const [path, inode] of this.#names) after.#names.set(path, move(inode));
    for (const [path, inode] of this.#durableNames) after.#durableNames.set(path, move(inode));
    return after;
  }

  /** All files, to be looked at or damaged; what is done to `current` must be done to `durable` too. */
  files(): Map<string, Inode> {
    return this.#names;
  }

  copy(): FaultyDisk {
    const other = new FaultyDisk();
    for (const [path, { current }] of this.#names) {
      const inode = { durable: Buffer.from(current), current: Buffer.from(current) };
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
    return this.#change('makeDirectory', path, () => {});
  }

  async list(path: string): Promise<string[]> {
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
    });
  }

  async freeBytes(): Promise<number> {
    return this.free;
  }

  async lock(directory: string): Promise<{ release(): Promise<void> }> {
    if (this.#locks.has(directory)) throw new QuorateError('ERR_STORAGE_LOCKED', directory);
    this.#locks.add(directory);
    return { release: async () => void this.#locks.delete(directory) };
  }

  /** Runs a change, fails it, or lets it hang; `half` is what a change does that fails half-way. */
  run(operation: Operation, path: string, change: () => void, done: Done, half: () => void = () => {}): void {
    setImmediate(() => {
      if (this.stopped) return;
      const verdict = this.judge(operation, path, ++this.steps);
      this.operations.push(`${operation} ${path.slice(path.lastIndexOf('/') + 1)}`);
      try {
        if (verdict === 'works') {
          change();
          done(null);
        } else if (typeof verdict === 'object') {
          if (verdict.half) half();
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
      if (inode.current.length < position + bytes.length) {
        inode.current = Buffer.concat([
          inode.current,
          Buffer.alloc(position + bytes.length - inode.current.length),
        ]);
      }
      bytes.copy(inode.current, position);
      if (this.#dsync) inode.durable = Buffer.from(inode.current);
    };
    const half = (): void => put(content.subarray(0, Math.floor(content.length / 2)));
    this.#disk.run('write', this.#path, () => put(content), done, half);
  }

  sync(done: Done): void {
    this.#check();
    this.#disk.run('sync', this.#path, () => (this.#inode.durable = Buffer.from(this.#inode.current)), done);
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    this.#check();
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
    return this.#inode.current.length;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(): void {
    if (this.#closed) throw new Error(`${this.#path} was used after it was closed`);
  }
}

function tear({ durable, current }: Inode, random: () => number): Buffer {
  const length = random() < 0.5 ? durable.length : current.length;
  const out = Buffer.alloc(length);
  durable.copy(out);
  for (let at = 0; at < Math.min(length, current.length); at += SECTOR) {
    const end = Math.min(at + SECTOR, length);
    if (current.subarray(at, end).equals(out.subarray(at, end))) continue;
    if (random() < 0.5) current.copy(out, at, at, Math.min(end, current.length));
  }
  return out;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

/** A generator of numbers in [0, 1) that one seed decides. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
