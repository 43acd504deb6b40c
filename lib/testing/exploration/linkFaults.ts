/** Faults of links: cuts, partitions, and ways that are bad. */
import type { Random } from '../simulation/random.js';
import { LEADER, type Fault } from './fault.js';

/** A fault of links, with `a` and `b` where it takes two. @internal */
export function linkFaultOf(
  kind: 'cut' | 'flap' | 'one-way cut' | 'partition' | 'one-way partition' | 'clog' | 'reset' | 'bad way',
  random: Random,
  nodes: readonly string[],
  a: string,
  b: string,
  ms: number,
): Fault {
  switch (kind) {
    case 'cut':
      return { kind, a, b, ms };
    case 'flap':
      return { kind, a, b, periodMs: Math.round(random.between(20, 800)), ms: ms * 3 };
    case 'one-way cut':
      return { kind, from: a, to: b, ms };
    case 'partition':
      // Long enough for another leader, mostly: what the old one took in meanwhile has to go.
      return { kind, groups: groupsOf(random, nodes), ms: ms + random.pick([0, 600, 1500]) };
    case 'one-way partition': {
      const [from, to] = halves(random, nodes);
      return { kind, from, to, ms };
    }
    case 'clog':
      return { kind, from: a, to: b, ms };
    case 'reset':
      return random.chance(0.5) ? { kind, a, b } : { kind, a, b, side: a };
    case 'bad way': {
      const shape = {
        latencyMs: random.pick([1, 30, 200]),
        tailMs: random.pick([1, 50]),
        lossRate: random.between(0, 0.4),
        bandwidth: random.pick([20_000, 1_000_000, 100_000_000]),
      };
      const one = random.pick(['control', 'bulk', 'both'] as const);
      return { kind, from: a, to: b, ms, shape: one === 'both' ? shape : { [one]: shape } };
    }
  }
}

/** The leader with a minority, the leader alone, any node alone, uniform sizes, or each node where it falls. */
function groupsOf(random: Random, nodes: readonly string[]): string[][] {
  const mode = random.integer(5);
  if (mode === 0) {
    const some = random.shuffle(nodes).slice(0, (nodes.length - 3) >> 1);
    return [[LEADER, ...some], nodes.filter((id) => !some.includes(id))];
  }
  if (mode <= 2) {
    const alone = mode === 1 ? LEADER : random.pick(nodes);
    return [[alone], nodes.filter((id) => id !== alone)];
  }
  if (mode === 3) return halves(random, nodes);
  const groups: string[][] = [[], [], []];
  for (const id of nodes) groups[random.integer(3)]!.push(id);
  return groups.filter((group) => group.length > 0);
}

function halves(random: Random, nodes: readonly string[]): [string[], string[]] {
  const mixed = random.shuffle(nodes);
  const cut = 1 + random.integer(nodes.length - 1);
  return [mixed.slice(0, cut), mixed.slice(cut)];
}
