/** The protocols that `consensus` can name, with their options checked. */
import { createRaftProtocol } from '../consensus/raft/raft.js';
import { raftDefaults, type RaftOptions } from '../consensus/raft/options.js';
import { described } from '../description.js';
import type { WiredProtocol } from '../engine/codec.js';
import { raftCodec } from '../engine/raftCodec.js';
import { MAX_PRIORITY } from '../engine/wire.js';
import { checkNumber, configError, QuorateError } from '../errors.js';

/** A consensus protocol with its options, as {@link raft} makes it. */
export interface ConsensusOption {
  readonly name: string;
  /** @internal */
  readonly wired: WiredProtocol;
}

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/**
 * Raft (Ongaro and Ousterhout 2014; Ongaro's dissertation), with pre-vote, check-quorum, read indexes and
 * transfer of the leadership.
 *
 * Throws `ERR_CONFIG` for an option that is out of range, or two that contradict each other.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ ...options, consensus: raft({ electionTimeoutMs: 1000, heartbeatMs: 100 }) });
 * ```
 */
export function raft(options: RaftOptions = {}): ConsensusOption {
  const merged = { ...raftDefaults, ...options };
  checkNumber('raft.heartbeatMs', merged.heartbeatMs, 1, 60_000);
  checkNumber('raft.electionTimeoutMs', merged.electionTimeoutMs, 10, 600_000);
  checkNumber('raft.maxMessageBytes', merged.maxMessageBytes, 1024, 16 * MIB);
  checkNumber('raft.maxInflightMessages', merged.maxInflightMessages, 1, 4096);
  checkNumber('raft.maxInflightBytes', merged.maxInflightBytes, 1024, GIB);
  checkNumber('raft.maxUncommittedBytes', merged.maxUncommittedBytes, 1024, GIB);
  checkNumber('raft.cacheBytes', merged.cacheBytes, 0, 4 * GIB);
  checkNumber('raft.maxPendingReads', merged.maxPendingReads, 1, 1_048_576);
  checkNumber('raft.priority', merged.priority, 0, MAX_PRIORITY);
  if (typeof merged.readmit !== 'boolean') throw configError('raft.readmit', merged.readmit, 'true or false');
  atMost(
    'raft.heartbeatMs',
    merged.heartbeatMs,
    'half of raft.electionTimeoutMs',
    merged.electionTimeoutMs / 2,
  );
  atMost('raft.maxMessageBytes', merged.maxMessageBytes, 'raft.maxInflightBytes', merged.maxInflightBytes);
  atMost(
    'raft.maxMessageBytes',
    merged.maxMessageBytes,
    'raft.maxUncommittedBytes',
    merged.maxUncommittedBytes,
  );
  const wired: unknown = described({ protocol: createRaftProtocol(merged), codec: raftCodec }, 'raft', [
    merged,
  ]);
  // Outside the protocol nobody looks into a message: they pass from the codec to the core and back.
  return { name: 'raft', wired: wired as WiredProtocol };
}

function atMost(name: string, value: number, other: string, limit: number): void {
  if (value > limit)
    throw new QuorateError('ERR_CONFIG', `${name} must be at most ${other} (${limit}), got ${value}`);
}
