/** State machines in a few lines. */
import { checkNumber, configError, QuorateError } from '../errors.js';
import { kindOf } from '../replica/cbor/values.js';
import { cbor } from '../replica/codec.js';
import { detach } from '../replica/detach.js';
import type { LockRange, Rehearsal, RehearsalStep } from '../replica/rehearsal.js';
import type { ApplyContext, NoOperations, OperationOf, TypedStateMachine } from '../replica/stateMachine.js';
import { opOf, unknownOperation } from './operations.js';
import { readSnapshot, snapshotChunks } from './snapshotFormat.js';

/** Handles one command: changes the state and returns the result. */
export type CommandHandler<State> = (state: State, command: never, context: ApplyContext) => unknown;

/** Handles one query: answers from the state and changes nothing. */
export type QueryHandler<State> = (state: State, query: never) => unknown;

/** The operations that handlers stand for: the second parameter is the input, what is returned the result. */
export type OperationsOf<Handlers> = string extends keyof Handlers
  ? NoOperations // none were given, so their names are not known
  : {
      readonly [K in keyof Handlers & string]: Handlers[K] extends (...args: infer A) => infer R
        ? {
            readonly input: A extends [unknown, infer I, ...unknown[]] ? I : unknown;
            readonly result: Awaited<R>;
          }
        : never;
    };

/** What {@link defineMachine} makes a machine from. */
export interface MachineDefinition<
  State extends object,
  Commands extends Record<string, CommandHandler<State>>,
  Queries extends Record<string, QueryHandler<State>>,
> {
  /** Raise it when a handler changes its meaning or the state its form. From 1 to 2^31 - 1. */
  readonly version: number;
  /**
   * Makes the state to begin with: an object, Map or the like of plain data that the codec can carry. Instances
   * of classes would come back from a snapshot as plain objects, unlike on members that were never restored;
   * with those give `encode` and `decode`.
   */
  readonly initial: () => State;
  /**
   * A handler for each command. It may change `state` in place. Reject before you change anything: what was
   * changed before a throw stays changed (on every member alike). Must not be async.
   */
  readonly commands: Commands;
  /**
   * A handler for each query. Must not change the state.
   *
   * @defaultValue none
   */
  readonly queries?: Queries;
  /**
   * Throws if a command should not enter the log; runs on the submitting node only.
   *
   * @defaultValue nothing is checked but that the command exists
   */
  readonly validate?: (command: OperationOf<OperationsOf<Commands>>) => void;
  /**
   * Turns the state into the bytes of a snapshot, which must not change when the state does.
   *
   * @defaultValue the codec {@link cbor}
   */
  readonly encode?: (state: State) => Uint8Array;
  /**
   * Turns the bytes of a snapshot into a state; needed if, and only if, `encode` is given.
   *
   * @defaultValue the codec {@link cbor}
   */
  readonly decode?: (bytes: Uint8Array) => State;
  /**
   * For transactions: the keys that a command or query reads or changes, or `{ prefix }` for all keys that begin so. A transaction
   * locks them; those that touch nothing in common go on beside each other. The same for the same operation, always. In a
   * transaction each command is first done on a copy of the whole state, so keep that small.
   *
   * @defaultValue every operation touches everything
   */
  readonly touches?: (
    operation: OperationOf<OperationsOf<Commands>> | OperationOf<OperationsOf<Queries>>,
  ) => readonly LockRange[];
}

/**
 * Makes a state machine out of a state and a function for each command and query. Submit `{ op, ...input }`,
 * where `op` names the function and `input` is what its second parameter declares; the result has the type
 * that the function returns.
 *
 * A snapshot encodes the whole state at once while commands wait: some milliseconds a megabyte. For states of more
 * than a few megabytes use {@link keyValue}, or implement {@link StateMachine} with a snapshot of your own.
 *
 * @throws {@link QuorateError} `ERR_CONFIG` for a wrong definition. The machine: `ERR_UNKNOWN_OPERATION` for
 * operations without a handler, on every member alike; `ERR_CODEC` for a state or snapshot that the codec cannot
 * handle.
 *
 * @example
 * ```ts
 * const counter = defineMachine({
 *   version: 1,
 *   initial: () => ({ n: 0 }),
 *   commands: {
 *     add: (state, c: { by: number }, context) => {
 *       if (state.n + c.by > 100) context.reject('TOO_MUCH', { left: 100 - state.n });
 *       return (state.n += c.by);
 *     },
 *   },
 *   queries: { total: (state) => state.n },
 * });
 * await replica.submit({ op: 'add', by: 2 }); // number
 * ```
 */
export function defineMachine<
  State extends object,
  Commands extends Record<string, CommandHandler<State>>,
  Queries extends Record<string, QueryHandler<State>> = Record<string, QueryHandler<State>>,
>(
  definition: MachineDefinition<State, Commands, Queries>,
): TypedStateMachine<OperationsOf<Commands>, OperationsOf<Queries>> {
  return new DefinedMachine(definition as unknown as LooseDefinition);
}

type LooseDefinition = MachineDefinition<
  object,
  Record<string, CommandHandler<object>>,
  Record<string, QueryHandler<object>>
>;
type Handler = (state: object, operation: unknown, context?: ApplyContext) => unknown;

class DefinedMachine implements TypedStateMachine, Rehearsal {
  readonly version: number;
  readonly #commands: ReadonlyMap<string, Handler>;
  readonly #queries: ReadonlyMap<string, Handler>;
  readonly #validate: ((command: never) => void) | undefined;
  readonly #encode: (state: object) => Uint8Array;
  readonly #decode: (bytes: Uint8Array) => unknown;
  readonly #definition: LooseDefinition;
  /** Only where the definition has it: without, all is locked. */
  readonly touches?: (operation: unknown) => readonly LockRange[];
  #state: object;

  constructor(definition: LooseDefinition) {
    this.#definition = definition;
    const { version, initial, commands, queries = {}, validate, encode, decode, touches } = definition;
    this.version = checkNumber('version', version, 1, 2 ** 31 - 1);
    if (typeof initial !== 'function') throw configError('initial', initial, 'a function');
    this.#commands = handlersOf('commands', commands);
    this.#queries = handlersOf('queries', queries);
    if (validate !== undefined && typeof validate !== 'function')
      throw configError('validate', validate, 'a function');
    if (typeof encode !== typeof decode) {
      throw configError('encode and decode', encode ?? decode, 'both given or both left out');
    }
    if (encode !== undefined && typeof encode !== 'function')
      throw configError('encode', encode, 'a function');
    if (touches !== undefined && typeof touches !== 'function')
      throw configError('touches', touches, 'a function');
    if (touches !== undefined) this.touches = touches as (operation: unknown) => readonly LockRange[];
    const codec = cbor();
    this.#validate = validate;
    this.#encode = encode ?? ((state) => codec.encode(state));
    this.#decode = decode ?? ((bytes) => codec.decode(bytes));
    const state: unknown = initial();
    if (!isState(state))
      throw configError('the value of initial()', state, 'an object, since handlers change it in place');
    if (decode === undefined && isInstance(state)) {
      throw configError('the value of initial()', state, 'plain data, or encode and decode must be given');
    }
    this.#state = state;
  }

  apply(command: unknown, context: ApplyContext): unknown {
    return this.#applyTo(this.#state, command, context);
  }

  rehearse(steps: readonly RehearsalStep<unknown>[], query?: { readonly query: unknown }): unknown {
    const copy = this.#copy();
    let result: unknown;
    for (const { command, context } of steps) result = this.#applyTo(copy, command, context);
    return query === undefined ? result : this.#ask(copy, query.query);
  }

  #copy(): object {
    const custom = this.#definition.encode !== undefined;
    return (custom ? this.#decoded(this.#encode(this.#state)) : detach(this.#state)) as object;
  }

  #applyTo(state: object, command: unknown, context: ApplyContext): unknown {
    const handler = this.#commands.get(opOf(command) as string);
    if (handler === undefined) throw unknownOperation('command', command, this.#commands.keys());
    const result = handler(state, command, context);
    // What an async handler does after its first await would mix with later commands.
    if (result instanceof Promise) throw asyncHandler(result, 'command', command);
    return result;
  }

  query(query: unknown): unknown {
    return this.#ask(this.#state, query);
  }

  #ask(state: object, query: unknown): unknown {
    const handler = this.#queries.get(opOf(query) as string);
    if (handler === undefined) throw unknownOperation('query', query, this.#queries.keys());
    const answer = handler(state, query);
    if (answer instanceof Promise) throw asyncHandler(answer, 'query', query);
    return answer;
  }

  validate(command: unknown): void {
    if (!this.#commands.has(opOf(command) as string)) {
      throw unknownOperation('command', command, this.#commands.keys());
    }
    this.#validate?.(command as never);
  }

  snapshot(): Iterable<Uint8Array> {
    const bytes = this.#encode(this.#state); // now, not when the first chunk is asked for
    return snapshotChunks('state', 1, [bytes], (writer, record) => writer.raw(record));
  }

  fresh(): TypedStateMachine {
    return new DefinedMachine(this.#definition);
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    let state: unknown;
    await readSnapshot('state', chunks, (bytes, from, to) => {
      state = this.#decoded(bytes.slice(from, to));
    });
    if (!isState(state)) throw new QuorateError('ERR_CODEC', 'the snapshot holds no state');
    this.#state = state;
  }

  #decoded(bytes: Uint8Array): unknown {
    try {
      return this.#decode(bytes);
    } catch (cause) {
      if (cause instanceof QuorateError) throw cause;
      throw new QuorateError('ERR_CODEC', 'decode threw for the state of a snapshot', { cause });
    }
  }
}

function isState(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isInstance(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return (
    kindOf(value) === 'unsupported' ||
    (kindOf(value) === 'object' && prototype !== Object.prototype && prototype !== null)
  );
}

/** A Map, so that names which every object inherits are no operations. */
function handlersOf(option: string, handlers: unknown): Map<string, Handler> {
  if (!isState(handlers)) throw configError(option, handlers, 'an object of functions');
  for (const [name, handler] of Object.entries(handlers)) {
    if (typeof handler !== 'function') throw configError(`${option}.${name}`, handler, 'a function');
  }
  return new Map(Object.entries(handlers as Record<string, Handler>));
}

function asyncHandler(promise: Promise<unknown>, kind: string, operation: unknown): TypeError {
  promise.catch(() => undefined); // it is not awaited, and must not end the process
  return new TypeError(
    `the handler of ${kind} ${JSON.stringify(opOf(operation))} returned a promise; handlers must not be async`,
  );
}
