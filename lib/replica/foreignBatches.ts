/** Batches of a submitter for sessions that are not its own: retries, and what is replayed. @internal */
import type { Outcome } from './outcome.js';
import type { Batch } from './pending.js';
import type { SequenceId } from './requestId.js';

export class ForeignBatches {
  readonly #batches = new Map<string, Batch>();

  get size(): number {
    return this.#batches.size;
  }

  /** The batch that begins at that sequence. */
  get(id: SequenceId): Batch | undefined {
    return this.#batches.get(keyOf(id));
  }

  add(batch: Batch): void {
    this.#batches.set(keyOf({ session: batch.session, sequence: batch.first }), batch);
  }

  remove(batch: Batch): void {
    this.#batches.delete(keyOf({ session: batch.session, sequence: batch.first }));
  }

  values(): IterableIterator<Batch> {
    return this.#batches.values();
  }

  clear(): void {
    this.#batches.clear();
  }

  /** Takes out what is answered for by those outcomes, and hands each its own. */
  take(
    session: number,
    first: number,
    outcomes: readonly Outcome[],
    settle: (batch: Batch, outcomes: readonly Outcome[]) => void,
  ): void {
    if (this.#batches.size === 0) return;
    for (let at = 0; at < outcomes.length; at++) {
      const batch = this.get({ session, sequence: first + at });
      // What was replayed before in smaller batches does not answer for all of this one.
      if (!batch || at + batch.count > outcomes.length) continue;
      this.remove(batch);
      settle(batch, outcomes.slice(at, at + batch.count));
    }
  }
}

function keyOf(id: SequenceId): string {
  return `${id.session}:${id.sequence}`;
}
