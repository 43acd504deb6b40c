/**
 * Linearizable reads without writing (ReadIndex, dissertation §6.4). All reads of a turn share one round of heartbeats, and
 * all reads of a follower's turn one question to the leader. Every read ends exactly once.
 */
import type { Index, NodeId, Refusal } from '../consensus.js';
import type { Read, ReadReply } from './messages.js';
import type { Replication } from './replication.js';
import type { CoreState } from './state.js';

/** A follower's question to this leader. */
interface Question {
  readonly from: NodeId;
  readonly session: number;
  readonly batch: number;
}

/** Reads that one round confirms. */
interface Group {
  readonly round: number;
  readonly index: Index;
  readonly contexts: readonly number[];
  readonly questions: readonly Question[];
}

interface Asked {
  readonly of: NodeId;
  readonly at: number;
  readonly contexts: readonly number[];
}

/** The part of a core that answers reads. @internal */
export class Reads {
  answered: { context: number; index: Index }[] = [];
  failed: { context: number; why: Refusal }[] = [];
  readonly #state: CoreState;
  readonly #replication: Replication;
  /** Registered since the last drain, or before the leader's reign was settled. */
  #contexts: number[] = [];
  #questions: Question[] = [];
  /** Waiting for a round, in the order of rounds. */
  #groups: Group[] = [];
  readonly #asked = new Map<number, Asked>();
  #pending = 0;
  /** Starts at random, so that an answer meant for an earlier life of this node fits no question of this one. */
  #batch: number;

  constructor(state: CoreState, replication: Replication) {
    this.#state = state;
    this.#replication = replication;
    this.#batch = Math.floor(state.random() * 2 ** 40);
  }

  /** Takes a read; returns why not, or undefined. */
  read(context: number): Refusal | undefined {
    const state = this.#state;
    if (state.stopped !== undefined) return 'stopped';
    if (state.phase !== 'leader' && state.peers.get(state.leader)?.up !== true) return 'notLeader';
    // Whoever was told to campaign may lead by now (pitfall 4). What came in before waits for how it ends.
    if (state.handedOff) return 'transferring';
    if (this.#pending >= state.options.maxPendingReads) return 'quota';
    this.#pending++;
    this.#contexts.push(context);
    state.dirty = true;
    return undefined;
  }

  onRead(from: NodeId, session: number, batch: number): void {
    const state = this.#state;
    state.dirty = true;
    const leads = state.phase === 'leader' && !state.handedOff;
    if (!leads || this.#pending >= state.options.maxPendingReads) {
      state.disk.sendNow(from, { type: 'readReply', batch, index: 0 } satisfies ReadReply);
      return;
    }
    this.#pending++;
    this.#questions.push({ from, session, batch });
  }

  onReadReply(from: NodeId, m: ReadReply): void {
    const asked = this.#asked.get(m.batch);
    if (asked?.of !== from) return;
    this.#asked.delete(m.batch);
    if (m.index > 0) this.#answer(asked.contexts, m.index);
    else this.#fail(asked.contexts, 'notLeader');
  }

  /** The reign, or the role in it, changed: nothing that waits will be answered. */
  reset(): void {
    const why = this.#state.stopped === undefined ? 'notLeader' : 'stopped';
    const groups = this.#groups;
    this.#groups = [];
    for (const { contexts, questions } of groups) this.#giveUp(contexts, questions, why);
    const contexts = this.#contexts;
    const questions = this.#questions;
    this.#contexts = [];
    this.#questions = [];
    this.#giveUp(contexts, questions, why);
    for (const asked of this.#asked.values()) this.#fail(asked.contexts, why);
    this.#asked.clear();
  }

  /** Contact with a peer ended, or began anew. */
  unlinked(id: NodeId): void {
    for (const [batch, asked] of this.#asked) {
      if (asked.of !== id) continue;
      this.#asked.delete(batch);
      this.#fail(asked.contexts, 'notLeader');
    }
    if (this.#state.phase === 'leader' || this.#state.leader !== id) return;
    const contexts = this.#contexts;
    this.#contexts = [];
    this.#fail(contexts, 'notLeader');
  }

  /** No read waits for anything. */
  get rests(): boolean {
    return this.#pending === 0;
  }

  /** When the oldest question will have stayed without an answer for too long. */
  get deadline(): number {
    for (const { at, of } of this.#asked.values()) return at + this.#waitMs(of);
    return Infinity;
  }

  /** Questions that stayed without an answer are given up: the message may be lost. */
  tick(): void {
    const { now } = this.#state;
    for (const [batch, asked] of this.#asked) {
      if (now < asked.at + this.#waitMs(asked.of)) break;
      this.#asked.delete(batch);
      this.#fail(asked.contexts, 'notLeader');
    }
  }

  /** Called before messages are made, once a drain. */
  drain(): void {
    const state = this.#state;
    if (this.#contexts.length === 0 && this.#questions.length === 0) return;
    if (state.phase === 'leader') {
      // Before an entry of this reign is committed, the commit index may lag behind what was acknowledged (etcd#7331).
      if (!this.#replication.settled) return;
      // Another may lead by now: how the transfer ends decides over them.
      if (state.handedOff) return;
      if (this.#replication.lease.holds) {
        const [contexts, questions] = [this.#contexts, this.#questions];
        this.#contexts = [];
        this.#questions = [];
        this.#serve(contexts, questions, state.commit);
        return;
      }
      // The round is sent now, after all these reads came in: who answers it answers them (etcd#20418).
      const round = this.#replication.openRound();
      this.#groups.push({ round, index: state.commit, contexts: this.#contexts, questions: this.#questions });
      this.#contexts = [];
      this.#questions = [];
      this.confirm();
      return;
    }
    const batch = ++this.#batch;
    this.#asked.set(batch, { of: state.leader, at: state.now, contexts: this.#contexts });
    this.#contexts = [];
    state.disk.sendNow(state.leader, { type: 'read', batch } satisfies Read);
  }

  /** Answers the reads whose round a quorum answered. */
  confirm(): void {
    if (this.#groups.length === 0) return;
    const confirmed = this.#replication.confirmedRound;
    while (this.#groups.length > 0 && this.#groups[0]!.round <= confirmed) {
      const { index, contexts, questions } = this.#groups.shift()!;
      this.#serve(contexts, questions, index);
    }
  }

  #serve(contexts: readonly number[], questions: readonly Question[], index: Index): void {
    this.#answer(contexts, index);
    this.#pending -= questions.length;
    for (const question of questions) this.#reply(question, index);
  }

  /** The leader asks a quorum before it answers. */
  #waitMs(leader: NodeId): number {
    return 2 * this.#state.patience.answerMs(leader);
  }

  #answer(contexts: readonly number[], index: Index): void {
    this.#pending -= contexts.length;
    for (const context of contexts) this.answered.push({ context, index });
    this.#state.dirty = true;
  }

  #fail(contexts: readonly number[], why: Refusal): void {
    this.#pending -= contexts.length;
    for (const context of contexts) this.failed.push({ context, why });
    this.#state.dirty = true;
  }

  #giveUp(contexts: readonly number[], questions: readonly Question[], why: Refusal): void {
    this.#fail(contexts, why);
    this.#pending -= questions.length;
    for (const question of questions) this.#reply(question, 0);
  }

  #reply(question: Question, index: Index): void {
    const peer = this.#state.peers.get(question.from);
    // Who linked anew has given up on the question.
    if (peer?.up !== true || peer.session !== question.session) return;
    const { from, batch } = question;
    this.#state.disk.sendNow(from, { type: 'readReply', batch, index } satisfies ReadReply);
  }
}
