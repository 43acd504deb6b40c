/** A simulated process around one core, and what every driver of it does with its effects. */
import { createEffects, lastOf } from '../../../lib/consensus/consensus.js';
import { decodeMembership } from '../../../lib/consensus/membership.js';
import type {
  Consensus,
  Effects,
  Entry,
  FetchRequest,
  Index,
  NodeId,
} from '../../../lib/consensus/consensus.js';
import type { Membership } from '../../../lib/consensus/membership.js';
import type { Image, SimDisk, SimSnapshot } from './simDisk.js';
import type { Watch } from './watch.js';

/** What a crash takes away. */
export interface SimProcess {
  readonly id: NodeId;
  /** It keeps entries without what they carry. */
  readonly witness?: boolean;
  readonly core: Consensus;
  readonly disk: SimDisk;
  applied: Index;
  /** The state machine: all entries that were applied. */
  state: Entry[];
  membership: Membership;
  readonly sessions: Map<NodeId, number>;
  /** Reads under way, each with the index below which its answer would be stale. */
  readonly reads: Map<number, Index>;
  /** The snapshot that the core was offered last. */
  received: SimSnapshot | undefined;
  alive: boolean;
  /** The name of its protocol. */
  readonly protocol: string;
}

/** A process that starts from what its disk holds. */
export function revive(
  id: NodeId,
  core: Consensus,
  disk: SimDisk,
  founding: Membership,
  protocol = 'raft',
): SimProcess {
  const { snapshot } = disk.durable;
  return {
    id,
    core,
    disk,
    applied: snapshot?.meta.index ?? 0,
    state: [...(snapshot?.state ?? [])],
    membership: snapshot?.meta.membership ?? founding,
    sessions: new Map(),
    reads: new Map(),
    received: undefined,
    alive: true,
    protocol,
  };
}

/** Drains once and hands the disk what it should write. Returns the effects and the write's mark. */
export function drainToDisk(
  node: SimProcess,
  now: number,
): { fx: Effects; mark: number; installed: boolean } {
  const fx = createEffects();
  node.core.drain(now, fx);
  if (fx.io === 0) return { fx, mark: 0, installed: false };
  const install = fx.install === undefined ? undefined : node.received!;
  const mark = node.disk.write(fx, install);
  const installed = install !== undefined && install.meta.index > node.applied;
  if (installed) {
    node.applied = install.meta.index;
    node.state = [...install.state];
    node.membership = install.meta.membership;
  }
  return { fx, mark, installed };
}

/** Ends the reads that the effects answer or give up; returns how many were answered. */
export function endReads(node: SimProcess, fx: Effects, watch: Watch): number {
  for (const { context, index } of fx.reads) {
    const atLeast = node.reads.get(context);
    watch.check(atLeast !== undefined, 'a read ended twice');
    watch.check(index >= atLeast!, `a stale read: ${index} instead of ${atLeast}`);
    node.reads.delete(context);
  }
  for (const { context } of fx.readsFailed) watch.check(node.reads.delete(context), 'a read ended twice');
  return fx.reads.length;
}

/** Applies what is committed, from memory or from disk. */
export function applyUpTo(node: SimProcess, commit: Index): void {
  while (node.applied < commit) {
    let batch = node.core.entries(node.applied + 1, commit, 1 << 20);
    if (batch.length === 0) {
      const entry = node.disk.written.at(node.applied + 1);
      if (entry === undefined) throw new Error(`${node.id} lacks ${node.applied + 1}`);
      batch = [entry];
    }
    for (const entry of batch) {
      if (entry.index !== node.applied + 1)
        throw new Error(`${node.id} applies ${entry.index} after ${node.applied}`);
      if (lastOf(entry) > commit) return;
      if (entry.kind === 'config') node.membership = decodeMembership(entry.data)!;
      node.state.push(entry);
      node.applied = lastOf(entry);
    }
  }
}

/** What a disk answers to a fetch. */
export function readBack(image: Image, { from, to, maxBytes }: FetchRequest): Entry[] | 'compacted' {
  if (from <= image.start) return 'compacted';
  const entries: Entry[] = [];
  let bytes = 0;
  for (
    let entry = image.at(from);
    entry !== undefined && lastOf(entry) <= to;
    entry = image.at(lastOf(entry) + 1)
  ) {
    bytes += entry.data.length;
    if (entries.length > 0 && bytes > maxBytes) break;
    entries.push(entry);
  }
  return entries;
}

/** A snapshot of what is applied; undefined when nothing is. */
export function capture(node: SimProcess): SimSnapshot | undefined {
  const last = node.state.at(-1);
  if (last === undefined) return undefined;
  const { epoch, time } = last;
  return {
    meta: { index: node.applied, epoch, time, membership: node.membership, protocol: node.protocol },
    state: [...node.state],
  };
}
