/** Checks messages before the core believes them: a peer's bytes may be anything. */
import { compareEpochs, lastOf } from '../consensus.js';
import type { Entry, Epoch } from '../consensus.js';
import type { RaftMessage } from './messages.js';

/** How far ahead of the own term another one may be; nobody counts this far, and a corrupt one would end all counting. */
const MAX_TERM_JUMP = 2 ** 40;
const kinds: ReadonlySet<unknown> = new Set(['user', 'noop', 'config', 'stop']);

/** Whether a message can be what it says, seen from a node in `term`. @internal */
export function isSound(message: RaftMessage, term: number): boolean {
  const m = message as Partial<Record<string, unknown>> & RaftMessage;
  if ('term' in m && !(isCount(m.term) && m.term <= term + MAX_TERM_JUMP)) return false;
  switch (m.type) {
    case 'vote':
      return (
        isFlag(m.pre) &&
        isPositive(m.term) &&
        isCount(m.lastIndex) &&
        isCount(m.lastTerm) &&
        m.lastTerm < m.term &&
        isText(m.genesis) &&
        isText(m.recorded)
      );
    case 'voteReply':
      return isFlag(m.pre) && isFlag(m.granted) && isCount(m.term) && isText(m.genesis);
    case 'append':
      return (
        isPositive(m.term) && isCount(m.commit) && isCount(m.prevIndex) && isEpoch(m.prevEpoch) && areSound(m)
      );
    case 'heartbeat':
      return isPositive(m.term) && isCount(m.commit) && isCount(m.round) && isText(m.genesis);
    case 'ack':
      return isCount(m.term) && isCount(m.matched) && isCount(m.round) && isConflict(m.conflict);
    case 'read':
      return isCount(m.batch);
    case 'readReply':
      return isCount(m.batch) && isCount(m.index);
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
  return Number.isSafeInteger(index);
}

function isEntry(entry: Entry | undefined): entry is Entry {
  return (
    typeof entry === 'object' &&
    isPositive(entry.index) &&
    isPositive(entry.count) &&
    (entry.kind === 'user' || entry.count === 1) &&
    kinds.has(entry.kind) &&
    Number.isFinite(entry.time) &&
    isEpoch(entry.epoch) &&
    isPositive(entry.epoch.n) &&
    entry.data instanceof Uint8Array
  );
}

function isConflict(value: unknown): boolean {
  if (value === undefined) return true;
  if (typeof value !== 'object' || value === null) return false;
  const { prevIndex, index, epoch } = value as Record<string, unknown>;
  return isPositive(prevIndex) && isCount(index) && index <= prevIndex && isEpoch(epoch);
}

function isEpoch(value: unknown): value is Epoch {
  if (typeof value !== 'object' || value === null) return false;
  const { config, n, priority, node } = value as Record<string, unknown>;
  return isCount(config) && isCount(n) && isCount(priority) && isText(node);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
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
