/** Typed events on top of node:events. */
import { EventEmitter } from 'node:events';

/**
 * An emitter whose listeners cannot harm its owner: an error thrown by a listener surfaces as an uncaught exception of
 * its own turn, never inside the protocol code that emitted.
 */
export class Emitter<Events extends Record<keyof Events, unknown[]>> {
  readonly #emitter = new EventEmitter();

  /** Calls `listener` on each event of that name. */
  on<K extends keyof Events & string>(event: K, listener: (...args: Events[K]) => void): this {
    this.#emitter.on(event, listener as (...args: unknown[]) => void);
    return this;
  }

  /** Calls `listener` on the next event of that name. */
  once<K extends keyof Events & string>(event: K, listener: (...args: Events[K]) => void): this {
    this.#emitter.once(event, listener as (...args: unknown[]) => void);
    return this;
  }

  /** Removes a listener. */
  off<K extends keyof Events & string>(event: K, listener: (...args: Events[K]) => void): this {
    this.#emitter.off(event, listener as (...args: unknown[]) => void);
    return this;
  }

  /** Calls the listeners of an event. @internal */
  protected emit<K extends keyof Events & string>(event: K, ...args: Events[K]): void {
    for (const listener of this.#emitter.rawListeners(event)) {
      try {
        (listener as (...values: unknown[]) => void)(...args);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** Forgets every listener. @internal */
  protected removeAllListeners(): void {
    this.#emitter.removeAllListeners();
  }
}
