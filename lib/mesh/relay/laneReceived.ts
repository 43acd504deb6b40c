/** Which packets of a lane have come, and when to say so. @internal */
import type { Ack } from './packets.js';

/** Ranges that are remembered; a packet older than the oldest counts as seen. */
const maxRanges = 64;
/** How long an acknowledgement may wait for a packet to ride on, in milliseconds. */
export const maxAckDelayMs = 20;
/** Packets that wait for an acknowledgement before it is due at once. */
const ackEvery = 2;

export class ReceivedPackets {
  /** Newest first, never touching. */
  #ranges: [low: number, high: number][] = [];
  /** Packets below were seen, or are too old to tell. */
  #floor = 0;
  #newestAt = 0;
  #waiting = 0;
  #dueAt = Infinity;

  /** When an acknowledgement is due; `Infinity`: none is. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /** Whether a packet came before, or is so old that it may have. */
  seen(number: number): boolean {
    if (number < this.#floor) return true;
    for (const [low, high] of this.#ranges) {
      if (number > high) return false;
      if (number >= low) return true;
    }
    return false;
  }

  /** Notes a packet that was not seen. `eliciting`: it is to be acknowledged. */
  add(number: number, eliciting: boolean, now: number): void {
    const newest = this.#ranges[0]?.[1] ?? -1;
    this.#insert(number);
    if (number > newest) this.#newestAt = now;
    if (!eliciting) return;
    this.#waiting++;
    // Out of order: the other end should learn of the gap, or that it is filled.
    if (this.#waiting >= ackEvery || number !== newest + 1) this.#dueAt = now;
    else this.#dueAt = Math.min(this.#dueAt, now + maxAckDelayMs);
  }

  /** What to tell the other end, at most once for what came; `undefined`: nothing came. */
  take(nextChunk: number, now: number): Ack | undefined {
    if (this.#dueAt === Infinity) return undefined;
    this.#dueAt = Infinity;
    this.#waiting = 0;
    return { nextChunk, delayMs: now - this.#newestAt, ranges: this.#ranges };
  }

  #insert(number: number): void {
    const ranges = this.#ranges;
    let at = 0;
    while (at < ranges.length && ranges[at]![0] > number + 1) at++;
    const above = ranges[at];
    if (above !== undefined && above[0] === number + 1) {
      above[0] = number;
      const below = ranges[at + 1];
      if (below !== undefined && below[1] === number - 1) {
        above[0] = below[0];
        ranges.splice(at + 1, 1);
      }
    } else if (above !== undefined && above[1] === number - 1) {
      above[1] = number;
    } else {
      ranges.splice(at, 0, [number, number]);
      if (ranges.length > maxRanges) this.#floor = ranges.pop()![1] + 1;
    }
  }
}
