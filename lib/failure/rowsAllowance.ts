import type { NodeId } from '../consensus/consensus.js';

/** Neighbours whose allowances are remembered. */
const maxAllowances = 2048;

/** How much may happen at once, and how much a second after that. @internal */
export class Allowance {
  readonly #perMs: number;
  readonly #burst: number;
  #left: number;
  #at: number;

  constructor(perSecond: number, burst: number, now: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#left = burst;
    this.#at = now;
  }

  /** Whether there is any left. */
  has(now: number): boolean {
    this.#left = Math.min(this.#burst, this.#left + Math.max(0, now - this.#at) * this.#perMs);
    this.#at = now;
    return this.#left >= 1;
  }

  spend(): void {
    this.#left--;
  }
}

/** One for each neighbour. They outlive the links, or a neighbour that links anew would have a full one each time. @internal */
export class Allowances {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #known = new Map<NodeId, Allowance>();

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  of(peer: NodeId, now: number): Allowance {
    const known = this.#known.get(peer);
    if (known !== undefined) return known;
    for (const oldest of this.#known.keys()) {
      if (this.#known.size < maxAllowances) break;
      this.#known.delete(oldest);
    }
    const made = new Allowance(this.#perSecond, this.#burst, now);
    this.#known.set(peer, made);
    return made;
  }
}
