/** Signalling messages on their way: texts travel, what they do waits here, and is done once. @internal */
import type { SimSession } from './session.js';

const maxLetters = 10_000;

export class Letters {
  readonly #waiting = new Map<string, (to: SimSession) => void>();
  #count = 0;

  /** Keeps a message, and names it. The oldest of very many is lost, as it may be on any way. */
  put(deliver: (to: SimSession) => void): string {
    const name = `letter-${++this.#count}`;
    this.#waiting.set(name, deliver);
    if (this.#waiting.size > maxLetters) {
      const [oldest] = this.#waiting.keys();
      this.#waiting.delete(oldest!);
    }
    return name;
  }

  /** What that message does, the first time it is asked for. */
  take(name: string): ((to: SimSession) => void) | undefined {
    const deliver = this.#waiting.get(name);
    this.#waiting.delete(name);
    return deliver;
  }
}
