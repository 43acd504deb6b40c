/**
 * Token buckets: how much may happen at once, and how much a second after that. The one rate limiter of the house.
 *
 * @internal
 */

/** One bucket. Times are milliseconds of one monotonic clock. @internal */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #at: number;

  /** `perSecond` tokens flow in, up to `burst` of them are kept; it begins full. */
  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = now;
  }

  /**
   * Takes tokens, into debt where need be: what has arrived cannot be refused, but the next read can wait. Returns for how many
   * milliseconds the bucket stays in debt, 0 if it is not.
   */
  take(tokens: number, now: number): number {
    this.#fill(now);
    this.#tokens -= tokens;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#perSecond) * 1000;
  }

  /** Whether there is a token. */
  has(now: number): boolean {
    this.#fill(now);
    return this.#tokens >= 1;
  }

  /** Takes a token if there is one. An empty bucket sinks no deeper: a flood shuts nobody out for longer than it lasts. */
  allows(now: number): boolean {
    if (!this.has(now)) return false;
    this.#tokens--;
    return true;
  }

  isFull(now: number): boolean {
    this.#fill(now);
    return this.#tokens >= this.#burst;
  }

  #fill(now: number): void {
    const gained = (Math.max(0, now - this.#at) * this.#perSecond) / 1000;
    this.#tokens = Math.min(this.#burst, this.#tokens + gained);
    this.#at = now;
  }
}

/** Keys that are remembered by default. */
const manyKeys = 1024;

/**
 * A bucket for each key. Buckets outlive whatever the key names, or a peer would only have to link anew to have a full one; above
 * so many keys those that are full again are forgotten, and then the oldest.
 *
 * @internal
 */
export class TokenBuckets {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #maxKeys: number;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(perSecond: number, burst: number, maxKeys = manyKeys) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#maxKeys = maxKeys;
  }

  /** The bucket of a key. */
  of(key: string, now: number): TokenBucket {
    const known = this.#buckets.get(key);
    if (known !== undefined) return known;
    if (this.#buckets.size >= this.#maxKeys) this.#forget(now);
    const made = new TokenBucket(this.#perSecond, this.#burst, now);
    this.#buckets.set(key, made);
    return made;
  }

  /** Takes a token of a key's bucket if there is one. */
  allows(key: string, now: number): boolean {
    return this.of(key, now).allows(now);
  }

  #forget(now: number): void {
    for (const [key, bucket] of this.#buckets) if (bucket.isFull(now)) this.#buckets.delete(key);
    const oldest = this.#buckets.keys().next();
    if (this.#buckets.size >= this.#maxKeys && oldest.done !== true) this.#buckets.delete(oldest.value);
  }
}
