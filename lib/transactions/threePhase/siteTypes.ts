/** What a site of a three-phase commit says, remembers and does. */

/**
 * How a transaction is brought to its end: `quorum` (E3PC) is safe whatever the network does, and ends where a majority of the sites
 * is; `plain` is safe only where no message takes longer than the time-out, and a partition splits it.
 */
export type ThreePhaseForm = 'quorum' | 'plain';

/** Where a site stands; the letters of the papers are q, w, pc, pa, c, a. */
export type SiteState =
  'initial' | 'waiting' | 'prepared-commit' | 'prepared-abort' | 'committed' | 'aborted';

/** What a site must remember before anybody hears of it. */
export interface SiteRecord {
  readonly state: SiteState;
  /** The highest ballot that it has promised to (E3PC: Last_Elected). */
  readonly lastElected: number;
  /** The ballot in which it was last prepared, to commit or to abort (E3PC: Last_Attempt). */
  readonly lastAttempt: number;
}

/** What sites tell each other. */
export type SiteMessage =
  | { readonly type: 'vote?' }
  /** Yes: who says no tells all that it is aborted. */
  | { readonly type: 'vote' }
  /** Prepare to commit, or to abort, in this attempt. */
  | { readonly type: 'prepare'; readonly ballot: number; readonly to: 'commit' | 'abort' }
  | { readonly type: 'prepared'; readonly ballot: number; readonly to: 'commit' | 'abort' }
  /** Somebody wants to bring it to its end. */
  | { readonly type: 'elect'; readonly ballot: number }
  | { readonly type: 'elected'; readonly ballot: number; readonly record: SiteRecord }
  /** The one who asks has promised to a higher ballot. */
  | { readonly type: 'refused'; readonly ballot: number }
  | { readonly type: 'outcome'; readonly outcome: 'commit' | 'abort' };

/** What a step of a site led to, in this order: store, then send, then do. */
export interface SiteEffects {
  /** To be durable before any of the messages leaves. */
  readonly record: SiteRecord | undefined;
  readonly messages: readonly { readonly to: string; readonly message: SiteMessage }[];
  /** The resource is asked for its vote; the answer goes to {@link CommitSite.voted}. */
  readonly askVote: boolean;
  /** The outcome, when it has become known; once. */
  readonly outcome: 'commit' | 'abort' | undefined;
}
