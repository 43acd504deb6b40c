/** What the other side says of a transfer that this node has under way, and the one that waits for it. */
import type { Index, NodeId } from '../consensus/consensus.js';
import type { Group } from './group.js';
import type { Resumption } from './wire.js';

/**
 * How a transfer ended. `blamed`: the peer, or the way to it, is why it failed; `broken`: the way broke, or the peer fell silent, so
 * that it may go on later.
 */
export interface Ending {
  readonly index: Index;
  readonly ok: boolean;
  readonly blamed?: boolean;
  readonly broken?: boolean;
}

export const FAILED: Ending = { index: 0, ok: false };
export const BROKEN: Ending = { ...FAILED, blamed: true, broken: true };

export class Exchange {
  readonly group: Group;
  /** Who says how it ended, and who gets the snapshot. */
  readonly peer: NodeId;
  readonly to: NodeId;
  ending: Ending | undefined;
  /** How many bytes went, and of how many; 0 while that is not known. */
  sent = 0;
  total = 0;
  /** Where to go on, by the newest word. */
  from: Resumption | undefined;
  #wake: () => void = () => undefined;

  constructor(group: Group, peer: NodeId, to: NodeId) {
    this.group = group;
    this.peer = peer;
    this.to = to;
  }

  /** It is over; the first word on that counts. */
  end(ending: Ending): void {
    this.ending ??= ending;
    this.#wake();
  }

  resume(from: Resumption): void {
    this.from = from;
    this.#wake();
  }

  /** The newest word on where to go on, once. */
  take(): Resumption | undefined {
    const { from } = this;
    this.from = undefined;
    return from;
  }

  /** Something happened that whoever waits should look at. */
  stir(): void {
    this.#wake();
  }

  /**
   * Waits for the other side's next word, or until `arm` calls back; at once when it has ended. Resolves to the ending, if it has.
   * One waits at a time.
   */
  async wait(arm: (wake: () => void) => () => void): Promise<Ending | undefined> {
    if (this.ending) return this.ending;
    let disarm: () => void = () => undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      disarm = arm(resolve);
    });
    this.#wake = () => undefined;
    disarm();
    return this.ending;
  }
}
