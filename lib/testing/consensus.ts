/** The conformance suite for whoever writes a consensus. */
import type { RaftOptions } from '../consensus/raft/options.js';
import { checkNumber } from '../errors.js';
import type { ConsensusOption } from '../replica/consensus.js';
import { Bench } from './consensus/bench.js';
import { commandsTests } from './consensus/commands.js';
import { compactTests } from './consensus/compact.js';
import { electionTests } from './consensus/election.js';
import { explorationTests } from './consensus/exploration.js';
import { flowTests } from './consensus/flow.js';
import { lagTests } from './consensus/lag.js';
import { leasesTests } from './consensus/leases.js';
import { membershipTests } from './consensus/membership.js';
import { noQuorumTests } from './consensus/noQuorum.js';
import { optionsTests } from './consensus/options.js';
import { partitionsTests } from './consensus/partitions.js';
import { priorityTests } from './consensus/priority.js';
import { quietTests } from './consensus/quiet.js';
import { quorumsTests } from './consensus/quorums.js';
import { readsTests } from './consensus/reads.js';
import { removalTests } from './consensus/removal.js';
import { restartTests } from './consensus/restart.js';
import { sessionsTests } from './consensus/sessions.js';
import { snapshotsTests } from './consensus/snapshots.js';
import { transferTests } from './consensus/transfer.js';
import { transferFaultsTests } from './consensus/transferFaults.js';
import { wipedTests } from './consensus/wiped.js';
import { witnessesTests } from './consensus/witnesses.js';
import type { TestFramework } from './framework.js';

/**
 * What the suite sets on a consensus. Each means what it means for `raft()`, see {@link RaftOptions}, with the same ranges and
 * defaults. `lease`, `quorums`, `priority`, `quietAfterMs` and `readmit` are only set where the {@link ConsensusFeatures} have them.
 */
export type ConsensusSettings = Pick<
  RaftOptions,
  | 'heartbeatMs'
  | 'electionTimeoutMs'
  | 'maxMessageBytes'
  | 'maxInflightBytes'
  | 'maxUncommittedBytes'
  | 'lease'
  | 'quorums'
  | 'priority'
  | 'quietAfterMs'
  | 'readmit'
>;

/** What a consensus may have or not. What it does not have is not tested, and the titles of the tests say so. */
export interface ConsensusFeatures {
  /**
   * Leases: the option `lease`.
   * @defaultValue false
   */
  readonly leases?: boolean;
  /**
   * Quorums that are no majorities: the option `quorums`.
   * @defaultValue false
   */
  readonly quorums?: boolean;
  /**
   * Members that would rather lead than others: the option `priority`.
   * @defaultValue false
   */
  readonly priority?: boolean;
  /**
   * Groups that rest: the option `quietAfterMs`.
   * @defaultValue false
   */
  readonly quiet?: boolean;
  /**
   * Members that vote and hold no data. Where there are none, opening one has to fail with `ERR_CONFIG`.
   * @defaultValue false
   */
  readonly witnesses?: boolean;
  /**
   * Whether a storage that was lost can be kept from being admitted again by itself: the option `readmit`.
   * @defaultValue false
   */
  readonly readmit?: boolean;
}

/** What {@link testConsensus} tests. */
export interface ConsensusUnderTest {
  /** Names the suite. */
  readonly name: string;
  /** Makes the consensus; called for every group, and for every node where settings differ from node to node. */
  readonly consensus: (settings?: ConsensusSettings) => ConsensusOption;
  /**
   * What it has beside what all of them must have.
   * @defaultValue none of them
   */
  readonly features?: ConsensusFeatures;
  /**
   * How many seeds of the exploration are run; the first of them are a storm of elections, a mesh under fire, and a group that grows
   * and shrinks. An integer from 0 to 10 000.
   * @defaultValue 10
   */
  readonly seeds?: number;
}

const SEEDS = 10;

/**
 * Declares the tests that every consensus must pass: all that users are promised of a replica, seen from outside. Whole groups run
 * in the simulator, in virtual time and with its invariants, and a few over `memoryNetwork()`. All of it takes about half a minute
 * of computing; no single test takes more than some seconds, so a time-out of 60 s for each is ample.
 *
 * Throws `ERR_CONFIG` when `seeds` is out of range.
 *
 * @example
 * ```ts
 * import { describe, it } from 'mocha';
 * testConsensus({ name: 'raft', consensus: (settings) => raft(settings), features: { leases: true } }, { describe, it });
 * ```
 */
export function testConsensus(subject: ConsensusUnderTest, { describe, it }: TestFramework): void {
  const { features = {}, seeds = SEEDS } = subject;
  checkNumber('seeds', seeds, 0, 10_000);
  const declare = (name: string, body: (bench: Bench) => Promise<void>): void => {
    it(name, async () => {
      const bench = new Bench(subject);
      try {
        await body(bench);
        bench.check();
      } finally {
        await bench.close();
      }
    });
  };
  const suite = {
    test: declare,
    where: (feature: keyof ConsensusFeatures, name: string, body: (bench: Bench) => Promise<void>): void => {
      if (features[feature] === true) declare(name, body);
      else it(`${name} (does not apply: no ${feature})`, () => Promise.resolve());
    },
    features,
    seeds,
  };
  const room = (name: string, declareTests: (all: typeof suite) => void): void =>
    void describe(name, () => declareTests(suite));

  describe(`consensus: ${subject.name}`, () => {
    room('options', optionsTests);
    room('elections', electionTests);
    room('commands', commandsTests);
    room('sessions', sessionsTests);
    room('no quorum', noQuorumTests);
    room('flow', flowTests);
    room('reads', readsTests);
    room('reads that may lag', lagTests);
    room('leases', leasesTests);
    room('restarts', restartTests);
    room('partitions', partitionsTests);
    room('snapshots', snapshotsTests);
    room('compact', compactTests);
    room('members', membershipTests);
    room('removed members', removalTests);
    room('lost storages', wipedTests);
    room('witnesses', witnessesTests);
    room('transfers', transferTests);
    room('transfers that are struck', transferFaultsTests);
    room('priorities', priorityTests);
    room('quorums', quorumsTests);
    room('rest', quietTests);
    room('exploration', explorationTests);
  });
}
