/**
 * The receiving end of replication (Raft §5.3): takes what the leader sends, says how far the disk agrees with it, and where
 * the logs part. Truncates only on a real conflict, never what is committed. Appends that overtook others on another lane
 * wait a moment in a bounded buffer instead of being refused.
 */
import { lastOf } from '../consensus.js';
import { bytesOf } from '../log.js';
import { Intake } from './intake.js';
import type { Index, NodeId } from '../consensus.js';
import type { Ack, Append, Conflict, Heartbeat } from './messages.js';
import type { VotePromise } from './lease.js';
import type { CoreState } from './state.js';

/** The part of a core that follows a leader. @internal */
export class Follower {
  readonly #state: CoreState;
  readonly #intake: Intake;
  readonly #promise: VotePromise;
  readonly #heard: () => void;
  /** Up to here the log in memory agrees with the leader of this reign. */
  #matched: Index = 0;
  #round = 0;
  /** The promise that this round asked for was given. */
  #promised = false;
  /** An acknowledgement should go out; one waits for the disk. */
  #due = false;
  #waiting = false;
  #conflict: Conflict | undefined;
  #early: Append[] = [];
  #earlyBytes = 0;
  #gapAt = Infinity;

  constructor(state: CoreState, promise: VotePromise, heard: () => void) {
    this.#state = state;
    this.#intake = new Intake(state);
    this.#promise = promise;
    this.#heard = heard;
  }

  /** When a gap has lasted too long. */
  get deadline(): number {
    return this.#gapAt;
  }

  /** Nothing waits: no append for another one, no answer for the disk. */
  get rests(): boolean {
    return this.#early.length === 0 && !this.#waiting && this.#conflict === undefined;
  }

  /** A reign ended: what was known of its log holds no more. */
  reset(): void {
    this.#matched = this.#round = 0;
    this.#due = this.#waiting = this.#promised = false;
    this.#conflict = undefined;
    this.#forgetEarly();
  }

  tick(): void {
    if (this.#state.now < this.#gapAt) return;
    const first = this.#early.reduce((a, b) => (a.prevIndex <= b.prevIndex ? a : b));
    this.#forgetEarly();
    this.#refuse(first);
  }

  /** The disk got further. */
  persisted(): void {
    if (!this.#waiting) return;
    this.#due = this.#state.dirty = true;
    this.#waiting = this.#state.disk.persistedIndex < this.#matched;
  }

  /** A snapshot up to `index` replaced the log's beginning. */
  installed(from: NodeId, index: Index): void {
    const state = this.#state;
    this.#matched = Math.min(this.#matched, state.log.last);
    // The current leader's snapshot is a prefix of its log; another one's says nothing about the current leader's.
    if (from === state.leader) this.#matched = Math.max(this.#matched, index);
    this.#waiting = true;
  }

  onHeartbeat(from: NodeId, m: Heartbeat): boolean {
    const heard = this.#hear(from, m.term);
    if (heard !== 'now') return heard === 'late';
    const state = this.#state;
    state.learn(m.genesis);
    this.#commitUpTo(m.commit);
    if (m.round > 0) {
      const promised = this.#promise.give(from, m.promiseMs);
      if (m.round >= this.#round) {
        this.#round = m.round;
        this.#promised = promised;
      }
      this.#due = state.dirty = true;
    }
    return true;
  }

  onAppend(from: NodeId, m: Append): boolean {
    const heard = this.#hear(from, m.term);
    if (heard !== 'now') return heard === 'late';
    this.#state.dirty = true;
    try {
      if (!this.#takeWhatMay(m)) return false;
      for (let next = this.#nextEarly(); next !== undefined; next = this.#nextEarly()) {
        if (!this.#takeWhatMay(next)) return false;
      }
    } catch (error) {
      this.#state.fail(error as Error);
    }
    return true;
  }

  /** Whether the one that speaks is the leader that this node follows; hearing it counts, as a heartbeat does. */
  hears(from: NodeId, term: unknown): boolean {
    return this.#hear(from, term) === 'now';
  }

  /** At most one acknowledgement a drain, and none of a term that is not durable yet. */
  drain(): void {
    const state = this.#state;
    if (!this.#due || state.leader === '' || state.phase !== 'follower' || !state.disk.voteDurable) return;
    state.disk.send(state.leader, {
      type: 'ack',
      term: state.term,
      matched: state.consistent ? this.#acknowledged : 0,
      round: this.#round,
      promised: this.#promised,
      conflict: this.#conflict,
    } satisfies Ack);
    this.#due = false;
    this.#conflict = undefined;
  }

  /** Durable here, and the same at the leader. */
  get #acknowledged(): Index {
    const { disk, committedOnly, commit } = this.#state;
    const matched = Math.min(this.#matched, disk.persistedIndex);
    return committedOnly ? Math.min(matched, commit) : matched;
  }

  #hear(from: NodeId, term: unknown): 'now' | 'late' | 'never' {
    const state = this.#state;
    const rhythm = state.peers.get(from)?.rhythm;
    const newer = state.compare(term, state.term);
    if (newer < 0 || (newer === 0 && state.phase === 'preCandidate'))
      rhythm?.late(state.now, state.awakeSince);
    if (newer < 0) {
      // Lets a leader of the past, or one that we cannot reach otherwise, know the newer term (etcd#8501).
      const nothing = { matched: 0, round: 0, promised: false, conflict: undefined };
      state.disk.send(from, { type: 'ack', term: state.term, ...nothing } satisfies Ack);
      state.dirty = true;
      return 'late';
    }
    const another = newer === 0 && state.leader !== '' && state.leader !== from;
    if (another || !state.mayLead(from, term)) return 'never';
    state.follow(term, from);
    state.leaderHeardAt = state.now;
    rhythm?.heard(state.now, state.awakeSince);
    this.#heard();
    return 'now';
  }

  /** Of a reign that this node may not take part in yet it takes what is committed: that may be what it lacks. */
  #takeWhatMay(m: Append): boolean {
    const state = this.#state;
    if (!state.committedOnly) return this.#take(m);
    const end = m.entries.findIndex((entry) => lastOf(entry) > m.commit);
    if (!this.#take(end < 0 ? m : { ...m, entries: m.entries.slice(0, end) })) return false;
    return end < 0 || state.committedOnly || this.#take(m);
  }

  /** Takes an append of the current leader. `false`: it cannot be true. */
  #take(m: Append): boolean {
    const { log, disk } = this.#state;
    if (m.prevIndex > log.last) {
      if (!this.#keepEarly(m)) this.#refuse(m);
      return true;
    }
    if (!this.#intake.agrees(m.prevIndex, m.prevEpoch)) {
      this.#refuse(m);
      return true;
    }
    if (!this.#intake.take(m.entries)) return false;
    const last = m.entries.at(-1);
    this.#matched = Math.max(this.#matched, last === undefined ? m.prevIndex : lastOf(last));
    if (this.#conflict !== undefined && this.#conflict.prevIndex <= this.#matched) this.#conflict = undefined;
    if (disk.persistedIndex >= this.#matched) this.#due = true;
    else this.#waiting = true;
    this.#commitUpTo(m.commit);
    return true;
  }

  #commitUpTo(commit: Index): void {
    if (this.#state.consistent) this.#state.advanceCommit(Math.min(commit, this.#matched));
  }

  #refuse(m: Append): void {
    const at = this.#state.log.findConflict(m.prevIndex, m.prevEpoch);
    this.#conflict = { prevIndex: m.prevIndex, index: at.index, epoch: at.epoch };
    this.#due = this.#state.dirty = true;
  }

  /** Keeps an append that overtook another one, once the leader pipelines. */
  #keepEarly(m: Append): boolean {
    const { options, now } = this.#state;
    if (m.entries.length === 0 || this.#matched === 0) return false;
    const bytes = bytesOf(m.entries);
    const full =
      this.#early.length >= options.maxInflightMessages ||
      this.#earlyBytes + bytes > options.maxInflightBytes;
    if (full) return false;
    if (this.#early.some((other) => other.prevIndex === m.prevIndex)) return true;
    if (this.#early.length === 0) this.#gapAt = now + options.heartbeatMs;
    this.#early.push(m);
    this.#earlyBytes += bytes;
    return true;
  }

  /** Takes out an append whose turn has come. */
  #nextEarly(): Append | undefined {
    if (this.#early.length === 0) return undefined;
    const at = this.#early.findIndex((m) => m.prevIndex <= this.#state.log.last);
    if (at < 0) return undefined;
    const [m] = this.#early.splice(at, 1);
    this.#earlyBytes -= bytesOf(m!.entries);
    this.#gapAt = this.#early.length === 0 ? Infinity : this.#state.now + this.#state.options.heartbeatMs;
    return m;
  }

  #forgetEarly(): void {
    this.#early = [];
    this.#earlyBytes = 0;
    this.#gapAt = Infinity;
  }
}
