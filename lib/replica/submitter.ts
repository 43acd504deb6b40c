/**
 * The submitting side of a session: gathers the commands of a turn into a batch, sees it through leader changes and lost
 * links until it is applied here, and settles the promises. What a batch holds is encoded once; a retry sends the same bytes,
 * and the sessions in the replicated state see to it that they count once.
 */
import { ByteWriter } from '../bytes.js';
import type { Epoch } from '../consensus/consensus.js';
import type { GroupStatus, Proposal, ProposalRefusal } from '../engine/door.js';
import type { Environment, Timer } from '../environment.js';
import { QuorateError, type ErrorCode, type Fate } from '../errors.js';
import { encodeBatch, encodeItem, encodeRegistration } from './batch.js';
import type { BatchCodec } from './codec.js';
import { Failure, type Outcome } from './outcome.js';
import { formatRequestId, type SequenceId } from './requestId.js';
import type { SessionTable } from './sessions.js';

const MAX_BATCH_COMMANDS = 1024;
const MAX_BATCH_BYTES = 64 * 1024;
/** After a refusal: how long until the next try. */
const RETRY_MS = 20;
/** A batch that nobody answered for is sent again after this long, in case it was lost without a trace. */
const STALE_MS = 2000;
/** How long, and how many, timed-out batches are kept so that a retry with their request id finds them unapplied. */
const AMBIGUOUS_MS = 600_000;
const AMBIGUOUS_BATCHES = 1024;

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

/** Caps on what is in flight. */
export interface SubmitLimits {
  readonly maxPendingCommands: number;
  readonly maxPendingBytes: number;
  readonly maxCommandBytes: number;
  readonly submitTimeoutMs: number;
}

/** The way by which a batch was sent last. */
interface Route {
  readonly epoch: Epoch;
  readonly contact: number;
}

class Batch {
  readonly session: number;
  /** 0 until sealed. */
  first = 0;
  readonly items = new ByteWriter(1024);
  readonly ends: number[] = [];
  readonly waiters: (Waiter | undefined)[] = [];
  readonly requestIds: (string | undefined)[] = [];
  unsettled = 0;
  data: Uint8Array | undefined;
  body: Uint8Array | undefined;
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
}

export class Submitter {
  readonly #self: string;
  readonly #environment: Environment;
  readonly #codec: BatchCodec;
  readonly #limits: SubmitLimits;
  readonly #wake: () => void;
  #session = 0;
  #registration:
    | { readonly nonce: string; readonly data: Uint8Array; route: Route | undefined; sentAt: number }
    | undefined;
  #nextSequence = 1;
  #queued: Batch[] = [];
  /** Sealed batches of the own session by first sequence, oldest first. */
  readonly #pending = new Map<number, Batch>();
  /** Retries of sequences that belong to other sessions. */
  readonly #foreign = new Map<string, Batch>();
  readonly #byToken = new Map<number, Batch>();
  #tokens = 0;
  #commands = 0;
  #bytes = 0;
  #submitted = 0;
  #committed = 0;
  #failed = 0;
  #status: GroupStatus | undefined;
  #appliedEpoch = 0;
  #restores = 0;
  /** Sealed batches may have to be sent again. */
  #rescan = false;
  #retryTimer: Timer | undefined;
  #sweepTimer: Timer | undefined;
  #closed = false;
  /** Why the group cannot be reached, if that is known; the cause of time-outs. */
  obstacle: Error | undefined;

  constructor(
    self: string,
    environment: Environment,
    codec: BatchCodec,
    limits: SubmitLimits,
    wake: () => void,
  ) {
    this.#self = self;
    this.#codec = codec;
    this.#environment = environment;
    this.#limits = limits;
    this.#wake = wake;
  }

  /** What became of the commands so far. */
  get counts(): { readonly submitted: number; readonly committed: number; readonly failed: number } {
    return { submitted: this.#submitted, committed: this.#committed, failed: this.#failed };
  }

  /** Commands that are not settled. */
  get pendingCommands(): number {
    return this.#commands;
  }

  get session(): number {
    return this.#session;
  }

  /** Queues a command. Throws ERR_OVERLOADED when too much is in flight, ERR_TOO_LARGE, ERR_CODEC. */
  add(command: unknown, requestId: string | undefined, waiter: Waiter): void {
    this.#makeRoom();
    let batch = this.#queued[this.#queued.length - 1];
    if (!batch || batch.count >= MAX_BATCH_COMMANDS || batch.items.length >= MAX_BATCH_BYTES) {
      batch = new Batch(0, this.#environment.now() + this.#limits.submitTimeoutMs);
      this.#queued.push(batch);
      if (this.#queued.length === 1) this.#wake();
    }
    const at = batch.count;
    this.#append(batch, requestId ?? '', command, waiter);
    if (requestId !== undefined) batch.requestIds[at] = requestId;
  }

  #append(batch: Batch, requestId: string, command: unknown, waiter: Waiter): void {
    const before = batch.items.length;
    const length = encodeItem(batch.items, requestId, command, this.#codec);
    if (length > this.#limits.maxCommandBytes) {
      batch.items.rewind(before);
      const message = `the command has ${length} bytes, at most ${this.#limits.maxCommandBytes} are allowed`;
      throw new QuorateError('ERR_TOO_LARGE', message, { fate: 'refused' });
    }
    this.#bytes += batch.items.length - before;
    waiter.batch = batch;
    waiter.at = batch.count;
    batch.ends.push(batch.items.length);
    batch.waiters.push(waiter);
    batch.unsettled++;
    this.#commands++;
    this.#submitted++;
    this.#armSweep();
  }

  /** Submits again what may have been submitted under this sequence. */
  retry(id: SequenceId, command: unknown, waiter: Waiter): void {
    if (id.session === this.#session) {
      for (const batch of this.#pending.values()) {
        const at = id.sequence - batch.first;
        if (at < 0 || at >= batch.count) continue;
        this.#join(batch, at, waiter);
        return;
      }
    }
    const key = keyOf(id);
    const known = this.#foreign.get(key);
    if (known) {
      this.#join(known, 0, waiter);
      return;
    }
    this.#makeRoom();
    const batch = new Batch(id.session, this.#environment.now() + this.#limits.submitTimeoutMs);
    this.#append(batch, '', command, waiter);
    batch.first = id.sequence;
    batch.body = batch.items.take();
    batch.data = encodeBatch(id.session, 0, id.sequence, 1, batch.body);
    this.#foreign.set(key, batch);
    this.#rescan = true;
    this.#wake();
  }

  /** A caller waits for a command that is under way already, or that somebody gave up waiting for. */
  #join(batch: Batch, at: number, waiter: Waiter): void {
    waiter.batch = batch;
    waiter.at = at;
    waiter.next = batch.waiters[at];
    if (!waiter.next) {
      batch.unsettled++;
      this.#commands++;
      this.#bytes += batch.sizeOf(at);
    }
    batch.waiters[at] = waiter;
    batch.deadline = this.#environment.now() + this.#limits.submitTimeoutMs;
    batch.keepUntil = 0;
    this.#rescan = true;
    this.#wake();
    this.#armSweep();
  }

  #makeRoom(): void {
    const { maxPendingCommands, maxPendingBytes } = this.#limits;
    if (this.#commands < maxPendingCommands && this.#bytes < maxPendingBytes) return;
    const message =
      `${this.#commands} commands with ${this.#bytes} bytes are in flight, ` +
      `at most ${maxPendingCommands} with ${maxPendingBytes} are allowed`;
    throw new QuorateError('ERR_OVERLOADED', message, { fate: 'refused' });
  }

  /** Gives up waiting for a command, which may take effect all the same. */
  abandon(waiter: Waiter, code: ErrorCode, why: string): void {
    const { batch, at } = waiter;
    if (!batch) return;
    const { fate, requestId } = this.#fateOf(batch, at);
    waiter.batch = undefined;
    if (batch.waiters[at] === waiter) {
      batch.waiters[at] = waiter.next;
    } else {
      let before = batch.waiters[at];
      while (before && before.next !== waiter) before = before.next;
      if (before) before.next = waiter.next;
    }
    waiter.reject(
      new QuorateError(code, `${why}; ${explain(fate)}`, { fate, requestId, cause: this.obstacle }),
    );
    if (batch.waiters[at]) return;
    this.#settled(batch, at);
    this.#failed++;
    if (batch.unsettled === 0) this.#shelve(batch);
  }

  #abandonAll(batch: Batch, code: ErrorCode, why: string): void {
    for (let at = 0; at < batch.count; at++) {
      for (let waiter = batch.waiters[at]; waiter; waiter = batch.waiters[at])
        this.abandon(waiter, code, why);
    }
  }

  #fateOf(batch: Batch, at: number): { fate: Fate; requestId: string | undefined } {
    const chosen = batch.requestIds[at];
    if (batch.accepted.size === 0 && !batch.promised) return { fate: 'refused', requestId: chosen };
    batch.promised = true;
    const session = batch.session === 0 ? this.#session : batch.session;
    return {
      fate: 'ambiguous',
      requestId: chosen ?? formatRequestId({ session, sequence: batch.first + at }),
    };
  }

  /** Nobody waits for the batch any more. */
  #shelve(batch: Batch): void {
    if (batch.session !== 0) {
      this.#foreign.delete(keyOf({ session: batch.session, sequence: batch.first }));
    } else if (batch.promised) {
      batch.keepUntil = this.#environment.now() + AMBIGUOUS_MS;
    } else {
      this.#pending.delete(batch.first);
      this.#queued = this.#queued.filter((queued) => queued !== batch);
    }
  }

  #settled(batch: Batch, at: number): void {
    batch.unsettled--;
    this.#commands--;
    this.#bytes -= batch.sizeOf(at);
  }

  /** What is to be proposed in this turn. */
  collect(out: Proposal[]): void {
    const status = this.#status;
    if (this.#closed || !status || status.contact === 0) return;
    const now = this.#environment.now();
    if (this.#session === 0 && this.#queued.length > 0) this.#register(status, now, out);
    if (this.#rescan) {
      this.#rescan = false;
      for (const batch of this.#foreign.values()) this.#resend(batch, status, now, out);
      for (const batch of this.#pending.values()) this.#resend(batch, status, now, out);
    }
    if (this.#session === 0 || this.#queued.length === 0) return;
    const queued = this.#queued;
    this.#queued = [];
    for (const batch of queued) {
      if (batch.unsettled === 0) continue;
      this.#seal(batch);
      this.#send(batch, status, now, out);
    }
  }

  #register(status: GroupStatus, now: number, out: Proposal[]): void {
    if (!this.#registration) {
      const nonce = Buffer.from(this.#environment.randomBytes(16)).toString('hex');
      this.#registration = {
        nonce,
        data: encodeRegistration(this.#self, nonce),
        route: undefined,
        sentAt: 0,
      };
    }
    const registration = this.#registration;
    const { route } = registration;
    if (
      route?.epoch === status.epoch &&
      route.contact === status.contact &&
      now - registration.sentAt < STALE_MS
    )
      return;
    registration.route = { epoch: status.epoch, contact: status.contact };
    registration.sentAt = now;
    out.push({ token: 0, count: 1, data: registration.data });
  }

  #seal(batch: Batch): void {
    batch.first = this.#nextSequence;
    batch.body = batch.items.take();
    this.#drop(batch);
    this.#nextSequence += batch.count;
    this.#pending.set(batch.first, batch);
    batch.data = encodeBatch(this.#session, this.#floor(), batch.first, batch.count, batch.body);
  }

  /** The lowest sequence that somebody waits for, or may ask for again. */
  #floor(): number {
    for (const first of this.#pending.keys()) return first;
    return this.#nextSequence;
  }

  #resend(batch: Batch, status: GroupStatus, now: number, out: Proposal[]): void {
    if (batch.keepUntil > 0) return;
    const { route } = batch;
    if (route && batch.accepted.size > 0) {
      const sameEpoch = route.epoch.n === status.epoch.n && route.epoch.config === status.epoch.config;
      const stale = now - batch.sentAt >= STALE_MS;
      if (sameEpoch && route.contact === status.contact && !stale) return;
      // A new leader may have the batch in its log. Once an entry of its reign is applied here, what it had is decided.
      if (!sameEpoch && this.#appliedEpoch < status.epoch.n && !stale) return;
    }
    if (batch.accepted.size === 0 && batch.session === 0 && batch.unsettled < batch.count) {
      this.#drop(batch);
      batch.data = encodeBatch(this.#session, this.#floor(), batch.first, batch.count, batch.body!);
    }
    this.#send(batch, status, now, out);
  }

  /** Takes the commands that nobody waits for out of a batch that is not in the log. */
  #drop(batch: Batch): void {
    if (batch.unsettled === batch.count || batch.promised || !batch.body) return;
    const writer = new ByteWriter(batch.body.length);
    const ends = batch.ends.splice(0);
    const waiters = batch.waiters.splice(0);
    const requestIds = batch.requestIds.splice(0);
    for (const [at, waiter] of waiters.entries()) {
      if (!waiter) continue;
      writer.raw(batch.body.subarray(at === 0 ? 0 : ends[at - 1]!, ends[at]));
      for (let each: Waiter | undefined = waiter; each; each = each.next) each.at = batch.count;
      batch.waiters.push(waiter);
      batch.ends.push(writer.length);
      const requestId = requestIds[at];
      if (requestId !== undefined) batch.requestIds[batch.waiters.length - 1] = requestId;
    }
    batch.body = writer.take();
  }

  #send(batch: Batch, status: GroupStatus, now: number, out: Proposal[]): void {
    const token = ++this.#tokens;
    if (batch.accepted.size === 0) batch.restores = this.#restores;
    batch.accepted.add(token);
    batch.route = { epoch: status.epoch, contact: status.contact };
    batch.sentAt = now;
    this.#byToken.set(token, batch);
    out.push({ token, count: batch.count, data: batch.data! });
  }

  /** The engine or the leader did not take a proposal. */
  refused(token: number, why: ProposalRefusal): void {
    if (token === 0) {
      if (this.#registration) this.#registration.route = undefined;
      this.#retrySoon();
      return;
    }
    const batch = this.#byToken.get(token);
    if (!batch) return;
    this.#byToken.delete(token);
    batch.accepted.delete(token);
    if (batch.accepted.size === 0 && (why === 'tooLarge' || why === 'diskFull')) {
      const code = why === 'tooLarge' ? 'ERR_TOO_LARGE' : 'ERR_STORAGE_FULL';
      const message =
        why === 'tooLarge'
          ? 'the leader does not take so large a command'
          : "the leader's disk is nearly full";
      this.#abandonAll(batch, code, message);
      return;
    }
    this.#retrySoon();
  }

  #retrySoon(): void {
    this.#retryTimer ??= this.#environment.setTimer(RETRY_MS, () => {
      this.#retryTimer = undefined;
      this.#rescan = true;
      this.#wake();
    });
  }

  /** The group's status changed. */
  statusChanged(status: GroupStatus): void {
    this.#status = status;
    this.#rescan = true;
    if (this.#commands > 0) this.#wake();
  }

  /** An entry of this epoch was applied here. */
  epochApplied(n: number): void {
    if (n <= this.#appliedEpoch) return;
    this.#appliedEpoch = n;
    this.#rescan = true;
    if (this.#commands > 0) this.#wake();
  }

  /** A session was registered. */
  registered(id: number, origin: string, nonce: string): void {
    if (origin !== this.#self || this.#registration?.nonce !== nonce) return;
    this.#session = id;
    this.#nextSequence = 1;
    this.#registration = undefined;
    this.#wake();
  }

  /** Whether somebody here may wait for a batch of that session. */
  awaits(session: number): boolean {
    return session === this.#session || this.#foreign.size > 0;
  }

  /** A batch was applied, now or before: settles those who wait. */
  applied(session: number, first: number, outcomes: readonly Outcome[]): void {
    if (session === this.#session) {
      const batch = this.#pending.get(first);
      if (batch) {
        this.#pending.delete(first);
        this.#forgetTokens(batch);
        this.#settleAll(batch, outcomes);
      }
    }
    if (this.#foreign.size === 0) return;
    for (let at = 0; at < outcomes.length; at++) {
      const key = keyOf({ session, sequence: first + at });
      const batch = this.#foreign.get(key);
      if (!batch) continue;
      this.#foreign.delete(key);
      this.#forgetTokens(batch);
      this.#settleAll(batch, [outcomes[at]]);
    }
  }

  #settleAll(batch: Batch, outcomes: readonly Outcome[]): void {
    const { waiters } = batch;
    for (let at = 0; at < waiters.length; at++) {
      let waiter = waiters[at];
      if (!waiter) continue;
      const outcome = outcomes[at];
      this.#settled(batch, at);
      if (outcome instanceof Failure) this.#failed++;
      else this.#committed++;
      for (; waiter; waiter = waiter.next) {
        waiter.batch = undefined;
        if (outcome instanceof Failure) waiter.reject(outcome.toError(batch.requestIds[at]));
        else waiter.resolve(outcome);
      }
    }
  }

  #forgetTokens(batch: Batch): void {
    for (const token of batch.accepted) this.#byToken.delete(token);
  }

  /** A batch came up in the log whose session was gone: nothing of it was applied, and nothing ever will be. */
  expired(session: number, first: number, count: number): void {
    const failure = new Failure('ERR_SESSION_EXPIRED', `session ${session} has expired`);
    if (session !== this.#session) {
      this.applied(session, first, new Array<Outcome>(count).fill(failure));
      return;
    }
    const pending = [...this.#pending.values()];
    this.#session = 0;
    this.#pending.clear();
    for (const batch of pending) {
      this.#forgetTokens(batch);
      // Whoever applied the log without a gap knows that the batch had not been applied before the session went.
      if (batch.restores === this.#restores) this.#requeue(batch);
      else this.#settleAll(batch, new Array<Outcome>(batch.count).fill(failure));
    }
    this.#wake();
  }

  #requeue(batch: Batch): void {
    if (batch.unsettled === 0 || !batch.body) return;
    batch.accepted.clear();
    batch.promised = false;
    batch.route = undefined;
    this.#drop(batch);
    batch.items.raw(batch.body);
    batch.first = 0;
    batch.body = undefined;
    this.#queued.push(batch);
  }

  /** The state was replaced by a snapshot: what it says of the own session settles those who wait. */
  restored(table: SessionTable): void {
    this.#restores++;
    if (this.#registration) {
      const opened = table.findByNonce(this.#self, this.#registration.nonce);
      if (opened) this.registered(opened.id, this.#self, opened.nonce);
    }
    if (this.#session === 0) return;
    const session = table.peek(this.#session);
    if (!session) {
      this.expired(this.#session, 0, 0);
      return;
    }
    for (const batch of [...this.#pending.values()]) {
      if (session.isFresh(batch.first, batch.count)) continue;
      const outcomes = batch.waiters.map((_, at) => {
        const found = session.find(batch.first + at);
        if (found?.known) return found.outcome;
        return new Failure(
          'ERR_RESULT_EXPIRED',
          'the command was applied, but its result is not kept any more',
        );
      });
      this.applied(session.id, batch.first, outcomes);
    }
    this.#rescan = true;
    this.#wake();
  }

  #armSweep(): void {
    this.#sweepTimer ??= this.#environment.setTimer(
      Math.min(STALE_MS, this.#limits.submitTimeoutMs) / 2,
      () => this.#sweep(),
    );
  }

  /** Times out what nobody answered for, and looks again at what may have been lost. */
  #sweep(): void {
    this.#sweepTimer = undefined;
    const now = this.#environment.now();
    const late = [...this.#foreign.values(), ...this.#pending.values(), ...this.#queued].filter(
      (batch) => batch.deadline <= now,
    );
    for (const batch of late) {
      this.#abandonAll(batch, 'ERR_TIMEOUT', `no answer within ${this.#limits.submitTimeoutMs} ms`);
    }
    let shelved = 0;
    for (const batch of this.#pending.values()) if (batch.keepUntil > 0) shelved++;
    for (const batch of this.#pending.values()) {
      if (batch.keepUntil === 0) continue;
      if (batch.keepUntil > now && shelved <= AMBIGUOUS_BATCHES) break;
      this.#pending.delete(batch.first);
      this.#forgetTokens(batch);
      shelved--;
    }
    if (this.#commands > 0) {
      this.#rescan = true;
      this.#wake();
    }
    if (this.#commands > 0 || this.#pending.size > 0) this.#armSweep();
  }

  /** Rejects everything that is not settled. */
  close(code: ErrorCode, why: string): void {
    if (this.#closed) return;
    this.#retryTimer?.cancel();
    this.#sweepTimer?.cancel();
    const batches = [...this.#foreign.values(), ...this.#pending.values(), ...this.#queued];
    for (const batch of batches) this.#abandonAll(batch, code, why);
    this.#closed = true;
    this.#pending.clear();
    this.#foreign.clear();
    this.#queued = [];
    this.#byToken.clear();
  }
}

function keyOf(id: SequenceId): string {
  return `${id.session}:${id.sequence}`;
}

function explain(fate: Fate): string {
  return fate === 'refused'
    ? 'the command did not enter the log'
    : 'the command may still take effect: retry only with the same requestId';
}
