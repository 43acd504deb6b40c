/** What the app sees of the part of a store that is on its own node. */
import type { StoreContext } from '../causality/context.js';
import type { HybridTimestamp } from '../causality/hybridClock.js';

/** What a key holds. */
export interface StoreEntry<V> {
  /** Undefined where the key was never written, or was deleted. */
  readonly value: V | undefined;
  /** To be given to a write that replaces what was read, and nothing else. */
  readonly context: StoreContext;
  /** How many versions stand beside each other, deletions among them; 0 for a key that nothing is known of. */
  readonly versions: number;
}

/** Options of a write. */
export interface WriteOptions {
  /**
   * What the writer has seen, as {@link StoreEntry} has it: that is replaced; what was written meanwhile stays beside it.
   *
   * @defaultValue nothing for `siblings` and `custom`, whatever this node holds for `lww` and for deletions
   */
  readonly context?: StoreContext | undefined;
}

/** Options of a listing. */
export interface ListOptions {
  /** Only keys that begin with it. @defaultValue '' */
  readonly prefix?: string | undefined;
  /** Only keys after this one. */
  readonly after?: string | undefined;
  /** The most keys, from 1 to 100,000. @defaultValue 1000 */
  readonly limit?: number | undefined;
}

/** Options of watching. */
export interface WatchOptions {
  /** Only keys that begin with it. @defaultValue '' */
  readonly prefix?: string | undefined;
  /** Ends the iteration. */
  readonly signal?: AbortSignal | undefined;
}

/** A key that changed, and what it holds now: undefined where it was deleted. */
export interface StoreChange<V> {
  readonly key: string;
  readonly value: V | undefined;
}

/** A version that a conflict was between. */
export interface ConflictVersion {
  /** Undefined for a deletion. */
  readonly value: unknown;
  readonly stamp: HybridTimestamp;
  /** The node that wrote it. */
  readonly node: string;
}

/** Writes that did not know of each other, where one alone is kept. Each member that meets them tells. */
export interface StoreConflict {
  readonly key: string;
  readonly winner: ConflictVersion;
  readonly losers: readonly ConflictVersion[];
}

/** Where a store stands on this node. */
export interface LocalStatus {
  /** Keys that are held, deleted ones that are remembered among them. */
  readonly keys: number;
  readonly bytes: number;
  /** The name under which this node writes: another one for each disk that it had. */
  readonly actor: string;
  /** The hash of all that is held, in hexadecimal: equal on members that hold the same. */
  readonly root: string;
}

/** What the part of a store on this node tells. */
export interface LocalStoreEvents {
  /** Versions were dropped for a newer one whose writer did not know of them (`lww`). */
  conflict: [StoreConflict];
  /** A timestamp is further ahead of this machine's clock than `maxClockOffsetMs`: some clock is wrong. It is taken, but not followed. */
  'clock:ahead': [{ readonly timestamp: HybridTimestamp; readonly aheadMs: number }];
  /** Others know writes of this node that its disk does not: it was put back to an earlier state. */
  'disk:rolled-back': [{ readonly before: string; readonly after: string }];
  /** The disk failed; the store takes nothing any more. */
  failed: [Error];
}
