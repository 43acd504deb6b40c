import { expect } from 'chai';
import fc from 'fast-check';
import { articulationPointsOf, componentsOf, firstHops, hopsFrom } from '../../../lib/failure/graph.js';

type Edges = readonly (readonly [number, number])[];

function adjacencyOf(size: number, edges: Edges): number[][] {
  const sets = Array.from({ length: size }, () => new Set<number>());
  for (const [a, b] of edges) {
    if (a === b) continue;
    sets[a]!.add(b);
    sets[b]!.add(a);
  }
  return sets.map((set) => [...set].sort((a, b) => a - b));
}

/** All distances, by Floyd and Warshall. */
function distances(adjacency: readonly (readonly number[])[]): number[][] {
  const size = adjacency.length;
  const d = adjacency.map((next, a) =>
    Array.from({ length: size }, (_, b) => (a === b ? 0 : next.includes(b) ? 1 : Infinity)),
  );
  for (let k = 0; k < size; k++)
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++) d[i]![j] = Math.min(d[i]![j]!, d[i]![k]! + d[k]![j]!);
  return d;
}

const graphs = fc
  .integer({ min: 1, max: 9 })
  .chain((size) =>
    fc
      .array(fc.tuple(fc.nat({ max: size - 1 }), fc.nat({ max: size - 1 })), { maxLength: 16 })
      .map((edges) => adjacencyOf(size, edges)),
  );

describe('graph walks', () => {
  it('finds components as reachability does', () => {
    fc.assert(
      fc.property(graphs, (adjacency) => {
        const d = distances(adjacency);
        const components = componentsOf(adjacency, () => true);
        expect(components.flat().sort((a, b) => a - b)).to.deep.equal(adjacency.map((_, i) => i));
        for (const component of components) {
          expect(component).to.deep.equal([...component].sort((a, b) => a - b));
          for (const a of component)
            for (let b = 0; b < adjacency.length; b++)
              expect(d[a]![b]! < Infinity).to.equal(component.includes(b));
        }
        const firsts = components.map((component) => component[0]!);
        expect(firsts).to.deep.equal([...firsts].sort((a, b) => a - b));
      }),
    );
  });

  it('leaves out the nodes that do not count', () => {
    expect(componentsOf(adjacencyOf(4, [[0, 1]]), (node) => node !== 3)).to.deep.equal([[0, 1], [2]]);
  });

  it('measures hops, and the smallest first hop of a shortest way', () => {
    fc.assert(
      fc.property(graphs, (adjacency) => {
        const d = distances(adjacency);
        const first = firstHops(adjacency, 0);
        const hops = hopsFrom(adjacency, 0);
        for (let to = 1; to < adjacency.length; to++) {
          const best = d[0]![to]!;
          expect(hops[to]).to.equal(best === Infinity ? -1 : best);
          const wanted = adjacency[0]!.find((next) => 1 + d[next]![to]! === best && best < Infinity);
          expect(first[to]).to.equal(wanted ?? -1);
        }
      }),
    );
  });

  it('keeps out of the node to be avoided', () => {
    // 0 - 1 - 2 - 3, and 0 - 3
    const adjacency = adjacencyOf(4, [
      [0, 1],
      [1, 2],
      [2, 3],
      [0, 3],
    ]);
    expect([...hopsFrom(adjacency, 3, 0)]).to.deep.equal([-1, 2, 1, 0]);
  });

  it('finds the articulation points: those without which there are more components', () => {
    fc.assert(
      fc.property(graphs, (adjacency) => {
        const before = componentsOf(adjacency, () => true).length;
        const wanted = adjacency.flatMap((next, node) => {
          const without = adjacency.map((others, other) =>
            other === node ? [] : others.filter((id) => id !== node),
          );
          // The node itself is a component of its own then.
          return componentsOf(without, () => true).length - 1 > before - (next.length === 0 ? 1 : 0)
            ? [node]
            : [];
        });
        expect(articulationPointsOf(adjacency)).to.deep.equal(wanted);
      }),
      { numRuns: 300 },
    );
  });
});
