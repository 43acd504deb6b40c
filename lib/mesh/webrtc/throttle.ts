const maxKeys = 1024;

/** Lets each key do something so often: `burst` times at once, then once every `intervalMs`. @internal */
export class Throttle {
  readonly #burst: number;
  readonly #intervalMs: number;
  /** When each key has its whole burst again. */
  readonly #fullAt = new Map<string, number>();

  constructor(burst: number, intervalMs: number) {
    this.#burst = burst;
    this.#intervalMs = intervalMs;
  }

  allows(key: string, now: number): boolean {
    const fullAt = Math.max(now, this.#fullAt.get(key) ?? now);
    if (fullAt + this.#intervalMs > now + this.#burst * this.#intervalMs) return false;
    if (!this.#fullAt.has(key) && this.#fullAt.size >= maxKeys) this.#forget(now);
    this.#fullAt.set(key, fullAt + this.#intervalMs);
    return true;
  }

  #forget(now: number): void {
    for (const [key, at] of this.#fullAt) if (at <= now) this.#fullAt.delete(key);
    const oldest = this.#fullAt.keys().next();
    if (this.#fullAt.size >= maxKeys && oldest.done !== true) this.#fullAt.delete(oldest.value);
  }
}
