/** How often each peer may do something that costs us more than it costs the peer: so many times at once, then so many a second. */
import type { NodeId } from '../consensus/consensus.js';

/** Above so many peers those that did nothing for long are forgotten. */
const MANY_PEERS = 1024;

interface Purse {
  left: number;
  at: number;
}

export class Allowance {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #purses = new Map<NodeId, Purse>();

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
  }

  /** Takes one. `false`: there is none left. It outlives links, else a peer would only have to link anew. */
  take(now: number, peer: NodeId): boolean {
    let purse = this.#purses.get(peer);
    if (purse === undefined) {
      if (this.#purses.size >= MANY_PEERS) this.#forget(now);
      this.#purses.set(peer, (purse = { left: this.#burst, at: now }));
    }
    purse.left = this.#filled(purse, now);
    purse.at = now;
    if (purse.left < 1) return false;
    purse.left--;
    return true;
  }

  #filled({ left, at }: Purse, now: number): number {
    return Math.min(this.#burst, left + (Math.max(0, now - at) / 1000) * this.#perSecond);
  }

  #forget(now: number): void {
    for (const [peer, purse] of this.#purses)
      if (this.#filled(purse, now) >= this.#burst) this.#purses.delete(peer);
  }
}
