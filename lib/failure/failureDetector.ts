/** What a failure detector is: an opinion about a peer, formed from when it was heard. */

/** What a detector thinks of a peer. `dead` costs the peer its link. */
export type Verdict = 'alive' | 'suspect' | 'dead';

/** Watches one peer. All times are milliseconds of one monotonic clock. */
export interface FailureMonitor {
  /** The peer gave a sign of life. */
  heard(now: number): void;
  /** What to think of the peer now. */
  judge(now: number): Verdict;
  /** This process itself stood still for `ms`: silence in that time proves nothing about the peer. */
  excuse(ms: number, now: number): void;
}

/** Makes monitors. One detector serves all peers of a mesh. */
export interface FailureDetector {
  readonly kind: string;
  /** Starts watching a peer that was heard just now. */
  monitor(now: number): FailureMonitor;
}
