/**
 * Who leads (Raft §5.2, §5.4.1; dissertation §4.2.3 and §9.6): randomised time-outs, pre-vote, votes by the newer log, and
 * who may vote or run at all, given that storages can lose their memory (docs/raft.md, "Incarnations and genesis").
 */
import { voteResult } from '../quorum.js';
import type { NodeId } from '../consensus.js';
import type { Member } from '../membership.js';
import type { TimeoutNow, Vote, VoteReply } from './messages.js';
import type { VotePromise } from '../core/lease.js';
import type { Peer } from '../core/state.js';
import type { State } from './state.js';

/** Over how many election time-outs the elections of quiet groups are spread that lost their leaders at once. */
const QUIET_SPREAD = 4;

/** The part of a core that makes leaders. @internal */
export class Election {
  readonly #state: State;
  readonly #promise: VotePromise;
  readonly #lead: (met: ReadonlyMap<NodeId, string>) => void;
  readonly #votes = new Map<NodeId, boolean>();
  /** The incarnations of those that granted. */
  readonly #granted = new Map<NodeId, string>();
  #deadline = Infinity;
  /** The deadline is a late one, since nobody waits. */
  #unhurried = false;
  /** This candidacy is the last leader's wish. */
  #transfer = false;
  /** How long silence is borne at least, and up to how much longer; measured of which leader, and when to do so again. */
  #leastMs = 0;
  #spreadMs = 0;
  #measuredOf: NodeId = '';
  #measureAt = -Infinity;
  /** Candidacies in a row that led to nothing. */
  #campaigns = 0;
  /** A pre-candidate: until when it goes first if another one asks at the same time. */
  #preferredUntil = -Infinity;

  constructor(state: State, promise: VotePromise, lead: (met: ReadonlyMap<NodeId, string>) => void) {
    this.#state = state;
    this.#promise = promise;
    this.#lead = lead;
  }

  get deadline(): number {
    // To run is to vote for oneself.
    return Math.max(this.#deadline, this.#promise.until);
  }

  /** The leader was heard. */
  heard(): void {
    const { now, leader, options } = this.#state;
    this.#campaigns = 0;
    // Under load that is with every append: what changes slowly is looked at once a heartbeat.
    if (now >= this.#measureAt || leader !== this.#measuredOf) {
      this.#measureAt = now + options.heartbeatMs;
      this.#measuredOf = leader;
      this.#measure();
    }
    this.#unhurried = false;
    this.#deadline = now + this.#leastMs + this.#state.random() * this.#spreadMs;
  }

  /** Waits anew for a while: of random length, so that candidates seldom meet. */
  restart(): void {
    this.#unhurried = false;
    this.#measuredOf = '';
    this.#measure();
    this.#deadline = this.#state.now + this.#leastMs + this.#state.random() * this.#spreadMs;
  }

  /** Nobody else could lead, so there is nothing to wait for. */
  hasten(): void {
    this.#deadline = this.#state.now;
  }

  /** The link to the leader broke: it is probably dead, so wait less. Pre-vote keeps a live leader safe from this. */
  leaderLost(): void {
    const { now, random, options } = this.#state;
    const { heartbeatMs, electionTimeoutMs } = options;
    // Promises of one heartbeat end at one time: from there on the members take turns.
    const from = Math.max(now + heartbeatMs, this.#promise.until);
    this.#deadline = Math.min(this.#deadline, from + random() * (electionTimeoutMs / 2));
  }

  /** So did the links of all groups that this leader led in silence: nobody waits for them, so they do not run all at once. */
  quietLeaderLost(): void {
    const { now, random, options } = this.#state;
    const { heartbeatMs, electionTimeoutMs } = options;
    this.#deadline = now + heartbeatMs + random() * electionTimeoutMs * QUIET_SPREAD;
    this.#unhurried = true;
  }

  /** Somebody waits after all. */
  hurry(): void {
    if (!this.#unhurried) return;
    this.#unhurried = false;
    this.leaderLost();
  }

  tick(): void {
    const state = this.#state;
    if (state.now < this.deadline) return;
    if (this.#mayRun()) {
      this.#preCampaign();
      return;
    }
    state.follow(state.term, '');
    this.restart();
  }

  /** The disk got further: the own vote may count now. */
  persisted(): void {
    const state = this.#state;
    if (state.phase !== 'candidate' || !state.disk.voteDurable || this.#votes.has(state.self)) return;
    this.#votes.set(state.self, true);
    this.#count();
  }

  /** A peer is there that was not there when the votes were asked for. */
  linked(peer: Peer): void {
    if (this.#state.phase === 'preCandidate' || this.#state.phase === 'candidate') this.#ask(peer.id);
  }

  onVote(from: Peer, m: Vote): void {
    const state = this.#state;
    state.learn(m.genesis);
    // Stickiness (§4.2.3): who hears a leader lets nobody disturb it. A leader here has heard a quorum, or it stepped down.
    const hears =
      state.phase === 'leader' ||
      (state.leader !== '' && state.now - state.leaderHeardAt < state.patienceWith(state.leader));
    // Unlike stickiness, which is there for the leader's peace and goes with its link, a promise is kept whatever happens. Only the
    // leader it was given to can take it back, and that is what a transfer is.
    const sticky = ((hears && state.leader !== from.id) || this.#promise.binds(from.id)) && !m.transfer;
    if (m.term < state.term || sticky) {
      this.#reply(from.id, m.pre, false, state.term);
      return;
    }
    if (!m.pre && m.term > state.term) {
      state.follow(m.term, '');
      state.succession = m.transfer;
    }
    const free =
      state.vote === from.id || (state.vote === '' && (state.leader === '' || state.leader === from.id));
    const granted =
      (free || (m.pre && m.term > state.term)) &&
      this.#upToDate(m) &&
      this.#mayGrant(from, m) &&
      !(m.pre && this.#goesFirst(from, m));
    if (granted && m.pre) this.#makeWay();
    if (granted && !m.pre) {
      if (state.vote !== from.id) {
        state.vote = from.id;
        state.disk.voteChanged();
      }
      this.restart();
    }
    this.#reply(from.id, m.pre, granted, granted ? m.term : state.term);
  }

  /** The leader says that this node should take over: it runs at once, and asks nobody beforehand (dissertation §3.10). */
  onTimeoutNow(from: Peer, m: TimeoutNow): void {
    const state = this.#state;
    // Late, twice, or from one that does not lead: then it would disturb a leader that nobody wants to replace.
    if (m.term !== state.term || state.leader !== from.id) return;
    if (!this.#mayRun()) return;
    this.#campaign(true);
    state.succession = true;
  }

  onVoteReply(from: Peer, m: VoteReply): void {
    const state = this.#state;
    state.learn(m.genesis);
    if (m.term > state.term && !(m.pre && m.granted)) {
      state.follow(m.term, '');
      return;
    }
    if (state.phase !== (m.pre ? 'preCandidate' : 'candidate')) return;
    if (m.granted && m.term !== (m.pre ? state.term + 1 : state.term)) return;
    // A refusal of an older term answers an older question.
    if (!m.granted && m.term !== state.term && !m.pre) return;
    if (this.#votes.has(from.id) || !this.#counts(from)) return;
    this.#votes.set(from.id, m.granted);
    if (m.granted) this.#granted.set(from.id, from.incarnation);
    this.#count();
  }

  /** A member's vote counts if its storage is the one on record; while founding, there is no record yet. */
  #counts(peer: Peer): boolean {
    const state = this.#state;
    if (state.configs.standingOf(peer.id)?.voter !== true || peer.incarnation === '') return false;
    return state.founding || state.isRecorded(peer.id);
  }

  /** Two ask for pre-votes at the same time: with equal logs the one with the smaller id goes first, lest both be elected by none. */
  #goesFirst(other: Peer, m: Vote): boolean {
    const { phase, log, self, now } = this.#state;
    if (phase !== 'preCandidate' || now >= this.#preferredUntil) return false;
    return m.lastTerm === log.lastEpoch.n && m.lastIndex === log.last && self < other.id;
  }

  /** Who was granted a pre-vote will ask for the vote within a round trip: until then this node does not stand against it. */
  #makeWay(): void {
    const state = this.#state;
    if (state.phase === 'preCandidate') state.follow(state.term, '');
    this.#deadline = Math.max(this.#deadline, state.now + state.electionMs / 3);
  }

  /** How long to wait for the leader, or, where there is none, for an election. */
  #measure(): void {
    const state = this.#state;
    const { electionMs } = state;
    this.#leastMs = state.leader === '' ? electionMs : state.patienceWith(state.leader);
    this.#spreadMs = electionMs / 3;
  }

  #mayRun(): boolean {
    const state = this.#state;
    // Its vote for itself would not get to the disk, and until then nobody is asked.
    if (state.diskStalled) return false;
    const { configs, self, incarnation } = state;
    // Nobody could learn from it what was committed.
    if (state.witness) return false;
    // Who is to be removed may have to finish that, when it alone has the entry: so it runs, without a vote of its own, until the
    // removal is committed (dissertation §4.2.2).
    const { voters, outgoing } = configs.stable;
    const leaves = (): boolean =>
      [...voters, ...outgoing].some((voter) => voter.id === self && voter.incarnation === incarnation);
    if (configs.standingOf(self)?.voter !== true) return state.consistent && leaves();
    return state.founding || (state.consistent && state.isRecorded(self));
  }

  #mayGrant(candidate: Peer, m: Vote): boolean {
    const state = this.#state;
    // A storage that is not the one on record forgot what it promised. For the candidate's the own log says so; for the own one
    // the candidate's: the own log may lack the entry that admitted it, and each storage keeps its votes as a server of its own.
    if (state.isAnother(candidate.id)) return false;
    if (m.genesis !== state.genesis) return false;
    return m.recorded === '' ? state.founder && m.lastIndex === 0 : m.recorded === state.incarnation;
  }

  /** The vote of a member counts for the part of the membership that has the storage which gave it on record. */
  #voteOf(voter: Member): boolean | undefined {
    const { founding, self, incarnation } = this.#state;
    const vote = this.#votes.get(voter.id);
    if (vote !== true || founding) return vote;
    const granted = voter.id === self ? incarnation : this.#granted.get(voter.id);
    return granted === voter.incarnation;
  }

  #upToDate(m: Vote): boolean {
    const { last, lastEpoch } = this.#state.log;
    return m.lastTerm > lastEpoch.n || (m.lastTerm === lastEpoch.n && m.lastIndex >= last);
  }

  #preCampaign(): void {
    const state = this.#state;
    // Forgetting the leader lets others' pre-votes through, lest all wait for each other (etcd#8501).
    state.enter('preCandidate');
    this.restart();
    this.#preferredUntil = state.now + state.electionMs / 3;
    this.#votes.clear();
    this.#granted.clear();
    this.#votes.set(state.self, true);
    this.#askAll();
    this.#count();
  }

  #campaign(transfer: boolean): void {
    const state = this.#state;
    this.#transfer = transfer;
    state.term++;
    state.vote = state.self;
    state.disk.voteChanged();
    state.enter('candidate');
    this.#votes.clear();
    this.#granted.clear();
    this.#waitForVotes();
    this.#askAll();
  }

  /** Each time longer: votes come after a flush on each side, and nobody knows how long these take. */
  #waitForVotes(): void {
    this.restart();
    const { now, electionMs, options } = this.#state;
    const most = Math.max(options.maxElectionTimeoutMs, electionMs);
    const more = electionMs * (2 ** Math.min(this.#campaigns++, 10) - 1);
    this.#deadline += Math.max(0, Math.min(more, most - (this.#deadline - now)));
  }

  #count(): void {
    const state = this.#state;
    const result = voteResult(state.configs.latest, (voter) => this.#voteOf(voter));
    if (result === 'lost') state.follow(state.term, '');
    if (result !== 'won') return;
    if (state.phase === 'preCandidate') this.#campaign(false);
    else {
      this.#campaigns = 0;
      this.#lead(this.#granted);
    }
  }

  #askAll(): void {
    for (const id of this.#state.configs.ids()) this.#ask(id);
  }

  #ask(id: NodeId): void {
    const state = this.#state;
    const peer = state.peers.get(id);
    const standing = state.configs.standingOf(id);
    if (peer?.up !== true || standing?.voter !== true) return;
    const pre = state.phase === 'preCandidate';
    const { last, lastEpoch } = state.log;
    state.disk.send(id, {
      type: 'vote',
      pre,
      term: pre ? state.term + 1 : state.term,
      lastIndex: last,
      lastTerm: lastEpoch.n,
      genesis: state.genesis,
      recorded: standing.incarnations.includes(peer.incarnation)
        ? peer.incarnation
        : standing.incarnations[0]!,
      transfer: !pre && this.#transfer,
    });
    state.dirty = true;
  }

  #reply(to: NodeId, pre: boolean, granted: boolean, term: number): void {
    const { disk, genesis } = this.#state;
    disk.send(to, { type: 'voteReply', pre, granted, term, genesis });
    this.#state.dirty = true;
  }
}
