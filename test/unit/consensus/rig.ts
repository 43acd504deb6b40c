/** One Raft core on a bench: its peers, its disk and its clock are the test. */
import { createEffects, lastOf } from '../../../lib/consensus/consensus.js';
import { encodeMembership } from '../../../lib/consensus/membership.js';
import { createRaftProtocol } from '../../../lib/consensus/raft/raft.js';
import type {
  Consensus,
  Effects,
  Entry,
  EntryKind,
  Epoch,
  Index,
  NodeId,
  Recovered,
  SnapshotMeta,
  Vitals,
} from '../../../lib/consensus/consensus.js';
import type { Membership } from '../../../lib/consensus/membership.js';
import type { Ack, Append, RaftMessage, Vote } from '../../../lib/consensus/raft/messages.js';
import type { RaftOptions } from '../../../lib/consensus/raft/options.js';

export type Kind = RaftMessage['type'];
export type Of<K extends Kind> = Extract<RaftMessage, { type: K }>;

export function epoch(n: number, node: NodeId = 'b'): Epoch {
  return { config: 0, n, priority: 0, node: n === 0 ? '' : node };
}

export function entry(index: Index, n: number, more: Partial<Entry> = {}): Entry {
  return {
    index,
    count: 1,
    epoch: epoch(n),
    time: 1000 + index,
    kind: 'user',
    data: Uint8Array.of(index),
    ...more,
  };
}

/** Each member's storage is known by its name in capitals. */
export function members(ids: readonly NodeId[], known: readonly NodeId[] = ids): Membership {
  const voters = ids.map((id) => ({ id, incarnation: known.includes(id) ? id.toUpperCase() : '' }));
  return { genesis: 'G', founders: ids, voters, outgoing: [], learners: [] };
}

export function configEntry(index: Index, n: number, membership: Membership): Entry {
  return entry(index, n, { kind: 'config' as EntryKind, data: encodeMembership(membership) });
}

/** A log as found on disk: entry 1 is the founding, the others have the terms given. */
export function found(
  membership: Membership,
  terms: readonly number[],
  hard: { term?: number; vote?: NodeId; commit?: Index; genesis?: string } = {},
): Recovered {
  const entries = terms.map((n, i) => (i === 0 ? configEntry(1, n, membership) : entry(i + 1, n)));
  return foundEntries(entries, hard);
}

export function foundEntries(
  entries: readonly Entry[],
  hard: { term?: number; vote?: NodeId; commit?: Index; genesis?: string } = {},
): Recovered {
  const runs: { from: Index; epoch: Epoch }[] = [];
  for (const e of entries)
    if (runs.at(-1)?.epoch.n !== e.epoch.n) runs.push({ from: e.index, epoch: e.epoch });
  const last = entries.at(-1);
  return {
    hard: {
      protocol: 'raft',
      config: 0,
      epoch: epoch(hard.term ?? last?.epoch.n ?? 0, ''),
      vote: hard.vote ?? '',
      commit: hard.commit ?? 0,
      genesis: hard.genesis ?? 'G',
    },
    snapshot: undefined,
    runs,
    firstIndex: entries[0]?.index ?? 1,
    lastIndex: last === undefined ? 0 : lastOf(last),
    lastTime: last?.time ?? 0,
    configs: entries.filter((e) => e.kind === 'config'),
    tail: entries,
  };
}

/** Time-outs that a test can count on. */
export const steady: RaftOptions = { electionTimeoutMs: 300, maxElectionTimeoutMs: 300 };

export class Rig {
  now = 0;
  readonly core: Consensus<RaftMessage>;
  readonly fx: Effects<RaftMessage> = createEffects();
  /** Everything that was drained, in order. */
  sent: { to: NodeId; message: RaftMessage }[] = [];
  reads: { context: number; index: Index }[] = [];
  failed: number[] = [];
  tokens: number[] = [];
  random = 0;
  /** What is measured of peers. */
  readonly vitals = new Map<NodeId, Vitals>();

  constructor(
    o: {
      self?: NodeId;
      founders?: readonly NodeId[];
      incarnation?: string;
      recovered?: Recovered | undefined;
      options?: RaftOptions;
    } = {},
  ) {
    const self = o.self ?? 'a';
    this.core = createRaftProtocol({ ...steady, ...o.options }).create({
      self,
      incarnation: o.incarnation ?? self.toUpperCase(),
      founders: o.founders ?? ['a', 'b', 'c'],
      genesisCandidate: 'G',
      now: 0,
      random: () => this.random,
      vitals: (peer) => this.vitals.get(peer),
      recovered: o.recovered,
    });
  }

  get status() {
    return this.core.status;
  }

  link(...ids: NodeId[]): this {
    for (const id of ids) this.meet(id);
    return this;
  }

  meet(
    id: NodeId,
    o: { incarnation?: string; genesis?: string; session?: number; up?: boolean; priority?: number } = {},
  ): this {
    const { incarnation = id.toUpperCase(), genesis = '', priority = 0 } = o;
    const hello = { incarnation, genesis, priority };
    this.core.link(this.now, id, o.session ?? 1, o.up ?? true, hello);
    return this;
  }

  /** Drains as long as there is something; what was sent is kept until taken. */
  drain(): this {
    do {
      this.core.drain(this.now, this.fx);
      this.sent.push(...this.fx.send);
      this.reads.push(...this.fx.reads);
      this.failed.push(...this.fx.readsFailed.map(({ context }) => context));
      if (this.fx.io > 0) this.tokens.push(this.fx.io);
    } while (this.core.dirty);
    return this;
  }

  /** The disk finishes everything; what that leads to is drained, and so on. */
  flush(): this {
    this.drain();
    while (this.tokens.length > 0) {
      this.core.persisted(this.now, this.tokens.at(-1)!);
      this.tokens = [];
      this.drain();
    }
    return this;
  }

  /** Time passes in small steps, as under a driver that is awake. */
  pass(ms: number): this {
    const end = this.now + ms;
    while (this.now < end) {
      this.now = Math.min(end, this.now + 10);
      this.core.tick(this.now);
    }
    return this;
  }

  receive(from: NodeId, message: RaftMessage): boolean {
    return this.core.receive(this.now, from, message);
  }

  /** Takes what was sent, of one kind. */
  take<K extends Kind>(type: K, to?: NodeId): Of<K>[] {
    const mine = this.sent.filter((out) => out.message.type === type && (to === undefined || out.to === to));
    this.sent = this.sent.filter((out) => !mine.includes(out));
    return mine.map((out) => out.message as Of<K>);
  }

  /** Makes it the leader by the votes of `voters`, with everything durable and nothing acknowledged yet. */
  lead(...voters: NodeId[]): this {
    this.pass(700).drain();
    const [ask] = this.take('vote');
    for (const id of voters) this.vote(id, true, ask!.term, true);
    this.flush();
    const term = this.take('vote').at(-1)!.term;
    for (const id of voters) this.vote(id, true, term);
    if (this.status.role !== 'leader') throw new Error(`not the leader but ${this.status.role}`);
    return this;
  }

  vote(from: NodeId, granted: boolean, term: number, pre = false): boolean {
    return this.receive(from, { type: 'voteReply', pre, granted, term, genesis: '' });
  }

  ask(from: NodeId, o: Partial<Vote> & { term: number }): Vote & { genesis: string } {
    const message: Vote = {
      type: 'vote',
      pre: false,
      lastIndex: 100,
      lastTerm: o.term - 1,
      genesis: 'G',
      recorded: 'A',
      transfer: false,
      ...o,
    };
    this.receive(from, message);
    return message;
  }

  append(from: NodeId, o: Partial<Append> & { term: number }): boolean {
    const prevIndex = o.prevIndex ?? 0;
    return this.receive(from, {
      type: 'append',
      prevIndex,
      prevEpoch: epoch(prevIndex === 0 ? 0 : o.term),
      entries: [],
      commit: 0,
      ...o,
    });
  }

  ack(from: NodeId, matched: Index, o: Partial<Ack> = {}): boolean {
    const { n } = this.status.epoch;
    return this.receive(from, {
      type: 'ack',
      term: n,
      matched,
      round: 0,
      promised: false,
      conflict: undefined,
      ...o,
    });
  }

  beat(from: NodeId, term: number, o: Partial<Of<'heartbeat'>> = {}): boolean {
    return this.receive(from, {
      type: 'heartbeat',
      term,
      commit: 0,
      round: 1,
      genesis: '',
      promiseMs: 0,
      ...o,
    });
  }

  propose(count = 1, size = 4) {
    return this.core.propose(this.now, 5000, new Uint8Array(size), count);
  }
}

export function snapshotMeta(index: Index, n: number, membership: Membership): SnapshotMeta {
  return { index, epoch: epoch(n), time: 1000 + index, membership, protocol: 'raft' };
}
