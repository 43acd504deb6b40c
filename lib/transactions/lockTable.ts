/** Who holds which keys: shared and exclusive locks on keys and on prefixes. Pure. @internal */
import type { LockRange } from '../replica/rehearsal.js';

/** How a lock is held. Exclusive conflicts with both. */
export type LockMode = 'shared' | 'exclusive';

/** Locks of one mode. */
export interface Claim {
  readonly ranges: readonly LockRange[];
  readonly mode: LockMode;
}

type Holders = Map<string, LockMode>;

/**
 * Locks on single keys are found by name; those on prefixes are few and are looked through. An owner never conflicts with itself.
 * Nothing here waits: who may wait is for the transactions to decide.
 */
export class LockTable {
  readonly #keys = new Map<string, Holders>();
  readonly #prefixes = new Map<string, Holders>();
  /** Ranges that are held, counted once an owner. */
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The others that hold what the claim cannot be granted beside. */
  conflicts(owner: string, { ranges, mode }: Claim): Set<string> {
    const found = new Set<string>();
    const look = (holders: Holders | undefined): void => {
      if (holders === undefined) return;
      for (const [other, held] of holders)
        if (other !== owner && (held === 'exclusive' || mode === 'exclusive')) found.add(other);
    };
    for (const range of ranges) {
      if (typeof range === 'string') {
        look(this.#keys.get(range));
        for (const [prefix, holders] of this.#prefixes) if (range.startsWith(prefix)) look(holders);
      } else {
        for (const [key, holders] of this.#keys) if (key.startsWith(range.prefix)) look(holders);
        for (const [prefix, holders] of this.#prefixes)
          if (prefix.startsWith(range.prefix) || range.prefix.startsWith(prefix)) look(holders);
      }
    }
    return found;
  }

  /** Grants a claim, and answers those of its ranges that the owner did not hold, or held shared where it is exclusive. */
  grant(owner: string, { ranges, mode }: Claim): LockRange[] {
    const added: LockRange[] = [];
    for (const range of ranges) {
      const [table, name] = this.#place(range);
      let holders = table.get(name);
      if (holders === undefined) table.set(name, (holders = new Map<string, LockMode>()));
      const held = holders.get(owner);
      if (held === 'exclusive' || held === mode) continue;
      if (held === undefined) this.#size++;
      holders.set(owner, mode);
      added.push(range);
    }
    return added;
  }

  /** Gives back what an owner holds of these ranges. */
  release(owner: string, ranges: Iterable<LockRange>): void {
    for (const range of ranges) {
      const [table, name] = this.#place(range);
      const holders = table.get(name);
      if (holders?.delete(owner) !== true) continue;
      this.#size--;
      if (holders.size === 0) table.delete(name);
    }
  }

  #place(range: LockRange): [Map<string, Holders>, string] {
    return typeof range === 'string' ? [this.#keys, range] : [this.#prefixes, range.prefix];
  }
}

/** Whether two claims of different owners exclude each other. */
export function excludes(a: Claim, b: Claim): boolean {
  if (a.mode === 'shared' && b.mode === 'shared') return false;
  return a.ranges.some((one) => b.ranges.some((other) => overlaps(one, other)));
}

function overlaps(a: LockRange, b: LockRange): boolean {
  if (typeof a === 'string') return typeof b === 'string' ? a === b : a.startsWith(b.prefix);
  if (typeof b === 'string') return b.startsWith(a.prefix);
  return a.prefix.startsWith(b.prefix) || b.prefix.startsWith(a.prefix);
}
