/** Nodes that one member alone speaks for: that member may have made them up. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { ConnectivityRow } from './rows.js';

/** Most nodes that are taken in on one member's word and were never linked with this node. */
export const maxHearsay = 64;

/**
 * The nodes to leave out. Every way to them over the word of members leads through one and the same member (it dominates them),
 * this node never met them, and there are more than {@link maxHearsay} of that member's; the smallest ids stay. A true newcomer
 * at the edge of a large mesh links with those first, which then speak for the next.
 *
 * Dominators by Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001), figure 3. A node that has a believed row
 * is spoken for by who hears it, another by who names it, but not by `self`, which names what it was told.
 */
export function hearsayBeyondCap(
  self: NodeId,
  believed: ReadonlyMap<NodeId, ConnectivityRow>,
  hasMet: (id: NodeId) => boolean,
): ReadonlySet<NodeId> {
  const strangers = strangersIn(self, believed, hasMet);
  const out = new Set<NodeId>();
  if (strangers.size <= maxHearsay) return out;
  const speaker = speakersOf(self, believed);
  const taken = new Map<NodeId, number>();
  for (const id of [...strangers].sort()) {
    const by = speaker.get(id);
    if (by === id || by === undefined) continue; // several speak for it, or this node alone, which keeps few such
    const count = (taken.get(by) ?? 0) + 1;
    taken.set(by, count);
    if (count > maxHearsay) out.add(id);
  }
  return out;
}

function strangersIn(
  self: NodeId,
  believed: ReadonlyMap<NodeId, ConnectivityRow>,
  hasMet: (id: NodeId) => boolean,
): Set<NodeId> {
  const strangers = new Set<NodeId>();
  for (const row of believed.values()) {
    if (row.left) continue;
    if (row.from !== self && !hasMet(row.from)) strangers.add(row.from);
    for (const { peer } of row.entries)
      if (peer !== self && !hasMet(peer) && believed.get(peer)?.left !== true) strangers.add(peer);
  }
  return strangers;
}

/** Of each node, the first member after `self` that all ways to it lead through: itself, when there is no other. */
function speakersOf(
  self: NodeId,
  believed: ReadonlyMap<NodeId, ConnectivityRow>,
): ReadonlyMap<NodeId, NodeId> {
  const order = reversePostorder(self, (id) => spokenForBy(self, believed.get(id), believed));
  const indexes = new Map<NodeId, number>();
  for (const [index, id] of order.entries()) indexes.set(id, index);
  const sources = order.map((): number[] => []);
  for (const [index, id] of order.entries())
    for (const next of spokenForBy(self, believed.get(id), believed))
      sources[indexes.get(next)!]!.push(index);
  const dominator = new Int32Array(order.length).fill(-1);
  dominator[0] = 0;
  for (let changed = true; changed;) {
    changed = false;
    for (let node = 1; node < order.length; node++) {
      let best = -1;
      for (const source of sources[node]!) {
        if (dominator[source] === -1) continue;
        best = best === -1 ? source : meet(dominator, best, source);
      }
      changed ||= dominator[node] !== best;
      dominator[node] = best;
    }
  }
  const speakers = new Map<NodeId, NodeId>();
  for (let node = 1; node < order.length; node++) {
    const above = dominator[node]!;
    speakers.set(order[node]!, above === 0 ? order[node]! : speakers.get(order[above]!)!);
  }
  return speakers;
}

function meet(dominator: Int32Array, a: number, b: number): number {
  while (a !== b) {
    if (a > b) a = dominator[a]!;
    else b = dominator[b]!;
  }
  return a;
}

function* spokenForBy(
  self: NodeId,
  row: ConnectivityRow | undefined,
  believed: ReadonlyMap<NodeId, ConnectivityRow>,
): Generator<NodeId> {
  if (row === undefined || row.left) return;
  for (const { peer, hears, deaf } of row.entries) {
    const known = believed.get(peer);
    if (known?.left === true || peer === self) continue;
    if (known === undefined ? row.from !== self : hears && !deaf) yield peer;
  }
}

function reversePostorder(start: NodeId, next: (id: NodeId) => Generator<NodeId>): NodeId[] {
  const seen = new Set([start]);
  const done: NodeId[] = [];
  const path = [{ id: start, rest: next(start) }];
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const step = top.rest.next();
    if (step.done === true) {
      done.push(top.id);
      path.pop();
    } else if (!seen.has(step.value)) {
      seen.add(step.value);
      path.push({ id: step.value, rest: next(step.value) });
    }
  }
  return done.reverse();
}
