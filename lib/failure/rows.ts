/** Connectivity rows: what each node says of its own links, and nothing else. @internal */
import type { NodeId } from '../consensus/consensus.js';

/** Most nodes that a table holds, and most entries of a row. */
export const maxRowNodes = 1024;
/** Largest version of a row. */
export const maxRowVersion = 2 ** 48;
/** Largest phi that a row carries. */
export const maxRowPhi = 100;

/** What a node says of its link with one peer. */
export interface RowEntry {
  readonly peer: NodeId;
  /** It hears that peer over a direct link; with `deaf`: it did until the peer's last word. */
  readonly hears: boolean;
  /** No link was tried for long enough to say: neither up nor down. */
  readonly pending: boolean;
  /** The peer's last word was that it does not hear this node. No link is left. */
  readonly deaf: boolean;
  /** The detector's phi when the row was made, in steps of 0.1 up to {@link maxRowPhi}. */
  readonly phi: number;
}

/** What names a row: the greater incarnation is newer, then the greater version. */
export interface RowVersion {
  readonly from: NodeId;
  readonly incarnation: string;
  readonly version: number;
}

/** All that a node says of itself. Entries are sorted by peer. Never changed once made. */
export interface ConnectivityRow extends RowVersion {
  /** The node's farewell: it is no member of the mesh any more. */
  readonly left: boolean;
  readonly entries: readonly RowEntry[];
}

/** Whether `a` is newer than `b`; both of one node. */
export function isNewerRow(a: RowVersion, b: RowVersion): boolean {
  return a.incarnation === b.incarnation ? a.version > b.version : a.incarnation > b.incarnation;
}

/** The names of rows. */
export function namesOf(rows: Iterable<ConnectivityRow>): RowVersion[] {
  return Array.from(rows, ({ from, incarnation, version }) => ({ from, incarnation, version }));
}

/** The rows that whoever has those lacks, or has an older one of. */
export function newerThan(
  rows: Iterable<ConnectivityRow>,
  versions: readonly RowVersion[],
): ConnectivityRow[] {
  const theirs = new Map<NodeId, RowVersion>();
  for (const version of versions) theirs.set(version.from, version);
  return [...rows].filter((row) => {
    const known = theirs.get(row.from);
    return known === undefined || isNewerRow(row, known);
  });
}

/** Whether two rows' entries say the same; phi alone is no difference. */
export function sameEntries(a: readonly RowEntry[], b: readonly RowEntry[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((x, i) => {
    const y = b[i]!;
    return x.peer === y.peer && x.hears === y.hears && x.pending === y.pending && x.deaf === y.deaf;
  });
}

/** Whether two rows say the same; phi alone is no difference. */
export function sameRow(a: ConnectivityRow, b: ConnectivityRow): boolean {
  return a.left === b.left && sameEntries(a.entries, b.entries);
}

/** Phi as rows carry it. */
export function quantisePhi(phi: number): number {
  if (!(phi > 0)) return 0;
  return Math.min(Math.round(phi * 10) / 10, maxRowPhi);
}

/** A 52-bit hash of a row's name, well mixed: the digest of a table is the sum of its rows' hashes. */
export function hashRow(row: RowVersion): number {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  const text = `${row.from}\n${row.incarnation}\n${row.version}`;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit, 0x85ebca6b) ^ (b >>> 15);
  }
  return (mix(a) >>> 12) * 2 ** 32 + mix(b);
}

function mix(value: number): number {
  let x = value;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Digests wrap here. */
export const digestModulus = 2 ** 52;
