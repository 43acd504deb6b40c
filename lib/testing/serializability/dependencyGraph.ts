/** Graphs of transactions that depend on each other, and their cycles. @internal */

/**
 * Why one transaction comes before another: it wrote the version before (`ww`), it wrote what the other read (`wr`), it read what the
 * other overwrote (`rw`), it was over before the other began (`rt`).
 */
export type Dependency = 'ww' | 'wr' | 'rw' | 'rt';

/** An edge, with what it is about. */
export interface Edge {
  readonly to: number;
  readonly type: Dependency;
  readonly key: string;
}

export class DependencyGraph {
  readonly #edges: Edge[][];

  constructor(size: number) {
    this.#edges = Array.from({ length: size }, () => []);
  }

  add(from: number, to: number, type: Dependency, key: string): void {
    if (from !== to) this.#edges[from]!.push({ to, type, key });
  }

  /** The sets of more than one in which each can be reached from each (Tarjan 1972), without recursion. */
  components(): number[][] {
    const size = this.#edges.length;
    const order = new Array<number>(size).fill(-1);
    const low = new Array<number>(size).fill(0);
    const onStack = new Array<boolean>(size).fill(false);
    const stack: number[] = [];
    const found: number[][] = [];
    let counter = 0;
    for (let root = 0; root < size; root++) {
      if (order[root] !== -1) continue;
      const work = [{ node: root, edge: 0 }];
      while (work.length > 0) {
        const frame = work[work.length - 1]!;
        const { node } = frame;
        if (frame.edge === 0) {
          order[node] = low[node] = counter++;
          stack.push(node);
          onStack[node] = true;
        }
        const edge = this.#edges[node]![frame.edge++];
        if (edge !== undefined) {
          if (order[edge.to] === -1) work.push({ node: edge.to, edge: 0 });
          else if (onStack[edge.to]) low[node] = Math.min(low[node]!, order[edge.to]!);
          continue;
        }
        work.pop();
        const parent = work[work.length - 1];
        if (parent) low[parent.node] = Math.min(low[parent.node]!, low[node]!);
        if (low[node] !== order[node]) continue;
        const component = stack.splice(stack.lastIndexOf(node));
        for (const each of component) onStack[each] = false;
        if (component.length > 1) found.push(component);
      }
    }
    return found;
  }

  /**
   * The shortest cycle within a component over edges of these types, with at most `once` edges of type `rw`; as its nodes with the
   * edge that leaves each.
   */
  cycle(
    component: readonly number[],
    types: readonly Dependency[],
    rw: number,
  ): [number, Edge][] | undefined {
    const inside = new Set(component);
    let best: [number, Edge][] | undefined;
    for (const start of component) {
      const path = this.#shortest(start, inside, types, rw);
      if (path !== undefined && (best === undefined || path.length < best.length)) best = path;
    }
    return best;
  }

  /** Breadth first, over nodes and the number of `rw` edges taken so far. */
  #shortest(
    start: number,
    inside: ReadonlySet<number>,
    types: readonly Dependency[],
    rw: number,
  ): [number, Edge][] | undefined {
    interface Visit {
      readonly node: number;
      readonly taken: number;
      readonly before: Visit | undefined;
      readonly by: Edge | undefined;
    }
    const seen = new Set<string>();
    let turn: Visit[] = [{ node: start, taken: 0, before: undefined, by: undefined }];
    while (turn.length > 0) {
      const next: Visit[] = [];
      for (const visit of turn) {
        for (const edge of this.#edges[visit.node]!) {
          if (!inside.has(edge.to) || !types.includes(edge.type)) continue;
          const taken = Math.min(visit.taken + (edge.type === 'rw' ? 1 : 0), 2);
          if (taken > rw) continue;
          const arrived: Visit = { node: edge.to, taken, before: visit, by: edge };
          if (edge.to === start) {
            const path: [number, Edge][] = [];
            for (let at = arrived; at.before !== undefined; at = at.before)
              path.unshift([at.before.node, at.by!]);
            return path;
          }
          const name = `${edge.to} ${taken}`;
          if (seen.has(name)) continue;
          seen.add(name);
          next.push(arrived);
        }
      }
      turn = next;
    }
    return undefined;
  }
}
