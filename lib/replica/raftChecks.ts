/** What `raft()` takes, checked before anything runs: each option for itself, then every two that can contradict each other. */
import { leaseTerms, type LeaseOptions, type QuorumOptions } from '../consensus/core/options.js';
import { completeRaftOptions, type RaftOptions } from '../consensus/raft/options.js';
import { maxMembers } from '../consensus/membership.js';
import { electionSize } from '../consensus/quorum.js';
import { MAX_PRIORITY } from '../engine/wire.js';
import { checkNumber, configError, QuorateError } from '../errors.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

type Complete = Required<RaftOptions>;

/** Two values that cannot both hold. */
interface Conflict {
  /** The options, by name. */
  readonly between: readonly [string, string];
  /** What is wrong with the options; undefined: nothing. */
  readonly found: (options: Complete) => readonly [value: number, rule: string, limit: number] | undefined;
}

/** Every pair of options that can contradict each other. @internal */
export const raftConflicts: readonly Conflict[] = [
  {
    between: ['heartbeatMs', 'electionTimeoutMs'],
    // A single heartbeat that is lost must not make an election.
    found: ({ heartbeatMs, electionTimeoutMs }) =>
      atMost(heartbeatMs, electionTimeoutMs / 2, 'at most half of', electionTimeoutMs),
  },
  {
    between: ['electionTimeoutMs', 'maxElectionTimeoutMs'],
    found: ({ electionTimeoutMs, maxElectionTimeoutMs }) => atMost(electionTimeoutMs, maxElectionTimeoutMs),
  },
  {
    between: ['maxMessageBytes', 'maxInflightBytes'],
    found: ({ maxMessageBytes, maxInflightBytes }) => atMost(maxMessageBytes, maxInflightBytes),
  },
  {
    between: ['maxMessageBytes', 'maxUncommittedBytes'],
    found: ({ maxMessageBytes, maxUncommittedBytes }) => atMost(maxMessageBytes, maxUncommittedBytes),
  },
  {
    between: ['lease.promiseMs', 'electionTimeoutMs'],
    // Who promises for longer than it waits for a leader would delay elections.
    found: (options) => {
      const terms = leaseTerms(options);
      return terms && atMost(terms.promiseMs, options.electionTimeoutMs);
    },
  },
  {
    between: ['heartbeatMs', 'lease.promiseMs'],
    // Each heartbeat renews the lease: where it comes later than the lease runs, there is none most of the time.
    found: (options) => {
      const terms = leaseTerms(options);
      if (terms === undefined || options.heartbeatMs < terms.validMs) return undefined;
      const rule = `less than what raft.lease.maxDrift leaves (${Math.floor(terms.validMs)} ms) of`;
      return [options.heartbeatMs, rule, terms.promiseMs];
    },
  },
];

function atMost(
  value: number,
  limit: number,
  rule = 'at most',
  shown = limit,
): ReturnType<Conflict['found']> {
  return value > limit ? [value, rule, shown] : undefined;
}

/** Throws ERR_CONFIG naming the option that is out of range, or the two that contradict each other. @internal */
export function checkRaftOptions(options: RaftOptions): Complete {
  const merged: Complete = completeRaftOptions(options);
  checkNumber('raft.heartbeatMs', merged.heartbeatMs, 1, 60_000);
  checkNumber('raft.electionTimeoutMs', merged.electionTimeoutMs, 10, 600_000);
  checkNumber('raft.maxElectionTimeoutMs', merged.maxElectionTimeoutMs, 10, 600_000);
  checkNumber('raft.maxMessageBytes', merged.maxMessageBytes, 1024, 16 * MIB);
  checkNumber('raft.maxInflightMessages', merged.maxInflightMessages, 1, 4096);
  checkNumber('raft.maxInflightBytes', merged.maxInflightBytes, 1024, GIB);
  checkNumber('raft.maxUncommittedBytes', merged.maxUncommittedBytes, 1024, GIB);
  checkNumber('raft.cacheBytes', merged.cacheBytes, 0, 4 * GIB);
  checkNumber('raft.maxPendingReads', merged.maxPendingReads, 1, 1_048_576);
  checkNumber('raft.priority', merged.priority, 0, MAX_PRIORITY);
  if (typeof merged.readmit !== 'boolean') throw configError('raft.readmit', merged.readmit, 'true or false');
  if (merged.quietAfterMs !== Infinity) checkNumber('raft.quietAfterMs', merged.quietAfterMs, 0, 86_400_000);
  const { diskStallMs } = merged;
  const bounded = Number.isInteger(diskStallMs) && diskStallMs >= 10 && diskStallMs <= 600_000;
  if (diskStallMs !== 0 && !bounded)
    throw configError('raft.diskStallMs', diskStallMs, '0 or an integer from 10 to 600000');
  checkLease(merged.lease);
  checkQuorums(merged.quorums);
  for (const { between, found } of raftConflicts) {
    const wrong = found(merged);
    if (wrong === undefined) continue;
    const [value, rule, limit] = wrong;
    const [one, other] = between;
    throw new QuorateError('ERR_CONFIG', `raft.${one} (${value}) must be ${rule} raft.${other} (${limit})`);
  }
  return merged;
}

function checkLease(lease: false | LeaseOptions): void {
  if (lease === false) return;
  const given: unknown = lease;
  if (typeof given !== 'object' || given === null)
    throw configError('raft.lease', lease, 'false or { promiseMs, maxDrift }');
  if (lease.promiseMs !== undefined) checkNumber('raft.lease.promiseMs', lease.promiseMs, 1, 600_000);
  if (lease.maxDrift !== undefined) checkNumber('raft.lease.maxDrift', lease.maxDrift, 0, 0.5, false);
}

function checkQuorums(quorums: 'majority' | QuorumOptions): void {
  if (quorums === 'majority') return;
  const given: unknown = quorums;
  if (typeof given !== 'object' || given === null)
    throw configError('raft.quorums', quorums, "'majority' or { commit, election }");
  checkNumber('raft.quorums.commit', quorums.commit, 1, maxMembers);
  if (quorums.election !== undefined) checkNumber('raft.quorums.election', quorums.election, 1, maxMembers);
}

/** Checks the quorums against the founders, of which there are `n`; throws ERR_CONFIG naming the values. @internal */
export function checkQuorumsOf(n: number, quorums: 'majority' | QuorumOptions): void {
  if (quorums === 'majority') return;
  const { commit, election } = quorums;
  const refuse = (rule: string): never => {
    throw new QuorateError('ERR_CONFIG', rule);
  };
  if (commit > n) refuse(`raft.quorums.commit (${commit}) must be at most the number of members (${n})`);
  if (election === undefined) return;
  if (election > n)
    refuse(`raft.quorums.election (${election}) must be at most the number of members (${n})`);
  if (election + commit <= n)
    refuse(
      `raft.quorums.election (${election}) and raft.quorums.commit (${commit}) must together be more than ` +
        `the number of members (${n}): otherwise a leader could be elected without what was committed`,
    );
  if (election < electionSize(n, { commit, spare: 0 }))
    refuse(
      `raft.quorums.election (${election}) must be more than half of the number of members (${n}): otherwise two leaders ` +
        `could be elected in one term`,
    );
}
