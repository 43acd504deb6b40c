/** Virtual time for surfaces that remember: a scheduler, and an environment whose randomness is the fuzzer's. */
import { nodeEnvironment, type Environment } from '../../lib/environment.js';
import { Phase, Scheduler } from '../../lib/testing/simulation/scheduler.js';
import type { Random } from './random.js';

export class World {
  readonly environment: Environment;
  readonly #scheduler = new Scheduler();
  /** Timers that are set and not cancelled. */
  timers = 0;

  constructor(random: Random) {
    const scheduler = this.#scheduler;
    this.environment = {
      now: () => scheduler.now,
      wallClock: () => 1_700_000_000_000 + Math.floor(scheduler.now),
      setTimer: (delayMs, callback) => {
        let set = true;
        const end = (): void => {
          if (set) this.timers--;
          set = false;
        };
        const event = scheduler.after(delayMs, Phase.timer, undefined, () => {
          end();
          callback();
        });
        this.timers++;
        return {
          cancel: () => {
            end();
            event.cancel();
          },
        };
      },
      defer: (callback) => void scheduler.after(0, Phase.deferred, undefined, callback),
      hold: () => ({ cancel: () => undefined }),
      random: () => random.next(),
      randomBytes: (length) => random.bytes(length),
      files: nodeEnvironment.files,
    };
  }

  get now(): number {
    return this.#scheduler.now;
  }

  /** Lets time pass, for code that begins nothing in microtasks. */
  pass(ms: number): void {
    const end = this.now + ms;
    while (this.#scheduler.step(end));
    this.#scheduler.advance(end);
  }

  /** Lets time pass; what a turn begins in microtasks comes before the next one. */
  async run(ms: number): Promise<void> {
    const end = this.now + ms;
    do await Promise.resolve();
    while (this.#scheduler.step(end));
    this.#scheduler.advance(end);
  }
}
