/** Randomness for simulations: one seed, and any number of streams that do not disturb each other. */
import { createHash } from 'node:crypto';
import { nextUint32 } from '../../replica/prng.js';

/**
 * xoshiro128** seeded by a name. A stream that is drawn from more or less often leaves all the others as they were, so that a
 * schedule can lose a fault and still be the same schedule.
 */
export class Random {
  readonly #name: string;
  readonly #state = new Uint32Array(4);

  constructor(name: string) {
    this.#name = name;
    const digest = createHash('sha256').update(name, 'utf8').digest();
    for (let i = 0; i < 4; i++) this.#state[i] = digest.readUInt32LE(4 * i);
  }

  /** Another stream, decided by this one's name and not by what was drawn from it. */
  stream(name: string): Random {
    return new Random(`${this.#name}/${name}`);
  }

  /** A number in [0, 1). */
  next(): number {
    return nextUint32(this.#state) / 0x1_0000_0000;
  }

  /** An integer from 0 up to `below`, exclusive. */
  integer(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** A number from `min` up to `max`. */
  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** True with this probability; draws nothing when it is 0. */
  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability;
  }

  /** Exponentially distributed. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }

  pick<T>(list: readonly T[]): T {
    return list[this.integer(list.length)]!;
  }

  /** A copy in random order. */
  shuffle<T>(list: readonly T[]): T[] {
    const out = [...list];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [out[i], out[j]] = [out[j]!, out[i]!];
    }
    return out;
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = nextUint32(this.#state) & 0xff;
    return out;
  }
}
