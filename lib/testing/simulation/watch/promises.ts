/** What cores promise with their messages, as each protocol says it: nothing leaves that is not on disk. */
import {
  compareEpochs,
  NO_EPOCH,
  type Epoch,
  type Index,
  type MessageBase,
  type NodeId,
} from '../../../consensus/consensus.js';
import type { Ack, Heartbeat } from '../../../consensus/core/messages.js';
import type { PaxosMessage } from '../../../consensus/paxos/messages.js';
import type { RaftMessage } from '../../../consensus/raft/messages.js';
import type { NodeView } from './coreWatch.js';
import type { DiskWatch } from './diskWatch.js';

/** Watches the messages of one core. */
export interface PromiseWatch {
  /** The key of a reign, which no two leaders have in common. */
  reignOf(epoch: Epoch): string;
  /** The core is about to take a message. */
  given(from: NodeId, message: MessageBase): void;
  /** The core sends a message. */
  sent(to: NodeId, message: MessageBase, disk: DiskWatch): void;
}

/** The watch for a protocol; undefined for one that is not known. */
export function promisesOf(protocol: string, view: NodeView): PromiseWatch | undefined {
  if (protocol === 'raft') return new RaftPromises(view);
  return protocol === 'paxos' ? new PaxosPromises(view) : undefined;
}

/** What followers acknowledged, and what a leader makes of it. `T`: what tells reigns apart. */
class Acknowledgements<T> {
  readonly #view: NodeView;
  readonly #isOf: (term: T, epoch: Epoch) => boolean;
  readonly #same: (one: T, other: T) => boolean;
  /** How far each peer acknowledged in the newest reign in which it did. */
  readonly #acked = new Map<NodeId, { readonly term: T; readonly matched: Index }>();

  constructor(view: NodeView, isOf: (term: T, epoch: Epoch) => boolean, same: (one: T, other: T) => boolean) {
    this.#view = view;
    this.#isOf = isOf;
    this.#same = same;
  }

  taken(from: NodeId, { term, matched }: Ack<T>): void {
    const { role, epoch } = this.#view.core!.status;
    if (role !== 'leader' || !this.#isOf(term, epoch)) return;
    const known = this.#acked.get(from);
    if (known === undefined || !this.#same(known.term, term) || known.matched < matched)
      this.#acked.set(from, { term, matched });
  }

  sent(to: NodeId, m: Ack<T>, { durable, snapshot }: DiskWatch): void {
    if (m.matched > Math.max(durable.last, snapshot?.index ?? 0))
      fail(this.#view, 'durability', `acknowledges ${m.matched}, its disk has ${durable.last}`);
    // What a follower acknowledges is what its leader has there (append ABA, pitfalls of reverted logs).
    const leader = this.#view.group.views.get(to);
    if (leader?.core?.status.role !== 'leader' || !this.#isOf(m.term, leader.core.status.epoch)) return;
    const own = durable.epochAt(m.matched);
    const theirs = leader.disk?.written.epochAt(m.matched);
    if (own !== undefined && theirs !== undefined && compareEpochs(own, theirs) !== 0)
      fail(
        this.#view,
        'log matching',
        `acknowledges ${m.matched} of ${own.n}, which is of ${theirs.n} at ${to}`,
      );
  }

  /** A leader tells nobody of a commit beyond what that member acknowledged in this reign: stale answers count for nothing. */
  told(to: NodeId, m: Heartbeat<T>): void {
    const acked = this.#acked.get(to);
    const matched = acked !== undefined && this.#same(acked.term, m.term) ? acked.matched : 0;
    if (m.commit > matched)
      fail(
        this.#view,
        'commit',
        `tells ${to} of commit ${m.commit}, in this reign it acknowledged ${matched}`,
      );
  }
}

class RaftPromises implements PromiseWatch {
  readonly #view: NodeView;
  readonly #acks: Acknowledgements<number>;

  constructor(view: NodeView) {
    this.#view = view;
    this.#acks = new Acknowledgements(
      view,
      (term, { n }) => term === n,
      (one, other) => one === other,
    );
  }

  reignOf({ config, n }: Epoch): string {
    return `${config}.${n}`;
  }

  given(from: NodeId, message: MessageBase): void {
    const m = message as RaftMessage;
    if (m.type === 'ack') this.#acks.taken(from, m);
  }

  sent(to: NodeId, message: MessageBase, disk: DiskWatch): void {
    const m = message as RaftMessage;
    const view = this.#view;
    const { hard } = disk.durable;
    const term = hard?.epoch.n ?? 0;
    const vote = hard?.vote ?? '';
    if (m.type === 'voteReply' && m.granted && !m.pre && !(term > m.term || (term === m.term && vote === to)))
      fail(view, 'vote', `grants ${to} its vote in ${m.term}, its disk says ${vote || '-'} in ${term}`);
    const leads =
      m.type === 'append' || m.type === 'heartbeat' || m.type === 'timeoutNow' || m.type === 'quiet';
    const isOwn = leads || (m.type === 'vote' && !m.pre);
    if ((isOwn || m.type === 'ack') && term < m.term)
      fail(view, 'vote', `sends ${m.type} of ${m.term}, its disk is in ${term}`);
    if (m.type === 'ack') this.#acks.sent(to, m, disk);
    if (m.type === 'heartbeat') this.#acks.told(to, m);
    const { commitIndex } = view.core!.status;
    if (m.type === 'quiet' && m.index !== commitIndex)
      fail(view, 'commit', `would rest at ${m.index}, it committed ${commitIndex}`);
  }
}

class PaxosPromises implements PromiseWatch {
  readonly #view: NodeView;
  readonly #acks: Acknowledgements<Epoch>;

  constructor(view: NodeView) {
    this.#view = view;
    const same = (one: Epoch, other: Epoch): boolean => compareEpochs(one, other) === 0;
    this.#acks = new Acknowledgements(view, same, same);
  }

  reignOf({ config, n, priority, node }: Epoch): string {
    return `${config}.${n}.${priority}.${node}`;
  }

  given(from: NodeId, message: MessageBase): void {
    const m = message as PaxosMessage;
    if (m.type === 'ack') this.#acks.taken(from, m);
  }

  sent(to: NodeId, message: MessageBase, disk: DiskWatch): void {
    const m = message as PaxosMessage;
    const view = this.#view;
    const { epoch = NO_EPOCH, config = 0 } = disk.durable.hard ?? {};
    const kept = (ballot: Epoch): boolean => compareEpochs(epoch, ballot) >= 0;
    const says = `its disk promises ${show(epoch)}`;
    if (m.type === 'promise' && m.granted && !kept(m.term))
      fail(view, 'promise', `promises ${to} ${show(m.term)}, ${says}`);
    const isOwn =
      m.type === 'prepare' || m.type === 'append' || m.type === 'heartbeat' || m.type === 'timeoutNow';
    if (isOwn && !kept(m.term)) fail(view, 'promise', `sends ${m.type} of ${show(m.term)}, ${says}`);
    if (isOwn && m.term.node !== view.id)
      fail(view, 'promise', `sends ${m.type} of ${show(m.term)}, not its own`);
    if (m.type === 'ack') {
      // In a configuration that it does not know yet a node promises nothing, and takes only what is committed.
      const isAhead = m.term.config > config;
      if (!isAhead && !kept(m.term)) fail(view, 'promise', `accepts in ${show(m.term)}, ${says}`);
      if (isAhead && m.matched > view.group.commitIndex)
        fail(view, 'promise', `accepts ${m.matched} in ${show(m.term)}, and knows configuration ${config}`);
      this.#acks.sent(to, m, disk);
    }
    if (m.type === 'heartbeat') this.#acks.told(to, m);
  }
}

function show({ config, n, priority, node }: Epoch): string {
  return `ballot ${config}.${n}.${priority}.${node}`;
}

function fail({ group, id }: NodeView, invariant: string, message: string): void {
  group.report(invariant, id, `${id} ${message}`);
}
