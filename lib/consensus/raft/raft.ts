/**
 * The Raft core: elections, and the rest that a group needs, over what every core does (core/base.ts). See docs/raft.md.
 *
 * Diego Ongaro, John Ousterhout: In Search of an Understandable Consensus Algorithm (2014); Diego Ongaro: Consensus: Bridging
 * Theory and Practice (dissertation, 2014).
 */
import { BaseCore } from '../core/base.js';
import { Election } from './election.js';
import { completeRaftOptions } from './options.js';
import { Quiescence } from './quiescence.js';
import { State } from './state.js';
import { isSound } from './validate.js';
import type { ConsensusProtocol, CoreSetup, Epoch, IoToken, NodeId } from '../consensus.js';
import type { Peer } from '../core/state.js';
import type { RaftMessage } from './messages.js';
import type { RaftOptions } from './options.js';

/**
 * The Raft protocol. The options must be valid: whoever offers them to users checks them.
 *
 * @internal
 */
export function createRaftProtocol(options: RaftOptions = {}): ConsensusProtocol<RaftMessage> {
  const complete = completeRaftOptions(options);
  const { priority, electionTimeoutMs: transferMs } = complete;
  return { name: 'raft', priority, transferMs, create: (setup) => new RaftCore(setup, complete) };
}

/** Whether a message would raise a term: all that carry one would, but the two that ask about, and promise, a next one. */
function raises(message: RaftMessage, term: number): message is Extract<RaftMessage, { term: number }> {
  if (!('term' in message) || message.term <= term) return false;
  if (message.type === 'vote') return !message.pre;
  return message.type !== 'voteReply' || !(message.pre && message.granted);
}

class RaftCore extends BaseCore<RaftMessage, State> {
  readonly #election: Election;
  readonly #quiescence: Quiescence;

  constructor(setup: CoreSetup, options: Required<RaftOptions>) {
    const state = new State(setup, options);
    super(state, 'raft');
    const { promise, follower, replication, reads } = this;
    this.#election = new Election(state, promise, (met) => {
      state.enter('leader');
      replication.begin(met);
    });
    this.#quiescence = new Quiescence(state, { election: this.#election, follower, replication, reads });
    this.#election.restart();
    if (state.configs.latest.voters.length === 1 && !state.configs.hasOthers(state.self))
      this.#election.hasten();
  }

  nextDeadline(): number {
    const { stopped, phase, dirty, now, configs, self, options, quiet } = this.state;
    if (stopped !== undefined) return Infinity;
    if (dirty) return now;
    if (quiet) return Infinity;
    if (phase === 'leader')
      return configs.hasOthers(self)
        ? Math.min(this.replication.deadline, this.transfers.deadline)
        : Infinity;
    // Looking in at least twice an election time-out tells a long silence from a long stall.
    const soon = now + options.electionTimeoutMs / 2;
    return Math.min(this.#election.deadline, this.follower.deadline, this.reads.deadline, soon);
  }

  tick(now: number): void {
    if (!this.enter(now) || this.state.quiet) return;
    if (this.state.phase === 'leader') {
      this.replication.tick();
      this.transfers.tick();
      this.#quiescence.tick();
      this.ioHealth.tick();
    } else {
      this.follower.tick();
      this.#election.tick();
    }
    this.reads.tick();
  }

  receive(now: number, from: NodeId, message: RaftMessage): boolean {
    if (!this.enter(now)) return true;
    const peer = this.state.peers.get(from);
    if (!isSound(message, this.state.term)) return false;
    if (peer?.up !== true) return true;
    if (!raises(message, this.state.term)) return this.#take(peer, message);
    // Those who rest with this node hear of it while it leads them.
    this.#quiescence.wake();
    const { term, configs } = this.state;
    const member = configs.standingOf(from) === undefined ? '' : from;
    const verdict = this.guard.judge(now, member, message.term - term);
    if (verdict !== 'take') return verdict === 'drop';
    const sound = this.#take(peer, message);
    if (this.state.term > term) this.guard.rose(now, member, this.state.term - term);
    return sound;
  }

  #take(peer: Peer, message: RaftMessage): boolean {
    const from = peer.id;
    switch (message.type) {
      case 'append':
        return this.follower.onAppend(from, message);
      case 'heartbeat':
        return this.follower.onHeartbeat(from, message);
      case 'ack':
        return this.onAck(peer, message);
      case 'vote':
        // Whoever runs misses the leader: it should show itself.
        this.#quiescence.wake();
        this.#election.onVote(peer, message);
        return true;
      case 'voteReply':
        this.#election.onVoteReply(peer, message);
        return true;
      case 'read':
        this.#quiescence.wake();
        this.reads.onRead(from, peer.session, message.batch);
        return true;
      case 'readReply':
        this.reads.onReadReply(from, message);
        return true;
      case 'timeoutNow':
        this.#election.onTimeoutNow(peer, message);
        return true;
      case 'quiet':
        if (this.follower.hears(from, message.term)) this.#quiescence.onQuiet(peer, message);
        return true;
      case 'quietReply':
        this.#quiescence.onQuietReply(peer, message);
        return true;
      case 'wake':
        this.#quiescence.onWake(message);
        return true;
    }
  }

  persisted(now: number, upTo: IoToken): void {
    if (!this.enter(now) || !this.state.disk.persisted(upTo)) return;
    this.follower.persisted();
    this.#election.persisted();
    this.replication.persisted();
    // Answers may have waited for the term to be durable.
    this.state.dirty = true;
  }

  protected leaderHeard(): void {
    this.#quiescence.stir();
    this.#election.heard();
  }

  protected reignChanged(wasLeader: boolean): void {
    this.#quiescence.reset();
    if (wasLeader) this.#election.restart();
  }

  protected wanted(): void {
    this.#quiescence.wake();
    this.#election.hurry();
  }

  protected stoodStill(): void {
    this.#election.restart();
  }

  protected reaches(from: NodeId, epoch: Epoch): boolean {
    const { state } = this;
    const distance = epoch.n - state.term;
    if (distance <= 0) return true;
    if (this.guard.judge(state.now, from, distance) !== 'take') return false;
    state.follow(epoch.n, '');
    this.guard.rose(state.now, from, distance);
    return true;
  }

  protected installed(): void {
    // What it says of the members counts from now on, and there is nothing else to do.
  }

  protected linkChanges(id: NodeId): void {
    const { phase, leader, quiet } = this.state;
    this.#rested = quiet;
    // A group that rests relies on these links.
    if (phase === 'leader' || id === leader) this.#quiescence.wake();
  }

  /** Whether the group rested when a link changed. */
  #rested = false;

  protected unlinked(_peer: Peer, leads: boolean): void {
    if (!leads) return;
    // Its silence began now; others that hear it still will refuse the pre-vote.
    this.state.leaderHeardAt = -Infinity;
    if (this.#rested) this.#election.quietLeaderLost();
    else this.#election.leaderLost();
  }

  protected linked(peer: Peer): void {
    this.#election.linked(peer);
  }

  protected hardEpoch(): { config: number; epoch: Epoch; vote: NodeId } {
    const { config, term, vote } = this.state;
    return { config, epoch: { config, n: term, priority: 0, node: '' }, vote };
  }
}
