/** Vector clocks (Fidge 1988, Mattern 1989): what somebody has seen of everybody. */
import { configError } from '../../errors.js';

/** How two clocks stand to each other: `before` when all that the first has seen the second has seen too, and more. */
export type ClockOrder = 'equal' | 'before' | 'after' | 'concurrent';

/** The event of an actor with this number; its first one has 1. */
export interface Dot {
  readonly actor: string;
  readonly counter: number;
}

/**
 * For each actor, how many of its events were seen. Never changes: each method answers a new clock, or this one if nothing differs.
 *
 * @example
 * ```ts
 * const a = VectorClock.empty.increment('a');
 * const b = a.increment('b');
 * a.happensBefore(b);                         // true
 * a.increment('a').compare(b);                // 'concurrent'
 * a.increment('a').merge(b).toJSON();         // { a: 2, b: 1 }
 * ```
 */
export class VectorClock {
  /** Has seen nothing. */
  static readonly empty = new VectorClock(new Map());

  /** By actor, in the order of their names. */
  readonly #counters: ReadonlyMap<string, number>;

  private constructor(counters: ReadonlyMap<string, number>) {
    this.#counters = counters;
  }

  /**
   * The clock with these counters; those of 0 are left out.
   *
   * @throws QuorateError `ERR_CONFIG` for an actor that is no string or is named twice, and for a counter that is no integer from 0
   * to 2^53 - 1.
   */
  static of(
    counters: Iterable<readonly [actor: string, counter: number]> | Readonly<Record<string, number>>,
  ): VectorClock {
    const entries: (readonly [string, number])[] = [
      ...(Symbol.iterator in counters
        ? (counters as Iterable<readonly [string, number]>)
        : Object.entries(counters)),
    ];
    const names = new Set<string>();
    for (const [actor, counter] of entries) {
      if (typeof actor !== 'string' || names.has(actor))
        throw configError('actor', actor, 'a string that is not named twice');
      names.add(actor);
      if (!Number.isSafeInteger(counter) || counter < 0)
        throw configError(`the counter of ${actor}`, counter, 'an integer from 0 to 2^53 - 1');
    }
    return fromEntries(entries.filter(([, counter]) => counter > 0).sort(byActor));
  }

  /** A clock of sorted, sound counters. @internal */
  static sorted(counters: ReadonlyMap<string, number>): VectorClock {
    return counters.size === 0 ? VectorClock.empty : new VectorClock(counters);
  }

  /** How many actors it has seen something of. */
  get size(): number {
    return this.#counters.size;
  }

  /** How many events of an actor it has seen. */
  get(actor: string): number {
    return this.#counters.get(actor) ?? 0;
  }

  /** All counters, in the order of the actors' names. */
  entries(): IterableIterator<[actor: string, counter: number]> {
    return this.#counters.entries();
  }

  /** The clock after one more event of an actor. */
  increment(actor: string): VectorClock {
    return this.with({ actor, counter: this.get(actor) + 1 });
  }

  /** The clock that has seen the events of an actor up to this one too. */
  with({ actor, counter }: Dot): VectorClock {
    if (counter <= this.get(actor)) return this;
    if (!this.#counters.has(actor)) return VectorClock.of([...this.#counters, [actor, counter]]);
    return new VectorClock(new Map(this.#counters).set(actor, counter));
  }

  /** The clock that has seen what either has. */
  merge(other: VectorClock): VectorClock {
    if (this.descends(other)) return this;
    if (other.descends(this)) return other;
    const merged = new Map(this.#counters);
    for (const [actor, counter] of other.#counters) merged.set(actor, Math.max(counter, this.get(actor)));
    return fromEntries([...merged].sort(byActor));
  }

  /** The clock that has seen what both have. */
  meet(other: VectorClock): VectorClock {
    if (other.descends(this)) return this;
    const common: [string, number][] = [];
    for (const [actor, counter] of this.#counters) {
      const both = Math.min(counter, other.get(actor));
      if (both > 0) common.push([actor, both]);
    }
    return fromEntries(common);
  }

  /** Whether it has seen all that another has; a clock descends from itself. */
  descends(other: VectorClock): boolean {
    if (this === other) return true;
    if (other.size > this.size) return false;
    for (const [actor, counter] of other.#counters) if (this.get(actor) < counter) return false;
    return true;
  }

  /** Whether another one has seen all that it has, and more. */
  happensBefore(other: VectorClock): boolean {
    return this.compare(other) === 'before';
  }

  /** How it stands to another one. */
  compare(other: VectorClock): ClockOrder {
    const descends = this.descends(other);
    if (other.descends(this)) return descends ? 'equal' : 'before';
    return descends ? 'after' : 'concurrent';
  }

  /** Whether it has seen an event. */
  covers({ actor, counter }: Dot): boolean {
    return counter <= this.get(actor);
  }

  /** The counters as an object. */
  toJSON(): Record<string, number> {
    return Object.fromEntries(this.#counters);
  }
}

function fromEntries(sorted: readonly (readonly [string, number])[]): VectorClock {
  return VectorClock.sorted(new Map(sorted));
}

function byActor([a]: readonly [string, number], [b]: readonly [string, number]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** By actor, then by counter. @internal */
export function compareDots(a: Dot, b: Dot): number {
  return a.actor < b.actor ? -1 : a.actor > b.actor ? 1 : a.counter - b.counter;
}
