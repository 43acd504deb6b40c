/** Listens to the cores of a run: which messages they take, and what they come to know as committed. Changes nothing. */
import type { Effects, Entry, MessageBase, NodeId } from '../../consensus/consensus.js';
import { lastOf } from '../../consensus/consensus.js';
import type { RaftMessage } from '../../consensus/raft/messages.js';
import type { ConsensusOption } from '../../replica/consensus.js';
import { alterCores } from './alterCores.js';

/** Told of an event at a node; the kinds are `message` and `commit`. */
export type TapListener = (node: string, kind: string, detail: string) => void;

/** The same protocol, overheard. */
export function tapConsensus(consensus: ConsensusOption, tell: TapListener): ConsensusOption {
  return alterCores(consensus, (core, { self }) => {
    let commit = 0;
    return {
      receive(now: number, from: NodeId, message: MessageBase): boolean {
        tell(self, 'message', `${from}>${self} ${describeMessage(message)}`);
        return core.receive(now, from, message);
      },
      drain(now: number, out: Effects): void {
        core.drain(now, out);
        if (out.commit > commit) tell(self, 'commit', `${(commit = out.commit)}`);
      },
    };
  });
}

/** A message in a few words, what matters most first, then its term. Of other protocols than Raft the type alone. */
export function describeMessage(message: MessageBase): string {
  const m = message as RaftMessage;
  switch (m.type) {
    case 'vote':
      return `${m.pre ? 'prevote?' : m.transfer ? 'vote? (told to)' : 'vote?'} t${m.term} log ${m.lastIndex}@${m.lastTerm}`;
    case 'voteReply':
      return `${m.pre ? 'prevote' : 'vote'} ${m.granted ? 'yes' : 'no'} t${m.term}`;
    case 'append':
      return `append ${rangeOf(m.entries, m.prevIndex)} t${m.term} commit ${m.commit}`;
    case 'heartbeat':
      return `heartbeat t${m.term} commit ${m.commit}`;
    case 'ack':
      return `ack ${m.matched}${m.conflict === undefined ? '' : ` conflict at ${m.conflict.prevIndex}`} t${m.term}`;
    case 'read':
      return `read? ${m.batch}`;
    case 'readReply':
      return `read ${m.index === 0 ? 'ask again' : `at ${m.index}`}`;
    case 'timeoutNow':
      return `time-out now t${m.term}`;
    case 'quiet':
      return `${m.begins ? 'quiet' : 'quiet?'} at ${m.index} t${m.term}`;
    case 'quietReply':
      return `quiet ${m.ok ? 'yes' : 'no'} t${m.term}`;
    case 'wake':
      return `wake t${m.term}`;
    default:
      return message.type;
  }
}

function rangeOf(entries: readonly Entry[], prevIndex: number): string {
  const first = entries[0];
  if (first === undefined) return `nothing after ${prevIndex}`;
  const last = lastOf(entries.at(-1)!);
  return last === first.index ? `${last}@${first.epoch.n}` : `${first.index}–${last}@${first.epoch.n}`;
}
