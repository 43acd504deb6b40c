/** Commands on their way, batch by batch, and those who wait for them. */
import { ByteWriter } from '../bytes.js';
import type { Epoch } from '../consensus/consensus.js';
import { QuorateError, type ErrorCode } from '../errors.js';
import { Failure, type Outcome } from './outcome.js';
import { formatRequestId } from './requestId.js';

/** Somebody who waits for a command. */
export class Waiter {
  readonly resolve: (result: Outcome) => void;
  readonly reject: (error: unknown) => void;
  /** Where the command is; undefined once settled. */
  batch: Batch | undefined;
  at = 0;
  /** Another caller who waits for the same command. */
  next: Waiter | undefined;

  constructor(resolve: (result: Outcome) => void, reject: (error: unknown) => void) {
    this.resolve = resolve;
    this.reject = reject;
  }
}

/** The way by which something was sent last. */
export interface Route {
  readonly epoch: Epoch;
  readonly contact: number;
}

/** Commands with consecutive sequences that travel as one entry of the log. */
export class Batch {
  /** 0 for the submitter's own. */
  readonly session: number;
  /** The sequence of the first command; 0 until sealed. */
  first = 0;
  /** The commands, as long as it is not sealed; then `body` holds them. */
  readonly items = new ByteWriter(1024);
  body: Uint8Array | undefined;
  /** The whole entry. */
  data: Uint8Array | undefined;
  readonly ends: number[] = [];
  readonly waiters: (Waiter | undefined)[] = [];
  /** The ids that callers chose. */
  readonly requestIds: (string | undefined)[] = [];
  /** How many commands somebody waits for. */
  unsettled = 0;
  route: Route | undefined;
  sentAt = 0;
  /** Tokens of the sends that were not refused: while there is one, the batch may be in the log. */
  readonly accepted = new Set<number>();
  deadline: number;
  /** Set when all its commands timed out: kept only so that a retry can find it. */
  keepUntil = 0;
  /** Somebody was told that a command of it may still take effect: its sequences are spoken for. */
  promised = false;
  /** How many snapshots had been restored when it was first sent. */
  restores = 0;

  constructor(session: number, deadline: number) {
    this.session = session;
    this.deadline = deadline;
  }

  get count(): number {
    return this.ends.length;
  }

  sizeOf(at: number): number {
    return this.ends[at]! - (at === 0 ? 0 : this.ends[at - 1]!);
  }

  /** Takes in the command that was written to `items` last. */
  push(waiter: Waiter): void {
    waiter.batch = this;
    waiter.at = this.count;
    this.ends.push(this.items.length);
    this.waiters.push(waiter);
    this.unsettled++;
  }

  /** One more caller waits for a command. Says whether nobody did before. */
  join(at: number, waiter: Waiter): boolean {
    waiter.batch = this;
    waiter.at = at;
    waiter.next = this.waiters[at];
    this.waiters[at] = waiter;
    if (waiter.next) return false;
    this.unsettled++;
    return true;
  }

  /** A caller gives up. Says whether nobody waits for its command any more. */
  leave(waiter: Waiter): boolean {
    const { at } = waiter;
    waiter.batch = undefined;
    if (this.waiters[at] === waiter) {
      this.waiters[at] = waiter.next;
    } else {
      let before = this.waiters[at];
      while (before && before.next !== waiter) before = before.next;
      if (before) before.next = waiter.next;
    }
    if (this.waiters[at]) return false;
    this.unsettled--;
    return true;
  }

  /** Tells all who wait for a command what became of it. */
  settle(at: number, outcome: Outcome): void {
    this.unsettled--;
    let waiter = this.waiters[at];
    this.waiters[at] = undefined;
    for (; waiter; waiter = waiter.next) {
      waiter.batch = undefined;
      if (outcome instanceof Failure) waiter.reject(outcome.toError(this.requestIds[at]));
      else waiter.resolve(outcome);
    }
  }

  /**
   * What a caller is told who gives up: whether the command may still take effect, and under which id to submit it again.
   * Who was told so may come back, so the batch keeps its sequences from then on.
   */
  abandonment(at: number, ownSession: number, code: ErrorCode, why: string, cause: unknown): QuorateError {
    const chosen = this.requestIds[at];
    if (this.accepted.size === 0 && !this.promised) {
      const message = `${why}; the command did not enter the log`;
      return new QuorateError(code, message, { fate: 'refused', requestId: chosen, cause });
    }
    this.promised = true;
    const session = this.session === 0 ? ownSession : this.session;
    const requestId = chosen ?? formatRequestId({ session, sequence: this.first + at });
    const message = `${why}; the command may still take effect: retry only with the same requestId`;
    return new QuorateError(code, message, { fate: 'ambiguous', requestId, cause });
  }

  /** Takes the commands that nobody waits for out of a batch that is not in the log. */
  compact(): void {
    if (this.unsettled === this.count || this.promised || !this.body) return;
    const writer = new ByteWriter(this.body.length);
    const ends = this.ends.splice(0);
    const waiters = this.waiters.splice(0);
    const requestIds = this.requestIds.splice(0);
    for (const [at, waiter] of waiters.entries()) {
      if (!waiter) continue;
      writer.raw(this.body.subarray(at === 0 ? 0 : ends[at - 1]!, ends[at]));
      for (let each: Waiter | undefined = waiter; each; each = each.next) each.at = this.count;
      this.waiters.push(waiter);
      this.ends.push(writer.length);
      const requestId = requestIds[at];
      if (requestId !== undefined) this.requestIds[this.waiters.length - 1] = requestId;
    }
    this.body = writer.take();
  }

  /** Makes a batch, that was sealed for a session that is gone, as if it had never been sent. */
  unseal(): void {
    this.accepted.clear();
    this.promised = false;
    this.route = undefined;
    this.compact();
    this.items.raw(this.body!);
    this.first = 0;
    this.body = undefined;
  }
}
