/** Whose word counts: a link that proved itself says more about its node than any row. @internal */
import type { NodeId } from '../consensus/consensus.js';
import { isNewerRow, maxRowNodes } from './rows.js';
import type { ConnectivityRow, RowVersion } from './rows.js';

/**
 * Largest step of a row's version that is believed at once: a thousand changes a second for more than the hour that an unreachable
 * node is remembered make fewer. A forger that has its node outdo it, once a heartbeat, takes weeks to the largest version.
 */
export const maxVersionStep = 2 ** 24;

export class RowTrust {
  readonly #admits: (id: NodeId) => boolean;
  /** The runs that proved themselves over links which are up. */
  readonly #proven = new Map<NodeId, string>();
  /** Nodes that were linked with this one, newest last. */
  readonly #met = new Set<NodeId>();

  constructor(admits: (id: NodeId) => boolean) {
    this.#admits = admits;
  }

  /** Whether a node could be a member at all. */
  admits(id: NodeId): boolean {
    return this.#admits(id);
  }

  /** Whether a link with that node was up. */
  hasMet(id: NodeId): boolean {
    return this.#met.has(id);
  }

  met(id: NodeId): void {
    this.#met.delete(id);
    this.#met.add(id);
    if (this.#met.size <= 2 * maxRowNodes) return;
    for (const oldest of this.#met) {
      if (this.#proven.has(oldest)) continue;
      this.#met.delete(oldest);
      break;
    }
  }

  forget(id: NodeId): void {
    if (!this.#proven.has(id)) this.#met.delete(id);
  }

  /** A link proved that run, or the last link is gone. Whether that is news. */
  prove(id: NodeId, incarnation: string | undefined): boolean {
    if (this.#proven.get(id) === incarnation) return false;
    if (incarnation === undefined) return this.#proven.delete(id);
    this.#proven.set(id, incarnation);
    this.met(id);
    return true;
  }

  /** Whether what is kept of a node that has just linked can stay: a farewell was made up, or of another link. */
  keeps(row: ConnectivityRow): boolean {
    return this.#agrees(row) && !row.left;
  }

  /** Whether a row that neighbour `by` sent takes the place of the known one. */
  accepts(row: ConnectivityRow, known: RowVersion | undefined, by: NodeId): boolean {
    if (!this.#admits(row.from) || !this.#agrees(row)) return false;
    const itself = by === row.from;
    if (row.left && !itself && this.#proven.has(row.from)) return false;
    if (known?.incarnation !== row.incarnation) return known === undefined || isNewerRow(row, known);
    const step = row.version - known.version;
    // Over its own link a node takes back a version that it could not have reached.
    if (itself && this.#proven.has(row.from)) return step > 0 || step < -maxVersionStep;
    return step > 0 && step <= maxVersionStep;
  }

  /** The same for a row that is remembered only. */
  remembers(row: RowVersion, known: RowVersion | undefined): boolean {
    if (!this.#admits(row.from) || !this.#agrees(row)) return false;
    if (known === undefined) return true;
    const far = row.incarnation === known.incarnation && row.version - known.version > maxVersionStep;
    return isNewerRow(row, known) && !far;
  }

  #agrees({ from, incarnation }: RowVersion): boolean {
    const proven = this.#proven.get(from);
    return proven === undefined || proven === incarnation;
  }
}
