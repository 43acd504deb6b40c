/** A state machine that takes part in transactions, around any machine that can rehearse. */
import { configError, QuorateError } from '../errors.js';
import type { Mesh } from '../mesh/mesh.js';
import { cbor, type Codec } from '../replica/codec.js';
import { companion, type Accompanied } from '../replica/companion.js';
import type { LockRange, Rehearsal, RehearsalStep } from '../replica/rehearsal.js';
import type { Replica } from '../replica/replica.js';
import type { ApplyContext, CommandOf, QueryOf, StateMachine } from '../replica/stateMachine.js';
import { Branches, type Branch } from './branches.js';
import { isMarked, LIMITS, readCommand, type Marked, type TransactionCommands } from './commands.js';
import { Decisions, type Answer, type Outcome } from './decisions.js';
import { Part } from './part.js';
import { checkResources, type TransactionResource } from './resource.js';
import { decodeImage, encodeImage } from './snapshot.js';
import { beginTransactions } from './transactions.js';

/** What {@link transactional} takes beside the machine. */
export interface TransactionalOptions<M extends StateMachine = StateMachine> {
  /**
   * How commands will go, without doing them; see {@link Rehearsal}.
   *
   * @defaultValue the machine's own
   */
  readonly rehearse?: (
    steps: readonly RehearsalStep<CommandOf<M>>[],
    query?: { readonly query: QueryOf<M> },
  ) => unknown;
  /**
   * What an operation reads and writes; see {@link Rehearsal}.
   *
   * @defaultValue the machine's own; if it has none, every operation touches everything
   */
  readonly touches?: (operation: CommandOf<M> | QueryOf<M>) => readonly LockRange[];
  /**
   * Resources of the user's own, by name: 1 to 128 characters. Every member that has one can carry out decisions about it; those
   * that do not leave it to the others.
   *
   * @defaultValue none
   */
  readonly resources?: Readonly<Record<string, TransactionResource<never>>>;
}

/** A machine of type `M` that takes part in transactions. */
export type TransactionalMachine<M extends StateMachine> = Pick<
  M,
  Extract<keyof M, keyof StateMachine | 'types'>
> & {
  /** What {@link transact} can be used with. Type information only. */
  readonly transactional?: M;
};

/** A version of the wrapper is part of the machine's: members with and without it must not meet in one group. */
const WRAPPER_VERSION = 1;
const VERSIONS = 0x1_0000;

/**
 * Makes a machine take part in transactions: {@link transact} works on replicas of what this returns. The group is used as
 * before besides; a command that touches what a transaction has locked is rejected (`ERR_REJECTED`, reason `LOCKED`: try again),
 * and queries show what is committed in this group.
 *
 * The machine must be able to tell how a command will go without doing it: see {@link Rehearsal}. `keyValue()` can, with a lock for
 * each key, and so can machines made by `defineMachine`, with one lock for the whole state unless the definition has `touches`. For
 * others give `rehearse` and `touches` here. Locks, commands that wait for a decision, and decisions are part of the replicated state,
 * and of its snapshots.
 *
 * A command of a transaction is applied with the context of the moment in which it was rehearsed. So `context.time` may be less
 * than that of an earlier command which touched other keys.
 *
 * Commands of the machine's own must not be arrays that begin with `'quorate:transaction'`. A group that was founded without this
 * wrapper cannot get it later (`ERR_MACHINE_VERSION`).
 *
 * @throws {@link QuorateError} `ERR_CONFIG`.
 *
 * @example
 * ```ts
 * const accounts = await openReplica({
 *   mesh, group: 'accounts-1', members, storage, stateMachine: transactional(keyValue<number>()),
 * });
 * ```
 */
export function transactional<M extends StateMachine>(
  machine: M,
  options: TransactionalOptions<M> = {},
): TransactionalMachine<M> {
  return new Transactional(
    machine,
    options as unknown as TransactionalOptions,
  ) as unknown as TransactionalMachine<M>;
}

const EVERYTHING: readonly LockRange[] = [{ prefix: '' }];

/** @internal */
export class Transactional implements StateMachine, Accompanied {
  readonly version: number;
  readonly resources: ReadonlyMap<string, TransactionResource>;
  readonly branches = new Branches();
  readonly decisions = new Decisions();
  /** Told when there may be something that nobody is seeing to. */
  onOpen: (() => void) | undefined;
  readonly #machine: StateMachine;
  readonly #options: TransactionalOptions;
  readonly #part: Part;
  readonly #codec = cbor();
  readonly #touches: (operation: unknown) => readonly LockRange[];

  constructor(machine: StateMachine, options: TransactionalOptions) {
    const { version } = (machine as StateMachine | undefined) ?? { version: undefined };
    if (typeof version !== 'number' || version < 1 || version >= VERSIONS)
      throw configError('machine.version', version, `an integer from 1 to ${VERSIONS - 1}`);
    const own = machine as StateMachine & Partial<Rehearsal>;
    const rehearse = options.rehearse ?? own.rehearse?.bind(own);
    if (typeof rehearse !== 'function')
      throw configError('rehearse', rehearse, 'a function, since the machine has none of its own');
    const touches = options.touches ?? own.touches?.bind(own) ?? (() => EVERYTHING);
    if (typeof touches !== 'function') throw configError('touches', touches, 'a function');
    this.version = WRAPPER_VERSION * VERSIONS + version;
    this.resources = checkResources(options.resources ?? {});
    this.#machine = machine;
    this.#options = options;
    this.#touches = touches;
    this.#part = new Part(machine, rehearse, touches, this.branches);
  }

  apply(command: unknown, context: ApplyContext): unknown {
    if (isMarked(command)) return this.#transaction(readCommand(command), context);
    if (this.branches.size > 0) {
      const claim = { ranges: this.#touches(command), mode: 'exclusive' } as const;
      const by = this.branches.against(claim, context.time);
      if (by.length > 0) context.reject('LOCKED', { by });
    }
    return this.#machine.apply(command, context);
  }

  #transaction([, op, body]: Marked, context: ApplyContext): unknown {
    switch (op) {
      case 'step':
        return this.#part.step(body as TransactionCommands['step'], context);
      case 'prepare': {
        const { id, steps } = body as TransactionCommands['prepare'];
        const yes = this.branches.prepare(id, steps);
        if (yes) this.onOpen?.();
        return { vote: yes ? 'yes' : 'no' };
      }
      case 'verify':
        return { held: this.branches.verify(body.id) };
      case 'register':
        return this.#register(body as TransactionCommands['register'], context);
      case 'decide':
        return this.#decide(body as TransactionCommands['decide'], context);
      case 'single':
        return this.#single(body as TransactionCommands['single'], context);
      case 'inquire': {
        const answer = this.decisions.inquire(body as TransactionCommands['inquire'], context.time);
        this.#learn(body.id, answer, context);
        return answer;
      }
      case 'finish': {
        const { id, outcome } = body as TransactionCommands['finish'];
        return this.#finish(id, outcome, context);
      }
      case 'end':
        this.decisions.end(body.id);
        return { type: 'ended' };
    }
  }

  #register(command: TransactionCommands['register'], context: ApplyContext): Answer {
    const answer = this.decisions.register(command, context.time);
    if (answer.type !== 'pending') return answer;
    this.onOpen?.();
    if (command.steps === undefined || this.branches.prepare(command.id, command.steps)) return answer;
    this.decisions.decide(command.id, 'abort', undefined, 0, context.time);
    return { type: 'abort' };
  }

  #decide(command: TransactionCommands['decide'], context: ApplyContext): unknown {
    const bytes = command.result === undefined ? 0 : this.#sizeOf(command.result, context);
    const answer = this.decisions.decide(command.id, command.outcome, command.result, bytes, context.time);
    const failed = this.#learn(command.id, answer, context);
    return failed === undefined ? answer : { ...answer, failed };
  }

  /** The home's own part ends in the entry that decides. */
  #learn(id: string, { type }: Answer, context: ApplyContext): string | undefined {
    if (type === 'pending') return undefined;
    this.onOpen?.();
    return this.#finish(id, type === 'commit' ? 'commit' : 'abort', context).failed;
  }

  #single(
    { id, steps, request, result }: TransactionCommands['single'],
    context: ApplyContext,
  ): Answer & { failed?: string } {
    const kept = request === undefined ? undefined : this.decisions.kept(request);
    if (kept !== undefined) {
      this.branches.take(id);
      return { type: 'done', result: kept.result };
    }
    const bytes = request === undefined || result === undefined ? 0 : this.#sizeOf(result, context);
    if (!this.branches.prepare(id, steps)) {
      this.branches.take(id);
      return { type: 'abort' };
    }
    if (request !== undefined && !this.decisions.keep(request, result, bytes, context.time)) {
      this.branches.take(id);
      return { type: 'abort', why: 'the group keeps as many results as it can' };
    }
    const { failed } = this.#finish(id, 'commit', context);
    return failed === undefined ? { type: 'commit' } : { type: 'commit', failed };
  }

  #finish(id: string, outcome: Outcome, context: ApplyContext): { done: boolean; failed?: string } {
    const branch = this.branches.get(id);
    if (branch === undefined) return { done: true };
    // No protocol of ours commits what has not voted: better to keep it than to do half of it.
    if (outcome === 'commit' && !branch.prepared) return { done: false };
    this.branches.take(id);
    const failed = outcome === 'commit' ? this.#part.apply(branch, context) : undefined;
    return failed === undefined ? { done: true } : { done: true, failed };
  }

  #sizeOf(result: unknown, context: ApplyContext): number {
    const bytes = this.#codec.encode(result).length;
    if (bytes > LIMITS.resultBytes)
      context.reject('RESULT_TOO_LARGE', { bytes, allowed: LIMITS.resultBytes });
    return bytes;
  }

  query(query: unknown): unknown {
    if (isMarked(query)) {
      const [, what, request] = query;
      if (what !== 'request' || typeof request !== 'string')
        throw new QuorateError('ERR_UNKNOWN_OPERATION', `transactions have no such query: ${String(what)}`);
      const kept = this.decisions.kept(request);
      return kept === undefined ? { known: false } : { known: true, result: kept.result };
    }
    if (!this.#machine.query)
      throw new QuorateError('ERR_UNKNOWN_OPERATION', 'the state machine answers no queries');
    return this.#machine.query(query);
  }

  validate(command: unknown): void {
    if (!isMarked(command)) {
      this.#machine.validate?.(command);
      return;
    }
    const [, op, body] = readCommand(command);
    if (op === 'step' && (body as TransactionCommands['step']).kind === 'command')
      this.#machine.validate?.((body as TransactionCommands['step']).body);
  }

  snapshot(): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
    const image = encodeImage({ branches: this.branches.image(), ...this.decisions.image() });
    const chunks = this.#machine.snapshot();
    return Symbol.iterator in chunks ? before(image, chunks) : beforeLater(image, chunks);
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { image, rest } = await decodeImage(chunks);
    await this.#machine.restore(rest);
    this.branches.restore(image.branches);
    this.decisions.restore(image.decisions, image.requests);
    this.onOpen?.();
  }

  fresh(): StateMachine {
    if (!this.#machine.fresh) throw configError('stateMachine', this.#machine, 'a machine with `fresh`');
    return new Transactional(this.#machine.fresh(), this.#options);
  }

  [companion](replica: Replica, mesh: Mesh, codec: Codec): void {
    beginTransactions(this, replica, mesh, codec);
  }

  /** Those whose fate this group does not know. */
  *inDoubt(): Generator<Branch> {
    for (const branch of this.branches.all()) if (branch.prepared) yield branch;
  }
}

function* before(first: Uint8Array, rest: Iterable<Uint8Array>): Generator<Uint8Array, void, undefined> {
  yield first;
  yield* rest;
}

async function* beforeLater(
  first: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield first;
  yield* rest;
}
