/** The life of a simulated cluster that meets every kind of trouble. */
import { allMembers, findMember, type Membership } from '../../../lib/consensus/membership.js';
import { seeded } from '../support/seeded.js';
import { Cluster, isWitness } from './cluster.js';
import { createPaxosProtocol } from '../../../lib/consensus/paxos/paxos.js';
import { createRaftProtocol } from '../../../lib/consensus/raft/raft.js';
import type { ConsensusProtocol } from '../../../lib/consensus/consensus.js';
import type { CoreOptions } from '../../../lib/consensus/core/options.js';
import type { SimNode } from './cluster.js';

/** Small limits, so that their edges are met often. */
const tight: CoreOptions = {
  maxMessageBytes: 64,
  maxInflightMessages: 4,
  maxInflightBytes: 256,
  maxUncommittedBytes: 2048,
  cacheBytes: 512,
};

const protocols = {
  raft: (options: CoreOptions): ConsensusProtocol => createRaftProtocol(options),
  paxos: (options: CoreOptions): ConsensusProtocol => createPaxosProtocol(options),
};

/** One life of a cluster: trouble for a while, then peace, in which it has to get well. */
export function live(seed: number, consensus: keyof typeof protocols = 'raft'): Cluster {
  const shape = seed % 4;
  const ids = ['a', 'b', 'c', 'd', 'e'].slice(0, shape === 0 ? 5 : shape === 1 ? 2 : 3);
  // In some lives members come and go.
  const spares = seed % 5 < 2 ? ['f', 'g'] : seed % 5 === 3 ? ['f', consensus === 'raft' ? 'w' : 'g'] : [];
  // Leases, where clocks keep their rates but processes stand still.
  const lease = consensus === 'paxos' && seed % 7 === 3 ? { lease: { maxDrift: 0 } } : {};
  const cluster = new Cluster(
    seed,
    ids,
    protocols[consensus]({ ...(seed % 3 === 0 ? {} : tight), ...lease }),
    spares,
  );
  const { random } = cluster;
  Object.assign(cluster.faults, {
    loss: random() < 0.3 ? 0 : random() * 0.3,
    duplicate: random() * 0.3,
    delay: random() * random() * 60,
    disk: random() * random() * 60,
  });
  const wipeable = Math.floor((ids.length - 1) / 2);
  let wiped = 0;
  // With numbers of its own, and not in all lives: those of other seeds stay what they were.
  const whim = seed % 5 === 2 ? seeded(seed) : undefined;
  for (let step = 0; step < 120; step++) {
    cluster.run(random() * 80);
    const node = cluster.pick([...cluster.nodes.values()]) as SimNode | undefined;
    if (node !== undefined) {
      for (let i = Math.floor(random() * 4); i > 0; i--)
        cluster.propose(node, 1 + Math.floor(random() * 3), 8 + random() * 60);
      for (let i = Math.floor(random() * 3); i > 0; i--) cluster.read(node);
    }
    const leader = cluster.leader();
    if (leader !== undefined && random() < 0.7) {
      for (let i = Math.floor(random() * 5); i > 0; i--)
        cluster.propose(leader, 1 + Math.floor(random() * 3));
      cluster.read(leader);
    }
    if (leader !== undefined && spares.length > 0 && random() < 0.25) churn(cluster, leader);
    if (whim !== undefined && leader !== undefined && whim() < 0.25)
      cluster.transfer(leader, whim() < 0.2 ? '' : ids[Math.floor(whim() * ids.length)]!);
    trouble(cluster, node, () => spares.length === 0 && wiped++ < wipeable);
  }
  cluster.heal();
  cluster.watch.check(
    cluster.runUntil(() => cluster.settled(), 30_000),
    'it does not settle',
  );
  // It works, not only agrees: a proposal and a read at everyone go through.
  const leader = cluster.leader()!;
  cluster.propose(leader);
  for (const { id } of allMembers(leader.core.status.membership)) cluster.read(cluster.nodes.get(id)!);
  const index = leader.core.status.lastIndex;
  const done = (): boolean => cluster.settled() && cluster.watch.committed >= index;
  cluster.watch.check(cluster.runUntil(done, 30_000), 'it does not work');
  cluster.watch.converged();
  return cluster;
}

/** One to three members come, go, or change their part. */
function churn(cluster: Cluster, leader: SimNode): void {
  const { random, all } = cluster;
  const change: Record<'addVoters' | 'addLearners' | 'addWitnesses' | 'remove', string[]> = {
    ...{ addVoters: [], addLearners: [], addWitnesses: [], remove: [] },
  };
  for (let i = 1 + Math.floor(random() * 3); i > 0; i--) {
    const id = cluster.pick(all);
    const dice = random();
    const added = isWitness(id) ? change.addWitnesses : dice < 0.5 ? change.addVoters : change.addLearners;
    (dice < 0.6 ? added : change.remove).push(id);
  }
  cluster.changes.push(cluster.change(leader, change));
}

function trouble(cluster: Cluster, node: SimNode | undefined, mayWipe: () => boolean): void {
  const { random, ids, all } = cluster;
  const dice = random();
  const one = cluster.pick(all);
  const other = cluster.pick(all);
  if (node === undefined || dice < 0.1) {
    for (const id of all) if (!cluster.nodes.has(id)) cluster.start(id);
  } else if (dice < 0.17) {
    cluster.crash(node.id);
  } else if (dice < 0.23) {
    if (one !== other) cluster.cuts.add(`${one}>${other}`);
  } else if (dice < 0.28) {
    const side = new Set(all.filter(() => random() < 0.5));
    for (const a of all) for (const b of all) if (side.has(a) !== side.has(b)) cluster.cuts.add(`${a}>${b}`);
  } else if (dice < 0.4) {
    cluster.cuts.clear();
    for (const a of cluster.nodes.values())
      for (const b of cluster.nodes.values()) if (a.id < b.id && !a.sessions.has(b.id)) cluster.connect(a, b);
  } else if (dice < 0.45) {
    const peer = cluster.nodes.get(one);
    if (peer !== undefined && peer !== node) {
      cluster.disconnect(node, peer);
      if (random() < 0.5) cluster.connect(node, peer);
    }
  } else if (dice < 0.53) {
    cluster.snapshot(node);
  } else if (dice < 0.57) {
    cluster.pause(node.id, random() * 1500);
  } else if (dice < 0.6) {
    // A store may be lost once everybody is on record, and as long as a majority keeps its memory. Those that do not know of
    // the group must be no majority, or they would found another one: no protocol can tell them from newcomers.
    const { membership } = cluster.watch;
    const isMet = (known: Membership): boolean =>
      ids.every((id) => findMember(known, id)?.incarnation !== '');
    // A membership that counts from its commit on is lost with the only one who knows of that.
    const others = [...cluster.nodes.values()].filter(
      ({ id, protocol }) => id !== node.id && protocol === 'paxos',
    );
    const met =
      membership !== undefined && isMet(membership) && others.every(({ core }) => isMet(core.status.stable));
    const ignorant = ids.filter(
      (id) => id === node.id || !cluster.disks.get(id)!.durable.hard?.genesis,
    ).length;
    if (met && ignorant <= (ids.length - 1) / 2 && mayWipe()) {
      cluster.crash(node.id);
      cluster.wipe(node.id);
      if (random() < 0.7) cluster.start(node.id);
    }
  }
}
