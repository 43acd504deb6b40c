/** What a {@link GroupWrite} means, checked once and carried out on whatever holds the log. */
import { compareEpochs, lastOf } from '../consensus/consensus.js';
import type { Entry, Epoch, HardState, Index } from '../consensus/consensus.js';
import { QuorateError } from '../errors.js';
import { checkEntry } from './entryCodec.js';
import type { GroupWrite } from './storage.js';

/** The log of one group as a write sees it. @internal */
export interface WritableLog {
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  /** The epoch of an entry it holds. */
  epochAt(index: Index): Epoch;
  /** The first index of the entry that takes this index, of those it holds. */
  startOf(index: Index): Index;
  setHard(hard: HardState): void;
  /** Drops the entries from `from` on. */
  truncate(from: Index): void;
  /** Drops everything; the next entry has index `first`. */
  reset(first: Index): void;
  append(entries: readonly Entry[]): void;
  /** Drops the entries before `first`. */
  compact(first: Index): void;
}

/** Whether the rule of `install` keeps the entries after a snapshot. @internal */
export function keepsAfter(
  log: Pick<WritableLog, 'firstIndex' | 'lastIndex' | 'epochAt'>,
  index: Index,
  epoch: Epoch,
): boolean {
  if (index === log.firstIndex - 1) return true; // the log begins right after it
  if (index < log.firstIndex || index > log.lastIndex) return false;
  return compareEpochs(log.epochAt(index), epoch) === 0;
}

/**
 * Checks a write against the log and throws ERR_INTERNAL, before anything is changed, when it makes no sense; then carries
 * it out. `snapshotIndex` is that of the current snapshot, 0 without one: entries only go once a snapshot covers them.
 *
 * @internal
 */
export function applyWrite(log: WritableLog, write: GroupWrite, snapshotIndex: Index): void {
  const { hard, truncateFrom = 0, install, entries = [], compactTo = 0 } = write;
  const bad = (why: string): never => {
    throw new QuorateError('ERR_INTERNAL', `a write to group ${write.group} ${why}`);
  };
  let last = log.lastIndex;
  if (truncateFrom !== 0 && truncateFrom <= last) {
    if (truncateFrom < log.firstIndex)
      bad(`truncates from ${truncateFrom}, before its first index ${log.firstIndex}`);
    if (log.startOf(truncateFrom) !== truncateFrom) bad(`truncates from ${truncateFrom}, within an entry`);
    last = truncateFrom - 1;
  }
  let keeps = true;
  if (install !== undefined) {
    const { index } = install;
    if (index < log.firstIndex - 1)
      bad(`installs a snapshot at ${index}, before its first index ${log.firstIndex}`);
    if (index > snapshotIndex) bad(`installs a snapshot at ${index} that was not committed`);
    keeps = index <= last && keepsAfter(log, index, install.epoch);
    if (keeps && index < last && index >= log.firstIndex && log.startOf(index + 1) !== index + 1) {
      bad(`installs a snapshot at ${index}, within an entry`);
    }
    if (!keeps) last = index;
  }
  for (const entry of entries) {
    checkEntry(entry);
    if (entry.index !== last + 1) bad(`appends index ${entry.index} where ${last + 1} is due`);
    last = lastOf(entry);
  }
  if (compactTo > last) bad(`compacts to ${compactTo}, after its last index ${last}`);
  if (compactTo > snapshotIndex) bad(`compacts to ${compactTo}, which no committed snapshot covers`);

  if (hard !== undefined) log.setHard(hard);
  if (truncateFrom !== 0 && truncateFrom <= log.lastIndex) log.truncate(truncateFrom);
  if (install !== undefined) {
    if (!keeps) log.reset(install.index + 1);
    else if (install.index >= log.firstIndex) log.compact(install.index + 1);
  }
  if (entries.length > 0) log.append(entries);
  if (compactTo >= log.firstIndex) {
    const first = compactTo === log.lastIndex ? compactTo + 1 : log.startOf(compactTo + 1);
    if (first > log.firstIndex) log.compact(first);
  }
}

/** Whether a write that erases its group says nothing else, so that nothing of the group is left. @internal */
export function isBareErasure({ hard, truncateFrom, entries, install, compactTo }: GroupWrite): boolean {
  return [hard, truncateFrom, entries, install, compactTo].every((field) => field === undefined);
}
