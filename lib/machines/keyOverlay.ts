/** What a table of keys and values would be after some commands that were not applied. @internal */

/** What an overlay lies on. */
export interface BaseTable<V> {
  get(key: string): V | undefined;
}

/** Keys that were set, or deleted (`undefined`), on top of a table that stays as it is. */
export class KeyOverlay<V> {
  readonly #base: BaseTable<V>;
  readonly #changed = new Map<string, V | undefined>();

  constructor(base: BaseTable<V>) {
    this.#base = base;
  }

  /** Keys that were touched. */
  get size(): number {
    return this.#changed.size;
  }

  get(key: string): V | undefined {
    return this.#changed.has(key) ? this.#changed.get(key) : this.#base.get(key);
  }

  set(key: string, value: V | undefined): void {
    this.#changed.set(key, value);
  }

  /** A list of the table with what has changed worked in. `found`: the whole range of the table. */
  list(found: readonly [string, V][], prefix = '', after?: string, limit = 2 ** 32 - 1): [string, V][] {
    const out = found.filter(([key]) => !this.#changed.has(key));
    for (const [key, value] of this.#changed)
      if (value !== undefined && key.startsWith(prefix) && (after === undefined || key > after))
        out.push([key, value]);
    return out.sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, limit);
  }
}
