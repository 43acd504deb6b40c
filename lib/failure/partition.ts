/** How a mesh is cut, as apps and operators see it. */
import type { NodeId } from '../consensus/consensus.js';
import type { DirectionState } from './rowsGraph.js';

/**
 * How the mesh is, seen from one node:
 *
 * - `healthy`: every link between members works both ways;
 * - `suspected`: something broke a moment ago; what it is will be clear within a few heartbeats;
 * - `partial`: every member reaches every other, some only over others;
 * - `simplex`: the same, and the only bad links work one way;
 * - `complete`: there are members that cannot be reached at all, and this side has the majority;
 * - `isolated`: this node, or its side, has no majority, or it hears nobody;
 * - `healing`: all links work again, since less than three heartbeats.
 *
 * A crashed member looks like one that was cut off: nobody can tell them apart from outside.
 */
export type PartitionState =
  'healthy' | 'suspected' | 'partial' | 'simplex' | 'complete' | 'isolated' | 'healing';

/** One direction of the link between two members. */
export interface PartitionLink {
  readonly from: NodeId;
  readonly to: NodeId;
  /**
   * - `up`: `to` hears `from`;
   * - `down`: it does not;
   * - `pending`: a newcomer's link that has not been tried for long enough to say;
   * - `unknown`: whoever could tell cannot be heard.
   *
   * Where the other direction is `down`, `up` is what `from` was told last: a link that works one way is not kept.
   */
  readonly state: DirectionState;
  /** How long `to` has not heard `from`, on the detector's scale, when `to` last spoke; for `up` alone. */
  readonly phi?: number;
}

/** What one node knows of how its mesh is cut. All lists are sorted by id. */
export interface PartitionView {
  readonly state: PartitionState;
  /**
   * The members by who reaches whom, over others too. The same lists on all members of a component. Those that cannot be
   * reached are taken together as they were linked when last heard of, which is knowledge and no measurement: who crashed
   * together looks like a part of the mesh. While `suspected`, the components before.
   */
  readonly components: readonly (readonly NodeId[])[];
  /** The component of this node, itself included. */
  readonly reachable: readonly NodeId[];
  /** The members outside it. */
  readonly unreachable: readonly NodeId[];
  /** Every direction between two nodes that are known, newcomers included. */
  readonly links: readonly PartitionLink[];
  /** Members that have a working link with every other member. */
  readonly bridges: readonly NodeId[];
  /** Members whose loss would cut their component in two: single points of failure. */
  readonly articulation: readonly NodeId[];
  /** When `state` or `components` last changed: milliseconds of the mesh's monotonic clock, as `performance.now()` gives them. */
  readonly since: number;
}

/** What a partition detector has counted. */
export interface PartitionMetrics {
  readonly state: PartitionState;
  /** Members in this node's component, itself included. */
  readonly reachable: number;
  /** Members outside it. */
  readonly unreachable: number;
  /** How often the state or the components changed. */
  readonly changes: number;
  /** How often each state was entered. */
  readonly entered: Readonly<Record<PartitionState, number>>;
  /** Milliseconds spent in each state. */
  readonly msIn: Readonly<Record<PartitionState, number>>;
}

const marks: Readonly<Record<DirectionState, string>> = { up: '+', down: 'x', pending: '.', unknown: '?' };

/**
 * The links of a view as a table for people: a row a sender, a column a receiver; `+` heard, `x` not heard, `.` pending,
 * `?` unknown.
 *
 * @example
 * ```ts
 * console.log(formatLinks(mesh.partition()));
 * //   a b c
 * // a   + x
 * // b +   +
 * // c x +
 * ```
 */
export function formatLinks(view: Pick<PartitionView, 'links' | 'reachable' | 'unreachable'>): string {
  const ids = new Set([...view.reachable, ...view.unreachable]);
  const cells = new Map<NodeId, Map<NodeId, string>>();
  for (const { from, to, state } of view.links) {
    ids.add(from).add(to);
    let row = cells.get(from);
    if (row === undefined) cells.set(from, (row = new Map<NodeId, string>()));
    row.set(to, marks[state]);
  }
  const sorted = [...ids].sort();
  const head = Math.max(0, ...sorted.map((id) => id.length));
  const lines = [[' '.repeat(head), ...sorted].join(' ')];
  for (const from of sorted) {
    const row = sorted.map((to) => (cells.get(from)?.get(to) ?? ' ').padEnd(to.length));
    lines.push([from.padEnd(head), ...row].join(' ').trimEnd());
  }
  return lines.join('\n');
}
