/** The commands and queries of the state machine of sagas, and the checks of what they carry. @internal */
import { isName } from '../../errors.js';
import type { ApplyContext } from '../../replica/stateMachine.js';
import {
  MAX_DEFINITIONS,
  MAX_ERROR_DATA_BYTES,
  MAX_INPUT_BYTES,
  MAX_LEASE_MS,
  MAX_MESSAGE,
  MAX_RESULT_BYTES,
  MAX_RETENTION_MS,
  MAX_SPAN_MS,
  MIN_LEASE_MS,
} from './limits.js';
import type { ErrorRecord, RunnerRecord, SagaState, SagaView } from './record.js';
import { shapeProblem, type SagaShape } from './shape.js';

/** What an owner says of an attempt: it counts only if all of this is as the log has it. */
export interface AttemptOf {
  readonly id: string;
  readonly epoch: number;
  readonly step: number;
  readonly undo: boolean;
  readonly attempt: number;
}

/** Whether what an owner said counted. `fenced`: it is not the owner any more. `stale`: the log is past that attempt. */
export type Verdict = 'ok' | 'fenced' | 'stale';

/** What an operator decides about a stuck saga. */
export type Decision = 'retry' | 'skip' | 'compensate' | 'abandon';

/** The commands of `sagas()` and their results: for `openSagas`, not for apps. */
export type SagaCommands = {
  readonly start: {
    readonly input: {
      readonly id: string;
      readonly shape: SagaShape;
      readonly input: Uint8Array;
      /** Milliseconds until it turns back; 0 for never. */
      readonly timeout: number;
      readonly retention: number;
    };
    readonly result: { readonly created: boolean };
  };
  /** A member can run sagas of these definitions, from now on until its lease ends. */
  readonly enlist: {
    readonly input: {
      readonly runner: string;
      readonly leaseMs: number;
      readonly definitions: readonly string[];
    };
    readonly result: unknown;
  };
  /** It lives. `known` is false if it was forgotten meanwhile. */
  readonly beat: {
    readonly input: { readonly runner: string };
    readonly result: { readonly known: boolean };
  };
  readonly leave: { readonly input: { readonly runner: string }; readonly result: unknown };
  readonly done: {
    readonly input: AttemptOf & { readonly result?: Uint8Array | undefined };
    readonly result: { readonly verdict: Verdict };
  };
  readonly failed: {
    readonly input: AttemptOf & {
      readonly error: ErrorRecord;
      readonly rejected: boolean;
      /** In so many milliseconds it should be tried again; undefined: not at all. */
      readonly retryMs?: number | undefined;
    };
    readonly result: { readonly verdict: Verdict };
  };
  /** The time of a step that waits has come: `attempt` is the one that failed. */
  readonly retry: { readonly input: AttemptOf; readonly result: { readonly verdict: Verdict } };
  /** The saga's own time is over. `early`: it is not, for so many milliseconds. */
  readonly expire: {
    readonly input: { readonly id: string; readonly epoch: number };
    readonly result: { readonly verdict: Verdict; readonly early: number };
  };
  readonly cancel: {
    readonly input: { readonly id: string; readonly reason: string };
    readonly result: { readonly state: SagaState };
  };
  readonly resolve: {
    readonly input: {
      readonly id: string;
      readonly action: Decision;
      readonly step?: string | undefined;
      readonly result?: Uint8Array | undefined;
      readonly reason: string;
    };
    readonly result: { readonly state: SagaState };
  };
};

/** Which sagas are meant. */
export interface SagaFilter {
  readonly state?: SagaState | 'active' | undefined;
  readonly stuck?: boolean | undefined;
  readonly name?: string | undefined;
  /** Those that were started after the saga with this `index`. */
  readonly after?: number | undefined;
  readonly limit?: number | undefined;
}

/** The queries of `sagas()` and their answers: for `openSagas`, not for apps. */
export type SagaQueries = {
  readonly get: { readonly input: { readonly id: string }; readonly result: SagaView | undefined };
  readonly list: { readonly input: SagaFilter; readonly result: SagaView[] };
  /** The ids of what a runner owns. */
  readonly owned: { readonly input: { readonly runner: string }; readonly result: string[] };
  /** How many sagas have an owner, and at which index an owner last changed without a command about that saga. */
  readonly activity: {
    readonly input: unknown;
    readonly result: { readonly owned: number; readonly reassigned: number };
  };
  /** The shape that the group knows under a name and a version. */
  readonly shape: {
    readonly input: { readonly name: string; readonly version: number };
    readonly result: SagaShape | undefined;
  };
  readonly runners: { readonly input: unknown; readonly result: RunnerRecord[] };
};

export const commandNames = [
  'start',
  'enlist',
  'beat',
  'leave',
  'done',
  'failed',
  'retry',
  'expire',
  'cancel',
  'resolve',
] as const;
export const queryNames = ['get', 'list', 'owned', 'activity', 'shape', 'runners'] as const;

type Input<K extends keyof SagaCommands> = SagaCommands[K]['input'];
/** Throws, by rejecting the command. */
type Refuse = (what: string) => never;

/** Rejects what is not as it should be, in the same way on every member. */
export function checkCommand(op: (typeof commandNames)[number], c: unknown, context: ApplyContext): void {
  const refuse: Refuse = (what) => context.reject('INVALID', { op, what });
  switch (op) {
    case 'start':
      checkStart(c as Input<'start'>, refuse);
      return;
    case 'enlist':
      checkEnlist(c as Input<'enlist'>, refuse);
      return;
    case 'beat':
    case 'leave':
      checkRunner(c as Input<'beat'>, refuse);
      return;
    case 'done':
      checkAttempt(c as Input<'done'>, refuse);
      checkBytes('result', (c as Input<'done'>).result, MAX_RESULT_BYTES, refuse);
      return;
    case 'failed':
      checkAttempt(c as Input<'failed'>, refuse);
      checkFailed(c as Input<'failed'>, refuse);
      return;
    case 'retry':
      checkAttempt(c as Input<'retry'>, refuse);
      return;
    case 'expire':
      checkId(c as Input<'expire'>, refuse);
      checkInteger('epoch', (c as Input<'expire'>).epoch, 1, Number.MAX_SAFE_INTEGER, refuse);
      return;
    case 'cancel':
      checkId(c as Input<'cancel'>, refuse);
      checkReason(c as Input<'cancel'>, refuse);
      return;
    case 'resolve':
      checkResolve(c as Input<'resolve'>, refuse);
  }
}

function checkStart(c: Input<'start'>, refuse: Refuse): void {
  checkId(c, refuse);
  const problem = shapeProblem(c.shape);
  if (problem !== undefined) refuse(problem);
  if ((c as { input: unknown }).input === undefined) refuse('input must be bytes');
  checkBytes('input', c.input, MAX_INPUT_BYTES, refuse);
  checkInteger('timeout', c.timeout, 0, MAX_SPAN_MS, refuse);
  checkInteger('retention', c.retention, 0, MAX_RETENTION_MS, refuse);
}

function checkEnlist(c: Input<'enlist'>, refuse: Refuse): void {
  checkRunner(c, refuse);
  checkInteger('leaseMs', c.leaseMs, MIN_LEASE_MS, MAX_LEASE_MS, refuse);
  const { definitions } = c as { readonly definitions: unknown };
  const isPrint = (one: unknown): boolean => typeof one === 'string' && /^[0-9a-f]{32}$/.test(one);
  if (!Array.isArray(definitions) || definitions.length > MAX_DEFINITIONS || !definitions.every(isPrint))
    refuse(`definitions must be at most ${MAX_DEFINITIONS} fingerprints`);
}

function checkRunner(c: { readonly runner: unknown }, refuse: Refuse): void {
  if (!isName(c.runner)) refuse('runner must be a name');
}

function checkAttempt(c: AttemptOf, refuse: Refuse): void {
  checkId(c, refuse);
  checkInteger('epoch', c.epoch, 1, Number.MAX_SAFE_INTEGER, refuse);
  checkInteger('step', c.step, 0, 63, refuse);
  checkInteger('attempt', c.attempt, 1, Number.MAX_SAFE_INTEGER, refuse);
  if (typeof (c as { undo: unknown }).undo !== 'boolean') refuse('undo must be true or false');
}

function checkFailed(c: Input<'failed'>, refuse: Refuse): void {
  if (typeof (c as { rejected: unknown }).rejected !== 'boolean') refuse('rejected must be true or false');
  if (c.retryMs !== undefined) checkInteger('retryMs', c.retryMs, 0, MAX_SPAN_MS, refuse);
  const error = c.error as Partial<ErrorRecord> | null | undefined;
  const fits = (text: unknown): boolean => typeof text === 'string' && text.length <= MAX_MESSAGE;
  if (typeof error !== 'object' || error === null || !fits(error.code) || !fits(error.message))
    refuse('error must have a code and a message');
  checkBytes('error.data', error.data, MAX_ERROR_DATA_BYTES, refuse);
}

function checkResolve(c: Input<'resolve'>, refuse: Refuse): void {
  checkId(c, refuse);
  checkReason(c, refuse);
  const actions: readonly unknown[] = ['retry', 'skip', 'compensate', 'abandon'];
  if (!actions.includes(c.action)) refuse(`action must be one of ${actions.join(', ')}`);
  if (c.step !== undefined && typeof c.step !== 'string') refuse('step must be the id of a step');
  if (c.action === 'skip' && c.step === undefined) refuse('skip needs a step');
  checkBytes('result', c.result, MAX_RESULT_BYTES, refuse);
}

function checkId(c: { readonly id: unknown }, refuse: Refuse): void {
  if (!isName(c.id)) refuse('id must be 1 to 128 characters out of A-Z a-z 0-9 . _ : @ -');
}

function checkReason(c: { readonly reason: unknown }, refuse: Refuse): void {
  if (typeof c.reason !== 'string' || c.reason.length > MAX_MESSAGE)
    refuse(`reason must be a string of at most ${MAX_MESSAGE} characters`);
}

function checkInteger(name: string, value: unknown, min: number, max: number, refuse: Refuse): void {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max)
    refuse(`${name} must be an integer from ${min} to ${max}`);
}

function checkBytes(name: string, value: unknown, max: number, refuse: Refuse): void {
  if (value === undefined) return;
  if (!(value instanceof Uint8Array)) refuse(`${name} must be bytes`);
  if (value.length > max) refuse(`${name} has ${value.length} bytes, at most ${max} are allowed`);
}
