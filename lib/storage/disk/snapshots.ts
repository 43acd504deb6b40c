/** The snapshots of a storage: one current for each group, written beside it and renamed, older ones kept while they are read. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { crc32 } from '../../crc.js';
import type { Index, SnapshotMeta } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { FileHandle } from '../../files.js';
import type { SnapshotReader, SnapshotWriter } from '../storage.js';
import type { Headroom } from './headroom.js';
import { corrupt, isFull, reading, syncFile } from './io.js';
import type { FailStop } from './io.js';
import { readSnapshot, readSnapshotInfo, SnapshotFileWriter } from './snapshotFile.js';
import type { SnapshotInfo } from './snapshotFile.js';

interface Held {
  readonly number: number;
  readonly path: string;
  readonly info: SnapshotInfo;
  readers: number;
  /** A newer one took its place. */
  obsolete: boolean;
}

/** @internal */
export interface SnapshotsSetup {
  readonly environment: Environment;
  readonly directory: string;
  readonly incarnation: string;
  readonly failStop: FailStop;
  readonly headroom: Headroom;
}

/** @internal */
export class Snapshots {
  readonly #setup: SnapshotsSetup;
  readonly #environment: Environment;
  readonly #directory: string;
  readonly #seed: number;
  readonly #failStop: FailStop;
  readonly #current = new Map<string, Held>();
  readonly #writers = new Map<string, Writer>();
  readonly #readers = new Set<Reader>();
  readonly #removals = new Set<Promise<void>>();
  #nextNumber = 1;
  #nextTemporary = 1;
  #closed = false;

  constructor(setup: SnapshotsSetup) {
    this.#setup = setup;
    this.#environment = setup.environment;
    this.#directory = setup.directory;
    this.#seed = crc32(Buffer.from(setup.incarnation, 'hex'));
    this.#failStop = setup.failStop;
  }

  /** Below the number of every snapshot that is yet to be committed, above that of every other. */
  get floor(): number {
    return this.#nextNumber;
  }

  groups(): Iterable<string> {
    return this.#current.keys();
  }

  metaOf(group: string): SnapshotMeta | undefined {
    return this.#current.get(group)?.info.meta;
  }

  /** The index of the current snapshot; 0 without one. */
  indexOf(group: string): Index {
    return this.#current.get(group)?.info.meta.index ?? 0;
  }

  /** Finds what is there, and removes what interrupted writes, replaced and erased snapshots left behind. */
  async load(floors: ReadonlyMap<string, number>): Promise<void> {
    const { files } = this.#environment;
    // The newest may be there in name only, when its writer was killed: until the name is durable the older one is needed.
    await files.syncDirectory(this.#directory);
    for (const floor of floors.values()) this.#nextNumber = Math.max(this.#nextNumber, floor);
    for (const name of await files.list(this.#directory)) {
      const path = join(this.#directory, name);
      const number = numberOf(name);
      if (name.endsWith('.tmp')) await files.remove(path);
      if (number === undefined) continue;
      this.#nextNumber = Math.max(this.#nextNumber, number + 1);
      const handle = await files.open(path, 'read');
      let info: SnapshotInfo;
      try {
        info = await readSnapshotInfo(handle, path, this.#seed);
      } finally {
        await handle.close();
      }
      if (fileName(info.group, number) !== name)
        throw corrupt(path, 0, `it holds a snapshot of group ${info.group}`);
      if (number < (floors.get(info.group) ?? 0)) await files.remove(path);
      else this.#replace({ number, path, info, readers: 0, obsolete: false });
    }
    await Promise.all(this.#removals);
  }

  async create(group: string): Promise<SnapshotWriter> {
    this.#check();
    const previous = this.#writers.get(group);
    const temporary = join(this.#directory, `${this.#nextTemporary++}.tmp`);
    const writer = new Writer(this, this.#setup, group, temporary);
    this.#writers.set(group, writer);
    await previous?.abort();
    await writer.open(this.#seed);
    return writer;
  }

  /** The file is written and flushed under its temporary name: makes it the current one. */
  async commit(group: string, temporary: string, info: SnapshotInfo): Promise<void> {
    const { files } = this.#environment;
    const number = this.#nextNumber++;
    const path = join(this.#directory, fileName(group, number));
    await this.#failStop.guard('renaming a snapshot', files.rename(temporary, path));
    await this.#failStop.guard('flushing the snapshots', files.syncDirectory(this.#directory));
    this.#replace({ number, path, info, readers: 0, obsolete: false });
  }

  async open(group: string): Promise<SnapshotReader | undefined> {
    this.#check();
    const held = this.#current.get(group);
    if (held === undefined) return undefined;
    held.readers++; // before anything else, so that it is not removed meanwhile
    try {
      const { files } = this.#environment;
      const handle = await reading(held.path, () => files.open(held.path, 'read'));
      const reader = new Reader(handle, held, this.#seed, () => {
        this.#readers.delete(reader);
        this.#release(held);
      });
      this.#readers.add(reader);
      return reader;
    } catch (error) {
      this.#release(held);
      throw error;
    }
  }

  /** Forgets the snapshot of a group; its file goes when the function returned is called, once that is durable. */
  erase(group: string): () => void {
    void this.#writers.get(group)?.abort();
    const held = this.#current.get(group);
    this.#current.delete(group);
    return () => {
      if (held !== undefined) this.#retire(held);
    };
  }

  forget(writer: Writer): void {
    if (this.#writers.get(writer.group) === writer) this.#writers.delete(writer.group);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const writer of [...this.#writers.values()]) await writer.abort();
    for (const reader of [...this.#readers]) await reader.close();
    await Promise.all(this.#removals);
  }

  #check(): void {
    if (this.#failStop.failed) throw this.#failStop.failed;
    if (this.#closed) throw new QuorateError('ERR_CLOSED', `the storage of ${this.#directory} was closed`);
  }

  #replace(held: Held): void {
    const before = this.#current.get(held.info.group);
    // A directory is listed by name, not by number.
    const [newer, older] =
      before !== undefined && before.number > held.number ? [before, held] : [held, before];
    this.#current.set(held.info.group, newer);
    if (older !== undefined) this.#retire(older);
  }

  #retire(held: Held): void {
    held.obsolete = true;
    if (held.readers > 0) return;
    // One that stays behind is removed the next time: the current one is known by its number.
    const removal = this.#environment.files
      .remove(held.path)
      .catch(() => undefined)
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }

  #release(held: Held): void {
    held.readers--;
    if (held.obsolete) this.#retire(held);
  }
}

class Writer implements SnapshotWriter {
  readonly group: string;
  readonly #owner: Snapshots;
  readonly #temporary: string;
  readonly #environment: Environment;
  readonly #failStop: FailStop;
  readonly #headroom: Headroom;
  #handle: FileHandle | undefined;
  #file: SnapshotFileWriter | undefined;
  /** Why it takes no more. */
  #ended: QuorateError | undefined;
  /** What was asked for runs one after another. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(owner: Snapshots, setup: SnapshotsSetup, group: string, temporary: string) {
    this.#owner = owner;
    this.#environment = setup.environment;
    this.#failStop = setup.failStop;
    this.#headroom = setup.headroom;
    this.group = group;
    this.#temporary = temporary;
  }

  open(seed: number): Promise<void> {
    return this.#inOrder(async () => {
      await this.#expendable('creating a snapshot', async () => {
        this.#handle = await this.#environment.files.open(this.#temporary, 'create');
        this.#file = new SnapshotFileWriter(this.#handle, seed);
      });
    });
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#inOrder(async () => {
      await this.#expendable('writing a snapshot', () => this.#file!.write(chunk));
      this.#headroom.wrote(chunk.length);
    });
  }

  commit(meta: SnapshotMeta): Promise<void> {
    return this.#inOrder(async () => {
      const newest = this.#owner.indexOf(this.group);
      if (meta.index < newest) {
        await this.#discard();
        throw new QuorateError(
          'ERR_COMPACTED',
          `group ${this.group} has a snapshot at ${newest}, newer than ${meta.index}`,
        );
      }
      const info = { group: this.group, meta, size: this.#file!.size };
      await this.#expendable('writing a snapshot', () => this.#file!.finish(this.group, meta));
      await this.#failStop.guard('flushing a snapshot', syncFile(this.#handle!));
      await this.#failStop.guard('closing a snapshot', this.#handle!.close());
      this.#handle = undefined;
      await this.#owner.commit(this.group, this.#temporary, info);
      this.#end('was committed');
    });
  }

  async abort(): Promise<void> {
    this.#end('was discarded');
    await this.#last.catch(() => undefined);
    await this.#discard();
  }

  #end(why: string): void {
    this.#ended ??= new QuorateError('ERR_CLOSED', `this snapshot of group ${this.group} ${why}`);
    this.#owner.forget(this);
  }

  async #discard(): Promise<void> {
    this.#end('was discarded');
    const handle = this.#handle;
    this.#handle = undefined;
    if (handle === undefined) return;
    await handle.close().catch(() => undefined);
    await this.#environment.files.remove(this.#temporary).catch(() => undefined);
  }

  #inOrder(work: () => Promise<void>): Promise<void> {
    const run = this.#last.then(() => {
      const error = this.#failStop.failed ?? this.#ended;
      if (error) throw error;
      return work();
    });
    this.#last = run.catch(() => undefined);
    return run;
  }

  /** Want of space for a file that nothing depends on ends this snapshot only; any other failure ends the store. */
  async #expendable(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      await this.#discard();
      if (!isFull(cause)) throw this.#failStop.fail(cause, what);
      this.#headroom.full();
      throw new QuorateError('ERR_STORAGE_FULL', `no space for a snapshot of group ${this.group}`, { cause });
    }
  }
}

class Reader implements SnapshotReader {
  readonly #handle: FileHandle;
  readonly #held: Held;
  readonly #seed: number;
  readonly #closing: () => void;
  #closed: Promise<void> | undefined;

  constructor(handle: FileHandle, held: Held, seed: number, closing: () => void) {
    this.#handle = handle;
    this.#held = held;
    this.#seed = seed;
    this.#closing = closing;
  }

  get meta(): SnapshotMeta {
    return this.#held.info.meta;
  }

  get size(): number {
    return this.#held.info.size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { path, info } = this.#held;
    if (this.#closed) throw new QuorateError('ERR_CLOSED', `this snapshot of group ${info.group} was closed`);
    return reading(path, () => readSnapshot(this.#handle, path, this.#seed, info.size, offset, length));
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#handle.close().finally(this.#closing));
  }
}

/** Readable, fit for every file system (which may not tell A from a), and never the same for two groups. */
function fileName(group: string, number: number): string {
  const slug = group
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '_')
    .slice(0, 40);
  const hash = createHash('sha256').update(group).digest('hex').slice(0, 24);
  return `${slug}-${hash}-${number}.snap`;
}

function numberOf(name: string): number | undefined {
  const match = /-(\d+)\.snap$/.exec(name);
  return match ? Number(match[1]) : undefined;
}
