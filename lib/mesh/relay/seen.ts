/** A bounded memory of names: the newest few thousand. @internal */
export class Seen {
  readonly #capacity: number;
  #young = new Set<string>();
  #old = new Set<string>();

  /** Remembers at least `capacity` names, at most twice as many. */
  constructor(capacity = 8192) {
    this.#capacity = capacity;
  }

  /** Remembers a name; `false` if it was remembered already. */
  add(name: string): boolean {
    if (this.#young.has(name) || this.#old.has(name)) return false;
    if (this.#young.size >= this.#capacity) {
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(name);
    return true;
  }
}
