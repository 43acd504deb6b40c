/**
 * The submitting side of a session: gathers the commands of a turn into a batch, sees it through leader changes and lost
 * links until it is applied here, and settles the promises. What a batch holds is encoded once; a retry sends the same bytes,
 * and the sessions in the replicated state see to it that they count once.
 */
import type { GroupStatus, Proposal, ProposalRefusal } from '../engine/door.js';
import type { Environment, Timer } from '../environment.js';
import { QuorateError, type ErrorCode } from '../errors.js';
import { encodeBatch, encodeItem } from './batch.js';
import type { BatchCodec } from './codec.js';
import { Load, type SubmitLimits } from './load.js';
import { Failure, resultExpired, type Outcome } from './outcome.js';
import { Batch, type Waiter } from './pending.js';
import { Registration, REGISTRATION_TOKEN } from './registration.js';
import type { SequenceId } from './requestId.js';
import { Sends, STALE_MS } from './sends.js';
import type { Session, SessionTable } from './sessions.js';

const MAX_BATCH_COMMANDS = 1024;
const MAX_BATCH_BYTES = 64 * 1024;
/** After a refusal: how long until the next try. */
const RETRY_MS = 20;
/** How long, and how many, timed-out batches are kept so that a retry with their request id finds them unapplied. */
const AMBIGUOUS_MS = 600_000;
const AMBIGUOUS_BATCHES = 1024;

/** A command that was encoded before, with its request id in front. */
export interface Replayed {
  readonly item: Uint8Array;
  readonly requestId: string;
  readonly waiter: Waiter;
}

export class Submitter {
  readonly #self: string;
  readonly #environment: Environment;
  readonly #codec: BatchCodec;
  readonly #limits: SubmitLimits;
  readonly #wake: () => void;
  readonly #load: Load;
  readonly #sends = new Sends();
  #session = 0;
  #registration: Registration | undefined;
  /** A session beside the own one is being opened. */
  #opening: { readonly registration: Registration; readonly opened: (id: number) => void } | undefined;
  #nextSequence = 1;
  #queued: Batch[] = [];
  /** Sealed batches of the own session by first sequence, oldest first. */
  readonly #pending = new Map<number, Batch>();
  /** Retries of sequences that belong to other sessions. */
  readonly #foreign = new Map<string, Batch>();
  #status: GroupStatus | undefined;
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
    this.#load = new Load(limits);
  }

  /** What became of the commands so far. */
  get counts(): { readonly submitted: number; readonly committed: number; readonly failed: number } {
    const { submitted, committed, failed } = this.#load;
    return { submitted, committed, failed };
  }

  /** Commands that are not settled. */
  get pendingCommands(): number {
    return this.#load.commands;
  }

  get session(): number {
    return this.#session;
  }

  /** Queues a command. Throws ERR_OVERLOADED when too much is in flight, ERR_TOO_LARGE, ERR_CODEC. */
  add(command: unknown, requestId: string | undefined, waiter: Waiter): void {
    this.#load.checkRoom();
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
    batch.push(waiter);
    this.#load.submitted++;
    this.#load.add(batch.items.length - before);
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
    this.#load.checkRoom();
    const batch = new Batch(id.session, this.#environment.now() + this.#limits.submitTimeoutMs);
    this.#append(batch, '', command, waiter);
    batch.first = id.sequence;
    batch.body = batch.items.take();
    batch.data = encodeBatch(id.session, 0, id.sequence, 1, batch.body);
    this.#foreign.set(key, batch);
    this.#rescan = true;
    this.#wake();
  }

  /** Opens a session for commands that are replayed; at the latest one at a time. */
  openSession(opened: (id: number) => void): void {
    this.#opening = { registration: new Registration(this.#self, this.#environment), opened };
    this.#armSweep();
    this.#wake();
  }

  /**
   * Sends commands that were encoded before, under sequences of a session that was opened by {@link openSession}, for as long as it
   * takes. Nothing below `floor` will be asked for again.
   */
  replay(id: SequenceId, floor: number, commands: readonly Replayed[]): void {
    const batch = new Batch(id.session, Infinity);
    for (const { item, requestId, waiter } of commands) {
      batch.requestIds[batch.count] = requestId;
      batch.items.raw(item);
      batch.push(waiter);
      this.#load.submitted++;
      this.#load.add(item.length);
    }
    batch.first = id.sequence;
    batch.body = batch.items.take();
    batch.data = encodeBatch(id.session, floor, id.sequence, batch.count, batch.body);
    this.#foreign.set(keyOf(id), batch);
    this.#rescan = true;
    this.#armSweep();
    this.#wake();
  }

  /** A caller waits for a command that is under way already, or that somebody gave up waiting for. */
  #join(batch: Batch, at: number, waiter: Waiter): void {
    if (batch.join(at, waiter)) this.#load.add(batch.sizeOf(at));
    batch.deadline = this.#environment.now() + this.#limits.submitTimeoutMs;
    batch.keepUntil = 0;
    this.#rescan = true;
    this.#wake();
    this.#armSweep();
  }

  /** Gives up waiting for a command, which may take effect all the same. */
  abandon(waiter: Waiter, code: ErrorCode, why: string): void {
    const { batch, at } = waiter;
    if (!batch) return;
    const error = batch.abandonment(at, this.#session, code, why, this.obstacle);
    const wasLast = batch.leave(waiter);
    waiter.reject(error);
    if (!wasLast) return;
    this.#load.remove(batch.sizeOf(at));
    this.#load.failed++;
    if (batch.unsettled === 0) this.#shelve(batch);
  }

  #abandonAll(batch: Batch, code: ErrorCode, why: string): void {
    for (let at = 0; at < batch.count; at++) {
      for (let waiter = batch.waiters[at]; waiter; waiter = batch.waiters[at])
        this.abandon(waiter, code, why);
    }
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

  /** What is to be proposed in this turn. */
  collect(out: Proposal[]): void {
    const status = this.#status;
    if (this.#closed || !status || status.contact === 0) return;
    const now = this.#environment.now();
    if (this.#session === 0 && this.#queued.length > 0) {
      this.#registration ??= new Registration(this.#self, this.#environment);
      this.#registration.collect(status, now, out);
    }
    this.#opening?.registration.collect(status, now, out);
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
      this.#sends.send(batch, status, now, out);
    }
  }

  #seal(batch: Batch): void {
    batch.first = this.#nextSequence;
    batch.body = batch.items.take();
    batch.compact();
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
    if (!this.#sends.isDue(batch, status, now)) return;
    if (batch.accepted.size === 0 && batch.session === 0 && batch.unsettled < batch.count) {
      batch.compact();
      batch.data = encodeBatch(this.#session, this.#floor(), batch.first, batch.count, batch.body!);
    }
    this.#sends.send(batch, status, now, out);
  }

  /** The engine or the leader did not take a proposal. */
  refused(token: number, why: ProposalRefusal): void {
    if (token === REGISTRATION_TOKEN) {
      this.#registration?.refused();
      this.#opening?.registration.refused();
      this.#retrySoon();
      return;
    }
    const batch = this.#sends.refused(token);
    if (!batch) return;
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
    if (this.#load.commands > 0 || this.#opening) this.#wake();
  }

  /** An entry of this epoch was applied here. */
  epochApplied(n: number): void {
    if (!this.#sends.epochApplied(n)) return;
    this.#rescan = true;
    if (this.#load.commands > 0) this.#wake();
  }

  /** A session was registered. */
  registered(id: number, origin: string, nonce: string): void {
    if (this.#opening?.registration.matches(origin, nonce) === true) {
      const { opened } = this.#opening;
      this.#opening = undefined;
      opened(id);
      return;
    }
    if (!this.#registration?.matches(origin, nonce)) return;
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
    if (session === this.#session) this.#appliedOwn(first, outcomes);
    if (this.#foreign.size === 0) return;
    for (let at = 0; at < outcomes.length; at++) {
      const key = keyOf({ session, sequence: first + at });
      const batch = this.#foreign.get(key);
      // What was replayed before in smaller batches does not answer for all of this one.
      if (!batch || at + batch.count > outcomes.length) continue;
      this.#foreign.delete(key);
      this.#sends.forget(batch);
      this.#settleAll(batch, outcomes.slice(at, at + batch.count));
    }
  }

  #appliedOwn(first: number, outcomes: readonly Outcome[]): void {
    const whole = this.#pending.get(first);
    if (whole?.count === outcomes.length) {
      this.#pending.delete(first);
      this.#sends.forget(whole);
      this.#settleAll(whole, outcomes);
      return;
    }
    // One command that was submitted again through another member travels alone: the rest of its batch is still to come.
    for (const batch of [...this.#pending.values()]) {
      const offset = first - batch.first;
      if (offset >= batch.count || offset + outcomes.length <= 0) continue;
      for (let at = 0; at < outcomes.length; at++) this.#settle(batch, offset + at, outcomes[at]);
      if (batch.unsettled === 0 && batch.keepUntil === 0) this.#shelve(batch);
    }
  }

  #settleAll(batch: Batch, outcomes: readonly Outcome[]): void {
    for (let at = 0; at < outcomes.length; at++) this.#settle(batch, at, outcomes[at]);
  }

  #settle(batch: Batch, at: number, outcome: Outcome): void {
    if (!batch.waiters[at]) return;
    this.#load.remove(batch.sizeOf(at));
    if (outcome instanceof Failure) this.#load.failed++;
    else this.#load.committed++;
    batch.settle(at, outcome);
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
      this.#sends.forget(batch);
      // Whoever applied the log without a gap knows that the batch had not been applied before the session went.
      if (this.#sends.sawAllSince(batch)) this.#requeue(batch);
      else this.#settleAll(batch, new Array<Outcome>(batch.count).fill(failure));
    }
    this.#wake();
  }

  #requeue(batch: Batch): void {
    if (batch.unsettled === 0 || !batch.body) return;
    batch.unseal();
    this.#queued.push(batch);
  }

  /** The state was replaced by a snapshot: what it says of the own session settles those who wait. */
  restored(table: SessionTable): void {
    this.#sends.restored();
    for (const each of [this.#opening?.registration, this.#registration]) {
      const opened = each && table.findByNonce(this.#self, each.nonce);
      if (opened) this.registered(opened.id, this.#self, opened.nonce);
    }
    if (this.#session === 0) return;
    const session = table.peek(this.#session);
    if (!session) {
      this.expired(this.#session, 0, 0);
      return;
    }
    for (const batch of [...this.#pending.values()]) this.#settleByTable(batch, session);
    this.#rescan = true;
    this.#wake();
  }

  /** Settles those commands of a batch that the table says were applied. */
  #settleByTable(batch: Batch, session: Session): void {
    if (session.isFresh(batch.first, batch.count)) return;
    let missing = 0;
    for (let at = 0; at < batch.count; at++) {
      const found = session.find(batch.first + at);
      if (found) this.#settle(batch, at, found.known ? found.outcome : resultExpired);
      else missing++;
    }
    if (missing > 0) {
      if (batch.unsettled === 0 && batch.keepUntil === 0) this.#shelve(batch);
      return;
    }
    this.#pending.delete(batch.first);
    this.#sends.forget(batch);
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
      this.#sends.forget(batch);
      shelved--;
    }
    const underWay = this.#load.commands > 0 || this.#opening !== undefined;
    if (underWay) {
      this.#rescan = true;
      this.#wake();
    }
    if (underWay || this.#pending.size > 0) this.#armSweep();
  }

  /** Rejects everything that is not settled. */
  close(code: ErrorCode, why: string): void {
    if (this.#closed) return;
    this.#retryTimer?.cancel();
    this.#sweepTimer?.cancel();
    const batches = [...this.#foreign.values(), ...this.#pending.values(), ...this.#queued];
    for (const batch of batches) this.#abandonAll(batch, code, why);
    this.#closed = true;
    this.#opening = undefined;
    this.#pending.clear();
    this.#foreign.clear();
    this.#queued = [];
    this.#sends.clear();
  }
}

function keyOf(id: SequenceId): string {
  return `${id.session}:${id.sequence}`;
}
