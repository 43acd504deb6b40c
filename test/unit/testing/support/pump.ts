/** Lets virtual time pass, with all promises settled between one event and the next. */
import type { Scheduler } from '../../../../lib/testing/simulation/scheduler.js';

/** Until `untilMs` of virtual time. */
export async function pump(scheduler: Scheduler, untilMs: number): Promise<void> {
  await settled();
  while (scheduler.step(untilMs)) await settled();
  scheduler.now = Math.max(scheduler.now, untilMs);
}

/** Until a condition holds, or `maxMs` more have passed; whether it does. */
export async function pumpUntil(
  scheduler: Scheduler,
  condition: () => boolean,
  maxMs: number,
): Promise<boolean> {
  const until = scheduler.now + maxMs;
  await settled();
  while (!condition() && scheduler.step(until)) await settled();
  return condition();
}

function settled(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
