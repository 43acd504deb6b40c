/** The session that a submitter's commands go into: the sequences given away, and the batches that nobody answered for. @internal */
import { encodeBatch } from './batch.js';
import type { Batch } from './pending.js';

/** How long, and how many, timed-out batches are kept so that a retry with their request id finds them unapplied. */
const AMBIGUOUS_MS = 600_000;
const AMBIGUOUS_BATCHES = 1024;

export class OwnSession {
  /** 0 while there is none. */
  #id = 0;
  #nextSequence = 1;
  /** Sealed batches by first sequence, oldest first. */
  readonly #sealed = new Map<number, Batch>();

  get id(): number {
    return this.#id;
  }

  get size(): number {
    return this.#sealed.size;
  }

  /** Oldest first. */
  batches(): IterableIterator<Batch> {
    return this.#sealed.values();
  }

  begin(id: number): void {
    this.#id = id;
    this.#nextSequence = 1;
  }

  /** The session is gone; what was sealed for it comes back. */
  end(): Batch[] {
    const batches = [...this.#sealed.values()];
    this.#id = 0;
    this.clear();
    return batches;
  }

  clear(): void {
    this.#sealed.clear();
  }

  /** Gives the commands of a batch their sequences. */
  seal(batch: Batch): void {
    batch.first = this.#nextSequence;
    batch.body = batch.items.take();
    batch.compact();
    this.#nextSequence += batch.count;
    this.#sealed.set(batch.first, batch);
    this.encode(batch);
  }

  /** Makes the entry of a sealed batch, as far as nobody gave up waiting for it. */
  encode(batch: Batch): void {
    batch.data = encodeBatch(this.#id, this.#floor(), batch.first, batch.count, batch.body!);
  }

  /** The batch that begins at a sequence. */
  at(first: number): Batch | undefined {
    return this.#sealed.get(first);
  }

  /** Batches that hold any of so many sequences. */
  overlapping(first: number, count: number): Batch[] {
    return [...this.#sealed.values()].filter(
      (batch) => first - batch.first < batch.count && first - batch.first + count > 0,
    );
  }

  remove(batch: Batch): void {
    this.#sealed.delete(batch.first);
  }

  /** Nobody waits for the batch any more: it is kept for a while, for who asks again. */
  shelve(batch: Batch, now: number): void {
    batch.keepUntil = now + AMBIGUOUS_MS;
  }

  /** Takes out what was kept for long enough, or is too much. */
  clearShelf(now: number): Batch[] {
    let shelved = 0;
    for (const batch of this.#sealed.values()) if (batch.keepUntil > 0) shelved++;
    const gone: Batch[] = [];
    for (const batch of this.#sealed.values()) {
      if (batch.keepUntil === 0) continue;
      if (batch.keepUntil > now && shelved <= AMBIGUOUS_BATCHES) break;
      this.remove(batch);
      gone.push(batch);
      shelved--;
    }
    return gone;
  }

  /** The lowest sequence that somebody waits for, or may ask for again. */
  #floor(): number {
    for (const first of this.#sealed.keys()) return first;
    return this.#nextSequence;
  }
}
