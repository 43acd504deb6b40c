/**
 * Whether a follower that lags gets the newest snapshot rather than the log it lacks, and which other members could send it one.
 * See docs/catching-up.md.
 */
import type { Index, NodeId } from '../consensus.js';
import type { Log } from '../log.js';
import type { Progress } from './progress.js';
import type { Peer } from './state.js';

/** The log that a follower lacks must be more than so many times the bytes of the snapshot and of what follows it. */
const FACTOR = 2;

/** What a leader knows of this node's newest snapshot. @internal */
export class SnapshotChoice {
  /** 0 while its size is not known: then nothing is chosen. */
  index: Index = 0;
  #bytes = 0;

  /** This node has a snapshot, of so many bytes if that is known. */
  compacted(index: Index, bytes: number | undefined): void {
    this.index = bytes === undefined ? 0 : index;
    this.#bytes = bytes ?? 0;
  }

  /**
   * Asked before each append. Whether the snapshot and what follows it are far fewer bytes than the log that a follower lacks. As long as that fits in its
   * window, it gets the log: that is under way sooner, and no disk is read for it.
   */
  isCheaper(progress: Progress, log: Log, windowBytes: number): boolean {
    if (progress.next > this.index && !progress.logOnly) return false;
    const missing = log.bytesAfter(progress.next - 1);
    if (missing <= windowBytes) progress.logOnly = false;
    if (progress.next > this.index) return false;
    return (
      missing > windowBytes &&
      !progress.logOnly &&
      missing > FACTOR * (this.#bytes + log.bytesAfter(this.index))
    );
  }
}

/** The members that keep up and hold the log up to `atLeast`: each may have a snapshot that will do. @internal */
export function snapshotSources(peers: ReadonlyMap<NodeId, Peer>, to: NodeId, atLeast: Index): NodeId[] {
  const sources: NodeId[] = [];
  for (const { id, up, witness, progress } of peers.values()) {
    if (id === to || !up || witness || progress?.state !== 'replicate') continue;
    if (progress.matched >= atLeast) sources.push(id);
  }
  return sources;
}
