/** Checks messages before the core believes them: a peer's bytes may be anything. */
import { MAX_EPOCH_JUMP, MAX_INDEX } from '../bounds.js';
import { compareEpochs, lastOf } from '../consensus.js';
import type { Entry, Epoch } from '../consensus.js';
import type { RaftMessage } from './messages.js';

/** The most commands that one entry carries, as proposals have it. */
const MAX_COUNT = 65_536;
/** The most bytes of a membership in the log. */
const MAX_CONFIG_BYTES = 1024 * 1024;
/** The last millisecond that a Date can name. */
const MAX_TIME = 8.64e15;
const kinds: ReadonlySet<unknown> = new Set(['user', 'noop', 'config', 'stop']);

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

/** Whether the entries follow `prevIndex` without a gap, with epochs that never go back and are not of the future. */
function areSound(m: Extract<RaftMessage, { type: 'append' }>): boolean {
  if (!Array.isArray(m.entries) || m.prevEpoch.n > m.term) return false;
  let index = m.prevIndex + 1;
  let epoch = m.prevEpoch;
  for (const entry of m.entries as readonly (Entry | undefined)[]) {
    if (!isEntry(entry) || entry.index !== index) return false;
    if (entry.epoch !== epoch && (compareEpochs(entry.epoch, epoch) < 0 || entry.epoch.n > m.term))
      return false;
    epoch = entry.epoch;
    index = lastOf(entry) + 1;
  }
  return index - 1 <= MAX_INDEX;
}

function isEntry(entry: Entry | undefined): entry is Entry {
  return (
    typeof entry === 'object' &&
    isPositive(entry.index) &&
    isPositive(entry.count) &&
    entry.count <= (entry.kind === 'user' ? MAX_COUNT : 1) &&
    kinds.has(entry.kind) &&
    entry.time >= 0 &&
    entry.time <= MAX_TIME &&
    isEpoch(entry.epoch) &&
    isPositive(entry.epoch.n) &&
    entry.data instanceof Uint8Array &&
    (entry.kind === 'user' || entry.data.length <= MAX_CONFIG_BYTES)
  );
}

function isConflict(value: unknown): boolean {
  if (value === undefined) return true;
  if (typeof value !== 'object' || value === null) return false;
  const { prevIndex, index, epoch } = value as Record<string, unknown>;
  return (
    isPositive(prevIndex) && isIndex(prevIndex) && isIndex(index) && index <= prevIndex && isEpoch(epoch)
  );
}

function isEpoch(value: unknown): value is Epoch {
  if (typeof value !== 'object' || value === null) return false;
  const { config, n, priority, node } = value as Record<string, unknown>;
  return isCount(config) && isCount(n) && isCount(priority) && isText(node);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isIndex(value: unknown): value is number {
  return isCount(value) && value <= MAX_INDEX;
}

function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 256;
}

function isFlag(value: unknown): value is boolean {
  return typeof value === 'boolean';
}
