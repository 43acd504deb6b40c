/**
 * Hybrid logical clocks (Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical Physical Clocks", OPODIS 2014): close to the time of
 * day, and never before anything that was heard of.
 */
import { checkNumber, configError } from '../../errors.js';

/** A point in hybrid logical time. */
export interface HybridTimestamp {
  /** Milliseconds since 1970, an integer from 0 to 2^48. */
  readonly wall: number;
  /** Tells events of one millisecond apart: an integer from 0 to 2^32 - 1. */
  readonly counter: number;
}

/** The largest {@link HybridTimestamp.wall}. @internal */
export const MAX_WALL = 2 ** 48;
/** The largest {@link HybridTimestamp.counter}. @internal */
export const MAX_COUNTER = 2 ** 32 - 1;

/** What a {@link HybridLogicalClock} is made with. */
export interface HybridClockOptions {
  /**
   * Milliseconds since 1970 by the clock of this machine. It may jump: this clock never goes back.
   *
   * @defaultValue `Date.now`
   */
  readonly wallClock?: (() => number) | undefined;
  /**
   * How far ahead of this machine's clock a timestamp may be for this clock to follow it, in milliseconds, from 0 to 2^31 - 1.
   *
   * @defaultValue 500
   */
  readonly maxOffsetMs?: number | undefined;
  /**
   * The last timestamp of an earlier life: everything this clock gives out is after it.
   *
   * @defaultValue the beginning of time
   */
  readonly after?: HybridTimestamp | undefined;
  /** Called when a timestamp is more than `maxOffsetMs` ahead: the clock of some machine is wrong. */
  readonly onAhead?: ((timestamp: HybridTimestamp, aheadMs: number) => void) | undefined;
}

/** Negative when `a` is before `b`, 0 when they are the same, positive otherwise. */
export function compareTimestamps(a: HybridTimestamp, b: HybridTimestamp): number {
  return a.wall - b.wall || a.counter - b.counter;
}

/** The first timestamp after another one. @internal */
export function timestampAfter({ wall, counter }: HybridTimestamp): HybridTimestamp {
  return counter < MAX_COUNTER ? { wall, counter: counter + 1 } : { wall: wall + 1, counter: 0 };
}

/** Whether it is a timestamp with both parts in range. @internal */
export function isTimestamp(value: unknown): value is HybridTimestamp {
  if (typeof value !== 'object' || value === null) return false;
  const { wall, counter } = value as Partial<Record<keyof HybridTimestamp, unknown>>;
  return isUpTo(wall, MAX_WALL) && isUpTo(counter, MAX_COUNTER);
}

function isUpTo(value: unknown, max: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max;
}

/**
 * A hybrid logical clock: what it gives out is after all it gave out before and, unless that is too far ahead, after all it was
 * told of; and it is within `maxOffsetMs` of the largest clock of the machines that take part.
 *
 * @throws QuorateError `ERR_CONFIG` for options out of range.
 *
 * @example
 * ```ts
 * const clock = new HybridLogicalClock();
 * const sent = clock.now();               // goes with a message
 * const later = other.receive(sent);      // at the receiver: after `sent`, whatever its clock says
 * compareTimestamps(sent, later) < 0;     // true
 * ```
 */
export class HybridLogicalClock {
  readonly #wallClock: () => number;
  readonly #maxOffsetMs: number;
  readonly #onAhead: ((timestamp: HybridTimestamp, aheadMs: number) => void) | undefined;
  #last: HybridTimestamp;

  constructor(options: HybridClockOptions = {}) {
    const { wallClock = Date.now, maxOffsetMs = 500, after = { wall: 0, counter: 0 }, onAhead } = options;
    if (typeof wallClock !== 'function') throw configError('wallClock', wallClock, 'a function');
    if (onAhead !== undefined && typeof onAhead !== 'function')
      throw configError('onAhead', onAhead, 'a function');
    this.#maxOffsetMs = checkNumber('maxOffsetMs', maxOffsetMs, 0, 2 ** 31 - 1, false);
    this.#last = { ...checkTimestamp('after', after) };
    this.#wallClock = wallClock;
    this.#onAhead = onAhead;
  }

  /** The last timestamp that it gave out or followed: what to write down for the next life. */
  get last(): HybridTimestamp {
    return this.#last;
  }

  /** The time of an event here, such as a write or a message that is sent. */
  now(): HybridTimestamp {
    return this.#advance(this.#physical());
  }

  /**
   * The time of an event here that follows from one with the timestamp `remote`, such as a message that came in.
   *
   * A timestamp more than `maxOffsetMs` ahead of this machine's clock is told to `onAhead` and not followed: one wrong clock must
   * not carry all the others away. What is returned is then not after it.
   *
   * @throws QuorateError `ERR_CONFIG` for what is no timestamp.
   */
  receive(remote: HybridTimestamp): HybridTimestamp {
    checkTimestamp('timestamp', remote);
    const physical = this.#physical();
    const ahead = remote.wall - physical;
    if (ahead > this.#maxOffsetMs) {
      this.#onAhead?.(remote, ahead);
      return this.#advance(physical);
    }
    if (compareTimestamps(remote, this.#last) > 0)
      this.#last = { wall: remote.wall, counter: remote.counter };
    return this.#advance(physical);
  }

  #advance(physical: number): HybridTimestamp {
    this.#last = physical > this.#last.wall ? { wall: physical, counter: 0 } : timestampAfter(this.#last);
    return this.#last;
  }

  #physical(): number {
    return Math.min(MAX_WALL - 1, Math.max(0, Math.floor(this.#wallClock())));
  }
}

function checkTimestamp(option: string, value: unknown): HybridTimestamp {
  if (isTimestamp(value)) return value;
  throw configError(option, value, 'a timestamp: { wall, counter }, integers from 0 to 2^48 and 2^32 - 1');
}
