/** Bugs in the consensus core. */
import type { Mutant } from '../mutant.js';

export const consensusMutants: readonly Mutant[] = [
  {
    name: 'majority is n >> 1',
    file: 'consensus/quorum.ts',
    find: 'return (n >> 1) + 1;',
    replace: 'return Math.max(1, n >> 1);',
    pitfall: 'a quorum that is none (openraft#1802)',
    within: 20,
  },
  {
    name: 'quorum value off by one',
    file: 'consensus/quorum.ts',
    find: 'return scratch[majority(n) - 1]!;',
    replace: 'return scratch[Math.max(0, majority(n) - 2)]!;',
    pitfall: 'a quorum index that is off by one (openraft#1802)',
    within: 20,
  },
  {
    name: 'leader counts what is not on its disk',
    file: 'consensus/raft/replication.ts',
    find: 'id === state.self ? state.disk.persistedIndex :',
    replace: 'id === state.self ? state.log.last :',
    pitfall: 'a leader acknowledges itself before its own disk (etcd#14370)',
    within: 20,
  },
  {
    name: 'follower acks before fsync',
    file: 'consensus/raft/follower.ts',
    find: 'matched: state.consistent ? Math.min(this.#matched, state.disk.persistedIndex) : 0,',
    replace: 'matched: state.consistent ? this.#matched : 0,',
    pitfall: 'an acknowledgement before fsync',
    within: 20,
  },
  {
    name: 'acks of older terms count',
    file: 'consensus/raft/replication.ts',
    find: 'if (m.term < state.term || state.phase',
    replace: 'if (state.phase',
    pitfall: 'stale acknowledgements are counted (openraft#1823, nats#6512)',
    within: 200,
    kinds: 'storm',
  },
  {
    name: 'follower keeps what matched in another reign',
    file: 'consensus/raft/follower.ts',
    find: '    this.#matched = this.#round = 0;\n',
    replace: '    this.#round = 0;\n',
    pitfall: 'an acknowledgement of what an earlier leader had (openraft#1823)',
    within: 200,
    kinds: 'storm',
  },
  {
    name: 'leader keeps progress from an earlier reign',
    file: 'consensus/raft/replication.ts',
    find: 'for (const peer of this.#state.peers.values()) peer.progress = undefined;',
    replace: '',
    pitfall: 'progress outlives the reign',
    within: 200,
    kinds: 'storm',
  },
  {
    name: 'heartbeat tells a commit beyond what was acknowledged',
    file: 'consensus/raft/replication.ts',
    find: `      const known = Math.min(commit, progress.matched);
      progress.toldCommit`,
    replace: `      const known = commit;
      progress.toldCommit`,
    pitfall: 'a commit index is told beyond what matched',
    within: 60,
  },
  {
    name: 'truncation does not cap writes under way',
    file: 'consensus/raft/disk.ts',
    find: `    this.#cap(index - 1);
  }

  /** \`keeps\``,
    replace: `  }

  /** \`keeps\``,
    pitfall: 'an old write counts for what replaced it: append ABA (openraft)',
    within: 60,
    kinds: 'storm',
  },
  {
    name: 'a truncation does not reach the disk',
    file: 'consensus/raft/follower.ts',
    find: `    state.disk.truncateFrom(index);
`,
    replace: '',
    pitfall: 'memory and disk differ after a truncation',
    within: 60,
  },
  {
    name: 'no check of the previous entry',
    file: 'consensus/raft/follower.ts',
    find: 'if (here !== undefined && compareEpochs(here, m.prevEpoch) !== 0) {',
    replace: 'if (false as boolean) {',
    pitfall: 'the log matching check is left out: terms are not compared',
    within: 200,
    kinds: 'storm',
  },
  {
    name: 'old append truncates',
    file: 'consensus/raft/follower.ts',
    find: '      if (!same(log.epochAt(entry.index), entry.epoch)) return entries.slice(at);',
    replace: '      if (at >= 0) return entries.slice(at);',
    pitfall: 'an old append cuts a suffix that matches (openraft)',
    within: 60,
  },
  {
    name: 'commits older terms by counting',
    file: 'consensus/raft/replication.ts',
    find: `if (reached <= state.commit || reached < this.#reignStart) return;
    const index = state.log.boundAtMost(reached);
    if (index <= state.commit || index < this.#reignStart) return;`,
    replace: `if (reached <= state.commit) return;
    const index = state.log.boundAtMost(reached);
    if (index <= state.commit) return;`,
    pitfall: 'entries of older terms are committed by counting: Figure 8',
    within: 200,
    kinds: 'storm',
  },
  {
    name: 'vote is not written',
    file: 'consensus/raft/election.ts',
    find: `        state.vote = from.id;
        state.disk.voteChanged();`,
    replace: '        state.vote = from.id;',
    pitfall: 'a vote is not persisted',
    within: 60,
  },
  {
    name: 'votes leave before the disk',
    file: 'consensus/raft/disk.ts',
    find: `    if (this.voteDurable) {
      this.#send`,
    replace: `    if (this.voteDurable || true) {
      this.#send`,
    pitfall: 'a vote, or a term, leaves before it is persisted',
    within: 20,
  },
  {
    name: 'two votes a term',
    file: 'consensus/raft/election.ts',
    find: "state.vote === from.id || (state.vote === '' &&",
    replace: "true || (state.vote === '' &&",
    pitfall: 'two votes in a term',
    within: 60,
  },
  {
    name: 'restart forgets the vote',
    file: 'consensus/raft/state.ts',
    find: "this.vote = this.term === hard?.epoch.n ? hard.vote : '';",
    replace: "this.vote = '';",
    pitfall: 'a restart forgets the vote',
    within: 200,
    kinds: ['crash', 'blackout'],
  },
  {
    name: 'a restart forgets the term',
    file: 'consensus/raft/state.ts',
    find: 'this.term = Math.max(hard?.epoch.n ?? 0, this.log.lastEpoch.n);',
    replace: 'this.term = this.log.lastEpoch.n;',
    pitfall: 'a restart forgets the term',
    within: 120,
    kinds: ['crash', 'blackout', 'partition', 'bad messages'],
  },
  {
    name: 'votes for older logs',
    file: 'consensus/raft/election.ts',
    find: '(m.lastTerm === lastEpoch.n && m.lastIndex >= last)',
    replace: 'm.lastTerm === lastEpoch.n',
    pitfall: 'a vote for a log that lacks entries: the election restriction',
    within: 60,
  },
  {
    name: 'wiped member counts',
    file: 'consensus/raft/state.ts',
    find: 'return incarnation === standing.incarnation ? standing.since : Infinity;',
    replace: 'return standing.since;',
    pitfall: 'incarnations are ignored: a member that lost its disk counts',
    within: 200,
    kinds: ['disk lost', 'partition', 'crash'],
  },
  {
    name: 'reads before own commit',
    file: 'consensus/raft/reads.ts',
    find: 'if (!this.#replication.settled) return;',
    replace: '',
    pitfall: 'ReadIndex before a commit in the own term (etcd#7331)',
    within: 40,
  },
  {
    name: 'read shares an older round',
    file: 'consensus/raft/replication.ts',
    find: `    this.#round++;
    this.#beat();`,
    replace: '    this.#beat();',
    pitfall: 'acknowledgements from before a read confirm it (etcd#20418)',
    within: 100,
    kinds: 'storm',
  },
  {
    name: 'a leader reads by itself',
    file: 'consensus/raft/replication.ts',
    find: 'return id === state.self ? Infinity : (state.peers.get(id)?.progress?.ackedRound ?? 0);',
    replace: 'return Infinity;',
    pitfall: 'a leader answers reads without asking anybody',
    within: 100,
    kinds: 'storm',
  },
  {
    name: 'a refusal is not sent',
    file: 'consensus/raft/follower.ts',
    find: 'this.#conflict = { prevIndex: m.prevIndex, index: at.index, epoch: at.epoch };',
    replace: 'void at;',
    pitfall: 'liveness: a follower does not say where the logs part',
    within: 120,
  },
  {
    name: 'a follower that gets a snapshot by choice is fed the log at its next word',
    file: 'consensus/raft/replication.ts',
    find: ' && matched >= progress.wanted',
    replace: '',
    pitfall: 'a snapshot that is cheaper than the log is sent along with the log',
    within: 1,
    tests: 'consensus/catchUp.test.ts',
  },
];
