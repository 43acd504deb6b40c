/** Walks over an undirected graph of numbered nodes. Neighbours are in ascending order, so every answer is the same everywhere. @internal */

/** For each node its neighbours, ascending. */
export type Adjacency = readonly (readonly number[])[];

/** The connected components of the nodes that `counts`: each ascending, in the order of their smallest node. */
export function componentsOf(adjacency: Adjacency, counts: (node: number) => boolean): number[][] {
  const seen = new Uint8Array(adjacency.length);
  const components: number[][] = [];
  for (let start = 0; start < adjacency.length; start++) {
    if (seen[start] === 1 || !counts(start)) continue;
    const component = [start];
    seen[start] = 1;
    for (let at = 0; at < component.length; at++) {
      for (const next of adjacency[component[at]!]!) {
        if (seen[next] === 1) continue;
        seen[next] = 1;
        component.push(next);
      }
    }
    components.push(component.sort((a, b) => a - b));
  }
  return components;
}

/** Hops from `start` to each node, -1 where no way leads. `without` is walked neither through nor to. */
export function hopsFrom(adjacency: Adjacency, start: number, without = -1): Int32Array {
  const hops = new Int32Array(adjacency.length).fill(-1);
  const queue = [start];
  hops[start] = 0;
  for (let at = 0; at < queue.length; at++) {
    const node = queue[at]!;
    for (const next of adjacency[node]!) {
      if (hops[next] !== -1 || next === without) continue;
      hops[next] = hops[node]! + 1;
      queue.push(next);
    }
  }
  return hops;
}

/** For each node the first hop of a shortest way from `start`: the smallest of the nodes that begin one; -1 where no way leads. */
export function firstHops(adjacency: Adjacency, start: number): Int32Array {
  const first = new Int32Array(adjacency.length).fill(-1);
  const queue = [start];
  first[start] = start;
  // First hops enter the queue in ascending order, so whoever comes first to a node brings the smallest one.
  for (let at = 0; at < queue.length; at++) {
    const node = queue[at]!;
    for (const next of adjacency[node]!) {
      if (first[next] !== -1) continue;
      first[next] = node === start ? next : first[node]!;
      queue.push(next);
    }
  }
  return first;
}

/** Nodes whose loss would cut a component in two, ascending. R. Tarjan, "Depth-first search", 1972; without recursion. */
export function articulationPointsOf(adjacency: Adjacency): number[] {
  const size = adjacency.length;
  const order = new Int32Array(size).fill(-1);
  const low = new Int32Array(size);
  const parent = new Int32Array(size).fill(-1);
  const nextChild = new Int32Array(size);
  const cuts = new Uint8Array(size);
  let clock = 0;
  for (let root = 0; root < size; root++) {
    if (order[root] !== -1) continue;
    let rootChildren = 0;
    const stack = [root];
    order[root] = low[root] = clock++;
    while (stack.length > 0) {
      const node = stack.at(-1)!;
      const next = adjacency[node]![nextChild[node]!++];
      if (next === undefined) {
        stack.pop();
        const above = parent[node]!;
        if (above === -1) continue;
        low[above] = Math.min(low[above]!, low[node]!);
        if (above === root) rootChildren++;
        else if (low[node]! >= order[above]!) cuts[above] = 1;
      } else if (order[next] === -1) {
        parent[next] = node;
        order[next] = low[next] = clock++;
        stack.push(next);
      } else if (next !== parent[node]) {
        low[node] = Math.min(low[node]!, order[next]!);
      }
    }
    if (rootChildren > 1) cuts[root] = 1;
  }
  const points: number[] = [];
  for (let node = 0; node < size; node++) if (cuts[node] === 1) points.push(node);
  return points;
}
