/** A storage that forgets everything when its process ends. */
import { compareEpochs, lastOf } from '../consensus/consensus.js';
import type { Entry, Epoch, HardState, Index, Recovered, SnapshotMeta } from '../consensus/consensus.js';
import { described } from '../description.js';
import { randomId } from '../environment.js';
import type { Environment } from '../environment.js';
import { checkName, QuorateError } from '../errors.js';
import { applyWrite, isBareErasure, keepsAfter } from './groupWrite.js';
import type { WritableLog } from './groupWrite.js';
import { checkReadRange, costOf } from './readRange.js';
import type {
  GroupWrite,
  NodeStore,
  RecordFile,
  SnapshotReader,
  SnapshotWriter,
  Storage,
} from './storage.js';

const TAIL_BYTES = 4 << 20;

/**
 * Keeps everything in memory: for tests, and for groups that can afford to lose a member's memory when its process ends. It has a
 * new incarnation with each call, so a member that restarts with a new one neither votes nor counts until it is admitted again.
 * The same object opened again after `close` still holds what it held.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ mesh, group: 'cache', stateMachine, storage: memoryStorage() });
 * ```
 */
export function memoryStorage(): Storage {
  return described(new MemoryStorage(), 'memoryStorage', []);
}

interface Content {
  readonly incarnation: string;
  readonly cluster: string;
  readonly node: string;
  readonly logs: Map<string, MemoryLog>;
  readonly snapshots: Map<string, MemorySnapshot>;
}

interface MemorySnapshot {
  readonly meta: SnapshotMeta;
  readonly content: Uint8Array;
}

class MemoryStorage implements Storage {
  readonly kind = 'memory';
  #content: Content | undefined;
  /** Apart from the rest: where the engine is in another thread the records are in the app's. */
  readonly #records = new Map<string, Uint8Array[]>();
  #open = false;

  // eslint-disable-next-line @typescript-eslint/require-await -- what is thrown must come as a rejection
  async open(binding: {
    readonly environment: Environment;
    readonly cluster: string;
    readonly node: string;
  }): Promise<NodeStore> {
    const { environment, cluster, node } = binding;
    checkName('cluster', cluster);
    checkName('node', node);
    if (this.#open) throw new QuorateError('ERR_STORAGE_LOCKED', 'this memory storage is open already');
    const incarnation = this.#content?.incarnation ?? randomId(environment);
    const content = (this.#content ??= {
      incarnation,
      cluster,
      node,
      logs: new Map(),
      snapshots: new Map(),
    });
    if (content.cluster !== cluster || content.node !== node) {
      const owner = `node ${content.node} of cluster ${content.cluster}`;
      throw new QuorateError(
        'ERR_STORAGE_FOREIGN',
        `this memory storage belongs to ${owner}, not to node ${node} of cluster ${cluster}`,
      );
    }
    this.#open = true;
    return new MemoryStore(content, () => (this.#open = false));
  }

  openRecords({ group }: { readonly group: string }): Promise<RecordFile> {
    return Promise.resolve(new MemoryRecords(this.#records, group));
  }
}

class MemoryRecords implements RecordFile {
  readonly records: readonly Uint8Array[];
  bytes = 0;
  readonly #held: Map<string, Uint8Array[]>;
  readonly #group: string;

  constructor(held: Map<string, Uint8Array[]>, group: string) {
    this.#held = held;
    this.#group = group;
    this.records = held.get(group) ?? [];
    this.#keep([...this.records]);
  }

  append(records: readonly Uint8Array[], _leaveRoom: boolean, done: (error?: Error) => void): void {
    this.#keep([...this.#held.get(this.#group)!, ...records]);
    done();
  }

  replace(records: readonly Uint8Array[], done: (error?: Error) => void): void {
    this.#keep([...records]);
    done();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #keep(records: Uint8Array[]): void {
    this.#held.set(this.#group, records);
    this.bytes = records.reduce((sum, record) => sum + record.length, 0);
  }
}

class MemoryStore implements NodeStore {
  readonly incarnation: string;
  readonly failed: Error | undefined = undefined;
  readonly #content: Content;
  readonly #writers = new Map<string, MemoryWriter>();
  readonly #release: () => void;
  #closed = false;

  constructor(content: Content, release: () => void) {
    this.incarnation = content.incarnation;
    this.#content = content;
    this.#release = release;
    // What was committed and not installed before the last close: the rule of a crash at that place applies.
    for (const [name, { meta }] of content.snapshots) {
      const log = this.#log(name);
      if (!keepsAfter(log, meta.index, meta.epoch)) log.reset(meta.index + 1);
    }
  }

  groups(): string[] {
    const { logs, snapshots } = this.#content;
    return [...new Set([...logs.keys(), ...snapshots.keys()])].sort();
  }

  recover(name: string): Promise<Recovered | undefined> {
    return this.#promise(() => {
      const { logs, snapshots } = this.#content;
      const snapshot = snapshots.get(name)?.meta;
      const log = logs.get(name);
      if (log !== undefined) return log.recover(snapshot);
      if (snapshot === undefined) return undefined;
      const lastIndex = snapshot.index;
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
    });
  }

  write(writes: readonly GroupWrite[], done: (error?: Error) => void): void {
    if (this.#closed) {
      done(closedError());
      return;
    }
    const { logs, snapshots } = this.#content;
    for (const write of writes) {
      const { group } = write;
      if (write.erase === true) {
        void this.#writers.get(group)?.abort();
        logs.delete(group);
        snapshots.delete(group);
        if (isBareErasure(write)) continue;
      }
      const known = logs.has(group);
      try {
        applyWrite(this.#log(group), write, snapshots.get(group)?.meta.index ?? 0);
      } catch (error) {
        if (!known) logs.delete(group);
        throw error;
      }
    }
    done();
  }

  read(name: string, from: Index, to: Index, maxBytes: number): Promise<Entry[]> {
    return this.#promise(() => {
      const log = this.#content.logs.get(name);
      if (log === undefined) throw new QuorateError('ERR_INTERNAL', `the storage holds no group ${name}`);
      checkReadRange(name, log.firstIndex, log.lastIndex, from, to);
      return log.read(from, to, maxBytes);
    });
  }

  createSnapshot(group: string): Promise<SnapshotWriter> {
    return this.#promise(() => {
      void this.#writers.get(group)?.abort();
      const writer = new MemoryWriter(group, this.#content.snapshots, () => this.#writers.delete(group));
      this.#writers.set(group, writer);
      return writer;
    });
  }

  openSnapshot(group: string): Promise<SnapshotReader | undefined> {
    return this.#promise(() => {
      const snapshot = this.#content.snapshots.get(group);
      return snapshot === undefined ? undefined : new MemoryReader(snapshot);
    });
  }

  logBytes(group: string): number {
    return this.#content.logs.get(group)?.bytes ?? 0;
  }

  headroom(): number {
    return Infinity;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const writer of this.#writers.values()) void writer.abort();
      this.#release();
    }
    return Promise.resolve();
  }

  #log(name: string): MemoryLog {
    let log = this.#content.logs.get(name);
    if (log === undefined) this.#content.logs.set(name, (log = new MemoryLog()));
    return log;
  }

  /** Runs something at once; what it throws comes as a rejection. */
  #promise<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (this.#closed) throw closedError();
      resolve(work());
    });
  }
}

class MemoryLog implements WritableLog {
  #entries: Entry[] = [];
  #hard: HardState | undefined;
  firstIndex: Index = 1;
  lastIndex: Index = 0;
  bytes = 0;

  epochAt(index: Index): Epoch {
    return this.#entries[this.#find(index)]!.epoch;
  }

  startOf(index: Index): Index {
    return this.#entries[this.#find(index)]!.index;
  }

  setHard(hard: HardState): void {
    this.#hard = hard;
  }

  truncate(from: Index): void {
    this.#forget(this.#entries.splice(this.#find(from)));
    this.lastIndex = from - 1;
  }

  reset(first: Index): void {
    this.#forget(this.#entries.splice(0));
    this.firstIndex = first;
    this.lastIndex = first - 1;
  }

  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#entries.push(entry);
      this.bytes += costOf(entry);
      this.lastIndex = lastOf(entry);
    }
  }

  compact(first: Index): void {
    const gone = first > this.lastIndex ? this.#entries.length : this.#find(first);
    this.#forget(this.#entries.splice(0, gone));
    this.firstIndex = first;
  }

  read(from: Index, to: Index, maxBytes: number): Entry[] {
    const start = this.#find(from);
    let end = start + 1;
    let bytes = costOf(this.#entries[start]!);
    while (end < this.#entries.length && lastOf(this.#entries[end]!) <= to) {
      bytes += costOf(this.#entries[end]!);
      if (bytes > maxBytes) break;
      end++;
    }
    return this.#entries.slice(start, end);
  }

  recover(snapshot: SnapshotMeta | undefined): Recovered {
    const entries = this.#entries;
    const runs: { from: Index; epoch: Epoch }[] = [];
    for (const { index, epoch } of entries) {
      if (runs.length === 0 || compareEpochs(runs.at(-1)!.epoch, epoch) !== 0)
        runs.push({ from: index, epoch });
    }
    let start = entries.length;
    let bytes = 0;
    while (start > 0 && (bytes += costOf(entries[start - 1]!)) <= TAIL_BYTES) start--;
    return {
      hard: this.#hard,
      snapshot,
      runs,
      firstIndex: this.firstIndex,
      lastIndex: this.lastIndex,
      lastTime: entries.at(-1)?.time ?? 0,
      configs: entries.filter(({ kind }) => kind === 'config'),
      tail: entries.slice(Math.min(start, Math.max(0, entries.length - 1))),
    };
  }

  #forget(entries: readonly Entry[]): void {
    for (const entry of entries) this.bytes -= costOf(entry);
  }

  /** The place of the entry that takes the index. */
  #find(index: Index): number {
    let low = 0;
    let high = this.#entries.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#entries[middle]!.index <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

class MemoryWriter implements SnapshotWriter {
  readonly #group: string;
  readonly #snapshots: Map<string, MemorySnapshot>;
  readonly #ending: () => void;
  #chunks: Uint8Array[] = [];
  #ended = false;

  constructor(group: string, snapshots: Map<string, MemorySnapshot>, ending: () => void) {
    this.#group = group;
    this.#snapshots = snapshots;
    this.#ending = ending;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#check();
    this.#chunks.push(chunk.slice());
  }

  async commit(meta: SnapshotMeta): Promise<void> {
    await this.#check();
    const chunks = this.#chunks;
    await this.abort();
    const newest = this.#snapshots.get(this.#group)?.meta.index ?? 0;
    if (meta.index < newest) {
      throw new QuorateError(
        'ERR_COMPACTED',
        `group ${this.#group} has a snapshot at ${newest}, newer than ${meta.index}`,
      );
    }
    this.#snapshots.set(this.#group, { meta, content: new Uint8Array(Buffer.concat(chunks)) });
  }

  abort(): Promise<void> {
    if (!this.#ended) {
      this.#ended = true;
      this.#chunks = [];
      this.#ending();
    }
    return Promise.resolve();
  }

  #check(): Promise<void> {
    if (!this.#ended) return Promise.resolve();
    return Promise.reject(
      new QuorateError('ERR_CLOSED', `this snapshot of group ${this.#group} was committed or discarded`),
    );
  }
}

class MemoryReader implements SnapshotReader {
  readonly #snapshot: MemorySnapshot;
  #closed = false;

  constructor(snapshot: MemorySnapshot) {
    this.#snapshot = snapshot;
  }

  get meta(): SnapshotMeta {
    return this.#snapshot.meta;
  }

  get size(): number {
    return this.#snapshot.content.length;
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    if (this.#closed) return Promise.reject(new QuorateError('ERR_CLOSED', 'this snapshot was closed'));
    return Promise.resolve(this.#snapshot.content.slice(offset, offset + length));
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }
}

function closedError(): QuorateError {
  return new QuorateError('ERR_CLOSED', 'this memory storage was closed');
}
