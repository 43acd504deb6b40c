/**
 * The seam between this library and the world: clock, timers, randomness and files. Everything above
 * the adapters reads them from here, so that a simulation can run the same code in virtual time.
 */
import { randomBytes, randomInt } from 'node:crypto';
import type { FileSystem } from './files.js';
import { nodeFileSystem } from './nodeFiles.js';

/** A running timer. */
export interface Timer {
  /** Stops the timer; harmless when it has fired. */
  cancel(): void;
}

/** Where this library gets time, timers, randomness and files from. */
export interface Environment {
  /** Monotonic milliseconds, with fractions. Says nothing about the time of day. */
  now(): number;
  /** Milliseconds since 1970. May jump. */
  wallClock(): number;
  /** Calls back once after `delayMs`. Such a timer never keeps the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer;
  /** Calls back at the end of this turn of the event loop, after the I/O callbacks that are due now. */
  defer(callback: () => void): void;
  /** Keeps the process alive until the timer is cancelled. */
  hold(): Timer;
  /** A number in [0, 1). */
  random(): number;
  /** Bytes fit for nonces and identifiers. */
  randomBytes(length: number): Uint8Array;
  /** The file system that {@link diskStorage} works on. */
  readonly files: FileSystem;
}

/** The real world. @internal */
export const nodeEnvironment: Environment = {
  now: () => performance.now(),
  wallClock: () => Date.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  defer: (callback) => void setImmediate(callback),
  hold() {
    const timer = setInterval(() => undefined, 2 ** 31 - 1);
    return { cancel: () => clearInterval(timer) };
  },
  random: () => randomInt(0x1_0000_0000) / 0x1_0000_0000,
  randomBytes: (length) => randomBytes(length),
  files: nodeFileSystem,
};

/** A random identifier of 128 bits, in hexadecimal. @internal */
export function randomId(environment: Environment): string {
  return Buffer.from(environment.randomBytes(16)).toString('hex');
}
