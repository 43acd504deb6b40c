/** What applying a command gave: a value, or a failure that is the same on every member. */
import { QuorateError, type ErrorCode } from '../errors.js';

/** A command that failed, in a form that travels in snapshots. */
export class Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly reason: string | undefined;
  readonly data: unknown;

  constructor(code: ErrorCode, message: string, reason?: string, data?: unknown) {
    this.code = code;
    this.message = message;
    this.reason = reason;
    this.data = data;
  }

  toError(requestId?: string): QuorateError {
    // A command that was applied and failed is settled; only what was never applied as asked has an open fate.
    const fate = this.code === 'ERR_SESSION_EXPIRED' ? 'ambiguous' : undefined;
    return new QuorateError(this.code, this.message, {
      reason: this.reason,
      data: this.data,
      requestId,
      fate,
    });
  }
}

/** The detached result of a command, or its {@link Failure}. */
export type Outcome = unknown;

/** Roughly how many bytes of memory an outcome holds on to. */
export function costOf(outcome: Outcome): number {
  switch (typeof outcome) {
    case 'string':
      return 16 + outcome.length;
    case 'object': {
      if (outcome === null) return 8;
      if (outcome instanceof Uint8Array) return 32 + outcome.length;
      if (Array.isArray(outcome)) return outcome.reduce<number>((sum, value) => sum + costOf(value), 32);
      let sum = 32;
      for (const value of Object.values(outcome)) sum += 16 + costOf(value);
      return sum;
    }
    default:
      return 8;
  }
}

/** Of a command that was applied so long ago that nobody remembers how it went. */
export const resultExpired = new Failure(
  'ERR_RESULT_EXPIRED',
  'the command was applied, but its result is not kept any more',
);
