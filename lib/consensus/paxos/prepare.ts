/**
 * The first phase (Sequence Paxos: Prepare and Promise): a candidate has a quorum promise to accept nothing of older ballots, takes
 * over the newest of their logs, and then leads. See docs/paxos.md for why this is enough.
 *
 * The newest log is the one whose last entry has the highest epoch, the longest of several. An entry keeps the epoch of the leader
 * that made it, and each leader begins with an entry of its own right behind what it took over. So the epoch of the last entry says
 * which leader's log it is, and there is no accepted round to be kept beside it.
 */
import { compareEpochs } from '../consensus.js';
import { Intake } from '../core/intake.js';
import { hasQuorum } from '../quorum.js';
import type { Epoch, NodeId } from '../consensus.js';
import type { VotePromise } from '../core/lease.js';
import type { Peer } from '../core/state.js';
import type { Prepare as PrepareMessage, Promise, Suffix } from './messages.js';
import type { PaxosState } from './state.js';
import type { Suffixes } from './suffixes.js';

/** After so many election time-outs without a quorum a candidacy is given up. */
const PATIENCE = 3;

/** A promise that came in. */
interface Given {
  readonly lastEpoch: Epoch;
  readonly lastIndex: number;
  /** Of the storage that gave it. */
  readonly incarnation: string;
}

/** The part of a core that becomes leader, and lets others become that. @internal */
export class Prepare {
  readonly #state: PaxosState;
  readonly #promise: VotePromise;
  readonly #suffixes: Suffixes;
  readonly #intake: Intake;
  readonly #lead: (met: ReadonlyMap<NodeId, string>) => void;
  readonly #given = new Map<NodeId, Given>();
  #chosenBy: Epoch | undefined;
  #askAt = Infinity;
  #endAt = Infinity;

  constructor(
    state: PaxosState,
    promise: VotePromise,
    suffixes: Suffixes,
    lead: (met: ReadonlyMap<NodeId, string>) => void,
  ) {
    this.#state = state;
    this.#promise = promise;
    this.#suffixes = suffixes;
    this.#intake = new Intake(state);
    this.#lead = lead;
  }

  get deadline(): number {
    return this.#state.phase === 'candidate' ? Math.min(this.#askAt, this.#endAt) : Infinity;
  }

  /** Whether this node votes, with the storage on record. */
  get isVoter(): boolean {
    const state = this.#state;
    if (state.configs.standingOf(state.self)?.voter !== true) return false;
    return state.founding || (state.consistent && state.isRecorded(state.self));
  }

  /** Whether it could lead: it votes, has promised nobody to wait, and its disk answers. */
  get able(): boolean {
    const state = this.#state;
    if (state.diskStalled || state.stopped !== undefined || this.#promise.until > state.now) return false;
    // What it follows is a leader of a configuration that it is about to learn of.
    if (state.committedOnly) return false;
    return this.isVoter;
  }

  /** Runs with a ballot that is newer than all that were promised here. */
  campaign(ballot: Epoch, chosenBy: Epoch | undefined): void {
    const state = this.#state;
    state.follow(ballot, '');
    state.enter('candidate');
    this.#chosenBy = chosenBy;
    this.#given.clear();
    this.#endAt = state.now + PATIENCE * state.electionMs;
    this.#ask();
  }

  /** Asks again those who have not promised: a word may be lost, or who was asked had to wait or to catch up. */
  tick(): void {
    const state = this.#state;
    if (state.phase !== 'candidate') return;
    if (state.now >= this.#endAt) state.follow(state.term, '');
    else if (state.now >= this.#askAt) this.#ask();
  }

  /** The disk got further: the own promise may count now. */
  persisted(): void {
    const state = this.#state;
    if (state.phase !== 'candidate' || !state.disk.voteDurable || this.#given.has(state.self)) return;
    this.#note(state.self, state.incarnation);
    this.#settle();
  }

  /** A snapshot came, or entries. */
  settle(): void {
    if (this.#state.phase === 'candidate') this.#settle();
  }

  linked(peer: Peer): void {
    if (this.#state.phase === 'candidate') this.#askOne(peer);
  }

  /** Contact with a peer ended, or began with another storage: what it promised it may have forgotten. */
  unlinked(id: NodeId): void {
    this.#given.delete(id);
  }

  onPrepare(from: Peer, m: PrepareMessage): void {
    const state = this.#state;
    state.learn(m.genesis);
    if (compareEpochs(m.term, state.term) < 0) {
      this.#refuse(from.id);
      return;
    }
    // Before the first configuration there may be several groups in the making, and a node that joins makes none.
    const isForeign = m.genesis !== state.genesis || (state.founding && !state.founder);
    if (isForeign && m.term.config === 0) {
      this.#refuse(from.id);
      return;
    }
    // It is asked again until the promise has run out, or the candidate gives up. Only the leader that has the promise can take it
    // back: the word that another one was chosen may come late, when a newer leader counts on a promise of its own.
    const isChosen = m.chosenBy !== undefined && compareEpochs(m.chosenBy, state.promised) === 0;
    if (this.#promise.binds(from.id) && !isChosen) return;
    // A storage that is not the one on record forgot what it promised.
    if (state.isAnother(from.id) || state.isAnother(state.self)) return;
    if (state.compare(m.term, state.term) > 0) {
      state.follow(m.term, '');
      state.succession = m.chosenBy !== undefined;
    }
    state.leaderHeardAt = state.now;
    const { lastEpoch, last: lastIndex } = state.log;
    const { commit, genesis } = state;
    this.#reply(from.id, {
      type: 'promise',
      granted: true,
      term: m.term,
      lastEpoch,
      lastIndex,
      commit,
      genesis,
    });
  }

  onPromise(from: Peer, m: Promise): boolean {
    const state = this.#state;
    state.learn(m.genesis);
    if (!m.granted) {
      if (compareEpochs(m.term, state.term) > 0) state.follow(m.term, '');
      return true;
    }
    if (state.phase !== 'candidate' || compareEpochs(m.term, state.term) !== 0) return true;
    // What it accepted, it accepted of older ballots.
    if (compareEpochs(m.lastEpoch, m.term) >= 0) return false;
    if (!this.#counts(from)) return true;
    this.#given.set(from.id, {
      lastEpoch: m.lastEpoch,
      lastIndex: m.lastIndex,
      incarnation: from.incarnation,
    });
    this.#settle();
    return true;
  }

  /** The part of the newest log that is missing here. */
  onSuffix(from: Peer, m: Suffix): boolean {
    const state = this.#state;
    if (state.phase !== 'candidate' || compareEpochs(m.term, state.term) !== 0) return true;
    if (this.#newest() !== from.id) return true;
    if (!this.#suffixes.answered(from.id, m)) return true;
    if (m.conflict !== undefined) {
      const { conflict } = m;
      const at = state.log.findConflict(Math.min(conflict.index, conflict.prevIndex - 1), conflict.epoch);
      const agree = at.index === conflict.index && compareEpochs(at.epoch, conflict.epoch) === 0;
      this.#fetch(from.id, agree ? at.index : state.log.boundAtMost(at.index));
      return true;
    }
    if (m.prevIndex > state.log.last || !this.#intake.agrees(m.prevIndex, m.prevEpoch)) return true;
    if (!this.#intake.take(m.entries)) return false;
    this.#settle();
    return true;
  }

  /** A member's promise counts if its storage is the one on record; while founding, there is no record yet. */
  #counts(peer: Peer): boolean {
    const state = this.#state;
    if (state.configs.standingOf(peer.id)?.voter !== true || peer.incarnation === '') return false;
    return state.founding || state.isRecorded(peer.id);
  }

  /** Leads, if a quorum promised and the newest of their logs is here. */
  #settle(): void {
    const state = this.#state;
    const { configs, founding } = state;
    // What was taken over changes the own log, too.
    if (this.#given.has(state.self)) this.#note(state.self, state.incarnation);
    const elected = hasQuorum(
      configs.latest,
      ({ id, incarnation }) => {
        const given = this.#given.get(id);
        return given !== undefined && (founding || given.incarnation === incarnation);
      },
      'election',
    );
    if (!elected) return;
    const newest = this.#newest();
    if (newest !== state.self) {
      if (!this.#suffixes.isAsked(newest)) this.#fetch(newest, Infinity);
      return;
    }
    this.#lead(new Map([...this.#given].map(([id, { incarnation }]) => [id, incarnation])));
  }

  #note(id: NodeId, incarnation: string): void {
    const { lastEpoch, last: lastIndex } = this.#state.log;
    this.#given.set(id, { lastEpoch, lastIndex, incarnation });
  }

  /** Who promised and has the newest log: this node, if it has as much. */
  #newest(): NodeId {
    const { self, log } = this.#state;
    let newest = self;
    let best = { lastEpoch: log.lastEpoch, lastIndex: log.last };
    for (const [id, given] of this.#given) {
      const later = compareEpochs(given.lastEpoch, best.lastEpoch) || given.lastIndex - best.lastIndex;
      if (id === self || later <= 0) continue;
      newest = id;
      best = given;
    }
    return newest;
  }

  /** Asks for what follows the place, at or before `upTo`, up to which the logs may agree. */
  #fetch(from: NodeId, upTo: number): void {
    const { log, commit, term } = this.#state;
    const given = this.#given.get(from)!;
    const at = log.findConflict(Math.min(upTo, given.lastIndex), given.lastEpoch);
    // What is committed is part of every newest log.
    const prevIndex = Math.max(commit, log.boundAtMost(at.index));
    this.#suffixes.ask(from, term, true, prevIndex);
  }

  #ask(): void {
    const { now, options, configs, peers } = this.#state;
    this.#askAt = now + options.heartbeatMs;
    for (const id of configs.ids()) {
      const peer = peers.get(id);
      if (peer !== undefined) this.#askOne(peer);
    }
    this.#settle();
  }

  #askOne({ id, up }: Peer): void {
    const state = this.#state;
    if (!up || this.#given.has(id) || state.configs.standingOf(id)?.voter !== true) return;
    const { term, genesis } = state;
    const asks: PrepareMessage = { type: 'prepare', term, genesis, chosenBy: this.#chosenBy };
    state.disk.send(id, asks);
    state.dirty = true;
  }

  #refuse(to: NodeId): void {
    const { term, genesis, commit, log } = this.#state;
    const { lastEpoch, last: lastIndex } = log;
    this.#reply(to, { type: 'promise', granted: false, term, lastEpoch, lastIndex, commit, genesis });
  }

  #reply(to: NodeId, message: Promise): void {
    this.#state.disk.send(to, message);
    this.#state.dirty = true;
  }
}
