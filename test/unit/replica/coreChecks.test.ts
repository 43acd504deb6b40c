/** What `raft()` and `paxos()` refuse before anything runs. */
import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import { paxos, raft } from '../../../lib/replica/consensus.js';
import { coreConflicts } from '../../../lib/replica/coreChecks.js';
import type { RaftOptions } from '../../../lib/consensus/raft/options.js';

/** The message of what is thrown; undefined: nothing is. */
function refusal(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    expect(error).to.be.instanceOf(QuorateError).with.property('code', 'ERR_CONFIG');
    return (error as QuorateError).message;
  }
  return undefined;
}

interface Case {
  readonly between: readonly [string, string];
  readonly wrong: RaftOptions;
  /** As near as can be, and right. */
  readonly right: RaftOptions;
  readonly message: string;
}

const cases: readonly Case[] = [
  {
    between: ['heartbeatMs', 'electionTimeoutMs'],
    wrong: { heartbeatMs: 51, electionTimeoutMs: 100 },
    right: { heartbeatMs: 50, electionTimeoutMs: 100 },
    message: 'raft.heartbeatMs (51) must be at most half of raft.electionTimeoutMs (100)',
  },
  {
    between: ['electionTimeoutMs', 'maxElectionTimeoutMs'],
    wrong: { electionTimeoutMs: 801, maxElectionTimeoutMs: 800 },
    right: { electionTimeoutMs: 800, maxElectionTimeoutMs: 800 },
    message: 'raft.electionTimeoutMs (801) must be at most raft.maxElectionTimeoutMs (800)',
  },
  {
    between: ['maxMessageBytes', 'maxInflightBytes'],
    wrong: { maxMessageBytes: 2049, maxInflightBytes: 2048 },
    right: { maxMessageBytes: 2048, maxInflightBytes: 2048 },
    message: 'raft.maxMessageBytes (2049) must be at most raft.maxInflightBytes (2048)',
  },
  {
    between: ['maxMessageBytes', 'maxUncommittedBytes'],
    wrong: { maxMessageBytes: 2049, maxUncommittedBytes: 2048 },
    right: { maxMessageBytes: 2048, maxUncommittedBytes: 2048 },
    message: 'raft.maxMessageBytes (2049) must be at most raft.maxUncommittedBytes (2048)',
  },
  {
    between: ['lease.promiseMs', 'electionTimeoutMs'],
    wrong: { electionTimeoutMs: 300, lease: { promiseMs: 301 } },
    right: { electionTimeoutMs: 300, lease: { promiseMs: 300 } },
    message: 'raft.lease.promiseMs (301) must be at most raft.electionTimeoutMs (300)',
  },
  {
    between: ['heartbeatMs', 'lease.promiseMs'],
    wrong: { heartbeatMs: 50, lease: { promiseMs: 150, maxDrift: 0.5 } },
    right: { heartbeatMs: 49, lease: { promiseMs: 150, maxDrift: 0.5 } },
    message:
      'raft.heartbeatMs (50) must be less than what raft.lease.maxDrift leaves (50 ms) of raft.lease.promiseMs (150)',
  },
];

for (const [of, make] of [
  ['raft', raft],
  ['paxos', paxos],
] as const) {
  const named = <T extends string | undefined>(message: T): T | string =>
    message?.replaceAll('raft.', `${of}.`) ?? message;

  describe(`options of ${of} that contradict each other`, () => {
    for (const { between, wrong, right, message } of cases)
      it(`${between.join(' and ')}: both are named, and the border is allowed`, () => {
        expect(refusal(() => make(wrong))).to.equal(named(message));
        expect(refusal(() => make(right))).to.equal(undefined);
      });

    it('are all here', () => {
      const pairs = coreConflicts.map(({ between }) => between.join(' '));
      expect(pairs).to.deep.equal(cases.map(({ between }) => between.join(' ')));
    });

    it('are none by default, nor with a lease', () => {
      expect(refusal(() => make())).to.equal(undefined);
      expect(refusal(() => make({ lease: {} }))).to.equal(undefined);
      expect(refusal(() => make({ lease: {}, electionTimeoutMs: 150, heartbeatMs: 10 }))).to.equal(undefined);
    });
  });

  describe(`options of ${of} that are out of range`, () => {
    for (const [name, options] of [
      ['raft.lease', { lease: true as unknown as false }],
      ['raft.lease', { lease: null as unknown as false }],
      ['raft.lease.promiseMs', { lease: { promiseMs: 0 } }],
      ['raft.lease.promiseMs', { lease: { promiseMs: 100.5 } }],
      ['raft.lease.promiseMs', { lease: { promiseMs: 600_001 } }],
      ['raft.lease.maxDrift', { lease: { maxDrift: -0.01 } }],
      ['raft.lease.maxDrift', { lease: { maxDrift: 0.51 } }],
      ['raft.quorums', { quorums: 'all' as 'majority' }],
      ['raft.quorums', { quorums: null as unknown as 'majority' }],
      ['raft.quorums.commit', { quorums: { commit: 0 } }],
      ['raft.quorums.commit', { quorums: { commit: 1.5 } }],
      ['raft.quorums.commit', { quorums: {} as { commit: number } }],
      ['raft.quorums.election', { quorums: { commit: 2, election: 0 } }],
    ] as const)
      it(`${name} in ${JSON.stringify(options)}`, () => {
        expect(refusal(() => make(options))).to.match(new RegExp(`^${named(name)} must be `));
      });
  });

  describe(`quorums of ${of}`, () => {
    for (const [members, commit, election, message] of [
      [5, 2, 4, undefined],
      [5, 2, undefined, undefined],
      [5, 4, 3, undefined],
      [5, 3, 3, undefined],
      [5, 1, 5, undefined],
      [1, 1, 1, undefined],
      [5, 6, undefined, 'raft.quorums.commit (6) must be at most the number of members (5)'],
      [5, 2, 6, 'raft.quorums.election (6) must be at most the number of members (5)'],
      [
        5,
        2,
        3,
        'raft.quorums.election (3) and raft.quorums.commit (2) must together be more than the number of members (5): ' +
          'otherwise a leader could be elected without what was committed',
      ],
      [
        5,
        4,
        2,
        'raft.quorums.election (2) must be more than half of the number of members (5): otherwise two leaders could be ' +
          'elected in one term',
      ],
      [
        4,
        3,
        2,
        'raft.quorums.election (2) must be more than half of the number of members (4): otherwise two leaders could be ' +
          'elected in one term',
      ],
    ] as const)
      it(`of ${members} members, ${commit} and ${String(election)}: ${message === undefined ? 'taken' : 'refused'}`, () => {
        const option = make({ quorums: election === undefined ? { commit } : { commit, election } });
        expect(refusal(() => option.checkFounders!(members))).to.equal(named(message));
      });
  });
}
