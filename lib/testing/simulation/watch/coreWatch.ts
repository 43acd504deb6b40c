/** A core under observation: every effect is checked before anybody acts on it, and messages can get lost on the way in. */
import {
  compareEpochs,
  lastOf,
  type Consensus,
  type ConsensusProtocol,
  type CoreLoad,
  type CoreSetup,
  type CoreStatus,
  type Effects,
  type Entry,
  type Epoch,
  type Index,
  type MemberProgress,
  type MembershipChange,
  type MessageBase,
  type NodeId,
  type PeerHello,
  type SnapshotMeta,
} from '../../../consensus/consensus.js';
import { findMember } from '../../../consensus/membership.js';
import type { DiskWatch } from './diskWatch.js';
import type { GroupWatch } from './groupWatch.js';
import { promisesOf, type PromiseWatch } from './promises.js';

/** What happens to messages between the link and the core. */
export interface MessageFate {
  /** How often it arrives, and after how many milliseconds each time. `undefined`: once, now. */
  fate(from: NodeId, type: string): readonly number[] | undefined;
}

/** What a watched core tells. */
export interface CoreListener {
  /** Role, leader, epoch or membership changed. */
  status(status: CoreStatus): void;
  truncated(from: Index): void;
  /** A snapshot of the own state is on disk. */
  compacted(meta: SnapshotMeta): void;
  installed(meta: SnapshotMeta): void;
}

/** One member's view, shared by the watches of its core, disk and machine for one run of its process. */
export interface NodeView {
  readonly id: NodeId;
  readonly group: GroupWatch;
  readonly fate: MessageFate;
  readonly listener: CoreListener;
  /** Set when the storage is open. */
  disk: DiskWatch | undefined;
  core: CoreWatch | undefined;
}

/** The protocol, with every core it makes under observation. */
export function watchProtocol(protocol: ConsensusProtocol, view: NodeView): ConsensusProtocol {
  return {
    ...protocol,
    create: (setup) => (view.core = new CoreWatch(protocol.create(setup), setup, protocol.name, view)),
  };
}

interface Late {
  readonly at: number;
  readonly from: NodeId;
  readonly message: MessageBase;
  readonly session: number;
}

export class CoreWatch implements Consensus {
  readonly #core: Consensus;
  readonly #view: NodeView;
  readonly #promises: PromiseWatch | undefined;
  readonly #sessions = new Map<NodeId, number>();
  /** Reads that were taken, with what was committed anywhere by then. */
  readonly #reads = new Map<number, Index>();
  #late: Late[] = [];
  #commit: Index;
  #reign: CoreStatus | undefined;
  #status: CoreStatus | undefined;
  #ioFailed = false;

  constructor(core: Consensus, { recovered }: CoreSetup, protocol: string, view: NodeView) {
    this.#core = core;
    this.#view = view;
    this.#promises = promisesOf(protocol, view);
    this.#commit = recovered?.snapshot?.index ?? 0;
  }

  get status(): CoreStatus {
    return this.#core.status;
  }

  get dirty(): boolean {
    return this.#core.dirty;
  }

  /** How far this member knows the log to be committed. */
  get commitIndex(): Index {
    return this.#commit;
  }

  /** Reads that were taken and have not ended. */
  get openReads(): number {
    return this.#reads.size;
  }

  nextDeadline(): number {
    const own = this.#core.nextDeadline();
    return this.#late.length === 0 ? own : Math.min(own, this.#late[0]!.at);
  }

  tick(now: number): void {
    while (this.#late.length > 0 && this.#late[0]!.at <= now) {
      const { from, message, session } = this.#late.shift()!;
      // What was under way when contact ended does not arrive in the next one.
      if (this.#sessions.get(from) === session) this.#give(now, from, message);
    }
    if (this.#core.nextDeadline() <= now) this.#core.tick(now);
  }

  receive(now: number, from: NodeId, message: MessageBase): boolean {
    const times = this.#view.fate.fate(from, message.type);
    if (times === undefined) return this.#give(now, from, message);
    let sound = true;
    for (const delay of times) {
      if (delay === 0) sound = this.#give(now, from, message) && sound;
      else this.#postpone(now + delay, from, message);
    }
    return sound;
  }

  #give(now: number, from: NodeId, message: MessageBase): boolean {
    this.#promises?.given(from, message);
    return this.#core.receive(now, from, message);
  }

  #postpone(at: number, from: NodeId, message: MessageBase): void {
    const late = { at, from, message, session: this.#sessions.get(from) ?? 0 };
    const place = this.#late.findLastIndex((other) => other.at <= at);
    this.#late.splice(place + 1, 0, late);
  }

  propose(now: number, time: number, data: Uint8Array, count: number): ReturnType<Consensus['propose']> {
    return this.#core.propose(now, time, data, count);
  }

  changeMembership(now: number, change: MembershipChange): ReturnType<Consensus['changeMembership']> {
    return this.#core.changeMembership(now, change);
  }

  read(now: number, context: number): ReturnType<Consensus['read']> {
    const answer = this.#core.read(now, context);
    if (answer.ok) {
      if (this.#reads.has(context)) this.#fail('reads', `takes read ${context} a second time`);
      this.#reads.set(context, this.#view.group.commitIndex);
    }
    return answer;
  }

  transfer(now: number, to: NodeId): ReturnType<Consensus['transfer']> {
    return this.#core.transfer(now, to);
  }

  wake(now: number): void {
    this.#core.wake(now);
  }

  persisted(now: number, upTo: number): void {
    this.#core.persisted(now, upTo);
  }

  ioFailed(error: Error): void {
    this.#ioFailed = true;
    this.#core.ioFailed(error);
  }

  compacted(meta: SnapshotMeta, keepFrom: Index, bytes?: number): void {
    if (meta.index > this.#commit)
      this.#fail('order of indexes', `has a snapshot at ${meta.index}, commit is ${this.#commit}`);
    this.#view.listener.compacted(meta);
    this.#core.compacted(meta, keepFrom, bytes);
  }

  fetched(now: number, request: number, entries: readonly Entry[] | 'compacted'): void {
    this.#core.fetched(now, request, entries);
  }

  snapshotDone(now: number, request: number, index: Index, ok: boolean): void {
    this.#core.snapshotDone(now, request, index, ok);
  }

  install(now: number, from: NodeId, meta: SnapshotMeta): boolean {
    const known = this.#view.group.committedAt(meta.index);
    if (known === undefined || compareEpochs(known.epoch, meta.epoch) !== 0)
      this.#fail('state machine safety', `gets a snapshot at ${meta.index} that was not committed`);
    return this.#core.install(now, from, meta);
  }

  suspended(now: number): void {
    this.#core.suspended?.(now);
  }

  link(now: number, peer: NodeId, session: number, up: boolean, hello?: PeerHello): void {
    if (up) this.#sessions.set(peer, session);
    else this.#sessions.delete(peer);
    this.#core.link(now, peer, session, up, hello);
  }

  entries(from: Index, to: Index, maxBytes: number): readonly Entry[] {
    return this.#core.entries(from, to, maxBytes);
  }

  progress(now: number): readonly MemberProgress[] {
    return this.#core.progress(now);
  }

  load(): CoreLoad {
    return this.#core.load();
  }

  drain(now: number, out: Effects): void {
    this.#core.drain(now, out);
    const { stopped } = this.#core.status;
    if (stopped !== undefined && !this.#ioFailed)
      this.#fail('core', `its core stopped itself: ${stopped.message}`);
    const disk = this.#view.disk!;
    if (out.truncateFrom > 0) this.#truncated(out.truncateFrom);
    if (out.install !== undefined) this.#installed(out.install);
    this.#appended(out, disk);
    this.#checkSent(out, disk);
    const ledBefore = this.#leads();
    const reign = this.#reign?.epoch ?? this.#core.status.epoch;
    this.#checkReign(out, disk);
    this.#checkReads(out);
    // The disk's watch hears of this write a moment later; what is committed by it alone is checked against this view.
    this.#checkCommit(out, disk, ledBefore, reign);
    if (this.#status !== this.#core.status) {
      this.#status = this.#core.status;
      this.#view.listener.status(this.#status);
    }
  }

  #truncated(from: Index): void {
    if (from <= this.#commit)
      this.#fail('commit', `truncates from ${from}, what is up to ${this.#commit} is committed`);
    if (this.#leads()) this.#fail('leader append-only', `truncates from ${from} while it leads`);
    this.#view.listener.truncated(from);
  }

  #installed(meta: SnapshotMeta): void {
    if (this.#leads()) this.#fail('leader append-only', `installs a snapshot while it leads`);
    this.#view.listener.installed(meta);
    this.#commit = Math.max(this.#commit, meta.index);
  }

  /** Leads now in the epoch in which it led at the last drain. */
  #leads(): boolean {
    const { role, epoch } = this.#core.status;
    return role === 'leader' && this.#reign !== undefined && compareEpochs(this.#reign.epoch, epoch) === 0;
  }

  /**
   * A leader takes the next step of a change when the one before is committed, and so is an entry of its own reign (Ongaro's
   * correction of 2015): else two leaders could build on different memberships.
   */
  #checkChange(entry: Entry, commit: Index, disk: DiskWatch, append: readonly Entry[]): void {
    const { role, epoch } = this.#core.status;
    // The first one founds the group.
    if (role !== 'leader' || compareEpochs(entry.epoch, epoch) !== 0 || entry.index === 1) return;
    const all = [...disk.written.entries, ...append];
    const before = all.findLast(({ kind, index }) => kind === 'config' && index < entry.index);
    if (before !== undefined && before.index > commit)
      this.#fail('membership', `appends one at ${entry.index}, that at ${before.index} is not committed`);
    const newest = all.findLast((other) => lastOf(other) <= commit);
    if (newest !== undefined && compareEpochs(newest.epoch, epoch) !== 0)
      this.#fail('membership', `appends one at ${entry.index} with nothing of its reign committed`);
  }

  #appended({ append, commit, truncateFrom }: Effects, disk: DiskWatch): void {
    if (append.length === 0) return;
    const first = append[0]!.index;
    let before = truncateFrom > 0 && truncateFrom < first ? undefined : disk.written.at(first - 1);
    for (const entry of append) {
      this.#view.group.appended(this.#view.id, entry, before);
      if (entry.kind === 'config') this.#checkChange(entry, commit, disk, append);
      before = entry;
    }
  }

  #checkReign(out: Effects, disk: DiskWatch): void {
    const { status } = this.#core;
    if (status.role !== 'leader') {
      this.#reign = undefined;
      return;
    }
    if (this.#leads()) return;
    this.#reign = status;
    const { config, n, priority, node } = status.epoch;
    const { id, group } = this.#view;
    group.leads(id, this.#promises?.reignOf(status.epoch) ?? `${config}.${n}.${priority}.${node}`);
    const recorded = findMember(status.membership, id)?.incarnation;
    if (recorded !== undefined && recorded !== '' && recorded !== disk.incarnation)
      this.#fail('election safety', `leads with a storage that is not on record`);
    group.beginsToLead(id, status.epoch, (entry) => {
      // Who takes over a log may get a snapshot of it, and lead with that.
      const covered = out.install?.index ?? 0;
      if (entry.index < disk.written.first || entry.index <= covered) return true;
      const own = this.#written(out, disk, entry.index);
      return own !== undefined && compareEpochs(own.epoch, entry.epoch) === 0;
    });
  }

  #checkReads({ reads, readsFailed }: Effects): void {
    for (const { context, index } of reads) {
      const committed = this.#endRead(context);
      if (committed !== undefined && index < committed)
        this.#fail('reads', `answers read ${context} at ${index}, ${committed} was committed before it`);
    }
    for (const { context } of readsFailed) this.#endRead(context);
  }

  #endRead(context: number): Index | undefined {
    const committed = this.#reads.get(context);
    if (!this.#reads.delete(context)) this.#fail('reads', `ends read ${context}, which is not open`);
    return committed;
  }

  /** What the disk will hold at an index when this turn's write is on its way. */
  #written({ append, truncateFrom }: Effects, disk: DiskWatch, index: Index): Entry | undefined {
    const fresh = append.length > 0 && index >= append[0]!.index;
    if (fresh) return append.find((entry) => index <= lastOf(entry));
    return truncateFrom > 0 && index >= truncateFrom ? undefined : disk.written.at(index);
  }

  #checkCommit(out: Effects, disk: DiskWatch, ledBefore: boolean, reign: Epoch): void {
    const { commit } = out;
    const { lastIndex, membership } = this.#core.status;
    if (commit > lastIndex)
      this.#fail('order of indexes', `commits ${commit}, its last index is ${lastIndex}`);
    if (commit === this.#commit) return;
    if (commit < this.#commit) {
      this.#fail('commit', `goes from commit ${this.#commit} back to ${commit}`);
      return;
    }
    const { group, id } = this.#view;
    const at = (index: Index): Entry | undefined => this.#written(out, disk, index);
    // Raft §5.4.2: a leader counts for entries of its own reign only.
    const newest = at(commit);
    if (ledBefore && newest !== undefined && compareEpochs(newest.epoch, this.#core.status.epoch) !== 0)
      this.#fail(
        'commit',
        `commits ${commit}, an entry of epoch ${newest.epoch.n}, by counting in ${this.#core.status.epoch.n}`,
      );
    let index = Math.max(this.#commit + 1, disk.written.first);
    while (index <= commit) {
      const entry = at(index);
      if (entry === undefined) break; // an install is on its way to the disk
      if (lastOf(entry) > commit) {
        this.#fail('commit', `commits ${commit}, within an entry that ends at ${lastOf(entry)}`);
        break;
      }
      // A reign may end with what it commits.
      group.committed(id, entry, membership, reign, this.#status?.membership);
      index = lastOf(entry) + 1;
    }
    this.#commit = commit;
  }

  /** Votes, promises and acknowledgements leave only when what they promise is on disk. */
  #checkSent({ send }: Effects, disk: DiskWatch): void {
    if (this.#promises === undefined) return;
    for (const { to, message } of send) this.#promises.sent(to, message, disk);
  }

  #fail(invariant: string, message: string): void {
    const { group, id } = this.#view;
    group.report(invariant, id, `${id} ${message}`);
  }
}
