/**
 * What Raft nodes say to each other, besides what leaders and followers of any core do (core/messages.ts). The names follow the
 * Raft paper.
 *
 * @internal
 */
import type { Index } from '../consensus.js';
import type * as core from '../core/messages.js';

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

export type Append = core.Append<number>;
export type Heartbeat = core.Heartbeat<number>;
export type Ack = core.Ack<number>;
export type TimeoutNow = core.TimeoutNow<number>;

/** Every message of the Raft core. */
export type RaftMessage =
  | Vote
  | VoteReply
  | Append
  | Heartbeat
  | Ack
  | core.Read
  | core.ReadReply
  | TimeoutNow
  | Quiet
  | QuietReply
  | Wake;
