/**
 * The partial partitions of Omni-Paxos (EuroSys 2023, table 1), with two-way cuts and no relay: what a mesh without relaying gives.
 * In each of them Paxos makes progress, with at most one change of the leader.
 */
import { expect } from 'chai';
import { compareEpochs } from '../../../../lib/consensus/consensus.js';
import { createPaxosProtocol } from '../../../../lib/consensus/paxos/paxos.js';
import { Cluster } from '../cluster.js';
import type { SimNode } from '../cluster.js';

const five = ['a', 'b', 'c', 'd', 'e'];

function started(
  ids: readonly string[],
  seed: number,
): { cluster: Cluster; leader: SimNode; others: string[] } {
  const cluster = new Cluster(seed, ids, createPaxosProtocol());
  const met = (): boolean =>
    cluster.leader()?.core.status.stable.voters.every(({ incarnation }) => incarnation !== '') === true;
  expect(cluster.runUntil(() => cluster.settled() && met(), 5000)).to.equal(true);
  const leader = cluster.leader()!;
  return { cluster, leader, others: ids.filter((id) => id !== leader.id) };
}

/** Leaves only these links. */
function leave(cluster: Cluster, links: readonly (readonly [string, string])[]): void {
  for (const a of cluster.ids)
    for (const b of cluster.ids) {
      const kept = links.some(([x, y]) => (x === a && y === b) || (x === b && y === a));
      if (a !== b && !kept) cluster.cuts.add(`${a}>${b}`);
    }
}

/** Commits for so long without a break of more than two election time-outs; returns who led, in order. */
function progresses(cluster: Cluster, ms: number): string[] {
  const leaders: string[] = [];
  for (const end = cluster.now + ms; cluster.now < end;) {
    const { committed } = cluster.watch;
    const moves = cluster.runUntil(() => {
      const leader = cluster.leader();
      if (leader !== undefined) cluster.propose(leader);
      return cluster.watch.committed > committed;
    }, 600);
    expect(moves, `at ${cluster.now}: nothing is committed any more`).to.equal(true);
    const { id } = cluster.leader() ?? { id: '' };
    if (id !== '' && leaders.at(-1) !== id) leaders.push(id);
    cluster.run(20);
  }
  return leaders;
}

/** Time for whoever has to take over. */
const TAKEOVER_MS = 1500;

describe('partial partitions under Paxos', () => {
  for (let seed = 1; seed <= 3; seed++) {
    it(`quorum-loss: the only one with a quorum takes over, and stays (seed ${seed})`, () => {
      const { cluster, others } = started(five, seed);
      const hub = others[0]!;
      leave(
        cluster,
        five.filter((id) => id !== hub).map((id) => [hub, id] as const),
      );
      cluster.run(TAKEOVER_MS);
      expect(progresses(cluster, 3000)).to.deep.equal([hub]);
    });

    it(`constrained: the only one with a quorum takes over although it lags, and stays (seed ${seed})`, () => {
      const { cluster, leader, others } = started(five, seed);
      const hub = others[0]!;
      cluster.cuts.add(`${hub}>${leader.id}`).add(`${leader.id}>${hub}`);
      expect(progresses(cluster, 1000)).to.deep.equal([leader.id]);
      const behind = cluster.nodes.get(hub)!.core.status.lastIndex;
      expect(behind).to.be.below(cluster.watch.committed);
      leave(
        cluster,
        others.slice(1).map((id) => [hub, id] as const),
      );
      cluster.run(TAKEOVER_MS);
      expect(progresses(cluster, 3000)).to.deep.equal([hub]);
    });

    it(`chained: the leader stays (seed ${seed})`, () => {
      const { cluster, leader, others } = started(['a', 'b', 'c'], seed);
      const { epoch } = leader.core.status;
      leave(cluster, [
        [leader.id, others[0]!],
        [others[0]!, others[1]!],
      ]);
      expect(progresses(cluster, 4000)).to.deep.equal([leader.id]);
      expect(compareEpochs(leader.core.status.epoch, epoch)).to.equal(0);
    });

    it(`healed, everybody is well again (seed ${seed})`, () => {
      const { cluster, others } = started(five, seed);
      leave(
        cluster,
        five.filter((id) => id !== others[0]).map((id) => [others[0]!, id] as const),
      );
      cluster.run(3000);
      cluster.heal();
      expect(cluster.runUntil(() => cluster.settled(), 10_000)).to.equal(true);
      cluster.watch.converged();
    });
  }
});
