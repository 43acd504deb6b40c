/** Checks messages before the core believes them: a peer's bytes may be anything. */
import { MAX_EPOCH_JUMP } from '../bounds.js';
import { compareEpochs } from '../consensus.js';
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
import type { Epoch, NodeId } from '../consensus.js';
import type { PaxosMessage } from './messages.js';

/** Whether a message of `from` can be what it says, seen from a node that takes part in `ballot`. @internal */
export function isSound(message: PaxosMessage, from: NodeId, ballot: Epoch): boolean {
  const m = message as Partial<Record<string, unknown>> & PaxosMessage;
  if ('term' in m && !isBallot(m.term, ballot)) return false;
  switch (m.type) {
    case 'prepare':
      return owns(from, m.term) && isText(m.genesis) && isOlder(m.chosenBy, m.term);
    case 'promise':
      return (
        isFlag(m.granted) &&
        isEpoch(m.lastEpoch) &&
        isIndex(m.lastIndex) &&
        isIndex(m.commit) &&
        isText(m.genesis)
      );
    case 'fetch':
      return isFlag(m.whole) && isIndex(m.prevIndex) && isEpoch(m.prevEpoch);
    case 'suffix':
      return (
        isFlag(m.whole) &&
        isIndex(m.prevIndex) &&
        isEpoch(m.prevEpoch) &&
        isIndex(m.commit) &&
        isConflict(m.conflict) &&
        // Of what is committed in other configurations the epochs may be any.
        areEntries(
          m.entries,
          m.prevIndex,
          m.prevEpoch,
          (epoch) => !m.whole || compareEpochs(epoch, m.term) <= 0,
        )
      );
    case 'ping':
      return isPositive(m.round);
    case 'pong':
      return (
        isPositive(m.round) &&
        isCount(m.config) &&
        isBallot(m.ballot, ballot) &&
        isBallot(m.leader, ballot) &&
        isFlag(m.happy)
      );
    case 'append':
      return (
        owns(from, m.term) &&
        isIndex(m.commit) &&
        isIndex(m.prevIndex) &&
        isEpoch(m.prevEpoch) &&
        areEntries(m.entries, m.prevIndex, m.prevEpoch, (epoch) => compareEpochs(epoch, m.term) <= 0)
      );
    case 'heartbeat':
      return (
        owns(from, m.term) &&
        isIndex(m.commit) &&
        isCount(m.round) &&
        isText(m.genesis) &&
        isCount(m.promiseMs) &&
        (m.round > 0 || m.promiseMs === 0)
      );
    case 'ack':
      return isIndex(m.matched) && isCount(m.round) && isFlag(m.promised) && isConflict(m.conflict);
    case 'read':
      return isCount(m.batch);
    case 'readReply':
      return isCount(m.batch) && isIndex(m.index);
    case 'timeoutNow':
      return owns(from, m.term);
    default:
      return false;
  }
}

/** Whoever leads, or is about to, speaks of its own ballot. */
function owns(from: NodeId, { n, node }: Epoch): boolean {
  return n > 0 && node === from;
}

/** The ballot of one that led before, or none. */
function isOlder(value: unknown, ballot: Epoch): boolean {
  return value === undefined || (isEpoch(value) && compareEpochs(value, ballot) < 0);
}

function isBallot(value: unknown, ballot: Epoch): value is Epoch {
  return (
    isEpoch(value) && value.n <= ballot.n + MAX_EPOCH_JUMP && value.config <= ballot.config + MAX_EPOCH_JUMP
  );
}
