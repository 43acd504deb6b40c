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
   * How long a follower bears silence before it thinks of an election: a random time from this value to twice this value.
   * Also how long a leader keeps on without a quorum that answers, and how long a follower that hears a leader refuses
   * votes. In milliseconds, from 10 to 600 000.
   *
   * @defaultValue 300
   */
  readonly electionTimeoutMs?: number;
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
  /**
   * After how many milliseconds in which nothing was written or read the group goes quiet: it sends no heartbeats and waits for
   * none until somebody wants something of it. Then it wakes at once, but a quiet group notices the death of its leader only when
   * the mesh does. From 0 to 86 400 000, or `Infinity`: never. The group goes quiet when all members that are there agree.
   *
   * @defaultValue 5000
   */
  readonly quietAfterMs?: number;
}

/** The values that hold where an option is left out. */
export const raftDefaults: Required<RaftOptions> = {
  heartbeatMs: 50,
  electionTimeoutMs: 300,
  maxMessageBytes: 256 * 1024,
  maxInflightMessages: 64,
  maxInflightBytes: 8 * 1024 * 1024,
  maxUncommittedBytes: 64 * 1024 * 1024,
  cacheBytes: 32 * 1024 * 1024,
  maxPendingReads: 65_536,
  readmit: true,
  priority: 0,
  quietAfterMs: 5000,
};
