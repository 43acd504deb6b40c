/**
 * A group in which nothing happens goes quiet: no heartbeats, no time-outs, until somebody wants something of it (CockroachDB's
 * quiescence, TiKV's hibernating regions, dragonboat's quiesce). Safety never depends on it, since a quiet node is one that merely
 * lets time pass: it keeps its term, vote and log, and answers like any other.
 *
 * The leader asks the members it is linked with whether they stand where it stands and lack nothing. When all say so, it tells
 * them that it is quiet now, and so are they. What wakes a node: anything said in the group, anything asked of it, and the end of
 * a link that the group depends on, which the mesh notices with one heartbeat for all groups. Who wakes by itself wakes the
 * leader, and a leader that wakes lets itself be heard at once; so nobody is left waiting for a word that does not come, and if
 * it does not come, time-outs run as always.
 */
import { hasQuorum } from '../quorum.js';
import type { Election } from './election.js';
import type { Follower } from '../core/follower.js';
import type { Quiet, QuietReply, Wake } from './messages.js';
import type { Reads } from '../core/reads.js';
import type { Replication } from '../core/replication.js';
import type { Peer } from '../core/state.js';
import type { State } from './state.js';

/** The parts that a quiet core has to look at, or to wake. @internal */
export interface QuiescenceParts {
  readonly election: Election;
  readonly follower: Follower;
  readonly replication: Replication;
  readonly reads: Reads;
}

/** The part of a core that lets it rest. @internal */
export class Quiescence {
  readonly #state: State;
  readonly #parts: QuiescenceParts;
  /** Of the question under way, 0 without one; never used twice in a reign. */
  #attempt = 0;
  #attempts = 0;
  #askedAt = -Infinity;
  readonly #consents = new Set<Peer>();

  constructor(state: State, parts: QuiescenceParts) {
    this.#state = state;
    this.#parts = parts;
  }

  /** The leader looks whether the group has nothing to do. */
  tick(): void {
    const state = this.#state;
    const { now, options, log, term } = state;
    if (state.phase !== 'leader' || now - state.busyAt < options.quietAfterMs || !this.#leaderRests()) return;
    // The answers may be lost.
    if (this.#attempt !== 0 && now - this.#askedAt < options.electionTimeoutMs) return;
    this.#attempt = ++this.#attempts;
    this.#askedAt = now;
    this.#consents.clear();
    for (const peer of this.#linked())
      this.#send(peer, { type: 'quiet', term, index: log.last, attempt: this.#attempt, begins: false });
    this.#begin();
  }

  /** The leader would like to be quiet, or is from now on. */
  onQuiet(from: Peer, m: Quiet): void {
    const state = this.#state;
    const { log, commit, disk, options, term } = state;
    const rests =
      log.last === m.index &&
      commit === m.index &&
      disk.rests &&
      this.#parts.reads.rests &&
      this.#parts.follower.rests;
    const ok = rests && options.quietAfterMs !== Infinity;
    if (!m.begins) this.#send(from, { type: 'quietReply', term, attempt: m.attempt, ok });
    else if (ok) this.#rest();
  }

  onQuietReply(from: Peer, m: QuietReply): void {
    const state = this.#state;
    if (state.phase !== 'leader' || m.term !== state.term || m.attempt !== this.#attempt) return;
    if (!m.ok) {
      this.#attempt = 0;
      state.busyAt = state.now;
      return;
    }
    this.#consents.add(from);
    this.#begin();
  }

  onWake(m: Wake): void {
    if (m.term === this.#state.term) this.wake();
  }

  /** Somebody may want something of the group. */
  wake(): void {
    const state = this.#state;
    if (!state.quiet) return;
    this.stir();
    if (state.phase === 'leader') this.#parts.replication.wake();
    else if (state.leader !== '') this.#tell(state.peers.get(state.leader));
  }

  /** Runs on as if the leader had just been heard, and tells nobody. */
  stir(): void {
    const state = this.#state;
    if (!state.quiet) return;
    state.quiet = false;
    state.leaderHeardAt = state.busyAt = state.now;
    state.changed = state.dirty = true;
    this.#parts.election.restart();
  }

  /** The reign, or the role in it, changed. */
  reset(): void {
    this.#attempt = this.#attempts = 0;
    this.#consents.clear();
    this.#state.quiet = false;
  }

  /** All who are linked agree, and they decide: the group rests. */
  #begin(): void {
    const state = this.#state;
    const { term, log, busyAt, now, options } = state;
    // Whatever came since the question wants the group awake.
    if (now - busyAt < options.quietAfterMs || !this.#leaderRests()) return;
    for (const peer of this.#linked()) if (!this.#consents.has(peer)) return;
    for (const peer of this.#linked())
      this.#send(peer, { type: 'quiet', term, index: log.last, attempt: this.#attempt, begins: true });
    this.#attempt = 0;
    this.#rest();
  }

  #rest(): void {
    const state = this.#state;
    if (state.quiet) return;
    state.quiet = true;
    // From now on silence says nothing of anybody.
    for (const { rhythm } of state.peers.values()) rhythm.reset();
    state.changed = state.dirty = true;
  }

  /**
   * Nothing is under way: all that the log holds is committed and on every linked member, no membership is about to change, nobody
   * is to take over, no read waits. Members that are not there are not waited for, as long as the others are a quorum; when one
   * comes, the leader wakes.
   */
  #leaderRests(): boolean {
    const state = this.#state;
    const { log, commit, configs, disk, options } = state;
    const { latest } = configs;
    if (commit < log.last || !disk.rests || !this.#parts.replication.settled || !this.#parts.reads.rests)
      return false;
    if (latest.outgoing.length > 0 || latest.next !== undefined) return false;
    if (state.transferee !== '' || configs.standingOf(state.self)?.voter !== true) return false;
    for (const peer of this.#linked()) {
      const { progress, priority, id } = peer;
      if (progress?.state !== 'replicate' || progress.matched !== log.last || progress.toldCommit !== commit)
        return false;
      // It will get the leadership in a while.
      if (priority > options.priority && configs.standingOf(id)?.voter === true) return false;
    }
    return hasQuorum(latest, this.#parts.replication.isThere);
  }

  *#linked(): Iterable<Peer> {
    const { peers, configs, self } = this.#state;
    for (const peer of peers.values()) {
      if (peer.up && peer.id !== self && configs.standingOf(peer.id) !== undefined) yield peer;
    }
  }

  #tell(leader: Peer | undefined): void {
    if (leader?.up === true) this.#send(leader, { type: 'wake', term: this.#state.term });
  }

  #send(to: Peer, message: Quiet | QuietReply | Wake): void {
    this.#state.disk.send(to.id, message);
    this.#state.dirty = true;
  }
}
