/**
 * The partial partitions of Ng, Haridi and Carbone, "Omni-Paxos" (EuroSys 2023), §2 and table 1, as they are built there. All links are
 * two-way, and all are there in the beginning. Members are named by their part, as in the paper.
 */

/** One partial partition. */
export interface Scenario {
  readonly name: string;
  readonly parts: readonly string[];
  /** Who leads when it begins. */
  readonly leader: string;
  /** Links that are cut some seconds before the rest. */
  readonly before: readonly string[];
  /** The links that are left in the end. */
  readonly left: readonly string[];
}

export const scenarios: readonly Scenario[] = [
  {
    // A alone reaches a quorum, and it still hears the leader.
    name: 'quorum-loss',
    parts: ['A', 'B', 'C', 'D', 'E'],
    leader: 'C',
    before: [],
    left: ['AB', 'AC', 'AD', 'AE'],
  },
  {
    // A alone reaches a quorum, the leader is cut off from all, and A's log is behind those of the others.
    name: 'constrained',
    parts: ['A', 'B', 'C', 'D', 'E'],
    leader: 'C',
    before: ['AC'],
    left: ['AB', 'AD', 'AE'],
  },
  {
    // The ends do not hear each other, one of them leads, and both reach a quorum.
    name: 'chained',
    parts: ['A', 'B', 'C'],
    leader: 'B',
    before: [],
    left: ['AB', 'AC'],
  },
];

/** Every link of a scenario that falls in the end. */
export function fallen({ parts, left }: Scenario): (readonly [string, string])[] {
  const pairs = parts.flatMap((a, at) => parts.slice(at + 1).map((b) => [a, b] as const));
  return pairs.filter(([a, b]) => !left.includes(a + b));
}
