/** What the links alone say of the mesh, before any waiting. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { ConnectivityGraph } from './rowsGraph.js';

/** A state that needs no memory. */
export type RawState = 'healthy' | 'partial' | 'simplex' | 'complete' | 'isolated';

/** {@link RawState} and the components it is said of. */
export interface RawPartition {
  readonly state: RawState;
  readonly components: readonly (readonly NodeId[])[];
  readonly own: readonly NodeId[];
  /** The two ends of some link tell different stories: the news of one of them is still to come. */
  readonly disputed: boolean;
  /** Equal for equal partitions as measured: how the unreachable were linked when last heard of makes no difference. */
  readonly key: string;
}

/** Voters that this node's groups count on, by group. */
export type ExpectedVoters = ReadonlyMap<string, readonly NodeId[]>;

/** The state of a graph: a function of the believed rows, of this node's component, and of the voters it expects. */
export function classify(graph: ConnectivityGraph, expected: ExpectedVoters): RawPartition {
  const components = graph.components();
  const own = graph.ownComponent();
  const state = stateOf(graph, components.length, own, expected);
  const disputed = graph.disputedPairs > 0;
  // What is only remembered does not wait to settle, nor keep anything else waiting.
  return { state, components, own, disputed, key: partitionKey(state, graph.measuredComponents()) };
}

/** Equal for equal states and components. */
export function partitionKey(state: string, components: RawPartition['components']): string {
  return `${state} ${components.map((ids) => ids.join()).join(' ')}`;
}

function stateOf(
  graph: ConnectivityGraph,
  count: number,
  own: readonly NodeId[],
  expected: ExpectedVoters,
): RawState {
  if (expected.size > 0 && lacksVoters(own, expected)) return 'isolated';
  if (count > 1) {
    const alone = own.length === 1;
    return alone || (expected.size === 0 && own.length * 2 <= members(graph)) ? 'isolated' : 'complete';
  }
  if (graph.cutPairs > 0) return 'partial';
  return graph.oneWayPairs > 0 ? 'simplex' : 'healthy';
}

function members(graph: ConnectivityGraph): number {
  let sum = 0;
  for (const component of graph.components()) sum += component.length;
  return sum;
}

function lacksVoters(own: readonly NodeId[], expected: ExpectedVoters): boolean {
  const reached = new Set(own);
  for (const voters of expected.values()) {
    let found = 0;
    for (const voter of voters) if (reached.has(voter)) found++;
    if (voters.length > 0 && found * 2 <= voters.length) return true;
  }
  return false;
}
