/** The way of a command into the log: to the own core where that leads, otherwise to the leader. @internal */
import type { ByteReader } from '../bytes.js';
import type { Consensus, Index, NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import type { NodeStore } from '../storage/storage.js';
import type { Contacts } from './contacts.js';
import type { Proposal, ProposalRefusal } from './door.js';
import type { Outbox } from './outbox.js';
import { decodeProposal, encodeProposal, encodeProposalRefused, ItemType } from './wire.js';

/**
 * Whether a proposal that a peer forwards can be what it says, seen from a leader whose log ends at `lastIndex`: what is in the
 * log every member has to apply, so what none can read must not get there.
 */
export type SoundProposal = (data: Uint8Array, count: number, lastIndex: Index) => boolean;

/** What {@link Proposals} works with. */
export interface ProposalsSetup {
  /** This node's number for the group. */
  readonly number: number;
  readonly core: Consensus;
  readonly store: Pick<NodeStore, 'headroom'>;
  readonly environment: Environment;
  readonly contacts: Contacts;
  readonly outbox: Outbox;
  readonly sound: SoundProposal | undefined;
}

export class Proposals {
  readonly #setup: ProposalsSetup;

  constructor(setup: ProposalsSetup) {
    this.#setup = setup;
  }

  /** One of this node's app. Says why it does not enter the log, if that is known already. */
  own(now: number, { token, count, data }: Proposal): ProposalRefusal | undefined {
    const { core, contacts, outbox, number } = this.#setup;
    const { status } = core;
    if (status.stopped) return 'stopped';
    if (status.role === 'leader') return this.#append(now, data, count);
    const { leader } = status;
    core.wake(now);
    if (leader === '' || !contacts.get(leader)) return 'notLeader';
    const sent = outbox.sized(leader, number, ItemType.proposal, data.length, (writer) =>
      encodeProposal(writer, token, count, data),
    );
    return sent ? undefined : 'overloaded';
  }

  /** One that a peer forwards. Throws ERR_CODEC; `false`: the peer broke the protocol. */
  forwarded(now: number, peer: NodeId, body: ByteReader): boolean {
    const { core, outbox, number, sound } = this.#setup;
    const { token, count, data } = decodeProposal(body);
    const { role, lastIndex } = core.status;
    if (role === 'leader' && sound?.(data, count, lastIndex) === false) return false;
    const why = role === 'leader' ? this.#append(now, data, count) : 'notLeader';
    if (why) {
      outbox.item(peer, number, ItemType.proposalRefused, true, (writer) =>
        encodeProposalRefused(writer, token, why),
      );
    }
    return true;
  }

  #append(now: number, data: Uint8Array, count: number): ProposalRefusal | undefined {
    const { core, store, environment } = this.#setup;
    if (store.headroom() < data.length) return 'diskFull';
    const accepted = core.propose(now, environment.wallClock(), data, count);
    if (accepted.ok) return undefined;
    switch (accepted.why) {
      case 'quota':
        return 'overloaded';
      case 'tooLarge':
        return 'tooLarge';
      case 'stopped':
        return 'stopped';
      case 'transferring':
        return 'transferring';
      default:
        return 'notLeader';
    }
  }
}
