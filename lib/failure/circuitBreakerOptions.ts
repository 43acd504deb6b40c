import { checkNumber, configError, QuorateError, type ErrorCode } from '../errors.js';

/** Options of {@link circuitBreaker}. */
export interface CircuitBreakerOptions {
  /**
   * What stands in messages for whatever is called, up to 200 characters.
   * @defaultValue 'circuit'
   */
  readonly name?: string;
  /**
   * The calls that count: the newest `calls` (1 to 100 000), or those that ended in the last `ms` milliseconds (10 to 3 600 000),
   * which are forgotten in `buckets` steps (1 to 1000, by default 10).
   * @defaultValue \{ calls: 100 \}
   */
  readonly window?: { readonly calls: number } | { readonly ms: number; readonly buckets?: number };
  /**
   * Below this number of calls in the window the circuit never opens, 1 to 100 000, and not above `window.calls`.
   * @defaultValue 10, or `window.calls` when that is less
   */
  readonly minimumCalls?: number;
  /**
   * The share of failed calls from which on the circuit opens, 0.001 to 1.
   * @defaultValue 0.5
   */
  readonly failureRate?: number;
  /**
   * A call that took longer than this is slow, in milliseconds, 1 to 86 400 000.
   * @defaultValue 60 000
   */
  readonly slowCallMs?: number;
  /**
   * The share of slow calls from which on the circuit opens, 0.001 to 1.
   * @defaultValue 1
   */
  readonly slowCallRate?: number;
  /**
   * How long the circuit stays open before it lets trial calls through, in milliseconds, 1 to 86 400 000.
   * @defaultValue 10 000
   */
  readonly openMs?: number;
  /**
   * By how much `openMs` is multiplied each time that the trial calls fail, 1 to 10; 1 is no back-off. A circuit that closes
   * begins with `openMs` again.
   * @defaultValue 1
   */
  readonly openFactor?: number;
  /**
   * The longest that back-off makes `openMs`, in milliseconds; from `openMs` to 86 400 000.
   * @defaultValue ten times `openMs`, at most 86 400 000
   */
  readonly maxOpenMs?: number;
  /**
   * How many trial calls a half-open circuit lets through, 1 to 1000. When all of them have ended, or when those that failed
   * decide it already, it closes or opens again.
   * @defaultValue 5
   */
  readonly halfOpenCalls?: number;
  /**
   * A trial call that has not ended after this counts as failed, in milliseconds, 1 to 86 400 000; so that a call that never
   * ends cannot hold the circuit half-open for ever.
   * @defaultValue 30 000
   */
  readonly halfOpenTimeoutMs?: number;
  /**
   * Whether an error means that the callee is in trouble. An error of the application (a command that was rejected, a bad
   * argument) is an answer: it counts as success. When this throws, the call counts as failed.
   * @defaultValue everything but `ERR_REJECTED`, `ERR_COMMAND_FAILED`, `ERR_QUERY_FAILED`, `ERR_UNKNOWN_OPERATION`,
   * `ERR_TOO_LARGE` and `ERR_CONFIG`
   */
  readonly isFailure?: (error: unknown) => boolean;
  /**
   * The clock: monotonic milliseconds.
   * @defaultValue `performance.now`
   */
  readonly now?: () => number;
}

/** @internal */
export type ResolvedBreakerOptions = Required<CircuitBreakerOptions>;

const DAY_MS = 86_400_000;

const ANSWERS: ReadonlySet<ErrorCode> = new Set([
  'ERR_REJECTED',
  'ERR_COMMAND_FAILED',
  'ERR_QUERY_FAILED',
  'ERR_UNKNOWN_OPERATION',
  'ERR_TOO_LARGE',
  'ERR_CONFIG',
]);

/** @internal */
export function resolveBreakerOptions(options: CircuitBreakerOptions): ResolvedBreakerOptions {
  const { name = 'circuit', isFailure = failed, now = () => performance.now() } = options;
  if (typeof name !== 'string' || name.length > 200) {
    throw configError('name', name, 'a string of at most 200 characters');
  }
  if (typeof isFailure !== 'function') throw configError('isFailure', isFailure, 'a function');
  if (typeof now !== 'function') throw configError('now', now, 'a function');
  const window = checkWindow(options.window ?? { calls: 100 });
  const mostCalls = 'calls' in window ? window.calls : 100_000;
  const openMs = checkNumber('openMs', options.openMs ?? 10_000, 1, DAY_MS, false);
  return {
    name,
    window,
    minimumCalls: checkNumber('minimumCalls', options.minimumCalls ?? Math.min(10, mostCalls), 1, mostCalls),
    failureRate: checkNumber('failureRate', options.failureRate ?? 0.5, 0.001, 1, false),
    slowCallMs: checkNumber('slowCallMs', options.slowCallMs ?? 60_000, 1, DAY_MS, false),
    slowCallRate: checkNumber('slowCallRate', options.slowCallRate ?? 1, 0.001, 1, false),
    openMs,
    openFactor: checkNumber('openFactor', options.openFactor ?? 1, 1, 10, false),
    maxOpenMs: checkNumber(
      'maxOpenMs',
      options.maxOpenMs ?? Math.min(DAY_MS, openMs * 10),
      openMs,
      DAY_MS,
      false,
    ),
    halfOpenCalls: checkNumber('halfOpenCalls', options.halfOpenCalls ?? 5, 1, 1000),
    halfOpenTimeoutMs: checkNumber(
      'halfOpenTimeoutMs',
      options.halfOpenTimeoutMs ?? 30_000,
      1,
      DAY_MS,
      false,
    ),
    isFailure,
    now,
  };
}

type Window = ResolvedBreakerOptions['window'];

function checkWindow(window: unknown): Window {
  const { calls, ms, buckets = 10 } = (window ?? {}) as Record<string, unknown>;
  if ((calls === undefined) === (ms === undefined)) {
    throw configError('window', window, '{ calls } or { ms, buckets }');
  }
  if (calls !== undefined) return { calls: checkNumber('window.calls', calls, 1, 100_000) };
  return {
    ms: checkNumber('window.ms', ms, 10, 3_600_000, false),
    buckets: checkNumber('window.buckets', buckets, 1, 1000),
  };
}

function failed(error: unknown): boolean {
  return !(error instanceof QuorateError && ANSWERS.has(error.code));
}
