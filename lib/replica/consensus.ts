/** The protocols that `consensus` can name, with their options checked. */
import { completePaxosOptions } from '../consensus/paxos/options.js';
import { createPaxosProtocol } from '../consensus/paxos/paxos.js';
import { completeRaftOptions } from '../consensus/raft/options.js';
import { createRaftProtocol } from '../consensus/raft/raft.js';
import type { QuorumOptions } from '../consensus/core/options.js';
import type { PaxosOptions } from '../consensus/paxos/options.js';
import type { RaftOptions } from '../consensus/raft/options.js';
import { described } from '../description.js';
import type { WiredProtocol } from '../engine/codec.js';
import { paxosCodec } from '../engine/paxosCodec.js';
import { raftCodec } from '../engine/raftCodec.js';
import { checkNumber } from '../errors.js';
import { checkCoreOptions, checkQuorumsOf } from './coreChecks.js';

/** A consensus protocol with its options, as {@link raft} and {@link paxos} make it. */
export interface ConsensusOption {
  readonly name: string;
  /** @internal */
  readonly wired: WiredProtocol;
  /** Whether members can take part without data. @defaultValue true @internal */
  readonly witnesses?: boolean;
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
  const merged = completeRaftOptions(options);
  checkCoreOptions('raft', merged);
  if (merged.quietAfterMs !== Infinity) checkNumber('raft.quietAfterMs', merged.quietAfterMs, 0, 86_400_000);
  const protocol = createRaftProtocol(merged);
  const wired: unknown = described({ protocol, codec: raftCodec }, 'raft', [merged]);
  return optionOf('raft', wired, merged.quorums);
}

/**
 * Multi-Paxos over a log without gaps (Lamport; Sequence Paxos and ballot leader election of Omni-Paxos, EuroSys 2023), with the
 * guarantees of {@link raft} through the same interface: read indexes, leases, flexible quorums, transfer of the leadership, changes of
 * the members by stop-signs. Any voter that is linked with enough others can lead, whatever its log and whoever hears whom; so a
 * group goes on in partial partitions in which Raft stands still. There are no witnesses, and a group never goes quiet.
 *
 * All members of a group use the same protocol: one that uses another is refused on contact. Throws `ERR_CONFIG` for an option that
 * is out of range, or two that contradict each other; so does an opening `as: 'witness'`.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ ...options, consensus: paxos({ electionTimeoutMs: 500, heartbeatMs: 100 }) });
 * ```
 */
export function paxos(options: PaxosOptions = {}): ConsensusOption {
  const merged = completePaxosOptions(options);
  checkCoreOptions('paxos', merged);
  const protocol = createPaxosProtocol(merged);
  const wired: unknown = described({ protocol, codec: paxosCodec }, 'paxos', [merged]);
  return { ...optionOf('paxos', wired, merged.quorums), witnesses: false };
}

/** Outside the protocol nobody looks into a message: they pass from the codec to the core and back. */
function optionOf(
  name: 'raft' | 'paxos',
  wired: unknown,
  quorums: 'majority' | QuorumOptions,
): ConsensusOption {
  return {
    name,
    wired: wired as WiredProtocol,
    checkFounders: (count) => checkQuorumsOf(name, count, quorums),
  };
}
