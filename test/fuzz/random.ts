/** Numbers that a seed and a position decide, without an object for each: input 734 of a run can be made again alone. */
export class Random {
  #state = 0;

  constructor(seed = 1, position = 0) {
    this.at(seed, position);
  }

  /** Begins anew at a position of a seed. */
  at(seed: number, position: number): this {
    this.#state = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul((position + 1) | 0, 0x85ebca6b)) >>> 0;
    this.next();
    this.next();
    return this;
  }

  /** In [0, 1): mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** From 0 to `below - 1`. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = this.below(256);
    return out;
  }
}
