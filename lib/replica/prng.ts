/** Randomness for state machines: the same numbers on every member, since the log is their seed. */
import { createHash } from 'node:crypto';

/**
 * xoshiro128** 1.1 (Blackman, Vigna: "Scrambled Linear Pseudorandom Number Generators", 2021), seeded by a
 * group's genesis and the index of a command. Fit for simulations, shuffles and jitter, not for secrets:
 * whoever can read the log can foretell it.
 *
 * One object serves a replica: {@link seek} only notes the index, so a command that draws no numbers costs nothing.
 *
 * @internal
 */
export class LogRandom {
  readonly #genesis = new Uint32Array(4);
  readonly #state = new Uint32Array(4);
  #index = 0;
  #seeded = false;

  constructor(genesis: string) {
    const digest = createHash('sha256').update(genesis, 'utf8').digest();
    for (let i = 0; i < 4; i++) this.#genesis[i] = digest.readUInt32LE(4 * i);
  }

  /** The numbers of the command at `index` come next, from their first. */
  seek(index: number): void {
    this.#index = index;
    this.#seeded = false;
  }

  /** The next number in [0, 1), with 53 bits. */
  next(): number {
    if (!this.#seeded) this.#seed();
    const high = nextUint32(this.#state) >>> 5;
    const low = nextUint32(this.#state) >>> 6;
    return (high * 0x400_0000 + low) / 0x20_0000_0000_0000;
  }

  #seed(): void {
    const low = this.#index >>> 0;
    const high = Math.floor(this.#index / 0x1_0000_0000);
    for (let i = 0; i < 4; i++) {
      const step = Math.imul(i + 1, 0x9e3779b9);
      this.#state[i] = mix((mix(this.#genesis[i]! ^ low) + step) ^ high);
    }
    if (this.#state.every((word) => word === 0)) this.#state[0] = 1; // the one state that yields zeros only
    this.#seeded = true;
  }
}

/** One step of xoshiro128**, in place; its result is an unsigned 32-bit integer. @internal */
export function nextUint32(s: Uint32Array): number {
  const s1 = s[1]!;
  const result = Math.imul(rotl(Math.imul(s1, 5), 7), 9) >>> 0;
  s[2]! ^= s[0]!;
  s[3]! ^= s1;
  s[1]! ^= s[2]!;
  s[0]! ^= s[3]!;
  s[2]! ^= s1 << 9;
  s[3] = rotl(s[3]!, 11);
  return result;
}

function rotl(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}

/** The finalizer of MurmurHash3: every bit of the input moves every bit of the output. */
function mix(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
