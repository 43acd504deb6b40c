/** The explanation of a failed check, to be read. */
import { inspect } from 'node:util';
import type { LinearizabilityFailure } from './checkLinearizable.js';
import type { Model, Operation, Verdict } from './model.js';

const WIDTH = 48;
const MAX_ROWS = 24;
/** Operations shown that were put in order last. */
const BEFORE = 8;

/**
 * A line a operation around the failure, in the order of their calls; time runs to the right, an equal step for each
 * moment at which something was called or returned. @internal
 */
export function chart<S, I, O>(
  model: Model<S, I, O>,
  verdict: Verdict,
  failure: LinearizabilityFailure<S, I, O>,
  reason?: 'timeout' | 'memory',
): string {
  const { partition, linearized, state, stuck } = failure;
  const shown = [...new Set([...linearized.slice(-BEFORE), ...stuck])].slice(0, MAX_ROWS);
  shown.sort((a, b) => a.call - b.call);
  const places = new Map(linearized.map((operation, i) => [operation, i + 1]));
  const moments = [...new Set(shown.flatMap((o) => [o.call, o.return]))].sort((a, b) => (a < b ? -1 : 1));
  const column = (time: number) =>
    Math.round((moments.indexOf(time) * (WIDTH - 1)) / Math.max(1, moments.length - 1));
  const names = shown.map((operation) => short(String(operation.process), 12));
  const margin = Math.max(...names.map((name) => name.length), 1);
  const rows = shown.map((operation, i) => {
    const mark = places.has(operation) ? `#${places.get(operation)!}` : verdict === 'illegal' ? '✗' : '?';
    const bar = barOf(column(operation.call), column(operation.return), operation.return === Infinity);
    return `  ${names[i]!.padEnd(margin)} ${bar}  ${mark} ${textOf(model, operation)}`;
  });
  const left = stuck.length + places.size - shown.filter((o) => places.has(o) || stuck.includes(o)).length;
  const unplaced =
    verdict === 'illegal'
      ? 'No order goes further: the operations marked ✗ all fail there.'
      : 'The search had not decided what comes next.';
  return [
    `${verdict}${reason === undefined ? '' : ` (${reason})`}: ${partition.length} operations, ` +
      `of which at most ${linearized.length} were put in order (#1 … #${linearized.length}).`,
    `State then: ${short(inspect(state, { depth: 4, breakLength: Infinity }), 400)}`,
    unplaced,
    ...rows,
    ...(left > 0 ? [`  (${left} operations not shown)`] : []),
  ].join('\n');
}

function barOf(from: number, to: number, open: boolean): string {
  const length = to - from;
  const bar = open
    ? `├${'─'.repeat(Math.max(0, length - 1))}>`
    : length === 0
      ? '│'
      : `├${'─'.repeat(length - 1)}┤`;
  return (' '.repeat(from) + bar).padEnd(WIDTH + 1);
}

function textOf<S, I, O>(model: Model<S, I, O>, { input, output, return: end }: Operation<I, O>): string {
  if (model.describe !== undefined) return short(model.describe(input, output), 160);
  const what = (value: unknown) => short(inspect(value, { depth: 3, breakLength: Infinity }), 80);
  return `${what(input)} → ${end === Infinity && output === undefined ? 'unknown' : what(output)}`;
}

function short(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
