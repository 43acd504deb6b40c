/** Which proposal carries which batch, and when a batch has to be sent once more. */
import type { GroupStatus, Proposal } from '../engine/door.js';
import type { Batch } from './pending.js';

/** What nobody answered for is sent again after this long, in case it was lost without a trace. */
export const STALE_MS = 2000;

export class Sends {
  readonly #byToken = new Map<number, Batch>();
  #tokens = 0;
  #appliedEpoch = 0;
  #restores = 0;

  send(batch: Batch, status: GroupStatus, now: number, out: Proposal[]): void {
    const token = ++this.#tokens;
    if (batch.accepted.size === 0) batch.restores = this.#restores;
    batch.accepted.add(token);
    batch.route = { epoch: status.epoch, contact: status.contact };
    batch.sentAt = now;
    this.#byToken.set(token, batch);
    out.push({ token, count: batch.count, data: batch.data! });
  }

  /** Whether a sealed batch is to be sent in this turn. */
  isDue(batch: Batch, status: GroupStatus, now: number): boolean {
    if (batch.keepUntil > 0) return false;
    const { route } = batch;
    if (!route || batch.accepted.size === 0) return true;
    if (now - batch.sentAt >= STALE_MS) return true;
    const sameEpoch = route.epoch.n === status.epoch.n && route.epoch.config === status.epoch.config;
    if (sameEpoch) return route.contact !== status.contact;
    // A new leader may have the batch in its log. Once an entry of its reign is applied here, what it had is decided.
    return this.#appliedEpoch >= status.epoch.n;
  }

  /** A proposal was not taken; returns what it carried, unless that is settled. */
  refused(token: number): Batch | undefined {
    const batch = this.#byToken.get(token);
    this.#byToken.delete(token);
    batch?.accepted.delete(token);
    return batch;
  }

  /** The batch is decided: its proposals say nothing any more. */
  forget(batch: Batch): void {
    for (const token of batch.accepted) this.#byToken.delete(token);
  }

  clear(): void {
    this.#byToken.clear();
  }

  /** An entry of this epoch was applied here. Says whether it is the first one. */
  epochApplied(n: number): boolean {
    if (n <= this.#appliedEpoch) return false;
    this.#appliedEpoch = n;
    return true;
  }

  /** A snapshot took the place of a part of the log. */
  restored(): void {
    this.#restores++;
  }

  /** Whether every entry since the batch was first sent was applied here, so that none can have held it unseen. */
  sawAllSince(batch: Batch): boolean {
    return batch.restores === this.#restores;
  }
}
