/** Faults that are made for the mesh: partitions that leave a way over others, and what comes at the worst time. */
import type { Random } from '../simulation/random.js';

/** Two nodes; in a cut that is one-way, from the first to the second. */
export type Pair = readonly [string, string];

/** Faults that are made for the mesh. */
export type MeshFault =
  | {
      /** Some links are cut, the nodes stay connected over the others. */
      readonly kind: 'partial partition';
      readonly cuts: readonly Pair[];
      /** Cut from the first to the second node alone. */
      readonly oneWay: boolean;
      /** Whoever leads at the moment changes places with this node. */
      readonly leaderAs?: string | undefined;
      readonly ms: number;
    }
  | {
      /** One node stands still again and again. */
      readonly kind: 'pauses';
      readonly node: string;
      readonly pauseMs: number;
      /** From the beginning of one pause to that of the next. */
      readonly everyMs: number;
      readonly ms: number;
    }
  | {
      /** Nobody reaches the rendezvous, while links are reset one after the other. */
      readonly kind: 'rendezvous down';
      readonly resets: readonly Pair[];
      readonly everyMs: number;
      readonly ms: number;
    };

/** How the links that are left look. */
export type Shape = 'leader cut' | 'chain' | 'ring' | 'star' | 'bridge' | 'any';
const shapes: readonly Shape[] = ['leader cut', 'chain', 'ring', 'star', 'bridge', 'any'];

/** A partition that leaves all nodes connected. At least three nodes. */
export function partialPartition(
  random: Random,
  nodes: readonly string[],
  ms: number,
): Extract<MeshFault, { kind: 'partial partition' }> {
  const order = random.shuffle(nodes);
  const cuts = cutsOf(random.pick(shapes), order, random);
  return {
    kind: 'partial partition',
    cuts: cuts.map(([a, b]) => (random.chance(0.5) ? [a, b] : [b, a])),
    oneWay: random.chance(0.2),
    ...(random.chance(0.5) ? { leaderAs: order[0] } : {}),
    ms,
  };
}

/** The links that a shape lacks. */
export function cutsOf(shape: Shape, order: readonly string[], random: Random): Pair[] {
  const left = linksOf(shape, order, random);
  return pairsOf(order).filter(
    ([a, b]) => !left.some(([c, d]) => (a === c && b === d) || (a === d && b === c)),
  );
}

function linksOf(shape: Shape, order: readonly string[], random: Random): Pair[] {
  const [first, ...others] = order as [string, ...string[]];
  const chain = others.map((id, at): Pair => [order[at]!, id]);
  switch (shape) {
    case 'leader cut': // all reach each other but the first, who has one link
      return [...pairsOf(others), [first, others[0]!]];
    case 'chain':
      return chain;
    case 'ring':
      return [...chain, [first, order.at(-1)!]];
    case 'star':
      return others.map((id): Pair => [first, id]);
    case 'bridge': {
      // Two groups that have one node in common, the first.
      const half = 1 + random.integer(Math.max(1, others.length - 1));
      return [...pairsOf([first, ...others.slice(0, half)]), ...pairsOf([first, ...others.slice(half)])];
    }
    case 'any': {
      // Any tree, and some more.
      const tree = others.map((id, at): Pair => [order[random.integer(at + 1)]!, id]);
      return [...tree, ...pairsOf(order).filter(() => random.chance(0.4))];
    }
  }
}

/** Resets of links that are spaced so that each is made again before the next. */
export function rendezvousDown(random: Random, nodes: readonly string[], ms: number): MeshFault {
  const everyMs = Math.round(random.between(1500, 4000));
  const pairs = pairsOf(nodes);
  const resets = Array.from({ length: Math.ceil(ms / everyMs) }, () => random.pick(pairs));
  return { kind: 'rendezvous down', resets, everyMs, ms };
}

/** Pauses of up to two seconds, with as much time between them or less. */
export function pauses(random: Random, node: string, ms: number): MeshFault {
  const pauseMs = Math.round(random.between(150, 2000));
  return { kind: 'pauses', node, pauseMs, everyMs: pauseMs + Math.round(random.between(50, 2500)), ms };
}

export function pairsOf(nodes: readonly string[]): Pair[] {
  return nodes.flatMap((a, at) => nodes.slice(at + 1).map((b): Pair => [a, b]));
}
