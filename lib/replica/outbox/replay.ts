/**
 * Sends what the outbox holds once a quorum answers: in order, one batch at a time, each command under a session and a sequence
 * that were written down before. A command that was sent before, by this process or one that died, goes again under the same ones,
 * and the replicated sessions see to it that it counts once. When its session has expired, it can never be applied any more; if
 * this member has applied the log without a gap since it was sent, it is known whether it was, and otherwise nobody knows.
 */
import PQueue from 'p-queue';
import type { Index } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { resultExpired, type Outcome } from '../outcome.js';
import { Waiter } from '../pending.js';
import type { Reads } from '../reads.js';
import type { SessionTable } from '../sessions.js';
import type { Submitter } from '../submitter.js';
import type { Entry } from './outboxRecords.js';
import type { OutboxQueue } from './outboxQueue.js';

const MAX_COMMANDS = 1024;
const MAX_BYTES = 64 * 1024;
/** How long until the next try, after one that came to nothing. */
const RETRY_MS = 250;
/** How often to look whether what was submitted before the outbox is settled. */
const LOOK_MS = 5;

/** What a replay works on. */
export interface ReplaySetup {
  readonly environment: Environment;
  readonly queue: OutboxQueue;
  readonly submitter: Submitter;
  readonly reads: Reads;
  readonly sessions: SessionTable;
  appliedIndex(): Index;
  failed(error: Error): void;
}

export class Replay {
  readonly #setup: ReplaySetup;
  readonly #tasks = new PQueue({ concurrency: 1 });
  /** What was sent and is not decided, by session and sequence. */
  readonly #watched = new Map<string, { outcome?: { readonly value: Outcome } }>();
  #quorum = false;
  #scheduled = false;
  #ended = false;
  /** The local state has reached what was committed when this process opened. */
  #caughtUp = false;
  /** What the log held up to here was not seen by this outbox. */
  #blindTo: Index = 0;
  #session = 0;
  #nextSequence = 1;
  /** The leader takes no larger batch. */
  #maxCommands = MAX_COMMANDS;
  #retryTimer: Timer | undefined;

  constructor(setup: ReplaySetup) {
    this.#setup = setup;
  }

  /** The outbox holds what it held in its file. */
  attached(): void {
    this.#blindTo = Math.max(this.#blindTo, this.#setup.appliedIndex());
    for (const { session, sequence } of this.#setup.queue.sent())
      this.#watched.set(keyOf(session, sequence), {});
    this.poke();
  }

  statusChanged(quorum: boolean): void {
    this.#quorum = quorum;
    this.poke();
  }

  /** A snapshot took the place of the log up to here. */
  restored(index: Index): void {
    this.#blindTo = Math.max(this.#blindTo, index);
  }

  /** Whether outcomes of batches matter here. */
  get watches(): boolean {
    return this.#watched.size > 0;
  }

  /** A batch was applied. */
  applied(session: number, first: number, outcomes: readonly Outcome[]): void {
    if (this.#watched.size === 0) return;
    for (const [at, value] of outcomes.entries()) {
      const watched = this.#watched.get(keyOf(session, first + at));
      if (watched) watched.outcome ??= { value };
    }
  }

  /** Goes to work if there is any. */
  poke(): void {
    if (this.#scheduled || this.#retryTimer || !this.#mayRun() || !this.#setup.queue.head()) return;
    this.#scheduled = true;
    // Not in the turn that opens the replica: nobody could have listened yet.
    this.#setup.environment.defer(() => {
      this.#tasks
        .add(() => this.#drain())
        .catch((error: unknown) =>
          this.#setup.failed(error instanceof Error ? error : new Error(String(error))),
        );
    });
  }

  end(): void {
    this.#ended = true;
    this.#retryTimer?.cancel();
  }

  #mayRun(): boolean {
    return !this.#ended && this.#quorum && this.#setup.queue.waiting > 0;
  }

  async #drain(): Promise<void> {
    try {
      await this.#whenIdle();
      while (this.#mayRun() && (await this.#step()));
    } finally {
      this.#scheduled = false;
    }
    this.poke();
  }

  /** What was submitted before the outbox comes before it. */
  async #whenIdle(): Promise<void> {
    const { environment, submitter } = this.#setup;
    while (!this.#ended && submitter.pendingCommands > 0)
      await new Promise<void>((resolve) => void environment.setTimer(LOOK_MS, resolve));
  }

  /** Brings the first command further, with those that can go with it. `false` when there is nothing to do for now. */
  async #step(): Promise<boolean> {
    const { queue } = this.#setup;
    const head = queue.head();
    if (!head) return false;
    if (head.state === 'queued') return this.#sendNew();
    if (!this.#caughtUp) {
      if (!(await this.#catchUp())) return this.#retryLater();
      this.#caughtUp = true;
    }
    const fate = this.#fateOf(head);
    if (fate === 'again') return this.#sendAgain();
    this.#watched.delete(keyOf(head.session, head.sequence));
    if (fate === 'never') Object.assign(head, { state: 'queued', session: 0, sequence: 0, sends: 0 });
    else if (fate === 'unknown') queue.giveUp(head);
    else queue.settle([head], [fate.value]);
    return true;
  }

  /** What became of a command that was sent: its outcome, or what is to be done. */
  #fateOf({ session, sequence, after }: Entry): { readonly value: Outcome } | 'again' | 'never' | 'unknown' {
    const known = this.#setup.sessions.peek(session);
    if (known) {
      const found = known.find(sequence);
      if (!found) return 'again';
      return { value: found.known ? found.outcome : resultExpired };
    }
    const seen = this.#watched.get(keyOf(session, sequence))?.outcome;
    if (seen) return seen;
    return this.#blindTo > after ? 'unknown' : 'never';
  }

  async #sendNew(): Promise<boolean> {
    const { queue, sessions } = this.#setup;
    if (this.#session === 0 || !sessions.peek(this.#session)) {
      await this.#openSession();
      if (!this.#mayRun()) return false;
    }
    // Cancelled meanwhile, or never sent after all.
    if (queue.head()?.state !== 'queued') return true;
    const run = queue.run(this.#maxCommands, MAX_BYTES);
    const first = this.#nextSequence;
    this.#nextSequence += run.length;
    await queue.intend(run, this.#session, first, this.#setup.appliedIndex());
    for (const { session, sequence } of run) this.#watched.set(keyOf(session, sequence), {});
    return this.#send(run, first);
  }

  #sendAgain(): Promise<boolean> {
    const run = this.#setup.queue.run(this.#maxCommands, MAX_BYTES);
    const end = run.findIndex((entry) => this.#fateOf(entry) !== 'again');
    const again = end < 0 ? run : run.slice(0, end);
    // In a session that is not the outbox's, what comes before may matter to others.
    return this.#send(again, again[0]!.after < 0 ? 0 : again[0]!.sequence);
  }

  async #send(run: readonly Entry[], floor: number): Promise<boolean> {
    const { queue } = this.#setup;
    const [{ session, sequence }] = run as [Entry];
    for (const entry of run) entry.sends++;
    const outcomes = await this.#outcomesOf(run, { session, sequence }, floor);
    if (this.#ended) return false;
    const [first] = outcomes;
    if (first instanceof Unsent) return this.#unsent(run, first.error);
    for (const entry of run) this.#watched.delete(keyOf(entry.session, entry.sequence));
    queue.settle(run, outcomes);
    this.#maxCommands = MAX_COMMANDS;
    return true;
  }

  /** What a batch gave: outcomes, errors of commands that were applied and failed, or an {@link Unsent} for all of them. */
  #outcomesOf(
    run: readonly Entry[],
    id: { readonly session: number; readonly sequence: number },
    floor: number,
  ): Promise<Outcome[]> {
    return new Promise((resolve) => {
      const outcomes: Outcome[] = [];
      let open = run.length;
      const put = (at: number, outcome: Outcome): void => {
        outcomes[at] = outcome;
        if (--open === 0) resolve(outcomes);
      };
      const commands = run.map(({ item, requestId }, at) => {
        const fail = (error: unknown): void => {
          const failed = error as QuorateError;
          put(at, failed.fate === undefined ? failed : new Unsent(failed));
        };
        return { item, requestId, waiter: new Waiter((outcome) => put(at, outcome), fail) };
      });
      this.#setup.submitter.replay(id, floor, commands);
    });
  }

  #unsent(run: readonly Entry[], error: QuorateError): boolean {
    if (error.code === 'ERR_SESSION_EXPIRED') return true; // the next step finds out what that means
    if (error.code !== 'ERR_TOO_LARGE') return this.#retryLater(); // the leader's disk is full
    const [entry] = run as [Entry];
    if (run.length > 1) {
      this.#maxCommands = 1;
    } else {
      this.#watched.delete(keyOf(entry.session, entry.sequence));
      if (entry.sends > 1) this.#setup.queue.giveUp(entry);
      else this.#setup.queue.settle(run, [error]);
    }
    return true;
  }

  #openSession(): Promise<void> {
    return new Promise((resolve) => {
      this.#setup.submitter.openSession((id) => {
        this.#session = id;
        this.#nextSequence = 1;
        resolve();
      });
    });
  }

  /** Waits until everything that is committed now is applied here. */
  async #catchUp(): Promise<boolean> {
    try {
      await new Promise<void>((resolve, reject) => {
        this.#setup.reads.add(resolve, reject);
      });
      return !this.#ended;
    } catch {
      return false;
    }
  }

  #retryLater(): false {
    if (this.#ended) return false;
    this.#retryTimer ??= this.#setup.environment.setTimer(RETRY_MS, () => {
      this.#retryTimer = undefined;
      this.poke();
    });
    return false;
  }
}

/** Why a batch was not applied, as far as this try goes. */
class Unsent {
  readonly error: QuorateError;

  constructor(error: QuorateError) {
    this.error = error;
  }
}

function keyOf(session: number, sequence: number): string {
  return `${session}:${sequence}`;
}
