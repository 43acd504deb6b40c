/**
 * The Paxos core: ballot leader election, the first phase, and configurations that end with stop-signs, over what every core does
 * (core/base.ts). See docs/paxos.md.
 *
 * Leslie Lamport: Paxos Made Simple (2001); Haridi, Kroll, Carbone: Lecture Notes on Leader-based Sequence Paxos (2020); Ng, Haridi,
 * Carbone: Omni-Paxos (EuroSys 2023); Howard, Malkhi, Spiegelman: Flexible Paxos (2016).
 */
import { compareEpochs } from '../consensus.js';
import { BaseCore } from '../core/base.js';
import { hasQuorum } from '../quorum.js';
import { BallotElection } from './ballotElection.js';
import { completePaxosOptions } from './options.js';
import { Prepare } from './prepare.js';
import { PaxosState } from './state.js';
import { Suffixes } from './suffixes.js';
import { isSound } from './validate.js';
import type {
  Accepted,
  ConsensusProtocol,
  CoreSetup,
  Effects,
  Entry,
  Epoch,
  Index,
  IoToken,
  MembershipChange,
  NodeId,
} from '../consensus.js';
import type { Peer } from '../core/state.js';
import type { PaxosMessage } from './messages.js';
import type { PaxosOptions } from './options.js';
import type { Sight } from './ballotElection.js';

/** So many rounds of looking around fit in an election time-out. */
const ROUNDS = 3;

/**
 * The Paxos protocol. The options must be valid: whoever offers them to users checks them.
 *
 * @internal
 */
export function createPaxosProtocol(options: PaxosOptions = {}): ConsensusProtocol<PaxosMessage> {
  const complete = completePaxosOptions(options);
  const { priority, electionTimeoutMs: transferMs } = complete;
  return { name: 'paxos', priority, transferMs, create: (setup) => new PaxosCore(setup, complete) };
}

class PaxosCore extends BaseCore<PaxosMessage, PaxosState> {
  readonly #election: BallotElection;
  readonly #suffixes: Suffixes;
  readonly #prepare: Prepare;
  #roundEnd: number;

  constructor(setup: CoreSetup, options: Required<PaxosOptions>) {
    const state = new PaxosState(setup, options);
    super(state, 'paxos');
    const { promise, replication, reconfigure } = this;
    this.#election = new BallotElection(state.self, options.priority, state.promised);
    this.#suffixes = new Suffixes(state);
    this.#prepare = new Prepare(state, promise, this.#suffixes, (met) => {
      state.enter('leader');
      replication.begin(met);
    });
    replication.onProgress = () => {
      // The next step is that of another configuration.
      if (!state.outdated) reconfigure.settle();
    };
    // Nobody else could lead, so there is nothing to wait for. Otherwise not all look around at the same time.
    const alone = state.configs.latest.voters.length === 1 && !state.configs.hasOthers(state.self);
    this.#roundEnd = state.now + (alone ? 0 : this.#roundMs * (1 + state.random()));
  }

  nextDeadline(): number {
    const { stopped, phase, dirty, now, configs, self, options } = this.state;
    if (stopped !== undefined) return Infinity;
    if (dirty) return now;
    if (phase === 'leader' && !configs.hasOthers(self)) return Infinity;
    const own =
      phase === 'leader'
        ? Math.min(this.replication.deadline, this.transfers.deadline)
        : Math.min(this.follower.deadline, this.#prepare.deadline, this.reads.deadline);
    // Looking in at least twice an election time-out tells a long silence from a long stall.
    return Math.min(own, this.#roundEnd, now + options.electionTimeoutMs / 2);
  }

  tick(now: number): void {
    if (!this.enter(now)) return;
    const { state } = this;
    if (state.phase === 'leader') {
      this.replication.tick();
      this.transfers.tick();
      this.ioHealth.tick();
    } else {
      this.follower.tick();
      this.#prepare.tick();
      if (state.leader !== '' && now - state.leaderHeardAt >= state.patienceWith(state.leader))
        state.forsake();
    }
    this.reads.tick();
    if (now >= this.#roundEnd) this.#endRound();
    this.#settle();
  }

  receive(now: number, from: NodeId, message: PaxosMessage): boolean {
    if (!this.enter(now)) return true;
    const { state } = this;
    const peer = state.peers.get(from);
    if (!isSound(message, from, state.term)) return false;
    if (peer?.up !== true) return true;
    const term =
      'term' in message && message.type !== 'fetch' && message.type !== 'suffix' ? message.term : undefined;
    let sound: boolean;
    if (term === undefined || compareEpochs(term, state.term) <= 0) {
      sound = this.#take(peer, message);
    } else {
      const verdict = this.#judge(from, term);
      if (verdict !== 'take') return verdict === 'drop';
      const { n, config } = state.term;
      sound = this.#take(peer, message);
      if (state.term.n > n && state.term.config === config)
        this.guard.rose(now, this.#memberOf(from), state.term.n - n);
    }
    this.#settle();
    return sound;
  }

  persisted(now: number, upTo: IoToken): void {
    if (!this.enter(now) || !this.state.disk.persisted(upTo)) return;
    this.follower.persisted();
    this.#prepare.persisted();
    this.replication.persisted();
    // Answers may have waited for the promise to be durable.
    this.state.dirty = true;
    this.#settle();
  }

  override changeMembership(now: number, change: MembershipChange): Accepted {
    // A log without payloads cannot be taken over.
    if ((change.addWitnesses?.length ?? 0) > 0) return { ok: false, why: 'invalid' };
    return super.changeMembership(now, change);
  }

  override fetched(now: number, request: number, entries: readonly Entry[] | 'compacted'): void {
    super.fetched(now, request, entries);
    this.#suffixes.fetched(request, entries);
  }

  override snapshotDone(now: number, request: number, index: Index, ok: boolean): void {
    super.snapshotDone(now, request, index, ok);
    this.#suffixes.snapshotDone(request);
  }

  override drain(now: number, out: Effects<PaxosMessage>): void {
    super.drain(now, out);
    out.fetch.push(...this.#suffixes.fetch.splice(0));
    out.snapshotTo.push(...this.#suffixes.snapshotTo.splice(0));
  }

  protected leaderHeard(): void {
    // Who leads is looked at in rounds.
  }

  protected reignChanged(): void {
    // A ballot that is over is followed by a newer one, which rounds decide on.
  }

  protected wanted(): void {
    // A group of this protocol never rests.
  }

  protected stoodStill(): void {
    // Who did not answer meanwhile was not heard: a new round tells.
    this.#beginRound();
  }

  protected reaches(from: NodeId, epoch: Epoch): boolean {
    const { state } = this;
    if (compareEpochs(epoch, state.term) <= 0) return true;
    const verdict = this.#judge(from, epoch);
    return verdict === 'take';
  }

  protected installed(): void {
    this.state.keepUp();
    this.#settle();
    this.#prepare.settle();
  }

  protected linkChanges(id: NodeId): void {
    this.#prepare.unlinked(id);
    this.#suffixes.unlinked(id);
  }

  protected unlinked(_peer: Peer, leads: boolean): void {
    if (!leads) return;
    const { state } = this;
    state.leaderHeardAt = -Infinity;
    this.#election.lost(state.promised);
    // It is probably dead. Whoever hears it still is happy, and nobody takes over then.
    this.#roundEnd = Math.min(this.#roundEnd, state.now + state.options.heartbeatMs);
  }

  protected linked(peer: Peer): void {
    this.#prepare.linked(peer);
    this.#ping(peer);
  }

  protected hardEpoch(): { config: number; epoch: Epoch; vote: NodeId } {
    const { promised, configs } = this.state;
    return { config: configs.number, epoch: promised, vote: '' };
  }

  #take(peer: Peer, message: PaxosMessage): boolean {
    const { state } = this;
    const from = peer.id;
    const isNews = message.type === 'prepare' || message.type === 'promise' || message.type === 'ack';
    if (isNews && state.isAhead(message.term)) {
      // What a newer configuration promises is no business of this one: first it has to be known how this one ended.
      this.#suffixes.catchUp(from);
      return true;
    }
    switch (message.type) {
      case 'append':
        return this.follower.onAppend(from, message);
      case 'heartbeat':
        return this.follower.onHeartbeat(from, message);
      case 'ack':
        return this.onAck(peer, message);
      case 'prepare':
        this.#prepare.onPrepare(peer, message);
        return true;
      case 'promise':
        return this.#prepare.onPromise(peer, message);
      case 'fetch':
        this.#suffixes.onFetch(peer, message);
        return true;
      case 'suffix':
        return message.whole
          ? this.#prepare.onSuffix(peer, message)
          : this.#suffixes.onCommitted(peer, message);
      case 'ping': {
        const { promised, configs } = state;
        const answer = this.#election.answer({ config: configs.number, promised });
        state.disk.send(from, { type: 'pong', round: message.round, ...answer });
        state.dirty = true;
        return true;
      }
      case 'pong':
        this.#onPong(peer, message);
        return true;
      case 'read':
        this.reads.onRead(from, peer.session, message.batch);
        return true;
      case 'readReply':
        this.reads.onReadReply(from, message);
        return true;
      case 'timeoutNow':
        this.#onTimeoutNow(peer, message.term);
        return true;
    }
  }

  #onPong(peer: Peer, m: Extract<PaxosMessage, { type: 'pong' }>): void {
    const { state } = this;
    const { config, ballot, leader, happy } = m;
    // Who leads would tell.
    if (config > state.configs.number && state.leader === '') this.#suffixes.catchUp(peer.id);
    // Only who could promise counts as a neighbour.
    if (state.configs.standingOf(peer.id)?.voter !== true || peer.incarnation === '') return;
    if (!state.founding && !state.isRecorded(peer.id)) return;
    this.#election.answered(peer.id, m.round, { config, ballot, leader, happy });
  }

  /** The leader says that this node should take over: it runs at once, whoever is happy (dissertation §3.10). */
  #onTimeoutNow(from: Peer, term: Epoch): void {
    const { state } = this;
    if (compareEpochs(term, state.term) !== 0 || state.leader !== from.id) return;
    if (state.committedOnly || this.#mayNotRun) return;
    this.#campaign(term);
    state.succession = true;
  }

  get #mayNotRun(): boolean {
    // Its own promise binds it to the leader that says so.
    return !this.#prepare.isVoter || this.state.diskStalled;
  }

  get #roundMs(): number {
    return this.state.electionMs / ROUNDS;
  }

  #sight(): Sight {
    const { state } = this;
    const { configs, self, phase, promised } = state;
    const counts = (ids: ReadonlySet<NodeId>, kind: 'commit' | 'election'): boolean =>
      hasQuorum(configs.latest, ({ id }) => id === self || ids.has(id), kind);
    return {
      config: configs.number,
      promised,
      leads: phase === 'leader' || phase === 'candidate',
      able: this.#prepare.able,
      elects: (ids) => counts(ids, 'election'),
      commits: (ids) => counts(ids, 'commit'),
    };
  }

  #beginRound(): void {
    const { state } = this;
    this.#roundEnd = state.now + this.#roundMs;
    this.#election.begin();
    for (const peer of state.peers.values()) this.#ping(peer);
  }

  #endRound(): void {
    const { phase } = this.state;
    // A reign, or a candidacy, ends by itself; what is asked here is who takes over from somebody else.
    if (this.#election.judge(this.#sight()) && phase === 'follower') this.#campaign();
    this.#beginRound();
  }

  /** Voters look around among each other; who has no leader, among all: they may know what it should know. */
  #ping({ id, up }: Peer): void {
    const { state } = this;
    const { configs, self, leader } = state;
    const { round } = this.#election;
    const vote = configs.standingOf(id)?.voter === true && configs.standingOf(self)?.voter === true;
    if (!up || round === 0 || (!vote && leader !== '')) return;
    state.disk.send(id, { type: 'ping', round });
    state.dirty = true;
  }

  #campaign(chosenBy?: Epoch): void {
    const { state } = this;
    const { promised, configs } = state;
    this.#prepare.campaign(this.#election.takeOver({ config: configs.number, promised }), chosenBy);
  }

  /** Ends a reign that is over. Who led goes on in the next configuration, if it votes there: nobody has to be missed first. */
  #settle(): void {
    const { state } = this;
    if (!state.outdated) return;
    const { phase, configs } = state;
    const led = phase === 'leader' && state.term.config < configs.number;
    state.settle();
    if (led && this.#prepare.able) this.#campaign();
  }

  #judge(from: NodeId, term: Epoch): 'take' | 'drop' | 'breach' {
    const { state } = this;
    const distance = Math.max(0, term.n - state.term.n);
    // A newer configuration comes with the proof that the one before ended, in the log.
    if (term.config > state.term.config && distance <= 1) return 'take';
    return this.guard.judge(state.now, this.#memberOf(from), distance);
  }

  /** The member that is counted; those that are none share one. */
  #memberOf(id: NodeId): NodeId {
    return this.state.configs.standingOf(id) === undefined ? '' : id;
  }
}
