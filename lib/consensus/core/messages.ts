/**
 * What leaders and followers say to each other, in Raft and in Paxos alike. `T` tells reigns apart: Raft's term, Paxos's ballot;
 * it is called `term` in both. `Heartbeat` and `Append` are the two halves of Raft's AppendEntries, so that a heartbeat, which
 * travels on another lane, never has to match a log position.
 *
 * @internal
 */
import type { Entry, Epoch, Index } from '../consensus.js';

/** The leader's entries after `prevIndex`. Empty to find out where a follower stands. */
export interface Append<T = unknown> {
  readonly type: 'append';
  readonly term: T;
  readonly prevIndex: Index;
  readonly prevEpoch: Epoch;
  readonly entries: readonly Entry[];
  /** The leader's commit index; holds for the receiver as far as it matches the leader. */
  readonly commit: Index;
}

/** "I lead." Small, always on the fast lane. */
export interface Heartbeat<T = unknown> {
  readonly type: 'heartbeat';
  readonly term: T;
  /** Never above what the receiver has acknowledged. */
  readonly commit: Index;
  /** Comes back in the {@link Ack}; 0: no answer wanted. Rising within a reign. */
  readonly round: number;
  /** The genesis, told only to those that have acknowledged nothing yet; otherwise empty. */
  readonly genesis: string;
  /** For how many milliseconds from its arrival on the receiver should promise its vote to nobody else; 0: no promise wanted. */
  readonly promiseMs: number;
}

/** Where a log departs from what was assumed of it, as in an {@link Append}. */
export interface Conflict {
  /** The `prevIndex` that did not match. */
  readonly prevIndex: Index;
  /** The last index here, at or before it, whose epoch is not newer than the one assumed there. */
  readonly index: Index;
  readonly epoch: Epoch;
}

/** A follower's answer to appends and heartbeats. */
export interface Ack<T = unknown> {
  readonly type: 'ack';
  readonly term: T;
  /** Up to here the follower's disk agrees with the leader of `term`. */
  readonly matched: Index;
  /** The newest heartbeat round that was seen. */
  readonly round: number;
  /** The promise that this round asked for was given when it arrived, and is kept after a restart. */
  readonly promised: boolean;
  readonly conflict: Conflict | undefined;
}

/** A follower asks for a read index (dissertation §6.4), for all reads of one turn. */
export interface Read {
  readonly type: 'read';
  readonly batch: number;
}

/** The answer; `index` 0: this node cannot tell, ask again. */
export interface ReadReply {
  readonly type: 'readReply';
  readonly batch: number;
  readonly index: Index;
}

/** The leader of `term` to one that has all of its log: campaign at once (dissertation §3.10). */
export interface TimeoutNow<T = unknown> {
  readonly type: 'timeoutNow';
  readonly term: T;
}
