/** What `raft()` and `paxos()` take, checked before anything runs: each option for itself, then every two that can contradict each other. */
import {
  leaseTerms,
  type CoreOptions,
  type LeaseOptions,
  type QuorumOptions,
} from '../consensus/core/options.js';
import { maxMembers } from '../consensus/membership.js';
import { electionSize } from '../consensus/quorum.js';
import { MAX_PRIORITY } from '../engine/wire.js';
import { checkNumber, configError, QuorateError } from '../errors.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

type Complete = Required<CoreOptions>;
/** Whose options they are, as messages name them. */
type Factory = 'raft' | 'paxos';

/** Two values that cannot both hold. */
interface Conflict {
  /** The options, by name. */
  readonly between: readonly [string, string];
  /** What is wrong with the options; undefined: nothing. */
  readonly found: (
    options: Complete,
    of: Factory,
  ) => readonly [value: number, rule: string, limit: number] | undefined;
}

/** Every pair of options that can contradict each other. @internal */
export const coreConflicts: readonly Conflict[] = [
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
    found: (options, of) => {
      const terms = leaseTerms(options);
      if (terms === undefined || options.heartbeatMs < terms.validMs) return undefined;
      const rule = `less than what ${of}.lease.maxDrift leaves (${Math.floor(terms.validMs)} ms) of`;
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
export function checkCoreOptions(of: Factory, options: Complete): void {
  const check = (name: keyof CoreOptions, min: number, max: number): unknown =>
    checkNumber(`${of}.${name}`, options[name], min, max);
  check('heartbeatMs', 1, 60_000);
  check('electionTimeoutMs', 10, 600_000);
  check('maxElectionTimeoutMs', 10, 600_000);
  check('maxMessageBytes', 1024, 16 * MIB);
  check('maxInflightMessages', 1, 4096);
  check('maxInflightBytes', 1024, GIB);
  check('maxUncommittedBytes', 1024, GIB);
  check('cacheBytes', 0, 4 * GIB);
  check('maxPendingReads', 1, 1_048_576);
  check('priority', 0, MAX_PRIORITY);
  if (typeof options.readmit !== 'boolean')
    throw configError(`${of}.readmit`, options.readmit, 'true or false');
  const { diskStallMs } = options;
  const bounded = Number.isInteger(diskStallMs) && diskStallMs >= 10 && diskStallMs <= 600_000;
  if (diskStallMs !== 0 && !bounded)
    throw configError(`${of}.diskStallMs`, diskStallMs, '0 or an integer from 10 to 600000');
  checkLease(of, options.lease);
  checkQuorums(of, options.quorums);
  for (const { between, found } of coreConflicts) {
    const wrong = found(options, of);
    if (wrong === undefined) continue;
    const [value, rule, limit] = wrong;
    const [one, other] = between;
    throw new QuorateError('ERR_CONFIG', `${of}.${one} (${value}) must be ${rule} ${of}.${other} (${limit})`);
  }
}

function checkLease(of: Factory, lease: false | LeaseOptions): void {
  if (lease === false) return;
  const given: unknown = lease;
  if (typeof given !== 'object' || given === null)
    throw configError(`${of}.lease`, lease, 'false or { promiseMs, maxDrift }');
  if (lease.promiseMs !== undefined) checkNumber(`${of}.lease.promiseMs`, lease.promiseMs, 1, 600_000);
  if (lease.maxDrift !== undefined) checkNumber(`${of}.lease.maxDrift`, lease.maxDrift, 0, 0.5, false);
}

function checkQuorums(of: Factory, quorums: 'majority' | QuorumOptions): void {
  if (quorums === 'majority') return;
  const given: unknown = quorums;
  if (typeof given !== 'object' || given === null)
    throw configError(`${of}.quorums`, quorums, "'majority' or { commit, election }");
  checkNumber(`${of}.quorums.commit`, quorums.commit, 1, maxMembers);
  if (quorums.election !== undefined) checkNumber(`${of}.quorums.election`, quorums.election, 1, maxMembers);
}

/** Checks the quorums against the founders, of which there are `n`; throws ERR_CONFIG naming the values. @internal */
export function checkQuorumsOf(of: Factory, n: number, quorums: 'majority' | QuorumOptions): void {
  if (quorums === 'majority') return;
  const { commit, election } = quorums;
  const refuse = (rule: string): never => {
    throw new QuorateError('ERR_CONFIG', rule);
  };
  if (commit > n) refuse(`${of}.quorums.commit (${commit}) must be at most the number of members (${n})`);
  if (election === undefined) return;
  if (election > n)
    refuse(`${of}.quorums.election (${election}) must be at most the number of members (${n})`);
  if (election + commit <= n)
    refuse(
      `${of}.quorums.election (${election}) and ${of}.quorums.commit (${commit}) must together be more than ` +
        `the number of members (${n}): otherwise a leader could be elected without what was committed`,
    );
  if (election < electionSize(n, { commit, spare: 0 }))
    refuse(
      `${of}.quorums.election (${election}) must be more than half of the number of members (${n}): otherwise two leaders ` +
        `could be elected in one term`,
    );
}
