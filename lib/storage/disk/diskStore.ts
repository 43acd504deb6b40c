/** The open disk storage: the parts put together. */
import type { Entry, HardState, Index, Recovered } from '../../consensus/consensus.js';
import { lastOf } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { ENTRY_OVERHEAD } from '../entryCodec.js';
import { applyWrite, isBareErasure } from '../groupWrite.js';
import type { WritableLog } from '../groupWrite.js';
import type { GroupWrite, NodeStore, SnapshotReader, SnapshotWriter } from '../storage.js';
import { readEntries } from './entryReader.js';
import type { ReadSource } from './entryReader.js';
import type { Frame } from './frame.js';
import type { GroupLog } from './groupLog.js';
import type { GroupTable } from './groupTable.js';
import type { Headroom } from './headroom.js';
import { reading, type FailStop } from './io.js';
import type { Journal } from './journal.js';
import { changes } from './meta.js';
import { Rewriter } from './rewriter.js';
import type { Segment } from './segment.js';
import type { Snapshots } from './snapshots.js';

/** Read back by `recover`. */
const TAIL_BYTES = 4 << 20;
/** The most that one call of `write` may bring. */
const MAX_WRITE_BYTES = 1 << 30;
/** More than what a write takes beside its entries. */
const WRITE_OVERHEAD = 1024;

/** @internal */
export interface DiskStoreSetup {
  readonly environment: Environment;
  readonly directory: string;
  readonly segmentBytes: number;
  readonly incarnation: string;
  readonly table: GroupTable;
  readonly journal: Journal;
  readonly snapshots: Snapshots;
  readonly headroom: Headroom;
  readonly failStop: FailStop;
  readonly lock: { release(): Promise<void> };
}

/** @internal */
export class DiskStore implements NodeStore {
  readonly incarnation: string;
  readonly #directory: string;
  readonly #table: GroupTable;
  readonly #journal: Journal;
  readonly #snapshots: Snapshots;
  readonly #headroom: Headroom;
  readonly #failStop: FailStop;
  readonly #lock: { release(): Promise<void> };
  readonly #source: ReadSource;
  readonly #scribe = new Scribe();
  readonly #rewriter: Rewriter;
  /** The segment of the newest frame. */
  #active: Segment | undefined;
  #closed: Promise<void> | undefined;

  constructor(setup: DiskStoreSetup) {
    this.incarnation = setup.incarnation;
    this.#directory = setup.directory;
    this.#table = setup.table;
    this.#journal = setup.journal;
    this.#snapshots = setup.snapshots;
    this.#headroom = setup.headroom;
    this.#failStop = setup.failStop;
    this.#lock = setup.lock;
    const { journal } = setup;
    this.#source = {
      files: setup.environment.files,
      isDurable: (segment, position) => journal.isDurable(segment, position),
      settle: () =>
        new Promise((resolve, reject) => journal.barrier((error) => (error ? reject(error) : resolve()))),
    };
    this.#rewriter = new Rewriter({
      segmentBytes: setup.segmentBytes,
      table: setup.table,
      source: this.#source,
      headroom: setup.headroom,
      failStop: setup.failStop,
      left: () => journal.left(),
      write: (writes, done) => this.write(writes, done),
    });
  }

  get failed(): Error | undefined {
    return this.#failStop.failed;
  }

  groups(): string[] {
    return [...new Set([...this.#table.groups.keys(), ...this.#snapshots.groups()])].sort();
  }

  recover(name: string): Promise<Recovered | undefined> {
    return reading(`the log in ${this.#directory}`, () => this.#recover(name));
  }

  async #recover(name: string): Promise<Recovered | undefined> {
    this.#check();
    const snapshot = this.#snapshots.metaOf(name);
    const log = this.#table.groups.get(name);
    if (log === undefined && snapshot === undefined) return undefined;
    if (log === undefined) {
      // Committed since the storage was opened, and not installed yet.
      const lastIndex = snapshot!.index;
      return {
        hard: undefined,
        snapshot,
        runs: [],
        firstIndex: lastIndex + 1,
        lastIndex,
        lastTime: 0,
        configs: [],
        tail: [],
      };
    }
    const { firstIndex, lastIndex, hard } = log;
    const runs = log.runs();
    const tail = await this.#readAll(log, tailStart(log), lastIndex);
    const configs: Entry[] = [];
    for (const index of log.configs()) {
      const known = tail.find((entry) => entry.index === index);
      configs.push(known ?? (await readEntries(this.#source, log, index, index, 0))[0]!);
    }
    return { hard, snapshot, runs, firstIndex, lastIndex, lastTime: tail.at(-1)?.time ?? 0, configs, tail };
  }

  write(writes: readonly GroupWrite[], done: (error?: Error) => void): void {
    const unable = this.#unable();
    if (unable) {
      done(unable);
      return;
    }
    if (writes.length === 0) {
      this.#journal.barrier(done);
      return;
    }
    const frame = this.#journal.frameFor(sizeOf(writes));
    if (frame.segment !== this.#active) {
      this.#active = frame.segment;
      this.#rewriter.consider();
    }
    this.#table.frame = frame.sequence;
    const erased: (() => void)[] = [];
    for (const [i, write] of writes.entries()) {
      try {
        this.#apply(frame, write, erased);
      } catch (error) {
        if (i > 0) this.#failStop.fail(error, 'a batch that was applied in part');
        throw error;
      }
    }
    this.#journal.submit(frame, erased.length === 0 ? done : withErasures(done, erased));
  }

  async read(name: string, from: Index, to: Index, maxBytes: number): Promise<Entry[]> {
    this.#check();
    const log = this.#table.groups.get(name);
    if (log === undefined) throw new QuorateError('ERR_INTERNAL', `the storage holds no group ${name}`);
    return reading(`the log in ${this.#directory}`, () => readEntries(this.#source, log, from, to, maxBytes));
  }

  async createSnapshot(group: string): Promise<SnapshotWriter> {
    this.#check();
    return this.#snapshots.create(group);
  }

  async openSnapshot(group: string): Promise<SnapshotReader | undefined> {
    this.#check();
    return this.#snapshots.open(group);
  }

  logBytes(group: string): number {
    return this.#table.groups.get(group)?.bytes ?? 0;
  }

  headroom(): number {
    return this.#headroom.bytes;
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#headroom.close();
    try {
      await this.#rewriter.close();
      await this.#journal.close();
      await this.#snapshots.close();
    } finally {
      await this.#lock.release();
    }
  }

  #unable(): QuorateError | undefined {
    if (this.#failStop.failed) return this.#failStop.failed;
    return this.#closed
      ? new QuorateError('ERR_CLOSED', `the storage in ${this.#directory} was closed`)
      : undefined;
  }

  #check(): void {
    const unable = this.#unable();
    if (unable) throw unable;
  }

  #apply(frame: Frame, write: GroupWrite, erased: (() => void)[]): void {
    const { group: name } = write;
    if (write.erase === true) {
      const floor = this.#snapshots.floor;
      erased.push(this.#snapshots.erase(name));
      this.#table.erase(name, floor);
      changes.erase(frame.meta, name, floor);
      if (isBareErasure(write)) return;
    }
    const known = this.#table.groups.has(name);
    const log = this.#table.ensure(name);
    try {
      applyWrite(this.#scribe.at(frame, log), write, this.#snapshots.indexOf(name));
    } catch (error) {
      if (!known) this.#table.groups.delete(name);
      throw error;
    }
  }

  async #readAll(log: GroupLog, from: Index, to: Index): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (let next = from; next <= to; next = lastOf(entries.at(-1)!) + 1) {
      for (const entry of await readEntries(this.#source, log, next, to, TAIL_BYTES)) entries.push(entry);
    }
    return entries;
  }
}

/** Writes into the frame what happens to a log, and does it to the log in memory. One object for all writes. */
class Scribe implements WritableLog {
  #frame!: Frame;
  #log!: GroupLog;

  at(frame: Frame, log: GroupLog): this {
    this.#frame = frame;
    this.#log = log;
    return this;
  }

  get firstIndex(): Index {
    return this.#log.firstIndex;
  }

  get lastIndex(): Index {
    return this.#log.lastIndex;
  }

  epochAt(index: Index): Entry['epoch'] {
    return this.#log.epochAt(index);
  }

  startOf(index: Index): Index {
    return this.#log.startOf(index);
  }

  setHard(hard: HardState): void {
    changes.hard(this.#frame.meta, this.#log.name, hard);
    this.#log.hard = hard;
  }

  truncate(from: Index): void {
    changes.truncate(this.#frame.meta, this.#log.name, from);
    this.#log.truncate(from);
  }

  reset(first: Index): void {
    changes.reset(this.#frame.meta, this.#log.name, first);
    this.#log.reset(first);
  }

  append(entries: readonly Entry[]): void {
    this.#frame.append(this.#log, entries);
  }

  compact(first: Index): void {
    changes.compact(this.#frame.meta, this.#log.name, first);
    this.#log.compact(first);
  }
}

/** More bytes than the writes take; throws ERR_TOO_LARGE. */
function sizeOf(writes: readonly GroupWrite[]): number {
  let bytes = 0;
  for (const { entries } of writes) {
    bytes += WRITE_OVERHEAD;
    if (entries !== undefined) for (const entry of entries) bytes += entry.data.length + 2 * ENTRY_OVERHEAD;
  }
  if (bytes > MAX_WRITE_BYTES) {
    throw new QuorateError(
      'ERR_TOO_LARGE',
      `a batch of ${bytes} bytes is above the cap of ${MAX_WRITE_BYTES}`,
    );
  }
  return bytes;
}

function withErasures(
  done: (error?: Error) => void,
  erased: readonly (() => void)[],
): (error?: Error) => void {
  return (error) => {
    if (!error) for (const remove of erased) remove();
    done(error);
  };
}

/** Where the newest entries begin that together have about as many bytes as are read back. */
function tailStart(log: GroupLog): Index {
  let bytes = 0;
  let start = log.lastIndex + 1;
  for (const part of log.parts.toReversed()) {
    for (let i = part.count - 1; i >= part.head; i--) {
      bytes += part.lengthOf(i);
      if (bytes > TAIL_BYTES && start <= log.lastIndex) return start;
      start = Math.max(part.first[i]!, log.firstIndex);
    }
  }
  return start;
}
