/**
 * What a group knows as the home of transactions: the decision in its log is the commit point. Presumed abort (Mohan, Lindsay,
 * Obermarck: "Transaction Management in the R* Distributed Database Management System", 1986): a transaction that is not known
 * here is aborted, and stays so. "Not known" must not be said from memory: the answer is an entry of the log, and the first entry
 * that decides counts.
 *
 * @internal
 */
import { LIMITS, type Enlisted, type InquireCommand, type RegisterCommand } from './commands.js';

export type Outcome = 'commit' | 'abort';

/** A transaction at its home. */
export interface Decision {
  readonly id: string;
  /** When the attempt began, by the clock of who drives it. */
  readonly at: number;
  /** From then on who asks while it is pending aborts it; log time. */
  readonly deadline: number;
  /** The groups that have to learn the decision; the home itself knows it. */
  readonly groups: readonly string[];
  readonly resources: readonly Enlisted[];
  readonly request: string | undefined;
  outcome: 'pending' | Outcome;
  /** Everybody has learned it: what is left is a tombstone. */
  ended: boolean;
}

/** What is kept of a transaction that was committed under a request id. */
export interface Kept {
  readonly result: unknown;
  readonly bytes: number;
  readonly time: number;
}

/** The answer to who registers or decides. */
export type Answer =
  | { readonly type: 'pending' }
  | { readonly type: 'commit' }
  /** `why`: what another try would meet, too. */
  | { readonly type: 'abort'; readonly why?: string }
  /** Another attempt under the same request id was committed, with this result. */
  | { readonly type: 'done'; readonly result: unknown };

/** How many are looked at for their end with each command. */
const SWEEP = 2;

export class Decisions {
  readonly #decisions = new Map<string, Decision>();
  /** Those that somebody has still to see to. */
  readonly #open = new Set<Decision>();
  /** In the order of their commits. */
  readonly #requests = new Map<string, Kept>();
  #requestBytes = 0;

  get size(): number {
    return this.#decisions.size;
  }

  /** Those that are pending, or that not everybody has learned of. */
  open(): IterableIterator<Decision> {
    return this.#open.values();
  }

  get(id: string): Decision | undefined {
    return this.#decisions.get(id);
  }

  /** What was committed under a request id. */
  kept(request: string): Kept | undefined {
    return this.#requests.get(request);
  }

  register(command: RegisterCommand, now: number): Answer {
    this.#sweep(now);
    const done = this.#done(command.request);
    if (done) return done;
    const known = this.#decisions.get(command.id);
    if (known !== undefined) return answerOf(known);
    // A tombstone is forgotten when the log has left the stamp so far behind; who comes later is late, whatever clocks say.
    if (Math.abs(now - command.at) > LIMITS.stampMs)
      return { type: 'abort', why: `it began ${now - command.at} ms ago by this group's clock` };
    if (this.#decisions.size >= LIMITS.decisions || this.#requests.size >= LIMITS.requests)
      return { type: 'abort', why: 'its home has as many transactions as it can keep' };
    const decision: Decision = {
      id: command.id,
      at: command.at,
      deadline: now + command.leaseMs,
      groups: command.groups,
      resources: command.resources,
      request: command.request,
      outcome: 'pending',
      ended: false,
    };
    this.#decisions.set(command.id, decision);
    this.#open.add(decision);
    return { type: 'pending' };
  }

  /** The first decision counts; a commit of what was not registered is none. */
  decide(id: string, outcome: Outcome, result: unknown, bytes: number, now: number): Answer {
    this.#sweep(now);
    const known = this.#decisions.get(id);
    if (known === undefined) return { type: 'abort' };
    const done = this.#done(known.request);
    if (known.outcome !== 'pending') return known.outcome === 'abort' && done ? done : answerOf(known);
    if (outcome === 'commit' && done) {
      known.outcome = 'abort';
      return done;
    }
    if (
      outcome === 'commit' &&
      known.request !== undefined &&
      !this.keep(known.request, result, bytes, now)
    ) {
      known.outcome = 'abort';
      return { type: 'abort', why: 'its home keeps as many results as it can' };
    }
    known.outcome = outcome;
    return answerOf(known);
  }

  /** Somebody is in doubt. */
  inquire({ id, at }: InquireCommand, now: number): Answer {
    this.#sweep(now);
    const known = this.#decisions.get(id);
    if (known !== undefined) {
      if (known.outcome === 'pending' && now >= known.deadline) known.outcome = 'abort';
      return answerOf(known);
    }
    // Who registers from now on would be refused for its stamp.
    if (now - at > LIMITS.stampMs) return { type: 'abort' };
    // No room to write it down: no answer now is better than one that may not hold.
    if (this.#decisions.size >= 2 * LIMITS.decisions) return { type: 'pending' };
    this.#decisions.set(id, {
      id,
      at,
      deadline: now,
      groups: [],
      resources: [],
      request: undefined,
      outcome: 'abort',
      ended: true,
    });
    return { type: 'abort' };
  }

  /** All have learned the decision. */
  end(id: string): void {
    const known = this.#decisions.get(id);
    if (known === undefined || known.outcome === 'pending') return;
    this.#open.delete(known);
    // Nobody is in doubt about a commit any more, so nobody asks. Aborts stay as tombstones.
    if (known.outcome === 'commit') this.#decisions.delete(id);
    else known.ended = true;
  }

  /** Keeps the result of what was committed; `false`: there is no room. */
  keep(request: string, result: unknown, bytes: number, now: number): boolean {
    this.#forget(now);
    if (this.#requests.size >= LIMITS.requests || this.#requestBytes + bytes > LIMITS.requestBytes)
      return false;
    this.#requests.set(request, { result, bytes, time: now });
    this.#requestBytes += bytes;
    return true;
  }

  image(): { readonly decisions: Decision[]; readonly requests: [string, Kept][] } {
    return {
      decisions: [...this.#decisions.values()].map((each) => ({ ...each })),
      requests: [...this.#requests],
    };
  }

  restore(decisions: readonly Decision[], requests: readonly (readonly [string, Kept])[]): void {
    this.#decisions.clear();
    this.#requests.clear();
    this.#requestBytes = 0;
    this.#open.clear();
    for (const decision of decisions) {
      this.#decisions.set(decision.id, decision);
      if (!decision.ended) this.#open.add(decision);
    }
    for (const [request, kept] of requests) {
      this.#requests.set(request, kept);
      this.#requestBytes += kept.bytes;
    }
  }

  #done(request: string | undefined): Answer | undefined {
    const kept = request === undefined ? undefined : this.#requests.get(request);
    return kept && { type: 'done', result: kept.result };
  }

  #forget(now: number): void {
    for (const [request, { time, bytes }] of this.#requests) {
      if (now - time <= LIMITS.requestMs) return;
      this.#requests.delete(request);
      this.#requestBytes -= bytes;
    }
  }

  /** Looks at the decisions in turn: those that stay go to the end of the Map. */
  #sweep(now: number): void {
    this.#forget(now);
    for (let i = Math.min(SWEEP, this.#decisions.size); i > 0; i--) {
      const decision = this.#decisions.values().next().value!;
      this.#decisions.delete(decision.id);
      const over = decision.ended && now - decision.at > LIMITS.stampMs;
      if (!over) this.#decisions.set(decision.id, decision);
    }
  }
}

function answerOf({ outcome }: Decision): Answer {
  return { type: outcome };
}
