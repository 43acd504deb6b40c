import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createSimulation } from '../../../../lib/testing/index.js';
import type { Simulation } from '../../../../lib/testing/index.js';
import { seeded } from '../../support/seeded.js';

const five = ['a', 'b', 'c', 'd', 'e'];

async function started(seed: number, nodes: readonly string[], relay = true): Promise<Simulation> {
  const simulation = createSimulation({ seed, nodes: [...nodes], relay });
  await simulation.ready();
  await simulation.run(2000);
  return simulation;
}

/** Lets virtual time pass until a call is answered. */
async function settled<T>(simulation: Simulation, call: Promise<T>): Promise<T> {
  let over = false;
  const watched = call.finally(() => (over = true));
  await simulation.runUntil(() => over, 30_000);
  return watched;
}

function epochs(simulation: Simulation, nodes: readonly string[]): number {
  return Math.max(...nodes.map((id) => simulation.replica(id).status().epoch));
}

/** Three nodes that are linked, on slow paths. */
async function slow(latencyMs: number): Promise<Simulation> {
  const network = { control: { latencyMs }, bulk: { latencyMs } };
  const simulation = createSimulation({ seed: 1, nodes: ['a', 'b', 'c'], network });
  await simulation.ready();
  await simulation.run(5000);
  return simulation;
}

/** What the nodes are told of their peers from now on. */
function listen(simulation: Simulation): string[] {
  const told: string[] = [];
  for (const id of ['a', 'b', 'c']) {
    const mesh = simulation.mesh(id);
    for (const state of ['up', 'suspect', 'unreachable'] as const)
      mesh.on(`peer:${state}`, (peer) => told.push(`${id} ${state} ${peer}`));
    mesh.on('peer:path', (peer, path) => told.push(`${id} path ${peer} ${path}`));
  }
  return told;
}

/** How each node reaches each other, as it sees it: "ab:up/direct …". */
function paths(simulation: Simulation, nodes: readonly string[]): string[] {
  return nodes.flatMap((id) =>
    simulation
      .mesh(id)
      .peers()
      .map((peer) => `${id}${peer.id}:${peer.state}/${peer.path}`)
      .sort(),
  );
}

function states(simulation: Simulation, nodes: readonly string[]): string[] {
  return nodes.map((id) => simulation.mesh(id).partition().state);
}

function allReached(simulation: Simulation, nodes: readonly string[]): boolean {
  const reached = paths(simulation, nodes).filter((path) => path.includes(':up/'));
  return reached.length === nodes.length * (nodes.length - 1);
}

describe('a mesh with a broken link (simulated)', () => {
  it('reaches a cut-off peer over another, within 300 ms of traffic and without an election', async () => {
    const simulation = await started(1, ['a', 'b', 'c']);
    const leader = simulation.leader()!;
    const [other, third] = ['a', 'b', 'c'].filter((id) => id !== leader) as [string, string];
    const before = epochs(simulation, ['a', 'b', 'c']);
    simulation.cut(leader, other);
    await simulation.run(300);
    expect(paths(simulation, [leader])).to.include(`${leader}${other}:up/relayed`);
    expect(paths(simulation, [other])).to.include(`${other}${leader}:up/relayed`);
    await simulation.run(1000);
    expect(states(simulation, ['a', 'b', 'c'])).to.deep.equal(['partial', 'partial', 'partial']);
    expect(simulation.mesh(other).partition().bridges).to.deep.equal([third]);
    const relayed = simulation.mesh(third).metrics().datagramsRelayed;
    expect(relayed).to.be.greaterThan(10);
    const { relay, gossip } = simulation.mesh(other).metrics();
    expect(relay.packetsSent).to.be.greaterThan(5);
    expect(relay.packetsReceived).to.be.greaterThan(5);
    expect(relay.packetsForged).to.equal(0);
    expect(gossip.rowsMerged).to.be.greaterThan(1);
    simulation.heal();
    await simulation.run(8000);
    expect(paths(simulation, ['a', 'b', 'c']).filter((path) => !path.endsWith(':up/direct'))).to.deep.equal(
      [],
    );
    expect(states(simulation, ['a', 'b', 'c'])).to.deep.equal(['healthy', 'healthy', 'healthy']);
    expect(epochs(simulation, ['a', 'b', 'c'])).to.equal(before);
    simulation.check();
  });

  // A seed of the soak (710928): all had restarted, and were cut off from each other before they met.
  it('misses a voter that nobody has met, and its side misses the others', async () => {
    const simulation = createSimulation({ seed: 3, nodes: ['a', 'b', 'c'] });
    for (const id of ['a', 'b']) simulation.cut(id, 'c');
    await simulation.run(5000);
    expect(states(simulation, ['a', 'b', 'c'])).to.deep.equal(['healthy', 'healthy', 'isolated']);
    await simulation.run(10_000);
    expect(states(simulation, ['a', 'b', 'c'])).to.deep.equal(['complete', 'complete', 'isolated']);
    expect(simulation.mesh('a').partition().unreachable).to.deep.equal(['c']);
    expect(simulation.mesh('c').partition().unreachable).to.deep.equal(['a', 'b']);
    simulation.heal();
    await simulation.run(10_000);
    expect(states(simulation, ['a', 'b', 'c'])).to.deep.equal(['healthy', 'healthy', 'healthy']);
    simulation.check();
  });

  it('says that a link works one way', async () => {
    const simulation = await started(2, ['a', 'b', 'c']);
    const leader = simulation.leader()!;
    const [other] = ['a', 'b', 'c'].filter((id) => id !== leader) as [string];
    for (const [from, to] of [
      [leader, other],
      [other, leader],
    ] as const) {
      simulation.cutOneWay(from, to);
      await simulation.run(3000);
      expect(states(simulation, ['a', 'b', 'c'])).to.deep.equal(['simplex', 'simplex', 'simplex']);
      for (const id of ['a', 'b', 'c']) {
        const { links } = simulation.mesh(id).partition();
        const down = links.filter((link) => link.state === 'down').map((link) => `${link.from}>${link.to}`);
        expect(down, `seen by ${id}`).to.deep.equal([`${from}>${to}`]);
      }
      simulation.heal();
      await simulation.run(10_000);
      expect(states(simulation, ['a', 'b', 'c'])).to.deep.equal(['healthy', 'healthy', 'healthy']);
    }
  });

  it('keeps a leader that lost its links to the majority, when one member reaches them all', async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const simulation = await started(seed, five);
      const leader = simulation.leader()!;
      const others = five.filter((id) => id !== leader);
      const before = epochs(simulation, five);
      for (const other of others.slice(1)) simulation.cut(leader, other);
      await simulation.run(3000);
      expect(allReached(simulation, five)).to.equal(true);
      await settled(simulation, simulation.replica(others[2]!).submit({ op: 'put', key: 'k', value: seed }));
      simulation.heal();
      await simulation.run(8000);
      expect(epochs(simulation, five), `seed ${seed}`).to.equal(before);
    }
  });

  it('without relaying elects another one, which is what relaying saves', async () => {
    const simulation = await started(1, five, false);
    const leader = simulation.leader()!;
    const before = epochs(simulation, five);
    for (const other of five.filter((id) => id !== leader).slice(1)) simulation.cut(leader, other);
    await simulation.run(3000);
    expect(epochs(simulation, five)).to.be.greaterThan(before);
    expect(paths(simulation, five).filter((path) => path.endsWith('/relayed'))).to.deep.equal([]);
  });

  it('finds the one member that still reaches a leader, among all who say that they do', async () => {
    const seven = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const simulation = await started(1, seven);
    const leader = simulation.leader()!;
    const others = seven.filter((id) => id !== leader);
    const bridge = others.at(-1)!;
    const before = epochs(simulation, seven);
    for (const id of others) if (id !== bridge) simulation.cut(leader, id);
    await simulation.run(800);
    for (const id of others.slice(0, -1))
      expect(paths(simulation, [id])).to.include(`${id}${leader}:up/relayed`);
    await simulation.run(3000);
    expect(epochs(simulation, seven)).to.equal(before);
  });

  it('goes over any number of members: a chain of five', async () => {
    const simulation = await started(3, five);
    for (let i = 0; i < 5; i++) for (let j = i + 2; j < 5; j++) simulation.cut(five[i]!, five[j]!);
    await simulation.run(5000);
    expect(allReached(simulation, five)).to.equal(true);
    const command = { op: 'put', key: 'k', value: 'over the chain' } as const;
    await settled(simulation, simulation.replica('a').submit(command));
    const answer = await settled(simulation, simulation.replica('e').query({ op: 'get', key: 'k' }));
    expect(answer).to.equal('over the chain');
    const view = simulation.mesh('a').partition();
    expect(view.state).to.equal('partial');
    expect(view.components).to.deep.equal([five]);
    expect(view.articulation).to.deep.equal(['b', 'c', 'd']);
  });

  it('needs no rendezvous to link again, or to meet a newcomer of whom a member knows', async () => {
    const simulation = await started(4, five);
    for (const id of five) simulation.network.rendezvous(id, false);
    await simulation.run(1000);
    simulation.network.reset('a', 'b');
    simulation.network.reset('c', 'd');
    await simulation.run(6000);
    expect(paths(simulation, five).filter((path) => !path.endsWith(':up/direct'))).to.deep.equal([]);
    // e starts again and meets only a at the rendezvous.
    simulation.crash('e');
    await simulation.run(3000);
    simulation.network.rendezvous('a', true);
    simulation.network.rendezvous('e', true);
    simulation.restart('e');
    await simulation.run(10_000);
    expect(paths(simulation, five).filter((path) => !path.endsWith(':up/direct'))).to.deep.equal([]);
  });

  it('keeps the first relayed link that comes, however slow the path', async () => {
    for (const latencyMs of [20, 60, 100, 150]) {
      const simulation = await slow(latencyMs);
      const told = listen(simulation);
      simulation.cut('a', 'c');
      await simulation.run(10_000);
      const moves = told.filter((event) => /path|unreachable/.test(event)).sort();
      expect(moves, `${latencyMs} ms`).to.deep.equal(['a path c relayed', 'c path a relayed']);
    }
  });

  it('loses no peer over a short blip, however slow the path', async () => {
    for (const latencyMs of [2, 20, 40]) {
      for (let blip = 100; blip <= 900; blip += 100) {
        const simulation = await slow(latencyMs);
        const told = listen(simulation);
        simulation.cut('a', 'c');
        await simulation.run(blip);
        simulation.heal();
        await simulation.run(5000);
        const lost = told.filter((event) => event.includes('unreachable'));
        expect(lost, `${latencyMs} ms, a blip of ${blip} ms`).to.deep.equal([]);
      }
    }
  });

  it('hears the farewell of a peer that it reaches over others', async () => {
    const simulation = await slow(1);
    simulation.cut('a', 'c');
    await simulation.run(3000);
    const told = listen(simulation);
    void simulation.mesh('a').close();
    await simulation.run(100);
    expect(told).to.include('c unreachable a').and.include('b unreachable a');
  });

  it('reaches whoever can be reached, and all members of a part see the same, whatever is cut', async () => {
    for (let seed = 10; seed < 18; seed++) {
      const simulation = await started(seed, five);
      const random = seeded(seed);
      for (let i = 0; i < 5; i++) {
        for (let j = i + 1; j < 5; j++) {
          const dice = random();
          if (dice < 0.35) simulation.cut(five[i]!, five[j]!);
          else if (dice < 0.45) simulation.cutOneWay(five[i]!, five[j]!);
        }
      }
      await simulation.run(9000);
      const views = new Map(five.map((id) => [id, simulation.mesh(id).partition()]));
      for (const id of five) {
        const view = views.get(id)!;
        for (const other of view.reachable) {
          expect(views.get(other)!.components, `seed ${seed}: ${id} and ${other}`).to.deep.equal(
            view.components,
          );
          expect(views.get(other)!.state, `seed ${seed}: ${id} and ${other}`).to.equal(view.state);
          if (other === id) continue;
          const peer = simulation
            .mesh(id)
            .peers()
            .find((status) => status.id === other);
          expect(peer?.state, `seed ${seed}: ${id} reaches ${other}`).to.equal('up');
        }
      }
      simulation.heal();
      await simulation.run(10_000);
      expect(
        paths(simulation, five).filter((path) => !path.endsWith(':up/direct')),
        `seed ${seed}`,
      ).to.deep.equal([]);
      expect(new Set(states(simulation, five))).to.deep.equal(new Set(['healthy']));
      simulation.check();
    }
  });
});
