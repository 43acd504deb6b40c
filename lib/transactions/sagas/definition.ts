/** How an app says what a saga does: its steps, in a chain whose types know what each step has before it. */
import { checkNumber, configError } from '../../errors.js';
import { MAX_RETENTION_MS, MAX_SPAN_MS } from './limits.js';
import { fingerprintOf, isStepId, Plan, shapeProblem, type SagaShape, type StepShape } from './shape.js';
import type { SagaCause } from './sagasTypes.js';

/** What a step's handler is given. */
export interface SagaStepContext<Input = unknown, Results = unknown> {
  readonly saga: string;
  readonly step: string;
  readonly input: Input;
  /** What the steps that this one waits for have returned, directly or through others. */
  readonly results: Results;
  /**
   * The idempotency key: `saga/step/do` or `saga/step/undo`, the same in every attempt and on every member. Hand it to whatever
   * does the work, so that it does it once. At most 198 characters; fit for the `requestId` of a `submit`.
   */
  readonly key: string;
  /**
   * The fencing token: larger than that of any member that had this saga before. Hand it to whatever does the work, and let that
   * refuse tokens below the largest it has seen of this saga: a member that was paused may act when another has taken over.
   */
  readonly token: number;
  /** From 1. Attempts that a crash cut short count. */
  readonly attempt: number;
  /**
   * Fires when the outcome is not wanted any more: the step's time-out, a sibling that failed, `cancel`, the loss of the saga to
   * another member, `close`. What the handler returns within `settle` milliseconds after that still counts.
   */
  readonly signal: AbortSignal;
  /**
   * Ends the step: it did not happen, and trying again would not help. Throws. In a `do`, the saga turns back, or after its pivot is
   * stuck; in an `undo` it is stuck at once.
   */
  readonly reject: (code: string, data?: unknown) => never;
}

/** What a compensation is given. */
export interface SagaUndoContext<
  Input = unknown,
  Results = unknown,
  Result = unknown,
> extends SagaStepContext<Input, Results> {
  /** What the step returned; undefined if it is not known to have happened. */
  readonly result: Result | undefined;
  /** `unknown`: the step may never have happened, which must be no error here. */
  readonly outcome: 'completed' | 'unknown';
  /** Why the saga turned back. */
  readonly cause: SagaCause;
}

/** How often and when a step that failed is tried again. */
export interface SagaRetry {
  /**
   * The attempts in all, for a step that may still turn back. Compensations, the pivot once its outcome is unknown, and what comes
   * after it are tried without end. From 1 to 1000.
   *
   * @defaultValue 5
   */
  readonly attempts?: number;
  /**
   * The upper bound of the first delay in milliseconds; it doubles with each attempt, and the delay is chosen between 0 and the
   * bound ("full jitter"). From 1 to 2^31 - 1.
   *
   * @defaultValue 1000
   */
  readonly delay?: number;
  /**
   * The most that the bound grows to, in milliseconds. From 1 to 2^31 - 1.
   *
   * @defaultValue 60000
   */
  readonly maxDelay?: number;
}

/** A step of a saga. */
export interface SagaStep<Input, Results, Result, After extends readonly string[]> {
  /**
   * The steps that have to be completed before. Steps that do not wait for each other run at the same time.
   *
   * @defaultValue the step defined before this one
   */
  readonly after?: After;
  /**
   * The point of no return: once it is completed the saga only goes forward. Every other step must come before or after it.
   *
   * @defaultValue false
   */
  readonly pivot?: boolean;
  /** Milliseconds for each attempt, of `do` and of `undo`. From 1 to 2^31 - 1. @defaultValue 60000 */
  readonly timeout?: number;
  readonly retry?: SagaRetry;
  /**
   * Does the step; what it returns is kept in the log, at most 64 KiB when encoded. It may run more than once, on several members,
   * with the same `key`. What it throws is tried again.
   */
  readonly do: (context: SagaStepContext<Input, Results>) => Result;
  /**
   * Undoes it. Runs for a step that is completed, and for one that may have happened: it must take "never happened" for done, and
   * see to it that the step does not happen later.
   *
   * @defaultValue none: there is nothing to undo
   */
  readonly undo?: (context: SagaUndoContext<Input, Results, Awaited<Result>>) => unknown;
}

/** What the types know of the steps so far. */
export type SagaSteps = Record<string, { readonly result: unknown; readonly before: string }>;

/** What some steps and those before them have returned. */
export type ResultsOfSteps<Steps, Names> = {
  readonly [K in Extract<keyof Steps, Names | BeforeOf<Steps, Names>>]: Steps[K] extends {
    readonly result: infer R;
  }
    ? R
    : never;
};
type BeforeOf<Steps, Names> = Names extends keyof Steps
  ? Steps[Names] extends { readonly before: infer B }
    ? B
    : never
  : never;

/** What {@link defineSaga} takes. */
export interface SagaOptions {
  /** 1 to 128 characters out of `A-Z a-z 0-9 . _ : @ -`. */
  readonly name: string;
  /** Raise it whenever the steps change: their ids, their order, which can be undone, the pivot. From 1 to 2^31 - 1. */
  readonly version: number;
  /**
   * Milliseconds after the start at which the saga turns back, unless its pivot was begun. From 1 to 2^31 - 1.
   *
   * @defaultValue none
   */
  readonly timeout?: number;
  /**
   * For how many milliseconds of the log's time an ended saga is remembered: results can be read, and starting it again does
   * nothing. From 0 to 31536000000 (a year).
   *
   * @defaultValue 86400000 (a day)
   */
  readonly retention?: number;
}

/** A step as the runner needs it. @internal */
export interface StepParts {
  readonly id: string;
  readonly timeout: number;
  readonly attempts: number;
  readonly delay: number;
  readonly maxDelay: number;
  readonly do: (context: SagaStepContext) => unknown;
  readonly undo: ((context: SagaUndoContext) => unknown) | undefined;
}

/** A definition as the runner needs it. @internal */
export interface DefinitionParts {
  readonly shape: SagaShape;
  readonly plan: Plan;
  readonly fingerprint: string;
  readonly steps: readonly StepParts[];
  readonly timeout: number;
  readonly retention: number;
}

interface Checked {
  readonly name: string;
  readonly version: number;
  readonly timeout: number;
  readonly retention: number;
}

type LooseStep = SagaStep<unknown, unknown, unknown, readonly string[]>;

/**
 * A saga, as an app defines it. Made by {@link defineSaga}; never changes: `step` gives another one.
 *
 * @typeParam Input - what the saga is started with
 * @typeParam Steps - what each step returns, and what comes before it
 */
export class SagaDefinition<Input = unknown, Steps extends object = SagaSteps, Last extends string = string> {
  /** For the compiler only. */
  declare readonly types?: { input: Input; results: ResultsOfSteps<Steps, keyof Steps>; last: Last };
  readonly #options: Checked;
  readonly #shapes: readonly StepShape[];
  readonly #steps: readonly StepParts[];
  #parts: DefinitionParts | undefined;

  /** @internal */
  constructor(options: Checked, shapes: readonly StepShape[], steps: readonly StepParts[]) {
    this.#options = options;
    this.#shapes = shapes;
    this.#steps = steps;
  }

  get name(): string {
    return this.#options.name;
  }

  get version(): number {
    return this.#options.version;
  }

  /**
   * The same saga with one more step.
   *
   * @throws QuorateError `ERR_CONFIG`.
   */
  step<
    const Id extends string,
    Result,
    const After extends readonly (keyof Steps & string)[] = readonly (Last & keyof Steps & string)[],
  >(
    id: Id,
    step: SagaStep<Input, ResultsOfSteps<Steps, After[number]>, Result, After>,
  ): SagaDefinition<
    Input,
    Steps &
      Record<
        Id,
        { readonly result: Awaited<Result>; readonly before: After[number] | BeforeOf<Steps, After[number]> }
      >,
    Id
  > {
    const at = `step ${JSON.stringify(id)}`;
    if (!isStepId(id))
      throw configError('id', id, 'a string of 1 to 64 characters out of A-Z a-z 0-9 . _ : @ -');
    if (typeof step !== 'object' || (step as unknown) === null) throw configError(at, step, 'an object');
    const loose = step as unknown as LooseStep;
    const { pivot = false, undo } = loose;
    if (typeof loose.do !== 'function') throw configError(`do of ${at}`, loose.do, 'a function');
    if (undo !== undefined && typeof undo !== 'function')
      throw configError(`undo of ${at}`, undo, 'a function');
    if (typeof pivot !== 'boolean') throw configError(`pivot of ${at}`, pivot, 'true or false');
    const shape = { id, after: this.#places(at, loose.after), undo: undo !== undefined, pivot };
    const steps = [...this.#shapes, shape];
    const { name, version } = this.#options;
    const problem = shapeProblem({ name, version, steps: pivotLess(steps) });
    if (problem !== undefined) throw configError(at, id, `such that the saga makes sense: ${problem}`);
    return new SagaDefinition(this.#options, steps, [...this.#steps, partsOf(at, id, loose)]);
  }

  /** Names to places. */
  #places(at: string, after: unknown): number[] {
    const size = this.#shapes.length;
    if (after === undefined) return size === 0 ? [] : [size - 1];
    if (!Array.isArray(after))
      throw configError(`after of ${at}`, after, 'a list of the ids of earlier steps');
    const places = after.map((name: unknown) => {
      const place = this.#shapes.findIndex((other) => other.id === name);
      if (place < 0) throw configError(`after of ${at}`, name, 'the id of a step that is defined before it');
      return place;
    });
    return [...new Set(places)].sort((a, b) => a - b);
  }

  /** The whole, checked: a pivot needs to know all steps. Throws ERR_CONFIG. @internal */
  get parts(): DefinitionParts {
    if (this.#parts !== undefined) return this.#parts;
    const { name, version, timeout, retention } = this.#options;
    const shape = { name, version, steps: this.#shapes };
    const problem = shapeProblem(shape);
    if (problem !== undefined) throw configError('definition', name, `a saga that makes sense: ${problem}`);
    const fingerprint = fingerprintOf(shape);
    const plan = new Plan(shape);
    return (this.#parts = { shape, plan, fingerprint, steps: this.#steps, timeout, retention });
  }
}

/** Steps whose pivot cannot be judged yet. */
function pivotLess(steps: readonly StepShape[]): StepShape[] {
  return steps.map((step) => ({ ...step, pivot: false }));
}

function partsOf(at: string, id: string, step: LooseStep): StepParts {
  const { timeout = 60_000, retry = {} } = step;
  if (typeof retry !== 'object' || (retry as unknown) === null)
    throw configError(`retry of ${at}`, retry, 'an object');
  const { attempts = 5, delay = 1000, maxDelay = 60_000 } = retry;
  return {
    id,
    timeout: checkNumber(`timeout of ${at}`, timeout, 1, MAX_SPAN_MS),
    attempts: checkNumber(`retry.attempts of ${at}`, attempts, 1, 1000),
    delay: checkNumber(`retry.delay of ${at}`, delay, 1, MAX_SPAN_MS),
    maxDelay: checkNumber(`retry.maxDelay of ${at}`, maxDelay, 1, MAX_SPAN_MS),
    do: step.do,
    undo: step.undo,
  };
}

/**
 * Begins the definition of a saga; its steps follow with `step`. A saga is a row of steps, each of which can be undone by its
 * compensation (Garcia-Molina, Salem: "Sagas", 1987): if one fails, those that were done are undone, in the reverse of their order.
 *
 * @typeParam Input - what the saga is started with: a value that the codec {@link cbor} carries
 * @throws QuorateError `ERR_CONFIG`.
 *
 * @example
 * ```ts
 * const order = defineSaga<{ card: string; item: string }>({ name: 'order', version: 1 })
 *   .step('pay', {
 *     do: ({ input, key }) => bank.charge(input.card, key), // Promise<{ receipt: string }>
 *     undo: ({ key }) => bank.refund(key),
 *   })
 *   .step('ship', { pivot: true, do: ({ input, results, key }) => post.send(input.item, results.pay.receipt, key) });
 * ```
 */
export function defineSaga<Input = unknown>(options: SagaOptions): SagaDefinition<Input, object, never> {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw configError('options', options, 'an object with name and version');
  const { name, version, timeout, retention = 86_400_000 } = options;
  const probe = [{ id: 'probe', after: [], undo: false, pivot: false }];
  const problem = shapeProblem({ name, version, steps: probe });
  if (problem !== undefined)
    throw configError('options', `${name} ${version}`, `a name and a version: ${problem}`);
  return new SagaDefinition(
    {
      name,
      version,
      timeout: timeout === undefined ? 0 : checkNumber('timeout', timeout, 1, MAX_SPAN_MS),
      retention: checkNumber('retention', retention, 0, MAX_RETENTION_MS),
    },
    [],
    [],
  );
}

/** What a saga of this definition is started with. */
export type SagaInput<D> = D extends { readonly types?: { input: infer I } } ? I : unknown;
/** What the steps of a saga of this definition return, by their ids. */
export type SagaResults<D> = D extends { readonly types?: { results: infer R } }
  ? R
  : Record<string, unknown>;
/** A definition of any saga. */
export type AnySaga = {
  readonly name: string;
  readonly version: number;
  /** @internal */
  readonly parts: DefinitionParts;
};
