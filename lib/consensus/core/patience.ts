/**
 * How long silence is borne. Each peer has a rhythm: how long it is usually silent between two signs of life, and how long it was at
 * worst of late. After Hayashibara et al., "The φ accrual failure detector" (SRDS 2004), and Jacobson's estimator of round trips
 * (RFC 6298), bounded by what the user set. Nothing here is needed for safety: an estimate that is wrong costs an election too
 * many, or one that comes late.
 */
import { quorumValue } from '../quorum.js';
import type { Membership } from '../membership.js';
import type { NodeId, Vitals } from '../consensus.js';
import type { CoreOptions } from './options.js';

/** Silence by so many deviations longer than usual has one chance in a hundred million: φ = 8 of a normal variable. */
const SIGMAS = 5.6;
/** The weight of a new sample in mean and variance. */
const GAIN = 1 / 16;
/** The worst silence is remembered for one to two of these. */
const MEMORY_MS = 60_000;
/** The time-out is at least so many times the worst silence that ended well. */
const WORST_FACTOR = 2;

/** What is known of the silences of one peer. @internal */
export class Rhythm {
  readonly #usualMs: number;
  #mean: number;
  #variance: number;
  #heardAt = -Infinity;
  /** When it was last heard before it was given up. */
  #lostAt = -Infinity;
  #worst = 0;
  #worstBefore = 0;
  #lapAt = -Infinity;

  /** `usualMs`: how often a sign of life is to be expected. */
  constructor(usualMs: number) {
    this.#usualMs = this.#mean = usualMs;
    this.#variance = (usualMs / 4) ** 2;
  }

  /** A sign of life. Silence of which this process itself slept a part, until `awakeSince`, says nothing of the peer. */
  heard(now: number, awakeSince: number): void {
    const silence = now - this.#heardAt;
    const sound = this.#heardAt > awakeSince;
    this.#heardAt = now;
    this.#lostAt = -Infinity;
    // Appends come thick and fast: what counts is how long nothing comes.
    if (!sound || silence < this.#usualMs / 2) return;
    this.#turn(now);
    this.#worst = Math.max(this.#worst, silence);
    const off = silence - this.#mean;
    this.#mean += GAIN * off;
    this.#variance = (1 - GAIN) * (this.#variance + GAIN * off * off);
  }

  /** A reign ended: no sign of life is to be expected, so the silence up to the next one is no sample. */
  pause(): void {
    if (this.#heardAt > -Infinity) this.#lostAt = this.#heardAt;
    this.#heardAt = -Infinity;
  }

  /** It was given up as a leader, and here is what it said as that: it lives, and one like it had better be waited for. */
  late(now: number, awakeSince: number): void {
    const silence = now - this.#lostAt;
    if (this.#lostAt <= awakeSince || silence > MEMORY_MS) return;
    this.#lostAt = -Infinity;
    this.#turn(now);
    this.#worst = Math.max(this.#worst, silence);
  }

  /** Contact with it began anew, or nothing is to be said for a while. */
  reset(): void {
    this.#heardAt = this.#lostAt = -Infinity;
  }

  /** Silence beyond this is hardly that of one who lives, and was not away for `stalledMs`; in milliseconds. */
  bearable(now: number, stalledMs: number): number {
    this.#turn(now);
    const sd = Math.max(this.#usualMs / 4, Math.sqrt(this.#variance));
    const usual = this.#mean + SIGMAS * sd;
    return Math.max(usual + stalledMs, WORST_FACTOR * Math.max(this.#worst, this.#worstBefore));
  }

  /** Two laps of memory: the worst of the one that is over holds until the next one is. */
  #turn(now: number): void {
    if (now - this.#lapAt < MEMORY_MS) return;
    this.#worstBefore = now - this.#lapAt < 2 * MEMORY_MS ? this.#worst : 0;
    this.#worst = 0;
    this.#lapAt = now;
  }
}

/** Of a peer, as far as patience with it goes. */
interface Known {
  readonly id: NodeId;
  readonly rhythm: Rhythm;
}

/** The time-outs that follow what is measured. All in milliseconds, from `electionTimeoutMs` to `maxElectionTimeoutMs`. @internal */
export class Patience {
  readonly #options: Required<CoreOptions>;
  readonly #vitals: (peer: NodeId) => Vitals | undefined;

  constructor(options: Required<CoreOptions>, vitals: (peer: NodeId) => Vitals | undefined) {
    this.#options = options;
    this.#vitals = vitals;
  }

  /** How long a peer's silence is borne: longer for one that is irregular, and for one that says that it stalled of late. */
  with(peer: Known | undefined, now: number): number {
    if (peer === undefined) return this.#options.electionTimeoutMs;
    return this.#bound(peer.rhythm.bearable(now, this.#vitals(peer.id)?.stalledMs ?? 0));
  }

  /** The same of one that answers: when the way gets longer, an answer is late by both ways of it. */
  withAnswers(peer: Known | undefined, now: number): number {
    return this.#bound(2 * this.with(peer, now));
  }

  /** How long an answer of a peer may take before it, or the question, is taken as lost: two round trips. */
  answerMs(peer: NodeId): number {
    return this.#bound(2 * (this.#vitals(peer)?.rttMs ?? 0));
  }

  /** How long an election takes at most if all goes well: three round trips to those members that make a quorum. */
  electionMs(members: Membership, self: NodeId, leader: NodeId): number {
    const near = quorumValue(members, ({ id }) => {
      if (id === self) return 0;
      // Who may be dead will not vote, nor will who is not there.
      const vitals = id === leader ? undefined : this.#vitals(id);
      return vitals === undefined ? -Infinity : -(vitals.rttMs ?? 0);
    });
    return this.#bound(near > -Infinity ? -3 * near : 0);
  }

  #bound(ms: number): number {
    const { electionTimeoutMs, maxElectionTimeoutMs } = this.#options;
    return Math.min(maxElectionTimeoutMs, Math.max(electionTimeoutMs, ms));
  }
}
