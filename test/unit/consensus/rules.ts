/** What each protocol promises with its messages, for {@link Watch}: what a node says must be on its disk. */
import { compareEpochs, NO_EPOCH } from '../../../lib/consensus/consensus.js';
import type { Epoch, HardState, Index, MessageBase, NodeId } from '../../../lib/consensus/consensus.js';
import type { Ack } from '../../../lib/consensus/core/messages.js';
import type { PaxosMessage } from '../../../lib/consensus/paxos/messages.js';
import type { RaftMessage } from '../../../lib/consensus/raft/messages.js';
import type { SimProcess } from './simProcess.js';

/** What the rules look things up with. */
export interface Sight {
  check(holds: boolean, what: string | (() => string)): void;
  readonly committed: Index;
  isMember(node: SimProcess): boolean;
  /** A candidate asks for a vote, which the storage `recorded` of `to` may give. */
  asks(candidate: SimProcess, to: NodeId, reign: string, recorded: string): void;
  /** Whether `candidate` asked the storage of this node. */
  isAsked(node: SimProcess, candidate: NodeId, reign: string): boolean;
  checkAcknowledged(node: SimProcess, to: NodeId, m: Ack, sameReign: (epoch: Epoch) => boolean): void;
}

/** Of one protocol. */
export interface Rules {
  /** What no two leaders have in common. */
  reignOf(epoch: Epoch): string;
  /** Which of two reigns is newer. */
  compare(a: Epoch, b: Epoch): number;
  /** A promise follows another one on a disk. */
  checkHard(sight: Sight, id: NodeId, before: HardState | undefined, after: HardState): void;
  checkSent(sight: Sight, node: SimProcess, to: NodeId, message: MessageBase): void;
}

export const raftRules: Rules = {
  reignOf: ({ n }) => `${n}`,
  compare: (a, b) => a.n - b.n,
  checkHard(sight, id, before, { epoch: { n }, vote }) {
    const term = before?.epoch.n ?? 0;
    sight.check(n >= term, `${id} went from term ${term} back to ${n}`);
    const voted = before?.vote ?? '';
    sight.check(n > term || voted === '' || voted === vote, `${id} changed its vote in ${n} to ${vote}`);
  },
  checkSent(sight, node, to, message) {
    const m = message as RaftMessage;
    const { hard } = node.disk.durable;
    const term = hard?.epoch.n ?? 0;
    if (m.type === 'voteReply' && m.granted && !m.pre) {
      const kept = term > m.term || (term === m.term && hard?.vote === to);
      sight.check(kept, `${node.id} grants ${to} term ${m.term}, its disk says ${term} ${hard?.vote}`);
      // As long as it has not heard of the group, a wiped member is a newcomer like any other, to other newcomers.
      const knows = hard !== undefined && hard.genesis !== '';
      // Who was admitted again may lack the entry that says so: then the candidate has it.
      const may = !knows || sight.isMember(node) || sight.isAsked(node, to, `${m.term}`);
      sight.check(may, `${node.id} votes with a storage that is not on record`);
    }
    if (m.type === 'vote' && !m.pre) {
      sight.check(term >= m.term, `${node.id} runs in ${m.term}, its disk says ${term}`);
      sight.asks(node, to, `${m.term}`, m.recorded);
    }
    if (m.type === 'ack') {
      sight.check(term >= m.term, `${node.id} acknowledges in ${m.term}, its disk says ${term}`);
      sight.checkAcknowledged(node, to, m, ({ n }) => n === m.term);
    }
    if (m.type === 'quiet')
      sight.check(
        m.index <= sight.committed,
        () => `${node.id} would rest at ${m.index}, which is not committed`,
      );
    if (m.type === 'append' || m.type === 'heartbeat')
      sight.check(term >= m.term, `${node.id} leads in ${m.term}, its disk says ${term}`);
  },
};

export const paxosRules: Rules = {
  reignOf: ({ config, n, priority, node }) => `${config}.${n}.${priority}.${node}`,
  compare: compareEpochs,
  checkHard(sight, id, before, { epoch, config, commit }) {
    const was = before?.epoch ?? NO_EPOCH;
    sight.check(compareEpochs(epoch, was) >= 0, `${id} went from ballot ${show(was)} back to ${show(epoch)}`);
    sight.check(config >= (before?.config ?? 0), `${id} went back to configuration ${config}`);
    sight.check(commit >= (before?.commit ?? 0), `${id} went back to commit ${commit}`);
  },
  checkSent(sight, node, to, message) {
    const m = message as PaxosMessage;
    const { hard } = node.disk.durable;
    const promised = hard?.epoch ?? NO_EPOCH;
    const config = hard?.config ?? 0;
    const keeps = (ballot: Epoch): boolean => compareEpochs(promised, ballot) >= 0;
    const says = (what: string) => (): string => `${node.id} ${what}, its disk says ${show(promised)}`;
    if (m.type === 'promise' && m.granted) sight.check(keeps(m.term), says(`promises ${show(m.term)}`));
    if (m.type === 'prepare' || m.type === 'append' || m.type === 'heartbeat' || m.type === 'timeoutNow')
      sight.check(keeps(m.term), says(`sends ${m.type} of ${show(m.term)}`));
    if (m.type === 'ack') {
      // Of a configuration that it does not know yet, a node takes what is committed, and promises nothing.
      const isAhead = m.term.config > config;
      sight.check(isAhead || keeps(m.term), says(`accepts in ${show(m.term)}`));
      sight.check(!isAhead || m.matched <= sight.committed, says(`accepts ${m.matched} in ${show(m.term)}`));
      sight.checkAcknowledged(node, to, m, (epoch) => compareEpochs(epoch, m.term) === 0);
    }
  },
};

function show({ config, n, node }: Epoch): string {
  return `${config}.${n}${node}`;
}
