/**
 * What every core does alike: the consensus contract over the parts, but for elections. Pure: time, randomness and everything
 * that happens is handed in, and what should happen is handed out by `drain`.
 */
import { MAX_INDEX } from '../bounds.js';
import { compareEpochs, diskProtocol } from '../consensus.js';
import { Follower } from './follower.js';
import { IoHealth } from './ioHealth.js';
import { VotePromise } from './lease.js';
import { memberProgress } from './memberProgress.js';
import { Rhythm } from './patience.js';
import { Reads } from './reads.js';
import { Reconfigure } from './reconfigure.js';
import { Replication } from './replication.js';
import { TermGuard } from './termGuard.js';
import { Transfer } from './transfer.js';
import type {
  Accepted,
  Consensus,
  CoreLoad,
  CoreStatus,
  Effects,
  Entry,
  Epoch,
  HardState,
  Index,
  IoToken,
  MemberProgress,
  MembershipChange,
  MessageBase,
  NodeId,
  PeerHello,
  Refusal,
  Role,
  SnapshotMeta,
  TransferRefusal,
} from '../consensus.js';
import type { Ack } from './messages.js';
import type { CoreState, Peer } from './state.js';

/** So many commits are reached before the commit index is written again along with something else. */
const COMMIT_STRIDE = 1000;
/** Without any input for so many election time-outs this process stood still. */
const AWAKE = 0.75;

/** A core without what makes leaders. @internal */
export abstract class BaseCore<M extends MessageBase, S extends CoreState> implements Consensus<M> {
  protected readonly state: S;
  protected readonly promise: VotePromise;
  protected readonly follower: Follower;
  protected readonly replication: Replication;
  protected readonly reads: Reads;
  protected readonly reconfigure: Reconfigure;
  protected readonly transfers: Transfer;
  protected readonly ioHealth: IoHealth;
  protected readonly guard: TermGuard;
  readonly #name: string;
  #status: (CoreStatus & { commitIndex: Index; lastIndex: Index }) | undefined;
  /** One stall is forgiven until a leader, or the leader's quorum, is heard or an election begins. */
  #forgiven = false;

  /** `name`: of the protocol. */
  constructor(state: S, name: string) {
    this.state = state;
    this.#name = name;
    this.guard = new TermGuard(state.options.electionTimeoutMs, state.now);
    this.replication = new Replication(state);
    this.reads = new Reads(state, this.replication);
    this.reconfigure = new Reconfigure(state, this.replication);
    this.replication.onProgress = () => this.reconfigure.settle();
    this.transfers = new Transfer(state, this.replication, this.guard);
    this.ioHealth = new IoHealth(state, this.transfers);
    this.promise = new VotePromise(state);
    this.follower = new Follower(state, this.promise, () => {
      this.#forgiven = false;
      this.leaderHeard();
    });
    state.onReign = (wasLeader) => {
      this.#forgiven = false;
      this.follower.reset();
      this.reads.reset();
      this.transfers.reset();
      this.ioHealth.reset();
      for (const { rhythm } of state.peers.values()) rhythm.pause();
      if (wasLeader) this.replication.end();
      this.reignChanged(wasLeader);
    };
    state.dirty = state.disk.pending;
  }

  /** The leader of the reign was heard. */
  protected abstract leaderHeard(): void;
  /** The term, the leader or the own phase changed. */
  protected abstract reignChanged(wasLeader: boolean): void;
  /** Somebody waits for the group. */
  protected abstract wanted(): void;
  /** This process stood still while it did not lead. */
  protected abstract stoodStill(): void;
  /** A snapshot holds an entry of that epoch, which may be of a newer reign. `false`: it cannot be, or not now. */
  protected abstract reaches(from: NodeId, epoch: Epoch): boolean;
  /** A snapshot was installed. */
  protected abstract installed(): void;
  /** Contact with a peer ended; `leads`: it was that with the leader. */
  protected abstract unlinked(peer: Peer, leads: boolean): void;
  /** Contact with a peer began. */
  protected abstract linked(peer: Peer): void;
  /** Contact with a peer begins or ends. */
  protected abstract linkChanges(id: NodeId): void;
  /** The promise of this node as the disk has to keep it. */
  protected abstract hardEpoch(): { readonly config: number; readonly epoch: Epoch; readonly vote: NodeId };

  abstract nextDeadline(): number;
  abstract tick(now: number): void;
  abstract receive(now: number, from: NodeId, message: M): boolean;
  abstract persisted(now: number, upTo: IoToken): void;

  get status(): CoreStatus {
    const state = this.state;
    if (this.#status === undefined || state.statusOld) {
      this.#status = this.#newStatus();
      state.statusOld = false;
    }
    this.#status.commitIndex = state.commit;
    this.#status.lastIndex = state.log.last;
    return this.#status;
  }

  get dirty(): boolean {
    return this.state.dirty;
  }

  propose(now: number, time: number, data: Uint8Array, count: number): Accepted {
    if (!this.enter(now)) return { ok: false, why: 'stopped' };
    this.wanted();
    return this.replication.propose(time, data, count);
  }

  changeMembership(now: number, change: MembershipChange): Accepted {
    if (!this.enter(now)) return { ok: false, why: 'stopped' };
    this.wanted();
    return this.reconfigure.change(change);
  }

  read(now: number, context: number): { ok: true } | { ok: false; why: Refusal } {
    if (!this.enter(now)) return { ok: false, why: 'stopped' };
    this.wanted();
    const why = this.reads.read(context);
    return why === undefined ? { ok: true } : { ok: false, why };
  }

  transfer(now: number, to: NodeId): { ok: true } | { ok: false; why: TransferRefusal } {
    if (!this.enter(now)) return { ok: false, why: 'stopped' };
    this.wanted();
    const why = this.transfers.begin(to);
    return why === undefined ? { ok: true } : { ok: false, why };
  }

  wake(now: number): void {
    if (this.enter(now)) this.wanted();
  }

  ioFailed(error: Error): void {
    this.state.fail(error);
  }

  compacted(meta: SnapshotMeta, keepFrom: Index, bytes?: number): void {
    const { stopped, log, commit } = this.state;
    if (stopped !== undefined) return;
    log.compact(Math.min(keepFrom - 1, meta.index, commit));
    this.replication.choice.compacted(meta.index, bytes);
  }

  fetched(now: number, request: number, entries: readonly Entry[] | 'compacted'): void {
    if (this.enter(now)) this.replication.fetched(request, entries);
  }

  snapshotDone(now: number, request: number, index: Index, ok: boolean): void {
    if (this.enter(now)) this.replication.snapshotDone(request, index, ok);
  }

  install(now: number, from: NodeId, meta: SnapshotMeta): boolean {
    if (!this.enter(now)) return false;
    const state = this.state;
    const { log, configs, disk } = state;
    const { genesis } = meta.membership;
    if (state.phase === 'leader' || meta.index <= state.commit || meta.index > MAX_INDEX) return false;
    if (genesis === '' || (state.genesis !== '' && genesis !== state.genesis)) return false;
    if (!this.reaches(from, meta.epoch)) return false;
    const held = log.epochAt(meta.index);
    const keeps = held !== undefined && compareEpochs(held, meta.epoch) === 0;
    if (keeps) log.compact(meta.index);
    else log.reset(meta.index, meta.epoch, meta.time);
    // The snapshot's membership replaces what was known up to there (openraft#1808).
    configs.reset(meta.index, meta.membership, keeps);
    disk.install(meta, keeps);
    state.commit = meta.index;
    state.learn(genesis);
    this.follower.installed(from, meta.index);
    state.dirty = state.changed = true;
    this.installed();
    return true;
  }

  suspended(now: number): void {
    if (this.enter(now)) this.replication.lease.void();
  }

  link(now: number, id: NodeId, session: number, up: boolean, hello?: PeerHello): void {
    if (!this.enter(now) || id === this.state.self) return;
    const state = this.state;
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
      this.reads.unlinked(id);
      this.transfers.relinked(id);
    }
    peer.session = session;
    peer.up = up;
    this.linkChanges(id);
    state.busyAt = now;
    if (!up) {
      // Strangers come and go without a trace.
      if (state.configs.standingOf(id) === undefined) state.peers.delete(id);
      this.unlinked(peer, id === state.leader);
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
    if (state.phase === 'leader') this.replication.linked(peer);
    else this.linked(peer);
  }

  entries(from: Index, to: Index, maxBytes: number): readonly Entry[] {
    return this.state.log.slice(from, to, maxBytes);
  }

  progress(now: number): readonly MemberProgress[] {
    return memberProgress(this.state, now);
  }

  load(): CoreLoad {
    return { cachedBytes: this.state.log.cachedBytes, ...this.replication.load() };
  }

  drain(now: number, out: Effects<M>): void {
    const { state, replication, reads } = this;
    const { disk } = state;
    out.fetch.length = out.snapshotTo.length = 0;
    if (this.enter(now)) {
      reads.drain();
      if (state.phase === 'leader') {
        replication.drain();
        [out.fetch, replication.fetch] = [replication.fetch, out.fetch];
        [out.snapshotTo, replication.snapshotTo] = [replication.snapshotTo, out.snapshotTo];
      } else {
        this.follower.drain();
      }
      if (disk.pending && state.commit - state.writtenCommit >= COMMIT_STRIDE) disk.hardDirty = true;
    }
    disk.drain(state.now, out, () => this.#hardState());
    out.commit = state.commit;
    out.reads.length = out.readsFailed.length = 0;
    [out.reads, reads.answered] = [reads.answered, out.reads];
    [out.readsFailed, reads.failed] = [reads.failed, out.readsFailed];
    out.changed = state.changed;
    state.changed = false;
    // A received snapshot is handed out alone; what was appended behind it comes next.
    state.dirty = disk.pending;
  }

  /** The leader takes an answer. `false`: it cannot be true. */
  protected onAck(peer: Peer, message: Ack): boolean {
    if (!this.replication.onAck(peer, message)) return false;
    if (this.#forgiven) this.#forgiven = !this.replication.hearsQuorum;
    this.reads.confirm();
    this.reconfigure.acknowledged();
    this.transfers.advance();
    return true;
  }

  /** Every input begins here: takes over the time and notices a stall. `false`: stopped, nothing is taken. */
  protected enter(now: number): boolean {
    const state = this.state;
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
      if (state.phase === 'leader') this.replication.woke();
      else this.stoodStill();
    }
    return true;
  }

  #hardState(): HardState {
    const { state } = this;
    const { log, genesis, promiseMs } = state;
    state.writtenCommit = Math.min(state.commit, log.last);
    return {
      protocol: diskProtocol(this.#name, state.witness),
      ...this.hardEpoch(),
      commit: state.writtenCommit,
      genesis,
      ...(promiseMs > 0 && { promiseMs }),
    };
  }

  #newStatus(): CoreStatus & { commitIndex: Index; lastIndex: Index } {
    const { phase, leader, epoch, configs, genesis, commit, log, stopped, self, quiet } = this.state;
    const { transferee, succession } = this.state;
    const { voter = false, witness = false } = configs.standingOf(self) ?? {};
    let role: Role = witness ? 'witness' : voter && !this.state.isAnother(self) ? 'follower' : 'learner';
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
}
