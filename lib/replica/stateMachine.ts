/** The contract of a replicated state machine. */

/** What `apply` is told beside the command. The same on every member. */
export interface ApplyContext {
  /** The command's place in the log: unique, increasing, never reused. Fit for fencing tokens. */
  readonly index: number;
  /** Milliseconds since 1970, assigned by the leader; never less than that of an earlier command. */
  readonly time: number;
  /** The node that submitted the command. */
  readonly origin: string;
  /** A number in [0, 1), from a generator seeded by the log: the same sequence on every member. */
  random(): number;
  /**
   * Ends this command with `ERR_REJECTED`, whose `reason` and `data` the submitter gets. Throws, so nothing after it runs;
   * changes to the state made before it stay, so reject before you change anything.
   */
  reject(code: string, data?: unknown): never;
}

/**
 * A state machine that Quorate replicates: the same commands, in the same order, on every member.
 *
 * `apply` must be deterministic: no clock, no randomness, no I/O but what `context` gives. It sees decoded bytes on every
 * member, on the submitting one too. A throw in `apply` fails that command alike everywhere (`ERR_COMMAND_FAILED`), so it must
 * leave the state as it found it. Answers may share structure with the state: they are detached before anybody sees them.
 *
 * `Command` and `Query` are unions of operations; `Operations` maps them to their results for typed `submit` and `query`.
 */
export interface StateMachine<Commands extends OperationMap = OperationMap, Queries extends OperationMap = OperationMap> {
  /** Raised by the author when `apply` changes its meaning or snapshots their form. A positive integer. */
  readonly version: number;
  /** Applies a command and returns its result. */
  apply(command: OperationOf<Commands>, context: ApplyContext): unknown;
  /** Answers a query without changing anything. */
  query?(query: OperationOf<Queries>): unknown;
  /** Throws if the command should not enter the log; runs on the submitting node only, before anything is sent. */
  validate?(command: OperationOf<Commands>): void;
  /**
   * Captures the state as it is now and returns chunks that are produced later: changes made after this call must not show.
   * Equal states of machines with equal histories must give equal bytes, whatever the chunks' bounds.
   */
  snapshot(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  /** Replaces the state by what the chunks of a snapshot hold; their bounds may differ from those that `snapshot` made. */
  restore(chunks: AsyncIterable<Uint8Array>): Promise<void> | void;
  /** Type information only, never present. */
  readonly types?: { readonly commands: Commands; readonly queries: Queries };
}

/** Operation name → its input (without `op`) and its result. */
export type OperationMap = Record<string, { readonly input: unknown; readonly result: unknown }>;

/** The union of what may be submitted or asked: `{ op, ...input }`. */
export type OperationOf<M extends OperationMap> = { [K in keyof M & string]: { readonly op: K } & M[K]['input'] }[keyof M & string];

/** The result of one operation. */
export type ResultOf<M extends OperationMap, O> = O extends { readonly op: infer K } ? (K extends keyof M ? M[K]['result'] : unknown) : unknown;
