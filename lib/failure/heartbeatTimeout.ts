import { described } from '../description.js';
import { checkNumber } from '../errors.js';
import { patienceFor } from './awareness.js';
import type { FailureDetector, FailureMonitor, Verdict } from './failureDetector.js';

/** Options of {@link heartbeatTimeout}. */
export interface HeartbeatTimeoutOptions {
  /**
   * Silence after which a peer is taken for dead, in milliseconds, 10 to 600 000. Half of it makes the peer suspect.
   * @defaultValue 1500
   */
  readonly timeoutMs?: number;
}

/**
 * The plain detector: a peer silent for longer than a fixed time is dead. A peer that announces stalls is given as much more
 * time, up to 5 s.
 *
 * @throws QuorateError `ERR_CONFIG` when `timeoutMs` is out of range.
 * @example
 * ```ts
 * joinMesh({ …, failureDetector: heartbeatTimeout({ timeoutMs: 3000 }) });
 * ```
 */
export function heartbeatTimeout(options: HeartbeatTimeoutOptions = {}): FailureDetector {
  const timeoutMs = checkNumber('timeoutMs', options.timeoutMs ?? 1500, 10, 600_000, false);
  const detector: FailureDetector = {
    kind: 'heartbeatTimeout',
    monitor: (now) => new HeartbeatTimeoutMonitor(timeoutMs, now),
  };
  return described(detector, 'heartbeatTimeout', [{ timeoutMs }]);
}

class HeartbeatTimeoutMonitor implements FailureMonitor {
  readonly #timeoutMs: number;
  #lastHeard: number;
  #seq = -Infinity;
  /** What the peer's announced stalls add to the time-out. */
  #patienceMs = 0;

  constructor(timeoutMs: number, now: number) {
    this.#timeoutMs = timeoutMs;
    this.#lastHeard = now;
  }

  heard(now: number): void {
    this.#lastHeard = Math.max(this.#lastHeard, now);
  }

  heartbeat(now: number, seq: number, stalledMs: number): void {
    this.heard(now);
    if (!(seq > this.#seq)) return; // one that was overtaken
    this.#seq = seq;
    this.#patienceMs = patienceFor(stalledMs);
  }

  /** The silence in time-outs: above 1 is dead. */
  phi(now: number): number {
    return (now - this.#lastHeard) / (this.#timeoutMs + this.#patienceMs);
  }

  judge(now: number): Verdict {
    const silence = now - this.#lastHeard;
    if (silence > this.#timeoutMs + this.#patienceMs) return 'dead';
    return silence > this.#timeoutMs / 2 ? 'suspect' : 'alive';
  }

  excuse(ms: number, now: number): void {
    this.#lastHeard = Math.min(now, this.#lastHeard + ms);
  }
}
