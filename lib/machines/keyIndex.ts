/** Keys in order, made when somebody first asks for them. @internal */

/** New keys that wait for being merged cost a look each time, a merge costs one pass over all keys. */
const MAX_WAITING = 1024;

/**
 * The sorted keys of a table, by UTF-16 code units. Nothing is kept until the first look; from then on a new key
 * is only noted, and what is noted is merged when there is much of it.
 */
export class KeyIndex {
  #sorted: string[] | undefined;
  #added: string[] = [];
  #removed = 0;

  /** A key that was not in the table. */
  add(key: string): void {
    if (this.#sorted === undefined) return;
    this.#added.push(key);
    // Nobody has looked for a long time: sorting anew will be no dearer than merging, and notes must not pile up.
    if (this.#added.length > MAX_WAITING + this.#sorted.length) this.clear();
  }

  /** A key that was in the table. */
  remove(): void {
    if (this.#sorted === undefined) return;
    if (++this.#removed > MAX_WAITING + this.#sorted.length) this.clear();
  }

  clear(): void {
    this.#sorted = undefined;
    this.#added = [];
    this.#removed = 0;
  }

  /** The keys that begin with `prefix` and come after `after`, in order; at most `limit`. */
  range(table: KeyTable, prefix: string, after: string | undefined, limit: number): string[] {
    const sorted = this.#refresh(table);
    const fits = (key: string) => key.startsWith(prefix) && (after === undefined || key > after);
    const extra = this.#added.filter((key) => fits(key) && table.has(key));
    const out: string[] = [];
    const start = after !== undefined && after > prefix ? after : prefix;
    for (let i = lowerBound(sorted, start); i < sorted.length && out.length < limit; i++) {
      const key = sorted[i]!;
      if (!key.startsWith(prefix)) break;
      if (key !== after && table.has(key)) out.push(key);
    }
    if (extra.length === 0) return out;
    // A key that was deleted and came again is in both.
    const both = out.concat(extra).sort();
    return both.filter((key, i) => key !== both[i - 1]).slice(0, limit);
  }

  #refresh(table: KeyTable): string[] {
    if (this.#sorted === undefined || this.#removed > MAX_WAITING + this.#sorted.length / 2) {
      this.clear();
      this.#sorted = [...table.keys()].sort();
    } else if (this.#added.length > MAX_WAITING) {
      this.#sorted = merge(this.#sorted, this.#added.sort(), table);
      this.#added = [];
      this.#removed = 0;
    }
    return this.#sorted;
  }
}

/** What an index needs of its table. */
export interface KeyTable {
  has(key: string): boolean;
  keys(): Iterable<string>;
}

function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function merge(a: readonly string[], b: readonly string[], table: KeyTable): string[] {
  const out: string[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const key = j === b.length || (i < a.length && a[i]! <= b[j]!) ? a[i++]! : b[j++]!;
    if (key !== out[out.length - 1] && table.has(key)) out.push(key);
  }
  return out;
}
