/** What a member does for the sagas that it owns: it calls handlers, says in the log what became of them, and waits in between. @internal */
import type { Environment, Timer } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { Replica } from '../../replica/replica.js';
import type { OperationOf } from '../../replica/stateMachine.js';
import type { AttemptOf, SagaCommands, Verdict } from './commands.js';
import type { DefinitionParts, StepParts } from './definition.js';
import { callHandler, rejecting, type Outcome } from './handlerCall.js';
import { MAX_SPAN_MS } from './limits.js';
import type { SagaView, StepRecord } from './record.js';
import type { SagasMachine } from './sagasMachine.js';
import { Slots } from './slots.js';
import { causeOf, decodeValue, errorRecord, resultsOf } from './values.js';

export interface WorkSetup {
  readonly replica: Replica<SagasMachine>;
  readonly environment: Environment;
  readonly runner: string;
  readonly concurrency: number;
  readonly settleMs: number;
  /** Whether handlers may begin. */
  readonly mayBegin: () => boolean;
  readonly warning: (error: Error) => void;
}

/** One attempt. */
interface Task extends AttemptOf {
  readonly controller: AbortController;
}

/** What is under way for one saga. */
interface Job {
  readonly tasks: Map<string, Task>;
  /** Of steps that wait, by the attempt that failed; and of the saga's own time. */
  readonly timers: Map<string, Timer>;
}

const DEADLINE = 'deadline';
/** How long a command that did not get through waits for the next try. */
const RESEND_MS = 1000;

export class Work {
  readonly #setup: WorkSetup;
  readonly #slots: Slots;
  readonly #jobs = new Map<string, Job>();
  #stopped = false;

  constructor(setup: WorkSetup) {
    this.#setup = setup;
    this.#slots = new Slots(setup.concurrency);
  }

  /** How many attempts are under way. */
  get running(): number {
    let running = 0;
    for (const { tasks } of this.#jobs.values()) running += tasks.size;
    return running;
  }

  /** The sagas that something is under way for. */
  get ids(): string[] {
    return [...this.#jobs.keys()];
  }

  /** Makes what is under way for a saga what it should be by the state; `view` is undefined for what is not owned here. */
  look(id: string, view: SagaView | undefined, definition: DefinitionParts | undefined): void {
    const mine = view?.saga.owner === this.#setup.runner && definition !== undefined ? view : undefined;
    let job = this.#jobs.get(id);
    if (job === undefined && (mine === undefined || this.#stopped)) return;
    if (job === undefined) this.#jobs.set(id, (job = { tasks: new Map(), timers: new Map() }));
    this.#endWhatIsOver(job, mine);
    if (mine !== undefined && !this.#stopped) {
      for (const [i, step] of mine.saga.steps.entries()) this.#lookAtStep(job, mine, definition!, i, step);
      this.#lookAtDeadline(job, mine);
    }
    this.#dropIfIdle(id, job);
  }

  #dropIfIdle(id: string, job: Job): void {
    if (job.tasks.size === 0 && job.timers.size === 0 && this.#jobs.get(id) === job) this.#jobs.delete(id);
  }

  /** Ends tasks that the state does not ask for any more, and timers that have nothing to wait for. */
  #endWhatIsOver(job: Job, mine: SagaView | undefined): void {
    for (const task of job.tasks.values()) {
      if (mine === undefined || !isCurrent(task, mine)) abort(task, 'it is not wanted any more');
      else if (mine.saga.state === 'compensating' && !task.undo) abort(task, 'the saga turned back');
    }
    const wanted = mine === undefined ? new Set<string>() : timersOf(mine);
    for (const [key, timer] of job.timers) {
      if (wanted.has(key)) continue;
      timer.cancel();
      job.timers.delete(key);
    }
  }

  #lookAtStep(job: Job, view: SagaView, definition: DefinitionParts, i: number, step: StepRecord): void {
    const { id, epoch } = view.saga;
    const undo = step.state === 'undoing' || step.state === 'undoWaiting';
    const attempt: AttemptOf = { id, epoch, step: i, undo, attempt: step.attempts };
    const key = keyOf(attempt);
    if (step.state === 'running' || step.state === 'undoing') {
      // Until the lease holds nothing begins; then everything is looked at again.
      if (job.tasks.has(key) || !this.#setup.mayBegin()) return;
      const task = { ...attempt, controller: new AbortController() };
      job.tasks.set(key, task);
      void this.#run(job, key, task, definition);
    } else if (step.retryAt !== 0) {
      this.#wait(job, key, step.retryAt - view.now, () => void this.#say({ op: 'retry', ...attempt }));
    }
  }

  #lookAtDeadline(job: Job, { saga, now }: SagaView): void {
    if (saga.state !== 'running' || saga.deadline === 0) return;
    const { id, epoch } = saga;
    this.#wait(job, `${DEADLINE}/${epoch}`, saga.deadline - now, () => void this.#expire(job, id, epoch));
  }

  #wait(job: Job, key: string, ms: number, callback: () => void): void {
    if (job.timers.has(key)) return;
    const delay = Math.min(MAX_SPAN_MS, Math.max(1, Math.ceil(ms)));
    // It stays in the table: what it says is not said twice.
    job.timers.set(key, this.#setup.environment.setTimer(delay, callback));
  }

  async #run(job: Job, key: string, task: Task, definition: DefinitionParts): Promise<void> {
    try {
      const outcome = await this.#inTurn(() => this.#attempt(task, definition));
      if (outcome !== undefined) await this.#tell(task, definition, outcome);
    } catch (error) {
      this.#setup.warning(error instanceof Error ? error : new Error(String(error)));
    }
    job.tasks.delete(key);
    // The state may ask for this very attempt again, if it was not begun.
    const view = this.#view(task.id);
    this.look(task.id, view, definition);
  }

  /** Holds a place while the handler runs, not while what became of it is on its way into the log. */
  async #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const leave = await this.#slots.enter();
    try {
      return await run();
    } finally {
      leave();
    }
  }

  /** Calls the handler, if it is its turn still. */
  async #attempt(task: Task, definition: DefinitionParts): Promise<Outcome | undefined> {
    const { mayBegin, environment, settleMs } = this.#setup;
    const view = this.#view(task.id);
    if (this.#stopped || view === undefined || !isCurrent(task, view)) return undefined;
    if (!task.undo && view.saga.state === 'compensating') {
      // The saga turned back before this attempt was begun. What former ones did is in the log.
      return { type: 'rejected', error: errorRecord({ message: 'the saga turned back' }, 'ERR_ABORTED') };
    }
    if (task.controller.signal.aborted || !mayBegin()) return undefined;
    const step = definition.steps[task.step]!;
    const endless = task.undo || definition.plan.isUnlimited(task.step);
    if (!endless && task.attempt > step.attempts) {
      const message = `${step.attempts} attempts of step ${step.id} ended without an answer`;
      return { type: 'broken', error: errorRecord({ message }, 'ERR_SAGA_ATTEMPTS') };
    }
    const handler = handlerOf(task, view, definition, step);
    const limits = { timeoutMs: step.timeout, settleMs };
    return callHandler(environment, step.id, handler, task.controller, limits);
  }

  /** Says it until it is in the log, or does not matter any more. */
  async #tell(task: Task, definition: DefinitionParts, outcome: Outcome): Promise<void> {
    const attempt = {
      id: task.id,
      epoch: task.epoch,
      step: task.step,
      undo: task.undo,
      attempt: task.attempt,
    };
    if (outcome.type === 'done') {
      await this.#say({ op: 'done', ...attempt, result: outcome.result });
      return;
    }
    const step = definition.steps[task.step]!;
    const endless = task.undo || definition.plan.isUnlimited(task.step);
    const again = outcome.type === 'failed' && (endless || task.attempt < step.attempts);
    const retryMs = again ? this.#backOff(step, task.attempt) : undefined;
    const rejected = outcome.type === 'rejected';
    await this.#say({ op: 'failed', ...attempt, error: outcome.error, rejected, retryMs });
  }

  /** Full jitter: Brooker, "Exponential Backoff and Jitter", 2015. */
  #backOff({ delay, maxDelay }: StepParts, attempt: number): number {
    const bound = Math.min(maxDelay, delay * 2 ** Math.min(attempt - 1, 31));
    return Math.floor(this.#setup.environment.random() * bound);
  }

  /** What it says counts once at most, whatever happens: the log takes it for the current attempt of the current owner only. */
  async #say(command: OperationOf<Pick<SagaCommands, 'done' | 'failed' | 'retry'>>): Promise<void> {
    for (;;) {
      try {
        await this.#setup.replica.submit(command);
        return;
      } catch (error) {
        if (!this.#isWorthAnotherTry(error)) return;
      }
      await this.#sleep(RESEND_MS);
      const view = this.#view(command.id);
      if (this.#stopped || view === undefined || !isAt(command, view)) return;
    }
  }

  async #expire(job: Job, id: string, epoch: number): Promise<void> {
    let early = RESEND_MS;
    try {
      const answer: { readonly verdict: Verdict; readonly early: number } = await this.#setup.replica.submit({
        op: 'expire',
        id,
        epoch,
      });
      early = answer.early;
    } catch (error) {
      if (!this.#isWorthAnotherTry(error)) return;
    }
    // The clock of the log is behind that of this node, or it did not get through.
    const key = `${DEADLINE}/${epoch}`;
    if (early === 0 || !job.timers.delete(key)) return;
    const view = this.#view(id);
    if (view !== undefined && timersOf(view).has(key))
      this.#wait(job, key, early, () => void this.#expire(job, id, epoch));
  }

  /** Whether a command that did not get through may do so later. */
  #isWorthAnotherTry(error: unknown): boolean {
    const isOver = this.#setup.replica.status().state !== 'running';
    const code = error instanceof QuorateError ? error.code : 'ERR_INTERNAL';
    if (isOver || ['ERR_CLOSED', 'ERR_REPLICA_FAILED', 'ERR_NOT_A_MEMBER'].includes(code)) return false;
    const passes = ['ERR_TIMEOUT', 'ERR_NOT_READY', 'ERR_OVERLOADED', 'ERR_STORAGE_FULL', 'ERR_OUTBOX_FULL'];
    if (!passes.includes(code) && !(error instanceof QuorateError && error.fate === 'ambiguous'))
      this.#setup.warning(error instanceof Error ? error : new Error(String(error)));
    return true;
  }

  #view(id: string): SagaView | undefined {
    try {
      return this.#setup.replica.peek({ op: 'get', id });
    } catch {
      return undefined; // the replica is closing
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#setup.environment.setTimer(ms, resolve));
  }

  /** The lease is over: what runs is told to stop, and nothing begins until it holds again. */
  interrupt(why: string): void {
    for (const { tasks } of this.#jobs.values()) for (const task of tasks.values()) abort(task, why);
  }

  /** Nothing begins any more, and no timer is left. */
  stop(): void {
    this.#stopped = true;
    for (const job of this.#jobs.values()) {
      for (const timer of job.timers.values()) timer.cancel();
      job.timers.clear();
    }
  }
}

function keyOf({ epoch, step, undo, attempt }: AttemptOf): string {
  return `${epoch}/${step}/${undo ? 'undo' : 'do'}/${attempt}`;
}

function abort(task: Task, why: string): void {
  task.controller.abort(new QuorateError('ERR_ABORTED', `the attempt was ended: ${why}`));
}

/** Whether the state is at this attempt, running or waiting after it. */
function isAt({ epoch, step, undo, attempt }: AttemptOf, { saga }: SagaView): boolean {
  const { state, attempts } = saga.steps[step]!;
  const states = undo ? ['undoing', 'undoWaiting'] : ['running', 'waiting'];
  return saga.epoch === epoch && saga.owner !== '' && attempts === attempt && states.includes(state);
}

function isCurrent(task: Task, view: SagaView): boolean {
  return isAt(task, view) && view.saga.steps[task.step]!.state === (task.undo ? 'undoing' : 'running');
}

/** What may be waited for. */
function timersOf({ saga }: SagaView): Set<string> {
  const keys = new Set<string>();
  if (saga.state === 'running' && saga.deadline !== 0) keys.add(`${DEADLINE}/${saga.epoch}`);
  for (const [step, { state, attempts, retryAt }] of saga.steps.entries())
    if (retryAt !== 0)
      keys.add(keyOf({ id: '', epoch: saga.epoch, step, undo: state === 'undoWaiting', attempt: attempts }));
  return keys;
}

/** The handler with its context. */
function handlerOf(task: Task, view: SagaView, { plan }: DefinitionParts, step: StepParts): () => unknown {
  const { saga } = view;
  const context = {
    saga: saga.id,
    step: step.id,
    input: decodeValue(saga.input),
    results: resultsOf(view, stepsBefore(task.step, plan)),
    key: `${saga.id}/${step.id}/${task.undo ? 'undo' : 'do'}`,
    token: saga.epoch,
    attempt: task.attempt,
    signal: task.controller.signal,
    reject: rejecting(),
  };
  if (!task.undo) return () => step.do(context);
  const { uncertain, result } = saga.steps[task.step]!;
  const undoing = {
    ...context,
    result: decodeValue(result),
    outcome: uncertain ? ('unknown' as const) : ('completed' as const),
    cause: causeOf(saga.cause!),
  };
  return () => step.undo!(undoing);
}

function stepsBefore(step: number, plan: { after(step: number): readonly number[] }): Set<number> {
  const before = new Set<number>();
  const visit = (one: number): void => {
    for (const other of plan.after(one)) {
      if (before.has(other)) continue;
      before.add(other);
      visit(other);
    }
  };
  visit(step);
  return before;
}
