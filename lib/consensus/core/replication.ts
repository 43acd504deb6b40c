/**
 * The sending end of replication (Raft §5.3, §5.4.2; dissertation §10.2.1): proposals become entries, entries become appends
 * when the core is drained, acknowledgements move the commit index. Also heartbeats and check-quorum (dissertation §6.2),
 * catching up from storage or by snapshot.
 */
import { compareEpochs, lastOf } from '../consensus.js';
import { encodeMembership, findMember, withIncarnation } from '../membership.js';
import { foundedWith, hasQuorum, quorumValue } from '../quorum.js';
import type { Member, Membership } from '../membership.js';
import { bytesOf, weightOf } from '../log.js';
import { ReadLease } from './lease.js';
import { Progress } from './progress.js';
import { SnapshotChoice, snapshotSources } from './snapshotChoice.js';
import type {
  Accepted,
  CoreLoad,
  Entry,
  EntryKind,
  Epoch,
  FetchRequest,
  Index,
  NodeId,
  SnapshotRequest,
} from '../consensus.js';
import type { Ack, Append, Conflict, Heartbeat } from './messages.js';
import type { CoreState, Peer } from './state.js';

/** The part of a core that leads. @internal */
export class Replication {
  /** Wanted from the driver. */
  fetch: FetchRequest[] = [];
  snapshotTo: SnapshotRequest[] = [];
  /** Of the newest snapshot of this node, over all its reigns. */
  readonly choice = new SnapshotChoice();
  readonly lease: ReadLease;
  readonly #state: CoreState;
  #epoch: Epoch;
  /** The index of this reign's first entry, Infinity without a reign. */
  #reignStart = Infinity;
  /** When the reign began, or this process last woke: before it nobody could answer. */
  #ledSince = 0;
  #heartbeatAt = Infinity;
  #round = 0;
  #uncommitted = 0;
  readonly #matchedOf: (voter: Member) => Index;
  readonly #roundOf: (voter: Member) => number;
  /** Something happened that a change of the membership may have waited for. */
  onProgress: () => void = () => undefined;

  constructor(state: CoreState) {
    this.#state = state;
    this.#epoch = state.epoch;
    this.#matchedOf = (voter) => {
      const { id } = voter;
      const matched =
        id === state.self ? state.disk.persistedIndex : (state.peers.get(id)?.progress?.matched ?? 0);
      return matched >= state.countsFrom(voter) ? matched : 0;
    };
    this.lease = new ReadLease(state, this.#matchedOf);
    this.#roundOf = (voter) => {
      if (this.#matchedOf(voter) < state.countsFrom(voter)) return 0;
      return voter.id === state.self ? Infinity : (state.peers.get(voter.id)?.progress?.ackedRound ?? 0);
    };
  }

  /** Whether a voter was heard of late: within what its rhythm makes of the election time-out. */
  readonly answers = (voter: Member): boolean => {
    const { self, now, peers } = this.#state;
    if (this.#state.countsFrom(voter) === Infinity) return false;
    const heardAt = peers.get(voter.id)?.progress?.heardAt ?? -Infinity;
    return voter.id === self || now - heardAt < this.#state.patience.withAnswers(peers.get(voter.id), now);
  };

  /** Whether a voter is there: it answers, and its link has not ended. */
  readonly isThere = (voter: Member): boolean => {
    const { self, peers } = this.#state;
    return this.answers(voter) && (voter.id === self || peers.get(voter.id)?.up === true);
  };

  get deadline(): number {
    return this.#heartbeatAt;
  }

  /** Whether an entry of this reign is committed: only then is the commit index known to be up to date (Raft §8). */
  get settled(): boolean {
    return this.#state.commit >= this.#reignStart;
  }

  /** The newest round that a quorum answered. */
  get confirmedRound(): number {
    return quorumValue(this.#state.configs.latest, this.#roundOf);
  }

  /** Whether a quorum was heard of late. */
  get hearsQuorum(): boolean {
    return hasQuorum(this.#state.configs.latest, this.answers);
  }

  /** This process stood still: nobody could answer. It lets itself be heard at once, and then misses only who does not. */
  woke(): void {
    this.#ledSince = this.#heartbeatAt = this.#state.now;
  }

  /** Begins a reign. `met`: the incarnations of those that voted for it. */
  begin(met: ReadonlyMap<NodeId, string>): void {
    const state = this.#state;
    const { log, configs } = state;
    this.#epoch = state.epoch;
    this.#reignStart = log.last + 1;
    this.#ledSince = this.#heartbeatAt = state.busyAt = state.now;
    this.#round = 1;
    this.lease.begin();
    this.#uncommitted = log.weigh(state.commit + 1, log.last);
    this.#trackMembers();
    if (configs.latest.genesis !== '') {
      this.#append('noop', new Uint8Array(0), 1, 0);
      return;
    }
    let membership = withIncarnation(configs.latest, state.self, state.incarnation);
    for (const { id } of membership.voters) {
      const peer = state.peers.get(id);
      // Of a voter, the storage that voted counts, even when another one is linked by now.
      const incarnation = met.get(id) ?? (peer?.up === true ? peer.incarnation : '');
      if (id !== state.self && incarnation !== '') membership = withIncarnation(membership, id, incarnation);
    }
    const founded = foundedWith({ ...membership, genesis: state.genesisCandidate }, state.options.quorums);
    this.appendConfig(founded);
  }

  end(): void {
    this.#reignStart = this.#heartbeatAt = Infinity;
    this.#uncommitted = 0;
    this.fetch.length = this.snapshotTo.length = 0;
    for (const peer of this.#state.peers.values()) peer.progress = undefined;
  }

  propose(time: number, data: Uint8Array, count: number): Accepted {
    const state = this.#state;
    if (state.stopped !== undefined) return { ok: false, why: 'stopped' };
    if (state.phase !== 'leader') return { ok: false, why: 'notLeader' };
    // The target of a transfer could not catch up, and what it lacks would be lost to who waits for it (pitfall 25).
    if (state.transferee !== '') return { ok: false, why: 'transferring' };
    // No user entry before the founding is committed: so whatever disk holds a user entry holds the genesis too.
    if (state.genesis === '') return { ok: false, why: 'preparing' };
    // Behind a stop-sign nothing of this configuration counts: the leadership passes to the next one.
    if (state.configs.end < Infinity) return { ok: false, why: 'transferring' };
    const { maxUncommittedBytes } = state.options;
    if (this.#uncommitted > 0 && this.#uncommitted + data.length > maxUncommittedBytes)
      return { ok: false, why: 'quota' };
    return { ok: true, index: this.#append('user', data, count, time), epoch: this.#epoch };
  }

  tick(): void {
    const state = this.#state;
    const { now, options } = state;
    // Before a first answer can be there nobody is missed.
    if (now - this.#ledSince >= state.electionMs && !this.hearsQuorum) {
      state.follow(state.term, '');
      return;
    }
    for (const { progress } of state.peers.values()) {
      if (progress === undefined || now < progress.retryAt) continue;
      progress.toProbe(progress.next);
      state.dirty = true;
    }
    if (now < this.#heartbeatAt) return;
    // All groups of a node beat at the same moments, so that their heartbeats to a peer share a frame, and the answers too.
    this.#heartbeatAt = (Math.floor(now / options.heartbeatMs) + 1) * options.heartbeatMs;
    // Only the answer to a round of its own tells how old a promise is.
    if (this.lease.promiseMs > 0) this.#round++;
    this.#beat();
  }

  /** Is heard again after a silence, in which it could not hear anybody either. */
  wake(): void {
    const { now, peers } = this.#state;
    this.#ledSince = this.#heartbeatAt = now;
    for (const { up, progress } of peers.values()) if (up && progress !== undefined) progress.heardAt = now;
    this.tick();
  }

  /** A round that confirms all that is registered by now; sent at once. */
  openRound(): number {
    this.#state.busyAt = this.#state.now;
    this.#round++;
    this.#beat();
    return this.#round;
  }

  /** Hands the followers what they lack: called once a drain, so a turn's entries travel together. */
  drain(): void {
    for (const peer of this.#state.peers.values()) {
      if (peer.progress === undefined || !peer.up) continue;
      this.#feed(peer, peer.progress);
      this.#tellCommit(peer, peer.progress);
    }
  }

  linked(peer: Peer): void {
    const state = this.#state;
    const next = state.log.last + 1;
    if (!state.isMember(peer)) return;
    if (peer.progress === undefined) peer.progress = this.#track(next);
    else peer.progress.toProbe(peer.progress.matched > 0 ? peer.progress.matched + 1 : next);
    peer.progress.logOnly = false;
    state.busyAt = state.now;
    state.dirty = true;
    this.onProgress();
  }

  /** The disk got further. */
  persisted(): void {
    this.#commit();
  }

  /** A follower answered. `false`: it cannot be true. */
  onAck(peer: Peer, m: Ack): boolean {
    const state = this.#state;
    const newer = state.compare(m.term, state.term);
    if (newer > 0) state.follow(m.term, '');
    const { progress } = peer;
    if (newer < 0 || state.phase !== 'leader' || progress === undefined) return true;
    if (m.matched > state.log.last || m.round > this.#round) return false;
    if (m.conflict !== undefined && m.conflict.prevIndex > state.log.last) return false;
    progress.heardAt = state.now;
    peer.rhythm.heard(state.now, state.awakeSince);
    progress.ackedRound = Math.max(progress.ackedRound, m.round);
    if (m.promised) progress.promisedAt = Math.max(progress.promisedAt, this.lease.sentAt(m.round));
    const moved = progress.acknowledged(m.matched, state.now);
    if (m.conflict !== undefined) this.#conflict(progress, m.conflict);
    else this.#agree(peer, progress, m.matched);
    state.dirty = true;
    if (moved) this.#commit();
    return true;
  }

  fetched(request: number, entries: readonly Entry[] | 'compacted'): void {
    const state = this.#state;
    for (const peer of state.peers.values()) {
      const { progress } = peer;
      if (progress?.fetch !== request) continue;
      progress.fetch = 0;
      state.dirty = true;
      if (entries !== 'compacted' && this.#continues(entries, progress.next)) progress.fetched = entries;
      else this.#snapshot(peer, progress);
      return;
    }
  }

  snapshotDone(request: number, index: Index, ok: boolean): void {
    const state = this.#state;
    for (const { progress } of state.peers.values()) {
      if (progress?.snapshot !== request) continue;
      state.dirty = true;
      // Its own acknowledgement, not this, says what it holds.
      if (ok) {
        progress.logOnly = true;
        progress.toProbe(Math.min(index, state.log.last) + 1);
      } else if (progress.byChoice) {
        progress.logOnly = true;
        progress.toProbe(progress.next);
      } else {
        progress.retryAt = state.now + state.options.electionTimeoutMs;
      }
      return;
    }
  }

  load(): Omit<CoreLoad, 'cachedBytes'> {
    let inflightBytes = 0;
    let inflightMessages = 0;
    for (const { progress } of this.#state.peers.values()) {
      inflightBytes = Math.max(inflightBytes, progress?.inflightBytes ?? 0);
      inflightMessages = Math.max(inflightMessages, progress?.inflight ?? 0);
    }
    return { uncommittedBytes: this.#uncommitted, inflightBytes, inflightMessages };
  }

  #append(kind: EntryKind, data: Uint8Array, count: number, time: number): Index {
    const { log, disk, configs } = this.#state;
    const entry: Entry = {
      index: log.last + 1,
      count,
      epoch: this.#epoch,
      time: Math.max(time, log.lastTime),
      kind,
      data,
    };
    log.append([entry]);
    disk.append(entry);
    this.#uncommitted += weightOf(entry);
    this.#state.busyAt = this.#state.now;
    this.#state.dirty = true;
    if (kind === 'config') {
      configs.append(entry);
      this.#state.changed = true;
      this.#trackMembers();
    }
    return entry.index;
  }

  #track(next: Index): Progress {
    const { maxInflightMessages, maxInflightBytes } = this.#state.options;
    return new Progress(next, maxInflightMessages, maxInflightBytes);
  }

  #trackMembers(): void {
    const { peers, configs, log } = this.#state;
    for (const peer of peers.values()) {
      if (this.#state.isMember(peer)) peer.progress ??= this.#track(log.last + 1);
      // Who is to be removed has to learn that it is.
      else if (findMember(configs.stable, peer.id) === undefined) peer.progress = undefined;
    }
  }

  /** Commits what a quorum holds, by counting entries of this reign only: older ones go with them (Figure 8). */
  #commit(): void {
    const state = this.#state;
    if (state.phase !== 'leader') return;
    const reached = quorumValue(state.configs.latest, this.#matchedOf);
    if (reached <= state.commit || reached < this.#reignStart) return;
    const bound = state.log.boundAtMost(reached);
    if (bound < this.#reignStart) return;
    const index = Math.min(bound, state.configs.end);
    if (index <= state.commit) return;
    this.#uncommitted -= state.log.weigh(state.commit + 1, index);
    const { stable } = state.configs;
    state.advanceCommit(index);
    if (state.configs.stable !== stable) {
      // Those who were removed hear of it before they are left alone.
      this.#beat();
      this.#trackMembers();
    }
    this.onProgress();
  }

  /** Appends a membership, which counts from now on. */
  appendConfig(membership: Membership): Index {
    return this.#append('config', encodeMembership(this.#state.configs.successor(membership)), 1, 0);
  }

  /** An answer without conflict. */
  #agree(peer: Peer, progress: Progress, matched: Index): void {
    const { now, patience, log } = this.#state;
    const overdue = patience.answerMs(peer.id);
    if (progress.state === 'probe') {
      if (matched >= progress.next - 1) progress.toReplicate();
      else if (now - progress.probedAt >= overdue) progress.probing = false;
    } else if (progress.state === 'snapshot') {
      // Whoever brought it there, it is past the snapshot.
      if (matched > 0 && matched >= progress.wanted && log.epochAt(matched) !== undefined)
        progress.toReplicate();
    } else if ((progress.inflight > 0 || matched < progress.matched) && now - progress.movedAt >= overdue) {
      // Nothing moved although it answers: were the appends lost? Or it no longer knows what matches, since it asked for
      // pre-votes, and so takes no commit index. The answer to an empty append at the end of the window tells, and it is sent
      // even when the window is full (etcd#14633).
      progress.movedAt = now;
      if (!this.#sendAppend(peer, progress.next - 1, [])) progress.toProbe(progress.matched + 1);
    }
  }

  #conflict(progress: Progress, conflict: Conflict): void {
    const { log } = this.#state;
    // Older than what is known by now, or not an answer to the probe that is under way.
    if (conflict.prevIndex <= progress.matched || progress.state === 'snapshot') return;
    if (progress.state === 'probe' && conflict.prevIndex !== progress.next - 1) return;
    const at = log.findConflict(Math.min(conflict.index, conflict.prevIndex - 1), conflict.epoch);
    // An index where both have the same epoch ends an entry in both.
    const agree = at.index === conflict.index && compareEpochs(at.epoch, conflict.epoch) === 0;
    progress.toProbe((agree ? at.index : log.boundAtMost(at.index)) + 1);
  }

  #feed(peer: Peer, progress: Progress): void {
    const { log, options, now } = this.#state;
    const last = peer.witness ? this.#lastForWitnesses() : log.last;
    while (progress.open) {
      if (progress.next > last && progress.state !== 'probe') return;
      if (this.choice.isCheaper(progress, log, options.maxInflightBytes)) {
        this.#snapshot(peer, progress, this.choice.index);
        return;
      }
      let entries: readonly Entry[] = [];
      if (progress.next <= last) {
        entries = log.slice(progress.next, last, options.maxMessageBytes);
        if (entries.length === 0) entries = progress.fetchedSlice(options.maxMessageBytes);
        if (entries.length === 0) {
          if (progress.next <= log.start) this.#snapshot(peer, progress);
          else this.#fetch(progress);
          return;
        }
        progress.next = entries[0]!.index;
        if (peer.witness) entries = entries.map(bare);
      }
      if (!this.#sendAppend(peer, progress.next - 1, entries)) {
        this.#snapshot(peer, progress);
        return;
      }
      const end = entries.at(-1);
      progress.sent(end === undefined ? progress.next - 1 : lastOf(end), bytesOf(entries), now);
    }
  }

  /**
   * Up to where witnesses may hold the log: no further than somebody who may be elected. What a leader that is removed has beyond
   * that would be lost with it, and a witness that had it could give nobody its vote any more.
   */
  #lastForWitnesses(): Index {
    const { configs, self, log } = this.#state;
    if (configs.standingOf(self)?.voter === true) return log.last;
    const data = configs.latest.voters.filter(({ witness }) => !witness);
    return Math.max(0, ...data.map(this.#matchedOf));
  }

  /** `false`: the log no longer knows what comes before. */
  #sendAppend(peer: Peer, prevIndex: Index, entries: readonly Entry[]): boolean {
    const { log, commit, term, disk } = this.#state;
    const prevEpoch = log.epochAt(prevIndex);
    if (prevEpoch === undefined) return false;
    disk.send(peer.id, { type: 'append', term, prevIndex, prevEpoch, entries, commit } satisfies Append);
    const last = entries.at(-1);
    if (last !== undefined) peer.progress!.toldCommit = Math.min(commit, lastOf(last));
    return true;
  }

  #fetch(progress: Progress): void {
    const { log, options } = this.#state;
    if (progress.fetch !== 0) return;
    progress.fetch = this.#state.newRequest();
    const maxBytes = Math.min(options.maxMessageBytes * 4, options.maxInflightBytes);
    this.fetch.push({ request: progress.fetch, from: progress.next, to: log.cachedFrom - 1, maxBytes });
  }

  /** Whether what storage brought starts at `next` and is what the log says it should be. */
  #continues(entries: readonly Entry[], next: Index): boolean {
    const { log } = this.#state;
    const first = entries[0];
    if (first === undefined || first.index > next || lastOf(first) < next) return false;
    let index = first.index;
    for (const entry of entries) {
      const epoch = log.epochAt(entry.index);
      if (entry.index !== index || epoch === undefined || compareEpochs(epoch, entry.epoch) !== 0)
        return false;
      index = lastOf(entry) + 1;
    }
    return index - 1 <= log.last;
  }

  /** Has a snapshot sent: one that covers `chosen`, or else whatever the log goes on from. */
  #snapshot(peer: Peer, progress: Progress, chosen: Index = 0): void {
    const { log, peers } = this.#state;
    const needed = log.epochAt(log.start) === undefined ? log.start + 1 : log.start;
    const atLeast = Math.max(needed, chosen);
    progress.toSnapshot(this.#state.newRequest(), atLeast, chosen > 0);
    const sources = peer.witness ? [] : snapshotSources(peers, peer.id, atLeast);
    this.snapshotTo.push({ request: progress.snapshot, to: peer.id, atLeast, sources, bare: peer.witness });
  }

  /** A commit that no append carried is told at once: followers apply, and answer, on it. No answer is wanted. */
  #tellCommit(peer: Peer, progress: Progress): void {
    const { commit, term, disk } = this.#state;
    const known = Math.min(commit, progress.matched);
    if (known <= progress.toldCommit) return;
    progress.toldCommit = known;
    const news = { commit: known, round: 0, genesis: '', promiseMs: 0 };
    disk.send(peer.id, { type: 'heartbeat', term, ...news } satisfies Heartbeat);
  }

  #beat(): void {
    const { peers, commit, term, disk, genesis } = this.#state;
    const round = this.#round;
    const { promiseMs } = this.lease;
    this.lease.sent(round);
    for (const { id, up, progress } of peers.values()) {
      if (!up || progress === undefined) continue;
      const known = Math.min(commit, progress.matched);
      progress.toldCommit = Math.max(progress.toldCommit, known);
      const news = progress.matched === 0 ? genesis : '';
      disk.send(id, {
        type: 'heartbeat',
        term,
        commit: known,
        round,
        genesis: news,
        promiseMs,
      } satisfies Heartbeat);
      this.#state.dirty = true;
    }
  }
}

const nothing = new Uint8Array(0);

/** What a witness keeps of an entry. */
function bare(entry: Entry): Entry {
  return entry.kind === 'user' ? { ...entry, data: nothing } : entry;
}
