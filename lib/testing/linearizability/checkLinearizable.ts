/** Is a history linearizable? (Herlihy and Wing, "Linearizability: a correctness condition", 1990) */
import { nodeEnvironment } from '../../environment.js';
import { checkNumber, configError } from '../../errors.js';
import { chart } from './chart.js';
import type { LinearizabilityOptions, Model, Operation, Verdict } from './model.js';
import { Search, type SearchResult } from './search.js';
import { States } from './states.js';

const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_MEMORY_LIMIT = 512 * 2 ** 20;
const MAX_MEMORY_LIMIT = 2 * 2 ** 30;

/** What {@link analyzeLinearizability} finds. */
export interface LinearizabilityAnalysis<State = unknown, Input = unknown, Output = unknown> {
  /** As {@link checkLinearizable} gives it. */
  readonly verdict: Verdict;
  /** Why the verdict is `unknown`. */
  readonly reason?: 'timeout' | 'memory';
  /** What is wrong, to be read: a chart of the operations around the failure. One line if the verdict is `ok`. */
  readonly text: string;
  /** The part of the history that the rest is about; absent if the verdict is `ok`. */
  readonly failure?: LinearizabilityFailure<State, Input, Output>;
}

/** Where the search for an order got no further. */
export interface LinearizabilityFailure<State = unknown, Input = unknown, Output = unknown> {
  /** The operations of the part of the history that is not linearizable (or could not be decided). */
  readonly partition: readonly Operation<Input, Output>[];
  /** As many of them as can be put in an order that the model accepts, in that order. */
  readonly linearized: readonly Operation<Input, Output>[];
  /** The state after these. */
  readonly state: State;
  /** The operations one of which has to come next. If the verdict is `illegal` the model refuses them all. */
  readonly stuck: readonly Operation<Input, Output>[];
}

/**
 * Says whether a history of concurrent operations could have come about by doing them one at a time, each at some
 * moment between its call and its return.
 *
 * Operations of unknown outcome (`return: Infinity`) may take effect at any moment after their call, or never. Takes
 * the more time the more operations are concurrent or of unknown outcome, hardly the longer the history is; partition
 * it where you can. Synchronous: the time-out is kept by looking at the clock between calls of `model.step`.
 *
 * The algorithm is that of Wing and Gong (1993) with Lowe's memory of configurations (2017) and partitions (Horn and
 * Kroening 2015), as in Porcupine, with further rules for unknown outcomes.
 *
 * @throws `QuorateError` `ERR_CONFIG` for a malformed model, history or option, naming the value.
 *
 * @example
 * ```ts
 * const history = [
 *   { process: 'a', call: 0, return: 10, input: { op: 'write', value: 1 }, output: undefined },
 *   { process: 'b', call: 5, return: 15, input: { op: 'read' }, output: 1 },
 * ];
 * checkLinearizable(registerModel(), history); // 'ok'
 * ```
 */
export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  options: LinearizabilityOptions = {},
): Verdict {
  return analyze(model, history, options, false).verdict;
}

/**
 * {@link checkLinearizable} that also says where it failed: the longest order found, what could not be placed after
 * it, and a chart to read. Same arguments, same errors.
 *
 * @example
 * ```ts
 * const { verdict, text } = analyzeLinearizability(keyValueModel(), history);
 * if (verdict !== 'ok') throw new Error(text);
 * ```
 */
export function analyzeLinearizability<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  options: LinearizabilityOptions = {},
): LinearizabilityAnalysis<State, Input, Output> {
  return analyze(model, history, options, true);
}

function analyze<S, I, O>(
  model: Model<S, I, O>,
  history: readonly Operation<I, O>[],
  options: LinearizabilityOptions,
  withText: boolean,
): LinearizabilityAnalysis<S, I, O> {
  checkModel(model);
  checkHistory('history', history);
  if ((options as unknown) === null || typeof options !== 'object') {
    throw configError('options', options, 'an object');
  }
  const timeoutMs = checkNumber('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS, 0, Infinity, false);
  const memoryLimit = checkNumber(
    'memoryLimit',
    options.memoryLimit ?? DEFAULT_MEMORY_LIMIT,
    2 ** 20,
    MAX_MEMORY_LIMIT,
  );
  const deadline = nodeEnvironment.now() + timeoutMs;

  const parts = partsOf(model, history);
  let undecided: LinearizabilityAnalysis<S, I, O> | undefined;
  for (const [i, part] of parts.entries()) {
    // Each part may use an equal share of the time left, so that a hard one does not hide that another is illegal.
    const now = nodeEnvironment.now();
    const share = timeoutMs === Infinity ? Infinity : now + (deadline - now) / (parts.length - i);
    const { result, search } = searchPart(model, part, share, memoryLimit);
    if (result === 'found') continue;
    const verdict = result === 'exhausted' ? 'illegal' : 'unknown';
    const reason = result === 'exhausted' ? {} : { reason: result };
    const failure = { partition: part, linearized: search.order, state: search.state, stuck: search.stuck };
    const text = withText ? chart(model, verdict, failure, reason.reason) : '';
    if (verdict === 'illegal') return { verdict, text, failure };
    undecided ??= { verdict, ...reason, text, failure };
  }
  return undecided ?? { verdict: 'ok', text: `ok: ${history.length} operations are linearizable` };
}

function searchPart<S, I, O>(
  model: Model<S, I, O>,
  part: readonly Operation<I, O>[],
  deadline: number,
  memoryLimit: number,
): { result: Exclude<SearchResult, 'reordered'>; search: Search<S, I, O> } {
  for (let ordered = false; ; ordered = true) {
    const search = new Search(new States(model, part, ordered), part, memoryLimit);
    const result = search.run(deadline);
    if (result !== 'reordered') return { result, search };
  }
}

/** The easy parts first: those with few unknown outcomes, then the short ones. */
function partsOf<S, I, O>(
  model: Model<S, I, O>,
  history: readonly Operation<I, O>[],
): readonly (readonly Operation<I, O>[])[] {
  const given: unknown = model.partition === undefined ? [history] : model.partition(history);
  if (!Array.isArray(given)) throw configError('model.partition(history)', given, 'an array of histories');
  const parts = (given as (readonly Operation<I, O>[])[]).map((part, i) => {
    if (model.partition !== undefined) checkHistory(`model.partition(history)[${i}]`, part);
    return [...part].sort(byCall);
  });
  return parts.sort((a, b) => unknowns(a) - unknowns(b) || a.length - b.length);
}

/** Unknown outcomes last, otherwise by call, then by return. */
function byCall(a: Operation, b: Operation): number {
  const unknown = Number(a.return === Infinity) - Number(b.return === Infinity);
  if (unknown !== 0) return unknown;
  if (a.call !== b.call) return a.call - b.call;
  return a.return === b.return ? 0 : a.return - b.return;
}

function unknowns(part: readonly Operation[]): number {
  return part.reduce((count, operation) => count + Number(operation.return === Infinity), 0);
}

function checkModel(model: unknown): void {
  if (typeof model !== 'object' || model === null) throw configError('model', model, 'an object');
  const methods = model as Record<string, unknown>;
  for (const name of ['init', 'step', 'partition', 'key', 'describe']) {
    const method = methods[name];
    const optional = name !== 'init' && name !== 'step';
    if (typeof method === 'function' || (optional && method === undefined)) continue;
    throw configError(`model.${name}`, method, 'a function');
  }
}

function checkHistory(name: string, history: unknown): void {
  if (!Array.isArray(history)) throw configError(name, history, 'an array of operations');
  for (const [i, operation] of (history as unknown[]).entries()) {
    if (typeof operation !== 'object' || operation === null) {
      throw configError(`${name}[${i}]`, operation, 'an operation { process, call, return, input, output }');
    }
    const { call, return: end } = operation as Partial<Operation>;
    if (typeof call !== 'number' || !Number.isFinite(call)) {
      throw configError(`${name}[${i}].call`, call, 'a finite number');
    }
    if (typeof end !== 'number' || !(end >= call)) {
      throw configError(`${name}[${i}].return`, end, `a number from ${call} (its call) to Infinity`);
    }
  }
}
