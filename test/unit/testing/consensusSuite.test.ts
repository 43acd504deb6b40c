/** The conformance suite for consensuses fails for those that are broken, each in the tests that speak of what is wrong with it. */
import { expect } from 'chai';
import type { Consensus, CoreStatus, Effects, Index } from '../../../lib/consensus/consensus.js';
import { raft, type ConsensusOption } from '../../../lib/replica/consensus.js';
import { alterCores } from '../../../lib/testing/exploration/alterCores.js';
import { testConsensus, type ConsensusSettings } from '../../../lib/testing/index.js';

type Make = (settings?: ConsensusSettings) => ConsensusOption;

/**
 * Raft whose cores are changed, under another name: the simulator looks into Raft's messages where it knows the name, and a suite
 * that needed that would prove nothing about other consensuses.
 */
function altered(
  ...[change, prepare]: [change: Parameters<typeof alterCores>[1], prepare?: Parameters<typeof alterCores>[2]]
): Make {
  return (settings) => {
    const option = raft(settings);
    const changed = alterCores(option, change, prepare);
    // The storage keeps whose log it is.
    const { wired } = alterCores(changed, (core) => ({
      drain: (now, out) => {
        core.drain(now, out);
        if (out.hard !== undefined) out.hard = { ...out.hard, protocol: 'other' };
      },
    }));
    const protocol = { ...wired.protocol, name: 'other' };
    return { ...option, name: 'other', wired: { ...wired, protocol } };
  };
}

/** The core's effects, changed after they are drained. */
const drained = (change: (core: Consensus, out: Effects, now: number) => void): Make =>
  altered((core) => ({
    drain: (now, out) => {
      core.drain(now, out);
      change(core, out, now);
    },
  }));

/** The core's status, changed for whoever looks. */
const seen = (change: (status: CoreStatus) => CoreStatus): Make =>
  altered((core) => {
    let last: CoreStatus | undefined;
    let shown: CoreStatus | undefined;
    return {
      get status() {
        if (core.status !== last) shown = change((last = core.status));
        return shown!;
      },
    };
  });

/** Takes an option, and does nothing with it. */
const deafTo =
  (option: keyof ConsensusSettings): Make =>
  (settings = {}) =>
    raft(Object.fromEntries(Object.entries(settings).filter(([name]) => name !== option)));

interface Broken {
  readonly consensus: Make;
  /** Titles of tests that fail, all of them. */
  readonly fails: readonly string[];
}

const broken: Readonly<Record<string, Broken>> = {
  'says what it wrote is durable when it is not': {
    consensus: drained((core, { io, append }, now) => {
      if (append.length > 0) core.persisted(now, io);
    }),
    fails: ['keep it when all lose power at any moment under load, five times over (seed 4)'],
  },
  'acknowledges what it alone has': {
    consensus: drained((core, out) => {
      if (core.status.role === 'leader') out.commit = Math.max(out.commit, core.status.lastIndex);
    }),
    fails: ['replace what a leader without a quorum took in, by what a quorum did'],
  },
  'forgets its word at a restart': {
    consensus: altered(
      () => ({}),
      ({ recovered, ...setup }) => {
        if (recovered?.hard === undefined) return { ...setup, recovered };
        const { epoch } = recovered.hard;
        const last = recovered.runs.at(-1)?.epoch ?? recovered.snapshot?.epoch ?? epoch;
        return { ...setup, recovered: { ...recovered, hard: { ...recovered.hard, epoch: last, vote: '' } } };
      },
    ),
    fails: ['keep the word of a member that loses its power in the middle of elections'],
  },
  'answers reads by what it knows itself': {
    consensus: altered((core) => {
      const taken: number[] = [];
      let commit: Index = 0;
      return {
        get dirty() {
          return core.dirty || taken.length > 0;
        },
        read: (_, context) => {
          taken.push(context);
          return { ok: true };
        },
        drain: (now, out) => {
          core.drain(now, out);
          commit = Math.max(commit, out.commit);
          for (const context of taken.splice(0)) out.reads.push({ context, index: commit });
        },
      };
    }),
    fails: [
      'show what was written a moment before through any member',
      'of a leader that is cut off, and does not know it, are not answered',
      'of a leader that wakes up after others went on are not answered from what it remembers',
    ],
  },
  'takes reads and forgets them': {
    consensus: altered((core) => ({
      read: (now, context) => (context % 2 === 0 ? { ok: true } : core.read(now, context)),
    })),
    fails: ['show what was written a moment before through any member'],
  },
  'always says that a quorum answers': {
    consensus: seen((status) => ({ ...status, quorum: true })),
    fails: [
      'is no reason for a leader to say that it has one',
      "is told at once with onNoQuorum 'reject', and no longer than it lasts",
    ],
  },
  'counts learners as voters': {
    consensus: altered((core) => ({
      changeMembership: (now, { addLearners = [], addVoters = [], ...change }) =>
        core.changeMembership(now, { ...change, addVoters: [...addVoters, ...addLearners] }),
    })),
    fails: ['do not count before they are told to: a newcomer alone with one founder of three is no quorum'],
  },
  'forgets learners': {
    consensus: seen((status) => ({ ...status, membership: { ...status.membership, learners: [] } })),
    fails: ['stay learners over restarts and elections'],
  },
  'says that members changed, and changes nothing': {
    consensus: altered((core) => ({
      changeMembership: () => {
        const { epoch, membershipIndex } = core.status;
        return { ok: true, index: membershipIndex, epoch };
      },
    })),
    fails: ['grow from one to five and shrink again under load, and whoever is asked'],
  },
  'takes any storage for the one on record': {
    consensus: (settings) => {
      const first = new Map<string, string>();
      const make = altered(
        (core) => ({
          link: (now, peer, session, up, hello) => {
            const known = first.get(peer);
            core.link(now, peer, session, up, hello && known ? { ...hello, incarnation: known } : hello);
          },
        }),
        (setup) => {
          const incarnation = first.get(setup.self) ?? setup.incarnation;
          first.set(setup.self, incarnation);
          return { ...setup, incarnation };
        },
      );
      return make(settings);
    },
    fails: ['do not help to lose what was acknowledged: an empty member and one that lags are no quorum'],
  },
  'sends nobody a snapshot': {
    consensus: drained((_, out) => out.snapshotTo.splice(0)),
    fails: [
      'makes a snapshot of what a member lacks that was away',
      'bring a member that was away for longer than the log, while commands go on',
    ],
  },
  'hands nothing over': {
    consensus: altered(() => ({ transfer: () => ({ ok: true }) })),
    fails: ['go where they are told, through any member, and it is known where it was asked for'],
  },
  'drops what comes during a transfer': {
    consensus: altered((core) => ({
      propose: (now, time, data, count) => {
        const accepted = core.propose(now, time, data, count);
        return !accepted.ok && accepted.why === 'transferring' ? { ok: false, why: 'tooLarge' } : accepted;
      },
    })),
    fails: ["fail no command under load, with onNoQuorum 'wait'"],
  },
  'never gives a transfer up': {
    consensus: altered((core) => {
      let handing = false;
      return {
        transfer: (now, to) => {
          const answer = core.transfer(now, to);
          handing ||= answer.ok;
          return answer;
        },
        propose: (now, time, data, count) => {
          handing &&= core.status.role === 'leader';
          return handing ? { ok: false, why: 'transferring' } : core.propose(now, time, data, count);
        },
      };
    }),
    fails: ['are given up when the target does not take over, and what was held meanwhile is done'],
  },
  'keeps its lease over a suspend': {
    consensus: altered(() => ({ suspended: () => undefined })),
    fails: ['are void after the leader was suspended'],
  },
  'forgets at a restart what it promised for a lease': {
    consensus: altered(
      () => ({}),
      ({ recovered, ...setup }) => {
        if (recovered?.hard === undefined) return { ...setup, recovered };
        return { ...setup, recovered: { ...recovered, hard: { ...recovered.hard, promiseMs: 0 } } };
      },
    ),
    fails: ['are safe from a voter that restarts'],
  },
  'takes in without end': {
    consensus: deafTo('maxUncommittedBytes'),
    fails: ['is held back at the leader: it takes in no more than it may, and goes on'],
  },
  'does not look at the quorums that were asked for': {
    consensus: deafTo('quorums'),
    fails: [
      'go on with one follower, and elect nobody with three members',
      'that do not fit the founders are refused when a group is founded',
    ],
  },
  'does not look at priorities': {
    consensus: deafTo('priority'),
    fails: ['bring the leadership to who has the highest, and back to it when it returns'],
  },
  'takes any options': {
    consensus: (settings) => {
      try {
        return raft(settings);
      } catch {
        return raft();
      }
    },
    fails: [
      'out of range, or in contradiction, fail with ERR_CONFIG, which names them',
      'of leases are checked',
    ],
  },
};

/** The tests of the suite for one consensus, by title. */
function testsOf(consensus: Make): Map<string, () => Promise<void>> {
  const tests = new Map<string, () => Promise<void>>();
  const features = {
    leases: true,
    quorums: true,
    priority: true,
    quiet: true,
    witnesses: true,
    readmit: true,
  };
  testConsensus(
    { name: 'broken', consensus, features },
    {
      describe: (_, body) => body(),
      it: (title, body) => tests.set(title, body),
    },
  );
  return tests;
}

describe('the conformance suite for consensuses', function () {
  this.timeout(60_000);

  for (const [what, { consensus, fails }] of Object.entries(broken))
    it(`fails for one that ${what}`, async () => {
      const tests = testsOf(consensus);
      for (const title of fails) {
        const error: unknown = await tests.get(title)!().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error, title).to.be.instanceOf(Error);
      }
    });

  it('passes where a consensus is wrapped and left as it is', async function () {
    this.timeout(120_000);
    const tests = testsOf(altered(() => ({})));
    for (const { fails } of Object.values(broken)) for (const title of fails) await tests.get(title)!();
  });

  it('has titles of their own for all its tests, and says which do not apply', () => {
    const titles: string[] = [];
    testConsensus(
      { name: 'plain', consensus: raft, seeds: 2 },
      { describe: (_, body) => body(), it: (title) => titles.push(title) },
    );
    const absent = titles.filter((title) => title.includes('does not apply'));
    expect(absent.length).to.be.above(15);
    for (const feature of ['leases', 'quorums', 'priority', 'quiet', 'witnesses', 'readmit'])
      expect(absent.some((title) => title.endsWith(`(does not apply: no ${feature})`))).to.equal(true);
    const explored = titles.filter((title) => title.startsWith('finds nothing in seed'));
    expect(explored).to.deep.equal(['finds nothing in seed 7', 'finds nothing in seed 3']);
    expect(titles).to.include('are refused by a consensus that has none, and members do not become any');
  });
});
