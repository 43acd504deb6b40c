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
  /** Of its storage. While a voter is admitted again it has two: that of the new voters comes first. */
  readonly incarnations: readonly string[];
  readonly voter: boolean;
  readonly witness: boolean;
}

/** The memberships of a log, oldest first. @internal */
export class Configs {
  readonly joint: boolean;
  /** Stop-signs that were appended and are not committed. */
  #stops: Version[] = [];
  /** The first is the newest committed one, or where everything began. */
  #versions: Version[];
  #standings = new Map<NodeId, Standing>();
  /** The entries that put storages on record, 0 for those that are committed; by id and incarnation. */
  #records = new Map<string, Index>();

  /**
   * `joint`: a membership counts from when it is appended, and joint ones bridge the change (Raft). Otherwise it is a stop-sign:
   * it counts when it is committed and ends a configuration, which has a number (Paxos).
   */
  constructor(founding: Membership, joint = true) {
    this.joint = joint;
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

  /** The index of the entry that holds the stable one. */
  get stableIndex(): Index {
    return this.#versions[0]!.index;
  }

  /** The number of the configuration in force, among those that end with stop-signs. */
  get number(): number {
    return this.stable.config ?? 0;
  }

  /** Where the configuration in force ends: at the first stop-sign that is not committed; Infinity without one. */
  get end(): Index {
    if (this.joint) return Infinity;
    return this.#versions[1]?.index ?? this.#stops[0]?.index ?? Infinity;
  }

  /** Whether a membership in the log is not committed yet. */
  isOpen(commit: Index): boolean {
    return this.latestIndex > commit || this.end < Infinity;
  }

  /** The membership as the log carries it after the one in force. */
  successor(membership: Membership): Membership {
    return this.joint ? membership : { ...membership, config: this.number + 1 };
  }

  standingOf(id: NodeId): Standing | undefined {
    return this.#standings.get(id);
  }

  /** The entry that put this storage of a member on record, 0 when it is committed; Infinity when it is not on record. */
  recordOf(id: NodeId, incarnation: string): Index {
    return incarnation === '' ? Infinity : (this.#records.get(`${id}/${incarnation}`) ?? Infinity);
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
    const version = { index: entry.index, membership };
    // A founding counts from the beginning, in any case: before it nobody is on record.
    if (!this.joint && this.latest.genesis !== '') {
      this.#stops.push(version);
      return membership;
    }
    this.#versions.push(version);
    this.#recount();
    return membership;
  }

  /** The log was truncated. Returns whether the membership changed back. */
  truncateFrom(index: Index): boolean {
    while (this.#stops.length > 0 && this.#stops.at(-1)!.index >= index) this.#stops.pop();
    const before = this.#versions.length;
    while (this.#versions.length > 1 && this.#versions.at(-1)!.index >= index) this.#versions.pop();
    if (this.#versions.length === before) return false;
    this.#recount();
    return true;
  }

  /** Everything up to `index` is committed. Returns whether that made another membership the stable one. */
  committed(index: Index): boolean {
    while (this.#stops.length > 0 && this.#stops[0]!.index <= index)
      this.#versions.push(this.#stops.shift()!);
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
    this.#stops = keep ? this.#stops.filter((version) => version.index > index) : [];
    this.#versions = [{ index, membership }, ...above];
    this.#recount();
  }

  #recount(): void {
    let records = new Map<string, Index>();
    for (const [at, { index, membership }] of this.#versions.entries()) {
      const seen = new Map<string, Index>();
      for (const member of partsOf(membership)) {
        const key = `${member.id}/${member.incarnation}`;
        seen.set(key, records.get(key) ?? (at === 0 ? 0 : index));
      }
      records = seen;
    }
    this.#records = records;
    const standings = new Map<NodeId, Standing>();
    const { voters, outgoing, learners } = this.latest;
    const note = (voter: boolean, { id, incarnation, witness }: Member): void => {
      const known = standings.get(id);
      if (known === undefined)
        standings.set(id, { incarnations: [incarnation], voter, witness: witness === true });
      else if (!known.incarnations.includes(incarnation))
        standings.set(id, { ...known, incarnations: [...known.incarnations, incarnation] });
    };
    for (const member of [...voters, ...outgoing]) note(true, member);
    for (const member of learners) note(false, member);
    this.#standings = standings;
  }
}

function partsOf({ voters, outgoing, learners }: Membership): Member[] {
  return [...voters, ...outgoing, ...learners];
}
