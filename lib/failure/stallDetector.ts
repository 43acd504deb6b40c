/**
 * Notices that this process stood still: a blocked event loop, a long garbage collection, a suspended machine. Whoever
 * judges others by their silence must know of their own absence first.
 *
 * @internal
 */
export class StallDetector {
  readonly #toleranceMs: number;
  #due: number | undefined;

  /** A timer of `intervalMs` that is late by more than max(100 ms, half the interval) is a stall. */
  constructor(intervalMs: number) {
    this.#toleranceMs = Math.max(100, intervalMs / 2);
  }

  /** The timer was set and is due at `due`. */
  expect(due: number): void {
    this.#due = due;
  }

  /** The timer fired at `now`: how long the process stood still, in milliseconds; 0 when it did not. */
  fired(now: number): number {
    const late = this.#due === undefined ? 0 : now - this.#due;
    this.#due = undefined;
    return late > this.#toleranceMs ? late : 0;
  }

  /**
   * The timer should have fired by now and has not: the process stood still since it was set, even if the timer was not yet
   * run. Frames that came meanwhile wait unread, so this is no time to judge anyone.
   */
  overdue(now: number): boolean {
    return this.#due !== undefined && now - this.#due > this.#toleranceMs;
  }
}
