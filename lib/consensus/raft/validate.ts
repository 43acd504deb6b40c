/** Checks messages before the core believes them: a peer's bytes may be anything. */
import { MAX_EPOCH_JUMP } from '../bounds.js';
import {
  areEntries,
  isConflict,
  isCount,
  isEpoch,
  isFlag,
  isIndex,
  isPositive,
  isText,
} from '../core/checks.js';
import type { RaftMessage } from './messages.js';

/** Whether a message can be what it says, seen from a node in `term`. @internal */
export function isSound(message: RaftMessage, term: number): boolean {
  const m = message as Partial<Record<string, unknown>> & RaftMessage;
  if ('term' in m && !(isCount(m.term) && m.term <= term + MAX_EPOCH_JUMP)) return false;
  switch (m.type) {
    case 'vote':
      return (
        isFlag(m.pre) &&
        isPositive(m.term) &&
        isIndex(m.lastIndex) &&
        isCount(m.lastTerm) &&
        m.lastTerm < m.term &&
        isText(m.genesis) &&
        isText(m.recorded) &&
        isFlag(m.transfer) &&
        !(m.pre && m.transfer)
      );
    case 'voteReply':
      return isFlag(m.pre) && isFlag(m.granted) && isCount(m.term) && isText(m.genesis);
    case 'append':
      return (
        isPositive(m.term) && isIndex(m.commit) && isIndex(m.prevIndex) && isEpoch(m.prevEpoch) && areSound(m)
      );
    case 'heartbeat':
      return (
        isPositive(m.term) &&
        isIndex(m.commit) &&
        isCount(m.round) &&
        isText(m.genesis) &&
        isCount(m.promiseMs) &&
        (m.round > 0 || m.promiseMs === 0)
      );
    case 'ack':
      return (
        isCount(m.term) &&
        isIndex(m.matched) &&
        isCount(m.round) &&
        isFlag(m.promised) &&
        isConflict(m.conflict)
      );
    case 'read':
      return isCount(m.batch);
    case 'readReply':
      return isCount(m.batch) && isIndex(m.index);
    case 'timeoutNow':
    case 'wake':
      return isPositive(m.term);
    case 'quiet':
      return isPositive(m.term) && isIndex(m.index) && isPositive(m.attempt) && isFlag(m.begins);
    case 'quietReply':
      return isPositive(m.term) && isPositive(m.attempt) && isFlag(m.ok);
    default:
      return false;
  }
}

function areSound({
  term,
  prevIndex,
  prevEpoch,
  entries,
}: Extract<RaftMessage, { type: 'append' }>): boolean {
  return areEntries(entries, prevIndex, prevEpoch, ({ n }) => n <= term);
}
