/**
 * The memberships that a log carries. The newest `config` entry counts from when it is appended (Raft §6), and the one
 * before counts again when it is truncated. Also says since which index each member's incarnation is on record.
 */
import { decodeMembership } from '../membership.js';
import type { Entry, Index, NodeId } from '../consensus.js';
import type { Member, Membership } from '../membership.js';

interface Version {
  readonly index: Index;
  readonly membership: Membership;
}

/** What the newest membership says of a member. @internal */
export interface Standing {
  readonly incarnation: string;
  /** The entry that put this incarnation on record; 0 when that entry is committed. */
  readonly since: Index;
  readonly voter: boolean;
}

/** The memberships of a log, oldest first. @internal */
export class Configs {
  /** The first is the newest committed one, or where everything began. */
  #versions: Version[];
  #standings = new Map<NodeId, Standing>();

  constructor(founding: Membership) {
    this.#versions = [{ index: 0, membership: founding }];
    this.#recount();
  }

  get latest(): Membership {
    return this.#versions.at(-1)!.membership;
  }

  /** The index of the entry that holds the latest one. */
  get latestIndex(): Index {
    return this.#versions.at(-1)!.index;
  }

  /** The newest membership at or below the commit index that was last given to {@link Configs.committed}. */
  get stable(): Membership {
    return this.#versions[0]!.membership;
  }

  standingOf(id: NodeId): Standing | undefined {
    return this.#standings.get(id);
  }

  /** Whether anyone but `self` takes part. */
  hasOthers(self: NodeId): boolean {
    return this.#standings.size > (this.#standings.has(self) ? 1 : 0);
  }

  ids(): IterableIterator<NodeId> {
    return this.#standings.keys();
  }

  /** Takes a `config` entry that was appended; throws when it holds no membership. Returns it. */
  append(entry: Entry): Membership {
    const membership = decodeMembership(entry.data);
    if (membership === undefined) throw new Error(`the config entry at ${entry.index} holds no membership`);
    this.#versions.push({ index: entry.index, membership });
    this.#recount();
    return membership;
  }

  /** The log was truncated. Returns whether the membership changed back. */
  truncateFrom(index: Index): boolean {
    const before = this.#versions.length;
    while (this.#versions.length > 1 && this.#versions.at(-1)!.index >= index) this.#versions.pop();
    if (this.#versions.length === before) return false;
    this.#recount();
    return true;
  }

  /** Everything up to `index` is committed. Returns whether that made another membership the stable one. */
  committed(index: Index): boolean {
    let first = 0;
    while (first + 1 < this.#versions.length && this.#versions[first + 1]!.index <= index) first++;
    if (first === 0) return false;
    this.#versions.splice(0, first);
    this.#recount();
    return true;
  }

  /** Begins anew from a snapshot; with `keep`, entries of the log above it stay. */
  reset(index: Index, membership: Membership, keep: boolean): void {
    const above = keep ? this.#versions.filter((version) => version.index > index) : [];
    this.#versions = [{ index, membership }, ...above];
    this.#recount();
  }

  #recount(): void {
    const standings = new Map<NodeId, Standing>();
    for (const [at, { index, membership }] of this.#versions.entries()) {
      const seen = new Map<NodeId, Standing>();
      const note = (member: Member, voter: boolean): void => {
        if (seen.has(member.id)) return;
        const { id, incarnation } = member;
        const earlier = standings.get(id);
        const since = earlier?.incarnation === incarnation ? earlier.since : at === 0 ? 0 : index;
        seen.set(id, { incarnation, since, voter });
      };
      for (const member of membership.voters) note(member, true);
      for (const member of membership.outgoing) note(member, true);
      for (const member of membership.learners) note(member, false);
      standings.clear();
      for (const [id, standing] of seen) standings.set(id, standing);
    }
    this.#standings = standings;
  }
}
