/**
 * Leases (dissertation §6.4.1): as long as a quorum has promised its votes to nobody else, nobody else can lead, and what the
 * leader knows to be committed is all that is. Both ends of the promise are here.
 *
 * - It runs from the arrival of a heartbeat, by the follower's clock. The leader counts from the sending of that heartbeat, by its
 *   own, and less than was promised: so the leader stops first, whatever the network does and as long as the clocks keep to their
 *   rates (etcd#6005, tikv#964).
 * - Every quorum that elects shares a voter with every quorum that promised. That voter voted after its promise had run out, or for
 *   whom the leader itself chose; for that the leader gives up its lease first.
 * - A follower keeps its promise after a restart. It does not know by then whom it gave one, or when: so it waits for the longest
 *   it may have given, which is on disk before the first one leaves. What its options say by then does not count.
 */
import { quorumValue } from '../quorum.js';
import type { Index, NodeId } from '../consensus.js';
import type { Member } from '../membership.js';
import { leaseTerms, type LeaseTerms } from './options.js';
import type { CoreState } from './state.js';

/** A follower's end: its promise not to vote. @internal */
export class VotePromise {
  readonly #state: CoreState;
  #until: number;
  /** Who may have the vote all the same; empty: nobody. */
  #to: NodeId = '';
  /** From then on no promise longer than those that are asked for now can be under way. */
  #shorterAt = Infinity;

  constructor(state: CoreState) {
    this.#state = state;
    this.#until = state.promiseMs > 0 ? state.now + state.promiseMs : -Infinity;
  }

  /** When it has run out. */
  get until(): number {
    return this.#until;
  }

  /** Whether a vote for `candidate` would break it. */
  binds(candidate: NodeId): boolean {
    return this.#state.now < this.#until && candidate !== this.#to;
  }

  /**
   * The leader of this term asks for a promise from now on; returns whether it is given. Not for longer than this member would wait
   * for a leader anyway: a lease never delays an election.
   */
  give(leader: NodeId, ms: number): boolean {
    const state = this.#state;
    const given = ms <= state.options.electionTimeoutMs ? ms : 0;
    this.#record(given);
    if (given === 0) return false;
    // What another leader was promised before does not matter any more: this one was elected since.
    this.#until = Math.max(this.#until, state.now + given);
    this.#to = leader;
    return true;
  }

  /** Has the disk know the longest promise. Acknowledgements wait for that; a shorter one is written when the longer have run out. */
  #record(ms: number): void {
    const state = this.#state;
    if (ms > state.promiseMs) {
      state.promiseMs = ms;
      state.disk.voteChanged();
    }
    if (ms === state.promiseMs) {
      this.#shorterAt = Infinity;
    } else if (this.#shorterAt === Infinity) {
      this.#shorterAt = state.now + state.promiseMs;
    } else if (state.now >= this.#shorterAt) {
      this.#shorterAt = Infinity;
      state.promiseMs = ms;
      state.disk.hardDirty = state.dirty = true;
    }
  }
}

/** The times of so many rounds are kept for each lease: those between them count as the older one. */
const MARKS = 64;

/** A leader's end: what it was promised, and for how long it may rely on that. @internal */
export class ReadLease {
  readonly #state: CoreState;
  readonly #matchedOf: (voter: Member) => Index;
  readonly #terms: LeaseTerms | undefined;
  /** When rounds were first sent, oldest first. */
  #marks: { readonly round: number; readonly at: number }[] = [];
  /** The newest round that was sent: sending it again changes nothing. */
  #newest = 0;
  #ended = false;

  /** `matchedOf`: how far a voter has acknowledged, as far as that counts. */
  constructor(state: CoreState, matchedOf: (voter: Member) => Index) {
    this.#state = state;
    this.#matchedOf = matchedOf;
    this.#terms = leaseTerms(state.options);
  }

  /** What heartbeats ask for; 0: nothing. */
  get promiseMs(): number {
    return this.#ended ? 0 : (this.#terms?.promiseMs ?? 0);
  }

  /** A reign begins. */
  begin(): void {
    this.#marks = [];
    this.#newest = 0;
    this.#ended = false;
  }

  /** A round is sent, for the first time or again. */
  sent(round: number): void {
    if (this.promiseMs === 0 || round <= this.#newest) return;
    this.#newest = round;
    const { now } = this.#state;
    const { validMs } = this.#terms!;
    if (now - (this.#marks.at(-1)?.at ?? -Infinity) < validMs / MARKS) return;
    this.#marks.push({ round, at: now });
    while (this.#marks.length > 1 && this.#marks[1]!.at + validMs <= now) this.#marks.shift();
  }

  /** When a round was sent, or an older one; -Infinity: too long ago. */
  sentAt(round: number): number {
    return this.#marks.findLast((mark) => mark.round <= round)?.at ?? -Infinity;
  }

  /**
   * Whether nobody else can be elected now, so that what is committed here is all that is. Counted by the membership of this
   * moment: whoever decides from now on must have promised.
   */
  get holds(): boolean {
    if (this.promiseMs === 0) return false;
    const { configs, now } = this.#state;
    return now < quorumValue(configs.latest, this.#promisedAt) + this.#terms!.validMs;
  }

  /** When the newest round was sent in answer to which a voter promised. */
  readonly #promisedAt = (voter: Member): number => {
    const state = this.#state;
    if (this.#matchedOf(voter) < state.countsFrom(voter)) return -Infinity;
    // Its own promise need not outlast its reign, and the lease does not.
    if (voter.id === state.self) return Infinity;
    return state.peers.get(voter.id)?.progress?.promisedAt ?? -Infinity;
  };

  /** What was promised so far counts no more; answers to rounds yet to come do. */
  void(): void {
    this.#marks = [];
    for (const { progress } of this.#state.peers.values())
      if (progress !== undefined) progress.promisedAt = -Infinity;
  }

  /**
   * None for the rest of this reign: another member was told that it may be elected. Even when the transfer is given up, its
   * word that it was chosen may still be under way, and nobody can tell for how long.
   */
  end(): void {
    this.#ended = true;
    this.void();
  }
}
