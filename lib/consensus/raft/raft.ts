/**
 * The Raft core: the consensus contract over its parts. Pure: time, randomness and everything that happens is handed in, and
 * what should happen is handed out by `drain`. See docs/raft.md.
 *
 * Diego Ongaro, John Ousterhout: In Search of an Understandable Consensus Algorithm (2014); Diego Ongaro: Consensus: Bridging
 * Theory and Practice (dissertation, 2014).
 */
import { MAX_INDEX } from '../bounds.js';
import { compareEpochs, diskProtocol } from '../consensus.js';
import { Election } from './election.js';
import { Follower } from '../core/follower.js';
import { IoHealth } from '../core/ioHealth.js';
import { VotePromise } from '../core/lease.js';
import { memberProgress } from '../core/memberProgress.js';
import { completeRaftOptions } from './options.js';
import { Rhythm } from '../core/patience.js';
import { Quiescence } from './quiescence.js';
import { Reads } from '../core/reads.js';
import { Reconfigure } from '../core/reconfigure.js';
import { Replication } from '../core/replication.js';
import { State } from './state.js';
import { TermGuard } from '../core/termGuard.js';
import { Transfer } from '../core/transfer.js';
import { isSound } from './validate.js';
import type {
  Accepted,
  Consensus,
  ConsensusProtocol,
  CoreLoad,
  CoreSetup,
  CoreStatus,
  Effects,
  Entry,
  HardState,
  Index,
  IoToken,
  MemberProgress,
  MembershipChange,
  NodeId,
  PeerHello,
  Refusal,
  Role,
  SnapshotMeta,
  TransferRefusal,
} from '../consensus.js';
import type { RaftMessage } from './messages.js';
import type { RaftOptions } from './options.js';
import type { Peer } from '../core/state.js';

/** So many commits are reached before the commit index is written again along with something else. */
const COMMIT_STRIDE = 1000;

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

/** Without any input for so many election time-outs this process stood still. */
const AWAKE = 0.75;

/** Whether a message would raise a term: all that carry one would, but the two that ask about, and promise, a next one. */
function raises(message: RaftMessage, term: number): message is Extract<RaftMessage, { term: number }> {
  if (!('term' in message) || message.term <= term) return false;
  if (message.type === 'vote') return !message.pre;
  return message.type !== 'voteReply' || !(message.pre && message.granted);
}

class RaftCore implements Consensus<RaftMessage> {
  readonly #state: State;
  readonly #election: Election;
  readonly #follower: Follower;
  readonly #replication: Replication;
  readonly #reads: Reads;
  readonly #reconfigure: Reconfigure;
  readonly #transfer: Transfer;
  readonly #quiescence: Quiescence;
  readonly #ioHealth: IoHealth;
  readonly #guard: TermGuard;
  #status: CoreStatus & { commitIndex: Index; lastIndex: Index };
  /** One stall is forgiven until a leader, or the leader's quorum, is heard or an election begins. */
  #forgiven = false;

  constructor(setup: CoreSetup, options: Required<RaftOptions>) {
    const state = (this.#state = new State(setup, options));
    this.#guard = new TermGuard(options.electionTimeoutMs, setup.now);
    this.#replication = new Replication(state);
    this.#reads = new Reads(state, this.#replication);
    this.#reconfigure = new Reconfigure(state, this.#replication);
    this.#replication.onProgress = () => this.#reconfigure.settle();
    this.#transfer = new Transfer(state, this.#replication, this.#guard);
    this.#ioHealth = new IoHealth(state, this.#transfer);
    const promise = new VotePromise(state);
    this.#election = new Election(state, promise, (met) => {
      state.enter('leader');
      this.#replication.begin(met);
    });
    this.#follower = new Follower(state, promise, () => {
      this.#forgiven = false;
      this.#quiescence.stir();
      this.#election.heard();
    });
    this.#quiescence = new Quiescence(state, {
      election: this.#election,
      follower: this.#follower,
      replication: this.#replication,
      reads: this.#reads,
    });
    state.onReign = (wasLeader) => {
      this.#forgiven = false;
      this.#follower.reset();
      this.#reads.reset();
      this.#transfer.reset();
      this.#quiescence.reset();
      this.#ioHealth.reset();
      for (const { rhythm } of state.peers.values()) rhythm.pause();
      if (!wasLeader) return;
      this.#replication.end();
      this.#election.restart();
    };
    this.#election.restart();
    if (state.configs.latest.voters.length === 1 && !state.configs.hasOthers(state.self))
      this.#election.hasten();
    this.#status = this.#newStatus();
    state.dirty = state.disk.pending;
  }

  get status(): CoreStatus {
    if (this.#state.statusOld) {
      this.#status = this.#newStatus();
      this.#state.statusOld = false;
    }
    this.#status.commitIndex = this.#state.commit;
    this.#status.lastIndex = this.#state.log.last;
    return this.#status;
  }

  get dirty(): boolean {
    return this.#state.dirty;
  }

  nextDeadline(): number {
    const { stopped, phase, dirty, now, configs, self, options, quiet } = this.#state;
    if (stopped !== undefined) return Infinity;
    if (dirty) return now;
    if (quiet) return Infinity;
    if (phase === 'leader')
      return configs.hasOthers(self)
        ? Math.min(this.#replication.deadline, this.#transfer.deadline)
        : Infinity;
    // Looking in at least twice an election time-out tells a long silence from a long stall.
    const soon = now + options.electionTimeoutMs / 2;
    return Math.min(this.#election.deadline, this.#follower.deadline, this.#reads.deadline, soon);
  }

  tick(now: number): void {
    if (!this.#enter(now) || this.#state.quiet) return;
    if (this.#state.phase === 'leader') {
      this.#replication.tick();
      this.#transfer.tick();
      this.#quiescence.tick();
      this.#ioHealth.tick();
    } else {
      this.#follower.tick();
      this.#election.tick();
    }
    this.#reads.tick();
  }

  receive(now: number, from: NodeId, message: RaftMessage): boolean {
    if (!this.#enter(now)) return true;
    const peer = this.#state.peers.get(from);
    if (!isSound(message, this.#state.term)) return false;
    if (peer?.up !== true) return true;
    if (!raises(message, this.#state.term)) return this.#take(peer, message);
    // Those who rest with this node hear of it while it leads them.
    this.#quiescence.wake();
    const { term, configs } = this.#state;
    const member = configs.standingOf(from) === undefined ? '' : from;
    const verdict = this.#guard.judge(now, member, message.term - term);
    if (verdict !== 'take') return verdict === 'drop';
    const sound = this.#take(peer, message);
    if (this.#state.term > term) this.#guard.rose(now, member, this.#state.term - term);
    return sound;
  }

  #take(peer: Peer, message: RaftMessage): boolean {
    const from = peer.id;
    switch (message.type) {
      case 'append':
        return this.#follower.onAppend(from, message);
      case 'heartbeat':
        return this.#follower.onHeartbeat(from, message);
      case 'ack':
        if (!this.#replication.onAck(peer, message)) return false;
        if (this.#forgiven) this.#forgiven = !this.#replication.hearsQuorum;
        this.#reads.confirm();
        this.#reconfigure.acknowledged();
        this.#transfer.advance();
        return true;
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
        this.#reads.onRead(from, peer.session, message.batch);
        return true;
      case 'readReply':
        this.#reads.onReadReply(from, message);
        return true;
      case 'timeoutNow':
        this.#election.onTimeoutNow(peer, message);
        return true;
      case 'quiet':
        if (this.#follower.hears(from, message.term)) this.#quiescence.onQuiet(peer, message);
        return true;
      case 'quietReply':
        this.#quiescence.onQuietReply(peer, message);
        return true;
      case 'wake':
        this.#quiescence.onWake(message);
        return true;
    }
  }

  propose(now: number, time: number, data: Uint8Array, count: number): Accepted {
    if (!this.#enter(now)) return { ok: false, why: 'stopped' };
    this.#want();
    return this.#replication.propose(time, data, count);
  }

  changeMembership(now: number, change: MembershipChange): Accepted {
    if (!this.#enter(now)) return { ok: false, why: 'stopped' };
    this.#want();
    return this.#reconfigure.change(change);
  }

  read(now: number, context: number): { ok: true } | { ok: false; why: Refusal } {
    if (!this.#enter(now)) return { ok: false, why: 'stopped' };
    this.#want();
    const why = this.#reads.read(context);
    return why === undefined ? { ok: true } : { ok: false, why };
  }

  transfer(now: number, to: NodeId): { ok: true } | { ok: false; why: TransferRefusal } {
    if (!this.#enter(now)) return { ok: false, why: 'stopped' };
    this.#want();
    const why = this.#transfer.begin(to);
    return why === undefined ? { ok: true } : { ok: false, why };
  }

  wake(now: number): void {
    if (this.#enter(now)) this.#want();
  }

  persisted(now: number, upTo: IoToken): void {
    if (!this.#enter(now) || !this.#state.disk.persisted(upTo)) return;
    this.#follower.persisted();
    this.#election.persisted();
    this.#replication.persisted();
    // Answers may have waited for the term to be durable.
    this.#state.dirty = true;
  }

  ioFailed(error: Error): void {
    this.#state.fail(error);
  }

  compacted(meta: SnapshotMeta, keepFrom: Index, bytes?: number): void {
    const { stopped, log, commit } = this.#state;
    if (stopped !== undefined) return;
    log.compact(Math.min(keepFrom - 1, meta.index, commit));
    this.#replication.choice.compacted(meta.index, bytes);
  }

  fetched(now: number, request: number, entries: readonly Entry[] | 'compacted'): void {
    if (this.#enter(now)) this.#replication.fetched(request, entries);
  }

  snapshotDone(now: number, request: number, index: Index, ok: boolean): void {
    if (this.#enter(now)) this.#replication.snapshotDone(request, index, ok);
  }

  install(now: number, from: NodeId, meta: SnapshotMeta): boolean {
    if (!this.#enter(now)) return false;
    const state = this.#state;
    const { log, configs, disk } = state;
    const { genesis } = meta.membership;
    if (state.phase === 'leader' || meta.index <= state.commit || meta.index > MAX_INDEX) return false;
    const distance = meta.epoch.n - state.term;
    if (distance > 0 && this.#guard.judge(now, from, distance) !== 'take') return false;
    if (genesis === '' || (state.genesis !== '' && genesis !== state.genesis)) return false;
    if (distance > 0) {
      state.follow(meta.epoch.n, '');
      this.#guard.rose(now, from, distance);
    }
    const held = log.epochAt(meta.index);
    const keeps = held !== undefined && compareEpochs(held, meta.epoch) === 0;
    if (keeps) log.compact(meta.index);
    else log.reset(meta.index, meta.epoch, meta.time);
    // The snapshot's membership replaces what was known up to there (openraft#1808).
    configs.reset(meta.index, meta.membership, keeps);
    disk.install(meta, keeps);
    state.commit = meta.index;
    state.learn(genesis);
    this.#follower.installed(from, meta.index);
    state.dirty = state.changed = true;
    return true;
  }

  suspended(now: number): void {
    if (this.#enter(now)) this.#replication.lease.void();
  }

  link(now: number, id: NodeId, session: number, up: boolean, hello?: PeerHello): void {
    if (!this.#enter(now) || id === this.#state.self) return;
    const state = this.#state;
    let peer = state.peers.get(id);
    // The end of a link that was replaced by now.
    if (peer !== undefined && session < peer.session) return;
    const rhythm = peer?.rhythm ?? new Rhythm(state.options.heartbeatMs);
    rhythm.reset();
    peer ??= {
      id,
      session,
      up: false,
      incarnation: '',
      priority: 0,
      witness: false,
      rhythm,
      progress: undefined,
    };
    state.peers.set(id, peer);
    if (!up || session > peer.session) {
      this.#reads.unlinked(id);
      this.#transfer.relinked(id);
    }
    peer.session = session;
    peer.up = up;
    const rested = state.quiet;
    // A group that rests relies on these links.
    if (state.phase === 'leader' || id === state.leader) this.#quiescence.wake();
    state.busyAt = now;
    if (!up) {
      // Strangers come and go without a trace.
      if (state.configs.standingOf(id) === undefined) state.peers.delete(id);
      if (id !== state.leader) return;
      // Its silence began now; others that hear it still will refuse the pre-vote.
      state.leaderHeardAt = -Infinity;
      if (rested) this.#election.quietLeaderLost();
      else this.#election.leaderLost();
      return;
    }
    const incarnation = hello?.incarnation ?? '';
    // Another storage: what the old one acknowledged is lost.
    if (peer.incarnation !== incarnation) peer.progress = undefined;
    peer.incarnation = incarnation;
    peer.priority = hello?.priority ?? 0;
    peer.witness = hello?.witness ?? false;
    if (!state.isMember(peer)) peer.progress = undefined;
    state.learn(hello?.genesis ?? '');
    if (state.phase === 'leader') this.#replication.linked(peer);
    else this.#election.linked(peer);
  }

  entries(from: Index, to: Index, maxBytes: number): readonly Entry[] {
    return this.#state.log.slice(from, to, maxBytes);
  }

  progress(now: number): readonly MemberProgress[] {
    return memberProgress(this.#state, now);
  }

  load(): CoreLoad {
    return { cachedBytes: this.#state.log.cachedBytes, ...this.#replication.load() };
  }

  drain(now: number, out: Effects<RaftMessage>): void {
    const state = this.#state;
    const { disk } = state;
    out.fetch.length = out.snapshotTo.length = 0;
    if (this.#enter(now)) {
      this.#reads.drain();
      if (state.phase === 'leader') {
        this.#replication.drain();
        [out.fetch, this.#replication.fetch] = [this.#replication.fetch, out.fetch];
        [out.snapshotTo, this.#replication.snapshotTo] = [this.#replication.snapshotTo, out.snapshotTo];
      } else {
        this.#follower.drain();
      }
      if (disk.pending && state.commit - state.writtenCommit >= COMMIT_STRIDE) disk.hardDirty = true;
    }
    disk.drain(state.now, out, () => this.#hardState());
    out.commit = state.commit;
    out.reads.length = out.readsFailed.length = 0;
    [out.reads, this.#reads.answered] = [this.#reads.answered, out.reads];
    [out.readsFailed, this.#reads.failed] = [this.#reads.failed, out.readsFailed];
    out.changed = state.changed;
    state.changed = false;
    // A received snapshot is handed out alone; what was appended behind it comes next.
    state.dirty = disk.pending;
  }

  #hardState(): HardState {
    const state = this.#state;
    const { config, term, vote, log, genesis, promiseMs } = state;
    state.writtenCommit = Math.min(state.commit, log.last);
    return {
      protocol: diskProtocol('raft', state.witness),
      config,
      epoch: { config, n: term, priority: 0, node: '' },
      vote,
      commit: state.writtenCommit,
      genesis,
      ...(promiseMs > 0 && { promiseMs }),
    };
  }

  #newStatus(): CoreStatus & { commitIndex: Index; lastIndex: Index } {
    const { phase, leader, epoch, configs, genesis, commit, log, stopped, self, quiet } = this.#state;
    const { transferee, succession } = this.#state;
    const { voter = false, witness = false } = configs.standingOf(self) ?? {};
    let role: Role = witness ? 'witness' : voter && !this.#state.isAnother(self) ? 'follower' : 'learner';
    if (phase !== 'follower') role = phase === 'leader' ? 'leader' : 'candidate';
    return {
      role,
      leader,
      epoch,
      quorum: leader !== '' || succession,
      transferring: transferee,
      membership: configs.latest,
      membershipIndex: configs.latestIndex,
      stable: configs.stable,
      stableIndex: configs.stableIndex,
      genesis,
      quiet,
      commitIndex: commit,
      lastIndex: log.last,
      stopped,
    };
  }

  /** Somebody waits for the group. */
  #want(): void {
    this.#quiescence.wake();
    this.#election.hurry();
  }

  /** Every input begins here: takes over the time and notices a stall. `false`: stopped, nothing is taken. */
  #enter(now: number): boolean {
    const state = this.#state;
    if (state.stopped !== undefined) return false;
    const gap = now - state.now;
    if (gap <= 0) return true;
    state.now = now;
    // It looks in at least twice an election time-out.
    if (gap > state.options.electionTimeoutMs * AWAKE) state.awakeSince = now;
    // This process stood still, so the silence says nothing: what was sent meanwhile should be heard first, and who followed may
    // still be there. Where the group rests, nobody looks in.
    if (gap > state.options.electionTimeoutMs && !this.#forgiven && !state.quiet) {
      this.#forgiven = true;
      if (state.phase === 'leader') this.#replication.woke();
      else this.#election.restart();
    }
    return true;
  }
}
