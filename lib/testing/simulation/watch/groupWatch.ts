/**
 * What must hold of a group as a whole, whatever happens to its members (Raft paper, figure 3; the same properties hold for
 * Paxos with ballots in the place of terms). Fed by the watches of cores, disks and machines; checked as things happen.
 */
import { compareEpochs, lastOf, type Entry, type Epoch, type Index } from '../../../consensus/consensus.js';
import type { Member, Membership } from '../../../consensus/membership.js';
import { hasQuorum } from '../../../consensus/quorum.js';
import { crc32 } from '../../../crc.js';
import type { NodeView } from './coreWatch.js';
import type { DiskWatch } from './diskWatch.js';
import { MemberWatch } from './memberWatch.js';
import type { Report } from './report.js';

interface Made {
  readonly crc: number;
  readonly count: number;
  readonly before: string;
}

export class GroupWatch {
  readonly report: Report;
  /** Every disk there ever was, by incarnation: what a wiped one held once counted. */
  readonly disks = new Map<string, DiskWatch>();
  /** The members that run, by id. */
  readonly views = new Map<string, NodeView>();
  /** Elections won. */
  reigns = 0;
  /** Who takes part. */
  readonly members: MemberWatch;
  readonly #leaders = new Map<string, string>();
  readonly #made = new Map<string, Made>();
  /** The committed log, from index 1 without a gap. */
  readonly #committed: Entry[] = [];
  /** For each of these the epoch in which it was committed, which may be later than its own. */
  readonly #committedIn: Epoch[] = [];

  /** Nodes that keep entries without what they carry. */
  readonly #witnesses: readonly string[];

  constructor(report: Report, founders: readonly string[] = [], witnesses: readonly string[] = []) {
    this.report = report;
    this.#witnesses = witnesses;
    this.members = new MemberWatch(this, founders);
  }

  /** The highest index that was committed anywhere. */
  get commitIndex(): Index {
    const newest = this.#committed.at(-1);
    return newest === undefined ? 0 : lastOf(newest);
  }

  /** The committed entry that takes this index. */
  committedAt(index: Index): Entry | undefined {
    let low = 0;
    let high = this.#committed.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const entry = this.#committed[middle]!;
      if (index < entry.index) high = middle - 1;
      else if (index > lastOf(entry)) low = middle + 1;
      else return entry;
    }
    return undefined;
  }

  /** Log matching: entries of equal index and epoch are equal, and so is all before them. */
  appended(node: string, entry: Entry, before: Entry | undefined): void {
    const key = keyOf(entry);
    const past = before === undefined ? '' : keyOf(before);
    const crc = crc32(entry.data);
    const known = this.#made.get(key);
    if (known === undefined) {
      this.#made.set(key, { crc, count: entry.count, before: past });
      return;
    }
    if (this.#witnesses.includes(node) && entry.kind === 'user') {
      if (entry.data.length > 0)
        this.report('witness', node, `${node} is a witness, and is given what ${key} carries`);
    } else if (known.crc !== crc || known.count !== entry.count)
      this.report('log matching', node, `${node} has another entry ${key} than its maker`);
    if (past !== '' && known.before !== '' && known.before !== past)
      this.report('log matching', node, `${node} has ${key} after ${past}, others after ${known.before}`);
  }

  /** Election safety. `key` names the term, or the ballot. */
  leads(node: string, key: string): void {
    const known = this.#leaders.get(key);
    if (known === undefined) {
      this.#leaders.set(key, node);
      this.reigns++;
    } else if (known !== node) {
      this.report('election safety', node, `${known} and ${node} both lead in ${key}`);
    }
  }

  /**
   * Leader completeness: who begins to lead has all that was committed in earlier epochs. Votes may be heard late: so who won in
   * an older epoch may begin to lead when a newer leader has committed already, and can do no harm.
   */
  beginsToLead(node: string, epoch: Epoch, holds: (entry: Entry) => boolean): void {
    for (let i = this.#committed.length - 1; i >= 0; i--) {
      const entry = this.#committed[i]!;
      if (compareEpochs(this.#committedIn[i]!, epoch) >= 0) continue;
      // By log matching the newest one stands for those before it.
      if (!holds(entry))
        this.report('leader completeness', node, `${node} leads in ${epoch.n} without ${keyOf(entry)}`);
      return;
    }
  }

  /**
   * State machine safety, and a quorum of disks behind everything that is committed for the first time. `epoch`: the node's.
   * `before`: the membership that counted when this turn began, if it is another: what was committed may have been what the new one
   * waited for.
   */
  committed(node: string, entry: Entry, membership: Membership, epoch: Epoch, before = membership): void {
    const known = this.committedAt(entry.index);
    if (known !== undefined) {
      const equal = compareEpochs(known.epoch, entry.epoch) === 0 && known.index === entry.index;
      if (!equal)
        this.report('state machine safety', node, `${node} commits ${keyOf(entry)}, others ${keyOf(known)}`);
      return;
    }
    if (entry.index !== this.commitIndex + 1) {
      this.report('state machine safety', node, `${node} commits ${keyOf(entry)} after ${this.commitIndex}`);
      return;
    }
    this.#committed.push(entry);
    this.#committedIn.push(epoch);
    this.#checkQuorum(node, entry, before === membership ? [membership] : [before, membership]);
    if (entry.kind === 'config') this.members.committed(node, entry);
  }

  #checkQuorum(node: string, entry: Entry, memberships: readonly Membership[]): void {
    const holds = ({ incarnation }: Member): boolean =>
      this.disks.get(incarnation)?.durable.holds(entry) === true;
    if (!memberships.some((membership) => hasQuorum(membership, holds)))
      this.report('durability', node, `${node} commits ${keyOf(entry)}, which is on no quorum of disks`);
  }
}

function keyOf({ index, epoch }: Entry): string {
  return `${index}@${epoch.config}.${epoch.n}.${epoch.node}`;
}
