import { checkNumber } from '../errors.js';
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
 * The plain detector: a peer silent for longer than a fixed time is dead.
 *
 * @throws QuorateError `ERR_CONFIG` when `timeoutMs` is out of range.
 */
export function heartbeatTimeout(options: HeartbeatTimeoutOptions = {}): FailureDetector {
  const timeoutMs = checkNumber('timeoutMs', options.timeoutMs ?? 1500, 10, 600_000, false);
  return { kind: 'heartbeatTimeout', monitor: (now) => new HeartbeatTimeoutMonitor(timeoutMs, now) };
}

class HeartbeatTimeoutMonitor implements FailureMonitor {
  readonly #timeoutMs: number;
  #lastHeard: number;

  constructor(timeoutMs: number, now: number) {
    this.#timeoutMs = timeoutMs;
    this.#lastHeard = now;
  }

  heard(now: number): void {
    this.#lastHeard = now;
  }

  heartbeat(now: number): void {
    this.heard(now);
  }

  phi(now: number): number {
    return (now - this.#lastHeard) / this.#timeoutMs;
  }

  judge(now: number): Verdict {
    const silence = now - this.#lastHeard;
    if (silence > this.#timeoutMs) return 'dead';
    return silence > this.#timeoutMs / 2 ? 'suspect' : 'alive';
  }

  excuse(ms: number, now: number): void {
    this.#lastHeard = Math.min(now, this.#lastHeard + ms);
  }
}
