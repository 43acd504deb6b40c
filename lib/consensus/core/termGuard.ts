/**
 * How far and how often peers may move the own term. Raft takes over any newer term it hears of, so one corrupt or hostile
 * member could count all others to the end of the integers, or depose every leader. Neither bound is met by elections:
 *
 * - The distance that peers may move the term is a budget of 2^32, which fills up again within an hour. What is above it is taken
 *   as lost, so that a member that was itself led astray keeps its links. 2^53 is 239 years away then.
 * - One member may raise the term 32 times at once, and then every second election time-out. What is above breaks the protocol.
 */
import { MAX_EPOCH_JUMP } from '../bounds.js';
import type { NodeId } from '../consensus.js';

const HOUR_MS = 3_600_000;
const MAX_RISES = 32;

interface Rises {
  left: number;
  at: number;
}

/** What to do with a message that would raise the own term. @internal */
export type TermVerdict = 'take' | 'drop' | 'breach';

/** Watches over the own term. @internal */
export class TermGuard {
  readonly #riseMs: number;
  #distance = MAX_EPOCH_JUMP;
  #at: number;
  /** By member; those that are none share one. */
  readonly #rises = new Map<NodeId, Rises>();

  constructor(electionTimeoutMs: number, now: number) {
    this.#riseMs = 2 * electionTimeoutMs;
    this.#at = now;
  }

  /** A message of `member` (empty: of a node that is none) would raise the term by `distance`. */
  judge(now: number, member: NodeId, distance: number): TermVerdict {
    this.#distance = Math.min(
      MAX_EPOCH_JUMP,
      this.#distance + Math.max(0, now - this.#at) * (MAX_EPOCH_JUMP / HOUR_MS),
    );
    this.#at = now;
    const rises = this.#risesOf(now, member);
    if (rises.left < 1) return 'breach';
    if (distance > this.#distance) return 'drop';
    return 'take';
  }

  /** How often the member may raise the term now. */
  spare(now: number, member: NodeId): number {
    return this.#risesOf(now, member).left;
  }

  /** It did. */
  rose(now: number, member: NodeId, distance: number): void {
    this.#distance -= distance;
    this.#risesOf(now, member).left--;
  }

  #risesOf(now: number, member: NodeId): Rises {
    let rises = this.#rises.get(member);
    if (rises === undefined) this.#rises.set(member, (rises = { left: MAX_RISES, at: now }));
    rises.left = Math.min(MAX_RISES, rises.left + Math.max(0, now - rises.at) / this.#riseMs);
    rises.at = now;
    return rises;
  }
}
