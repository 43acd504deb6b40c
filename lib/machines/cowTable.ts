/** A map from strings to values that can be captured at once and read while it goes on changing. @internal */

const PAGE_BITS = 8;
const PAGE_SLOTS = 1 << PAGE_BITS;
const SLOT_MASK = PAGE_SLOTS - 1;
/** Slots that a running sweep looks at for every change. More than one, or it would never arrive. */
const SWEEP_STEPS = 4;
const MIN_HOLES = 1024;

interface Page<V> {
  /** The generation in which it was made or copied: pages of an older one belong to captures too. */
  readonly generation: number;
  /** `undefined`: a hole, left by a deletion. */
  readonly keys: (string | undefined)[];
  readonly values: (V | undefined)[];
}

/** The content of a table at one moment. Nothing has to be released: it shares pages until the table changes them. */
export interface Capture<V> {
  readonly size: number;
  /** In the order in which the keys came; the pair is one object, filled anew for each. */
  entries(): Generator<[key: string, value: V], void, undefined>;
}

/**
 * Keys lie in pages in the order of their insertion; a Map holds their places. A capture takes the table of pages
 * as it is and raises the generation; the first change of a page after that copies it. So a capture costs nothing,
 * and what it keeps alive grows with what changes afterwards, by a page (256 entries' references) at most a change.
 *
 * The order depends on the history of changes only, never on captures or restores: snapshots of replicas agree.
 */
export class CowTable<V> {
  readonly #places = new Map<string, number>();
  #pages: Page<V>[] = [];
  #pagesGeneration = 0;
  #generation = 0;
  /** Slots in use, holes included. */
  #length = 0;
  /** The sweep closes holes a few at a time: all before `#packed` is dense, all from there to `#swept` holes. */
  #sweeping = false;
  #swept = 0;
  #packed = 0;

  get size(): number {
    return this.#places.size;
  }

  has(key: string): boolean {
    return this.#places.has(key);
  }

  get(key: string): V | undefined {
    const place = this.#places.get(key);
    return place === undefined ? undefined : this.#pages[place >> PAGE_BITS]!.values[place & SLOT_MASK];
  }

  keys(): IterableIterator<string> {
    return this.#places.keys();
  }

  /** Whether the key is new. */
  set(key: string, value: V): boolean {
    const place = this.#places.get(key);
    if (place !== undefined) {
      this.#own(place >> PAGE_BITS).values[place & SLOT_MASK] = value;
      return false;
    }
    this.#write(this.#length, key, value);
    this.#places.set(key, this.#length++);
    if (this.#sweeping) this.#sweep();
    return true;
  }

  /** Whether the key was there. */
  delete(key: string): boolean {
    const place = this.#places.get(key);
    if (place === undefined) return false;
    this.#places.delete(key);
    this.#clear(place);
    const holes = this.#length - this.#places.size;
    if (!this.#sweeping && holes > MIN_HOLES + this.#places.size) {
      this.#sweeping = true;
      this.#swept = 0;
      this.#packed = 0;
    }
    if (this.#sweeping) this.#sweep();
    return true;
  }

  capture(): Capture<V> {
    this.#generation++;
    const pages = this.#pages;
    const length = this.#length;
    return { size: this.#places.size, entries: () => entriesOf(pages, length) };
  }

  /** Slots in use, holes included; for tests. */
  get slots(): number {
    return this.#length;
  }

  #table(): Page<V>[] {
    if (this.#pagesGeneration !== this.#generation) {
      this.#pages = this.#pages.slice();
      this.#pagesGeneration = this.#generation;
    }
    return this.#pages;
  }

  /** The page, copied first if a capture may hold it. */
  #own(number: number): Page<V> {
    const page = this.#pages[number]!;
    if (page.generation === this.#generation) return page;
    const copy = { generation: this.#generation, keys: page.keys.slice(), values: page.values.slice() };
    this.#table()[number] = copy;
    return copy;
  }

  #write(place: number, key: string, value: V): void {
    const number = place >> PAGE_BITS;
    if (number === this.#pages.length)
      this.#table().push({ generation: this.#generation, keys: [], values: [] });
    const page = this.#own(number);
    page.keys[place & SLOT_MASK] = key;
    page.values[place & SLOT_MASK] = value;
  }

  #clear(place: number): void {
    const page = this.#own(place >> PAGE_BITS);
    page.keys[place & SLOT_MASK] = undefined;
    page.values[place & SLOT_MASK] = undefined;
  }

  /** Goes a little on; a rebuild at one go would hold up everything for as long as the table is large. */
  #sweep(): void {
    for (let i = 0; i < SWEEP_STEPS && this.#swept < this.#length; i++) {
      const from = this.#swept++;
      const page = this.#pages[from >> PAGE_BITS]!;
      const key = page.keys[from & SLOT_MASK];
      if (key === undefined) continue;
      const to = this.#packed++;
      if (to === from) continue;
      this.#write(to, key, page.values[from & SLOT_MASK]!);
      this.#places.set(key, to);
      this.#clear(from);
    }
    if (this.#swept < this.#length) return;
    this.#sweeping = false;
    this.#length = this.#packed;
    this.#table().length = Math.ceil(this.#length / PAGE_SLOTS);
  }
}

function* entriesOf<V>(pages: readonly Page<V>[], length: number): Generator<[string, V], void, undefined> {
  const pair: [string, V] = ['', undefined as V];
  for (let number = 0; number << PAGE_BITS < length; number++) {
    const page = pages[number]!;
    const end = Math.min(PAGE_SLOTS, length - (number << PAGE_BITS));
    for (let i = 0; i < end; i++) {
      const key = page.keys[i];
      if (key === undefined) continue;
      pair[0] = key;
      pair[1] = page.values[i]!;
      yield pair;
    }
  }
}
