/** The protocols that `consensus` can name, with their options checked. */
import { createRaftProtocol } from '../consensus/raft/raft.js';
import type { RaftOptions } from '../consensus/raft/options.js';
import { described } from '../description.js';
import type { WiredProtocol } from '../engine/codec.js';
import { raftCodec } from '../engine/raftCodec.js';
import { checkQuorumsOf, checkRaftOptions } from './raftChecks.js';

/** A consensus protocol with its options, as {@link raft} makes it. */
export interface ConsensusOption {
  readonly name: string;
  /** @internal */
  readonly wired: WiredProtocol;
  /** Throws ERR_CONFIG when so many founders cannot do with the options. @internal */
  readonly checkFounders?: (count: number) => void;
}

/**
 * Raft (Ongaro and Ousterhout 2014; Ongaro's dissertation), with pre-vote, check-quorum, read indexes, leases, flexible quorums
 * and transfer of the leadership.
 *
 * Throws `ERR_CONFIG` for an option that is out of range, or two that contradict each other.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ ...options, consensus: raft({ electionTimeoutMs: 500, heartbeatMs: 100 }) });
 * ```
 */
export function raft(options: RaftOptions = {}): ConsensusOption {
  const merged = checkRaftOptions(options);
  const wired: unknown = described({ protocol: createRaftProtocol(merged), codec: raftCodec }, 'raft', [
    merged,
  ]);
  // Outside the protocol nobody looks into a message: they pass from the codec to the core and back.
  return {
    name: 'raft',
    wired: wired as WiredProtocol,
    checkFounders: (count) => checkQuorumsOf(count, merged.quorums),
  };
}
