/** The last rows of nodes that cannot be reached: memories, which lead nowhere and are believed by nobody. @internal */
import type { NodeId } from '../consensus/consensus.js';
import { isNewerRow, maxRowNodes } from './rows.js';
import type { ConnectivityRow } from './rows.js';

interface Memory {
  readonly row: ConnectivityRow;
  /** Since when the node is not lost: it is reached again, or no believed row names it. */
  idleAt: number | undefined;
}

/** Whether a believed row names a node of which no row is believed. */
export type IsLost = (id: NodeId) => boolean;

/**
 * The newest row of a node wins, whoever brings it, so members that exchange theirs come to have the same. A memory names
 * nobody and keeps no name alive: it ends when the believed rows name its node no more, which they do for `forgetMs` at most.
 */
export class LostRows {
  readonly #memories = new Map<NodeId, Memory>();

  get(id: NodeId): ConnectivityRow | undefined {
    return this.#memories.get(id)?.row;
  }

  /** Remembers a row unless it is no news, or 1024 of lost nodes are held already. */
  keep(row: ConnectivityRow, isLost: IsLost): boolean {
    const known = this.#memories.get(row.from);
    if (known === undefined ? !this.#hasRoom(isLost) : !isNewerRow(row, known.row)) return false;
    this.#memories.set(row.from, { row, idleAt: undefined });
    return true;
  }

  forget(id: NodeId): void {
    this.#memories.delete(id);
  }

  /** Once a heartbeat: forgets nodes that have not been lost for that long. */
  tick(now: number, keepMs: number, isLost: IsLost): void {
    for (const [id, memory] of this.#memories) {
      if (isLost(id)) memory.idleAt = undefined;
      else if (memory.idleAt === undefined) memory.idleAt = now;
      else if (now - memory.idleAt >= keepMs) this.#memories.delete(id);
    }
  }

  #hasRoom(isLost: IsLost): boolean {
    if (this.#memories.size < maxRowNodes) return true;
    for (const id of this.#memories.keys()) if (!isLost(id)) return this.#memories.delete(id);
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
