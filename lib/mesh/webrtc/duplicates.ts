/** What came already, by another way: each message of a set-up goes through the rendezvous and through the mesh. @internal */
import { createHash } from 'node:crypto';

const maxKept = 2048;

/** Remembers the newest messages by their digest; what it forgot counts as new. */
export class Duplicates {
  readonly #seen = new Set<string>();

  /** Whether this is the first time that `from` said this. */
  isNew(from: string, payload: string): boolean {
    // By content, not by a number in it: a forged message with the number of a true one would shut that one out.
    const key = createHash('sha256').update(from).update('\0').update(payload).digest('base64');
    if (this.#seen.has(key)) return false;
    if (this.#seen.size >= maxKept) {
      const oldest = this.#seen.keys().next();
      if (oldest.done !== true) this.#seen.delete(oldest.value);
    }
    this.#seen.add(key);
    return true;
  }
}
