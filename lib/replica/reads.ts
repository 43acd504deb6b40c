/**
 * Linearizable reads: those of one turn share one read index (Raft dissertation, section 6.4) and are answered together, once
 * that index is applied here.
 */
import type { Index } from '../consensus/consensus.js';
import type { GroupStatus } from '../engine/door.js';
import type { Environment, Timer } from '../environment.js';
import { QuorateError, type ErrorCode } from '../errors.js';
import { Freshness, type Moment } from './freshness.js';

const RETRY_MS = 20;

/** Somebody who waits for the right to read. */
export class ReadWaiter {
  readonly run: () => void;
  readonly reject: (error: unknown) => void;
  readonly deadline: number;
  done = false;

  constructor(run: () => void, reject: (error: unknown) => void, deadline: number) {
    this.run = run;
    this.reject = reject;
    this.deadline = deadline;
  }
}

interface Round {
  readonly waiters: readonly ReadWaiter[];
  readonly asked: Moment;
  index: Index;
}

export class Reads {
  readonly #environment: Environment;
  readonly #maxPending: number;
  readonly #timeoutMs: number;
  readonly #wake: () => void;
  #queued: ReadWaiter[] = [];
  /** Rounds without an index yet. */
  readonly #asked = new Map<number, Round>();
  /** Rounds that wait for their index to be applied, in the order of their indexes. */
  readonly #confirmed: Round[] = [];
  #contexts = 0;
  #pending = 0;
  #ready = false;
  #retryTimer: Timer | undefined;
  #sweepTimer: Timer | undefined;
  #closed = false;
  readonly #freshness: Freshness;
  #refreshing = false;

  constructor(environment: Environment, maxPending: number, timeoutMs: number, wake: () => void) {
    this.#environment = environment;
    this.#freshness = new Freshness(environment);
    this.#maxPending = maxPending;
    this.#timeoutMs = timeoutMs;
    this.#wake = wake;
  }

  get pending(): number {
    return this.#pending;
  }

  /** Queues a read. Throws ERR_OVERLOADED. */
  add(run: () => void, reject: (error: unknown) => void, timeoutMs = this.#timeoutMs): ReadWaiter {
    if (this.#pending >= this.#maxPending) {
      throw new QuorateError(
        'ERR_OVERLOADED',
        `${this.#pending} reads are in flight, at most ${this.#maxPending} are allowed`,
      );
    }
    const waiter = new ReadWaiter(run, reject, this.#environment.now() + timeoutMs);
    this.#queued.push(waiter);
    this.#pending++;
    if (this.#queued.length === 1) this.#wake();
    this.#armSweep();
    return waiter;
  }

  /**
   * Whether the local state shows all that was committed `maxLagMs` ago. Where it does so only just, a read is asked for ahead of
   * time, so that those who ask all the time never wait.
   */
  isWithin(maxLagMs: number): boolean {
    const { lagMs } = this.#freshness;
    if (lagMs > maxLagMs) return false;
    if (lagMs > maxLagMs / 2 && !this.#refreshing && this.#pending < this.#maxPending) {
      this.#refreshing = true;
      const done = (): void => void (this.#refreshing = false);
      this.add(done, done, Math.min(maxLagMs, this.#timeoutMs));
    }
    return true;
  }

  /** Gives up waiting. */
  abandon(waiter: ReadWaiter, code: ErrorCode, why: string): void {
    if (waiter.done) return;
    waiter.done = true;
    this.#pending--;
    waiter.reject(new QuorateError(code, why));
  }

  /** What is to be asked in this turn. */
  collect(out: number[]): void {
    if (!this.#ready || this.#queued.length === 0 || this.#retryTimer) return;
    const waiters = this.#queued.filter((waiter) => !waiter.done);
    this.#queued = [];
    if (waiters.length === 0) return;
    const context = ++this.#contexts;
    this.#asked.set(context, { waiters, asked: this.#freshness.moment(), index: 0 });
    out.push(context);
  }

  statusChanged(status: GroupStatus): void {
    this.#ready = status.contact > 0;
    if (this.#ready && this.#queued.length > 0) this.#wake();
  }

  /** A round got its index. */
  confirmed(context: number, index: Index, applied: Index): void {
    const round = this.#asked.get(context);
    if (!round) return;
    this.#asked.delete(context);
    if (applied >= index) {
      this.#run(round);
      return;
    }
    round.index = index;
    let at = this.#confirmed.length;
    while (at > 0 && this.#confirmed[at - 1]!.index > index) at--;
    this.#confirmed.splice(at, 0, round);
  }

  /** A round has to be asked again. */
  failed(context: number): void {
    const round = this.#asked.get(context);
    if (!round) return;
    this.#asked.delete(context);
    for (const waiter of round.waiters) if (!waiter.done) this.#queued.push(waiter);
    this.#retryTimer ??= this.#environment.setTimer(RETRY_MS, () => {
      this.#retryTimer = undefined;
      this.#wake();
    });
  }

  /** The state has reached `index`. */
  applied(index: Index): void {
    while (this.#confirmed.length > 0 && this.#confirmed[0]!.index <= index)
      this.#run(this.#confirmed.shift()!);
  }

  #run({ waiters, asked }: Round): void {
    this.#freshness.reached(asked);
    for (const waiter of waiters) {
      if (waiter.done) continue;
      waiter.done = true;
      this.#pending--;
      waiter.run();
    }
  }

  #armSweep(): void {
    if (this.#closed) return;
    this.#sweepTimer ??= this.#environment.setTimer(Math.min(1000, this.#timeoutMs) / 4, () => {
      this.#sweepTimer = undefined;
      const now = this.#environment.now();
      for (const waiter of this.#all()) {
        if (waiter.deadline <= now)
          this.abandon(waiter, 'ERR_TIMEOUT', 'no leader with a quorum confirmed the read in time');
      }
      this.#queued = this.#queued.filter((waiter) => !waiter.done);
      if (this.#pending > 0) this.#armSweep();
    });
  }

  #all(): ReadWaiter[] {
    const rounds = [...this.#asked.values(), ...this.#confirmed];
    return [...rounds.flatMap((round) => round.waiters), ...this.#queued];
  }

  close(code: ErrorCode, why: string): void {
    this.#closed = true;
    this.#retryTimer?.cancel();
    this.#sweepTimer?.cancel();
    for (const waiter of this.#all()) this.abandon(waiter, code, why);
    this.#queued = [];
    this.#asked.clear();
    this.#confirmed.length = 0;
  }
}
