/** How a member keeps its sagas: it says in the log that it lives, and knows until when that holds. @internal */
import { randomId, type Environment, type Timer } from '../../environment.js';
import type { Replica } from '../../replica/replica.js';
import type { SagasMachine } from './sagasMachine.js';

export interface LeaseEvents {
  /** What is owned should be looked at: the lease holds, as of a state that is no older than it. */
  held(): void;
  lost(): void;
  regained(): void;
  warning(error: Error): void;
}

/**
 * The lease counts from the moment at which a beat was sent, by this node's monotonic clock, so that it ends here before it ends in
 * the log, unless clocks go apart: then the fencing tokens have to do.
 */
export class Lease {
  readonly #replica: Replica<SagasMachine>;
  readonly #environment: Environment;
  readonly #leaseMs: number;
  readonly #events: LeaseEvents;
  readonly #definitions = new Set<string>();
  /** Names this life of the runner. */
  readonly runner: string;
  /** What it knows of these definitions is in the log. */
  #enlisted = false;
  /** The group does not know it any more: its lease was over. */
  #forgotten = false;
  #until = -Infinity;
  #wasLost = false;
  #sending = false;
  #closed = false;
  #beat: Timer | undefined;
  #end: Timer | undefined;

  constructor(
    replica: Replica<SagasMachine>,
    environment: Environment,
    leaseMs: number,
    events: LeaseEvents,
  ) {
    this.#replica = replica;
    this.#environment = environment;
    this.#leaseMs = leaseMs;
    this.#events = events;
    this.runner = randomId(environment);
  }

  get holds(): boolean {
    return !this.#closed && this.#environment.now() < this.#until;
  }

  /** This member runs sagas of one more definition. */
  add(fingerprint: string): void {
    this.#definitions.add(fingerprint);
    this.#enlisted = false;
    this.#send();
  }

  /** There may be something to keep a lease for, or nothing any more. */
  wake(): void {
    if (this.#closed || this.#definitions.size === 0 || this.#beat !== undefined) return;
    if (this.#isNeeded()) this.#send();
  }

  #isNeeded(): boolean {
    if (this.#closed) return false;
    try {
      return !this.#enlisted || this.#replica.peek({ op: 'activity' }).owned > 0;
    } catch {
      return false; // the replica is closing
    }
  }

  #send(): void {
    if (this.#closed || this.#sending) return;
    this.#beat?.cancel();
    this.#beat = undefined;
    this.#sending = true;
    const sentAt = this.#environment.now();
    this.#say().then(
      (heard) => this.#sent(heard ? sentAt : undefined),
      (error: unknown) => {
        if (!isPassing(error))
          this.#events.warning(error instanceof Error ? error : new Error(String(error)));
        this.#sent(undefined);
      },
    );
  }

  /** Whether it was heard under the present definitions. */
  async #say(): Promise<boolean> {
    const { runner } = this;
    // A signal, and no time-out: that would leave it in the outbox, if there is one.
    const controller = new AbortController();
    const { signal } = controller;
    const limit = this.#environment.setTimer(this.#leaseMs, () => controller.abort());
    try {
      return await this.#sayIt(runner, signal);
    } finally {
      limit.cancel();
    }
  }

  async #sayIt(runner: string, signal: AbortSignal): Promise<boolean> {
    if (this.#enlisted) {
      const { known } = await this.#replica.submit({ op: 'beat', runner }, { signal });
      if (!known) {
        this.#enlisted = false;
        this.#forgotten = true;
      }
      return known;
    }
    const definitions = [...this.#definitions];
    await this.#replica.submit({ op: 'enlist', runner, leaseMs: this.#leaseMs, definitions }, { signal });
    this.#enlisted = definitions.length === this.#definitions.size;
    return true;
  }

  #sent(heardAt: number | undefined): void {
    this.#sending = false;
    if (this.#closed) return;
    if (heardAt !== undefined) this.#holdFrom(heardAt);
    if (!this.#isNeeded()) return;
    // At once where it was forgotten, heard too late to hold, or heard without all of its definitions.
    const isLate = heardAt !== undefined && (!this.holds || !this.#enlisted);
    const delay = isLate || this.#forgotten ? 1 : this.#leaseMs / 3;
    this.#forgotten = false;
    this.#beat = this.#environment.setTimer(delay, () => {
      this.#beat = undefined;
      if (this.#isNeeded()) this.#send();
    });
  }

  #holdFrom(sentAt: number): void {
    this.#until = Math.max(this.#until, sentAt + this.#leaseMs);
    this.#end?.cancel();
    if (!this.holds) {
      this.#over();
      return;
    }
    this.#end = this.#environment.setTimer(this.#until - this.#environment.now() + 1, () => this.#over());
    if (this.#wasLost) {
      this.#wasLost = false;
      this.#events.regained();
    }
    this.#events.held();
  }

  #over(): void {
    // Without sagas nobody beats, and nothing is lost.
    if (this.#closed || this.holds || !this.#isNeeded()) return;
    if (!this.#wasLost) {
      this.#wasLost = true;
      this.#events.lost();
    }
  }

  /** The sagas go to others, if that can be said in time. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#beat?.cancel();
    this.#end?.cancel();
    if (this.#definitions.size === 0 || this.#replica.status().state !== 'running') return;
    const timeout = Math.min(1000, this.#leaseMs);
    // Best effort: whoever waits for the lease to end does no harm.
    await this.#replica.submit({ op: 'leave', runner: this.runner }, { timeout }).catch(() => undefined);
  }
}

/** What happens when no quorum answers, or this node has much to do: it is tried again. */
function isPassing(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return [
    'ERR_TIMEOUT',
    'ERR_ABORTED',
    'ERR_NOT_READY',
    'ERR_OVERLOADED',
    'ERR_CLOSED',
    'ERR_NOT_A_MEMBER',
  ].includes(String(code));
}
