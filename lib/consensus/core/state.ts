/**
 * What the parts of a core share: term (in Paxos, the ballot), role, log, memberships, peers, disk; and the one place where a
 * reign ends. The parts (election, follower, replication, reads) never call each other's insides, they meet here.
 */
import { NO_EPOCH } from '../consensus.js';
import { Log } from '../log.js';
import { foundingMembership } from '../membership.js';
import type { Member } from '../membership.js';
import { Configs } from './configs.js';
import { Disk } from './disk.js';
import type { CoreSetup, Epoch, HardState, Index, NodeId, Recovered } from '../consensus.js';
import type { CoreOptions } from './options.js';
import { Patience, type Rhythm } from './patience.js';
import type { Progress } from './progress.js';

/** A node's part, seen from within: a candidate first asks (`preCandidate`), then runs. @internal */
export type Phase = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** A node that contact was made with. @internal */
export interface Peer {
  readonly id: NodeId;
  session: number;
  up: boolean;
  /** Of its storage, as of the newest contact; empty when it was not told. */
  incarnation: string;
  /** How much it would like to lead. */
  priority: number;
  /** It can take part as a witness, and as nothing else. */
  witness: boolean;
  /** How regularly it lets itself be heard, as a leader or as a follower of this one. */
  readonly rhythm: Rhythm;
  /** Only while this node leads and the peer is a member. */
  progress: Progress | undefined;
}

/** The shared state of a core. `T` tells reigns apart: see core/messages.ts. @internal */
export abstract class CoreState<T = unknown> {
  readonly options: Required<CoreOptions>;
  readonly self: NodeId;
  readonly incarnation: string;
  /** The entries here come without what they carry. */
  readonly witness: boolean;
  readonly genesisCandidate: string;
  readonly random: () => number;
  readonly log: Log;
  readonly configs: Configs;
  readonly disk: Disk;
  readonly patience: Patience;
  readonly peers = new Map<NodeId, Peer>();
  now: number;
  /** When this process last woke from standing still. */
  awakeSince = -Infinity;
  phase: Phase = 'follower';
  /** The reign that this node takes part in. */
  term!: T;
  leader: NodeId = '';
  /** When the leader was last heard. */
  leaderHeardAt = -Infinity;
  /** Leader: whom it is handing the leadership to, or empty; and whether that one was told to campaign. */
  transferee: NodeId = '';
  handedOff = false;
  /** Nobody leads, but one that the last leader chose is about to: this ends with the next leader, or an ordinary election. */
  succession = false;
  commit: Index = 0;
  /** The commit index that was last written to disk. */
  writtenCommit: Index = 0;
  /** The longest promise not to vote that was given and may not have run out, as on disk (lease.ts). */
  promiseMs = 0;
  /** The group's genesis, once it is known to be committed here or elsewhere; never that of a founding under way. */
  genesis = '';
  stopped: Error | undefined;
  /** Lets time pass, until something happens: see `Quiescence`. */
  quiet = false;
  /** Leader: when something was last written or read. */
  busyAt = -Infinity;
  dirty = false;
  #requests = 0;
  /** The status must be made anew. */
  statusOld = true;
  #changed = true;
  /** Called when the term, the leader or the own phase changed, after the change. */
  onReign: (wasLeader: boolean) => void = () => undefined;

  constructor(setup: CoreSetup, options: Required<CoreOptions>, joint: boolean) {
    this.options = options;
    this.self = setup.self;
    this.incarnation = setup.incarnation;
    this.witness = setup.witness ?? false;
    this.genesisCandidate = setup.genesisCandidate;
    this.random = setup.random;
    this.now = setup.now;
    this.patience = new Patience(options, setup.vitals ?? (() => undefined));
    this.log = new Log(options.cacheBytes);
    this.configs = new Configs(foundingMembership(setup.founders), joint);
    this.recoverHard(undefined);
    try {
      if (setup.recovered !== undefined) this.#recover(setup.recovered);
    } catch (error) {
      this.stopped = error as Error;
    }
    this.disk = new Disk(this.log.last);
    this.#learnCommitted();
  }

  /** Something in the status besides an index changed since the last drain. */
  get changed(): boolean {
    return this.#changed;
  }

  set changed(changed: boolean) {
    this.#changed = changed;
    if (changed) this.statusOld = true;
  }

  /** Nothing was ever written here and no group was heard of: only then may a group be founded. */
  get founding(): boolean {
    return this.log.last === 0 && this.genesis === '';
  }

  /** This node may take part in a founding. A node that joins may not: it has no list, and may have been a member before. */
  get founder(): boolean {
    return this.founding && this.configs.standingOf(this.self)?.voter === true;
  }

  /** The own disk has taken too long over a write, and has not answered yet. */
  get diskStalled(): boolean {
    const { diskStallMs } = this.options;
    return diskStallMs > 0 && this.now - this.disk.waitingSince >= diskStallMs;
  }

  /** How long the silence of a peer is borne now, in milliseconds. */
  patienceWith(id: NodeId): number {
    return this.patience.with(this.peers.get(id), this.now);
  }

  /** How long an election takes at most if all goes well, in milliseconds. */
  get electionMs(): number {
    return this.patience.electionMs(this.configs.latest, this.self, this.leader);
  }

  /** The log does not belong to another founding than the one that was heard of. */
  get consistent(): boolean {
    const { genesis } = this.configs.latest;
    return this.genesis === '' || genesis === '' || genesis === this.genesis;
  }

  /** The epoch of the entries of this reign. */
  abstract get epoch(): Epoch;

  /** Negative when `a` is the older reign. */
  abstract compare(a: T, b: T): number;

  /** Whether a node can be the leader of a reign, as far as can be told here. */
  abstract mayLead(id: NodeId, term: T): boolean;

  /** The reign is of a configuration that this node does not know yet: of its entries, those count that are committed. */
  get committedOnly(): boolean {
    return false;
  }

  /** Takes over what the disk says besides the log. */
  protected abstract recoverHard(hard: HardState | undefined): void;

  /** Another term was entered: what was promised in the one before binds no longer, and the disk has to know. */
  protected termChanged(): void {
    this.disk.voteChanged();
  }

  /**
   * From which index on an acknowledgement of this member counts, Infinity if never: its storage must be the one on
   * record, and the entry with the record be among those acknowledged.
   */
  countsFrom({ id, incarnation }: Member): Index {
    const linked = id === this.self ? this.incarnation : this.peers.get(id)?.incarnation;
    return linked === incarnation ? this.configs.recordOf(id, incarnation) : Infinity;
  }

  /** Whether a peer is a member, and of the kind that it is able to be. */
  isMember(peer: Peer): boolean {
    return this.configs.standingOf(peer.id)?.witness === peer.witness;
  }

  /** Whether the storage that a node is linked with, or the own one, is on record. */
  isRecorded(id: NodeId): boolean {
    const linked = id === this.self ? this.incarnation : (this.peers.get(id)?.incarnation ?? '');
    return this.configs.recordOf(id, linked) !== Infinity;
  }

  /** Whether the storage that a node is linked with, or the own one, is another than the one on record: it forgot what it promised. */
  isAnother(id: NodeId): boolean {
    const { incarnations = [''] } = this.configs.standingOf(id) ?? {};
    const linked = id === this.self ? this.incarnation : (this.peers.get(id)?.incarnation ?? '');
    return !incarnations.includes('') && !incarnations.includes(linked);
  }

  /** Follows `leader` (or nobody, when empty) in `term`, which is not older than the own one. */
  follow(term: T, leader: NodeId): void {
    this.#endSuccession();
    const newer = this.compare(term, this.term) > 0;
    if (!newer && leader === this.leader && this.phase === 'follower') return;
    const wasLeader = this.phase === 'leader';
    if (newer) {
      this.term = term;
      this.termChanged();
    }
    this.phase = 'follower';
    this.leader = leader;
    this.#touch();
    this.onReign(wasLeader);
  }

  /** Enters another phase of its own candidacy or reign. */
  enter(phase: Exclude<Phase, 'follower'>): void {
    this.#endSuccession();
    this.phase = phase;
    this.leader = phase === 'leader' ? this.self : '';
    this.#touch();
    this.onReign(false);
  }

  /** A genesis was heard of. It is final: a node that founded, or is about to, steps back from another one. */
  learn(genesis: string): void {
    if (genesis === '' || this.genesis !== '') return;
    const stepsBack = this.phase !== 'follower' && this.configs.latest.genesis !== genesis;
    this.genesis = genesis;
    this.disk.hardDirty = true;
    this.#touch();
    if (stepsBack) this.follow(this.term, '');
  }

  /** Entries up to `index` are committed. */
  advanceCommit(index: Index): void {
    if (index <= this.commit) return;
    this.commit = index;
    this.dirty = true;
    if (this.configs.committed(index)) {
      // Written down: who opens this storage next should know whether it is a member.
      this.changed = this.disk.hardDirty = true;
      this.#learnCommitted();
    }
    this.log.evict(index);
  }

  /** Stops for good. */
  fail(error: Error): void {
    if (this.stopped !== undefined) return;
    this.stopped = error;
    const wasLeader = this.phase === 'leader';
    this.phase = 'follower';
    this.leader = '';
    this.succession = false;
    this.onReign(wasLeader);
    this.disk.stop();
    this.#touch();
  }

  /** Numbers what is asked of the driver. */
  newRequest(): number {
    return ++this.#requests;
  }

  #touch(): void {
    this.changed = this.dirty = true;
  }

  #endSuccession(): void {
    if (!this.succession) return;
    this.succession = false;
    this.#touch();
  }

  #learnCommitted(): void {
    const { genesis } = this.configs.stable;
    if (this.genesis !== '' || genesis === '') return;
    this.genesis = genesis;
    this.disk.hardDirty = this.changed = this.dirty = true;
  }

  #recover(recovered: Recovered): void {
    const { hard, snapshot, runs, firstIndex, lastIndex, lastTime, configs, tail } = recovered;
    const covered = snapshot?.index ?? 0;
    if (firstIndex - 1 > covered)
      throw new Error(`log: entries ${covered + 1} to ${firstIndex - 1} are missing`);
    if (snapshot !== undefined && (lastIndex < firstIndex || lastIndex < covered)) {
      this.log.reset(covered, snapshot.epoch, snapshot.time);
    } else {
      const before = firstIndex - 1;
      const epoch = before === 0 ? NO_EPOCH : before === covered ? snapshot?.epoch : undefined;
      this.log.restore(before, epoch, runs, lastIndex, lastTime, tail);
    }
    if (snapshot !== undefined) this.configs.reset(covered, snapshot.membership, false);
    for (const entry of configs) {
      if (entry.index > covered && entry.index <= this.log.last) this.configs.append(entry);
    }
    // A recovery that ended between its snapshot and its write is complete: what is committed counts, not what was heard of.
    const committed = snapshot?.membership.genesis ?? '';
    this.genesis = committed === '' ? (hard?.genesis ?? '') : committed;
    this.promiseMs = hard?.promiseMs ?? 0;
    this.commit = this.writtenCommit = Math.max(covered, Math.min(hard?.commit ?? 0, this.log.last));
    this.configs.committed(this.commit);
    this.log.evict(this.commit);
    this.recoverHard(hard);
  }
}
