/** Lets the virtual time of a simulation pass, for one caller at a time. @internal */
import { configError, QuorateError } from '../../errors.js';
import { runEvents } from './loop.js';
import type { Scheduler } from './scheduler.js';

export class Timeline {
  readonly #scheduler: Scheduler;
  readonly #broken: () => boolean;
  #running = false;

  /** `broken`: an invariant does not hold, time passes no more. */
  constructor(scheduler: Scheduler, broken: () => boolean) {
    this.#scheduler = scheduler;
    this.#broken = broken;
  }

  /** For `ms` virtual milliseconds. */
  async run(ms: number): Promise<void> {
    const until = this.#scheduler.now + checkSpan('ms', ms);
    await this.#run(until, this.#broken, true);
  }

  /** Until `predicate` holds. Resolves to whether it does. */
  async until(predicate: () => boolean, maxMs: number): Promise<boolean> {
    let held = asked(predicate);
    if (typeof held === 'object' && held !== null)
      throw configError('predicate', held, 'a function that answers at once, without a promise');
    if (held) return true;
    const done = (): boolean => {
      held = asked(predicate);
      return Boolean(held) || this.#broken();
    };
    await this.#run(this.#scheduler.now + checkSpan('maxMs', maxMs), done, false);
    return Boolean(held);
  }

  /** Until a promise is settled. Resolves to whether it is. */
  async settled(promise: Promise<unknown>, maxMs: number): Promise<boolean> {
    const state = { settled: false };
    const mark = (): void => void (state.settled = true);
    promise.then(mark, mark);
    const done = (): boolean => state.settled || this.#broken();
    await this.#run(this.#scheduler.now + checkSpan('maxMs', maxMs), done, false);
    return state.settled;
  }

  async #run(until: number, done: () => boolean, toTheEnd: boolean): Promise<void> {
    if (this.#running)
      throw new QuorateError('ERR_CONFIG', 'the simulation is running already: await that first');
    this.#running = true;
    try {
      await runEvents(this.#scheduler, until, done);
    } finally {
      this.#running = false;
    }
    if (!this.#broken() && (toTheEnd || !done())) this.#scheduler.advance(until);
  }
}

/** What asks for something of a node that is not up does not hold. */
function asked(predicate: () => unknown): unknown {
  try {
    return predicate();
  } catch (error) {
    if (error instanceof QuorateError && error.code === 'ERR_CLOSED') return false;
    throw error;
  }
}

/** Throws ERR_CONFIG for what is no span of virtual time. */
export function checkSpan(name: string, value: number): number {
  if (typeof value !== 'number' || !(value >= 0) || value > 1e12)
    throw configError(name, value, 'a number of milliseconds from 0 to 10^12');
  return value;
}
