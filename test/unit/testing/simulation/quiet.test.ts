/** Groups at rest on whole nodes in virtual time: mesh, engine, cores, disks. */
import { expect } from 'chai';
import type { Consensus, MessageBase } from '../../../../lib/consensus/consensus.js';
import { keyValue } from '../../../../lib/machines/keyValue.js';
import { raft } from '../../../../lib/replica/consensus.js';
import { openReplica } from '../../../../lib/replica/openReplica.js';
import { memoryStorage } from '../../../../lib/storage/memoryStorage.js';
import { checkLinearizable, keyValueModel } from '../../../../lib/testing/index.js';
import { alterCores } from '../../../../lib/testing/exploration/alterCores.js';
import { elected, get, put, three, untilEqual, untilLed } from './support.js';
import type { KeyValueSimulation } from './support.js';

const QUIET_MS = 400;

/** A cluster that rests when it may, and the messages that its cores get. */
async function resting(seed = 1) {
  const heard: MessageBase['type'][] = [];
  const consensus = alterCores(raft({ quietAfterMs: QUIET_MS }), (core): Partial<Consensus> => ({
    receive: (now, from, message) => {
      heard.push(message.type);
      return core.receive(now, from, message);
    },
  }));
  const simulation = await elected({ seed, consensus });
  await put(simulation, 'a', 'k', 0);
  await untilQuiet(simulation);
  heard.length = 0;
  return { simulation, heard };
}

const quiet = (simulation: KeyValueSimulation, ids = three): boolean[] =>
  ids.map((id) => simulation.replica(id).status().quiet);

async function untilQuiet(simulation: KeyValueSimulation, ids: readonly string[] = three): Promise<void> {
  const all = (): boolean =>
    ids.every((id) => simulation.state(id) === 'up' && simulation.replica(id).status().quiet);
  expect(await simulation.runUntil(all, 20_000), 'the group rests').to.equal(true);
}

/** All agree, the answers were those of one copy, and the group rests again. */
async function well(simulation: KeyValueSimulation): Promise<void> {
  await untilLed(simulation);
  await untilEqual(simulation);
  await put(simulation, three[0]!, 'last', 'word');
  await untilEqual(simulation);
  expect(checkLinearizable(keyValueModel(), simulation.history)).to.equal('ok');
  await untilQuiet(simulation);
  simulation.check();
}

describe('simulation: a group at rest', () => {
  it('says nothing for ten minutes, and answers at once', async () => {
    const { simulation, heard } = await resting();
    const leader = simulation.leader()!;
    const { epoch } = simulation.replica(leader).status();
    await simulation.run(600_000);
    expect(heard).to.deep.equal([]);
    expect(quiet(simulation)).to.deep.equal([true, true, true]);
    for (const id of three) {
      await untilQuiet(simulation);
      const begun = simulation.now;
      await put(simulation, id, id, 1);
      expect(await get(simulation, id, id)).to.equal(1);
      expect(simulation.now - begun, `through ${id}`).to.be.below(100);
    }
    expect(simulation.replica(leader).status()).to.include({ role: 'leader', epoch });
    await well(simulation);
  });

  it('elects another leader when the node of its leader dies, of which only the mesh can tell', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const { simulation } = await resting(seed);
      const leader = simulation.leader()!;
      const rest = three.filter((id) => id !== leader);
      simulation.crash(leader, { power: true });
      await untilLed(simulation, rest);
      await put(simulation, rest[0]!, 'k', 1);
      await untilQuiet(simulation, rest);
      simulation.restart(leader);
      await untilEqual(simulation);
      await well(simulation);
    }
  });

  it('finds out sooner when somebody wants something', async () => {
    const { simulation } = await resting();
    const leader = simulation.leader()!;
    const rest = three.filter((id) => id !== leader);
    simulation.crash(leader, { power: true });
    const begun = simulation.now;
    await put(simulation, rest[0]!, 'k', 1);
    // Two election time-outs and what follows; the mesh's detector would need longer than that.
    expect(simulation.now - begun).to.be.below(1500);
    simulation.restart(leader);
    await well(simulation);
  });

  it('notices that the replica of its leader was closed while its node lives', async () => {
    const { simulation } = await resting();
    const leader = simulation.leader()!;
    const rest = three.filter((id) => id !== leader);
    await simulation.settle(simulation.replica(leader).close({ handOver: false }));
    await untilLed(simulation, rest);
    await put(simulation, rest[0]!, 'k', 1);
    simulation.restart(leader);
    await well(simulation);
  });

  it('elects another leader when its leader is cut off, which then has no say', async () => {
    const { simulation } = await resting();
    const leader = simulation.leader()!;
    const rest = three.filter((id) => id !== leader);
    simulation.partition([[leader], rest]);
    const next = await untilLed(simulation, rest);
    await put(simulation, next, 'k', 'new');
    const read = simulation.replica(leader).query({ op: 'get', key: 'k' });
    await simulation.run(2000);
    simulation.heal();
    expect(await simulation.settle(read)).to.equal('new');
    await well(simulation);
  });

  for (const way of ['from', 'to'] as const)
    it(`gets well when all ways ${way} its leader are cut, and only these`, async () => {
      const { simulation } = await resting();
      const leader = simulation.leader()!;
      const rest = three.filter((id) => id !== leader);
      for (const id of rest)
        if (way === 'from') simulation.cutOneWay(leader, id);
        else simulation.cutOneWay(id, leader);
      await untilLed(simulation, rest);
      await put(simulation, rest[1]!, 'k', 1);
      for (const id of rest) simulation.heal(leader, id);
      await well(simulation);
    });

  it('keeps its leader when one member is cut off from it, and hears that one when it comes back', async () => {
    const { simulation } = await resting();
    const leader = simulation.leader()!;
    const [one, other] = three.filter((id) => id !== leader) as [string, string];
    simulation.partition([[leader, other], [one]]);
    await simulation.run(20_000);
    await untilQuiet(simulation, [leader, other]);
    await put(simulation, leader, 'k', 'meanwhile');
    simulation.heal();
    await untilEqual(simulation);
    expect(await get(simulation, one, 'k')).to.equal('meanwhile');
    await well(simulation);
  });

  it('changes its members and hands over its leadership, through any member', async () => {
    const { simulation } = await resting();
    for (const id of three) {
      await untilQuiet(simulation);
      await simulation.settle(simulation.replica(id).transferLeadership(undefined, { timeout: 10_000 }));
    }
    await untilQuiet(simulation);
    const leader = simulation.leader()!;
    const [through, gone] = three.filter((id) => id !== leader) as [string, string];
    await simulation.settle(simulation.replica(through).removeMember(gone, { timeout: 10_000 }));
    await untilQuiet(simulation, [leader, through]);
    expect(
      simulation
        .replica(leader)
        .status()
        .members.map(({ id }) => id),
    ).to.have.members([leader, through]);
    simulation.check();
  });

  it('bears it that its leader stands still', async () => {
    const { simulation } = await resting();
    const leader = simulation.leader()!;
    simulation.pause(leader, 30_000);
    const rest = three.filter((id) => id !== leader);
    const next = await untilLed(simulation, rest);
    await put(simulation, next, 'k', 1);
    await simulation.run(30_000);
    await well(simulation);
  });

  it('gets well from every fault, whenever it comes', async function () {
    this.timeout(120_000);
    for (let seed = 1; seed <= 12; seed++) {
      const simulation = await elected({
        seed,
        consensus: raft({ quietAfterMs: 100 }),
        messages: { lossRate: seed % 3 === 0 ? 0.1 : 0, duplicateRate: 0.1, reorderRate: 0.1 },
      });
      for (let n = 0; n < 6; n++) {
        const [one, other] = [three[(seed + n) % 3]!, three[(seed + 2 * n + 1) % 3]!];
        // Before it rests, while it asks, and long after.
        await simulation.run([60, 110, 130, 400, 3000][(seed + n) % 5]!);
        const fault = (seed * 7 + n * 3) % 6;
        if (fault === 0) simulation.crash(simulation.leader() ?? one, { power: n % 2 === 0 });
        else if (fault === 1) simulation.crash(one);
        else if (fault === 2 && one !== other) simulation.cut(one, other);
        else if (fault === 3 && one !== other) simulation.cutOneWay(one, other);
        else if (fault === 4) simulation.pause(one, 2000);
        else simulation.partition([[one], three.filter((id) => id !== one)]);
        await simulation.run([10, 500, 5000][(seed + n) % 3]!);
        const write = simulation
          .replica(other)
          .submit({ op: 'put', key: 'k', value: `${seed} ${n}` })
          .catch(() => undefined);
        await simulation.run(200);
        simulation.heal();
        for (const id of three) if (simulation.state(id) === 'down') simulation.restart(id);
        await simulation.settle(write);
      }
      simulation.setMessages({ lossRate: 0, duplicateRate: 0, reorderRate: 0 });
      await well(simulation);
    }
  });
});

describe('simulation: many groups on one mesh', () => {
  const GROUPS = 60;

  /** Opens many groups on every node of a cluster. */
  async function crowd(quietAfterMs: number) {
    const simulation = await elected({ consensus: raft({ quietAfterMs }) });
    const groups = Array.from({ length: GROUPS }, (_, n) => `g${n}`);
    const open = async (id: string) => {
      const storage = memoryStorage();
      return Promise.all(
        groups.map((group) =>
          openReplica({
            mesh: simulation.mesh(id),
            group,
            members: three,
            stateMachine: keyValue<number>(),
            storage,
            consensus: raft({ quietAfterMs }),
          }),
        ),
      );
    };
    const nodes = await simulation.settle(Promise.all(three.map(open)));
    await simulation.settle(Promise.all(nodes.flat().map((replica) => replica.ready())));
    return { simulation, nodes };
  }

  const framesSent = (simulation: KeyValueSimulation): number =>
    three.reduce((sum, id) => sum + simulation.mesh(id).metrics().framesSent, 0);

  /** Frames that all nodes send in ten seconds. */
  async function chatter(simulation: KeyValueSimulation): Promise<number> {
    const before = framesSent(simulation);
    await simulation.run(10_000);
    return framesSent(simulation) - before;
  }

  it('cost no frame and no tick while they rest, and count as such', async () => {
    const { simulation, nodes } = await crowd(QUIET_MS);
    const all = (): boolean => nodes.flat().every((replica) => replica.status().quiet);
    expect(await simulation.runUntil(all, 20_000)).to.equal(true);
    await untilQuiet(simulation);
    for (const id of three)
      expect(simulation.mesh(id).metrics().groups).to.deep.equal({ open: GROUPS + 1, quiet: GROUPS + 1 });
    const events = simulation.events;
    const frames = await chatter(simulation);
    const [few, ticks] = [frames, simulation.events - events];
    // The same nodes with the one group of the simulation.
    const alone = await elected({ consensus: raft({ quietAfterMs: QUIET_MS }) });
    await untilQuiet(alone);
    const eventsAlone = alone.events;
    expect(few).to.be.at.most((await chatter(alone)) * 1.05);
    expect(ticks).to.be.at.most((alone.events - eventsAlone) * 1.05);
    // One of them wakes, the others sleep on.
    await simulation.settle(nodes[0]![7]!.submit({ op: 'put', key: 'k', value: 1 }));
    expect(simulation.mesh('a').metrics().groups.quiet).to.equal(GROUPS);
  });

  it('send their heartbeats to a peer in one frame while they do not', async () => {
    const { simulation } = await crowd(Infinity);
    const leads = await chatter(simulation);
    const beats = 10_000 / 50;
    // Each node may beat to two others, and gets the answers of two; the mesh's own heartbeats and a few stragglers come on top.
    expect(leads).to.be.below(beats * 6 * 2 * 1.4);
    expect(simulation.mesh('a').metrics().groups).to.deep.equal({ open: GROUPS + 1, quiet: 0 });
  });

  it('all find leaders when a node dies that led a part of them, and do not all run at once', async () => {
    const { simulation, nodes } = await crowd(QUIET_MS);
    const all = (): boolean => nodes.flat().every((replica) => replica.status().quiet);
    expect(await simulation.runUntil(all, 20_000)).to.equal(true);
    const dead = three[0]!;
    const led = nodes[1]!.filter((replica) => replica.status().leader === dead).length;
    expect(led).to.be.above(5);
    const rest = [...nodes[1]!, ...nodes[2]!];
    const electedAt: number[] = [];
    for (const replica of nodes[1]!)
      replica.on('leader:changed', (leader) => {
        if (leader !== undefined && leader !== dead) electedAt.push(simulation.now);
      });
    simulation.crash(dead, { power: true });
    const moved = (): boolean =>
      rest.every((replica) => ![undefined, dead].includes(replica.status().leader));
    expect(await simulation.runUntil(moved, 20_000)).to.equal(true);
    expect(Math.max(...electedAt) - Math.min(...electedAt)).to.be.above(300);
    await simulation.settle(
      Promise.all(nodes[1]!.map((replica) => replica.submit({ op: 'put', key: 'k', value: 1 }))),
    );
  });
});
