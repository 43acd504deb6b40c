/** An environment in virtual time. */
import type { Environment, Timer } from '../../../lib/environment.js';
import { nodeEnvironment } from '../../../lib/environment.js';
import { seeded } from './seeded.js';

interface Due {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Time passes only in `run`; microtasks get their turn between callbacks. */
export class Virtual implements Environment {
  readonly files = nodeEnvironment.files;
  readonly random: () => number;
  #now = 0;
  #order = 0;
  #due: Due[] = [];

  constructor(seed: number) {
    this.random = seeded(seed);
  }

  now(): number {
    return this.#now;
  }

  wallClock(): number {
    return 1_700_000_000_000 + Math.floor(this.#now);
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const due = { at: this.#now + Math.max(0, delayMs), order: this.#order++, callback };
    this.#due.push(due);
    return {
      cancel: () => {
        this.#due = this.#due.filter((other) => other !== due);
      },
    };
  }

  defer(callback: () => void): void {
    this.setTimer(0, callback);
  }

  hold(): Timer {
    return { cancel: () => undefined };
  }

  randomBytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => Math.floor(this.random() * 256));
  }

  /** Lets `ms` of virtual time pass. */
  async run(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      let next: Due | undefined;
      for (const due of this.#due) {
        if (due.at <= end && (!next || due.at < next.at || (due.at === next.at && due.order < next.order)))
          next = due;
      }
      if (!next) break;
      const chosen = next;
      this.#due = this.#due.filter((due) => due !== chosen);
      this.#now = Math.max(this.#now, chosen.at);
      chosen.callback();
      for (let i = 0; i < 8; i++) await Promise.resolve();
    }
    this.#now = end;
  }
}
