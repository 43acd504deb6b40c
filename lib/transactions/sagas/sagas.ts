/** The face of sagas: what an app holds in its hand. */
import type { Environment } from '../../environment.js';
import { checkName, checkNumber, configError, QuorateError } from '../../errors.js';
import { Emitter } from '../../events.js';
import { armLimits } from '../../replica/callLimits.js';
import type { Replica } from '../../replica/replica.js';
import type { CallOptions, QueryOptions } from '../../replica/replicaTypes.js';
import type { AnySaga, DefinitionParts, SagaDefinition, SagaInput, SagaResults } from './definition.js';
import { SagaDefinition as Definition } from './definition.js';
import { Lease } from './lease.js';
import { MAX_INPUT_BYTES, MAX_MESSAGE } from './limits.js';
import { hasEnded, type SagaState, type SagaView } from './record.js';
import { refusalOf } from './refusals.js';
import type { SagasMachine } from './sagasMachine.js';
import type {
  CancelSagaOptions,
  CloseSagasOptions,
  ListSagasOptions,
  SagaResolution,
  SagasEvents,
  SagaStatus,
  StartSagaOptions,
} from './sagasTypes.js';
import { fingerprintOf } from './shape.js';
import { causeOf, encodeResult, encodeValue, plainText, resultsOf, statusOf } from './values.js';
import { Work } from './work.js';

/** The options, checked. @internal */
export interface SagasSetup {
  readonly replica: Replica<SagasMachine>;
  readonly environment: Environment;
  readonly lease: number;
  readonly concurrency: number;
  readonly settle: number;
}

const FINAL = 'the sagas were closed here';

/**
 * Starts sagas, runs those that this member owns, and tells how they stand. Made by {@link openSagas}.
 *
 * @example
 * ```ts
 * running.define(order);
 * await running.start(order, { id: 'order-17', input: { card: '…', item: 'book' } });
 * const { ship } = await running.result(order, 'order-17');
 * ```
 */
export class Sagas extends Emitter<SagasEvents> {
  readonly #replica: Replica<SagasMachine>;
  readonly #environment: Environment;
  readonly #definitions = new Map<string, DefinitionParts>();
  /** Fingerprints by name and version. */
  readonly #versions = new Map<string, string>();
  readonly #lease: Lease;
  readonly #work: Work;
  readonly #waiters = new Map<string, Set<() => void>>();
  /** Sagas that were told to be stuck, or not to be as they are defined here. */
  readonly #stuck = new Set<string>();
  readonly #mismatches = new Set<string>();
  readonly #following = new AbortController();
  #reassigned = -1;
  #closing: Promise<void> | undefined;
  #draining = false;

  /** @internal */
  constructor({ replica, environment, lease, concurrency, settle }: SagasSetup) {
    super();
    this.#replica = replica;
    this.#environment = environment;
    this.#lease = new Lease(replica, environment, lease, {
      held: () => this.#lookAtAll(),
      lost: () => {
        this.#work.interrupt('no quorum heard this member in time');
        this.emit('lease:lost');
      },
      regained: () => this.emit('lease:regained'),
      warning: (error) => this.emit('warning', error),
    });
    this.#work = new Work({
      replica,
      environment,
      runner: this.#lease.runner,
      concurrency,
      settleMs: settle,
      mayBegin: () => this.#lease.holds && !this.#draining,
      warning: (error) => this.emit('warning', error),
    });
    const changes = replica.changes({ signal: this.#following.signal });
    // It can only fail as the replica ends, which closes this, too.
    this.#follow(changes).catch((error: unknown) => this.emit('warning', error as Error));
    void replica.closed.then(() => this.close());
  }

  /**
   * Has this member run the sagas of a definition: those that are started from now on anywhere in the group, and those that wait
   * for somebody. Waits for nobody. Defining the same again does nothing.
   *
   * @throws QuorateError `ERR_SAGA_DEFINITION` when the group has, or this member defined, other steps under this name and version:
   * raise the version. `ERR_CONFIG`, `ERR_CLOSED`.
   */
  define(definition: AnySaga): void {
    this.#checkOpen();
    const parts = partsOf(definition);
    const { name, version } = parts.shape;
    const key = `${name}/${version}`;
    const before = this.#versions.get(key);
    if (before === parts.fingerprint) return;
    if (before !== undefined) throw mismatch(name, version, 'defined here before');
    const known = this.#replica.peek({ op: 'shape', name, version });
    if (known !== undefined && fingerprintOf(known) !== parts.fingerprint)
      throw mismatch(name, version, 'that sagas of the group have');
    this.#versions.set(key, parts.fingerprint);
    this.#definitions.set(parts.fingerprint, parts);
    this.#lease.add(parts.fingerprint);
  }

  /**
   * Starts a saga, once: if there is one with this id, of this definition and with an equal input, nothing happens. This member need
   * not run it. Resolves when the start is committed; {@link Sagas.result} waits for the end.
   *
   * Throws {@link QuorateError}: `ERR_SAGA_EXISTS` (the id is another saga's), `ERR_SAGA_DEFINITION` (the group has other steps
   * under this name and version), `ERR_OVERLOADED` (the group remembers 100,000 sagas or 256 MiB), `ERR_TOO_LARGE` (an input
   * above 256 KiB), `ERR_CODEC`, `ERR_CONFIG`, and what `submit` throws. After an ambiguous error just start it again.
   */
  async start<Definition extends AnySaga>(
    definition: Definition,
    options: StartSagaOptions<SagaInput<Definition>>,
  ): Promise<{ readonly id: string; readonly created: boolean }> {
    this.#checkOpen();
    const { shape, timeout, retention } = partsOf(definition);
    const id = checkName('id', options.id);
    const input = encodeValue(`the input of saga ${id}`, options.input, MAX_INPUT_BYTES);
    const command = { op: 'start', id, shape, input, timeout, retention } as const;
    const { created } = await this.#submit(command, options);
    return { id, created };
  }

  /** Where a saga stands, or undefined if the group knows none with this id: it never did, or it ended too long ago. */
  async status(id: string, options: QueryOptions = {}): Promise<SagaStatus | undefined> {
    this.#checkOpen();
    const view = await this.#replica.query({ op: 'get', id: checkName('id', id) }, options);
    return view && statusOf(view);
  }

  /**
   * Waits for the end of a saga, and resolves to what its steps returned. The default time-out is none.
   *
   * Throws {@link QuorateError}: `ERR_SAGA_FAILED` when it did not complete: `reason` is how it ended, `compensated` or `abandoned`,
   * and `data` its cause; `ERR_SAGA_UNKNOWN`, `ERR_SAGA_DEFINITION` (it is another one's), `ERR_TIMEOUT`, `ERR_ABORTED`,
   * `ERR_CLOSED`.
   */
  async result<Definition extends AnySaga>(
    definition: Definition,
    id: string,
    options: CallOptions = {},
  ): Promise<SagaResults<Definition>> {
    this.#checkOpen();
    const { name, version } = partsOf(definition).shape;
    const { timeout, ...rest } = options;
    const began = this.#environment.now();
    const view = await this.#replica.query({ op: 'get', id: checkName('id', id) }, options);
    const left = timeout === undefined ? undefined : timeout - (this.#environment.now() - began);
    const limits = left === undefined ? rest : { ...rest, timeout: Math.max(1, Math.ceil(left)) };
    if (view !== undefined && (view.saga.name !== name || view.saga.version !== version)) {
      const what = `saga ${id} is ${view.saga.name} version ${view.saga.version}, not ${name} version ${version}`;
      throw new QuorateError('ERR_SAGA_DEFINITION', what);
    }
    const end = view !== undefined && !hasEnded(view.saga.state) ? await this.#end(id, limits) : view;
    if (end === undefined) throw new QuorateError('ERR_SAGA_UNKNOWN', `there is no saga ${id}`);
    const { state, cause } = end.saga;
    if (state === 'completed') return resultsOf(end, end.saga.steps.keys()) as SagaResults<Definition>;
    const why = cause === undefined ? undefined : causeOf(cause);
    const of = why?.step === undefined ? '' : `step ${why.step}: `;
    const message = `saga ${id} was ${state}: ${of}${why?.error?.message ?? why?.kind ?? ''}`;
    throw new QuorateError('ERR_SAGA_FAILED', message, { reason: state, data: why });
  }

  /** Resolves when a saga has ended as far as this member knows; to undefined when it was forgotten. */
  #end(id: string, options: CallOptions): Promise<SagaView | undefined> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(id) ?? new Set();
      const leave = (): void => {
        disarm();
        waiters.delete(look);
        if (waiters.size === 0) this.#waiters.delete(id);
      };
      const fail = (code: 'ERR_TIMEOUT' | 'ERR_ABORTED', what: string) => (): void => {
        leave();
        reject(new QuorateError(code, `saga ${id} has not ended: ${what}`));
      };
      const look = (): void => {
        try {
          this.#checkOpen();
          const view = this.#replica.peek({ op: 'get', id });
          if (view !== undefined && !hasEnded(view.saga.state)) return;
          leave();
          resolve(view);
        } catch (error) {
          leave();
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
      const disarm = armLimits(
        this.#environment,
        options,
        fail('ERR_TIMEOUT', `${options.timeout ?? 0} ms are over`),
        fail('ERR_ABORTED', 'the call was aborted'),
      );
      this.#waiters.set(id, waiters.add(look));
      if (options.signal?.aborted === true) fail('ERR_ABORTED', 'the signal had fired already')();
      else look();
    });
  }

  /**
   * Has a saga turn back. Resolves to the state that it is in then; one that has ended, or compensates already, stays as it is.
   *
   * Throws {@link QuorateError}: `ERR_SAGA_PIVOT` when its pivot was begun, `ERR_SAGA_UNKNOWN`, `ERR_CONFIG`, and what `submit`
   * throws.
   */
  async cancel(id: string, options: CancelSagaOptions = {}): Promise<SagaState> {
    this.#checkOpen();
    const reason = checkReason(options.reason);
    return (await this.#submit({ op: 'cancel', id: checkName('id', id), reason }, options)).state;
  }

  /**
   * Decides about a stuck saga, see {@link SagaResolution}. Resolves to the state that it is in then.
   *
   * Throws {@link QuorateError}: `ERR_SAGA_NOT_STUCK` (also when the step that is named is not), `ERR_SAGA_UNKNOWN`, `ERR_CONFIG`, and
   * what `submit` throws.
   */
  async resolve(id: string, resolution: SagaResolution): Promise<SagaState> {
    this.#checkOpen();
    const { action } = resolution;
    const actions: readonly unknown[] = ['retry', 'skip', 'compensate', 'abandon'];
    if (!actions.includes(action)) throw configError('action', action, `one of ${actions.join(', ')}`);
    const reason = checkReason(resolution.reason);
    const step = 'step' in resolution ? resolution.step : undefined;
    if (action === 'skip' && typeof step !== 'string')
      throw configError('step', step, 'the id of a stuck step');
    const result = action === 'skip' ? encodeResult(step!, resolution.result) : undefined;
    const command = { op: 'resolve', id: checkName('id', id), action, reason, step, result } as const;
    return (await this.#submit(command, resolution)).state;
  }

  /** Sagas in the order of their starts. Throws {@link QuorateError} as `query` does. */
  async list(options: ListSagasOptions = {}): Promise<SagaStatus[]> {
    this.#checkOpen();
    const { state, stuck, name, after = 0, limit = 1000, ...call } = options;
    checkNumber('after', after, 0, Number.MAX_SAFE_INTEGER);
    checkNumber('limit', limit, 1, 10_000);
    const views = await this.#replica.query({ op: 'list', state, stuck, name, after, limit }, call);
    return views.map(statusOf);
  }

  /** How many handlers run here, and how many sagas they are of. */
  metrics(): { readonly handlers: number; readonly sagas: number; readonly stuck: number } {
    return { handlers: this.#work.running, sagas: this.#work.ids.length, stuck: this.#stuck.size };
  }

  /**
   * Ends the running of sagas on this member; others go on with them. Handlers are told to stop and have `settle` milliseconds; with
   * `drain` they come to their end first. The replica stays open. Safe to call twice.
   */
  close(options: CloseSagasOptions = {}): Promise<void> {
    const timeout = checkNumber('timeout', options.timeout ?? 5000, 1, 2 ** 31 - 1);
    this.#closing ??= this.#close(options.drain === true, timeout);
    return this.#closing;
  }

  /** Closes; for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(drain: boolean, timeout: number): Promise<void> {
    this.#draining = true;
    if (drain && this.#isOpen()) await this.#idle(timeout);
    this.#work.interrupt(FINAL);
    if (this.#isOpen()) await this.#idle(timeout);
    this.#work.stop();
    await this.#lease.close();
    this.#following.abort();
    for (const waiters of [...this.#waiters.values()]) for (const look of [...waiters]) look();
    this.removeAllListeners();
  }

  #isOpen(): boolean {
    return this.#replica.status().state === 'running';
  }

  /** Waits until no handler runs, and what became of them is in the log. */
  #idle(timeout: number): Promise<void> {
    const end = this.#environment.now() + timeout;
    return new Promise((resolve) => {
      const look = (): void => {
        const isOver = this.#work.running === 0 || !this.#isOpen() || this.#environment.now() >= end;
        if (isOver) resolve();
        else this.#environment.setTimer(5, look);
      };
      look();
    });
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new QuorateError('ERR_CLOSED', FINAL);
  }

  #submit: Replica<SagasMachine>['submit'] = async (command, options) => {
    const { timeout, signal } = options ?? {};
    try {
      const limits = { ...(timeout !== undefined && { timeout }), ...(signal && { signal }) };
      return await this.#replica.submit(command, limits);
    } catch (error) {
      throw refusalOf(error);
    }
  };

  async #follow(changes: ReturnType<Replica<SagasMachine>['changes']>): Promise<void> {
    for await (const change of changes) {
      if (this.#following.signal.aborted) return;
      if (change.type === 'reset') this.#lookAtAll();
      else if (change.ok) this.#applied(change.command);
    }
  }

  #applied(command: object): void {
    const { id } = command as { readonly id?: unknown };
    this.#whileOpen(() => {
      const { reassigned } = this.#replica.peek({ op: 'activity' });
      if (reassigned !== this.#reassigned) this.#lookAtAll();
      if (typeof id === 'string') this.#look(id, true);
      this.#lease.wake();
    });
  }

  /** Looks at what is or may be this member's business, after owners changed or the state was replaced. */
  #lookAtAll(): void {
    this.#whileOpen(() => {
      this.#reassigned = this.#replica.peek({ op: 'activity' }).reassigned;
      const owned = this.#replica.peek({ op: 'owned', runner: this.#lease.runner });
      for (const id of new Set([...owned, ...this.#work.ids, ...this.#waiters.keys()])) this.#look(id, false);
      for (const view of this.#replica.peek({ op: 'list', stuck: true })) this.#tell(view, false);
      this.#lease.wake();
    });
  }

  /** A replica that closes meanwhile has nothing to look at. */
  #whileOpen(run: () => void): void {
    if (!this.#isOpen()) return;
    try {
      run();
    } catch (error) {
      if (!(error instanceof QuorateError) || error.code !== 'ERR_CLOSED') throw error;
    }
  }

  #look(id: string, tell: boolean): void {
    const view = this.#replica.peek({ op: 'get', id });
    this.#work.look(id, view, view && this.#definitions.get(view.saga.definition));
    if (view !== undefined) this.#tell(view, tell);
    if (view === undefined || hasEnded(view.saga.state)) {
      this.#stuck.delete(id);
      this.#mismatches.delete(id);
      for (const look of [...(this.#waiters.get(id) ?? [])]) look();
    }
  }

  #tell(view: SagaView, progress: boolean): void {
    const { id, name, version, definition, state } = view.saga;
    const here = this.#versions.get(`${name}/${version}`);
    if (here !== undefined && here !== definition && !hasEnded(state) && !this.#mismatches.has(id)) {
      this.#mismatches.add(id);
      this.emit('saga:mismatch', mismatch(name, version, `that saga ${id} was started with`));
    }
    const status = statusOf(view);
    if (progress) this.emit('saga:progress', status);
    if (hasEnded(state)) {
      if (progress) this.emit('saga:ended', status);
    } else if (!status.stuck) {
      this.#stuck.delete(id);
    } else if (!this.#stuck.has(id)) {
      this.#stuck.add(id);
      this.emit('saga:stuck', status);
    }
  }
}

function partsOf(definition: unknown): DefinitionParts {
  if (!(definition instanceof Definition))
    throw configError('definition', definition, 'a saga made by defineSaga');
  return (definition as SagaDefinition).parts;
}

function checkReason(reason: unknown = ''): string {
  if (typeof reason !== 'string' || reason.length > MAX_MESSAGE)
    throw configError('reason', reason, `a string of at most ${MAX_MESSAGE} characters`);
  return plainText(reason);
}

function mismatch(name: string, version: number, other: string): QuorateError {
  const message = `the steps of ${name} version ${version} are not those ${other}: raise the version where steps change`;
  return new QuorateError('ERR_SAGA_DEFINITION', message);
}
