/** What a set of rows says, taken together: which rows to believe, who hears whom, ways through the mesh. @internal */
import type { NodeId } from '../consensus/consensus.js';
import { articulationPointsOf, componentsOf, firstHops, hopsFrom } from './graph.js';
import { maxRowNodes } from './rows.js';
import type { ConnectivityRow } from './rows.js';
import { lastPairs } from './rowsLost.js';

/** What is known of the direction from one node to another. `unknown`: nobody who could tell can be heard. */
export type DirectionState = 'up' | 'down' | 'pending' | 'unknown';
/** What is known of a pair: both hear each other, one hears the other, neither does, or it is too early to say. */
export type PairState = 'up' | 'one-way' | 'cut' | 'pending';

// What a row says of a peer.
const nothing = 0;
const hears = 1;
const not = 2;
const pending = 3;
const deaf = 4;

/**
 * The rows that lead to `self`: its own, those of the nodes it hears, of the nodes that those hear, and so on. What another row
 * says cannot be news: its node is dead or cut off. The farewell of a node is believed while a believed row still names it.
 * Whom `admits` does not let in is passed over.
 */
export function believedRows(
  self: NodeId,
  rows: ReadonlyMap<NodeId, ConnectivityRow>,
  admits: (id: NodeId) => boolean = () => true,
): Map<NodeId, ConnectivityRow> {
  const believed = new Map<NodeId, ConnectivityRow>();
  const own = rows.get(self);
  if (own === undefined) return believed;
  believed.set(self, own);
  const farewells = new Map<NodeId, ConnectivityRow>();
  // A map grows while it is walked.
  for (const row of believed.values()) {
    for (const entry of row.entries) {
      const next = rows.get(entry.peer);
      if (next === undefined || !admits(entry.peer)) continue;
      if (next.left) farewells.set(entry.peer, next);
      else if (entry.hears && !entry.deaf) believed.set(entry.peer, next);
    }
  }
  for (const [id, row] of farewells) if (id !== self) believed.set(id, row);
  return believed;
}

/**
 * A snapshot of the believed rows. Every query is a function of those rows and of `self`, and every order is by node id, so two
 * members of one component with the same rows give the same answers. Lost rows count in `components` alone.
 */
export class ConnectivityGraph {
  readonly self: NodeId;
  /** The believed rows. */
  readonly rows: ReadonlyMap<NodeId, ConnectivityRow>;
  /** Every node that the rows know and that has not left, sorted. */
  readonly ids: readonly NodeId[];
  /** The last rows of nodes in `ids` of which no row is believed. */
  readonly lost: ReadonlyMap<NodeId, ConnectivityRow>;
  /** Pairs of settled nodes that are cut, and that work one way only. */
  readonly cutPairs: number;
  readonly oneWayPairs: number;
  /** One-way pairs of which the end that is not heard does not know so yet: it will, or it is gone itself. */
  readonly disputedPairs: number;
  readonly #indexes = new Map<NodeId, number>();
  readonly #says: Uint8Array;
  readonly #adjacency: number[][];
  readonly #settled: Uint8Array;
  readonly #me: number;
  readonly #around = new Map<number, number>();
  readonly #ways = new Map<number, Int32Array>();
  #first: Int32Array | undefined;
  #measured: NodeId[][] | undefined;
  #components: NodeId[][] | undefined;

  constructor(
    self: NodeId,
    believed: ReadonlyMap<NodeId, ConnectivityRow>,
    lastRow: (id: NodeId) => ConnectivityRow | undefined,
    counts: (id: NodeId) => boolean = () => true,
  ) {
    this.self = self;
    this.rows = believed;
    this.ids = knownNodes(self, believed, counts);
    const size = this.ids.length;
    for (const [index, id] of this.ids.entries()) this.#indexes.set(id, index);
    this.#me = this.#indexes.get(self)!;
    const lost = new Map<NodeId, ConnectivityRow>();
    for (const id of this.ids) {
      const last = believed.has(id) ? undefined : lastRow(id);
      if (last !== undefined) lost.set(id, last);
    }
    this.lost = lost;
    this.#says = new Uint8Array(size * size);
    for (const row of believed.values()) this.#read(row);
    this.#adjacency = Array.from({ length: size }, () => []);
    const bad = new Uint8Array(size);
    const undecided = new Uint8Array(size);
    this.#walkPairs((a, b, state) => {
      if (state === 'up') {
        this.#adjacency[a]!.push(b);
        this.#adjacency[b]!.push(a);
      } else if (state !== 'pending') {
        bad[a] = bad[b] = 1;
      } else {
        // Someone hears it, and its own word is on the way.
        if (this.#direction(a, b) === 'up') undecided[a] = 1;
        if (this.#direction(b, a) === 'up') undecided[b] = 1;
      }
    });
    this.#settled = new Uint8Array(size);
    for (let node = 0; node < size; node++) {
      const linked = this.#adjacency[node]!.length > 0;
      if (linked || node === this.#me || (bad[node] === 1 && undecided[node] === 0)) this.#settled[node] = 1;
    }
    let cutPairs = 0;
    let oneWayPairs = 0;
    let disputedPairs = 0;
    this.#walkPairs((a, b, state) => {
      if (state === 'up' || this.#settled[a] === 0 || this.#settled[b] === 0) return;
      if (state === 'cut') cutPairs++;
      else if (state === 'one-way') {
        oneWayPairs++;
        if (this.#says[a * size + b] !== deaf && this.#says[b * size + a] !== deaf) disputedPairs++;
      }
    });
    this.cutPairs = cutPairs;
    this.oneWayPairs = oneWayPairs;
    this.disputedPairs = disputedPairs;
  }

  /** Whether a node is known and no newcomer: it has a link both ways, or had its chance and has none. */
  settled(id: NodeId): boolean {
    const node = this.#indexes.get(id);
    return node !== undefined && this.#settled[node] === 1;
  }

  /** The direction `from` → `to`: up when `to` hears `from`. */
  direction(from: NodeId, to: NodeId): DirectionState {
    const a = this.#indexes.get(from);
    const b = this.#indexes.get(to);
    return a === undefined || b === undefined ? 'unknown' : this.#direction(a, b);
  }

  /** The pair of two nodes. */
  pair(a: NodeId, b: NodeId): PairState {
    const i = this.#indexes.get(a);
    const j = this.#indexes.get(b);
    return i === undefined || j === undefined ? 'pending' : this.#pair(i, j);
  }

  /** The settled nodes by who reaches whom over links that work both ways: each sorted, in the order of their first node. */
  measuredComponents(): NodeId[][] {
    return (this.#measured ??= this.#componentsOf(this.#adjacency));
  }

  /** The same, with the unreachable taken together as they were when last heard of. */
  components(): NodeId[][] {
    return (this.#components ??= this.#withLost());
  }

  /** The component of `self`. */
  ownComponent(): NodeId[] {
    return this.measuredComponents().find((component) => component.includes(this.self)) ?? [this.self];
  }

  /** Nodes with a link both ways to every other settled node. */
  bridges(): NodeId[] {
    let settled = 0;
    for (const flag of this.#settled) settled += flag;
    const nodes: number[] = [];
    for (const [node, links] of this.#adjacency.entries()) {
      if (this.#settled[node] === 1 && links.length === settled - 1) nodes.push(node);
    }
    return this.#names(nodes);
  }

  /** Nodes whose loss would cut their component in two. */
  articulationPoints(): NodeId[] {
    return this.#names(articulationPointsOf(this.#adjacency));
  }

  /** The nodes that a node has a link both ways with. */
  neighbours(id: NodeId): NodeId[] {
    const node = this.#indexes.get(id);
    return node === undefined ? [] : this.#names(this.#adjacency[node]!);
  }

  /** The pairs of settled nodes that work one way only: `to` hears `from`, and `from` does not hear `to`. */
  oneWay(): { readonly from: NodeId; readonly to: NodeId }[] {
    const found: { from: NodeId; to: NodeId }[] = [];
    this.#walkPairs((a, b, state) => {
      if (state !== 'one-way' || this.#settled[a] === 0 || this.#settled[b] === 0) return;
      const [from, to] = this.#direction(a, b) === 'up' ? [a, b] : [b, a];
      found.push({ from: this.ids[from]!, to: this.ids[to]! });
    });
    return found;
  }

  /** The first hop of a shortest way to a node (the node itself when linked); the smallest of several. */
  nextHop(to: NodeId): NodeId | undefined {
    const node = this.#indexes.get(to);
    if (node === undefined || node === this.#me) return undefined;
    this.#first ??= firstHops(this.#adjacency, this.#me);
    return this.ids[this.#first[node]!];
  }

  /** The best first hop to a node other than the node itself, on a way that does not come back here. */
  hopAround(to: NodeId): NodeId | undefined {
    const node = this.#indexes.get(to);
    if (node === undefined || node === this.#me) return undefined;
    const known = this.#around.get(node);
    if (known !== undefined) return this.ids[known];
    const hops = this.#waysTo(node);
    let best = -1;
    for (const next of this.#adjacency[this.#me]!) {
      if (next === node || hops[next] === -1) continue;
      if (best === -1 || hops[next]! < hops[best]!) best = next;
    }
    this.#around.set(node, best);
    return this.ids[best];
  }

  /** Up to `count` nodes linked with `self` that say they hear `peer`: those that it hears too come first. */
  helpers(peer: NodeId, count: number): NodeId[] {
    const node = this.#indexes.get(peer);
    if (node === undefined) return [];
    const both: number[] = [];
    const one: number[] = [];
    for (const next of this.#adjacency[this.#me]!) {
      if (next === node) continue;
      if (this.#pair(next, node) === 'up') both.push(next);
      else if (this.#direction(node, next) === 'up') one.push(next);
    }
    return this.#names([...both, ...one].slice(0, Math.max(0, count)));
  }

  #componentsOf(adjacency: readonly (readonly number[])[]): NodeId[][] {
    const found = componentsOf(adjacency, (node) => this.#settled[node] === 1);
    return found.map((nodes) => this.#names(nodes));
  }

  #withLost(): NodeId[][] {
    const pairs = lastPairs(this.lost);
    if (pairs.length === 0) return this.measuredComponents();
    const adjacency = this.#adjacency.slice();
    // A lost node has no links of its own.
    for (const id of this.lost.keys()) adjacency[this.#indexes.get(id)!] = [];
    for (const [a, b] of pairs) {
      const i = this.#indexes.get(a)!;
      const j = this.#indexes.get(b)!;
      if (this.#settled[i] === 0 || this.#settled[j] === 0) continue;
      adjacency[i]!.push(j);
      adjacency[j]!.push(i);
    }
    return this.#componentsOf(adjacency);
  }

  /** Hops to a node on ways that do not lead through `self`. */
  #waysTo(node: number): Int32Array {
    let hops = this.#ways.get(node);
    if (hops === undefined) this.#ways.set(node, (hops = hopsFrom(this.#adjacency, node, this.#me)));
    return hops;
  }

  #read(row: ConnectivityRow): void {
    const from = this.#indexes.get(row.from);
    if (from === undefined || row.left) return;
    const { ids } = this;
    // Both are sorted, so one walk finds all.
    let peer = 0;
    for (const entry of row.entries) {
      while (peer < ids.length && ids[peer]! < entry.peer) peer++;
      if (ids[peer] !== entry.peer || peer === from) continue;
      const says = entry.deaf ? deaf : entry.hears ? hears : entry.pending ? pending : not;
      this.#says[from * ids.length + peer] = says;
    }
  }

  #direction(from: number, to: number): DirectionState {
    const size = this.ids.length;
    // The last word of `to` itself, which may be newer than its row.
    if (this.#says[from * size + to] === deaf) return 'down';
    const says = this.#says[to * size + from];
    if (says === hears || says === deaf) return 'up';
    return says === not ? 'down' : says === pending ? 'pending' : 'unknown';
  }

  #pair(a: number, b: number): PairState {
    const there = this.#direction(a, b);
    const back = this.#direction(b, a);
    if (there === 'pending' || back === 'pending') return 'pending';
    if (there === 'up') return back === 'up' ? 'up' : back === 'down' ? 'one-way' : 'pending';
    if (there === 'down') return back === 'up' ? 'one-way' : 'cut';
    return back === 'down' ? 'cut' : 'pending';
  }

  /** Pairs of which nobody says anything are left out. */
  #walkPairs(visit: (a: number, b: number, state: PairState) => void): void {
    const size = this.ids.length;
    for (let a = 0; a < size; a++) {
      for (let b = a + 1; b < size; b++) {
        const one = this.#says[a * size + b];
        const other = this.#says[b * size + a];
        if (one === nothing && other === nothing) continue;
        visit(a, b, one === hears && other === hears ? 'up' : this.#pair(a, b));
      }
    }
  }

  #names(nodes: readonly number[]): NodeId[] {
    return nodes.map((node) => this.ids[node]!);
  }
}

/** The nodes that count at all; beyond the cap those without a believed row of their own are left out, the greatest first. */
function knownNodes(
  self: NodeId,
  believed: ReadonlyMap<NodeId, ConnectivityRow>,
  counts: (id: NodeId) => boolean,
): NodeId[] {
  const speaking = new Set([self]);
  const named = new Set<NodeId>();
  for (const row of believed.values()) {
    if (row.left) continue;
    speaking.add(row.from);
    for (const { peer } of row.entries)
      if (believed.get(peer)?.left !== true && counts(peer)) named.add(peer);
  }
  let ids = [...speaking, ...[...named].filter((id) => !speaking.has(id)).sort()];
  if (ids.length > maxRowNodes) ids = ids.slice(0, Math.max(maxRowNodes, speaking.size));
  return ids.sort();
}
