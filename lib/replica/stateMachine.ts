/** The contract of a replicated state machine, and the types of what may be submitted to one. */

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
   * Ends this command with `ERR_REJECTED`, whose `reason` and `data` the submitter gets. Throws, so nothing
   * after it runs; changes made before it stay, so reject before you change anything.
   */
  reject(code: string, data?: unknown): never;
}

/**
 * A state machine that Quorate replicates: the same commands, in the same order, on every member.
 *
 * `apply` must be deterministic: no clock, no randomness, no I/O but what `context` gives. It sees decoded bytes
 * on every member, on the submitting one too. A throw in `apply` fails that command alike everywhere
 * (`ERR_COMMAND_FAILED`; an unknown operation should throw a {@link QuorateError} of code
 * `ERR_UNKNOWN_OPERATION`, which is kept). What it changed before the throw stays changed, on every member
 * alike, so check first and change afterwards. Answers may share structure with the state: they are detached
 * before anybody sees them. One object serves one replica.
 *
 * Commands and queries may have any form that the codec carries. For results typed per operation implement
 * {@link TypedStateMachine}, or let {@link defineMachine} do it.
 *
 * @example
 * ```ts
 * class Tally implements StateMachine<number, 'sum'> {
 *   readonly version = 1;
 *   #sum = 0;
 *   apply(command: number): number {
 *     return (this.#sum += command);
 *   }
 *   query(): number {
 *     return this.#sum;
 *   }
 *   snapshot(): Uint8Array[] {
 *     return [cbor().encode(this.#sum)];
 *   }
 *   async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
 *     const parts: Uint8Array[] = [];
 *     for await (const chunk of chunks) parts.push(chunk);
 *     this.#sum = cbor().decode(Buffer.concat(parts)) as number;
 *   }
 * }
 * ```
 */
export interface StateMachine<Command = unknown, Query = unknown> {
  /** Raised by the author when `apply` changes its meaning or snapshots their form. A positive integer. */
  readonly version: number;
  /** Applies a command and returns its result, which must be a value that the codec can encode. */
  apply(command: Command, context: ApplyContext): unknown;
  /** Answers a query without changing anything. */
  query?(query: Query): unknown;
  /**
   * Throws if the command should not enter the log; runs on the submitting node only, before anything is sent.
   * It spares a round trip and is no guard: `apply` sees commands that did not pass through it.
   */
  validate?(command: Command): void;
  /**
   * Captures the state as it is now and returns chunks that are produced later: changes made after this call
   * must not show. Equal states of machines with equal histories must give equal bytes, whatever the chunks'
   * bounds, and whether or not a machine was restored on the way.
   */
  snapshot(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  /**
   * Replaces the state by what the chunks of a snapshot hold; their bounds may differ from those that
   * `snapshot` made. Rejects, with the former state untouched, if they make no sense.
   */
  restore(chunks: AsyncIterable<Uint8Array>): Promise<void> | void;
  /** Makes another machine of this kind in its initial state, for a harness that needs one for each simulated node. */
  fresh?(): StateMachine<Command, Query>;
}

/** Operation name → its input (without `op`) and its result. */
export type OperationMap = Record<string, { readonly input: unknown; readonly result: unknown }>;

/** No operations at all: the queries of a machine that answers none. */
export type NoOperations = Record<string, never>;

/** The union of what may be submitted or asked: `{ op, ...input }`. */
export type OperationOf<Operations extends OperationMap> = {
  [K in keyof Operations & string]: { readonly op: K } & Operations[K]['input'];
}[keyof Operations & string];

/**
 * A {@link StateMachine} whose commands and queries are told apart by `op`, with a result type for each.
 *
 * @example
 * ```ts
 * type Commands = { add: { input: { by: number }; result: number } };
 * class Counter implements TypedStateMachine<Commands> {
 *   declare readonly types?: { commands: Commands; queries: NoOperations }; // for the compiler only
 *   …
 * }
 * // submit({ op: 'add', by: 2 }) → Promise<number>
 * ```
 */
export interface TypedStateMachine<
  Commands extends OperationMap = OperationMap,
  Queries extends OperationMap = NoOperations,
> extends StateMachine<OperationOf<Commands>, OperationOf<Queries>> {
  /** Type information only, never present. */
  readonly types?: { readonly commands: Commands; readonly queries: Queries };
}

/** The phantom types of a typed machine, or never. */
export type TypesOf<M> = 'types' extends keyof M ? NonNullable<M['types']> : never;
/** What a map of operations says of one operation. */
export type LookUp<Operations, O> = O extends { readonly op: infer K }
  ? K extends keyof Operations
    ? Operations[K] extends { readonly result: infer R }
      ? R
      : unknown
    : unknown
  : unknown;
/** Input and output of a method. */
export type Method<F> = F extends (...args: infer A) => infer R
  ? { readonly input: A extends [infer I, ...unknown[]] ? I : unknown; readonly output: Awaited<R> }
  : never;

/** What may be submitted to a machine of type `M`. */
export type CommandOf<M extends StateMachine> = [TypesOf<M>] extends [never]
  ? Method<M['apply']>['input']
  : TypesOf<M> extends { readonly commands: infer C extends OperationMap }
    ? OperationOf<C>
    : never;

/** What may be asked of a machine of type `M`. */
export type QueryOf<M extends StateMachine> = [TypesOf<M>] extends [never]
  ? Method<NonNullable<M['query']>>['input']
  : TypesOf<M> extends { readonly queries: infer Q extends OperationMap }
    ? OperationOf<Q>
    : never;

/** What submitting a `C` to a machine of type `M` results in. */
export type ResultOf<M extends StateMachine, C = CommandOf<M>> = [TypesOf<M>] extends [never]
  ? Method<M['apply']>['output']
  : TypesOf<M> extends { readonly commands: infer Operations }
    ? LookUp<Operations, C>
    : never;

/** What asking a `Q` of a machine of type `M` is answered with. */
export type AnswerOf<M extends StateMachine, Q = QueryOf<M>> = [TypesOf<M>] extends [never]
  ? Method<NonNullable<M['query']>>['output']
  : TypesOf<M> extends { readonly queries: infer Operations }
    ? LookUp<Operations, Q>
    : never;
