/** What one group may find on one disk after a crash: what was acknowledged, and of the rest a prefix. */
import {
  compareEpochs,
  type Entry,
  type Epoch,
  type HardState,
  type Recovered,
} from '../../../consensus/consensus.js';
import type { Index, SnapshotMeta } from '../../../consensus/consensus.js';
import { decodeMembership, type Membership } from '../../../consensus/membership.js';
import type { GroupWrite } from '../../../storage/storage.js';
import { LogModel } from './logModel.js';
import type { Report } from './report.js';

export class DiskWatch {
  readonly node: string;
  /** The storage's incarnation; another one is another disk. */
  readonly incarnation: string;
  /** All that was asked for, in order. */
  written = new LogModel();
  /** All that was acknowledged. */
  durable = new LogModel();
  /** The newest snapshot that was acknowledged. */
  snapshot: SnapshotMeta | undefined;
  #pending: GroupWrite[] = [];
  #saving: SnapshotMeta | undefined;
  readonly #report: Report;

  constructor(node: string, incarnation: string, report: Report) {
    this.node = node;
    this.incarnation = incarnation;
    this.#report = report;
  }

  /** The storage is given a write. */
  write(write: GroupWrite): void {
    const { hard } = write;
    const before = this.written.hard;
    if (hard !== undefined && before !== undefined) this.#checkHard(before, hard);
    const { truncateFrom, entries } = write;
    const last =
      truncateFrom === undefined ? this.written.last : Math.min(this.written.last, truncateFrom - 1);
    if (write.install === undefined && entries !== undefined && entries[0]!.index !== last + 1)
      this.#fail('log matching', `appends index ${entries[0]!.index} where ${last + 1} is due`);
    if (write.compactTo !== undefined && write.compactTo > (this.snapshot?.index ?? 0))
      this.#fail(
        'order of indexes',
        `compacts to ${write.compactTo}, the snapshot has ${this.snapshot?.index ?? 0}`,
      );
    this.written.apply(write);
    this.#pending.push(write);
  }

  /** The oldest write that is under way was acknowledged. */
  acknowledged(): void {
    this.durable.apply(this.#pending.shift()!);
  }

  /** The newest write was refused before anything was done. */
  takenBack(): void {
    this.#pending.pop();
    this.written = this.durable.copy();
    for (const write of this.#pending) this.written.apply(write);
  }

  saving(meta: SnapshotMeta): void {
    this.#saving = meta;
  }

  saved(meta: SnapshotMeta): void {
    this.snapshot = meta;
    this.#saving = undefined;
  }

  /** What the storage brings back must be what was acknowledged and a prefix of what was not. */
  recovered(found: Recovered | undefined): void {
    const snapshot = this.#checkSnapshot(found?.snapshot);
    const log = this.durable.copy();
    let why = this.#differs(log, snapshot, found);
    for (const write of this.#pending) {
      if (why === undefined) break;
      log.apply(write);
      const next = this.#differs(log, snapshot, found);
      if (next === undefined) why = undefined;
    }
    if (why !== undefined) this.#fail('durability', why);
    if (snapshot !== undefined) log.install(snapshot.index, snapshot.epoch);
    this.#pending = [];
    this.#saving = undefined;
    this.snapshot = snapshot;
    this.durable = log;
    this.written = log.copy();
  }

  #checkSnapshot(found: SnapshotMeta | undefined): SnapshotMeta | undefined {
    for (const meta of [this.snapshot, this.#saving]) if (same(meta, found)) return meta;
    const kept = this.snapshot?.index ?? 0;
    this.#fail('durability', `the snapshot at ${kept} was acknowledged, ${found?.index ?? 'none'} came back`);
    return found;
  }

  /** How what was found differs from a log; undefined: it does not. */
  #differs(
    model: LogModel,
    snapshot: SnapshotMeta | undefined,
    found: Recovered | undefined,
  ): string | undefined {
    const log = model.copy();
    if (snapshot !== undefined) log.install(snapshot.index, snapshot.epoch);
    const last = found?.lastIndex ?? 0;
    if (last !== log.last) return `the log was acknowledged up to ${log.last}, it came back up to ${last}`;
    if (!sameHard(log.hard, found?.hard)) {
      return `${describe(log.hard)} was acknowledged, ${describe(found?.hard)} came back`;
    }
    if (found === undefined) return undefined;
    for (const { index, epoch } of log.entries) {
      const own = runAt(found, index);
      if (own === undefined || compareEpochs(own, epoch) !== 0)
        return `entry ${index} of ${epoch.n} was acknowledged, ${own?.n ?? 'none'} came back`;
    }
    for (const entry of found.tail) {
      const expected = log.at(entry.index);
      if (expected !== undefined && !sameEntry(expected, entry))
        return `entry ${entry.index} came back changed`;
    }
    return undefined;
  }

  /** Who takes part, by this log, and since which index; by a snapshot, the index is that of the snapshot. */
  membershipOf(log: LogModel): { readonly index: Index; readonly membership: Membership } | undefined {
    const entry = log.entries.findLast(({ kind }) => kind === 'config');
    const found =
      entry === undefined ? this.snapshot : { index: entry.index, membership: decodeMembership(entry.data) };
    return found?.membership && { index: found.index, membership: found.membership };
  }

  /** What the storage reads back must be what it was given. */
  read(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const expected = this.written.at(entry.index);
      // Truncated or compacted while it was read.
      if (expected === undefined || compareEpochs(expected.epoch, entry.epoch) !== 0) continue;
      if (!sameEntry(expected, entry))
        this.#fail('log matching', `entry ${entry.index} was read back changed`);
    }
  }

  #checkHard(before: HardState, after: HardState): void {
    const order = compareEpochs(after.epoch, before.epoch);
    if (order < 0) this.#fail('vote', `goes from epoch ${before.epoch.n} back to ${after.epoch.n}`);
    if (order === 0 && before.vote !== '' && before.vote !== after.vote)
      this.#fail('vote', `changes its vote in ${after.epoch.n} from ${before.vote} to ${after.vote}`);
    if (after.commit < before.commit)
      this.#fail('commit', `writes commit ${after.commit} after ${before.commit}`);
  }

  #fail(invariant: string, message: string): void {
    this.#report(invariant, this.node, `the disk of ${this.node}: ${message}`);
  }
}

function runAt({ runs, firstIndex, lastIndex }: Recovered, index: Index): Epoch | undefined {
  if (index < firstIndex || index > lastIndex) return undefined;
  return runs.findLast(({ from }) => from <= index)?.epoch;
}

function same(a: SnapshotMeta | undefined, b: SnapshotMeta | undefined): boolean {
  return a?.index === b?.index && (a === undefined || compareEpochs(a.epoch, b!.epoch) === 0);
}

function sameHard(a: HardState | undefined, b: HardState | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    compareEpochs(a.epoch, b.epoch) === 0 &&
    a.vote === b.vote &&
    a.commit === b.commit &&
    a.genesis === b.genesis
  );
}

function sameEntry(a: Entry, b: Entry): boolean {
  return (
    a.index === b.index &&
    a.count === b.count &&
    a.kind === b.kind &&
    a.time === b.time &&
    compareEpochs(a.epoch, b.epoch) === 0 &&
    Buffer.compare(a.data, b.data) === 0
  );
}

function describe(hard: HardState | undefined): string {
  if (hard === undefined) return 'no hard state';
  return `the hard state { epoch ${hard.epoch.n}, vote ${hard.vote || '-'}, commit ${hard.commit} }`;
}
