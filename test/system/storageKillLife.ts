/** A life of a storage that its number of steps decides: what each step writes, and what has to be there after it. */
import type { Entry, Epoch, HardState, SnapshotMeta } from '../../lib/consensus/consensus.js';
import { foundingMembership } from '../../lib/consensus/membership.js';
import type { GroupWrite } from '../../lib/storage/storage.js';
import { seeded } from '../unit/support/seeded.js';

/** What a group must hold. */
export interface Model {
  /** Steps done; each is told by the commit index of the hard state that it writes. */
  steps: number;
  reign: number;
  first: number;
  /** Reigns of the entries from `first` on. */
  reigns: number[];
  snapshot: number;
  /** The reign of the entry at `snapshot`. */
  snapshotReign: number;
}

/** One step: a batch, and a snapshot that is committed before it. */
export interface LifeStep {
  readonly snapshot: SnapshotMeta | undefined;
  readonly writes: readonly GroupWrite[];
}

export const GROUP = 'g';
export const VOTES = 'votes';

export function newModel(): Model {
  return { steps: 0, reign: 1, first: 1, reigns: [], snapshot: 0, snapshotReign: 0 };
}

export function lastOfModel({ first, reigns }: Model): number {
  return first + reigns.length - 1;
}

function epochOf(reign: number): Epoch {
  return { config: 0, n: reign, priority: 0, node: `n${reign % 3}` };
}

export function hardAfter(steps: number, reign: number): HardState {
  const vote = `v${steps}`;
  return { protocol: 'raft', config: 0, epoch: epochOf(reign), vote, commit: steps, genesis: 'e'.repeat(32) };
}

/** The content of an entry, different for every index and reign. */
export function entryAt(index: number, reign: number): Entry {
  const random = seeded(index * 1009 + reign);
  const data = new Uint8Array(Math.floor(random() * 1200));
  for (let i = 0; i < data.length; i += 97) data[i] = Math.floor(random() * 256);
  return { index, count: 1, epoch: epochOf(reign), time: 1e12 + index, kind: 'user', data };
}

export function snapshotContent(index: number): Uint8Array {
  return new Uint8Array(20_000 + (index % 7) * 30_000).fill((index % 255) + 1);
}

/** Goes one step on, and tells what it writes. */
export function advance(model: Model): LifeStep {
  const step = ++model.steps;
  const random = seeded(step);
  const pick = (limit: number): number => Math.floor(random() * limit);
  const kind = pick(12);
  const last = lastOfModel(model);
  let write: GroupWrite = { group: GROUP };
  let snapshot: SnapshotMeta | undefined;

  if (kind === 0 && last - model.snapshot > 20) {
    // A new reign takes the place of the end of the last one.
    const from = last - pick(15);
    model.reign++;
    model.reigns.length = from - model.first;
    write = { ...write, truncateFrom: from };
  } else if (kind === 1 && last - model.snapshot > 60) {
    const index = last - 30;
    const reign = model.reigns[index - model.first]!;
    const membership = foundingMembership(['a', 'b', 'c']);
    snapshot = { index, epoch: epochOf(reign), time: 1e12 + index, membership, protocol: 'raft' };
    Object.assign(model, { snapshot: index, snapshotReign: reign });
    model.reigns.splice(0, index + 1 - model.first);
    model.first = index + 1;
    write = { ...write, compactTo: index };
  } else if (kind === 2) {
    model.reign++; // a vote, and nothing else
  }
  if (kind !== 2) {
    const from = lastOfModel(model) + 1;
    const count = 1 + pick(12);
    const entries: Entry[] = [];
    for (let i = 0; i < count; i++) entries.push(entryAt(from + i, model.reign));
    for (let i = 0; i < count; i++) model.reigns.push(model.reign);
    write = { ...write, entries };
  }
  // The other group's vote is of the same step: they are there together, or not at all.
  return {
    snapshot,
    writes: [
      { ...write, hard: hardAfter(step, model.reign) },
      { group: VOTES, hard: hardAfter(step, model.reign) },
    ],
  };
}
