/**
 * The snapshots that this node sends. One whose transfer broke off stays open for a while, even when a newer one replaces it: the
 * receiver has a part of it, which only the same snapshot continues, and a group under load has a newer one soon.
 */
import type { Index, NodeId } from '../consensus/consensus.js';
import type { Timer } from '../environment.js';
import type { SnapshotReader } from '../storage/storage.js';
import type { Group } from './group.js';

const KEEP_MS = 60_000;
/** A snapshot that is open cannot be removed from the disk. */
const MAX_KEPT = 4;

interface Kept {
  readonly group: Group;
  readonly to: NodeId;
  readonly reader: SnapshotReader;
  readonly expiry: Timer;
}

export class SnapshotReaders {
  readonly #setTimer: (delayMs: number, callback: () => void) => Timer;
  /** The oldest first. */
  readonly #kept = new Set<Kept>();

  constructor(setTimer: (delayMs: number, callback: () => void) => Timer) {
    this.#setTimer = setTimer;
  }

  /** The snapshot of which a peer was sent a part, if it covers `atLeast`; else the newest, if that does. */
  async open(group: Group, to: NodeId, atLeast: Index): Promise<SnapshotReader | undefined> {
    for (const kept of this.#kept) {
      if (kept.group !== group || kept.to !== to) continue;
      this.#forget(kept);
      if (kept.reader.meta.index >= atLeast) return kept.reader;
      await kept.reader.close();
      break;
    }
    const reader = await group.store.openSnapshot(group.name);
    if (!reader || reader.meta.index >= atLeast) return reader;
    await reader.close();
    return undefined;
  }

  /** A transfer ended; `again`: it broke off, and may go on. */
  async close(group: Group, to: NodeId, reader: SnapshotReader, again: boolean): Promise<void> {
    if (!again || group.over) return reader.close();
    const expiry = this.#setTimer(KEEP_MS, () => this.#drop(kept));
    const kept: Kept = { group, to, reader, expiry };
    for (const other of this.#kept) if (other.group === group && other.to === to) this.#drop(other);
    this.#kept.add(kept);
    const [oldest] = this.#kept;
    if (this.#kept.size > MAX_KEPT) this.#drop(oldest!);
  }

  /** A group is over. */
  ended(group: Group): void {
    for (const kept of this.#kept) if (kept.group === group) this.#drop(kept);
  }

  #drop(kept: Kept): void {
    this.#forget(kept);
    kept.reader.close().catch(() => undefined); // the storage is closed, or has failed and says so itself
  }

  #forget(kept: Kept): void {
    this.#kept.delete(kept);
    kept.expiry.cancel();
  }
}

/** What a snapshot says of itself, without the state. */
export function bareSnapshot(whole: SnapshotReader): SnapshotReader {
  return {
    meta: whole.meta,
    size: 0,
    read: () => Promise.resolve(new Uint8Array(0)),
    close: () => whole.close(),
  };
}
