/** Checks parts of messages before a core believes them: a peer's bytes may be anything. */
import { MAX_INDEX } from '../bounds.js';
import { compareEpochs, lastOf } from '../consensus.js';
import type { Entry, Epoch, Index } from '../consensus.js';

/** The most commands that one entry carries, as proposals have it. */
const MAX_COUNT = 65_536;
/** The most bytes of a membership in the log. */
const MAX_CONFIG_BYTES = 1024 * 1024;
/** The last millisecond that a Date can name. */
const MAX_TIME = 8.64e15;
const kinds: ReadonlySet<unknown> = new Set(['user', 'noop', 'config', 'stop']);

/**
 * Whether the entries follow `prevIndex` without a gap, with epochs that never go back and that the sender can know.
 *
 * @internal
 */
export function areEntries(
  given: unknown,
  prevIndex: Index,
  prevEpoch: Epoch,
  isKnown: (epoch: Epoch) => boolean,
): boolean {
  if (!Array.isArray(given) || !isKnown(prevEpoch)) return false;
  let index = prevIndex + 1;
  let epoch = prevEpoch;
  for (const entry of given as readonly (Entry | undefined)[]) {
    if (!isEntry(entry) || entry.index !== index) return false;
    if (entry.epoch !== epoch && (compareEpochs(entry.epoch, epoch) < 0 || !isKnown(entry.epoch)))
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

/** @internal */
export function isConflict(value: unknown): boolean {
  if (value === undefined) return true;
  if (typeof value !== 'object' || value === null) return false;
  const { prevIndex, index, epoch } = value as Record<string, unknown>;
  return (
    isPositive(prevIndex) && isIndex(prevIndex) && isIndex(index) && index <= prevIndex && isEpoch(epoch)
  );
}

/** @internal */
export function isEpoch(value: unknown): value is Epoch {
  if (typeof value !== 'object' || value === null) return false;
  const { config, n, priority, node } = value as Record<string, unknown>;
  return isCount(config) && isCount(n) && isCount(priority) && isText(node);
}

/** @internal */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** @internal */
export function isIndex(value: unknown): value is number {
  return isCount(value) && value <= MAX_INDEX;
}

/** @internal */
export function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

/** @internal */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 256;
}

/** @internal */
export function isFlag(value: unknown): value is boolean {
  return typeof value === 'boolean';
}
