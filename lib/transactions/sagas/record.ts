/** What the replicated state holds of sagas: plain data that is never changed in place, so that a snapshot may share it. @internal */
import type { SagaShape } from './shape.js';

/**
 * Where a saga stands. `running`: steps are done. `compensating`: what was done is undone. The others are ends: all steps were
 * done; what had been done was undone; an operator gave it up.
 */
export type SagaState = 'running' | 'compensating' | 'completed' | 'compensated' | 'abandoned';
/** All of them. @internal */
export const sagaStates: readonly SagaState[] = [
  'running',
  'compensating',
  'completed',
  'compensated',
  'abandoned',
];

/**
 * Where a step stands. `pending`: never begun. `running`, `undoing`: its handler may be at work. `waiting`, `undoWaiting`: it
 * failed, and will be tried again. `failed`: it said that it did not happen. `unknown`: it may have happened, and is not tried any
 * more. `completed` and `undone` are what they say.
 */
export type SagaStepState =
  | 'pending'
  | 'running'
  | 'waiting'
  | 'completed'
  | 'failed'
  | 'unknown'
  | 'undoing'
  | 'undoWaiting'
  | 'undone';
/** All of them. @internal */
export const stepStates: readonly SagaStepState[] = [
  'pending',
  'running',
  'waiting',
  'completed',
  'failed',
  'unknown',
  'undoing',
  'undoWaiting',
  'undone',
];

/** Why something failed, in a form that the log can carry. */
export interface ErrorRecord {
  readonly code: string;
  readonly message: string;
  /** Encoded. */
  readonly data: Uint8Array | undefined;
}

export interface StepRecord {
  readonly state: SagaStepState;
  /** Of the handler that it is at now, `do` or `undo`: how many attempts were begun. */
  readonly attempts: number;
  /** With more failed attempts than this it is stuck, where it is tried without end. */
  readonly patience: number;
  /** An attempt ended without an answer: it may have happened. */
  readonly uncertain: boolean;
  /** An operator should look at it. */
  readonly stuck: boolean;
  /** When it is tried again, by the clock of the log; 0: not without an operator, or it does not wait. */
  readonly retryAt: number;
  /** Encoded; undefined also for a handler that returned nothing. */
  readonly result: Uint8Array | undefined;
  /** Of the last attempt that failed. */
  readonly error: ErrorRecord | undefined;
}

/** Why a saga turned back. */
export interface CauseRecord {
  readonly kind: 'step' | 'cancelled' | 'timeout' | 'resolved';
  /** The step that failed; for `cancelled` and `resolved`, what was given as the reason is in `error`. */
  readonly step: string | undefined;
  readonly error: ErrorRecord | undefined;
}

export interface SagaRecord {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  /** The fingerprint of its definition. */
  readonly definition: string;
  /** Encoded. */
  readonly input: Uint8Array;
  readonly state: SagaState;
  /** The index in the log at which it was started: sagas are listed in this order. */
  readonly index: number;
  readonly started: number;
  /** When it turns back unless it is past its pivot; 0 for never. */
  readonly deadline: number;
  /** For how long it is remembered after its end. */
  readonly retention: number;
  /** The runner that owns it, or ''. */
  readonly owner: string;
  /** The index in the log at which it got this owner, its fencing token; 0 before the first. */
  readonly epoch: number;
  readonly cause: CauseRecord | undefined;
  readonly ended: number;
  readonly steps: readonly StepRecord[];
}

/** A member that runs sagas. */
export interface RunnerRecord {
  /** Names one life of a runner. */
  readonly id: string;
  readonly node: string;
  readonly leaseMs: number;
  readonly expires: number;
  /** The fingerprints of what it can run. Sorted. */
  readonly definitions: readonly string[];
}

/** A saga with what is needed to make sense of it. */
export interface SagaView {
  readonly saga: SagaRecord;
  readonly shape: SagaShape;
  /** Where its owner is; undefined if it has none. */
  readonly node: string | undefined;
  /** The time of the last command, by the clock of the log. */
  readonly now: number;
}

export function hasEnded(state: SagaState): boolean {
  return state !== 'running' && state !== 'compensating';
}

export function isStuck(saga: SagaRecord): boolean {
  return saga.steps.some(({ stuck }) => stuck);
}
