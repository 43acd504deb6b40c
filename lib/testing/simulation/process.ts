/** One run of a simulated process: its clock, its timers, its randomness; and how it is stopped. */
import type { Environment, Timer } from '../../environment.js';
import type { FileSystem } from '../../files.js';
import type { Random } from './random.js';
import { Phase, type Scheduler } from './scheduler.js';

/** How a process's clock goes. */
export interface ClockSetup {
  /** Local milliseconds for each true one, near 1. */
  readonly rate: number;
  /** What its wall clock shows at the simulation's start, in milliseconds since 1970. */
  readonly wallClock: number;
}

/**
 * Once dead, a process does nothing more: its timers, its I/O and its messages are dropped by the scheduler, and promises that
 * wait for them wait for ever. While paused, as by a stalled event loop or a collector, all of that waits.
 */
export class Process implements Environment {
  readonly node: string;
  /** Which run of the node this is, from 1. */
  readonly life: number;
  readonly files: FileSystem;
  alive = true;
  pausedUntil = 0;
  /**
   * After a pause what was put off happens in the order in which it was due: the pause fell within a turn, whose end still runs on
   * what was known before. Otherwise as at the beginning of a turn: timers first, then all that came in.
   */
  wakesInOrder = false;
  /** How long its monotonic clock has stood still, with the machine. */
  #asleep = 0;
  /** Milliseconds that this event has taken so far, and which event that is. */
  #spent = 0;
  #spentIn = -1;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #started: number;
  readonly #rate: number;
  #wallClock: number;

  constructor(
    node: string,
    life: number,
    scheduler: Scheduler,
    random: Random,
    clock: ClockSetup,
    files: (process: Process) => FileSystem,
  ) {
    this.node = node;
    this.life = life;
    this.#scheduler = scheduler;
    this.#random = random;
    this.#started = scheduler.now;
    this.#rate = clock.rate;
    this.#wallClock = clock.wallClock;
    this.files = files(this);
  }

  now(): number {
    return (this.#scheduler.now + this.#spentNow() - this.#started - this.#asleep) * this.#rate;
  }

  /** The machine is suspended for so long from now on: its monotonic clock stands still, its wall clock does not. */
  suspend(ms: number): void {
    this.#asleep += ms;
  }

  /** The event under way takes so many milliseconds more: the process does nothing else until they are over. */
  spend(ms: number): void {
    this.#spent = this.#spentNow() + ms;
    this.#spentIn = this.#scheduler.events;
    this.pausedUntil = Math.max(this.pausedUntil, this.#scheduler.now + this.#spent);
  }

  #spentNow(): number {
    return this.#spentIn === this.#scheduler.events ? this.#spent : 0;
  }

  wallClock(): number {
    return Math.floor(this.#wallClock + this.#scheduler.now * this.#rate);
  }

  /** The wall clock is set, as by an administrator or a time server. */
  shiftWallClock(ms: number): void {
    this.#wallClock += ms;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    // Whole milliseconds and at least one, as timers of Node are: they may fire a fraction of one too early.
    const whole = Math.max(1, Math.floor(delayMs));
    return this.#scheduler.after(whole / this.#rate, Phase.timer, this, callback);
  }

  defer(callback: () => void): void {
    this.#scheduler.after(0, Phase.deferred, this, callback);
  }

  /** Something that takes a while outside the process, such as a disk, calls back. */
  afterIo(delayMs: number, callback: () => void): Timer {
    return this.#scheduler.after(delayMs, Phase.io, this, callback);
  }

  hold(): Timer {
    return { cancel: () => undefined };
  }

  random(): number {
    return this.#random.next();
  }

  randomBytes(length: number): Uint8Array {
    return this.#random.bytes(length);
  }
}
