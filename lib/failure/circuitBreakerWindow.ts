/** What a circuit breaker remembers of the calls that went through: the newest so many, or those of the last so many seconds. */

/** How calls ended. @internal */
export interface Tally {
  readonly calls: number;
  readonly failures: number;
  /** Slow ones, whether they failed or not. */
  readonly slow: number;
}

/** @internal */
export interface OutcomeWindow {
  record(now: number, failed: boolean, slow: boolean): void;
  tally(now: number): Tally;
}

/** The newest calls, so many at most. @internal */
export class CountWindow implements OutcomeWindow {
  readonly #outcomes: Uint8Array;
  #next = 0;
  #calls = 0;
  #failures = 0;
  #slow = 0;

  constructor(calls: number) {
    this.#outcomes = new Uint8Array(calls);
  }

  record(_now: number, failed: boolean, slow: boolean): void {
    const outcomes = this.#outcomes;
    if (this.#calls === outcomes.length) {
      const old = outcomes[this.#next]!;
      this.#failures -= old & 1;
      this.#slow -= old >> 1;
    } else this.#calls++;
    outcomes[this.#next] = (failed ? 1 : 0) | (slow ? 2 : 0);
    this.#next = (this.#next + 1) % outcomes.length;
    if (failed) this.#failures++;
    if (slow) this.#slow++;
  }

  tally(): Tally {
    return { calls: this.#calls, failures: this.#failures, slow: this.#slow };
  }
}

const FIELDS = 3;

/**
 * The calls of the last so many milliseconds, in buckets of equal length that lie fixed on the clock: a bucket leaves when its
 * time is over, however many or few calls there were. @internal
 */
export class TimeWindow implements OutcomeWindow {
  readonly #bucketMs: number;
  readonly #buckets: number;
  /** Calls, failures and slow calls of each bucket. */
  readonly #counts: Float64Array;
  readonly #total = [0, 0, 0];
  /** The number of the newest bucket: how many bucket lengths the clock has seen. */
  #newest = -Infinity;

  constructor(ms: number, buckets: number) {
    this.#bucketMs = ms / buckets;
    this.#buckets = buckets;
    this.#counts = new Float64Array(buckets * FIELDS);
  }

  record(now: number, failed: boolean, slow: boolean): void {
    this.#advance(now);
    this.#add(0, 1);
    if (failed) this.#add(1, 1);
    if (slow) this.#add(2, 1);
  }

  tally(now: number): Tally {
    this.#advance(now);
    const [calls = 0, failures = 0, slow = 0] = this.#total;
    return { calls, failures, slow };
  }

  #add(field: number, by: number): void {
    this.#counts[this.#place(this.#newest) + field]! += by;
    this.#total[field]! += by;
  }

  #advance(now: number): void {
    const bucket = Math.floor(now / this.#bucketMs);
    if (bucket <= this.#newest) return;
    // The buckets that come into use hold what was counted a whole window ago.
    const first = Math.max(this.#newest + 1, bucket - this.#buckets + 1);
    for (let b = first; b <= bucket; b++) {
      const at = this.#place(b);
      for (let field = 0; field < FIELDS; field++) {
        this.#total[field]! -= this.#counts[at + field]!;
        this.#counts[at + field] = 0;
      }
    }
    this.#newest = bucket;
  }

  #place(bucket: number): number {
    const n = this.#buckets;
    return (((bucket % n) + n) % n) * FIELDS;
  }
}
