/**
 * What Raft nodes say to each other. The names follow the Raft paper; `Heartbeat` and `Append` are the two halves of
 * AppendEntries, so that a heartbeat, which travels on another lane, never has to match a log position.
 *
 * @internal
 */
import type { Entry, Epoch, Index } from '../consensus.js';

/** A candidate asks for a vote; with `pre` it only asks whether it would get one (dissertation §9.6). */
export interface Vote {
  readonly type: 'vote';
  readonly pre: boolean;
  /** The term the candidate runs for; with `pre` that is its own term + 1. */
  readonly term: number;
  readonly lastIndex: Index;
  readonly lastTerm: number;
  /** The group's genesis if the candidate knows it, or empty. */
  readonly genesis: string;
  /** The incarnation that the candidate's log has on record for the receiver, or empty. */
  readonly recorded: string;
  /** The leader told the candidate to run: whoever hears that leader may vote all the same (§3.10). Never with `pre`. */
  readonly transfer: boolean;
}

/** The answer. It never leaves before the vote is on disk. */
export interface VoteReply {
  readonly type: 'voteReply';
  readonly pre: boolean;
  readonly granted: boolean;
  /** Granted: the term that was asked for. Refused: the term of who refuses, so that terms spread (openraft#1796). */
  readonly term: number;
  readonly genesis: string;
}

/** The leader's entries after `prevIndex`. Empty to find out where a follower stands. */
export interface Append {
  readonly type: 'append';
  readonly term: number;
  readonly prevIndex: Index;
  readonly prevEpoch: Epoch;
  readonly entries: readonly Entry[];
  /** The leader's commit index; holds for the receiver as far as it matches the leader. */
  readonly commit: Index;
}

/** "I lead." Small, always on the fast lane. */
export interface Heartbeat {
  readonly type: 'heartbeat';
  readonly term: number;
  /** Never above what the receiver has acknowledged. */
  readonly commit: Index;
  /** Comes back in the {@link Ack}; 0: no answer wanted. Rising within a reign. */
  readonly round: number;
  /** The genesis, told only to those that have acknowledged nothing yet; otherwise empty. */
  readonly genesis: string;
  /** For how many milliseconds from its arrival on the receiver should promise its vote to nobody else; 0: no promise wanted. */
  readonly promiseMs: number;
}

/** Where a follower's log departs from what an {@link Append} assumed. */
export interface Conflict {
  /** The `prevIndex` that did not match. */
  readonly prevIndex: Index;
  /** The follower's last index, at or before it, whose epoch is not newer than the one assumed there. */
  readonly index: Index;
  readonly epoch: Epoch;
}

/** A follower's answer to appends and heartbeats. */
export interface Ack {
  readonly type: 'ack';
  readonly term: number;
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
export interface TimeoutNow {
  readonly type: 'timeoutNow';
  readonly term: number;
}

/** The leader asks whether a member has nothing to do (`begins` false), or says that it will be silent from now on. */
export interface Quiet {
  readonly type: 'quiet';
  readonly term: number;
  /** All of the log: it is committed, and the receiver has acknowledged it. */
  readonly index: Index;
  /** Comes back in the {@link QuietReply}. */
  readonly attempt: number;
  readonly begins: boolean;
}

/** Whether a member stands where the leader stands and lacks nothing. */
export interface QuietReply {
  readonly type: 'quietReply';
  readonly term: number;
  readonly attempt: number;
  readonly ok: boolean;
}

/** A quiet member woke: the leader should let itself be heard. */
export interface Wake {
  readonly type: 'wake';
  readonly term: number;
}

/** Every message of the Raft core. */
export type RaftMessage =
  Vote | VoteReply | Append | Heartbeat | Ack | Read | ReadReply | TimeoutNow | Quiet | QuietReply | Wake;
