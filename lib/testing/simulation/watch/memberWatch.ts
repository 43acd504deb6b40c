/**
 * Who takes part in a group, as the committed log has it: whether each membership may follow the one before (Raft paper §6), who can
 * elect a leader, and whose disk may be lost.
 */
import { compareEpochs, NO_EPOCH, type Entry, type Epoch, type Index } from '../../../consensus/consensus.js';
import { allMembers, decodeMembership, type Member, type Membership } from '../../../consensus/membership.js';
import { hasQuorum } from '../../../consensus/quorum.js';
import type { DiskWatch } from './diskWatch.js';
import type { GroupWatch } from './groupWatch.js';
import type { LogModel } from './logModel.js';

export class MemberWatch {
  /** The newest membership that was committed. */
  membership: Membership | undefined;
  /** How many were. */
  changes = 0;
  readonly #group: GroupWatch;
  readonly #founders: readonly string[];
  /** Of nodes whose disk was lost: the storage that it held. */
  readonly #lost = new Map<string, string>();
  #index: Index = 0;
  /** The one before the newest. */
  #before: Membership | undefined;

  constructor(group: GroupWatch, founders: readonly string[]) {
    this.#group = group;
    this.#founders = founders;
  }

  /** Every voter's storage is on record, by a committed entry. */
  get allMet(): boolean {
    return this.membership?.voters.every(({ incarnation }) => incarnation !== '') ?? false;
  }

  /** Whether a node takes part, or is about to. */
  has(id: string): boolean {
    const { membership } = this;
    return membership !== undefined && allMembers(membership).some((member) => member.id === id);
  }

  /** A `config` entry was committed. */
  committed(node: string, entry: Entry): void {
    const membership = decodeMembership(entry.data);
    if (membership === undefined) return;
    const before = this.membership;
    if (before !== undefined && before.genesis !== membership.genesis)
      this.#group.report('state machine safety', node, `${node} commits a second genesis`);
    const wrong = before && breach(before, membership);
    if (wrong !== undefined)
      this.#group.report('membership', node, `${node} commits a membership at ${entry.index} that ${wrong}`);
    this.#before = before;
    this.membership = membership;
    this.#index = entry.index;
    this.changes++;
  }

  /** A disk was lost: what comes in its place knows nothing. */
  wiped(id: string): void {
    this.#lost.set(id, this.#newest(id)?.incarnation ?? '');
  }

  /**
   * Whether these nodes can elect a leader. Once a group is founded only members whose storage is on record count, and one that
   * nobody met before a majority went away is not: it cannot be told from one that lost its memory.
   */
  mayElect(ids: readonly string[]): boolean {
    const quorum = (membership: Membership): boolean =>
      hasQuorum(
        membership,
        ({ id, incarnation }) =>
          ids.includes(id) &&
          incarnation !== '' &&
          this.#own(id)?.incarnation === incarnation &&
          this.#mayVote(id, membership, ids),
      );
    const { membership } = this;
    // Who knows less than what is committed cannot win; who knows more needs those that it knows of.
    const isTold = (): boolean => ids.some((id) => this.#isTold(id)) || quorum(this.#before ?? membership!);
    if (membership !== undefined) return quorum(membership) && isTold() && this.#newer(ids).every(quorum);
    const founders = this.#founders.filter((id) => ids.includes(id));
    return 2 * founders.length > this.#founders.length && this.#newer(ids).every(quorum);
  }

  /**
   * Whether the group outlives the loss of a disk: all storages are on record, and enough members know the group. Before that
   * nobody could tell a member that lost its memory from a newcomer. `rotten`: those whose disks are not to be trusted.
   */
  mayLoseDisk(id: string, rotten: ReadonlySet<string>): boolean {
    const { membership } = this;
    if (membership === undefined || !this.allMet) return false;
    if (!this.#hasAnotherCopy(id, rotten)) return false;
    const running = [...new Set([...this.#group.disks.values()].map(({ node }) => node))];
    const dead = (voter: Member): boolean =>
      voter.id === id ||
      rotten.has(voter.id) ||
      !this.#knows(voter.id, voter.incarnation) ||
      !this.#isTold(voter.id);
    const outlives = (half: readonly Member[]): boolean =>
      !half.some((voter) => voter.id === id) || 2 * half.filter(dead).length < half.length;
    // Who is about to vote and on record may do so at once. Who is not has to come first, so it is not dead.
    const onRecord = ({ incarnation }: Member): boolean => incarnation !== '';
    const outlivesAsNext = (half: readonly Member[]): boolean =>
      !half.some((voter) => voter.id === id && onRecord(voter)) ||
      2 * half.filter((voter) => onRecord(voter) && dead(voter)).length < half.length;
    return [membership, ...this.#newer(running)].every(
      (one) => outlives(one.voters) && outlives(one.outgoing) && outlivesAsNext(nextVoters(one)),
    );
  }

  /**
   * Whether a founder may be started with the list of founders: a majority of them that knows no group, and reaches nobody who
   * does, would found another.
   */
  mayFound(id: string): boolean {
    if (this.membership === undefined || this.#knows(id)) return true;
    const fresh = this.#founders.filter((other) => !this.#knows(other));
    return 2 * fresh.length < this.#founders.length;
  }

  /** No change is under way, and each of these votes, with the storage that it has. */
  settled(ids: readonly string[]): boolean {
    const { membership } = this;
    if (membership === undefined || membership.outgoing.length > 0) return false;
    return ids.every((id) =>
      membership.voters.some((voter) => voter.id === id && voter.incarnation === this.#own(id)?.incarnation),
    );
  }

  /** Voters whose storage is not the one they have now: they are to be admitted again. */
  strangers(ids: readonly string[]): string[] {
    const voters = this.membership?.voters ?? [];
    return voters
      .filter(({ id, incarnation }) => ids.includes(id) && this.#own(id)?.incarnation !== incarnation)
      .map(({ id }) => id);
  }

  /**
   * Whether a node knows, also after a crash, that the newest membership is committed. It has to where that counts from its commit
   * on: what is known to nobody has to be found out by those whom it replaced.
   */
  #isTold(id: string): boolean {
    if (this.membership?.config === undefined) return true;
    const own = this.#own(id);
    return Math.max(own?.durable.hard?.commit ?? 0, own?.snapshot?.index ?? 0) >= this.#index;
  }

  /** Whether a node has a candidate among these: a witness that is ahead of all the data votes for nobody. */
  #mayVote(id: string, { voters, outgoing }: Membership, ids: readonly string[]): boolean {
    const all = [...voters, ...outgoing];
    if (!all.some((voter) => voter.id === id && voter.witness)) return true;
    const own = this.#own(id);
    return all.some(
      (voter) =>
        !voter.witness && ids.includes(voter.id) && isAsFar(this.#own(voter.id), own, voter.incarnation),
    );
  }

  /** Whether all that was committed is with somebody else who holds data; a question only where witnesses hold none. */
  #hasAnotherCopy(id: string, rotten: ReadonlySet<string>): boolean {
    const all = this.membership === undefined ? [] : allMembers(this.membership);
    if (!all.some(({ witness }) => witness)) return true;
    const newest = this.#group.committedAt(this.#group.commitIndex);
    return all.some(
      (other) =>
        !other.witness &&
        other.id !== id &&
        !rotten.has(other.id) &&
        this.#knows(other.id, other.incarnation) &&
        (newest === undefined || this.#own(other.id)!.durable.holds(newest)),
    );
  }

  /** The memberships that nodes have in their logs, or are writing, and that are newer than what is committed. */
  #newer(ids: readonly string[]): Membership[] {
    const found: Membership[] = [];
    for (const id of ids) {
      const own = this.#own(id);
      for (const log of own === undefined ? [] : [own.durable, own.written]) {
        const known = own!.membershipOf(log);
        if (known !== undefined && known.index > this.#index) found.push(known.membership);
      }
    }
    return found;
  }

  /** Whether a node has written down to which group it belongs, in the storage on record. */
  #knows(id: string, incarnation?: string): boolean {
    const own = this.#own(id);
    if (incarnation !== undefined && own?.incarnation !== incarnation) return false;
    return (own?.durable.hard?.genesis ?? '') !== '';
  }

  /** The storage that a node has now. */
  #own(id: string): DiskWatch | undefined {
    const newest = this.#newest(id);
    return newest !== undefined && newest.incarnation === this.#lost.get(id) ? undefined : newest;
  }

  #newest(id: string): DiskWatch | undefined {
    let newest: DiskWatch | undefined;
    for (const disk of this.#group.disks.values()) if (disk.node === id) newest = disk;
    return newest;
  }
}

/** Who is to vote when the change that waits comes about. */
function nextVoters(membership: Membership): Member[] {
  const all = allMembers(membership);
  const { voters = [] } = membership.next ?? {};
  return voters.map((id) => all.find((member) => member.id === id) ?? { id, incarnation: '' });
}

/** Whether what one disk certainly holds is at least as far as what another may hold. */
function isAsFar(one: DiskWatch | undefined, other: DiskWatch | undefined, incarnation: string): boolean {
  if (one === undefined || one.incarnation !== incarnation) return false;
  if (other === undefined) return true;
  const epochs = compareEpochs(endOf(one, one.durable), endOf(other, other.written));
  return epochs > 0 || (epochs === 0 && one.durable.last >= other.written.last);
}

function endOf({ snapshot }: DiskWatch, log: LogModel): Epoch {
  return log.entries.at(-1)?.epoch ?? snapshot?.epoch ?? NO_EPOCH;
}

/**
 * What is wrong with a membership that follows another; undefined if nothing is. Voters change through a joint one alone, or, where
 * configurations have numbers, from each to the next.
 */
export function breach(before: Membership, after: Membership): string | undefined {
  if (before.config !== undefined) {
    if (after.config !== before.config + 1) return `is number ${after.config}, after number ${before.config}`;
    return after.outgoing.length > 0 ? 'is joint' : undefined;
  }
  if (before.outgoing.length > 0) {
    if (after.outgoing.length > 0) return 'follows a joint one and is joint';
    return equal(before.voters, after.voters) ? undefined : 'ends a joint one with other voters';
  }
  if (after.outgoing.length > 0)
    return equal(before.voters, after.outgoing) ? undefined : 'has other outgoing voters than there were';
  if (!sameIds(before.voters, after.voters)) return 'has other voters, and was no joint one before';
  const replaced = before.voters.find(
    ({ id, incarnation }) =>
      incarnation !== '' && after.voters.find((voter) => voter.id === id)!.incarnation !== incarnation,
  );
  return replaced && `replaces the storage of ${replaced.id} without asking`;
}

function sameIds(a: readonly Member[], b: readonly Member[]): boolean {
  return a.length === b.length && a.every(({ id }) => b.some((other) => other.id === id));
}

function equal(a: readonly Member[], b: readonly Member[]): boolean {
  return (
    sameIds(a, b) &&
    a.every(({ id, incarnation }) => b.some((other) => other.id === id && other.incarnation === incarnation))
  );
}
