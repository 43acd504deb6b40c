/** What the calls of a replica take, and what they tell: options, status, figures, events. */

import type { AutopilotStep } from '../consensus/autopilot.js';
import type { OutboxEntry, OutboxOutcome } from './outbox/outboxTypes.js';

/** What every call takes. */
export interface CallOptions {
  /** How long to wait, in milliseconds; from 1 to 2^31 - 1. The default is the replica's `timeout`. */
  readonly timeout?: number;
  /** Ends the call with an error named `AbortError`. A command that is under way may take effect all the same. */
  readonly signal?: AbortSignal;
}

/** What `compact` answers. */
export interface Compaction {
  /** The snapshot holds the state as it was after this index. */
  readonly index: number;
}

/** What `submit` takes. */
export interface SubmitOptions extends CallOptions {
  /**
   * Names the command, so that submitting it again, from any member and after any crash, takes effect once. 1 to 256
   * characters; remembered for an hour of the log's time. After an ambiguous error use `error.requestId`.
   */
  readonly requestId?: string;
}

/**
 * How fresh an answer must be. `linearizable`: as if there were one copy. `{ maxLagMs }`: shows everything that was committed
 * anywhere more than so many milliseconds before the call, from 1 to 2^31 - 1; answered from the local state where that is known
 * to be fresh enough, and otherwise like a linearizable read. `committed`: from the state that is applied here, which holds only
 * what is committed but may be old. `local`: the same, for now without a difference.
 */
export type Consistency = 'linearizable' | 'committed' | 'local' | { readonly maxLagMs: number };

/** What `query` takes. */
export interface QueryOptions extends CallOptions {
  /**
   * How fresh the answer must be.
   *
   * @defaultValue 'linearizable'
   */
  readonly consistency?: Consistency;
}

/** What `close` takes. */
export interface CloseOptions {
  /**
   * Wait for the commands that are in flight first; at most `timeout`.
   *
   * @defaultValue false
   */
  readonly drain?: boolean;
  /**
   * Hand the leadership over first, where this member leads and another voter could take over: the group then goes on without
   * an election time-out. Waits for an election time-out at the most.
   *
   * @defaultValue true
   */
  readonly handOver?: boolean;
  /**
   * How long closing waits for what comes first, each on its own. In milliseconds; from 1 to 2^31 - 1.
   *
   * @defaultValue 5000
   */
  readonly timeout?: number;
}

/** A member of the group. */
export interface MemberStatus {
  readonly id: string;
  readonly as: 'voter' | 'learner' | 'witness';
}

/** A change of the members. All of it takes effect at once. */
export interface MembersChange {
  /**
   * Who is to take part, from now on or in another way than now. A `voter` that is no member yet learns first; it counts when it
   * has caught up. A `learner` has the state and answers queries, but counts for no quorum. A `witness` votes and counts, but has no
   * state: see docs/witnesses.md.
   *
   * @defaultValue none; `as` is `'voter'`
   */
  readonly add?: readonly { readonly id: string; readonly as?: 'voter' | 'learner' | 'witness' }[];
  /** Who is to take part no longer. */
  readonly remove?: readonly string[];
}

/** How far a member is, as the leader sees it. */
export interface MemberProgress {
  readonly id: string;
  /**
   * `absent`: the leader has no link to it. `probe`: the leader finds out what it has. `replicate`: it is fed from the log.
   * `snapshot`: it needs a snapshot, or is getting one.
   */
  readonly state: 'absent' | 'probe' | 'replicate' | 'snapshot';
  /** Up to this index it has the log, durably; 0 when the leader does not know yet. */
  readonly matchedIndex: number;
  /** How many indexes it lacks. */
  readonly lag: number;
  /** For how many milliseconds it has not been heard; undefined when it never was by this leader. */
  readonly silentMs: number | undefined;
  /** How many bytes of a snapshot it was sent, and of how many; `total` is 0 where another member sends it. */
  readonly snapshot: { readonly sent: number; readonly total: number } | undefined;
}

/** What a change of the members takes. */
export interface ChangeMembersOptions extends CallOptions {
  /** Told how far the members are, a few times a second, until the change is done. If it throws, the call does, too. */
  readonly onProgress?: (members: readonly MemberProgress[]) => void;
}

/** Where a replica stands. */
export interface ReplicaStatus {
  readonly id: string;
  readonly group: string;
  /** `removed`: this node is no member any more; the replica closed itself. */
  readonly state: 'running' | 'closed' | 'failed' | 'removed';
  /** `learner`: it does not vote; also a voter that lost its storage and is not admitted again yet. */
  readonly role: 'leader' | 'candidate' | 'follower' | 'learner' | 'witness';
  /** The leader's id as far as this member knows, or undefined. */
  readonly leader: string | undefined;
  /** The number of the current reign: Raft's term. */
  readonly epoch: number;
  /** Leader: a quorum answers. Others: a leader is heard. */
  readonly quorum: boolean;
  /** Nothing happens in the group: it costs no messages and no timers until somebody wants something of it. */
  readonly quiet: boolean;
  /** The last index that this member knows to be committed. */
  readonly commitIndex: number;
  /** The last index that this member has applied. */
  readonly appliedIndex: number;
  readonly members: readonly MemberStatus[];
  /** How many voters hold what is committed, and how many elect a leader; by the newest membership that this member knows. */
  readonly quorums: { readonly commit: number; readonly election: number };
  /** Commands and reads of this replica that are not settled. */
  readonly pending: { readonly commands: number; readonly reads: number };
  /** How many commands wait in the outbox, and how many bytes they take. */
  readonly outbox: { readonly size: number; readonly bytes: number };
}

/**
 * Why a replica is over. `removed`: this node is no member of the group any more, and `members` are; what its storage holds of the
 * group stays, and the node can enter again with `join`.
 */
export type CloseReason =
  | { readonly type: 'closed' }
  | { readonly type: 'failed'; readonly error: Error }
  | { readonly type: 'removed'; readonly members: readonly string[] };

/** Figures of a replica since it was opened. */
export interface ReplicaMetrics {
  readonly submitted: number;
  readonly committed: number;
  readonly failed: number;
  readonly queries: number;
  readonly pendingCommands: number;
  readonly pendingReads: number;
  readonly leaderChanges: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
}

/** The events of a replica. */
export interface ReplicaEvents {
  /** This member's role changed. */
  'role:changed': [role: ReplicaStatus['role']];
  /** Another member leads, or nobody that is known (undefined). */
  'leader:changed': [leader: string | undefined];
  'members:changed': [members: readonly MemberStatus[]];
  /** Autopilot, which runs at the leader, has begun a change of the members. Told at the leader. */
  'autopilot:step': [step: AutopilotStep];
  /** No quorum answers any more: submits wait, or are rejected. */
  'quorum:lost': [];
  'quorum:regained': [];
  /** A command is in the outbox, durably: it will be sent. */
  'outbox:queued': [entry: OutboxEntry];
  /** A command of the outbox was applied; or it failed, with an error. Told whether or not anybody waits for it. */
  'outbox:replayed': [outcome: OutboxOutcome];
  /** A command of the outbox was sent, and whether it was applied cannot be learned. It stays in the outbox until it is cancelled. */
  'outbox:unknown': [outcome: OutboxOutcome];
  /** Nothing in the outbox waits any more: commands go straight to the log again. */
  'outbox:drained': [];
  /** This node was removed from the group, which has these members now. The replica closed itself: `closed` says the same. */
  'replica:removed': [members: readonly string[]];
  /** The replica stopped itself: `closed` says the same. */
  'replica:failed': [error: Error];
  /** Something that a person should look at, such as a peer whose group was founded apart. */
  warning: [error: Error];
}
