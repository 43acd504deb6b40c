/**
 * Asks other nodes for a part of their log, and gives them parts of the own one. A candidate asks the one of those that promised
 * that has the newest log. A node that meets one of a newer configuration asks it for what is committed: it can take part in
 * nothing before it knows how its own configuration ended, and there may be no leader to tell it.
 *
 * One question a peer is under way at a time. It is asked anew when no answer comes.
 */
import { compareEpochs, lastOf } from '../consensus.js';
import { Intake } from '../core/intake.js';
import type { Entry, Epoch, FetchRequest, Index, NodeId, SnapshotRequest } from '../consensus.js';
import type { Conflict } from '../core/messages.js';
import type { Peer } from '../core/state.js';
import type { Fetch, Suffix } from './messages.js';
import type { PaxosState } from './state.js';

interface Asked {
  readonly term: Epoch;
  readonly whole: boolean;
  readonly prevIndex: Index;
  readonly at: number;
}

/** A question that waits for the own disk, or a snapshot for one who asked. */
interface Served {
  readonly to: NodeId;
  readonly session: number;
  readonly question: Fetch;
  readonly until: number;
}

/** The part of a core that passes on logs outside of reigns. @internal */
export class Suffixes {
  /** Wanted from the driver. */
  readonly fetch: FetchRequest[] = [];
  readonly snapshotTo: SnapshotRequest[] = [];
  readonly #state: PaxosState;
  readonly #intake: Intake;
  readonly #asked = new Map<NodeId, Asked>();
  readonly #served = new Map<number, Served>();

  constructor(state: PaxosState) {
    this.#state = state;
    this.#intake = new Intake(state);
  }

  /** Whether an answer is waited for. */
  isAsked(id: NodeId): boolean {
    const asked = this.#asked.get(id);
    return asked !== undefined && this.#state.now < asked.at + this.#state.patience.answerMs(id);
  }

  /** Asks for what follows `prevIndex`. */
  ask(to: NodeId, term: Epoch, whole: boolean, prevIndex: Index): void {
    const state = this.#state;
    const prevEpoch = state.log.epochAt(prevIndex) ?? state.log.lastEpoch;
    this.#asked.set(to, { term, whole, prevIndex, at: state.now });
    state.disk.send(to, { type: 'fetch', term, whole, prevIndex, prevEpoch } satisfies Fetch);
    state.dirty = true;
  }

  /** Asks a node that is ahead by a configuration for what is committed. */
  catchUp(to: NodeId): void {
    const { term, commit } = this.#state;
    if (!this.isAsked(to)) this.ask(to, term, false, commit);
  }

  /** Whether it is the answer that is waited for. */
  answered(from: NodeId, m: Suffix): boolean {
    const asked = this.#asked.get(from);
    if (asked?.whole !== m.whole || asked.prevIndex !== m.prevIndex) return false;
    if (compareEpochs(asked.term, m.term) !== 0) return false;
    return this.#asked.delete(from);
  }

  unlinked(id: NodeId): void {
    this.#asked.delete(id);
    for (const [request, { to }] of this.#served) if (to === id) this.#served.delete(request);
  }

  /** What is committed at one who is ahead. `false`: it cannot be true. */
  onCommitted(from: Peer, m: Suffix): boolean {
    const state = this.#state;
    if (!this.answered(from.id, m) || m.conflict !== undefined || !state.consistent) return true;
    // It knows as much by now, and decides by counting alone.
    if (state.phase === 'leader') return true;
    const last = m.entries.at(-1);
    if (last === undefined || m.prevIndex > state.log.last) return true;
    if (lastOf(last) > m.commit || !this.#intake.agrees(m.prevIndex, m.prevEpoch)) return false;
    // By now the log may have got further.
    const fresh = m.entries.filter((entry) => lastOf(entry) > state.commit);
    if (fresh.length === 0) return true;
    if (!this.#intake.take(fresh)) return false;
    state.advanceCommit(lastOf(last));
    if (lastOf(last) < m.commit) this.ask(from.id, state.term, false, state.commit);
    return true;
  }

  onFetch(from: Peer, m: Fetch): void {
    const state = this.#state;
    const { log, commit, configs } = state;
    // Who is no member is told nothing.
    if (configs.standingOf(from.id) === undefined) return;
    // The log stays as it was promised as long as the promise does.
    if (m.whole && compareEpochs(m.term, state.promised) !== 0) return;
    const upTo = m.whole ? log.last : commit;
    const here = m.prevIndex > upTo ? undefined : log.epochAt(m.prevIndex);
    if (m.prevIndex <= log.last && here === undefined && m.prevIndex <= log.start) {
      this.#snapshot(from, m);
      return;
    }
    // What is committed there is committed here.
    if (here === undefined || (m.whole && compareEpochs(here, m.prevEpoch) !== 0)) {
      const at = log.findConflict(Math.min(m.prevIndex, upTo), m.prevEpoch);
      this.#answer(from.id, m, [], { prevIndex: m.prevIndex, index: at.index, epoch: at.epoch });
      return;
    }
    const next = m.prevIndex + 1;
    if (next > upTo || next >= log.cachedFrom) {
      this.#answer(from.id, m, next > upTo ? [] : log.slice(next, upTo, state.options.maxMessageBytes));
      return;
    }
    const request = this.#serve(from, m);
    if (request > 0)
      this.fetch.push({
        request,
        from: next,
        to: log.cachedFrom - 1,
        maxBytes: state.options.maxMessageBytes,
      });
  }

  /** The driver read from the log. */
  fetched(request: number, entries: readonly Entry[] | 'compacted'): void {
    const served = this.#served.get(request);
    if (served === undefined) return;
    this.#served.delete(request);
    const { peers, promised, commit } = this.#state;
    const { to, session, question } = served;
    const peer = peers.get(to);
    if (peer?.up !== true || peer.session !== session || entries === 'compacted') return;
    if (question.whole && compareEpochs(question.term, promised) !== 0) return;
    const part = question.whole ? entries : entries.filter((entry) => lastOf(entry) <= commit);
    if (part.length > 0 && part[0]!.index === question.prevIndex + 1) this.#answer(to, question, part);
  }

  /** A stream ended: who asked has the snapshot, or asks again. */
  snapshotDone(request: number): void {
    this.#served.delete(request);
  }

  #snapshot(to: Peer, question: Fetch): void {
    const { log } = this.#state;
    const request = this.#serve(to, question);
    if (request === 0) return;
    const atLeast = log.epochAt(log.start) === undefined ? log.start + 1 : log.start;
    this.snapshotTo.push({ request, to: to.id, atLeast, sources: [], bare: false });
  }

  /** One thing a peer at a time; 0: it has to wait. */
  #serve(to: Peer, question: Fetch): number {
    const { now, options } = this.#state;
    for (const [request, served] of this.#served) {
      if (served.to !== to.id) continue;
      if (now < served.until) return 0;
      this.#served.delete(request);
    }
    const request = this.#state.newRequest();
    const until = now + options.maxElectionTimeoutMs;
    this.#served.set(request, { to: to.id, session: to.session, question, until });
    this.#state.dirty = true;
    return request;
  }

  #answer(to: NodeId, m: Fetch, entries: readonly Entry[], conflict?: Conflict): void {
    const { commit, disk } = this.#state;
    const { term, whole, prevIndex, prevEpoch } = m;
    disk.send(to, {
      type: 'suffix',
      term,
      whole,
      prevIndex,
      prevEpoch,
      entries,
      commit,
      conflict,
    } satisfies Suffix);
    this.#state.dirty = true;
  }
}
