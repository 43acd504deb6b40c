/**
 * Which members missed which writes of this node, to be told when they can be reached again. Kept in memory and capped: what is dropped
 * here, or lost with the process, the comparison of the trees finds.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';

/** Keys that are remembered for one member. */
const MAX_HINTS = 10_000;

export class Hints {
  readonly #keys = new Map<NodeId, Set<string>>();

  add(member: NodeId, key: string): void {
    let keys = this.#keys.get(member);
    if (keys === undefined) this.#keys.set(member, (keys = new Set()));
    if (keys.size < MAX_HINTS) keys.add(key);
  }

  /** Up to so many, which are forgotten: who cannot deliver them adds them again. */
  take(member: NodeId, count: number): string[] {
    const keys = this.#keys.get(member);
    const out: string[] = [];
    for (const key of keys ?? []) {
      if (out.length === count) break;
      out.push(key);
      keys!.delete(key);
    }
    return out;
  }

  get size(): number {
    let size = 0;
    for (const keys of this.#keys.values()) size += keys.size;
    return size;
  }
}
