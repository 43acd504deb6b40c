/**
 * The round trip of a lane, and how long to wait for an acknowledgement: RFC 6298, with bounds for paths of a few hops
 * between machines that are near each other. @internal
 */

/** Before anything was measured, in milliseconds. */
const initialMs = 250;
/** Below this, a pause of the event loop somewhere on the way would look like a loss. */
const minMs = 100;
/** The mesh's own detectors have given a peer up by then. */
const maxMs = 2000;

export class RoundTripEstimate {
  #smoothed = 0;
  #variation = 0;
  #latest = 0;
  #backoff = 0;

  /** How many times in a row nothing came back in time. */
  get backoff(): number {
    return this.#backoff;
  }

  /** A measured round trip, of a packet that was sent once (each has a number of its own), less the other end's delay. */
  sample(ms: number): void {
    const rtt = Math.max(0, ms);
    this.#latest = rtt;
    if (this.#smoothed === 0) {
      this.#smoothed = Math.max(rtt, 0.001);
      this.#variation = rtt / 2;
    } else {
      this.#variation += (Math.abs(this.#smoothed - rtt) - this.#variation) / 4;
      this.#smoothed += (rtt - this.#smoothed) / 8;
    }
  }

  /** Something came back. */
  progressed(): void {
    this.#backoff = 0;
  }

  /** Nothing came back in time: wait twice as long. */
  backOff(): void {
    this.#backoff = Math.min(this.#backoff + 1, 16);
  }

  /** The retransmission time-out. */
  get timeoutMs(): number {
    const base = this.#smoothed === 0 ? initialMs : this.#smoothed + Math.max(4 * this.#variation, 1);
    return Math.min(maxMs, Math.max(minMs, base) * 2 ** this.#backoff);
  }

  /** After how long a packet counts as lost once a later one was acknowledged: RFC 9002, section 6.1.2. */
  get reorderMs(): number {
    return Math.max(1, (9 / 8) * Math.max(this.#smoothed, this.#latest));
  }
}
