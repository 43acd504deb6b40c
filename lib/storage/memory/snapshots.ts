/** Snapshots that are kept in memory. */
import type { SnapshotMeta } from '../../consensus/consensus.js';
import { QuorateError } from '../../errors.js';
import type { SnapshotReader, SnapshotWriter } from '../storage.js';

/** @internal */
export interface MemorySnapshot {
  readonly meta: SnapshotMeta;
  readonly content: Uint8Array;
}

/** @internal */
export class MemoryWriter implements SnapshotWriter {
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

/** @internal */
export class MemoryReader implements SnapshotReader {
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
