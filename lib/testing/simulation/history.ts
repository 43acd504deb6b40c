/** What clients asked and what they were told: the calls that went through the replicas of a simulation. */
import { QuorateError } from '../../errors.js';
import type { QueryOptions, SubmitOptions } from '../../replica/replicaTypes.js';

/** A command or a linearizable query, as {@link checkLinearizable} takes it. */
export interface HistoryOperation {
  /** Whose call it was: the node's id. One node may have many calls under way. */
  readonly process: string;
  /** When it began, in virtual milliseconds. */
  readonly call: number;
  /** When it was answered; Infinity while it is open, and for ever when nobody can tell whether it took effect. */
  return: number;
  /** The command or the query. */
  readonly input: unknown;
  /** What it was answered; undefined without an answer. A command that the machine refused has `{ error, reason, data }`. */
  output: unknown;
}

/** A call of a run of a node. */
interface Call {
  readonly operation: HistoryOperation;
  readonly abandon: (() => void) | undefined;
}

/** The calls of one run of a node. */
export interface Recording {
  /** How many wait for an answer. */
  readonly open: number;
  /** The process died: nobody will answer them. */
  abandon(): void;
}

/** A replica, or a client of the group on a node without one. */
interface Recorded {
  readonly id: string;
}

type Submit = (command: unknown, options?: SubmitOptions) => Promise<unknown>;
type Query = (query: unknown, options?: QueryOptions) => Promise<unknown>;

/** Fates that the machine decided: the command is in the log, and did what it did. */
const decided: ReadonlySet<string> = new Set(['ERR_REJECTED', 'ERR_COMMAND_FAILED', 'ERR_UNKNOWN_OPERATION']);

export class History {
  /** How calls ended. */
  readonly counts = { ok: 0, failed: 0, refused: 0, ambiguous: 0, crashed: 0 };
  readonly #now: () => number;
  readonly #operations = new Set<HistoryOperation>();
  readonly #open = new Set<Call>();
  /** Commands whose fate is open, by request id: submitting one again is the same operation. */
  readonly #ambiguous = new Map<string, HistoryOperation>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** All operations that may have had an effect or an answer, in the order of their calls. */
  get operations(): HistoryOperation[] {
    return [...this.#operations];
  }

  /** How many calls wait for an answer. */
  get open(): number {
    return this.#open.size;
  }

  /** Records what goes through a replica, or a client; its calls end when its process dies. */
  record(replica: Recorded): Recording {
    const calls = new Set<Call>();
    const methods = replica as unknown as { submit: Submit; query: Query };
    const submit = methods.submit.bind(replica);
    const query = methods.query.bind(replica);
    methods.submit = (command, options) => {
      const begin = (): HistoryOperation => this.#begin(replica.id, command, options?.requestId);
      return this.#follow(calls, begin, () => submit(command, options), true);
    };
    methods.query = (asked, options) => {
      if (options?.consistency !== undefined && options.consistency !== 'linearizable')
        return query(asked, options);
      return this.#follow(
        calls,
        () => this.#begin(replica.id, asked),
        () => query(asked, options),
        false,
      );
    };
    return {
      get open() {
        return calls.size;
      },
      abandon: () => {
        for (const call of [...calls]) call.abandon?.();
      },
    };
  }

  #begin(process: string, input: unknown, requestId?: string): HistoryOperation {
    const known = requestId === undefined ? undefined : this.#ambiguous.get(requestId);
    if (known !== undefined) return known;
    const operation = { process, call: this.#now(), return: Infinity, input, output: undefined };
    this.#operations.add(operation);
    if (requestId !== undefined) this.#ambiguous.set(requestId, operation);
    return operation;
  }

  #follow(
    calls: Set<Call>,
    begin: () => HistoryOperation,
    run: () => Promise<unknown>,
    isCommand: boolean,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const operation = begin();
      const abandon = (): void => {
        if (!end()) return;
        this.counts.crashed++;
        if (!isCommand) this.#operations.delete(operation);
        const fate = isCommand ? 'ambiguous' : undefined;
        reject(new QuorateError('ERR_CLOSED', `the process of ${operation.process} died`, { fate }));
      };
      const call = { operation, abandon };
      const end = (): boolean => {
        calls.delete(call);
        return this.#open.delete(call);
      };
      calls.add(call);
      this.#open.add(call);
      run().then(
        (result) => {
          if (!end()) return;
          this.counts.ok++;
          this.#close(operation, result);
          resolve(result);
        },
        (error: unknown) => {
          if (!end()) return;
          this.#failed(operation, error, isCommand);
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  #close(operation: HistoryOperation, output: unknown): void {
    // A command that was submitted twice was answered when the first answer came.
    if (operation.return !== Infinity) return;
    operation.return = this.#now();
    operation.output = output;
  }

  #failed(operation: HistoryOperation, error: unknown, isCommand: boolean): void {
    if (!(error instanceof QuorateError) || !isCommand) {
      this.counts.failed++;
      if (!isCommand) this.#operations.delete(operation);
    } else if (decided.has(error.code) && error.fate === undefined) {
      this.counts.failed++;
      this.#close(operation, { error: error.code, reason: error.reason, data: error.data });
    } else if (error.fate === 'ambiguous') {
      this.counts.ambiguous++;
      if (error.requestId !== undefined) this.#ambiguous.set(error.requestId, operation);
    } else {
      this.counts.refused++;
      const retried = [...this.#ambiguous.values()].includes(operation);
      if (error.fate === 'refused' && !retried) this.#operations.delete(operation);
    }
  }
}
