/** Measures the round trip from heartbeats that echo each other. @internal */
export class RoundTrip {
  /** When the newest heartbeats were sent, by sequence modulo the size. */
  readonly #sentAt = new Float64Array(32);
  #seq = 0;
  #heardSeq = 0;
  #heardAt = 0;
  #rttMs: number | undefined;

  /** Smoothed, in milliseconds; `undefined` until measured. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** What the next heartbeat says. */
  next(now: number): { readonly seq: number; readonly echo: number; readonly heldUs: number } {
    const seq = ++this.#seq;
    this.#sentAt[seq % this.#sentAt.length] = now;
    const heldUs = this.#heardSeq === 0 ? 0 : Math.max(0, Math.round((now - this.#heardAt) * 1000));
    return { seq, echo: this.#heardSeq, heldUs };
  }

  /** Takes a heartbeat of the other end. */
  heard(seq: number, echo: number, heldUs: number, now: number): void {
    if (seq <= this.#heardSeq) return;
    this.#heardSeq = seq;
    this.#heardAt = now;
    if (echo === 0 || echo > this.#seq || this.#seq - echo >= this.#sentAt.length) return;
    const sample = Math.max(0, now - this.#sentAt[echo % this.#sentAt.length]! - heldUs / 1000);
    // RFC 6298 §2: a gain of 1/8.
    this.#rttMs = this.#rttMs === undefined ? sample : this.#rttMs + (sample - this.#rttMs) / 8;
  }
}
