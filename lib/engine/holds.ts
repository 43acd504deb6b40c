/**
 * Log that has to stay: while a snapshot is on its way to a peer, and for a while after, the entries behind it are kept. Otherwise
 * a group under load would compact them before the peer is there, and send it one snapshot after another.
 */
import type { Index } from '../consensus/consensus.js';

/** How long a peer that got a snapshot may take to catch up from the log. */
const GRACE_MS = 30_000;

interface Hold {
  readonly group: object;
  readonly index: Index;
  until: number;
}

export class Holds {
  readonly #holds = new Set<Hold>();

  /** Keeps what a group has behind `index` until the function that it returns is called; for a while longer if the peer has it. */
  hold(group: object, index: Index): (now: number, ok: boolean) => void {
    const hold: Hold = { group, index, until: Infinity };
    this.#holds.add(hold);
    return (now, ok) => {
      if (ok) hold.until = now + GRACE_MS;
      else this.#holds.delete(hold);
    };
  }

  /** The first index of a group that has to stay; Infinity when none has to. */
  keepFrom(group: object, now: number): Index {
    let keepFrom = Infinity;
    for (const hold of this.#holds) {
      if (hold.until <= now) this.#holds.delete(hold);
      else if (hold.group === group) keepFrom = Math.min(keepFrom, hold.index + 1);
    }
    return keepFrom;
  }

  /** A group is over. */
  drop(group: object): void {
    for (const hold of this.#holds) if (hold.group === group) this.#holds.delete(hold);
  }
}
