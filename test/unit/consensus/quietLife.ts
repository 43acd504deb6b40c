/** The life of a simulated cluster that rests whenever it may, and meets trouble while it does, and while it falls asleep. */
import { allMembers } from '../../../lib/consensus/membership.js';
import { createRaftProtocol } from '../../../lib/consensus/raft/raft.js';
import { Cluster } from './cluster.js';
import type { SimNode } from './cluster.js';

const QUIET_MS = 100;

export interface QuietLife {
  /** How often all who were there rested. */
  rests: number;
  cluster: Cluster;
}

/** One life: what one seed brings. Throws when a promise is broken, or the group does not work, or does not rest in the end. */
export function liveQuietly(seed: number): QuietLife {
  const ids = ['a', 'b', 'c', 'd', 'e'].slice(0, seed % 3 === 0 ? 5 : 3);
  const cluster = new Cluster(
    seed,
    ids,
    createRaftProtocol({ quietAfterMs: QUIET_MS }),
    seed % 4 === 0 ? ['f'] : [],
  );
  const { random, watch } = cluster;
  Object.assign(cluster.faults, {
    loss: random() < 0.5 ? 0 : random() * 0.2,
    duplicate: random() < 0.5 ? 0 : random() * 0.3,
    delay: random() * random() * 40,
    disk: random() * random() * 20,
  });
  let rests = 0;
  for (let step = 0; step < 40; step++) {
    // Sometimes it sleeps soundly when the trouble comes, sometimes it is about to.
    cluster.run(random() < 0.5 ? random() * 300 : 300 + random() * 3000);
    if (sleeps(cluster)) rests++;
    for (let i = random() < 0.3 ? 2 : 1; i > 0; i--) trouble(cluster);
  }
  cluster.heal();
  const leader = (): SimNode | undefined => cluster.leader();
  watch.check(
    cluster.runUntil(() => cluster.settled(), 30_000),
    'it does not settle',
  );
  // Asked of anybody, it answers; a proposal goes through.
  for (let times = 0; times < 3; times++) {
    cluster.run(random() * 2000);
    watch.check(
      cluster.runUntil(() => leader() !== undefined && cluster.propose(leader()!), 10_000),
      'nobody takes a proposal',
    );
    const index = leader()!.core.status.lastIndex;
    for (const { id } of allMembers(leader()!.core.status.membership)) cluster.read(cluster.nodes.get(id)!);
    const done = (): boolean => cluster.settled() && watch.committed >= index;
    watch.check(cluster.runUntil(done, 10_000), 'it does not work');
  }
  watch.converged();
  // Who was removed and does not know it runs again and again; outside of this model it is told, and closes.
  for (const { id } of [...cluster.nodes.values()])
    if (!allMembers(leader()!.core.status.membership).some((member) => member.id === id)) cluster.crash(id);
  // A heartbeat that was overtaken by the word to rest wakes its follower, and that one in time the others: once.
  for (let times = 0; times < 2 && !sleeps(cluster); times++) {
    watch.check(
      cluster.runUntil(() => sleeps(cluster), 10_000),
      'it does not rest',
    );
    cluster.run(2000);
  }
  watch.check(sleeps(cluster), 'it does not rest for long');
  return { rests, cluster };
}

/** All who have a leader rest. */
function sleeps({ nodes }: Cluster): boolean {
  const members = [...nodes.values()].filter(({ core }) => core.status.leader !== '');
  return members.length > 1 && members.every(({ core }) => core.status.quiet);
}

function trouble(cluster: Cluster): void {
  const { random, ids, all } = cluster;
  const dice = random();
  const one = cluster.pick(all);
  const other = cluster.pick(all);
  const node = cluster.nodes.get(one);
  const peer = cluster.nodes.get(other);
  const leader = cluster.leader();
  if (dice < 0.15) {
    if (leader !== undefined) cluster.propose(leader);
  } else if (dice < 0.3) {
    if (node !== undefined) cluster.read(node);
  } else if (dice < 0.4) {
    if (leader !== undefined) cluster.crash(leader.id);
  } else if (dice < 0.45) {
    cluster.crash(one);
  } else if (dice < 0.6) {
    for (const id of all) if (!cluster.nodes.has(id)) cluster.start(id);
  } else if (dice < 0.68) {
    if (node !== undefined && peer !== undefined && node !== peer) {
      cluster.disconnect(node, peer);
      if (random() < 0.5) cluster.connect(node, peer);
    }
  } else if (dice < 0.74) {
    // What the mesh does about a way that is lost one way: it takes some time to notice, then both sides know.
    if (one !== other) {
      cluster.cuts.add(`${one}>${other}`);
      cluster.after(400, () => {
        if (node?.alive === true && peer?.alive === true && cluster.cuts.has(`${one}>${other}`))
          cluster.disconnect(node, peer);
      });
    }
  } else if (dice < 0.84) {
    cluster.cuts.clear();
    for (const a of cluster.nodes.values())
      for (const b of cluster.nodes.values()) if (a.id < b.id && !a.sessions.has(b.id)) cluster.connect(a, b);
  } else if (dice < 0.89) {
    cluster.pause(one, random() * 1500);
  } else if (dice < 0.93) {
    if (leader !== undefined) cluster.transfer(leader, random() < 0.3 ? '' : cluster.pick(ids));
  } else if (dice < 0.96) {
    if (leader !== undefined && cluster.spares.length > 0)
      cluster.change(leader, random() < 0.5 ? { addVoters: ['f'] } : { remove: ['f'] });
  } else if (node !== undefined) {
    cluster.snapshot(node);
  }
}
