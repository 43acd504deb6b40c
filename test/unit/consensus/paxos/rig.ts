/** One Paxos core on a bench: its peers, its disk and its clock are the test. */
import { createEffects, lastOf } from '../../../../lib/consensus/consensus.js';
import { encodeMembership } from '../../../../lib/consensus/membership.js';
import { createPaxosProtocol } from '../../../../lib/consensus/paxos/paxos.js';
import { members } from '../rig.js';
import type {
  Consensus,
  Effects,
  Entry,
  Epoch,
  Index,
  NodeId,
  Recovered,
} from '../../../../lib/consensus/consensus.js';
import type { Membership } from '../../../../lib/consensus/membership.js';
import type { PaxosMessage } from '../../../../lib/consensus/paxos/messages.js';
import type { PaxosOptions } from '../../../../lib/consensus/paxos/options.js';

export type Of<K extends PaxosMessage['type']> = Extract<PaxosMessage, { type: K }>;

/** A ballot: of configuration 1, if nothing else is said. */
export function ballot(n: number, node: NodeId, config = 1, priority = 0): Epoch {
  return { config, n, priority, node };
}

export function entry(index: Index, epoch: Epoch, more: Partial<Entry> = {}): Entry {
  return { index, count: 1, epoch, time: 1000 + index, kind: 'user', data: Uint8Array.of(index), ...more };
}

export function stop(index: Index, epoch: Epoch, membership: Membership): Entry {
  return entry(index, epoch, { kind: 'config', data: encodeMembership(membership) });
}

/** The members of configuration 1, unless another number is given. */
export function configured(ids: readonly NodeId[], config = 1): Membership {
  return { ...members(ids), config };
}

/** The founding: the stop-sign of configuration 0. */
export function founding(ids: readonly NodeId[] = ['a', 'b', 'c']): Entry {
  return stop(1, ballot(1, 'a', 0), configured(ids));
}

/** What a disk brought back: the founding, and then entries of these ballots. */
export function found(
  epochs: readonly Epoch[],
  { promised, commit = 1, founders }: { promised?: Epoch; commit?: Index; founders?: readonly NodeId[] } = {},
): Recovered {
  return foundEntries([founding(founders), ...epochs.map((epoch, at) => entry(at + 2, epoch))], {
    commit,
    ...(promised && { promised }),
  });
}

export function foundEntries(
  entries: readonly Entry[],
  { promised, commit = 1, config = 1 }: { promised?: Epoch; commit?: Index; config?: number } = {},
): Recovered {
  const runs: { from: Index; epoch: Epoch }[] = [];
  for (const { index, epoch } of entries) if (runs.at(-1)?.epoch !== epoch) runs.push({ from: index, epoch });
  const last = entries.at(-1)!;
  const epoch = promised ?? last.epoch;
  return {
    hard: { protocol: 'paxos', config, epoch, vote: '', commit, genesis: 'G' },
    snapshot: undefined,
    runs,
    firstIndex: 1,
    lastIndex: lastOf(last),
    lastTime: last.time,
    configs: entries.filter(({ kind }) => kind === 'config'),
    tail: entries,
  };
}

export class Rig {
  now = 0;
  readonly core: Consensus<PaxosMessage>;
  readonly fx: Effects<PaxosMessage> = createEffects();
  sent: { to: NodeId; message: PaxosMessage }[] = [];
  appended: Entry[] = [];
  reads: { context: number; index: Index }[] = [];
  /** Writes end by themselves. */
  quick = true;
  #io = 0;

  constructor(
    recovered: Recovered | undefined,
    options: PaxosOptions = {},
    self: NodeId = 'a',
    founders: readonly NodeId[] = ['a', 'b', 'c'],
  ) {
    const steady = { electionTimeoutMs: 300, maxElectionTimeoutMs: 300 };
    this.core = createPaxosProtocol({ ...steady, ...options }).create({
      self,
      incarnation: self.toUpperCase(),
      founders,
      genesisCandidate: 'G',
      now: 0,
      random: () => 0,
      recovered,
    });
  }

  link(...ids: NodeId[]): this {
    for (const id of ids)
      this.core.link(this.now, id, 1, true, { incarnation: id.toUpperCase(), genesis: 'G' });
    return this.drain();
  }

  drain(): this {
    while (this.core.dirty) {
      this.core.drain(this.now, this.fx);
      this.sent.push(...this.fx.send);
      this.appended.push(...this.fx.append);
      this.reads.push(...this.fx.reads);
      if (this.fx.io > 0) this.#io = this.fx.io;
      if (this.quick) this.flush();
    }
    return this;
  }

  /** All that was written is durable. */
  flush(): this {
    if (this.#io > 0) this.core.persisted(this.now, this.#io);
    this.#io = 0;
    return this;
  }

  give(from: NodeId, message: PaxosMessage): boolean {
    const sound = this.core.receive(this.now, from, message);
    this.drain();
    return sound;
  }

  wait(ms: number): this {
    for (const end = this.now + ms; this.now < end;) {
      this.now += 10;
      this.core.tick(this.now);
      this.drain();
    }
    return this;
  }

  /** What was sent of a kind since the last time. */
  take<K extends PaxosMessage['type']>(type: K, to?: NodeId): Of<K>[] {
    const is = (one: { to: NodeId; message: PaxosMessage }): boolean =>
      one.message.type === type && (to === undefined || one.to === to);
    const taken = this.sent.filter(is).map(({ message }) => message as Of<K>);
    this.sent = this.sent.filter((one) => !is(one));
    return taken;
  }

  /** Lets rounds pass, in which these are there and nobody is happy, until this node runs. Returns its ballot. */
  runs(...there: NodeId[]): Epoch {
    for (let i = 0; i < 100; i++) {
      this.wait(10);
      for (const id of there)
        for (const { round } of this.take('ping', id)) {
          const nobody = { config: 0, ballot: ballot(0, '', 0), leader: ballot(0, '', 0), happy: false };
          this.give(id, { type: 'pong', round, ...nobody });
        }
      const asked = this.take('prepare').at(-1);
      if (asked !== undefined) return asked.term;
    }
    throw new Error('it does not run');
  }

  /** A promise of a node whose log ends like this. */
  promise(from: NodeId, term: Epoch, lastEpoch: Epoch, lastIndex: Index, commit = 1): boolean {
    const rest = { lastEpoch, lastIndex, commit, genesis: 'G' };
    return this.give(from, { type: 'promise', granted: true, term, ...rest });
  }

  /** Has it lead, with the promise of `b`, whose log ends as its own. */
  leads(): Epoch {
    const term = this.runs('b', 'c');
    const { lastIndex } = this.core.status;
    this.promise('b', term, ballot(0, '', 0), Math.min(lastIndex, 0));
    if (this.core.status.role !== 'leader') throw new Error('it does not lead');
    return term;
  }

  /** An answer to the leader. */
  ack(from: NodeId, term: Epoch, matched: Index, more: Partial<Of<'ack'>> = {}): boolean {
    return this.give(from, {
      ...{ type: 'ack', term, matched, round: 0, promised: false, conflict: undefined, ...more },
    });
  }

  append(from: NodeId, term: Epoch, prev: Entry | undefined, entries: Entry[], commit = 1): boolean {
    const prevIndex = prev === undefined ? 0 : lastOf(prev);
    const prevEpoch = prev?.epoch ?? ballot(0, '', 0);
    return this.give(from, { type: 'append', term, prevIndex, prevEpoch, entries, commit });
  }

  /** The epochs of the log from index 2 on, in short. */
  get log(): string[] {
    const { lastIndex } = this.core.status;
    const entries = this.core.entries(2, lastIndex, 1e6);
    return entries.map(({ epoch: { config, n, node } }) => `${config}.${n}${node}`);
  }
}
