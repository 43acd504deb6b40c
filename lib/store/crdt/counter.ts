/** A counter that everybody adds to. */
import { configError } from '../../errors.js';
import { compareDots, type Dot } from '../causality/vectorClock.js';
import type { CrdtType } from './crdt.js';
import { countOf, dotOf, listOf, malformed, operationOf } from './data.js';

/** What {@link pnCounter} takes: adds `by` (default 1), an integer that may be negative. */
export interface CounterOperation {
  readonly op: 'add';
  readonly by?: number | undefined;
}

/**
 * What one actor added since `birth`, by its events up to `last`. Only that actor writes it, one event after the other, so of two
 * copies that with the later event has all of the other one's; that is why one signed number does where the textbook keeps two.
 */
export interface CounterShare {
  readonly birth: Dot;
  readonly last: number;
  readonly sum: number;
}

/** The state of {@link pnCounter}. */
export type CounterState = readonly CounterShare[];

/**
 * A counter: adds up what was added anywhere, in either direction (PN-counter; Shapiro et al.: "A comprehensive study of Convergent
 * and Commutative Replicated Data Types", INRIA RR-7506, spec 7). Its value is 0 before the first update.
 *
 * An update that did not know of a `delete` brings back all that it did know. Values are exact up to 2^53 - 1 in either direction; an
 * update that would leave this range is refused with `ERR_CONFIG`.
 *
 * @example
 * ```ts
 * const likes = await openStore({ mesh, name: 'likes', members, storage, resolve: crdt(pnCounter()) });
 * await likes.update('post:1', { op: 'add' });
 * ```
 */
export function pnCounter(): CrdtType<CounterState, number, CounterOperation> {
  const value = (state: CounterState): number => state.reduce((total, { sum }) => total + sum, 0);
  return {
    name: 'pn-counter',
    initial: () => [],
    apply(state, operation, { dot, seen }) {
      const { by = 1 } = operationOf(operation, ['add']);
      if (!Number.isSafeInteger(by)) throw configError('by', by, 'an integer from -(2^53 - 1) to 2^53 - 1');
      // A share goes on only from the actor's newest event at this key. An older copy of it was brought back after a delete: to go on
      // from that would make a second history with the same events.
      const newest = seen.get(dot.actor);
      const goesOn = ({ birth, last }: CounterShare): boolean =>
        birth.actor === dot.actor && (last === newest || last === dot.counter);
      const own = state.find(goesOn) ?? { birth: dot, last: dot.counter, sum: 0 };
      const after = { birth: own.birth, last: dot.counter, sum: own.sum + by };
      const shares = [...state.filter((share) => share !== own), after].sort(byBirth);
      if (!Number.isSafeInteger(after.sum) || !Number.isSafeInteger(value(shares)))
        throw configError('by', by, `such that the counter, now ${value(state)}, stays within 2^53 - 1`);
      return shares;
    },
    merge(a, b) {
      const shares = new Map(a.map((share) => [idOf(share), share]));
      for (const share of b) {
        const mine = shares.get(idOf(share));
        if (mine === undefined || mine.last < share.last) shares.set(idOf(share), share);
      }
      return [...shares.values()].sort(byBirth);
    },
    value,
    encode: (state) => state.map(({ birth, last, sum }) => [birth.actor, birth.counter, last, sum]),
    decode(data) {
      const shares = listOf(data).map((item): CounterShare => {
        const [actor, counter, last, sum] = listOf(item, 4);
        const share = { birth: dotOf(actor, counter), last: countOf(last), sum: sum as number };
        if (!Number.isSafeInteger(sum) || share.last < share.birth.counter)
          throw malformed('a sum that is none');
        return share;
      });
      if (shares.some((share, i) => i > 0 && byBirth(shares[i - 1]!, share) >= 0))
        throw malformed('sums out of order');
      return shares;
    },
  };
}

function idOf({ birth }: CounterShare): string {
  return `${birth.actor} ${birth.counter}`;
}

function byBirth(a: CounterShare, b: CounterShare): number {
  return compareDots(a.birth, b.birth);
}
