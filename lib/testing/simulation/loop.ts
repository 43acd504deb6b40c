/** Runs virtual time. */
import type { Scheduler } from './scheduler.js';

/** Real turns that are asked for at once. */
const BATCH = 64;

/**
 * Lets events happen until `until`, or until `done` says so before one of them. Each event is a real turn of the event loop:
 * that drains all microtasks, so promises settle between events and never across them, and `done` sees what they led to.
 */
export function runEvents(scheduler: Scheduler, until: number, done: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    let over = false;
    const turn = (): void => {
      if (over) return;
      try {
        if (!done() && scheduler.step(until)) return;
        over = true;
        resolve();
      } catch (error) {
        over = true;
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    const batch = (): void => {
      for (let i = 0; i < BATCH; i++) setImmediate(turn);
      setImmediate(() => {
        if (!over) batch();
      });
    };
    batch();
  });
}
