/** By how much the wall clock may get ahead of the monotonic one within {@link WINDOW_MS} without anything having happened. */
const TOLERANCE_MS = 20;
const WINDOW_MS = 1000;

/**
 * Notices that the machine was suspended and the monotonic clock stood still meanwhile, as it does on Linux: the wall clock went
 * on, and so is ahead of it afterwards. A wall clock that is set forward looks the same, which does no harm. What both clocks
 * missed, such as the snapshot of a virtual machine, nobody in it can tell until its wall clock is set right.
 *
 * @internal
 */
export class SuspendDetector {
  #ahead = Infinity;
  #at = -Infinity;

  /** Told both clocks, often; returns whether time went by since that the monotonic clock does not show. */
  observe(now: number, wallClock: number): boolean {
    const ahead = wallClock - now;
    const suspended = ahead - this.#ahead > TOLERANCE_MS;
    // Clocks that only differ in rate part slowly: what is compared is never far apart in time.
    if (suspended || ahead < this.#ahead || now - this.#at >= WINDOW_MS) {
      this.#ahead = ahead;
      this.#at = now;
    }
    return suspended;
  }
}
