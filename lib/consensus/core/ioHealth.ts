/**
 * A leader whose disk does not answer gives way (pitfall 22, hashicorp/raft#503: a hung disk while the leader still heartbeats). Its
 * followers may still commit without it, but it counts for nothing, can vote for nobody, and nobody else is elected while its
 * heartbeats come. It hands the leadership over if it can, and otherwise falls silent. Until its disk answers it does not run.
 */
import type { CoreState } from './state.js';
import type { Transfer } from './transfer.js';

/** The part of a core that watches the leader's own disk. @internal */
export class IoHealth {
  readonly #state: CoreState;
  readonly #transfer: Transfer;
  #asked = false;

  constructor(state: CoreState, transfer: Transfer) {
    this.#state = state;
    this.#transfer = transfer;
  }

  /** The reign, or the role in it, changed. */
  reset(): void {
    this.#asked = false;
  }

  tick(): void {
    const state = this.#state;
    if (state.phase !== 'leader') return;
    // Nobody else could do it.
    if (!state.diskStalled || !state.configs.hasOthers(state.self)) {
      this.#asked = false;
      return;
    }
    // A transfer ends by itself, well or not.
    if (state.transferee !== '') return;
    if (!this.#asked) {
      this.#asked = true;
      if (this.#transfer.begin('') === undefined) return;
    }
    state.follow(state.term, '');
  }
}
