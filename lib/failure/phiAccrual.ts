import { described } from '../description.js';
import { checkNumber } from '../errors.js';
import { patienceFor } from './awareness.js';
import type { FailureDetector, FailureMonitor, MonitorOptions, Verdict } from './failureDetector.js';
import { phi, sigmasFor } from './phi.js';
import { SampleWindow } from './sampleWindow.js';

/** Options of {@link phiAccrual}. */
export interface PhiAccrualOptions {
  /**
   * The level of suspicion above which a peer is taken for dead: −log10 of the chance that it lives, 1 to 32. Each step of 1 is
   * ten times fewer false alarms on a network that behaves as before; 12 suits networks with rare, long delays.
   * @defaultValue 8
   */
  readonly threshold?: number;
  /**
   * Silence that is accepted beyond the usual interval before a peer is taken for dead, in milliseconds, 0 to 600 000. It
   * carries a peer over pauses that the history does not show: garbage collection, a lost packet, a busy disk. Suspicion does
   * not wait for it.
   * @defaultValue four heartbeat intervals, at least 500: 1000 at 250 ms
   */
  readonly pauseMs?: number;
  /**
   * The least standard deviation that is assumed, in milliseconds, 1 to 60 000, so that a very regular peer is not condemned
   * for its first irregularity.
   * @defaultValue 0.24 heartbeat intervals, at least 20: 60 at 250 ms
   */
  readonly minStdMs?: number;
  /**
   * How many of the newest intervals are remembered, 10 to 10 000; 8 bytes each a link.
   * @defaultValue 1000
   */
  readonly samples?: number;
}

interface Settings {
  readonly threshold: number;
  /** The threshold in standard deviations. */
  readonly sigmas: number;
  readonly pauseMs: number | undefined;
  readonly minStdMs: number | undefined;
  readonly samples: number;
}

/**
 * The detector that learns: it keeps a history of the intervals between a peer's heartbeats and says how improbable the present
 * silence is (Hayashibara et al., "The φ accrual failure detector", SRDS 2004). A jittery path earns more patience, a regular
 * one less. With the default heartbeat of 250 ms a silent peer is suspect after about 560 ms and dead after about 1.56 s.
 *
 * @throws QuorateError `ERR_CONFIG` when an option is out of range.
 * @example
 * ```ts
 * joinMesh({ …, failureDetector: phiAccrual({ threshold: 12, pauseMs: 3000 }) }); // a patient one, for the internet
 * ```
 */
export function phiAccrual(options: PhiAccrualOptions = {}): FailureDetector {
  const threshold = checkNumber('threshold', options.threshold ?? 8, 1, 32, false);
  const settings: Settings = {
    threshold,
    sigmas: sigmasFor(threshold),
    pauseMs:
      options.pauseMs === undefined ? undefined : checkNumber('pauseMs', options.pauseMs, 0, 600_000, false),
    minStdMs:
      options.minStdMs === undefined
        ? undefined
        : checkNumber('minStdMs', options.minStdMs, 1, 60_000, false),
    samples: checkNumber('samples', options.samples ?? 1000, 10, 10_000),
  };
  const detector: FailureDetector = {
    kind: 'phiAccrual',
    monitor: (now, options) => new PhiMonitor(settings, now, options),
  };
  return described(detector, 'phiAccrual', [options]);
}

class PhiMonitor implements FailureMonitor {
  readonly #sigmas: number;
  readonly #pauseMs: number;
  readonly #minStdMs: number;
  /** Arrivals closer together than this are a burst. */
  readonly #burstMs: number;
  readonly #history: SampleWindow;
  #mean = 0;
  #sd = 0;
  /** When the peer last gave a sign of life. */
  #heardAt: number;
  /** The newest heartbeat: its number, when it came, and whether an interval that begins with it is a sample. */
  #seq = -Infinity;
  #arrivedAt = -Infinity;
  #sound = false;
  /** The interval under way says nothing about the peer's rhythm. */
  #spoilt = false;
  /** The newest interval. It waits for the next heartbeat: that we stood still ourselves may come out only after it arrived. */
  #pending: number | undefined;
  /** What the peer's announced stalls add to the pause. */
  #patienceMs = 0;

  constructor(settings: Settings, now: number, { intervalMs }: MonitorOptions) {
    this.#sigmas = settings.sigmas;
    this.#pauseMs = settings.pauseMs ?? Math.max(500, 4 * intervalMs);
    this.#minStdMs = settings.minStdMs ?? Math.max(20, 0.24 * intervalMs);
    this.#burstMs = intervalMs / 4;
    this.#history = new SampleWindow(settings.samples);
    this.#heardAt = now;
    this.#history.add(intervalMs - intervalMs / 4);
    this.#record(intervalMs + intervalMs / 4);
  }

  heard(now: number): void {
    // Back from the dead: that silence was a failure, not a rhythm.
    if (this.#silence(now) > this.#deadAfter) this.#spoilt = true;
    this.#heardAt = Math.max(this.#heardAt, now);
  }

  heartbeat(now: number, seq: number, stalledMs: number): void {
    this.heard(now);
    if (!(seq > this.#seq)) return; // one that was overtaken
    const stalling = stalledMs > 0;
    const gap = now - this.#arrivedAt;
    const regular = gap >= this.#burstMs && !this.#spoilt;
    if (regular) {
      if (this.#pending !== undefined) this.#record(this.#pending);
      // A long gap in a peer that stalls is a stall, which it announces: learning it too would count it twice.
      const learn = this.#sound && (!stalling || gap <= this.#suspectAfter);
      this.#pending = learn ? gap : undefined;
    }
    this.#seq = seq;
    this.#arrivedAt = now;
    // The interval after a burst is cut short by it, so it is no sample either.
    this.#sound = regular;
    this.#spoilt = false;
    this.#patienceMs = patienceFor(stalledMs);
  }

  judge(now: number): Verdict {
    const silence = this.#silence(now);
    if (silence > this.#deadAfter) return 'dead';
    return silence > this.#suspectAfter ? 'suspect' : 'alive';
  }

  excuse(ms: number, now: number): void {
    this.#heardAt = Math.min(now, this.#heardAt + ms);
    this.#spoilt = true;
    this.#pending = undefined;
  }

  phi(now: number): number {
    return phi(this.#silence(now), this.#mean + this.#pauseMs + this.#patienceMs, this.#sd);
  }

  get #suspectAfter(): number {
    return this.#mean + this.#sigmas * this.#sd;
  }

  get #deadAfter(): number {
    return this.#suspectAfter + this.#pauseMs + this.#patienceMs;
  }

  #silence(now: number): number {
    return now - this.#heardAt;
  }

  #record(interval: number): void {
    this.#history.add(interval);
    this.#mean = this.#history.mean;
    this.#sd = Math.max(this.#minStdMs, Math.sqrt(this.#history.variance));
  }
}
