/** The face of a client of a group. */
import { checkNumber, QuorateError } from '../../errors.js';
import { randomId, type Environment } from '../../environment.js';
import { checkTimeout } from '../callLimits.js';
import type { Change } from '../changes.js';
import { checkConsistency } from '../consistency.js';
import type { CallOptions, QueryOptions, SubmitOptions } from '../replicaTypes.js';
import { parseRequestId } from '../requestId.js';
import type { AnswerOf, CommandOf, QueryOf, ResultOf, StateMachine } from '../stateMachine.js';
import type { Asked } from './call.js';
import type { CheckedClientOptions, ClientStatus } from './clientTypes.js';
import type { ClientDesk } from './desk.js';
import { Dispatcher } from './dispatcher.js';

/**
 * A client of a group: submits commands, asks queries and follows changes through a member, from a mesh node that has no replica
 * of the group. Made by {@link openClient}.
 *
 * @example
 * ```ts
 * await using client = await openClient({ mesh, group: 'settings', stateMachine: keyValue<string>() });
 * await client.submit({ op: 'put', key: 'theme', value: 'dark' });
 * ```
 */
export class GroupClient<M extends StateMachine = StateMachine> {
  /** The id of the node it lives on. */
  readonly id: string;
  readonly group: string;
  /** Resolves when the client is closed; never rejects. */
  readonly closed: Promise<void>;
  readonly #options: CheckedClientOptions;
  readonly #desk: ClientDesk;
  readonly #dispatcher: Dispatcher;
  #settleClosed!: () => void;
  #over = false;

  /** @internal */
  constructor(self: string, desk: ClientDesk, options: CheckedClientOptions) {
    this.id = self;
    this.group = options.group;
    this.#options = options;
    this.#desk = desk;
    this.#dispatcher = new Dispatcher(desk, options);
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
  }

  /** The environment that a client takes time from. @internal */
  static environmentOf<M extends StateMachine>(client: GroupClient<M>): Environment {
    return client.#desk.environment;
  }

  /**
   * Submits a command; resolves with what the state machine's `apply` returned, once the command is committed and applied at the
   * member that serves. When a member is lost, closes or loses its quorum, the command is sent to another under the same request
   * id, so that it takes effect exactly once. There is no order among calls that are in flight together.
   *
   * Throws {@link QuorateError}: with `fate` `refused` when the command did not enter the log, and `ambiguous` when it may still
   * take effect (`ERR_TIMEOUT`, `ERR_ABORTED`, `ERR_CLOSED`): then submit it again only with the error's `requestId`, from any
   * client or member. `ERR_REJECTED` and `ERR_COMMAND_FAILED` come from the machine. `ERR_OVERLOADED`, `ERR_TOO_LARGE`,
   * `ERR_CODEC`, `ERR_STORAGE_FULL` and `ERR_NOT_SERVED` (until the time-out only members were linked that serve no clients) are
   * refusals.
   */
  submit<const C extends CommandOf<M>>(command: C, options: SubmitOptions = {}): Promise<ResultOf<M, C>> {
    const make = (): Asked => {
      const { requestId = randomId(this.#desk.environment) } = options;
      parseRequestId(requestId);
      this.#options.stateMachine?.validate?.(command);
      return { op: 'submit', requestId, body: this.#encode(command, 'refused') };
    };
    return this.#call(make, options) as Promise<ResultOf<M, C>>;
  }

  /**
   * Asks the state machine of a member. `linearizable` is what it is for a replica. `committed` and `local` show the state of
   * whichever member serves, which may be older than what an earlier call showed. `{ maxLagMs }` is what it is for the member that
   * serves, from when the question reaches it.
   *
   * Throws {@link QuorateError}: `ERR_TIMEOUT`, `ERR_ABORTED`, `ERR_CLOSED`, `ERR_OVERLOADED`, `ERR_TOO_LARGE`, `ERR_CODEC`,
   * `ERR_NOT_SERVED`, and `ERR_QUERY_FAILED` or `ERR_UNKNOWN_OPERATION` from the machine.
   */
  query<const Q extends QueryOf<M>>(query: Q, options: QueryOptions = {}): Promise<AnswerOf<M, Q>> {
    const make = (): Asked => {
      const consistency = checkConsistency(options.consistency ?? 'linearizable');
      return { op: 'query', consistency, body: this.#encode(query) };
    };
    return this.#call(make, options) as Promise<AnswerOf<M, Q>>;
  }

  #call(make: () => Asked, options: CallOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { timeout = this.#options.timeout, signal } = options;
      this.#checkOpen('refused');
      checkTimeout(timeout);
      if (signal?.aborted === true)
        throw new QuorateError('ERR_ABORTED', 'the signal had fired already', { fate: 'refused' });
      this.#dispatcher.call(make(), timeout, signal, resolve, reject);
    });
  }

  #encode(value: unknown, fate?: 'refused'): Uint8Array {
    let bytes: Uint8Array;
    try {
      bytes = this.#options.codec.encode(value);
    } catch (cause) {
      if (cause instanceof QuorateError) throw cause;
      throw new QuorateError('ERR_CODEC', `the codec cannot encode the value`, { fate, cause });
    }
    const { maxCommandBytes } = this.#options;
    if (bytes.length <= maxCommandBytes) return bytes;
    const message = `the value has ${bytes.length} bytes, at most ${maxCommandBytes} are allowed`;
    throw new QuorateError('ERR_TOO_LARGE', message, { fate });
  }

  /**
   * The commands as they are applied at the member that serves. Begins after index `from` if that is still at hand there, otherwise
   * with a `reset`: ask for the state, which holds everything up to the reset's index and may hold more, and go on. When the
   * stream goes on at another member nothing is left out or told twice, but a `reset` may come in between. A member sends no more
   * than the reader has room for; a reader that falls too far behind gets a `reset`.
   *
   * Waits for a member as long as it takes. Ends when the signal fires or the client closes; throws `ERR_CODEC` for commands that
   * the codec cannot decode, and what the member refuses the stream with. Read it with one reader, and leave it (`break`, or
   * `return()`) when done.
   */
  changes(
    options: { readonly from?: number; readonly signal?: AbortSignal } = {},
  ): AsyncIterableIterator<Change<CommandOf<M>>> {
    this.#checkOpen();
    const { from, signal } = options;
    if (from !== undefined) checkNumber('from', from, 0, Number.MAX_SAFE_INTEGER - 1);
    return this.#dispatcher.follow(from, signal) as AsyncIterableIterator<Change<CommandOf<M>>>;
  }

  /** Where the client stands, now. */
  status(): ClientStatus {
    return {
      id: this.id,
      group: this.group,
      state: this.#over ? 'closed' : 'running',
      ...this.#dispatcher.status(),
    };
  }

  /** Closes the client: calls that are not settled are rejected with `ERR_CLOSED`, streams end. Safe to call twice. */
  close(): Promise<void> {
    if (!this.#over) {
      this.#over = true;
      this.#dispatcher.close();
      this.#settleClosed();
    }
    return this.closed;
  }

  /** Closes the client; for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(fate?: 'refused'): void {
    if (this.#over) throw new QuorateError('ERR_CLOSED', 'the client is closed', { fate });
  }
}
