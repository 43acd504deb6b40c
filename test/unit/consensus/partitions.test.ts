/**
 * Partial partitions (OmniPaxos, EuroSys '23, Table 1), with two-way cuts and no relay: what a mesh without relaying gives.
 */
import { expect } from 'chai';
import { Cluster } from './cluster.js';
import type { SimNode } from './cluster.js';

const five = ['a', 'b', 'c', 'd', 'e'];

function started(ids: readonly string[], seed = 1): { cluster: Cluster; leader: SimNode; others: string[] } {
  const cluster = new Cluster(seed, ids);
  const ready = (): boolean => cluster.settled() && cluster.watch.committed > 0;
  expect(cluster.runUntil(ready, 5000)).to.equal(true);
  const leader = cluster.leader()!;
  return { cluster, leader, others: ids.filter((id) => id !== leader.id) };
}

/** Leaves only these links. */
function leave(cluster: Cluster, links: readonly (readonly [string, string])[]): void {
  for (const a of cluster.ids) {
    for (const b of cluster.ids) {
      const kept = links.some(([x, y]) => (x === a && y === b) || (x === b && y === a));
      if (a !== b && !kept) cluster.cuts.add(`${a}>${b}`);
    }
  }
}

/** Whether something new is committed within a time. */
function works(cluster: Cluster, ms: number): boolean {
  const { committed } = cluster.watch;
  return cluster.runUntil(() => {
    for (const node of cluster.nodes.values()) if (node.core.status.role === 'leader') cluster.propose(node);
    return cluster.watch.committed > committed + 20;
  }, ms);
}

describe('partial partitions', () => {
  for (let seed = 1; seed <= 5; seed++) {
    // Raft without pre-vote and check-quorum stays down: the hub hears the old leader, which has no quorum.
    it(`quorum-loss: the only one with a quorum takes over (seed ${seed})`, () => {
      const { cluster, leader, others } = started(five, seed);
      const hub = others[0]!;
      leave(
        cluster,
        five.filter((id) => id !== hub).map((id) => [hub, id] as const),
      );
      cluster.run(1000);
      expect(works(cluster, 10_000)).to.equal(true);
      expect(cluster.leader()!.id).to.equal(hub);
      expect(leader.core.status.role).to.not.equal('leader');
    });

    // Without them the two ends take the leadership from each other for ever.
    it(`chained: the leader stays (seed ${seed})`, () => {
      const { cluster, leader, others } = started(['a', 'b', 'c'], seed);
      const { n } = leader.core.status.epoch;
      leave(cluster, [
        [leader.id, others[0]!],
        [others[0]!, others[1]!],
      ]);
      for (let i = 0; i < 5; i++) {
        expect(works(cluster, 2000)).to.equal(true);
        cluster.run(1000);
      }
      expect(cluster.leader()).to.equal(leader);
      expect(leader.core.status.epoch.n).to.equal(n);
    });

    // No Raft can elect here: who has a quorum of links lags. Safe, and well again when healed.
    it(`constrained: unavailable, safe, and well after healing (seed ${seed})`, () => {
      const { cluster, leader, others } = started(five, seed);
      const hub = others[0]!;
      cluster.cuts.add(`${hub}>${leader.id}`).add(`${leader.id}>${hub}`);
      expect(works(cluster, 2000)).to.equal(true);
      cluster.run(100);
      leave(
        cluster,
        others.slice(1).map((id) => [hub, id] as const),
      );
      cluster.run(1000);
      expect(works(cluster, 5000)).to.equal(false);
      cluster.heal();
      expect(works(cluster, 10_000)).to.equal(true);
      expect(cluster.runUntil(() => cluster.settled(), 10_000)).to.equal(true);
    });
  }
});
