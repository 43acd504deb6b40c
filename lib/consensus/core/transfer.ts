/**
 * Leadership transfer (dissertation §3.10): the leader takes no proposals, waits until the target's disk holds its whole log,
 * and tells it to campaign at once. Also hands the leadership on to a member with a higher priority. Nothing here is needed for
 * safety: the target is elected like anybody else, only without a pre-vote and past the voters' stickiness.
 */
import type { NodeId, TransferRefusal } from '../consensus.js';
import type { TimeoutNow } from './messages.js';
import type { Replication } from './replication.js';
import type { CoreState, Peer } from './state.js';
import type { TermGuard } from './termGuard.js';

/** A member with a higher priority gets the leadership when it could have had it for so many election time-outs on end. */
const STABLE_TIMEOUTS = 10;
/** Of several refusals the one that says most: how near the leadership was to going. */
const tellingOrder: readonly TransferRefusal[] = ['notVoter', 'notLinked', 'lagging', 'transferring'];
/** Each transfer raises the term, and who raises it too often is taken for an enemy: so much of what is allowed is left over. */
const SPARE_RISES = 16;

/** The part of a core that gives the leadership away. @internal */
export class Transfer {
  readonly #state: CoreState;
  readonly #replication: Replication;
  readonly #guard: TermGuard;
  #deadline = Infinity;
  #sentAt = -Infinity;
  /** Who would be the better leader, and since when it could be the leader without a break. */
  #preferred: NodeId = '';
  #preferredSince = 0;

  constructor(state: CoreState, replication: Replication, guard: TermGuard) {
    this.#state = state;
    this.#replication = replication;
    this.#guard = guard;
  }

  /** When the transfer under way is given up; Infinity without one. */
  get deadline(): number {
    return this.#deadline;
  }

  /** Begins a transfer, to the voter that has most of the log when `to` is empty; returns why not, or undefined. */
  begin(to: NodeId): TransferRefusal | undefined {
    const state = this.#state;
    const { stopped, phase, transferee, configs, commit, now } = state;
    if (stopped !== undefined) return 'stopped';
    if (phase !== 'leader') return 'notLeader';
    if (to === state.self) return undefined;
    if (transferee !== '') return to === '' || to === transferee ? undefined : 'transferring';
    if (!this.#replication.settled) return 'preparing';
    // Who votes must not be in doubt while somebody is about to be elected (pitfall 10).
    if (configs.isOpen(commit) || configs.latest.outgoing.length > 0) return 'configPending';
    const chosen = to === '' ? this.#choose() : (this.#refusalOf(to) ?? state.peers.get(to)!);
    if (typeof chosen === 'string') return chosen;
    state.transferee = chosen.id;
    this.#deadline = now + state.electionMs;
    this.#sentAt = -Infinity;
    state.changed = state.dirty = true;
    this.advance();
    return undefined;
  }

  /** Tells the target to campaign once it has everything; again with every heartbeat it answers, for the word may get lost. */
  advance(): void {
    const state = this.#state;
    const { transferee, peers, log, now, options, term } = state;
    if (transferee === '') return;
    const matched = peers.get(transferee)?.progress?.matched ?? 0;
    if (matched < log.last || now - this.#sentAt < options.heartbeatMs) return;
    this.#sentAt = now;
    state.handedOff = true;
    // Voters set their promises aside for the target (tikv#1593, #4688), now or much later.
    this.#replication.lease.end();
    state.disk.send(transferee, { type: 'timeoutNow', term } satisfies TimeoutNow);
    state.dirty = true;
  }

  tick(): void {
    const { phase, transferee, now } = this.#state;
    if (phase !== 'leader') return;
    if (transferee === '') this.#prefer();
    else if (now >= this.#deadline) this.#giveUp();
    else this.advance();
  }

  /** Contact with a peer began or ended: what it was told may be lost, and a target without a link will not take over. */
  relinked(id: NodeId): void {
    if (id === this.#preferred) this.#preferred = '';
    if (id === this.#state.transferee) this.#giveUp();
  }

  /** The reign, or the role in it, changed (pitfall 25: nothing of a transfer outlives it). */
  reset(): void {
    this.#deadline = Infinity;
    this.#preferred = this.#state.transferee = '';
    this.#state.handedOff = false;
  }

  /** Serves again. The target may still be elected by a vote that is under way; that is an election like any other. */
  #giveUp(): void {
    const state = this.#state;
    this.#deadline = Infinity;
    state.transferee = '';
    state.handedOff = false;
    state.changed = state.dirty = true;
  }

  /** Why a member could not take over within an election time-out; undefined if it could. */
  #refusalOf(id: NodeId): TransferRefusal | undefined {
    const state = this.#state;
    const { log, options, now } = state;
    // A learner, a witness, and a storage that is not on record could not even run (pitfall 9).
    const standing = state.configs.standingOf(id);
    if (standing?.voter !== true || standing.witness) return 'notVoter';
    const peer = state.peers.get(id);
    if (peer?.up !== true) return 'notLinked';
    if (!state.isRecorded(id)) return 'notVoter';
    const { progress } = peer;
    if (progress?.state !== 'replicate' || now - progress.heardAt >= state.patienceWith(id)) return 'lagging';
    // Proposals wait until it has caught up: no more than fits the way to it, and nothing that has to come from disk (pitfall 25).
    const missing = progress.matched + 1;
    const far = missing < log.cachedFrom || log.weigh(missing, log.last) > options.maxInflightBytes;
    if (missing <= log.last && far) return 'lagging';
    return this.#guard.spare(now, id) < SPARE_RISES ? 'transferring' : undefined;
  }

  /** The voter that has most of the log, of several the one that would rather lead; or the most telling refusal. */
  #choose(): Peer | TransferRefusal {
    const { configs, self, peers } = this.#state;
    let best: Peer | undefined;
    let telling = -1;
    for (const { id } of configs.latest.voters) {
      if (id === self) continue;
      const why = this.#refusalOf(id);
      if (why !== undefined) {
        telling = Math.max(telling, tellingOrder.indexOf(why));
        continue;
      }
      const peer = peers.get(id)!;
      if (best === undefined || isBetter(peer, best)) best = peer;
    }
    return best ?? tellingOrder[Math.max(0, telling)]!;
  }

  /** Once in a long while, and only ever upwards: so the leadership does not go back and forth. */
  #prefer(): void {
    const { now, options, peers } = this.#state;
    let best: Peer | undefined;
    for (const peer of peers.values()) {
      if (peer.priority <= (best?.priority ?? options.priority)) continue;
      if (this.#refusalOf(peer.id) === undefined) best = peer;
    }
    if (best?.id !== this.#preferred) {
      this.#preferred = best?.id ?? '';
      this.#preferredSince = now;
      return;
    }
    if (now - this.#preferredSince < STABLE_TIMEOUTS * options.electionTimeoutMs) return;
    this.#preferredSince = now;
    this.begin(best.id);
  }
}

function isBetter(one: Peer, other: Peer): boolean {
  const ahead = one.progress!.matched - other.progress!.matched;
  return ahead > 0 || (ahead === 0 && one.priority > other.priority);
}
