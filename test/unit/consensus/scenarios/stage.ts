/**
 * Several Raft cores on a stage. The script decides what happens, in which order: whose clock runs, which message arrives and
 * which is lost, which write ends. What must hold of any cluster is checked at every step, by {@link Watch}.
 */
import { foundingMembership } from '../../../../lib/consensus/membership.js';
import { createRaftProtocol } from '../../../../lib/consensus/raft/raft.js';
import { members, steady } from '../rig.js';
import { applyUpTo, capture, drainToDisk, endReads, readBack, revive } from '../simProcess.js';
import { raftRules } from '../rules.js';
import { Watch } from '../watch.js';
import { Post } from './post.js';
import { Seeds } from './seeds.js';
import type {
  Accepted,
  Consensus,
  Index,
  IoToken,
  MembershipChange,
  NodeId,
  SnapshotRequest,
} from '../../../../lib/consensus/consensus.js';
import type { Member, Membership } from '../../../../lib/consensus/membership.js';
import type { RaftMessage } from '../../../../lib/consensus/raft/messages.js';
import type { RaftOptions } from '../../../../lib/consensus/raft/options.js';
import { SimDisk } from '../simDisk.js';
import type { SimSnapshot } from '../simDisk.js';
import type { SimProcess } from '../simProcess.js';
import type { Mail, Pattern } from './post.js';
import type { Seed } from './seeds.js';

const ELECTION_MS = 300;
const HEARTBEAT_MS = 50;

/** A snapshot under way. */
export interface Stream extends SnapshotRequest {
  readonly from: NodeId;
}

interface Actor extends SimProcess {
  readonly core: Consensus<RaftMessage>;
  /** Its own clock. */
  now: number;
  /** When it last heard of a leader. */
  heard: number;
  /** Writes end when the script says so. */
  slow: boolean;
  /** Its disk failed. */
  failed: boolean;
  readonly writes: { readonly io: IoToken; readonly mark: number }[];
}

export class Stage extends Post {
  readonly nodes = new Map<NodeId, Actor>();
  readonly disks = new Map<NodeId, SimDisk>();
  readonly watch = new Watch(this, raftRules);
  streams: Stream[] = [];
  answers: { id: NodeId; context: number; index: Index }[] = [];
  failures: { id: NodeId; context: number }[] = [];
  readonly #ids: readonly NodeId[];
  /** They begin with an empty disk, and found nothing. */
  readonly #joiners: readonly NodeId[];
  /** They keep no data. */
  readonly #witnesses: readonly NodeId[];
  readonly #options: RaftOptions;
  #session = 0;
  #contexts = 0;

  constructor(
    seeds: Readonly<Record<NodeId, Seed>>,
    o: {
      membership?: Membership;
      options?: RaftOptions;
      joiners?: readonly NodeId[];
      witnesses?: readonly NodeId[];
    } = {},
  ) {
    super();
    this.#ids = Object.keys(seeds);
    this.#witnesses = o.witnesses ?? [];
    this.#joiners = [...(o.joiners ?? []), ...this.#witnesses];
    this.#options = { ...steady, ...o.options };
    const maker = new Seeds(o.membership ?? members(this.#ids.filter((id) => !this.#joiners.includes(id))));
    for (const [id, seed] of Object.entries(seeds))
      this.disks.set(id, this.#joiners.includes(id) ? new SimDisk(id.toUpperCase()) : maker.disk(id, seed));
    for (const id of this.#ids) this.start(id);
  }

  /** For the watch, to name the moment of a failure: how many messages were sent. */
  get now(): number {
    return this.sent.length;
  }

  node(id: NodeId): Actor {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`${id} is down`);
    return node;
  }

  /** Where a node stands, such as `leader 2: 1 1 2 (3)`: role, term, the terms of its log, the commit index. */
  at(id: NodeId): string {
    const { role, epoch: reign, commitIndex } = this.node(id).core.status;
    const { entries, start } = this.node(id).disk.written;
    const terms = entries.map((e) => e.epoch.n).join(' ');
    return `${role} ${reign.n}: ${start > 0 ? `…${start} ` : ''}${terms} (${commitIndex})`;
  }

  /** Where several nodes stand. */
  all(...ids: NodeId[]): string[] {
    return ids.map((id) => this.at(id));
  }

  // --- processes and links ---

  start(id: NodeId): this {
    const disk = this.disks.get(id)!;
    // Not the same for all, or they would split the votes for ever.
    const random = 0.9 - this.#ids.indexOf(id) / 10;
    const witness = this.#witnesses.includes(id);
    const actor = { witness, now: 0, heard: -Infinity, slow: false, failed: false, writes: [] };
    const founders = this.#joiners.includes(id) ? [] : this.#ids;
    const core = createRaftProtocol(this.#options).create({
      self: id,
      incarnation: disk.incarnation,
      witness,
      founders,
      genesisCandidate: 'G',
      now: 0,
      random: () => random,
      recovered: disk.recover(1 << 20),
    });
    const node = Object.assign(revive(id, core, disk, foundingMembership(founders)), actor, { core });
    this.nodes.set(id, node);
    this.#turn(node);
    for (const other of this.nodes.keys()) if (other !== id) this.link(id, other);
    return this;
  }

  /** A process ends; writes that did not end are lost, and so is what is under way to it. */
  crash(id: NodeId): this {
    const node = this.node(id);
    node.alive = false;
    this.nodes.delete(id);
    node.disk.crash(0);
    this.watch.crashed(node.disk);
    for (const other of this.nodes.keys()) this.#unlink(other, id);
    return this;
  }

  restart(id: NodeId): this {
    return this.crash(id).start(id);
  }

  /** Links two nodes, anew if they were. */
  link(a: NodeId, b: NodeId): this {
    const session = ++this.#session;
    for (const [id, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const node = this.node(id);
      node.sessions.set(peer, session);
      const { incarnation } = this.disks.get(peer)!;
      node.core.link(node.now, peer, session, true, {
        incarnation,
        genesis: this.node(peer).core.status.genesis,
        witness: this.#witnesses.includes(peer),
      });
      this.#turn(node);
    }
    return this;
  }

  unlink(a: NodeId, b: NodeId): this {
    this.#unlink(a, b);
    this.#unlink(b, a);
    return this;
  }

  /** Cuts a node off from these, or from all others, both ways. */
  isolate(id: NodeId, from: readonly NodeId[] = this.#ids): this {
    for (const other of from) if (other !== id) this.cut(id, other).cut(other, id);
    return this;
  }

  // --- messages ---

  /** Delivers what is under way and meant, and what that leads to, until nothing of it is left. */
  deliver(where: Pattern = {}): this {
    for (let steps = 0; ; steps++) {
      if (steps > 5000) throw new Error('the cluster never gets quiet');
      const mail = this.next(where);
      if (mail === undefined) return this;
      this.#arrive(mail);
    }
  }

  /** Delivers the oldest message that is meant. */
  deliverOne(where: Pattern = {}): this {
    const mail = this.next(where);
    if (mail === undefined) throw new Error(`nothing like ${JSON.stringify(where)} is under way`);
    this.#arrive(mail);
    return this;
  }

  /** Delivers messages in the order given: late ones, doubles. */
  inject(mail: readonly Mail[]): this {
    for (const one of mail) this.#arrive(one);
    return this;
  }

  // --- time ---

  /** The clocks of these nodes run, in small steps; nothing arrives. */
  wait(ms: number, ...ids: NodeId[]): this {
    for (let passed = 0; passed < ms; passed += 10) {
      for (const id of ids) {
        const node = this.nodes.get(id);
        if (node === undefined) continue;
        node.now += 10;
        node.core.tick(node.now);
        this.#turn(node);
      }
    }
    return this;
  }

  /** All clocks run, and messages arrive at once. */
  run(ms: number): this {
    for (let passed = 0; passed < ms; passed += 10) this.wait(10, ...this.nodes.keys()).deliver();
    return this;
  }

  /** The leader's next heartbeat; nothing arrives yet. */
  beat(id: NodeId): this {
    return this.wait(HEARTBEAT_MS, id);
  }

  /** A node's patience ends, and that of nobody else; who followed a leader no longer sticks to it. */
  timeout(id: NodeId): this {
    for (const other of this.nodes.values()) {
      if (other.id === id || other.core.status.role === 'leader') continue;
      const left = other.heard + ELECTION_MS - other.now;
      if (left > 0) this.wait(left, other.id);
    }
    const asked = (): number => this.sentOf('vote', { from: id }).length;
    const before = asked();
    for (let i = 0; i < 200; i++) {
      this.wait(10, id);
      if (asked() > before) return this;
    }
    throw new Error(`${id} never runs`);
  }

  /**
   * A node runs until it leads, three times at most: a first refusal may only have told it the newer term. Only `voters` (all,
   * if none is named) hear of it; other votes under way are lost.
   */
  elect(id: NodeId, ...voters: NodeId[]): this {
    const among = voters.length === 0 ? this.#ids : [id, ...voters];
    const lose = (): void => {
      this.lose({ type: 'vote' });
      this.lose({ type: 'voteReply' });
    };
    for (let run = 0; run < 3 && (run === 0 || this.node(id).core.status.role !== 'leader'); run++) {
      lose();
      this.timeout(id);
      while (this.has({ type: 'vote', among }) || this.has({ type: 'voteReply', among }))
        this.deliver({ type: 'vote', among }).deliver({ type: 'voteReply', among });
    }
    lose();
    return this;
  }

  // --- requests ---

  /** Proposes in one turn. */
  propose(id: NodeId, n = 1, size = 4): Accepted {
    const node = this.node(id);
    let answer: Accepted = { ok: false, why: 'notLeader' };
    for (let i = 0; i < n; i++) answer = node.core.propose(node.now, 5000, new Uint8Array(size), 1);
    this.#turn(node);
    return answer;
  }

  /** Asks for a change of the membership; `ok`, or why not. */
  change(id: NodeId, change: MembershipChange): string {
    const node = this.node(id);
    const answer = node.core.changeMembership(node.now, change);
    this.#turn(node);
    return answer.ok ? 'ok' : answer.why;
  }

  /** Who takes part as a node sees it, such as `abc` or, under way, `abcd/abc +e ⇒ abce`: voters, outgoing, learners, next. */
  parts(id: NodeId): string {
    const { voters, outgoing, learners, next } = this.node(id).core.status.membership;
    const names = (list: readonly Member[]): string => list.map((member) => member.id).join('');
    return [
      names(voters),
      outgoing.length > 0 ? `/${names(outgoing)}` : '',
      learners.length > 0 ? ` +${names(learners)}` : '',
      next === undefined ? '' : ` ⇒ ${next.voters.join('')}`,
    ].join('');
  }

  /** A store is lost; the node comes back with an empty one. */
  wipe(id: NodeId): this {
    this.crash(id);
    this.watch.lost.push(this.disks.get(id)!);
    this.disks.set(id, new SimDisk(`${id.toUpperCase()}2`));
    return this.start(id);
  }

  /** Returns the context under which the answer will come, or 0: refused. */
  read(id: NodeId): number {
    const node = this.node(id);
    const context = ++this.#contexts;
    if (!node.core.read(node.now, context).ok) return 0;
    node.reads.set(context, this.watch.committed);
    this.#turn(node);
    return context;
  }

  // --- disks and snapshots ---

  /** From now on writes of this node end only by {@link Stage.finish}. */
  slow(id: NodeId): this {
    this.node(id).slow = true;
    return this;
  }

  /** How many writes are under way. */
  writing(id: NodeId): number {
    return this.node(id).writes.length;
  }

  /** The oldest `count` writes end and are reported; `lastFirst`: the newest of them is reported first. */
  finish(id: NodeId, count = Infinity, lastFirst = false): this {
    const node = this.node(id);
    const ended = node.writes.splice(0, Math.min(count, node.writes.length));
    for (const { mark } of ended) node.disk.flush(mark);
    if (lastFirst) ended.reverse();
    for (const { io } of ended) {
      node.core.persisted(node.now, io);
      this.#turn(node);
    }
    return this;
  }

  /** All writes end, and from now on at once. */
  fast(id: NodeId): this {
    this.node(id).slow = false;
    return this.finish(id);
  }

  /** Takes a snapshot at what is applied, and drops the log up to `index`, or all of it that is applied. */
  compact(id: NodeId, index?: Index): this {
    const node = this.node(id);
    const snapshot = capture(node)!;
    const upTo = index ?? node.applied;
    node.disk.compact(snapshot, upTo);
    node.disk.flush(node.disk.mark);
    node.core.compacted(snapshot.meta, upTo + 1);
    return this;
  }

  /** A stream arrives whole: the newest snapshot of its sender, or `snapshot`. The sender is not told. */
  stream({ from, to }: Stream, snapshot: SimSnapshot = this.node(from).disk.durable.snapshot!): Index {
    const node = this.node(to);
    if (node.core.install(node.now, from, snapshot.meta)) node.received = snapshot;
    this.#turn(node);
    return snapshot.meta.index;
  }

  /** The sender of a stream learns how it ended. */
  streamed({ from, request }: Stream, index: Index, ok = true): this {
    const node = this.node(from);
    node.core.snapshotDone(node.now, request, index, ok);
    this.#turn(node);
    return this;
  }

  fail(id: NodeId): this {
    const node = this.node(id);
    node.failed = true;
    node.core.ioFailed(new Error('disk'));
    this.#turn(node);
    return this;
  }

  // --- inside ---

  #arrive({ from, to, session, message }: Mail): void {
    const node = this.nodes.get(to);
    if (node?.sessions.get(from) !== session) return;
    const { type } = message;
    if ((type === 'append' || type === 'heartbeat') && message.term >= node.core.status.epoch.n)
      node.heard = node.now;
    const sound = node.core.receive(node.now, from, message);
    this.watch.check(sound, () => `${to} refused ${JSON.stringify(message)}`);
    if (!node.failed) this.watch.touched(node);
    this.#turn(node);
  }

  /** Drains a node as its driver would. */
  #turn(node: Actor): void {
    while (node.core.dirty) {
      const { fx, mark } = drainToDisk(node, node.now);
      if (fx.io > 0) node.writes.push({ io: fx.io, mark });
      if (!node.failed) this.watch.drained(node, fx);
      for (const { to, message } of fx.send) this.#send(node, to, message as RaftMessage);
      applyUpTo(node, fx.commit);
      endReads(node, fx, this.watch);
      this.answers.push(...fx.reads.map(({ context, index }) => ({ id: node.id, context, index })));
      this.failures.push(...fx.readsFailed.map(({ context }) => ({ id: node.id, context })));
      for (const request of fx.fetch)
        node.core.fetched(node.now, request.request, readBack(node.disk.written, request));
      for (const request of fx.snapshotTo) this.streams.push({ ...request, from: node.id });
      if (!node.slow) this.finish(node.id);
    }
  }

  #send(node: Actor, to: NodeId, message: RaftMessage): void {
    this.watch.sent(node, to, message);
    this.post({ from: node.id, to, session: node.sessions.get(to) ?? 0, message });
  }

  #unlink(id: NodeId, peer: NodeId): void {
    const node = this.node(id);
    const session = node.sessions.get(peer);
    if (session === undefined) return;
    node.sessions.delete(peer);
    if (node.core.status.leader === peer) node.heard = -Infinity;
    node.core.link(node.now, peer, session, false);
    this.#turn(node);
  }
}
