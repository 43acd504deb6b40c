/** What can be set on every core, and what it is set to otherwise. */

/** What `raft()` and `paxos()` have in common. */
export interface CoreOptions {
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
  /**
   * Lets a leader answer linearizable reads at once, without a round to a quorum, as long as enough voters have promised to
   * elect nobody else. It makes reads depend on clocks: see {@link LeaseOptions}. On a group's members alike; a follower whose
   * `electionTimeoutMs` is shorter than the promise wanted gives none, and reads then take a round as ever.
   *
   * @defaultValue false
   */
  readonly lease?: false | LeaseOptions;
  /**
   * How many voters decide (flexible quorums). It counts when the group is founded, and is part of its membership from then on: of
   * founders that name different ones, the first leader's hold.
   *
   * @defaultValue 'majority'
   */
  readonly quorums?: 'majority' | QuorumOptions;
}

/**
 * How many voters decide, in place of majorities: fewer to commit, so that commands wait for fewer disks, and more to elect; or the
 * other way round. See {@link CoreOptions.quorums}.
 */
export interface QuorumOptions {
  /**
   * How many voters hold a command before it counts as committed, the leader among them. As many also confirm reads, give promises
   * for a lease, and have to answer a leader that goes on leading. From 1 to the number of members. With fewer voters than that later, all of
   * them.
   */
  readonly commit: number;
  /**
   * How many voters elect a leader. More than half of the members, and together with `commit` more than all of them. With another
   * number of voters later it is as much above the least possible as it is at the founding.
   *
   * @defaultValue the least possible: members - commit + 1, or a majority where that is more
   */
  readonly election?: number;
}

/**
 * A leader's lease (Ongaro's dissertation, section 6.4.1). It is right as long as every member's monotonic clock runs at a rate
 * within `maxDrift` of true time, or stands still with the machine while the wall clock goes on, which is noticed.
 */
export interface LeaseOptions {
  /**
   * For how long a voter that heard a heartbeat promises to vote for nobody else, also after a restart, which waits as long
   * before it votes. In milliseconds, an integer from 1 to `electionTimeoutMs`.
   *
   * @defaultValue electionTimeoutMs
   */
  readonly promiseMs?: number;
  /**
   * By how much the rate of a member's clock may be off, as a share: 0.05 is 5 %. The lease is shorter than the promise by as much
   * as two such clocks can part. From 0 to 0.5.
   *
   * @defaultValue 0.05
   */
  readonly maxDrift?: number;
}

/** By how much clocks may be off where a lease does not say. */
export const DEFAULT_MAX_DRIFT = 0.05;

/** What leases come to: what followers are asked to promise, and for how long from the sending of that question a leader trusts it. */
export interface LeaseTerms {
  readonly promiseMs: number;
  readonly validMs: number;
}

/** Undefined: there are no leases. */
export function leaseTerms({ lease, electionTimeoutMs }: Required<CoreOptions>): LeaseTerms | undefined {
  if (lease === false) return undefined;
  const { promiseMs = electionTimeoutMs, maxDrift = DEFAULT_MAX_DRIFT } = lease;
  // The follower's clock may run as fast, and the leader's as slow, as is allowed.
  return { promiseMs, validMs: (promiseMs * (1 - maxDrift)) / (1 + maxDrift) };
}

/** The values that hold where an option is left out. */
export const coreDefaults: Required<CoreOptions> = {
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
  lease: false,
  quorums: 'majority',
};

/** The longest time-out of elections where it is left out, given the least. @internal */
export function maxElectionTimeoutFor({
  electionTimeoutMs = coreDefaults.electionTimeoutMs,
}: CoreOptions): number {
  return Math.max(coreDefaults.maxElectionTimeoutMs, electionTimeoutMs);
}
