import type { Environment } from '../environment.js';

const newest = new WeakMap<Environment, number>();

/**
 * Names a run of a node: wall-clock milliseconds, zero-padded so that a larger string is newer, and a random tail. Within one
 * environment it is strictly monotone, also when the clock is set back. @internal
 */
export function newIncarnation(environment: Environment): string {
  const ms = Math.max(Math.floor(environment.wallClock()), (newest.get(environment) ?? 0) + 1);
  newest.set(environment, ms);
  return `${String(ms).padStart(15, '0')}-${Buffer.from(environment.randomBytes(8)).toString('hex')}`;
}

/** Whether a peer's text can be an incarnation. @internal */
export function isIncarnation(text: string): boolean {
  return /^[0-9]{15}-[0-9a-f]{16}$/.test(text);
}
