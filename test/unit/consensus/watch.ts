/** What must hold of a cluster at every step, whatever happens to it. */
import { compareEpochs, lastOf } from '../../../lib/consensus/consensus.js';
import { decodeMembership } from '../../../lib/consensus/membership.js';
import { hasQuorum } from '../../../lib/consensus/quorum.js';
import type {
  Effects,
  Entry,
  Epoch,
  HardState,
  Index,
  MessageBase,
  NodeId,
} from '../../../lib/consensus/consensus.js';
import type { Member, Membership } from '../../../lib/consensus/membership.js';
import type { Ack } from '../../../lib/consensus/core/messages.js';
import type { Rules } from './rules.js';
import type { SimDisk } from './simDisk.js';
import type { SimProcess } from './simProcess.js';

/** What is watched. */
export interface Watched {
  readonly now: number;
  readonly nodes: ReadonlyMap<NodeId, SimProcess>;
  readonly disks: ReadonlyMap<NodeId, SimDisk>;
}

export class Watch {
  /** Stores that were wiped: what they held once counted, as that of a member that is down for ever. */
  readonly lost: SimDisk[] = [];
  /** The highest index committed anywhere. */
  committed: Index = 0;
  /** Every committed entry, by its first index. */
  readonly log = new Map<Index, Entry>();
  /** The reigns in which they were committed. */
  readonly #committedIn = new Map<Index, Epoch>();
  membership: Membership | undefined;
  readonly #leaders = new Map<string, NodeId>();
  /** Every entry ever made, by index and epoch, with the epoch before it: equal ones have equal pasts (log matching). */
  readonly #made = new Map<string, { entry: Entry; before: string }>();
  readonly #commits = new WeakMap<SimProcess, Index>();
  readonly #hard = new WeakMap<SimDisk, HardState>();
  readonly #led = new WeakSet<object>();
  /** As of the last drain. */
  readonly #memberships = new WeakMap<SimProcess, Membership>();
  readonly #reigns = new WeakMap<SimProcess, Epoch>();
  /** The storages that a process ever had on record in its log, by member. */
  readonly #records = new WeakMap<SimProcess, Set<string>>();
  /** Storages asked for votes: by candidate, reign and storage. */
  readonly #asked = new Set<string>();

  readonly #cluster: Watched;
  readonly #rules: Rules;

  constructor(cluster: Watched, rules: Rules) {
    this.#cluster = cluster;
    this.#rules = rules;
  }

  readonly check = (holds: boolean, what: string | (() => string)): void => {
    if (!holds)
      throw new Error(`at ${this.#cluster.now.toFixed(1)}: ${typeof what === 'string' ? what : what()}`);
  };

  /** After an input, before its effects are drained. */
  touched(node: SimProcess): void {
    const { stopped } = node.core.status;
    this.check(stopped === undefined, () => `${node.id} stopped: ${String(stopped)}`);
  }

  drained(node: SimProcess, fx: Effects): void {
    this.touched(node);
    this.#checkHard(node, fx);
    this.#checkMade(node, fx);
    this.#checkLeader(node);
    this.#checkCommit(node, fx.commit);
    const { membership, role, epoch } = node.core.status;
    if (this.#memberships.get(node) !== membership) this.#note(node, membership);
    this.#memberships.set(node, membership);
    // A reign may end with what it commits.
    if (role === 'leader') this.#reigns.set(node, epoch);
    else this.#reigns.delete(node);
  }

  /** A message leaves: what it promises must be on disk. */
  sent(node: SimProcess, to: NodeId, m: MessageBase): void {
    this.#rules.checkSent(this, node, to, m);
  }

  /** What is acknowledged is on disk as the leader holds it, not just something at that index (append ABA). */
  checkAcknowledged(
    { id, disk: { durable } }: SimProcess,
    to: NodeId,
    { matched }: Ack,
    sameReign: (epoch: Epoch) => boolean,
  ): void {
    this.check(
      matched <= Math.max(durable.last, durable.snapshot?.meta.index ?? 0),
      `${id} has no ${matched}`,
    );
    const leader = this.#cluster.nodes.get(to);
    if (leader?.core.status.role !== 'leader' || !sameReign(leader.core.status.epoch)) return;
    const mine = durable.at(matched)?.epoch;
    const theirs = leader.disk.written.at(matched)?.epoch;
    const agrees = mine === undefined || theirs === undefined || compareEpochs(mine, theirs) === 0;
    this.check(agrees, () => `${id} acknowledges ${matched} of ${mine!.n}, leader ${to} has ${theirs!.n}`);
  }

  /** Everyone holds the same committed entries. */
  converged(): void {
    for (const node of this.#cluster.nodes.values()) {
      for (const entry of node.state) {
        this.check(
          isBare(node, entry) || this.log.get(entry.index)?.data === entry.data,
          `${node.id} applied another ${entry.index}`,
        );
      }
    }
  }

  asks(candidate: SimProcess, to: NodeId, reign: string, recorded: string): void {
    const has = recorded === '' || this.#records.get(candidate)?.has(`${to}/${recorded}`) === true;
    this.check(has, () => `${candidate.id} asks ${to} as ${recorded}, which it never had on record`);
    this.#asked.add(`${candidate.id}/${reign}/${to}/${recorded}`);
  }

  isAsked(node: SimProcess, candidate: NodeId, reign: string): boolean {
    return this.#asked.has(`${candidate}/${reign}/${node.id}/${node.disk.incarnation}`);
  }

  #note(node: SimProcess, { voters, outgoing }: Membership): void {
    const records = this.#records.get(node) ?? new Set<string>();
    for (const { id, incarnation } of [...voters, ...outgoing]) records.add(`${id}/${incarnation}`);
    this.#records.set(node, records);
  }

  isMember(node: SimProcess): boolean {
    const { voters, outgoing } = node.core.status.membership;
    const records = [...voters, ...outgoing].filter(({ id }) => id === node.id);
    // A leader that is removed leads until that is committed.
    return (
      records.length === 0 ||
      records.some(({ incarnation }) => incarnation === '' || incarnation === node.disk.incarnation)
    );
  }

  #checkHard({ id, disk }: SimProcess, { hard }: Effects): void {
    if (hard === undefined) return;
    this.#rules.checkHard(this, id, this.#hard.get(disk), hard);
    // Only what is durable binds after a crash; in one life what was written binds too.
    this.#hard.set(disk, hard);
  }

  /** A crash takes back what was not durable. */
  crashed(disk: SimDisk): void {
    const { hard } = disk.durable;
    if (hard === undefined) this.#hard.delete(disk);
    else this.#hard.set(disk, hard);
  }

  #checkMade(node: SimProcess, fx: Effects): void {
    for (const entry of fx.append) {
      const carries = entry.kind !== 'user' || entry.data.length > 0 !== (node.witness === true);
      this.check(carries, () => `${node.id} keeps ${entry.data.length} bytes of ${keyOf(entry)}`);
      const past = node.disk.written.at(entry.index - 1);
      const before = past === undefined ? '' : keyOf(past);
      const key = keyOf(entry);
      const known = this.#made.get(key);
      if (known === undefined) {
        this.#made.set(key, { entry, before });
        continue;
      }
      const same = isBare(node, entry) || known.entry.data === entry.data;
      this.check(same && known.entry.count === entry.count, `two entries ${key}`);
      this.check(before === '' || known.before === '' || known.before === before, `${key} has two pasts`);
    }
  }

  #checkLeader(node: SimProcess): void {
    const { status } = node.core;
    if (status.role !== 'leader') return;
    const { epoch } = status;
    const reign = this.#rules.reignOf(epoch);
    const known = this.#leaders.get(reign);
    this.check(known === undefined || known === node.id, `${known} and ${node.id} lead in ${reign}`);
    this.check(this.isMember(node), `${node.id} leads with a storage that is not on record`);
    this.#leaders.set(reign, node.id);
    if (this.#led.has(epoch)) return;
    this.#led.add(epoch);
    // Leader completeness, at the first drain of a reign; what is committed later came from it. A leader that hears late that it
    // had won may lack what a newer one committed.
    for (const entry of this.log.values()) {
      if (this.#rules.compare(this.#committedIn.get(entry.index)!, epoch) >= 0) continue;
      this.check(
        node.disk.written.holds(entry),
        () => `${node.id} leads in ${reign} without ${keyOf(entry)}`,
      );
    }
  }

  #checkCommit(node: SimProcess, commit: Index): void {
    const before = this.#commits.get(node) ?? 0;
    this.check(commit >= before, `${node.id} went from commit ${before} back to ${commit}`);
    this.#commits.set(node, commit);
    const { written } = node.disk;
    const floor = Math.max(written.start, Math.min(before, this.committed));
    for (let entry = written.at(floor + 1); entry !== undefined && lastOf(entry) <= commit;) {
      this.#checkCommitted(node, entry);
      entry = written.at(lastOf(entry) + 1);
    }
  }

  #checkCommitted(node: SimProcess, entry: Entry): void {
    const known = this.log.get(entry.index);
    if (known !== undefined) {
      const alike = isBare(node, entry) || known.data === entry.data;
      const same = alike && compareEpochs(known.epoch, entry.epoch) === 0;
      this.check(same, () => `${node.id} committed ${keyOf(entry)}, others ${keyOf(known)}`);
      return;
    }
    this.check(entry.index === this.committed + 1, `commits ${entry.index} after ${this.committed}`);
    this.log.set(entry.index, entry);
    this.#committedIn.set(entry.index, this.#reigns.get(node) ?? node.core.status.epoch);
    this.committed = lastOf(entry);
    if (entry.kind === 'config') {
      const membership = decodeMembership(entry.data)!;
      const { genesis } = this.membership ?? membership;
      this.check(membership.genesis === genesis, 'a second genesis was committed');
      this.membership = membership;
    }
    // On a quorum of disks, of the incarnations on record in the membership that made the entry.
    const { disks } = this.#cluster;
    const holds = ({ id, incarnation }: Member): boolean => {
      const disk = [disks.get(id)!, ...this.lost].find((other) => other.incarnation === incarnation);
      return disk?.durable.holds(entry) === true;
    };
    // A change of the membership that was appended since counts from then on.
    const { membership } = node.core.status;
    const held = [this.#memberships.get(node) ?? membership, membership].some((one) => hasQuorum(one, holds));
    this.check(held, () => `${keyOf(entry)} is committed without a quorum of disks`);
  }
}

function keyOf({ index, epoch }: Entry): string {
  return `${index}@${epoch.config}.${epoch.n}${epoch.node}`;
}

/** A witness holds it, and nothing of what it carries. Who leads is none, so the whole entry is always seen first. */
function isBare({ witness }: SimProcess, { kind, data }: Entry): boolean {
  return witness === true && kind === 'user' && data.length === 0;
}
