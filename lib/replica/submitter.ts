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
import { ForeignBatches } from './foreignBatches.js';
import { Load, type SubmitLimits } from './load.js';
import { Failure, resultExpired, type Outcome } from './outcome.js';
import { Openings } from './openings.js';
import { OwnSession } from './ownSession.js';
import { Batch, type Waiter } from './pending.js';
import { REGISTRATION_TOKEN } from './registration.js';
import type { SequenceId } from './requestId.js';
import { Sends, STALE_MS } from './sends.js';
import type { Session, SessionTable } from './sessions.js';

const MAX_BATCH_COMMANDS = 1024;
const MAX_BATCH_BYTES = 64 * 1024;
/** After a refusal: how long until the next try. */
const RETRY_MS = 20;
/** A command that was encoded before, with its request id in front. */
export interface Replayed {
  readonly item: Uint8Array;
  readonly requestId: string;
  readonly waiter: Waiter;
}

export class Submitter {
  readonly #environment: Environment;
  readonly #codec: BatchCodec;
  readonly #limits: SubmitLimits;
  readonly #wake: () => void;
  readonly #load: Load;
  readonly #sends = new Sends();
  readonly #openings: Openings;
  readonly #own = new OwnSession();
  readonly #foreign = new ForeignBatches();
  #queued: Batch[] = [];
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
    this.#openings = new Openings(self, environment, (id) => this.#opened(id));
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
    return this.#own.id;
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
    if (id.session === this.#own.id) {
      const [batch] = this.#own.overlapping(id.sequence, 1);
      if (batch) {
        this.#join(batch, id.sequence - batch.first, waiter);
        return;
      }
    }
    const known = this.#foreign.get(id);
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
    this.#foreign.add(batch);
    this.#rescan = true;
    this.#wake();
  }

  /** Opens a session for commands that are replayed; at the latest one at a time. */
  openSession(opened: (id: number) => void): void {
    this.#openings.openBeside(opened);
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
    this.#foreign.add(batch);
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
    const error = batch.abandonment(at, this.#own.id, code, why, this.obstacle);
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
      this.#foreign.remove(batch);
    } else if (batch.promised) {
      this.#own.shelve(batch, this.#environment.now());
    } else {
      this.#own.remove(batch);
      this.#queued = this.#queued.filter((queued) => queued !== batch);
    }
  }

  /** What is to be proposed in this turn. */
  collect(out: Proposal[]): void {
    const status = this.#status;
    if (this.#closed || !status || status.contact === 0) return;
    const now = this.#environment.now();
    this.#openings.collect(status, now, out, this.#own.id === 0 && this.#queued.length > 0);
    if (this.#rescan) {
      this.#rescan = false;
      for (const batch of this.#foreign.values()) this.#resend(batch, status, now, out);
      for (const batch of this.#own.batches()) this.#resend(batch, status, now, out);
    }
    if (this.#own.id === 0 || this.#queued.length === 0) return;
    const queued = this.#queued;
    this.#queued = [];
    for (const batch of queued) {
      if (batch.unsettled === 0) continue;
      this.#own.seal(batch);
      this.#sends.send(batch, status, now, out);
    }
  }

  #resend(batch: Batch, status: GroupStatus, now: number, out: Proposal[]): void {
    if (!this.#sends.isDue(batch, status, now)) return;
    if (batch.accepted.size === 0 && batch.session === 0 && batch.unsettled < batch.count) {
      batch.compact();
      this.#own.encode(batch);
    }
    this.#sends.send(batch, status, now, out);
  }

  /** The engine or the leader did not take a proposal. */
  refused(token: number, why: ProposalRefusal): void {
    if (token === REGISTRATION_TOKEN) {
      this.#openings.refused();
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
    if (this.#load.commands > 0 || this.#openings.beside) this.#wake();
  }

  /** An entry of this epoch was applied here. */
  epochApplied(n: number): void {
    if (!this.#sends.epochApplied(n)) return;
    this.#rescan = true;
    if (this.#load.commands > 0) this.#wake();
  }

  /** A session was registered. */
  registered(id: number, origin: string, nonce: string): void {
    this.#openings.registered(id, origin, nonce);
  }

  #opened(id: number): void {
    this.#own.begin(id);
    this.#wake();
  }

  /** Whether somebody here may wait for a batch of that session. */
  awaits(session: number): boolean {
    return session === this.#own.id || this.#foreign.size > 0;
  }

  /** A batch was applied, now or before: settles those who wait. */
  applied(session: number, first: number, outcomes: readonly Outcome[]): void {
    if (session === this.#own.id) this.#appliedOwn(first, outcomes);
    this.#foreign.take(session, first, outcomes, (batch, its) => {
      this.#sends.forget(batch);
      this.#load.settleAll(batch, its);
    });
  }

  #appliedOwn(first: number, outcomes: readonly Outcome[]): void {
    const whole = this.#own.at(first);
    if (whole?.count === outcomes.length) {
      this.#own.remove(whole);
      this.#sends.forget(whole);
      this.#load.settleAll(whole, outcomes);
      return;
    }
    // One command that was submitted again through another member travels alone: the rest of its batch is still to come.
    for (const batch of this.#own.overlapping(first, outcomes.length)) {
      const offset = first - batch.first;
      for (let at = 0; at < outcomes.length; at++) this.#load.settle(batch, offset + at, outcomes[at]);
      if (batch.unsettled === 0 && batch.keepUntil === 0) this.#shelve(batch);
    }
  }

  /** A batch came up in the log whose session was gone: nothing of it was applied, and nothing ever will be. */
  expired(session: number, first: number, count: number): void {
    const failure = new Failure('ERR_SESSION_EXPIRED', `session ${session} has expired`);
    if (session !== this.#own.id) {
      this.applied(session, first, new Array<Outcome>(count).fill(failure));
      return;
    }
    for (const batch of this.#own.end()) {
      this.#sends.forget(batch);
      // Whoever applied the log without a gap knows that the batch had not been applied before the session went.
      if (this.#sends.sawAllSince(batch)) this.#requeue(batch);
      else this.#load.settleAll(batch, new Array<Outcome>(batch.count).fill(failure));
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
    this.#openings.restored(table);
    const { id } = this.#own;
    if (id === 0) return;
    const session = table.peek(id);
    if (!session) {
      this.expired(id, 0, 0);
      return;
    }
    for (const batch of [...this.#own.batches()]) this.#settleByTable(batch, session);
    this.#rescan = true;
    this.#wake();
  }

  /** Settles those commands of a batch that the table says were applied. */
  #settleByTable(batch: Batch, session: Session): void {
    if (session.isFresh(batch.first, batch.count)) return;
    let missing = 0;
    for (let at = 0; at < batch.count; at++) {
      const found = session.find(batch.first + at);
      if (found) this.#load.settle(batch, at, found.known ? found.outcome : resultExpired);
      else missing++;
    }
    if (missing > 0) {
      if (batch.unsettled === 0 && batch.keepUntil === 0) this.#shelve(batch);
      return;
    }
    this.#own.remove(batch);
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
    const late = this.#all().filter((batch) => batch.deadline <= now);
    for (const batch of late) {
      this.#abandonAll(batch, 'ERR_TIMEOUT', `no answer within ${this.#limits.submitTimeoutMs} ms`);
    }
    for (const batch of this.#own.clearShelf(now)) this.#sends.forget(batch);
    const underWay = this.#load.commands > 0 || this.#openings.beside;
    if (underWay) {
      this.#rescan = true;
      this.#wake();
    }
    if (underWay || this.#own.size > 0) this.#armSweep();
  }

  /** Rejects everything that is not settled. */
  close(code: ErrorCode, why: string): void {
    if (this.#closed) return;
    this.#retryTimer?.cancel();
    this.#sweepTimer?.cancel();
    for (const batch of this.#all()) this.#abandonAll(batch, code, why);
    this.#closed = true;
    this.#openings.dropBeside();
    this.#own.clear();
    this.#foreign.clear();
    this.#queued = [];
    this.#sends.clear();
  }

  #all(): Batch[] {
    return [...this.#foreign.values(), ...this.#own.batches(), ...this.#queued];
  }
}
