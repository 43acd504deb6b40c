/** How much a submitter has in flight, against its caps, and what became of the rest. */
import { QuorateError } from '../errors.js';
import { Failure, type Outcome } from './outcome.js';
import type { Batch } from './pending.js';

/** Caps on what is in flight. */
export interface SubmitLimits {
  readonly maxPendingCommands: number;
  readonly maxPendingBytes: number;
  readonly maxCommandBytes: number;
  readonly submitTimeoutMs: number;
}

export class Load {
  readonly #limits: SubmitLimits;
  /** Commands that somebody waits for. */
  commands = 0;
  bytes = 0;
  submitted = 0;
  committed = 0;
  failed = 0;

  constructor(limits: SubmitLimits) {
    this.#limits = limits;
  }

  /** Throws ERR_OVERLOADED unless there is room for one more command. */
  checkRoom(): void {
    const { maxPendingCommands, maxPendingBytes } = this.#limits;
    if (this.commands < maxPendingCommands && this.bytes < maxPendingBytes) return;
    const message =
      `${this.commands} commands with ${this.bytes} bytes are in flight, ` +
      `at most ${maxPendingCommands} with ${maxPendingBytes} are allowed`;
    throw new QuorateError('ERR_OVERLOADED', message, { fate: 'refused' });
  }

  /** Somebody waits for a command of so many bytes. */
  add(bytes: number): void {
    this.commands++;
    this.bytes += bytes;
  }

  /** Nobody waits for it any more. */
  remove(bytes: number): void {
    this.commands--;
    this.bytes -= bytes;
  }

  /** Tells all who wait for a command what became of it. */
  settle(batch: Batch, at: number, outcome: Outcome): void {
    if (!batch.waiters[at]) return;
    this.remove(batch.sizeOf(at));
    if (outcome instanceof Failure) this.failed++;
    else this.committed++;
    batch.settle(at, outcome);
  }

  /** The same for the commands of a batch, from the first. */
  settleAll(batch: Batch, outcomes: readonly Outcome[]): void {
    for (let at = 0; at < outcomes.length; at++) this.settle(batch, at, outcomes[at]);
  }
}
