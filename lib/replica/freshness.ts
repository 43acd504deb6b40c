/**
 * How old the local state can be at most. A read index that this node asked for at some moment covers all that was committed
 * before that moment (Raft dissertation, §6.4), so once it is applied, the state is no older than the question. Only this node's
 * clocks are read, and none is compared with another node's.
 */
import type { Environment } from '../environment.js';

/** A moment by both clocks. */
export interface Moment {
  readonly now: number;
  readonly wallClock: number;
}

/** Knows since when the local state may be out of date. @internal */
export class Freshness {
  readonly #environment: Environment;
  #asOf: Moment = { now: -Infinity, wallClock: -Infinity };

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** The moment of a question that is about to be asked. */
  moment(): Moment {
    return { now: this.#environment.now(), wallClock: this.#environment.wallClock() };
  }

  /** The state holds all that was committed before `moment`. */
  reached(moment: Moment): void {
    if (moment.now > this.#asOf.now) this.#asOf = moment;
  }

  /** The state shows all that was committed so many milliseconds ago, or less. Infinity: nothing is known. */
  get lagMs(): number {
    const { now, wallClock } = this.moment();
    // A monotonic clock stands still while the machine is suspended. A wall clock that is set forward only costs a question.
    return Math.max(now - this.#asOf.now, wallClock - this.#asOf.wallClock);
  }
}
