/**
 * Puts what another node holds into the own log: only what is missing or differs, truncating at a real conflict, never what is
 * committed.
 */
import { compareEpochs, lastOf } from '../consensus.js';
import { decodeMembership } from '../membership.js';
import type { Entry, Epoch, Index } from '../consensus.js';
import type { CoreState } from './state.js';

/** The way of entries into a log. @internal */
export class Intake {
  readonly #state: CoreState;

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** Whether the log agrees with another one up to `prevIndex`, which it reaches. */
  agrees(prevIndex: Index, prevEpoch: Epoch): boolean {
    // What is compacted was committed, so every leader has the same.
    const here = this.#state.log.epochAt(prevIndex);
    return here === undefined || compareEpochs(here, prevEpoch) === 0;
  }

  /** Takes entries that follow where the log {@link Intake.agrees}. `false`: they cannot be true, and nothing was taken. */
  take(entries: readonly Entry[]): boolean {
    const { log, commit } = this.#state;
    const fresh = this.#unknownOf(entries);
    if (fresh === undefined || !this.#founded(fresh)) return false;
    const first = fresh[0];
    if (first === undefined) return true;
    // What is committed never changes: whoever says so is no leader of this group.
    if (first.index <= commit) return false;
    if (first.index <= log.last) this.#truncateFrom(first.index);
    this.#append(fresh);
    return true;
  }

  /**
   * The entries that this log does not hold, from the first that is missing or differs. An append that is old, or came twice,
   * thus changes nothing (openraft's "old append truncates a matching suffix"). Undefined: they contradict the log.
   */
  #unknownOf(entries: readonly Entry[]): readonly Entry[] | undefined {
    const { log } = this.#state;
    for (const [at, entry] of entries.entries()) {
      const end = lastOf(entry);
      if (end <= log.start) continue;
      if (entry.index > log.last) return at === 0 ? entries : entries.slice(at);
      if (!same(log.epochAt(entry.index), entry.epoch)) return entries.slice(at);
      // One reign's entry at an index is one entry, so it is here whole.
      if (end > log.last || !same(log.epochAt(end), entry.epoch)) return undefined;
    }
    return [];
  }

  /** Whether memberships among the entries can be read and are of this group's founding. */
  #founded(entries: readonly Entry[]): boolean {
    const { genesis } = this.#state;
    for (const entry of entries) {
      if (entry.kind !== 'config') continue;
      const membership = decodeMembership(entry.data);
      if (membership === undefined || membership.genesis === '') return false;
      if (genesis !== '' && membership.genesis !== genesis) return false;
    }
    return true;
  }

  #append(entries: readonly Entry[]): void {
    const state = this.#state;
    state.log.append(entries);
    state.dirty = true;
    for (const entry of entries) {
      state.disk.append(entry);
      if (entry.kind !== 'config') continue;
      state.configs.append(entry);
      state.changed = true;
    }
  }

  #truncateFrom(index: Index): void {
    const state = this.#state;
    state.log.truncateFrom(index);
    state.disk.truncateFrom(index);
    if (state.configs.truncateFrom(index)) state.changed = true;
  }
}

function same(a: Epoch | undefined, b: Epoch): boolean {
  return a === undefined || compareEpochs(a, b) === 0;
}
