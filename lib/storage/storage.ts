/** What a storage gives to the engine of a node: one log and one flush for all groups, and their snapshots. */
import type { Entry, HardState, Index, Recovered, SnapshotMeta } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';

/** What `diskStorage()` and `memoryStorage()` return and `openReplica` takes. One serves all groups of a node. */
export interface Storage {
  readonly kind: string;
  /**
   * Opens it for a node. A storage is bound to the first cluster and node that open it.
   *
   * Throws `ERR_STORAGE_LOCKED`, `ERR_STORAGE_FOREIGN`, `ERR_STORAGE_CORRUPT` (naming file and offset) and `ERR_STORAGE_VERSION`.
   */
  open(binding: {
    readonly environment: Environment;
    readonly cluster: string;
    readonly node: string;
  }): Promise<NodeStore>;
  /**
   * Opens the short list of records that a group keeps beside its log, such as its outbox; makes it if need be. Called while the
   * storage is open for that node, once at a time for a group. A storage without it serves no `onNoQuorum: 'queue'`.
   *
   * Throws `ERR_STORAGE_CORRUPT` (naming file and offset), `ERR_STORAGE_FOREIGN`, `ERR_STORAGE_VERSION` and `ERR_STORAGE_FAILED`.
   */
  openRecords?(setup: { readonly environment: Environment; readonly group: string }): Promise<RecordFile>;
}

/** A short list of records in the order in which they were appended, held apart from the log. */
export interface RecordFile {
  /** What it held when it was opened. */
  readonly records: readonly Uint8Array[];
  /** How many bytes it takes, with what is queued. */
  readonly bytes: number;
  /**
   * Queues records; `done` is called in order, once they are durable or have failed. What comes in one call is there after a crash
   * together or not at all. With `leaveRoom` they are refused with `ERR_STORAGE_FULL`, and nothing of them is written, when little
   * space is left. Any other failure is the last: nobody knows what is on the medium, and all that follows fails too.
   */
  append(records: readonly Uint8Array[], leaveRoom: boolean, done: (error?: Error) => void): void;
  /** Queues that all that was queued before gives way to these records, at once and durably; does nothing for want of space. */
  replace(records: readonly Uint8Array[], done: (error?: Error) => void): void;
  /** Writes what is queued and lets go of the file. */
  close(): Promise<void>;
}

/** What one group wants written; all of it becomes durable together or not at all. */
export interface GroupWrite {
  readonly group: string;
  readonly hard?: HardState | undefined;
  /** Remove entries from this index on first. */
  readonly truncateFrom?: Index | undefined;
  /** Contiguous; after truncation the first has the index after the last one held. */
  readonly entries?: readonly Entry[] | undefined;
  /**
   * The log begins anew after this snapshot, which was committed by a {@link SnapshotWriter} before. Entries after it
   * are kept when the entry at `install.index` has the epoch `install.epoch`, and are dropped otherwise.
   */
  readonly install?: SnapshotMeta | undefined;
  /** Entries up to and including this index are no longer needed; a snapshot covers them. */
  readonly compactTo?: Index | undefined;
  /** Forget the group altogether. */
  readonly erase?: boolean | undefined;
}

/** An open storage. */
export interface NodeStore {
  /** Random, made when the storage was first opened, kept for its life. */
  readonly incarnation: string;
  /** Names of the groups it holds. */
  groups(): string[];
  /** What it holds of a group; undefined when it holds nothing. Call it once, before the first write to that group. */
  recover(group: string): Promise<Recovered | undefined>;
  /**
   * Queues the writes of a turn as one batch; `done` is called in order, once the batch is durable or has failed.
   * What arrives while a flush is under way goes with the next one. `done` may be called before this returns.
   */
  write(writes: readonly GroupWrite[], done: (error?: Error) => void): void;
  /** Entries from `from` up to `to`: whole entries, at least one, then as many as `maxBytes` allows. Throws ERR_COMPACTED. */
  read(group: string, from: Index, to: Index, maxBytes: number): Promise<Entry[]>;
  /** Begins a snapshot; only one at a time for a group, a second call discards the first. */
  createSnapshot(group: string): Promise<SnapshotWriter>;
  /** The newest committed snapshot. It stays readable until closed, even when a newer one replaces it. */
  openSnapshot(group: string): Promise<SnapshotReader | undefined>;
  /** Bytes of this group's entries that the log holds. */
  logBytes(group: string): number;
  /** Bytes that may be written before proposals have to be refused; Infinity in memory. Cheap: a cached figure. */
  headroom(): number;
  /** Set once a write or flush failed: the storage is poisoned and must be opened anew. */
  readonly failed: Error | undefined;
  /** Flushes what is queued and releases the lock. */
  close(): Promise<void>;
}

/** Writes a snapshot beside the current one. */
export interface SnapshotWriter {
  /** Appends; the chunk may be changed once the promise has resolved. */
  write(chunk: Uint8Array): Promise<void>;
  /** Makes it durable and the current one, atomically. */
  commit(meta: SnapshotMeta): Promise<void>;
  /** Removes what was written. */
  abort(): Promise<void>;
}

/** Reads a snapshot. */
export interface SnapshotReader {
  readonly meta: SnapshotMeta;
  /** Bytes of content. */
  readonly size: number;
  /** Up to `length` bytes at `offset`; checked against the snapshot's checksum as far as can be, ERR_STORAGE_CORRUPT otherwise. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Releases it; a snapshot that was replaced meanwhile can then be removed. */
  close(): Promise<void>;
}
