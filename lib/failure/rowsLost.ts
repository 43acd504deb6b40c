/** The last rows of nodes that cannot be reached: memories, which lead nowhere and are believed by nobody. @internal */
import type { NodeId } from '../consensus/consensus.js';
import { isNewerRow, maxRowNodes } from './rows.js';
import type { ConnectivityRow } from './rows.js';

interface Memory {
  readonly row: ConnectivityRow;
  /** Since when no believed row names the node. */
  unnamedAt: number | undefined;
}

/** Whether a believed row names a node. */
export type IsNamed = (id: NodeId) => boolean;

/**
 * The newest row of a node wins, whoever brings it, so members that exchange theirs come to have the same. A memory names
 * nobody and keeps no name alive: it ends when the believed rows name its node no more, and so at `forgetMs` at the latest.
 */
export class LostRows {
  readonly #memories = new Map<NodeId, Memory>();

  get(id: NodeId): ConnectivityRow | undefined {
    return this.#memories.get(id)?.row;
  }

  /** Remembers a row unless it is no news, or all that are held are of named nodes and there are 1024. */
  keep(row: ConnectivityRow, isNamed: IsNamed): boolean {
    const known = this.#memories.get(row.from);
    if (known === undefined ? !this.#hasRoom(isNamed) : !isNewerRow(row, known.row)) return false;
    this.#memories.set(row.from, { row, unnamedAt: undefined });
    return true;
  }

  forget(id: NodeId): void {
    this.#memories.delete(id);
  }

  /** A row of that node is held elsewhere: a memory that is no newer is needed no more. */
  outdo(row: ConnectivityRow): void {
    const known = this.get(row.from);
    if (known !== undefined && !isNewerRow(known, row)) this.#memories.delete(row.from);
  }

  /** Once a heartbeat: forgets nodes that no believed row has named for that long. */
  tick(now: number, keepMs: number, isNamed: IsNamed): void {
    for (const [id, memory] of this.#memories) {
      if (isNamed(id)) memory.unnamedAt = undefined;
      else if (memory.unnamedAt === undefined) memory.unnamedAt = now;
      else if (now - memory.unnamedAt >= keepMs) this.#memories.delete(id);
    }
  }

  #hasRoom(isNamed: IsNamed): boolean {
    if (this.#memories.size < maxRowNodes) return true;
    for (const id of this.#memories.keys()) if (!isNamed(id)) return this.#memories.delete(id);
    return false;
  }
}

/** The pairs of lost nodes that heard each other when each was last heard of. */
export function lastPairs(lost: ReadonlyMap<NodeId, ConnectivityRow>): (readonly [NodeId, NodeId])[] {
  const heard = new Map<NodeId, Set<NodeId>>();
  for (const [id, { entries }] of lost) {
    const peers = new Set<NodeId>();
    for (const { peer, hears, deaf } of entries) if (hears && !deaf && lost.has(peer)) peers.add(peer);
    heard.set(id, peers);
  }
  const pairs: (readonly [NodeId, NodeId])[] = [];
  for (const [id, peers] of heard) {
    for (const peer of peers) if (id < peer && heard.get(peer)?.has(id) === true) pairs.push([id, peer]);
  }
  return pairs;
}
