/**
 * What a leader knows of one follower (etcd's Progress). `probe`: one append at a time, until it is known where the logs
 * agree. `replicate`: appends are pipelined, bounded in count and bytes. `snapshot`: it needs what the log no longer has.
 */
import { lastOf } from '../consensus.js';
import type { Entry, Index } from '../consensus.js';

/** How a follower is fed. @internal */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

/** A leader's book on one follower. @internal */
export class Progress {
  state: ProgressState = 'probe';
  /** Durable there, and the same as here. */
  matched: Index = 0;
  /** The next index to send. */
  next: Index;
  /** When `matched` last moved, or something was last sent into an empty window. */
  movedAt = 0;
  /** When it last answered in this reign. */
  heardAt = -Infinity;
  /** The newest heartbeat round it answered. */
  ackedRound = 0;
  /** When the newest round in answer to which it promised its vote was sent (lease.ts). */
  promisedAt = -Infinity;
  /** The highest commit index it was told. */
  toldCommit: Index = 0;
  /** A probe is under way, since when. */
  probing = false;
  probedAt = 0;
  /** The fetch that is under way for it, or 0, and what one brought. */
  fetch = 0;
  fetched: readonly Entry[] = [];
  /** The snapshot that is under way for it, or 0, what it covers at least, and when to try again after one failed. */
  snapshot = 0;
  wanted: Index = 0;
  retryAt = Infinity;
  /** It gets the snapshot although the log reaches back to it. */
  byChoice = false;
  /**
   * It had a snapshot, or one by choice failed: until it has caught up it gets the log for as long as there is one. A snapshot that
   * takes longer than the log takes to grow by as much would be followed by another, for ever.
   */
  logOnly = false;

  /** A round of catching up: how far the log went when it began, and when that was. */
  #roundTo: Index = 0;
  #roundAt = -Infinity;

  readonly #maxMessages: number;
  readonly #maxBytes: number;
  /** The last index and the bytes of each append under way: pairs, from `#head` on. */
  #inflight: number[] = [];
  #head = 0;
  #bytes = 0;

  constructor(next: Index, maxMessages: number, maxBytes: number) {
    this.next = next;
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
  }

  get inflight(): number {
    return (this.#inflight.length - this.#head) / 2;
  }

  get inflightBytes(): number {
    return this.#bytes;
  }

  /** Whether an append may be sent now. */
  get open(): boolean {
    if (this.state === 'replicate') {
      return this.inflight === 0 || (this.inflight < this.#maxMessages && this.#bytes < this.#maxBytes);
    }
    return this.state === 'probe' && !this.probing;
  }

  /**
   * Whether it keeps up with the log: all that was there when a round began was acknowledged before `withinMs` had gone by
   * (dissertation §4.2.1). Asked again and again while somebody catches up.
   */
  keepsUp(last: Index, now: number, withinMs: number): boolean {
    if (this.state !== 'replicate' || this.matched === 0) return false;
    if (this.matched >= last) return true;
    const done = this.#roundTo > 0 && this.matched >= this.#roundTo;
    const soon = now - this.#roundAt <= withinMs;
    if (this.#roundTo === 0 || done) {
      this.#roundTo = last;
      this.#roundAt = now;
    }
    return done && soon;
  }

  /** An append up to `last` was sent. */
  sent(last: Index, bytes: number, now: number): void {
    if (this.state === 'probe') {
      this.probing = true;
      this.probedAt = now;
      return;
    }
    if (this.inflight === 0) this.movedAt = now;
    this.#inflight.push(last, bytes);
    this.#bytes += bytes;
    this.next = last + 1;
  }

  /** It acknowledged up to `matched`. Returns whether that is news. */
  acknowledged(matched: Index, now: number): boolean {
    if (matched <= this.matched) return false;
    this.matched = matched;
    this.movedAt = now;
    if (this.next <= matched) this.next = matched + 1;
    while (this.#head < this.#inflight.length && this.#inflight[this.#head]! <= matched) {
      this.#bytes -= this.#inflight[this.#head + 1]!;
      this.#head += 2;
    }
    if (this.#head > 256 && this.#head * 2 > this.#inflight.length) {
      this.#inflight = this.#inflight.slice(this.#head);
      this.#head = 0;
    }
    return true;
  }

  /** Feels for the place where the logs agree, from `next` on. */
  toProbe(next: Index): void {
    this.state = 'probe';
    this.next = Math.max(next, this.matched + 1);
    this.#clear();
  }

  /** Pipelines from behind what matched. */
  toReplicate(): void {
    this.state = 'replicate';
    this.next = this.matched + 1;
    this.#clear();
  }

  /** Waits for a snapshot that covers at least `wanted`. */
  toSnapshot(request: number, wanted: Index, byChoice: boolean): void {
    this.state = 'snapshot';
    this.#clear();
    this.snapshot = request;
    this.wanted = wanted;
    this.byChoice = byChoice;
  }

  /** What a fetch brought from `next` on, as much as fits one append; empty when it has nothing for there. */
  fetchedSlice(maxBytes: number): readonly Entry[] {
    const { fetched, next } = this;
    const at = fetched.findIndex((entry) => entry.index <= next && lastOf(entry) >= next);
    if (at < 0) {
      this.fetched = [];
      return [];
    }
    let end = at + 1;
    for (let bytes = fetched[at]!.data.length; end < fetched.length; end++) {
      bytes += fetched[end]!.data.length;
      if (bytes > maxBytes) break;
    }
    return fetched.slice(at, end);
  }

  #clear(): void {
    this.probing = false;
    this.fetch = 0;
    this.fetched = [];
    this.snapshot = 0;
    this.retryAt = Infinity;
    this.#inflight = [];
    this.#head = this.#bytes = 0;
  }
}
