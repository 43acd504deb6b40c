import { QuorateError } from '../errors.js';
import { Emitter } from '../events.js';
import {
  resolveBreakerOptions,
  type CircuitBreakerOptions,
  type ResolvedBreakerOptions,
} from './circuitBreakerOptions.js';
import { CountWindow, TimeWindow, type OutcomeWindow } from './circuitBreakerWindow.js';

/** `closed`: calls go through · `open`: none does · `half-open`: a few do, on trial. */
export type CircuitState = 'closed' | 'open' | 'half-open';

/** The events of a {@link CircuitBreaker}. */
export interface CircuitBreakerEvents {
  /** The state changed. A breaker has no timer: that an open time is over is noticed by the next call or look at it. */
  'state:changed': [to: CircuitState, from: CircuitState];
}

/** A {@link CircuitBreaker} in figures. */
export interface CircuitBreakerMetrics {
  readonly state: CircuitState;
  /** The calls in the window; in a half-open circuit the trial calls that have ended. */
  readonly calls: number;
  readonly failures: number;
  readonly slowCalls: number;
  /** 0 to 1; 0 without calls. */
  readonly failureRate: number;
  readonly slowCallRate: number;
  /** Calls that were not let through, since the breaker was made. */
  readonly rejected: number;
  /** How often the circuit opened, since the breaker was made. */
  readonly opened: number;
  /** Trial calls under way. */
  readonly trials: number;
  /** How long the circuit stays open yet, in milliseconds; 0 when it is not open. */
  readonly retryInMs: number;
}

/** Leave to make one call. The first of its methods counts, and only while the circuit is in the state that gave it. */
export interface CircuitPermit {
  /** The call was answered. */
  succeed(): void;
  /** The call failed; with an `error` that `isFailure` takes for an answer it counts as success. */
  fail(error?: unknown): void;
  /** The call was not made, or nobody waits for it any more: it counts neither way. */
  release(): void;
}

/**
 * Keeps calls away from a callee that fails or crawls, and tries it again with a few calls after a while: made by
 * {@link circuitBreaker}. One for each callee and kind of call.
 */
export class CircuitBreaker extends Emitter<CircuitBreakerEvents> {
  readonly #options: ResolvedBreakerOptions;
  #state: CircuitState = 'closed';
  /** Each state the circuit enters is a generation; what was begun in another says nothing about this one. */
  #generation = 0;
  #window: OutcomeWindow;
  #openUntil = 0;
  /** Openings since the circuit was closed. */
  #openings = 0;
  /** Trial calls under way, oldest first. */
  readonly #trials = new Set<Permit>();
  #rejected = 0;
  #opened = 0;

  /** @internal */
  constructor(options: CircuitBreakerOptions) {
    super();
    this.#options = resolveBreakerOptions(options);
    this.#window = this.#newWindow();
  }

  /** The state now. */
  get state(): CircuitState {
    this.#advance(this.#options.now());
    return this.#state;
  }

  /**
   * Makes a call through the circuit and answers as it does. `fn` gets the signal. An aborted call is given up at once and
   * counts neither way, unless the reason is a `TimeoutError` (as of `AbortSignal.timeout`): then it failed.
   *
   * @throws QuorateError `ERR_CIRCUIT_OPEN` (fate `refused`: `fn` was not called), `ERR_ABORTED`; and whatever `fn` throws.
   * @example
   * ```ts
   * await breaker.run((signal) => fetch(url, { signal }), { signal: AbortSignal.timeout(2000) });
   * ```
   */
  async run<T>(
    fn: (signal: AbortSignal | undefined) => T | PromiseLike<T>,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    const { signal } = options;
    if (signal?.aborted) throw this.#aborted(signal);
    const permit = this.acquire();
    let result: T;
    try {
      result = await (signal ? this.#abortable(fn, signal) : fn(undefined));
    } catch (error) {
      if (!signal?.aborted) permit.fail(error);
      else if (isTimeout(signal.reason)) permit.fail();
      else permit.release();
      throw error;
    }
    permit.succeed();
    return result;
  }

  /**
   * Leave for one call, for code with callbacks; say how the call ended.
   *
   * @throws QuorateError `ERR_CIRCUIT_OPEN` when the circuit is open, or half-open with all its trial calls given out.
   */
  acquire(): CircuitPermit {
    const permit = this.tryAcquire();
    if (permit !== undefined) return permit;
    const { retryInMs } = this.metrics();
    const why = retryInMs > 0 ? `open for another ${Math.ceil(retryInMs)} ms` : 'half-open and on trial';
    throw new QuorateError('ERR_CIRCUIT_OPEN', `${this.#options.name} is ${why}`, { fate: 'refused' });
  }

  /** As {@link acquire}, with `undefined` in place of the error. */
  tryAcquire(): CircuitPermit | undefined {
    const now = this.#options.now();
    this.#advance(now);
    if (this.#state === 'closed') return this.#permit(now);
    const room =
      this.#state === 'half-open' &&
      this.#trials.size + this.#window.tally(now).calls < this.#options.halfOpenCalls;
    if (!room) {
      this.#rejected++;
      return undefined;
    }
    const permit = this.#permit(now);
    this.#trials.add(permit);
    return permit;
  }

  /** A snapshot in figures. */
  metrics(): CircuitBreakerMetrics {
    const now = this.#options.now();
    this.#advance(now);
    const { calls, failures, slow } = this.#window.tally(now);
    return {
      state: this.#state,
      calls,
      failures,
      slowCalls: slow,
      failureRate: calls === 0 ? 0 : failures / calls,
      slowCallRate: calls === 0 ? 0 : slow / calls,
      rejected: this.#rejected,
      opened: this.#opened,
      trials: this.#trials.size,
      retryInMs: this.#state === 'open' ? this.#openUntil - now : 0,
    };
  }

  #permit(now: number): Permit {
    return new Permit(this.#generation, now, this.#settle);
  }

  readonly #settle = (permit: Permit, outcome: Outcome, error: unknown): void => {
    const now = this.#options.now();
    this.#advance(now);
    if (permit.generation !== this.#generation) return;
    if (this.#state === 'half-open' && !this.#trials.delete(permit)) return; // it took too long
    if (outcome === 'released') return;
    let failed = outcome === 'failed';
    try {
      if (failed && error !== undefined) failed = this.#options.isFailure(error);
    } finally {
      // What `isFailure` does may change the state.
      if (permit.generation === this.#generation) this.#record(now, failed, now - permit.startedAt);
    }
  };

  #record(now: number, failed: boolean, tookMs: number): void {
    this.#window.record(now, failed, tookMs > this.#options.slowCallMs);
    const { minimumCalls, halfOpenCalls, failureRate, slowCallRate } = this.#options;
    const { calls, failures, slow } = this.#window.tally(now);
    const trial = this.#state === 'half-open';
    // Trial calls are rated against all that there will be: so a circuit opens again as soon as it must.
    const of = trial ? halfOpenCalls : calls;
    const bad = failures / of >= failureRate || slow / of >= slowCallRate;
    if (bad && (trial || calls >= minimumCalls)) this.#open(now);
    else if (trial && calls >= halfOpenCalls) this.#enter('closed');
  }

  /** What time alone changes: trial calls that took too long, an open time that is over. */
  #advance(now: number): void {
    for (;;) {
      if (this.#state === 'open') {
        if (now < this.#openUntil) return;
        this.#enter('half-open');
        return;
      }
      const [oldest] = this.#trials;
      if (oldest === undefined) return;
      const due = oldest.startedAt + this.#options.halfOpenTimeoutMs;
      if (now < due) return;
      this.#trials.delete(oldest);
      // Counted from when it happened, not from when somebody looked.
      this.#record(due, true, due - oldest.startedAt);
    }
  }

  #open(now: number): void {
    const { openMs, openFactor, maxOpenMs } = this.#options;
    this.#openUntil = now + Math.min(maxOpenMs, openMs * openFactor ** this.#openings);
    this.#openings++;
    this.#opened++;
    this.#enter('open');
  }

  #enter(to: CircuitState): void {
    const from = this.#state;
    this.#state = to;
    this.#generation++;
    this.#trials.clear();
    if (to === 'closed') this.#openings = 0;
    if (to === 'closed' || to === 'half-open') this.#window = this.#newWindow();
    this.emit('state:changed', to, from);
  }

  /** In a half-open circuit all trial calls count, however long ago. */
  #newWindow(): OutcomeWindow {
    const { window, halfOpenCalls } = this.#options;
    if (this.#state === 'half-open') return new CountWindow(halfOpenCalls);
    return 'calls' in window
      ? new CountWindow(window.calls)
      : new TimeWindow(window.ms, window.buckets ?? 10);
  }

  async #abortable<T>(fn: (signal: AbortSignal) => T | PromiseLike<T>, signal: AbortSignal): Promise<T> {
    let stop!: () => void;
    const aborted = new Promise<never>((_, reject) => {
      stop = () => reject(this.#aborted(signal));
    });
    aborted.catch(() => undefined); // nobody listens yet while `fn` begins
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await Promise.race([fn(signal), aborted]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  #aborted(signal: AbortSignal): QuorateError {
    return new QuorateError('ERR_ABORTED', `the call through ${this.#options.name} was aborted`, {
      cause: signal.reason,
    });
  }
}

type Outcome = 'succeeded' | 'failed' | 'released';

class Permit implements CircuitPermit {
  readonly generation: number;
  readonly startedAt: number;
  #settle: ((permit: Permit, outcome: Outcome, error: unknown) => void) | undefined;

  constructor(
    generation: number,
    startedAt: number,
    settle: (permit: Permit, outcome: Outcome, error: unknown) => void,
  ) {
    this.generation = generation;
    this.startedAt = startedAt;
    this.#settle = settle;
  }

  succeed(): void {
    this.#end('succeeded', undefined);
  }

  fail(error?: unknown): void {
    this.#end('failed', error);
  }

  release(): void {
    this.#end('released', undefined);
  }

  #end(outcome: Outcome, error: unknown): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(this, outcome, error);
  }
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError';
}

/**
 * A circuit breaker. While calls go well the circuit is closed and only counts; when too many of those in the window failed or
 * were slow it opens and rejects every call at once; after a while it is half-open and lets a few calls through on trial, whose
 * outcome closes it or opens it again. It has no timers and keeps nothing alive. Not for consensus or heartbeats, which look
 * after themselves.
 *
 * @throws QuorateError `ERR_CONFIG` when an option is out of range.
 * @example
 * ```ts
 * const billing = circuitBreaker({ name: 'billing', window: { ms: 30_000 }, slowCallMs: 2000 });
 * billing.on('state:changed', (to) => console.warn(`billing is ${to}`));
 * const invoice = await billing.run((signal) => fetchInvoice(id, signal), { signal: AbortSignal.timeout(5000) });
 * ```
 */
export function circuitBreaker(options: CircuitBreakerOptions = {}): CircuitBreaker {
  return new CircuitBreaker(options);
}
