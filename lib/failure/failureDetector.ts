/** What a failure detector is: an opinion about a peer, formed from when it was heard. */

/**
 * What a detector thinks of a peer. `suspect` has its link probed, directly and through other members; `dead` costs the peer
 * its link.
 */
export type Verdict = 'alive' | 'suspect' | 'dead';

/** Watches one link to one peer. All times are milliseconds of one monotonic clock. */
export interface FailureMonitor {
  /** The peer gave a sign of life: any traffic. A heartbeat counts as one too, whether or not this was called for it before. */
  heard(now: number): void;
  /**
   * A heartbeat of the peer arrived. `seq` grows with each it sends; `stalledMs` is how long its process stood still lately (the
   * worst it remembers, 0 when it did not): a node that announces stalls is given that much more patience, up to 5 s. A heartbeat
   * that was overtaken by a later one is a sign of life and no more.
   */
  heartbeat(now: number, seq: number, stalledMs: number): void;
  /** What to think of the peer now. */
  judge(now: number): Verdict;
  /** This process itself stood still for `ms`: silence in that time proves nothing about the peer. */
  excuse(ms: number, now: number): void;
  /**
   * How improbable the present silence is, on a scale that grows without bound and is 0 when the peer was just heard; what is
   * above the detector's threshold is `dead`. Finite always.
   */
  phi(now: number): number;
}

/** What a monitor may count on. */
export interface MonitorOptions {
  /** How often the peer sends heartbeats, in milliseconds. */
  readonly intervalMs: number;
}

/** Makes monitors. One detector serves all peers of a mesh. */
export interface FailureDetector {
  readonly kind: string;
  /** Starts watching a peer that was heard just now. */
  monitor(now: number, options: MonitorOptions): FailureMonitor;
}
