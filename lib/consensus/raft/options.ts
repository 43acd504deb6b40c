/** What can be set on the Raft core, and what it is set to otherwise. */

/** Options of the Raft protocol, `raft()`. */
export interface RaftOptions {
  /**
   * How often a leader lets itself be heard, in milliseconds. From 1 to 60 000, and at most half of `electionTimeoutMs`.
   *
   * @defaultValue 50
   */
  readonly heartbeatMs?: number;
  /**
   * How long a follower bears silence at least before it thinks of an election; a random time of up to a third of it comes on top.
   * Also how long a leader keeps on without a quorum that answers, and how long a follower that hears a leader refuses
   * votes. Where the path or the leader is irregular it is longer, up to `maxElectionTimeoutMs`. In milliseconds, from 10 to
   * 600 000.
   *
   * @defaultValue 300
   */
  readonly electionTimeoutMs?: number;
  /**
   * The longest that the time-out of elections gets by what is measured: how irregular the leader's heartbeats come, how
   * long the round trip takes, and the stalls that the leader announces (Hayashibara et al., "The φ accrual failure detector",
   * 2004). Equal to `electionTimeoutMs` for a fixed time-out. In milliseconds, from `electionTimeoutMs` to 600 000.
   *
   * @defaultValue 2000, or `electionTimeoutMs` if that is more
   */
  readonly maxElectionTimeoutMs?: number;
  /**
   * How long a leader's disk may take over a write. Beyond it the leader hands over to another member, or steps down, and does not
   * run for the leadership until its disk has answered. In milliseconds, from 10 to 600 000; 0: it never gives way.
   *
   * @defaultValue 2000
   */
  readonly diskStallMs?: number;
  /**
   * How many bytes of entries travel in one message; a single entry may be larger. From 1024 to 16 MiB.
   *
   * @defaultValue 262144 (256 KiB)
   */
  readonly maxMessageBytes?: number;
  /**
   * How many appends may be under way to one follower. From 1 to 4096.
   *
   * @defaultValue 64
   */
  readonly maxInflightMessages?: number;
  /**
   * How many bytes of entries may be under way to one follower; at least `maxMessageBytes`, at most 1 GiB.
   *
   * @defaultValue 8388608 (8 MiB)
   */
  readonly maxInflightBytes?: number;
  /**
   * How many bytes of entries a leader takes in that no quorum holds yet; beyond it proposals are refused. At least
   * `maxMessageBytes`, at most 1 GiB.
   *
   * @defaultValue 67108864 (64 MiB)
   */
  readonly maxUncommittedBytes?: number;
  /**
   * How many bytes of the newest entries stay in memory. Entries that are not committed yet always stay and may exceed it.
   * From 0 to 4 GiB.
   *
   * @defaultValue 33554432 (32 MiB)
   */
  readonly cacheBytes?: number;
  /**
   * How many reads may wait for an answer at one node; beyond it reads are refused. From 1 to 1 048 576.
   *
   * @defaultValue 65536
   */
  readonly maxPendingReads?: number;
  /**
   * Whether a voter that comes back with another storage (its disk was lost, or it keeps everything in memory) is admitted again
   * by itself, once it has caught up. Otherwise it learns, and counts only after it was removed and added again.
   *
   * @defaultValue true
   */
  readonly readmit?: boolean;
  /**
   * How much this node would like to lead, compared with the others: an integer from 0 to 100. A leader hands the leadership
   * to a voter with a higher priority once that one has been linked and caught up for ten election time-outs on end. It does
   * not decide elections, and each node has its own.
   *
   * @defaultValue 0
   */
  readonly priority?: number;
}

/** The values that hold where an option is left out. */
export const raftDefaults: Required<RaftOptions> = {
  heartbeatMs: 50,
  electionTimeoutMs: 300,
  maxElectionTimeoutMs: 2000,
  diskStallMs: 2000,
  maxMessageBytes: 256 * 1024,
  maxInflightMessages: 64,
  maxInflightBytes: 8 * 1024 * 1024,
  maxUncommittedBytes: 64 * 1024 * 1024,
  cacheBytes: 32 * 1024 * 1024,
  maxPendingReads: 65_536,
  readmit: true,
  priority: 0,
};

/** The options with nothing left out; none is checked. @internal */
export function completeRaftOptions(options: RaftOptions): Required<RaftOptions> {
  const { electionTimeoutMs = raftDefaults.electionTimeoutMs } = options;
  const maxElectionTimeoutMs = Math.max(raftDefaults.maxElectionTimeoutMs, electionTimeoutMs);
  return { ...raftDefaults, maxElectionTimeoutMs, ...options };
}
