/** How much a submitter has in flight, against its caps, and what became of the rest. */
import { QuorateError } from '../errors.js';

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
}
