/**
 * What may follow what: the life of one saga, as pure functions on a draft of its record. Sagas: Garcia-Molina, Salem, "Sagas",
 * SIGMOD 1987; pivots: Mehrotra et al., "A transaction model for multidatabase systems", ICDCS 1992. @internal
 */
import { STUCK_AFTER } from './limits.js';
import type { CauseRecord, ErrorRecord, SagaRecord, StepRecord } from './record.js';
import type { Plan } from './shape.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type StepDraft = Mutable<StepRecord>;
export type SagaDraft = Omit<Mutable<SagaRecord>, 'steps'> & { steps: StepDraft[] };

export function draftOf(saga: SagaRecord): SagaDraft {
  return { ...saga, steps: saga.steps.map((step) => ({ ...step })) };
}

export function freshStep(): StepDraft {
  return {
    state: 'pending',
    attempts: 0,
    patience: STUCK_AFTER,
    uncertain: false,
    stuck: false,
    retryAt: 0,
    result: undefined,
    error: undefined,
  };
}

/** Begins whatever may begin now, forward or back, and ends the saga if nothing is left to do. */
export function advance(saga: SagaDraft, plan: Plan, time: number): void {
  if (saga.state === 'running') goForward(saga, plan, time);
  if (saga.state === 'compensating') goBack(saga, plan, time);
}

function goForward(saga: SagaDraft, plan: Plan, time: number): void {
  const { steps } = saga;
  for (const [i, step] of steps.entries()) {
    if (step.state !== 'pending') continue;
    if (plan.after(i).every((before) => steps[before]!.state === 'completed')) begin(step, 'running');
  }
  if (steps.every(({ state }) => state === 'completed')) end(saga, 'completed', time);
}

/** Nothing is undone while a sibling may still be doing; then in the reverse order of the dependencies. */
function goBack(saga: SagaDraft, plan: Plan, time: number): void {
  const { steps } = saga;
  if (steps.some(({ state }) => state === 'running')) return;
  const behind: boolean[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const step = steps[i]!;
    if (!plan.dependents(i).every((one) => behind[one])) {
      behind[i] = false;
      continue;
    }
    const mayHaveHappened = step.state === 'completed' || step.state === 'unknown';
    if (mayHaveHappened && plan.hasUndo(i)) begin(step, 'undoing');
    behind[i] = step.state !== 'undoing' && step.state !== 'undoWaiting';
  }
  if (behind.every(Boolean)) end(saga, 'compensated', time);
}

/** The first attempt of a direction. */
function begin(step: StepDraft, state: 'running' | 'undoing'): void {
  // Whether it happened for sure is what its compensation wants to know.
  if (state === 'undoing') step.uncertain = step.state === 'unknown';
  step.state = state;
  step.attempts = 1;
  step.patience = STUCK_AFTER;
  step.stuck = false;
  step.retryAt = 0;
}

export function end(saga: SagaDraft, state: 'completed' | 'compensated' | 'abandoned', time: number): void {
  saga.state = state;
  saga.ended = time;
  saga.owner = '';
}

/** From now on what was done is undone. Steps that run are waited for. */
export function turnBack(saga: SagaDraft, cause: CauseRecord): void {
  saga.state = 'compensating';
  saga.cause = cause;
  for (const step of saga.steps) {
    if (step.state === 'waiting') step.state = step.uncertain ? 'unknown' : 'failed';
    step.stuck = false;
    step.retryAt = 0;
  }
}

/** Whether the saga may still turn back: its pivot was not begun, or is known not to have happened. */
export function mayTurnBack(saga: SagaRecord | SagaDraft, plan: Plan): boolean {
  const pivot = saga.steps[plan.pivot];
  return pivot === undefined || pivot.state === 'pending' || pivot.state === 'failed';
}

/** The attempt that is under way did what it should. */
export function settleDone(step: StepDraft, result: Uint8Array | undefined): void {
  if (step.state === 'undoing') {
    step.state = 'undone';
  } else {
    step.state = 'completed';
    step.result = result;
    step.uncertain = false;
  }
  step.stuck = false;
}

/** How an attempt failed. */
export interface Failure {
  readonly error: ErrorRecord;
  /** The handler says that it did not happen, and never will. */
  readonly rejected: boolean;
  /** When to try again; undefined: not at all. */
  readonly retryAt: number | undefined;
}

/** The attempt that is under way failed. */
export function settleFailed(saga: SagaDraft, plan: Plan, i: number, failure: Failure): void {
  const step = saga.steps[i]!;
  const { error, rejected, retryAt } = failure;
  step.error = error;
  if (step.state === 'undoing') {
    wait(step, 'undoWaiting', rejected ? undefined : retryAt, true);
    return;
  }
  if (!rejected) step.uncertain = true;
  if (saga.state === 'compensating') {
    step.state = step.uncertain ? 'unknown' : 'failed';
    return;
  }
  const givesUp = rejected || retryAt === undefined;
  if (i === plan.pivot ? !rejected : plan.isPastPivot(i)) {
    wait(step, 'waiting', givesUp ? undefined : retryAt, true);
    return;
  }
  if (!givesUp) {
    wait(step, 'waiting', retryAt, false);
    return;
  }
  // A pivot cannot be undone: its own word that it did not happen has to do.
  step.state = step.uncertain && i !== plan.pivot ? 'unknown' : 'failed';
  turnBack(saga, { kind: 'step', step: plan.shape.steps[i]!.id, error });
}

/** Without a time it waits for an operator. */
function wait(
  step: StepDraft,
  state: 'waiting' | 'undoWaiting',
  retryAt: number | undefined,
  endless: boolean,
): void {
  step.state = state;
  step.retryAt = retryAt ?? 0;
  step.stuck = retryAt === undefined || (endless && step.attempts >= step.patience);
}

/** The next attempt of a step that waits. */
export function tryAgain(step: StepDraft): void {
  step.state = step.state === 'undoWaiting' ? 'undoing' : 'running';
  step.attempts++;
  step.retryAt = 0;
}

/**
 * The owner is gone. What it was at may have happened or not, and may happen yet: it will be tried again with the same key, or
 * undone whether it happened or not.
 */
export function orphan(saga: SagaDraft, plan: Plan, time: number): void {
  saga.owner = '';
  for (const [i, step] of saga.steps.entries()) {
    if (step.state !== 'running' && step.state !== 'undoing') continue;
    const endless = step.state === 'undoing' || plan.isUnlimited(i);
    if (endless && step.attempts >= step.patience) step.stuck = true;
    if (step.state === 'running') step.uncertain = true;
    if (step.state === 'running' && saga.state === 'compensating') step.state = 'unknown';
    else step.attempts++;
  }
  advance(saga, plan, time);
}
