/** What the app's side of a group is told at the end of a turn. @internal */
import type { Entry, Index } from '../consensus/consensus.js';
import type { EngineBatch, EngineNotice, GroupStatus, ProposalRefusal } from './door.js';

/** Refusals that one turn takes in: more than a member can have calls under way. */
const MAX_REFUSED = 65_536;
/** Warnings are not told while so many notices wait for the app's side. */
const MAX_UNTOLD_WARNINGS = 256;

export class Deliveries {
  #refused: { token: number; why: ProposalRefusal }[] = [];
  #readsFailed: number[] = [];
  #reads: { context: number; index: Index }[] = [];
  #notices: EngineNotice[] = [];
  #statusChanged = true;
  #commitTold: Index = 0;

  get hasNotices(): boolean {
    return this.#notices.length > 0;
  }

  /** Whether no more notices wait than answers can be due. */
  get bounded(): boolean {
    return this.#notices.length <= MAX_REFUSED;
  }

  /** `false`: there are too many. */
  refused(token: number, why: ProposalRefusal): boolean {
    this.#refused.push({ token, why });
    return this.#refused.length <= MAX_REFUSED;
  }

  read(read: { readonly context: number; readonly index: Index }): void {
    this.#reads.push(read);
  }

  readFailed(context: number): void {
    this.#readsFailed.push(context);
  }

  /** `false`: it is left out. */
  tell(notice: EngineNotice): boolean {
    // The app may take nothing for long, and peers can cause warnings: all others are answers to the app.
    if (notice.type === 'warning' && this.#notices.length >= MAX_UNTOLD_WARNINGS) return false;
    this.#notices.push(notice);
    return true;
  }

  statusChanged(): void {
    this.#statusChanged = true;
  }

  /** All that was gathered, with the entries of the turn; undefined when there is nothing to tell. */
  take(entries: readonly Entry[], commitIndex: Index, status: () => GroupStatus): EngineBatch | undefined {
    const quiet =
      entries.length === 0 &&
      this.#reads.length === 0 &&
      this.#readsFailed.length === 0 &&
      this.#refused.length === 0 &&
      this.#notices.length === 0 &&
      !this.#statusChanged &&
      commitIndex === this.#commitTold;
    if (quiet) return undefined;
    const batch = {
      entries,
      reads: this.#reads,
      readsFailed: this.#readsFailed,
      refused: this.#refused,
      status: this.#statusChanged ? status() : undefined,
      commitIndex,
      notices: this.#notices,
    };
    if (this.#reads.length > 0) this.#reads = [];
    if (this.#readsFailed.length > 0) this.#readsFailed = [];
    if (this.#refused.length > 0) this.#refused = [];
    if (this.#notices.length > 0) this.#notices = [];
    this.#statusChanged = false;
    this.#commitTold = commitIndex;
    return batch;
  }
}
