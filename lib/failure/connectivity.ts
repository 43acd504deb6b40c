/** The connectivity table of one node: its own row, and the rows that others sent. @internal */
import type { NodeId } from '../consensus/consensus.js';
import { checkNumber } from '../errors.js';
import { TokenBucket } from '../tokenBucket.js';
import { LinkFacts } from './linkFacts.js';
import type { LinkFact } from './linkFacts.js';
import {
  digestModulus,
  hashRow,
  isNewerRow,
  maxRowNodes,
  maxRowVersion,
  namesOf,
  newerThan,
  sameEntries,
  sameRow,
} from './rows.js';
import type { ConnectivityRow, RowVersion } from './rows.js';
import { ConnectivityGraph, believedRows } from './rowsGraph.js';
import { hearsayBeyondCap } from './rowsHearsay.js';
import { LostRows } from './rowsLost.js';
import { RowTrust, maxVersionStep } from './rowsTrust.js';

/** What {@link Connectivity} is made with. */
export interface ConnectivityOptions {
  readonly id: NodeId;
  /** This run of the node. */
  readonly incarnation: string;
  /** How often members send heartbeats, in milliseconds. */
  readonly heartbeatMs: number;
  /** How long a link to a member may stay undecided, in milliseconds. @defaultValue 10000 */
  readonly pendingMs?: number;
  /** How long a member's last word that it does not hear this node is kept, in milliseconds. @defaultValue 60000 */
  readonly evidenceMs?: number;
  /** How long an unreachable member is remembered, in milliseconds. @defaultValue 3600000 */
  readonly forgetMs?: number;
  /** Whether a node with that id could be a member. What is said of, or by, others is ignored. @defaultValue everybody */
  readonly admits?: (id: NodeId) => boolean;
}

interface Kept {
  readonly row: ConnectivityRow;
  readonly hash: number;
  /** Since when nobody believable hears the node. */
  lostAt: number | undefined;
}

const goneRowHeartbeats = 3;
const farewellMs = 60_000;
/** Rows in this node's name that it outdoes at once; then one a heartbeat. */
const refutations = 16;

/**
 * Who hears whom. Pure: times are handed in (milliseconds of one monotonic clock), and nothing is sent. Answers come from the
 * rows believed at the moment, through one graph that is made anew only after a change.
 */
export class Connectivity {
  readonly id: NodeId;
  readonly incarnation: string;
  readonly heartbeatMs: number;
  readonly #facts: LinkFacts;
  #expected: ReadonlySet<NodeId> = new Set();
  readonly #kept = new Map<NodeId, Kept>();
  readonly #rows = new Map<NodeId, ConnectivityRow>();
  readonly #lost = new LostRows();
  readonly #trust: RowTrust;
  readonly #refutations: TokenBucket;
  #own: ConnectivityRow;
  #ownDirty = false;
  #left = false;
  #changes = 0;
  #believed: ReadonlyMap<NodeId, ConnectivityRow> | undefined;
  #graph: ConnectivityGraph | undefined;
  /** Nodes whose rows can make room, as of the last look since the last heartbeat. */
  #spare: NodeId[] | undefined;
  #digest: number | undefined;

  constructor(options: ConnectivityOptions) {
    this.id = options.id;
    this.incarnation = options.incarnation;
    this.heartbeatMs = checkNumber('heartbeatMs', options.heartbeatMs, 1, 600_000, false);
    const spans = {
      pendingMs: checkNumber('pendingMs', options.pendingMs ?? 10_000, 0, 86_400_000, false),
      evidenceMs: checkNumber('evidenceMs', options.evidenceMs ?? 60_000, 0, 86_400_000, false),
      forgetMs: checkNumber('forgetMs', options.forgetMs ?? 3_600_000, 1, 2 ** 40, false),
    };
    this.#facts = new LinkFacts(spans, {
      hasLeft: (peer) => this.#rows.get(peer)?.left === true,
      changed: () => (this.#ownDirty = true),
      removed: (peer) => this.#trust.forget(peer),
    });
    this.#trust = new RowTrust(options.admits ?? (() => true));
    this.#refutations = new TokenBucket(1000 / this.heartbeatMs, refutations, 0);
    this.#own = { from: this.id, incarnation: this.incarnation, version: 1, left: false, entries: [] };
    this.#keep(this.#own);
  }

  /** Grows with every change that can change an answer. */
  get changes(): number {
    this.own();
    return this.#changes;
  }

  /**
   * Says how the link with a peer is. Cheap when nothing changed: phi alone changes no row. A new link, or a lost one, ends what
   * {@link Connectivity.deaf} said.
   */
  set(peer: NodeId, fact: LinkFact, now: number): void {
    if (peer === this.id || this.#left) return;
    if (fact.hears) this.#trust.met(peer);
    this.#facts.set(peer, fact, now);
  }

  /**
   * The last word of a peer that threw the link away: it does not hear this node, though it was heard saying so. Kept until a
   * new link comes up, the peer starts anew or leaves, or `evidenceMs` have gone by.
   */
  deaf(peer: NodeId, now: number): void {
    if (peer === this.id || this.#left || this.#rows.get(peer)?.left === true) return;
    this.#facts.deaf(peer, now);
  }

  /**
   * A link with a peer, direct or relayed, is up and proved which run of it is there; `undefined`: none is up any more. As long as
   * it is, rows of that peer's other runs are refused, whatever they say, and its farewell counts over its own link alone.
   */
  proven(peer: NodeId, incarnation: string | undefined): void {
    if (peer === this.id || !this.#trust.prove(peer, incarnation) || incarnation === undefined) return;
    this.#changed();
    const row = this.#rows.get(peer);
    if (row !== undefined && !this.#trust.keeps(row)) this.#drop(peer);
    const lost = this.#lost.get(peer);
    if (lost !== undefined && !this.#trust.keeps(lost)) this.#lost.forget(peer);
  }

  /** The rules of who could be a member have changed. */
  review(): void {
    for (const id of [...this.#kept.keys()]) {
      if (id === this.id || this.#trust.admits(id)) continue;
      this.#drop(id);
      this.#lost.forget(id);
    }
    this.#facts.review((peer) => this.#trust.admits(peer));
    this.#changed();
  }

  /** Takes a peer out of this node's own row: it is no member any more. Others may still name it. */
  remove(peer: NodeId): void {
    this.#facts.remove(peer);
  }

  /** Removes a peer and what it said. */
  forget(peer: NodeId): void {
    this.remove(peer);
    if (peer === this.id) return;
    this.#lost.forget(peer);
    this.#drop(peer);
    this.#changed();
  }

  /** Makes this node's farewell: the last row, to be flooded before the links are closed. */
  leave(): ConnectivityRow {
    this.#left = true;
    this.#facts.clear();
    return this.own();
  }

  /** This node's row as it is to be sent. A new version is made when its content has changed since the last call. */
  own(): ConnectivityRow {
    if (!this.#ownDirty) return this.#own;
    this.#ownDirty = false;
    const entries = this.#facts.entries();
    if (this.#own.left !== this.#left || !sameEntries(entries, this.#own.entries)) {
      const { from, incarnation, version } = this.#own;
      const next = Math.min(version + 1, maxRowVersion);
      this.#own = { from, incarnation, version: next, left: this.#left, entries };
      this.#keep(this.#own);
    }
    return this.#own;
  }

  /** Takes a row that another node made, and that a neighbour sent. Whether it was news, to be passed on. */
  merge(row: ConnectivityRow, now: number, by: NodeId = row.from): boolean {
    if (row.from === this.id) {
      if (row !== this.#own && !(row.version === this.own().version && sameRow(row, this.#own)))
        this.outdo(row, now);
      return false;
    }
    const known = this.#rows.get(row.from);
    if (!this.#trust.accepts(row, known, by)) return false;
    if (known === undefined && this.#rows.size >= maxRowNodes && !this.#makeRoom()) return false;
    this.#keep(row);
    if (row.left) {
      this.#kept.get(row.from)!.lostAt = now;
      this.#facts.left(row.from);
    } else if (known !== undefined && known.incarnation !== row.incarnation) {
      this.#facts.restarted(row.from, now);
    }
    if (row.left || known?.left === true) this.#ownDirty = true;
    return true;
  }

  /**
   * Takes the last row of a node that a neighbour cannot reach. It is never believed: only its node, or who reaches it, can
   * bring the node back. Whether it was news, to be passed on.
   */
  mergeLost(row: ConnectivityRow): boolean {
    const known = this.#last(row.from);
    if (row.from === this.id || row.left || !this.#trust.remembers(row, known)) return false;
    return this.#remember(row);
  }

  /** Nodes that are known to be members although nobody may hear them: the voters of this node's groups. */
  expect(members: ReadonlySet<NodeId>): void {
    this.#expected = members;
  }

  /**
   * Once a heartbeat: lets old things go. Members (others hear them, or they are expected) that this node was never linked with
   * are entered as pending, and as not heard after `pendingMs`.
   */
  tick(now: number): void {
    this.#spare = undefined;
    const { rows: believed } = this.graph();
    for (const [id, row] of believed) if (id !== this.id && !row.left) this.#facts.expect(id, now);
    for (const id of this.#expected) if (id !== this.id) this.#facts.expect(id, now);
    this.#facts.tick(now, (peer) => believed.has(peer) || this.#expected.has(peer));
    this.#facts.forgetHearsay((peer) => this.#trust.hasMet(peer) || believed.has(peer));
    const all = this.#beliefs();
    for (const [id, kept] of this.#kept) {
      if (all.has(id)) kept.lostAt = undefined;
      else if (kept.lostAt === undefined) kept.lostAt = now;
      else if (now - kept.lostAt >= (kept.row.left ? farewellMs : goneRowHeartbeats * this.heartbeatMs))
        this.#lose(kept.row);
    }
    this.#lost.tick(now, goneRowHeartbeats * this.heartbeatMs, (id) => this.graph().lost.has(id));
  }

  /** The graph of the rows believed now; the same object until something changes. */
  graph(): ConnectivityGraph {
    const believed = this.#beliefs();
    if (this.#graph !== undefined) return this.#graph;
    const hearsay = hearsayBeyondCap(this.id, believed, (id) => this.#trust.hasMet(id));
    const counts = (id: NodeId): boolean => id === this.id || (!hearsay.has(id) && this.#trust.admits(id));
    const rows = new Map([...believed].filter(([id]) => counts(id)));
    return (this.#graph = new ConnectivityGraph(this.id, rows, (id) => this.#last(id), counts));
  }

  /** The rows believed now, this node's own among them; without those that one member alone speaks for, beyond 64. */
  rows(): ConnectivityRow[] {
    return [...this.graph().rows.values()];
  }

  /** A number below 2^52 that is the same for tables whose believed and lost rows are the same, and very likely for no others. */
  digest(): number {
    const { lost } = this.graph();
    const rows = this.#beliefs();
    if (this.#digest === undefined) {
      let sum = 0;
      for (const id of rows.keys()) sum = (sum + this.#kept.get(id)!.hash) % digestModulus;
      // Taken away, so that a row that one believes and the other lost makes a difference.
      for (const row of lost.values()) sum = (sum + digestModulus - hashRow(row)) % digestModulus;
      this.#digest = sum;
    }
    return this.#digest;
  }

  /** The names of the rows believed now. */
  versions(): RowVersion[] {
    return namesOf(this.#beliefs().values());
  }

  /** The names of the last rows of those that cannot be reached. */
  lostVersions(): RowVersion[] {
    return namesOf(this.graph().lost.values());
  }

  /** The believed rows that whoever sent those names lacks, or has an older one of. */
  missing(versions: readonly RowVersion[]): ConnectivityRow[] {
    return newerThan(this.#beliefs().values(), versions);
  }

  /** The lost rows that whoever sent those names, of believed and of lost rows, lacks or has an older one of. */
  missingLost(versions: readonly RowVersion[], lostVersions: readonly RowVersion[]): ConnectivityRow[] {
    return newerThan(newerThan(this.graph().lost.values(), versions), lostVersions);
  }

  /**
   * Only this node makes its rows: one that it did not make, or no more remembers, is outdone by a newer one. What is too far ahead
   * is left alone: a row as far ahead would not be believed, but over this node's own links.
   */
  outdo(row: RowVersion, now: number): void {
    const own = this.own();
    if (row.incarnation !== own.incarnation || row.version < own.version) return;
    if (row.version >= Math.min(maxRowVersion, own.version + maxVersionStep)) return;
    if (!this.#refutations.allows(now)) return;
    this.#own = { ...own, version: row.version + 1 };
    this.#keep(this.#own);
  }

  /** Members that are known and not out of the question, sorted: this node, and whoever rows name. */
  nodes(): readonly NodeId[] {
    return this.graph().ids;
  }

  /** This node's own newest phi of a peer, which rows do not carry at once; `undefined` for a peer that it does not hear. */
  phi(peer: NodeId): number | undefined {
    return this.#facts.phi(peer);
  }

  /** See {@link ConnectivityGraph.nextHop}. Cached until the table changes, like all ways. */
  nextHop(to: NodeId): NodeId | undefined {
    return this.graph().nextHop(to);
  }

  /** See {@link ConnectivityGraph.hopAround}. */
  hopAround(to: NodeId): NodeId | undefined {
    return this.graph().hopAround(to);
  }

  /** See {@link ConnectivityGraph.helpers}. */
  helpers(peer: NodeId, count: number): NodeId[] {
    return this.graph().helpers(peer, count);
  }

  /** All rows that lead here. */
  #beliefs(): ReadonlyMap<NodeId, ConnectivityRow> {
    this.own();
    this.#believed ??= believedRows(this.id, this.#rows, (id) => this.#trust.admits(id));
    return this.#believed;
  }

  #keep(row: ConnectivityRow): void {
    this.#rows.set(row.from, row);
    this.#kept.set(row.from, { row, hash: hashRow(row), lostAt: undefined });
    this.#changed();
  }

  #drop(id: NodeId): void {
    this.#rows.delete(id);
    if (!this.#kept.delete(id)) return;
    this.#ownDirty = true;
    this.#changed();
  }

  /** Nobody has vouched for that row for too long: it is a memory from now on. */
  #lose(row: ConnectivityRow): void {
    this.#drop(row.from);
    if (!row.left) this.#remember(row);
  }

  #remember(row: ConnectivityRow): boolean {
    const news = this.#lost.keep(row, (id) => this.graph().lost.has(id));
    if (news) this.#changed();
    return news;
  }

  /** The newest row of a node, believed or not. */
  #last(id: NodeId): ConnectivityRow | undefined {
    const row = this.#rows.get(id);
    const lost = this.#lost.get(id);
    return row === undefined || (lost !== undefined && isNewerRow(lost, row)) ? lost : row;
  }

  #makeRoom(): boolean {
    const believed = this.#spare === undefined ? this.#beliefs() : undefined;
    this.#spare ??= [...this.#rows.keys()].filter((id) => believed?.has(id) === false).reverse();
    const id = this.#spare.pop();
    const row = id === undefined ? undefined : this.#rows.get(id);
    if (row === undefined) return false;
    this.#lose(row);
    return true;
  }

  #changed(): void {
    this.#changes++;
    this.#believed = undefined;
    this.#graph = undefined;
    this.#digest = undefined;
  }
}
