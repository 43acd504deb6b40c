/**
 * How many bytes of a lane may be under way: slow start and additive increase, multiplicative decrease (RFC 5681, in bytes
 * and once a round trip as in RFC 9002, section 7). A relay that is congested drops, so a loss means: send less. @internal
 */
import { maxPacketBytes } from './packets.js';

/** What a lane starts with, and falls back to after a pause: a large frame or a few small ones. */
const initialBytes = 8 * maxPacketBytes;
/** So that one lost packet is still followed by one that tells of it. */
const minBytes = 2 * maxPacketBytes;

export class CongestionWindow {
  readonly #maxBytes: number;
  #bytes = initialBytes;
  #threshold = Infinity;
  /** Losses of packets before this one belong to a round trip that was answered already. */
  #recoveryBefore = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes were acknowledged. `full`: the window was what held the sender back, else it says nothing about the path. */
  acked(bytes: number, packet: number, full: boolean): void {
    if (!full || packet < this.#recoveryBefore) return;
    const more = this.#bytes < this.#threshold ? bytes : (maxPacketBytes * bytes) / this.#bytes;
    this.#bytes = Math.min(this.#maxBytes, this.#bytes + more);
  }

  /** A packet was lost; `next` is the number of the packet to be sent next. */
  lost(packet: number, next: number): void {
    if (packet < this.#recoveryBefore) return;
    this.#recoveryBefore = next;
    this.#bytes = this.#threshold = Math.max(minBytes, this.#bytes / 2);
  }

  /** Nothing comes back at all. */
  collapse(next: number): void {
    this.lost(next, next);
    this.#bytes = minBytes;
  }

  /** Nothing was under way for longer than a time-out: the path may have changed. */
  rested(): void {
    this.#bytes = Math.min(this.#bytes, initialBytes);
  }
}
