/**
 * How a node learns that it is no member any more, also one that was away when it was removed and that nobody feeds now. Voters tell
 * whoever they have contact with, and whom the newest committed membership lacks, so. One word is no proof: who says it may not have
 * heard that the node was added again. A majority of the voters of the membership in question is one, as long as none of them has a
 * newer membership in its log: whatever follows that membership needs one of this majority, so at the moment of the first word
 * nothing that followed was committed (Raft §6; docs/raft.md, "Who was removed"). A member that lies could as well ask the leader to
 * remove this node.
 */
import { MAX_INDEX } from '../consensus/bounds.js';
import type { ByteReader, ByteWriter } from '../bytes.js';
import type { CoreStatus, Index, NodeId } from '../consensus/consensus.js';
import { decodeMembership, encodeMembership, findMember, type Membership } from '../consensus/membership.js';
import { hasQuorum } from '../consensus/quorum.js';
import { QuorateError } from '../errors.js';
import { expectEnd } from './wire.js';

const MAX_MEMBERSHIP = 1024 * 1024;

/** What a voter says to whom it knows to be no member. @internal */
export interface Absence {
  /** The entry that holds the membership. */
  readonly index: Index;
  /** The newest committed one, with nothing newer in the log of who says this. */
  readonly membership: Membership;
}

/** @internal */
export function encodeAbsence(writer: ByteWriter, { index, membership }: Absence): void {
  writer.varint(index);
  writer.bytes(encodeMembership(membership));
}

/** Throws ERR_CODEC. @internal */
export function decodeAbsence(reader: ByteReader): Absence {
  const index = reader.varint();
  const membership = decodeMembership(reader.bytes(MAX_MEMBERSHIP));
  expectEnd(reader);
  if (membership === undefined || membership.genesis === '' || index > MAX_INDEX)
    throw new QuorateError('ERR_CODEC', 'a word about the members makes no sense');
  return { index, membership };
}

/** What telling and learning of removals need of their group. @internal */
export interface RemovalHost {
  readonly self: NodeId;
  /** It asks to be let in: until it is a member, that it is none is no news. */
  readonly joins: boolean;
  status(): CoreStatus;
  contacts(): Iterable<NodeId>;
  tell(peer: NodeId, absence: Absence): void;
  /** This node is no member any more. */
  removed(membership: Membership): void;
}

/** @internal */
export class Removal {
  readonly #host: RemovalHost;
  /** Whom was told what, over the contact as it is. */
  readonly #told = new Map<NodeId, Index>();
  readonly #words = new Map<NodeId, Absence>();
  /** The index up to which it is known that this node, which joins, was no member; undefined once it was one behind that. */
  #absentAt: Index | undefined;
  #looked: Membership | undefined;

  constructor(host: RemovalHost) {
    this.#host = host;
    this.#absentAt = host.joins ? 0 : undefined;
  }

  /** Contact was made, or made anew. */
  met(peer: NodeId): void {
    this.lost(peer);
    this.#tell(peer, this.#host.status());
  }

  lost(peer: NodeId): void {
    this.#told.delete(peer);
    this.#words.delete(peer);
  }

  statusChanged(): void {
    const status = this.#host.status();
    const { stable, stableIndex } = status;
    if (this.#absentAt !== undefined && stableIndex > this.#absentAt && this.#has(stable))
      this.#absentAt = undefined;
    const known = isFinal(status) ? stable : undefined;
    if (known === this.#looked) return;
    this.#looked = known;
    for (const peer of this.#host.contacts()) this.#tell(peer, status);
  }

  heard(peer: NodeId, word: Absence): void {
    const { self } = this.#host;
    const { genesis, membership, membershipIndex, stable, stableIndex } = this.#host.status();
    const { voters, outgoing } = word.membership;
    const known = genesis === '' || genesis === word.membership.genesis;
    const isVoter = voters.some(({ id }) => id === peer);
    if (!known || !isVoter || outgoing.length > 0 || findMember(word.membership, self)) return;
    if (this.#absentAt !== undefined) {
      this.#absentAt = Math.max(this.#absentAt, word.index);
      return;
    }
    this.#words.set(peer, word);
    const ownIndex = this.#has(membership) ? membershipIndex : this.#has(stable) ? stableIndex : 0;
    if (word.index <= ownIndex) return;
    const says = (id: NodeId): boolean => this.#words.get(id)?.index === word.index;
    if (hasQuorum(word.membership, ({ id }) => says(id))) this.#host.removed(word.membership);
  }

  #tell(peer: NodeId, status: CoreStatus): void {
    const { self } = this.#host;
    const { stable, stableIndex } = status;
    if (!isFinal(status)) return;
    if (findMember(stable, peer) !== undefined || !stable.voters.some(({ id }) => id === self)) return;
    if (this.#told.get(peer) === stableIndex) return;
    this.#told.set(peer, stableIndex);
    this.#host.tell(peer, { index: stableIndex, membership: stable });
  }

  #has(membership: Membership): boolean {
    return findMember(membership, this.#host.self) !== undefined;
  }
}

/**
 * Whether those whom the newest committed membership lacks are needed no more. Where it ends a configuration (Paxos), those who leave
 * may be the only ones that know it to be decided, until somebody leads in the next one: a quorum has promised that by then, and
 * knows it, also after a restart.
 */
function isFinal({ membership, stable, leader, epoch }: CoreStatus): boolean {
  if (membership !== stable || stable.genesis === '' || stable.outgoing.length > 0) return false;
  return stable.config === undefined || (leader !== '' && epoch.config >= stable.config);
}
