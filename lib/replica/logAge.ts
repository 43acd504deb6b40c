/**
 * How much time has gone by in a group, as its memory counts it: the time of the log, of which no step counts for more than a
 * minute. The log's time follows the leader's wall clock, and a clock that is set forward by a day must not make the group forget
 * at once what it promised to remember for an hour.
 */

/** The most that one step of the log's time counts for. Part of the protocol: every member must forget alike. */
export const MOST_STEP_MS = 60_000;

export class LogAge {
  /** The newest time of the log that was told. */
  time: number;
  /** In milliseconds; where it begins does not matter. */
  age: number;

  constructor(time = 0, age = 0) {
    this.time = time;
    this.age = age;
  }

  /** The log is at this time now; returns the age then. */
  at(time: number): number {
    if (time > this.time) {
      this.age += Math.min(time - this.time, MOST_STEP_MS);
      this.time = time;
    }
    return this.age;
  }
}
