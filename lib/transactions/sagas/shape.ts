/** What the log knows of a saga's definition: the steps and their order, without the functions. @internal */
import { createHash } from 'node:crypto';
import { isName } from '../../errors.js';
import { MAX_STEPS } from './limits.js';

/** A step, as the log knows it. */
export interface StepShape {
  readonly id: string;
  /** The steps that it waits for, by their place in the list: all of them come before it. Ascending. */
  readonly after: readonly number[];
  /** Whether it has a compensation. */
  readonly undo: boolean;
  readonly pivot: boolean;
}

/** A definition, as the log knows it. */
export interface SagaShape {
  readonly name: string;
  readonly version: number;
  readonly steps: readonly StepShape[];
}

/** Two definitions with the same fingerprint have the same steps in the same order. */
export function fingerprintOf({ name, version, steps }: SagaShape): string {
  const plain = [
    name,
    version,
    steps.map(({ id, after, undo, pivot }) => [id, [...after], undo, pivot] as const),
  ];
  return createHash('sha256').update(JSON.stringify(plain), 'utf8').digest('hex').slice(0, 32);
}

/** What is wrong with a shape, which may come from anywhere; undefined if nothing is. */
export function shapeProblem(shape: unknown): string | undefined {
  if (typeof shape !== 'object' || shape === null) return 'a definition must be an object';
  const { name, version, steps } = shape as Partial<Record<keyof SagaShape, unknown>>;
  if (!isName(name)) return 'name must be 1 to 128 characters out of A-Z a-z 0-9 . _ : @ -';
  if (!Number.isInteger(version) || (version as number) < 1 || (version as number) > 2 ** 31 - 1)
    return 'version must be an integer from 1 to 2147483647';
  if (!Array.isArray(steps) || steps.length === 0 || steps.length > MAX_STEPS)
    return `there must be 1 to ${MAX_STEPS} steps, got ${Array.isArray(steps) ? steps.length : typeof steps}`;
  const ids = new Set<string>();
  for (const [at, step] of (steps as unknown[]).entries()) {
    const problem = stepProblem(step, at);
    if (problem !== undefined) return problem;
    const { id } = step as StepShape;
    if (ids.has(id)) return `there are two steps ${JSON.stringify(id)}`;
    ids.add(id);
  }
  return pivotProblem(steps as StepShape[]);
}

function stepProblem(step: unknown, at: number): string | undefined {
  if (typeof step !== 'object' || step === null) return `step ${at} must be an object`;
  const { id, after, undo, pivot } = step as Partial<Record<keyof StepShape, unknown>>;
  if (!isStepId(id)) return `the id of step ${at} must be 1 to 64 characters out of A-Z a-z 0-9 . _ : @ -`;
  if (typeof undo !== 'boolean' || typeof pivot !== 'boolean')
    return `undo and pivot of step ${JSON.stringify(id)} must be true or false`;
  const isBefore = (one: unknown, i: number): boolean =>
    Number.isInteger(one) &&
    (one as number) < at &&
    (one as number) > (i === 0 ? -1 : ((after as number[])[i - 1] ?? NaN));
  if (!Array.isArray(after) || !after.every(isBefore))
    return `step ${JSON.stringify(id)} must come after steps that are defined before it, each named once`;
  return undefined;
}

/** Whether a value can name a step: what names it elsewhere (`results`, keys) must be able to hold it. */
export function isStepId(id: unknown): id is string {
  return isName(id) && id.length <= 64 && id !== '__proto__';
}

/** A pivot is the point of no return for the whole saga, so every other step has to be before or after it. */
function pivotProblem(steps: readonly StepShape[]): string | undefined {
  const pivots = steps.filter(({ pivot }) => pivot);
  if (pivots.length === 0) return undefined;
  if (pivots.length > 1) return `there may be one pivot, got ${pivots.map(({ id }) => id).join(', ')}`;
  const plan = new Plan({ name: '', version: 1, steps });
  for (const [i, { id, undo }] of steps.entries()) {
    if (i === plan.pivot && undo) return `the pivot ${JSON.stringify(id)} must have no undo`;
    if (plan.isPastPivot(i) && undo)
      return `step ${JSON.stringify(id)} comes after the pivot and must have no undo: it is never compensated`;
    if (i !== plan.pivot && !plan.isPastPivot(i) && !plan.isBeforePivot(i))
      return `step ${JSON.stringify(id)} must be before or after the pivot, it may not run beside it`;
  }
  return undefined;
}

/** The graph of a definition's steps. */
export class Plan {
  readonly shape: SagaShape;
  /** The place of the pivot, or -1. */
  readonly pivot: number;
  readonly #dependents: readonly (readonly number[])[];
  readonly #past: readonly boolean[];
  readonly #before: readonly boolean[];

  constructor(shape: SagaShape) {
    this.shape = shape;
    const { steps } = shape;
    this.pivot = steps.findIndex(({ pivot }) => pivot);
    const dependents = steps.map((): number[] => []);
    for (const [i, { after }] of steps.entries()) for (const one of after) dependents[one]!.push(i);
    this.#dependents = dependents;
    const past = steps.map(() => false);
    for (const [i, { after }] of steps.entries())
      past[i] = after.some((one) => one === this.pivot || past[one]!);
    this.#past = past;
    const before = steps.map(() => false);
    for (let i = steps.length - 1; i >= 0; i--)
      before[i] = dependents[i]!.some((one) => one === this.pivot || before[one]!);
    this.#before = before;
  }

  get size(): number {
    return this.shape.steps.length;
  }

  after(step: number): readonly number[] {
    return this.shape.steps[step]!.after;
  }

  /** The steps that wait for this one. */
  dependents(step: number): readonly number[] {
    return this.#dependents[step]!;
  }

  hasUndo(step: number): boolean {
    return this.shape.steps[step]!.undo;
  }

  isPastPivot(step: number): boolean {
    return this.#past[step]!;
  }

  isBeforePivot(step: number): boolean {
    return this.#before[step]!;
  }

  /** Whether a step that fails without saying that it did not happen has to be tried until it does. */
  isUnlimited(step: number): boolean {
    return step === this.pivot || this.isPastPivot(step);
  }
}
