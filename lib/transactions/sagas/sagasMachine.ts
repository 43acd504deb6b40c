/** The state machine of sagas: it decides who owns a saga and what may follow what; the owners' handlers do the work outside. */
import { QuorateError } from '../../errors.js';
import { equalValues } from '../../machines/equal.js';
import { opOf, unknownOperation } from '../../machines/operations.js';
import { cbor } from '../../replica/codec.js';
import type { ApplyContext, OperationOf, TypedStateMachine } from '../../replica/stateMachine.js';
import {
  checkCommand,
  commandNames,
  queryNames,
  type AttemptOf,
  type SagaCommands,
  type SagaFilter,
  type SagaQueries,
  type Verdict,
} from './commands.js';
import { MAX_RUNNERS, MAX_SAGAS, MAX_STATE_BYTES } from './limits.js';
import { hasEnded, isStuck, type SagaRecord, type SagaView } from './record.js';
import { resolveSaga } from './resolution.js';
import { Runners } from './runners.js';
import { fingerprintOf } from './shape.js';
import { readSagas, writeSagas } from './snapshot.js';
import { SagaTable } from './table.js';
import {
  advance,
  draftOf,
  freshStep,
  mayTurnBack,
  orphan,
  settleDone,
  settleFailed,
  tryAgain,
  turnBack,
  type SagaDraft,
} from './transitions.js';

/** What {@link sagas} makes. */
export type SagasMachine = TypedStateMachine<SagaCommands, SagaQueries>;

/**
 * The state machine of a group that remembers sagas; {@link openSagas} starts and runs them. It takes no options: what decides how
 * members forget and refuse must be the same on all of them.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ mesh, group: 'sagas', members, storage, stateMachine: sagas() });
 * const running = openSagas({ replica });
 * ```
 */
export function sagas(): SagasMachine {
  return new Machine();
}

type Input<K extends keyof SagaCommands> = SagaCommands[K]['input'];
type Result<K extends keyof SagaCommands> = SagaCommands[K]['result'];

class Machine implements SagasMachine {
  readonly version = 1;
  readonly #codec = cbor();
  #runners = new Runners();
  #table = new SagaTable(this.#runners);
  #now = 0;
  /** The index of the last command that changed owners of sagas that it did not name. */
  #reassigned = 0;

  fresh(): SagasMachine {
    return new Machine();
  }

  apply(command: OperationOf<SagaCommands>, context: ApplyContext): unknown {
    const op = opOf(command) as (typeof commandNames)[number];
    if (!commandNames.includes(op)) throw unknownOperation('command', command, commandNames);
    checkCommand(op, command, context);
    this.#now = context.time;
    this.#table.forget(this.#now);
    switch (command.op) {
      case 'start':
        return this.#start(command, context);
      case 'enlist':
        return this.#enlist(command, context);
      case 'beat':
        return this.#beat(command.runner, context);
      case 'leave':
        this.#leave(command.runner, context);
        return undefined;
      case 'done':
        return this.#attempt(command, undefined, (saga) => {
          settleDone(saga.steps[command.step]!, command.result);
        });
      case 'failed':
        return this.#attempt(command, undefined, (saga) => {
          const { error, rejected, retryMs } = command;
          const retryAt = retryMs === undefined ? undefined : this.#now + Math.max(1, retryMs);
          const plan = this.#table.plan(saga);
          settleFailed(saga, plan, command.step, { error, rejected, retryAt });
        });
      case 'retry':
        return this.#attempt(command, 'waits', (saga) => tryAgain(saga.steps[command.step]!));
      case 'expire':
        return this.#expire(command);
      case 'cancel':
        return this.#cancel(command, context);
      case 'resolve':
        return this.#resolve(command, context);
    }
  }

  #start(c: Input<'start'>, context: ApplyContext): Result<'start'> {
    const { id, shape, input, timeout, retention } = c;
    const { name, version } = shape;
    const definition = fingerprintOf(shape);
    const existing = this.#table.get(id);
    const known = this.#table.fingerprint(name, version);
    if (known !== undefined && known !== definition)
      context.reject('DEFINITION_DIFFERS', { name, version, steps: this.#stepsOf(known) });
    if (existing !== undefined) {
      if (existing.definition !== definition || !this.#isSame(existing.input, input))
        context.reject('SAGA_EXISTS', { id, name: existing.name, version: existing.version });
      return { created: false };
    }
    if (this.#table.size >= MAX_SAGAS) context.reject('FULL', { sagas: MAX_SAGAS });
    if (this.#table.bytes >= MAX_STATE_BYTES) context.reject('FULL', { bytes: MAX_STATE_BYTES });
    this.#reap(context);
    const saga: SagaDraft = {
      id,
      name,
      version,
      definition,
      input,
      state: 'running',
      index: context.index,
      started: this.#now,
      deadline: timeout === 0 ? 0 : this.#now + timeout,
      retention,
      owner: '',
      epoch: 0,
      cause: undefined,
      ended: 0,
      steps: shape.steps.map(freshStep),
    };
    this.#table.define(definition, shape);
    advance(saga, this.#table.plan(saga), this.#now);
    this.#assign(saga, context);
    this.#table.put(saga);
    return { created: true };
  }

  #stepsOf(fingerprint: string): string[] {
    return this.#table.plan({ definition: fingerprint }).shape.steps.map(({ id }) => id);
  }

  /** Whether two encoded inputs mean the same: properties may come in another order. */
  #isSame(a: Uint8Array, b: Uint8Array): boolean {
    if (Buffer.compare(a, b) === 0) return true;
    try {
      return equalValues(this.#codec.decode(a), this.#codec.decode(b));
    } catch {
      return false; // what an app's own codec wrote
    }
  }

  #enlist(c: Input<'enlist'>, context: ApplyContext): Result<'enlist'> {
    const { runner, leaseMs, definitions } = c;
    const node = context.origin;
    this.#reap(context);
    const replaces = this.#runners.records.some((one) => one.node === node);
    if (!replaces && this.#runners.size >= MAX_RUNNERS) context.reject('FULL', { runners: MAX_RUNNERS });
    const record = { id: runner, node, leaseMs, expires: this.#now + leaseMs };
    const former = this.#runners.enlist({ ...record, definitions: [...new Set(definitions)].sort() });
    if (former !== undefined) this.#orphan(new Set([former]));
    // Also what nobody could run until now.
    this.#assignAll(context);
    return undefined;
  }

  #beat(runner: string, context: ApplyContext): Result<'beat'> {
    const known = this.#runners.beat(runner, this.#now);
    this.#reap(context);
    return { known };
  }

  #leave(runner: string, context: ApplyContext): void {
    if (!this.#runners.remove(runner)) return;
    this.#orphan(new Set([runner]));
    this.#assignAll(context);
  }

  /** What belongs to runners whose lease is over gets another owner. */
  #reap(context: ApplyContext): void {
    const over = this.#runners.reap(this.#now);
    if (over.length === 0) return;
    this.#orphan(new Set(over));
    this.#assignAll(context);
  }

  #orphan(owners: ReadonlySet<string>): void {
    for (const id of [...this.#table.active]) {
      const saga = this.#table.get(id)!;
      if (!owners.has(saga.owner)) continue;
      const draft = draftOf(saga);
      orphan(draft, this.#table.plan(saga), this.#now);
      this.#table.put(draft);
    }
  }

  #assignAll(context: ApplyContext): void {
    this.#reassigned = context.index;
    for (const id of this.#table.active) {
      const saga = this.#table.get(id)!;
      if (saga.owner !== '') continue;
      const draft = draftOf(saga);
      if (this.#assign(draft, context)) this.#table.put(draft);
    }
  }

  #assign(saga: SagaDraft, context: ApplyContext): boolean {
    const owner = this.#runners.pick(saga.definition, context.origin, this.#now);
    if (owner === undefined) return false;
    saga.owner = owner;
    saga.epoch = context.index;
    return true;
  }

  /** What an owner says of an attempt, if it is the owner still and the attempt the current one. */
  #attempt(
    c: AttemptOf,
    when: 'waits' | undefined,
    change: (saga: SagaDraft) => void,
  ): { readonly verdict: Verdict } {
    const saga = this.#table.get(c.id);
    if (saga === undefined || hasEnded(saga.state)) return { verdict: 'stale' };
    if (saga.epoch !== c.epoch || saga.owner === '') return { verdict: 'fenced' };
    const step = saga.steps[c.step];
    const states =
      when === 'waits' ? (['waiting', 'undoWaiting'] as const) : (['running', 'undoing'] as const);
    const isAt = step?.state === states[c.undo ? 1 : 0] && step.attempts === c.attempt;
    if (!isAt || (when === 'waits' && step.retryAt === 0)) return { verdict: 'stale' };
    const draft = draftOf(saga);
    change(draft);
    advance(draft, this.#table.plan(saga), this.#now);
    this.#table.put(draft);
    return { verdict: 'ok' };
  }

  #expire({ id, epoch }: Input<'expire'>): Result<'expire'> {
    const saga = this.#table.get(id);
    if (saga?.state !== 'running' || saga.deadline === 0) return { verdict: 'stale', early: 0 };
    if (saga.epoch !== epoch || saga.owner === '') return { verdict: 'fenced', early: 0 };
    if (this.#now < saga.deadline) return { verdict: 'ok', early: saga.deadline - this.#now };
    const draft = draftOf(saga);
    draft.deadline = 0;
    const plan = this.#table.plan(saga);
    if (mayTurnBack(draft, plan)) {
      turnBack(draft, { kind: 'timeout', step: undefined, error: undefined });
      advance(draft, plan, this.#now);
    }
    this.#table.put(draft);
    return { verdict: 'ok', early: 0 };
  }

  #cancel({ id, reason }: Input<'cancel'>, context: ApplyContext): Result<'cancel'> {
    const saga = this.#table.get(id);
    if (saga === undefined) context.reject('UNKNOWN_SAGA', { id });
    if (saga.state !== 'running') return { state: saga.state };
    const plan = this.#table.plan(saga);
    if (!mayTurnBack(saga, plan))
      context.reject('PAST_PIVOT', { id, pivot: plan.shape.steps[plan.pivot]!.id });
    const draft = draftOf(saga);
    const error = { code: 'CANCELLED', message: reason, data: undefined };
    turnBack(draft, { kind: 'cancelled', step: undefined, error });
    advance(draft, plan, this.#now);
    this.#table.put(draft);
    return { state: draft.state };
  }

  #resolve(c: Input<'resolve'>, context: ApplyContext): Result<'resolve'> {
    const saga = this.#table.get(c.id);
    if (saga === undefined) context.reject('UNKNOWN_SAGA', { id: c.id });
    const draft = draftOf(saga);
    resolveSaga(draft, this.#table.plan(saga), c, context);
    this.#table.put(draft);
    return { state: draft.state };
  }

  query(query: OperationOf<SagaQueries>): unknown {
    const op = opOf(query) as (typeof queryNames)[number];
    if (!queryNames.includes(op)) throw unknownOperation('query', query, queryNames);
    switch (query.op) {
      case 'get':
        return this.#view(query.id);
      case 'list':
        return this.#list(query);
      case 'owned':
        return [...this.#table.active].filter((id) => this.#table.get(id)!.owner === query.runner);
      case 'activity':
        return { owned: this.#runners.owned, reassigned: this.#reassigned };
      case 'shape': {
        const fingerprint = this.#table.fingerprint(query.name, query.version);
        return fingerprint && this.#table.plan({ definition: fingerprint }).shape;
      }
      case 'runners':
        return this.#runners.records;
    }
  }

  #view(id: string): SagaView | undefined {
    const saga = this.#table.get(id);
    return (
      saga && {
        saga,
        shape: this.#table.plan(saga).shape,
        node: this.#runners.node(saga.owner),
        now: this.#now,
      }
    );
  }

  #list({ state, stuck, name, after = 0, limit = 1000 }: SagaFilter): SagaView[] {
    const fits = (saga: SagaRecord): boolean =>
      saga.index > after &&
      (state === undefined || (state === 'active' ? !hasEnded(saga.state) : saga.state === state)) &&
      (name === undefined || saga.name === name) &&
      (stuck === undefined || isStuck(saga) === stuck);
    const found: SagaView[] = [];
    const isNarrow = state === 'active' || state === 'running' || state === 'compensating' || stuck === true;
    for (const id of isNarrow ? this.#table.active : this.#table.ids()) {
      if (found.length >= limit) break;
      if (fits(this.#table.get(id)!)) found.push(this.#view(id)!);
    }
    return found;
  }

  snapshot(): Iterable<Uint8Array> {
    const { shapes } = this.#table;
    const header = { now: this.#now, reassigned: this.#reassigned, runners: this.#runners.records, shapes };
    return writeSagas(header, this.#table.capture());
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { header, records } = await readSagas(chunks);
    const runners = new Runners();
    runners.restore(header.runners);
    const table = new SagaTable(runners);
    for (const shape of header.shapes) table.define(fingerprintOf(shape), shape);
    for (const saga of records) {
      if (table.get(saga.id) !== undefined)
        throw new QuorateError('ERR_CODEC', `the snapshot holds the saga ${JSON.stringify(saga.id)} twice`);
      table.put(saga);
    }
    this.#runners = runners;
    this.#table = table;
    this.#now = header.now;
    this.#reassigned = header.reassigned;
  }
}
