/**
 * How a leader changes who takes part (Raft paper §6; dissertation §4.1 to §4.3). Each step is a `config` entry, and a step is
 * only taken when the one before is committed, and so is an entry of this reign: else two leaders could build on different
 * memberships (Ongaro's correction of 2015). Whatever was begun, the next leader finds in the log and goes on with.
 */
import { allMembers, leaveJoint, withIncarnation } from '../membership.js';
import { hasQuorum } from '../quorum.js';
import { advance, isLive, plan, readmitted } from '../reconfiguration.js';
import type { Accepted, MembershipChange, NodeId } from '../consensus.js';
import type { Member, Membership } from '../membership.js';
import type { Replication } from './replication.js';
import type { CoreState } from './state.js';

/** The part of a core that changes the membership. @internal */
export class Reconfigure {
  readonly #state: CoreState;
  readonly #replication: Replication;
  /** Somebody catches up, and something is to be done once it has. */
  #waits = false;

  constructor(state: CoreState, replication: Replication) {
    this.#state = state;
    this.#replication = replication;
  }

  change(change: MembershipChange): Accepted {
    const { stopped, phase, configs, commit, epoch, genesis, transferee } = this.#state;
    if (stopped !== undefined) return { ok: false, why: 'stopped' };
    if (phase !== 'leader') return { ok: false, why: 'notLeader' };
    if (transferee !== '') return { ok: false, why: 'transferring' };
    const { latest, latestIndex } = configs;
    if (!this.#replication.settled || genesis === '') return { ok: false, why: 'preparing' };
    if (configs.isOpen(commit) || latest.outgoing.length > 0) return { ok: false, why: 'configPending' };
    const planned = plan(latest, change, (id) => this.#met(id));
    if (planned === undefined) return { ok: false, why: 'invalid' };
    if (planned === latest) return { ok: true, index: latestIndex, epoch };
    if (!isLive(planned, this.#replication.isThere)) return { ok: false, why: 'noQuorum' };
    return { ok: true, index: this.#append(this.#joint(planned) ?? planned), epoch };
  }

  /** A follower acknowledged something. */
  acknowledged(): void {
    if (this.#waits) this.settle();
  }

  /** Takes the next step that is due. Called whenever something was committed, or a peer came. */
  settle(): void {
    const state = this.#state;
    const { configs, commit, self } = state;
    if (state.phase !== 'leader' || !this.#replication.settled || configs.isOpen(commit)) return;
    const { latest } = configs;
    this.#waits =
      latest.next !== undefined ||
      latest.voters.some(({ id, incarnation }) => this.#isAnother(id, incarnation));
    const next = this.#joint(latest) ?? this.#recorded(latest) ?? this.#readmitted(latest);
    if (next !== undefined) {
      this.#append(next);
    } else if (configs.standingOf(self)?.voter !== true) {
      // A leader that was removed leads until that is committed, and no longer (dissertation §4.2.2).
      state.follow(state.term, '');
    }
  }

  /** Whether a learner holds nearly all there is: it took in the rest of the log within an election time-out (§4.2.1). */
  #caughtUp(member: Member): boolean {
    const { peers, now, patience, log } = this.#state;
    const peer = peers.get(member.id);
    if (peer?.up !== true || peer.progress === undefined) return false;
    return peer.progress.keepsUp(log.last, now, patience.answerMs(peer.id));
  }

  #joint(membership: Membership): Membership | undefined {
    const state = this.#state;
    const next = advance(
      membership,
      (member) => state.countsFrom(member) !== Infinity && this.#caughtUp(member),
    );
    const { isThere } = this.#replication;
    // Those who are to decide from now on must be there, or nothing would be decided any more.
    return next === undefined || next.outgoing.length === 0 || hasQuorum(leaveJoint(next), isThere)
      ? next
      : undefined;
  }

  /** Puts the storages of members that were never met before on record, and those of learners that lost theirs. */
  #recorded(membership: Membership): Membership | undefined {
    let recorded = membership;
    for (const { id, incarnation } of allMembers(membership)) {
      const learns = this.#state.configs.standingOf(id)?.voter !== true;
      if (this.#isAnother(id, incarnation) && (incarnation === '' || learns))
        recorded = withIncarnation(recorded, id, this.#met(id));
    }
    return recorded === membership ? undefined : recorded;
  }

  /** A voter that came with another storage than the one on record has lost its memory, and learned again by now. */
  #readmitted(membership: Membership): Membership | undefined {
    if (!this.#state.options.readmit) return undefined;
    for (const voter of membership.voters) {
      if (this.#isAnother(voter.id, voter.incarnation) && this.#caughtUp(voter))
        return readmitted(membership, voter.id, this.#met(voter.id));
    }
    return undefined;
  }

  #isAnother(id: NodeId, incarnation: string): boolean {
    const met = this.#met(id);
    return met !== '' && met !== incarnation;
  }

  /** The storage with which a node is there now. */
  #met(id: NodeId): string {
    const { self, incarnation, peers } = this.#state;
    if (id === self) return incarnation;
    const peer = peers.get(id);
    return peer?.up === true ? peer.incarnation : '';
  }

  #append(membership: Membership): number {
    // A stop-sign needs no joint membership between: after it the old voters decide nothing more.
    const { joint } = this.#state.configs;
    return this.#replication.appendConfig(joint ? membership : leaveJoint(membership));
  }
}
