/**
 * What Paxos nodes say to each other, besides what leaders and followers of any core do (core/messages.ts), where `term` is the
 * ballot. The names follow Sequence Paxos; its AcceptSync, AcceptDecide and Accepted are `append` and `ack`, its Decide is a
 * `heartbeat`.
 *
 * @internal
 */
import type { Entry, Epoch, Index } from '../consensus.js';
import type * as core from '../core/messages.js';

/** A candidate asks to accept nothing of older ballots any more. */
export interface Prepare {
  readonly type: 'prepare';
  readonly term: Epoch;
  /** The group's genesis if the candidate knows it, or empty. */
  readonly genesis: string;
  /**
   * The ballot of the leader that told the candidate to take over: who promised that leader, and none since, to hear nobody else may
   * hear this one (dissertation §3.10).
   */
  readonly chosenBy: Epoch | undefined;
}

/** The answer. It never leaves before the promise is on disk. */
export interface Promise {
  readonly type: 'promise';
  readonly granted: boolean;
  /** Granted: the ballot that was asked for. Refused: the ballot of who refuses. */
  readonly term: Epoch;
  /** Of the log of who promises: the epoch of its last entry, its last index, and up to where it knows it committed. */
  readonly lastEpoch: Epoch;
  readonly lastIndex: Index;
  readonly commit: Index;
  readonly genesis: string;
}

/** "What do you have after this?" A candidate asks one that promised; a node of an older configuration asks for what is committed. */
export interface Fetch {
  readonly type: 'fetch';
  /** Comes back in the {@link Suffix}. With `whole` the ballot that was promised. */
  readonly term: Epoch;
  /** All of the log, otherwise what is committed. */
  readonly whole: boolean;
  readonly prevIndex: Index;
  readonly prevEpoch: Epoch;
}

/** The answer. */
export interface Suffix {
  readonly type: 'suffix';
  readonly term: Epoch;
  readonly whole: boolean;
  readonly prevIndex: Index;
  readonly prevEpoch: Epoch;
  readonly entries: readonly Entry[];
  /** Up to here the log of who answers is committed. */
  readonly commit: Index;
  /** The logs part before `prevIndex`. */
  readonly conflict: core.Conflict | undefined;
}

/** Ballot leader election: who is there? */
export interface Ping {
  readonly type: 'ping';
  readonly round: number;
}

/** The answer. */
export interface Pong {
  readonly type: 'pong';
  readonly round: number;
  /** The number of the configuration in force. */
  readonly config: number;
  /** The own ballot, if this node ever took over, and that of its leader. */
  readonly ballot: Epoch;
  readonly leader: Epoch;
  /** It is content with its leader. */
  readonly happy: boolean;
}

export type Append = core.Append<Epoch>;
export type Heartbeat = core.Heartbeat<Epoch>;
export type Ack = core.Ack<Epoch>;
export type TimeoutNow = core.TimeoutNow<Epoch>;

/** Every message of the Paxos core. */
export type PaxosMessage =
  | Prepare
  | Promise
  | Fetch
  | Suffix
  | Ping
  | Pong
  | Append
  | Heartbeat
  | Ack
  | core.Read
  | core.ReadReply
  | TimeoutNow;
