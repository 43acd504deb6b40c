/** Checks of states that come as data from a peer or a disk. @internal */
import { configError, QuorateError } from '../../errors.js';
import { isTimestamp, type HybridTimestamp } from '../causality/hybridClock.js';
import { VectorClock, type Dot } from '../causality/vectorClock.js';
import { isActor } from '../causality/version.js';

export function malformed(what: string): QuorateError {
  return new QuorateError('ERR_CODEC', `the state of a replicated data type has ${what}`);
}

/** An array of exactly this many fields, or of any number. */
export function listOf(data: unknown, length?: number): readonly unknown[] {
  if (!Array.isArray(data) || (length !== undefined && data.length !== length))
    throw malformed(
      length === undefined ? 'no list where one is due' : `no list of ${length} where one is due`,
    );
  return data as readonly unknown[];
}

export function dotOf(actor: unknown, counter: unknown): Dot {
  if (typeof actor !== 'string' || !isActor(actor)) throw malformed('an actor that is none');
  return { actor, counter: countOf(counter) };
}

export function countOf(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
    throw malformed('a counter that is none');
  return value;
}

export function stampOf(wall: unknown, counter: unknown): HybridTimestamp {
  const stamp = { wall, counter };
  if (!isTimestamp(stamp)) throw malformed('a timestamp that is none');
  return stamp;
}

export function clockOf(data: unknown): VectorClock {
  const counters = new Map<string, number>();
  let last = '';
  for (const item of listOf(data)) {
    const [first, second] = listOf(item, 2);
    const { actor, counter } = dotOf(first, second);
    if (actor <= last) throw malformed('actors out of order');
    counters.set((last = actor), counter);
  }
  return VectorClock.sorted(counters);
}

export function clockData(clock: VectorClock): unknown {
  return [...clock.entries()];
}

/** An operation: an object whose `op` is one of these. */
export function operationOf<Op extends { readonly op: string }>(operation: Op, names: readonly string[]): Op {
  const op = (operation as Partial<Op> | null | undefined)?.op;
  if (typeof op !== 'string' || !names.includes(op))
    throw configError('op', op, `one of ${names.map((name) => `'${name}'`).join(', ')}`);
  return operation;
}
