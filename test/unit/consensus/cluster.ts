/**
 * A cluster of cores in virtual time, where one seed decides everything: network (loss, duplicates, delay, reordering,
 * partitions, one-way cuts), disks (late, losing what is not durable), crashes, wiped stores, snapshots, proposals, reads.
 * What must always hold is checked at every step, by {@link Watch}.
 */
import { compareEpochs, lastOf } from '../../../lib/consensus/consensus.js';
import { allMembers, foundingMembership } from '../../../lib/consensus/membership.js';
import { createRaftProtocol } from '../../../lib/consensus/raft/raft.js';
import { SimDisk } from './simDisk.js';
import { applyUpTo, capture, drainToDisk, endReads, readBack, revive } from './simProcess.js';
import { seeded } from '../support/seeded.js';
import { Queue } from './simQueue.js';
import { paxosRules, raftRules } from './rules.js';
import { Watch } from './watch.js';
import type {
  ConsensusProtocol,
  FetchRequest,
  MembershipChange,
  MessageBase,
  NodeId,
  SnapshotRequest,
} from '../../../lib/consensus/consensus.js';
import type { SimProcess } from './simProcess.js';

export interface Faults {
  loss: number;
  duplicate: number;
  /** Mean delay of messages and of the disk, in ms. */
  delay: number;
  disk: number;
}

/** A process in the cluster. */
export interface SimNode extends SimProcess {
  turn: boolean;
  deadline: number;
  pausedUntil: number;
}

export class Cluster {
  now = 0;
  readonly nodes = new Map<NodeId, SimNode>();
  readonly disks = new Map<NodeId, SimDisk>();
  readonly watch: Watch;
  readonly faults: Faults = { loss: 0, duplicate: 0, delay: 2, disk: 2 };
  readonly cuts = new Set<string>();
  readonly random: () => number;
  readonly #protocol: ConsensusProtocol;
  readonly #queue = new Queue();
  #session = 0;
  #contexts = 0;
  #wipes = 0;
  /** What became of changes of the membership. */
  readonly changes: string[] = [];
  answered = 0;
  installs = 0;
  transfers = 0;

  readonly ids: readonly NodeId[];
  /** Nodes that found nothing; they may be added. */
  readonly spares: readonly NodeId[];

  constructor(
    seed: number,
    ids: readonly NodeId[],
    protocol: ConsensusProtocol = createRaftProtocol(),
    spares: readonly NodeId[] = [],
  ) {
    this.ids = ids;
    this.spares = spares;
    this.random = seeded(seed);
    this.#protocol = protocol;
    this.watch = new Watch(this, protocol.name === 'raft' ? raftRules : paxosRules);
    for (const id of this.all) this.disks.set(id, new SimDisk(`${id}0`));
    for (const id of this.all) this.start(id);
  }

  get all(): readonly NodeId[] {
    return [...this.ids, ...this.spares];
  }

  chance(p: number): boolean {
    return this.random() < p;
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.random() * from.length)]!;
  }

  after(ms: number, run: () => void): void {
    this.#queue.push(this.now + ms, run);
  }

  run(ms: number): void {
    const end = this.now + ms;
    while (this.#queue.next <= end) this.#step();
    this.now = end;
  }

  runUntil(done: () => boolean, maxMs: number): boolean {
    const end = this.now + maxMs;
    while (!done()) {
      if (this.#queue.next > end) return false;
      this.#step();
    }
    return true;
  }

  start(id: NodeId): void {
    const disk = this.disks.get(id)!;
    const founders = this.spares.includes(id) ? [] : this.ids;
    const core = this.#protocol.create({
      self: id,
      incarnation: disk.incarnation,
      witness: isWitness(id),
      founders,
      genesisCandidate: `g-${disk.incarnation}`,
      now: this.now,
      random: this.random,
      recovered: disk.recover(Math.floor(this.random() * 8)),
    });
    const process = revive(id, core, disk, foundingMembership(founders), this.#protocol.name);
    const node: SimNode = Object.assign(process, {
      witness: isWitness(id),
      turn: false,
      deadline: Infinity,
      pausedUntil: 0,
    });
    this.nodes.set(id, node);
    for (const other of this.nodes.values()) if (other !== node) this.connect(node, other);
    this.#touch(node);
  }

  crash(id: NodeId): void {
    const node = this.nodes.get(id);
    if (node?.alive !== true) return;
    node.alive = false;
    this.nodes.delete(id);
    node.disk.crash(this.random());
    this.watch.crashed(node.disk);
    for (const other of this.nodes.values()) {
      const session = other.sessions.get(id);
      this.#later(other, 20, () => {
        if (other.sessions.get(id) === session) this.#unlink(other, id);
      });
    }
  }

  /** The store of a node that is down is lost; it comes back with an empty one. */
  wipe(id: NodeId): void {
    this.watch.lost.push(this.disks.get(id)!);
    this.disks.set(id, new SimDisk(`${id}${++this.#wipes}`));
  }

  /** Stands still, then finds all messages waiting. */
  pause(id: NodeId, ms: number): void {
    const node = this.nodes.get(id);
    if (node !== undefined) node.pausedUntil = this.now + ms;
  }

  connect(a: SimNode, b: SimNode): void {
    if (!a.alive || !b.alive || this.cuts.has(`${a.id}>${b.id}`) || this.cuts.has(`${b.id}>${a.id}`)) return;
    const [one, other] = [a.core.status.genesis, b.core.status.genesis];
    this.watch.check(one === '' || other === '' || one === other, 'two groups were founded');
    const session = ++this.#session;
    for (const [node, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      node.sessions.set(peer.id, session);
      const hello = {
        incarnation: peer.disk.incarnation,
        genesis: peer === a ? one : other,
        witness: isWitness(peer.id),
      };
      node.core.link(this.now, peer.id, session, true, hello);
      this.#touch(node);
    }
  }

  disconnect(a: SimNode, b: SimNode): void {
    this.#unlink(a, b.id);
    this.#unlink(b, a.id);
  }

  heal(): void {
    this.cuts.clear();
    Object.assign(this.faults, { loss: 0, duplicate: 0, delay: 2, disk: 2 });
    for (const id of this.all) if (!this.nodes.has(id)) this.start(id);
    for (const a of this.nodes.values()) {
      a.pausedUntil = 0;
      this.#touch(a);
      for (const b of this.nodes.values()) if (a.id < b.id) this.connect(a, b);
    }
  }

  leader(): SimNode | undefined {
    const leaders = [...this.nodes.values()].filter((node) => node.core.status.role === 'leader');
    return leaders.sort((a, b) => compareEpochs(b.core.status.epoch, a.core.status.epoch))[0];
  }

  propose(node: SimNode, count = 1, size = 8): boolean {
    const data = new Uint8Array(size);
    new DataView(data.buffer).setFloat64(0, this.random());
    const answer = node.core.propose(this.now, this.now, data, count);
    this.#touch(node);
    return answer.ok;
  }

  change(node: SimNode, change: MembershipChange): string {
    const answer = node.core.changeMembership(this.now, change);
    this.#touch(node);
    return answer.ok ? 'ok' : answer.why;
  }

  read(node: SimNode): boolean {
    const context = ++this.#contexts;
    const taken = node.core.read(this.now, context).ok;
    if (taken) node.reads.set(context, this.watch.committed);
    this.#touch(node);
    return taken;
  }

  transfer(node: SimNode, to: NodeId): void {
    if (!node.core.transfer(this.now, to).ok) return;
    this.transfers++;
    this.#touch(node);
  }

  /** Takes a snapshot at what is applied and drops a part of the log. */
  snapshot(node: SimNode): void {
    const snapshot = capture(node);
    if (snapshot === undefined || node.disk.written.last < node.applied) return;
    const bounds = node.disk.written.entries.filter((entry) => lastOf(entry) <= node.applied).map(lastOf);
    const upTo = bounds.length === 0 ? 0 : this.pick(bounds);
    node.disk.compact(snapshot, upTo);
    node.disk.flush(node.disk.mark);
    node.core.compacted(snapshot.meta, upTo + 1);
    this.#touch(node);
  }

  /** All members are alive and have applied all that the leader holds, and no change is under way. */
  settled(): boolean {
    const leader = this.leader();
    if (leader === undefined) return false;
    const { membership, lastIndex } = leader.core.status;
    if (membership.outgoing.length > 0 || membership.next !== undefined) return false;
    return allMembers(membership).every(({ id }) => {
      const node = this.nodes.get(id);
      return node?.applied === lastIndex && node.reads.size === 0;
    });
  }

  #step(): void {
    const first = this.#queue.pop();
    this.now = Math.max(this.now, first.at);
    first.run();
  }

  /** Runs something on a node, unless it crashed; a paused node does it when it goes on. */
  #later(node: SimNode, ms: number, run: () => void): void {
    this.after(ms, () => {
      if (!node.alive) return;
      if (this.now < node.pausedUntil) this.#later(node, node.pausedUntil - this.now, run);
      else {
        run();
        this.#touch(node);
      }
    });
  }

  /** After any input: one drain a turn, and a timer for the deadline. */
  #touch(node: SimNode): void {
    if (node.core.dirty && !node.turn) {
      node.turn = true;
      this.#later(node, this.random() * 0.5, () => {
        node.turn = false;
        this.#drain(node);
      });
    }
    const deadline = node.core.nextDeadline();
    if (deadline >= node.deadline) return;
    node.deadline = deadline;
    this.#later(node, Math.max(0, deadline - this.now) + this.random(), () => {
      if (node.deadline !== deadline) return;
      node.deadline = Infinity;
      node.core.tick(this.now);
    });
  }

  #drain(node: SimNode): void {
    const { fx, mark, installed } = drainToDisk(node, this.now);
    if (installed) this.installs++;
    if (fx.io > 0) {
      const { io } = fx;
      this.#later(node, this.#wait(this.faults.disk), () => {
        node.disk.flush(mark);
        node.core.persisted(this.now, io);
      });
    }
    this.watch.drained(node, fx);
    for (const { to, message } of fx.send) {
      this.watch.sent(node, to, message);
      this.#send(node, to, message);
    }
    applyUpTo(node, fx.commit);
    this.answered += endReads(node, fx, this.watch);
    for (const request of fx.fetch) this.#fetch(node, request);
    for (const request of fx.snapshotTo) this.#stream(node, request);
  }

  #send(node: SimNode, to: NodeId, message: MessageBase): void {
    const session = node.sessions.get(to);
    const copies = this.chance(this.faults.duplicate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (this.chance(this.faults.loss) || this.cuts.has(`${node.id}>${to}`)) continue;
      const target = this.nodes.get(to);
      if (target === undefined) continue;
      this.#later(target, this.#wait(this.faults.delay), () => {
        if (target.sessions.get(node.id) !== session || this.cuts.has(`${node.id}>${to}`)) return;
        const sound = target.core.receive(this.now, node.id, message);
        this.watch.check(sound, () => `${to} refused ${JSON.stringify(message)}`);
        this.watch.touched(target);
      });
    }
  }

  #fetch(node: SimNode, request: FetchRequest): void {
    this.#later(node, this.#wait(1), () => {
      node.core.fetched(this.now, request.request, readBack(node.disk.written, request));
    });
  }

  #stream(node: SimNode, { request, to, atLeast }: SnapshotRequest): void {
    const session = node.sessions.get(to);
    const stored = node.disk.durable.snapshot;
    const snapshot = stored !== undefined && stored.meta.index >= atLeast ? stored : capture(node);
    if (snapshot === undefined || snapshot.meta.index < atLeast) {
      this.#later(node, 5, () => node.core.snapshotDone(this.now, request, 0, false));
      return;
    }
    const target = this.nodes.get(to);
    if (target === undefined || this.chance(this.faults.loss)) {
      this.#later(node, 100, () => node.core.snapshotDone(this.now, request, 0, false));
      return;
    }
    this.#later(target, this.#wait(20), () => {
      if (target.sessions.get(node.id) !== session) return;
      // The driver takes one snapshot at a time: an earlier one is in the disk's hands by now.
      this.#drain(target);
      if (target.core.install(this.now, node.id, snapshot.meta)) target.received = snapshot;
      this.#drain(target);
      this.#later(node, this.#wait(20), () =>
        node.core.snapshotDone(this.now, request, snapshot.meta.index, true),
      );
    });
  }

  #unlink(node: SimNode, peer: NodeId): void {
    const session = node.sessions.get(peer);
    if (session === undefined) return;
    node.sessions.delete(peer);
    node.core.link(this.now, peer, session, false);
    this.#touch(node);
  }

  #wait(mean: number): number {
    return -Math.log(1 - this.random()) * mean;
  }
}

/** A spare of that name can be a witness, and nothing else. */
export function isWitness(id: NodeId): boolean {
  return id === 'w';
}
