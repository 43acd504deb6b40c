/** A submit or a query of a client, on its way from member to member. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import { QuorateError, type ErrorCode } from '../../errors.js';
import type { Consistency } from '../replicaTypes.js';
import type { ClientMessage } from './wire.js';

/** What is asked. */
export type Asked =
  | { readonly op: 'submit'; readonly requestId: string; readonly body: Uint8Array }
  | { readonly op: 'query'; readonly consistency: Consistency; readonly body: Uint8Array };

export class Call {
  /** The same for all attempts: an answer to any of them will do. */
  readonly request: number;
  readonly asked: Asked;
  readonly deadline: number;
  readonly timeoutMs: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Takes the caller's signal off; set if there is one. */
  disarm: (() => void) | undefined;
  /** The member that was asked last and has not answered. */
  at: NodeId | undefined;
  /** When to ask again. */
  attemptEnds = Infinity;
  attempts = 0;
  /** A member was asked that did not say what became of it: it may take effect. */
  unsure = false;
  settled = false;
  /** What the last member said that could not do it. */
  obstacle: QuorateError | undefined;

  constructor(
    request: number,
    asked: Asked,
    deadline: number,
    timeoutMs: number,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ) {
    this.request = request;
    this.asked = asked;
    this.deadline = deadline;
    this.timeoutMs = timeoutMs;
    this.resolve = resolve;
    this.reject = reject;
  }

  get size(): number {
    return this.asked.body.length;
  }

  message(channel: number): ClientMessage {
    return { channel, request: this.request, ...this.asked };
  }

  /** The member that was asked is gone, or said nothing for too long. */
  giveUpAttempt(): void {
    if (this.at === undefined) return;
    this.at = undefined;
    this.attemptEnds = Infinity;
    this.unsure = true;
  }

  /** What the caller is told when the client stops trying, or a member says that it is no use. */
  error(
    code: ErrorCode,
    why: string,
    more: { reason?: string | undefined; data?: unknown } = {},
  ): QuorateError {
    const cause = this.obstacle;
    if (this.asked.op === 'query') return new QuorateError(code, why, { cause, ...more });
    const { requestId } = this.asked;
    const ambiguous = this.unsure || this.at !== undefined;
    const message = ambiguous
      ? `${why}; the command may still take effect: retry only with the same requestId`
      : `${why}; the command did not enter the log`;
    const fate = ambiguous ? 'ambiguous' : 'refused';
    return new QuorateError(code, message, { fate, requestId, cause, ...more });
  }
}
