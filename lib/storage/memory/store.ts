/** What a node keeps in memory: the logs and the snapshots of its groups. */
import type { Entry, Index, Recovered } from '../../consensus/consensus.js';
import { QuorateError } from '../../errors.js';
import { applyWrite, isBareErasure, keepsAfter } from '../groupWrite.js';
import { checkReadRange } from '../readRange.js';
import type { GroupWrite, NodeStore, SnapshotReader, SnapshotWriter } from '../storage.js';
import { MemoryLog } from './log.js';
import { MemoryReader, MemoryWriter, type MemorySnapshot } from './snapshots.js';

/** What outlives a close. @internal */
export interface Content {
  readonly incarnation: string;
  readonly cluster: string;
  readonly node: string;
  readonly logs: Map<string, MemoryLog>;
  readonly snapshots: Map<string, MemorySnapshot>;
}

/** @internal */
export class MemoryStore implements NodeStore {
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

function closedError(): QuorateError {
  return new QuorateError('ERR_CLOSED', 'this memory storage was closed');
}
