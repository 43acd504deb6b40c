/** When leaders are replaced, and when not: dead ones soon, living ones behind bad networks, disks and event loops not at all. */
import { expect } from 'chai';
import { raft } from '../../../../lib/replica/consensus.js';
import { elected, three, untilEqual, untilLed, type KeyValueSimulation } from './support.js';
import { createSimulation, type NetworkSettings } from '../../../../lib/testing/index.js';

/** Never less than 50 ms, up to 400 ms and a little more, one way. */
const JITTERY: NetworkSettings = { latencyMs: 50, jitterMs: 350, tailMs: 5 };

const termOf = (simulation: KeyValueSimulation): number =>
  Math.max(
    ...three.filter((id) => simulation.state(id) === 'up').map((id) => simulation.replica(id).status().epoch),
  );

/** Clients that write through every member all the while. */
function load(simulation: KeyValueSimulation): { stop(): void; done: number } {
  const state = { running: true, done: 0, stop: () => void (state.running = false) };
  const client = async (id: string): Promise<void> => {
    for (let n = 0; state.running; n++) {
      await simulation.sleep(20);
      if (simulation.state(id) !== 'up') continue;
      await simulation
        .replica(id)
        .submit({ op: 'put', key: id, value: n })
        .then(
          () => state.done++,
          () => undefined,
        );
    }
  };
  for (const id of three) void client(id);
  return state;
}

/** How long it takes from the death of the leader to a write through each of the others. */
async function failover(simulation: KeyValueSimulation): Promise<number> {
  const dead = simulation.leader()!;
  const begun = simulation.now;
  simulation.crash(dead);
  const [one, other] = three.filter((id) => id !== dead) as [string, string];
  const written = [one, other].map((id) => simulation.replica(id).submit({ op: 'put', key: id, value: 1 }));
  await simulation.settle(Promise.all(written));
  const took = simulation.now - begun;
  simulation.restart(dead);
  await untilLed(simulation);
  await untilEqual(simulation);
  return took;
}

/** How often somebody was elected in a minute under load, once the group has had a few seconds to learn its network. */
async function electionsIn(
  ms: number,
  options: Parameters<typeof elected>[0],
  disturb: (simulation: KeyValueSimulation) => Promise<void> | void = () => undefined,
): Promise<{ elections: number; done: number }> {
  const simulation = await elected(options);
  const clients = load(simulation);
  await simulation.run(5000);
  const before = termOf(simulation);
  const until = simulation.now + ms;
  await disturb(simulation);
  await simulation.run(Math.max(0, until - simulation.now));
  clients.stop();
  simulation.check();
  return { elections: termOf(simulation) - before, done: clients.done };
}

const seeds = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe('simulation: a leader that died', function () {
  this.timeout(120_000);

  it('is replaced within a fraction of a second on a local network', async () => {
    const times: number[] = [];
    for (const seed of seeds(6)) {
      const simulation = await elected({ seed });
      for (let n = 0; n < 4; n++) {
        await simulation.run(500 + 37 * n);
        times.push(await failover(simulation));
      }
      simulation.check();
    }
    times.sort((a, b) => a - b);
    expect(times[12], 'median').to.be.below(350);
    expect(times.at(-1), 'at worst').to.be.below(700);
  });

  it('is replaced within seconds where a round trip takes most of one, and the votes are not split for ever', async () => {
    for (const seed of seeds(3)) {
      const simulation = await elected({ seed, network: JITTERY });
      for (let n = 0; n < 2; n++) {
        await simulation.run(3000);
        expect(await failover(simulation), `seed ${seed}`).to.be.below(10_000);
      }
      simulation.check();
    }
  });
});

describe('simulation: a leader that lives', function () {
  this.timeout(120_000);

  it('keeps its office behind a path with delays of 50 to 400 ms each way', async () => {
    for (const seed of seeds(4)) {
      const { elections, done } = await electionsIn(60_000, { seed, network: JITTERY });
      expect(elections, `seed ${seed}`).to.equal(0);
      expect(done).to.be.above(100);
    }
  });

  it('would lose it there again and again if the time-out were fixed', async () => {
    const consensus = raft({ electionTimeoutMs: 250, maxElectionTimeoutMs: 250 });
    const simulation = createSimulation({ seed: 1, nodes: three, network: JITTERY, consensus });
    await simulation.run(60_000);
    expect(termOf(simulation)).to.be.above(10);
  });

  it('keeps it when the way gets 200 ms longer from one moment to the next', async () => {
    for (const seed of seeds(4)) {
      const { elections } = await electionsIn(4000, { seed }, ({ network }) =>
        network.shapeAll({ latencyMs: 200 }),
      );
      expect(elections, `seed ${seed}`).to.equal(0);
    }
  });

  it('keeps it when two in a hundred packets get lost', async () => {
    for (const seed of seeds(2)) {
      const network = { latencyMs: 20, lossRate: 0.02 };
      const { elections } = await electionsIn(20_000, { seed, network });
      expect(elections, `seed ${seed}`).to.equal(0);
    }
  });

  it('keeps it when event loops are blocked for half an election time-out, at all members', async () => {
    for (const seed of seeds(2)) {
      const stall = async (simulation: KeyValueSimulation): Promise<void> => {
        for (let n = 0; n < 35; n++) {
          const spared = three[n % 4];
          for (const id of three) if (id !== spared) simulation.pause(id, 150);
          await simulation.run(320 + (n % 7) * 10);
        }
      };
      const { elections, done } = await electionsIn(12_000, { seed }, stall);
      expect(elections, `seed ${seed}`).to.equal(0);
      expect(done).to.be.above(500);
    }
  });

  it('loses it to a long stall, and then is given as much time as it said that it stood still', async () => {
    for (const seed of seeds(3)) {
      const simulation = await elected({ seed });
      const stalls = async (id: string): Promise<void> => {
        await simulation.run(2000);
        simulation.pause(id, 600);
        await simulation.run(2000);
      };
      const first = simulation.leader()!;
      await stalls(first);
      const second = simulation.leader()!;
      expect(second, 'who is silent for 600 ms out of the blue is replaced').to.not.equal(first);
      await simulation.settle(simulation.replica(first).transferLeadership(first));
      await simulation.run(500);
      const before = termOf(simulation);
      await stalls(first);
      await stalls(first);
      expect(simulation.leader(), `seed ${seed}`).to.equal(first);
      expect(termOf(simulation)).to.equal(before);
      simulation.check();
    }
  });
});

describe('simulation: a leader whose disk hangs', function () {
  this.timeout(120_000);

  const hang = async (seed: number, ms: number, consensus = raft()) => {
    const simulation = await elected({ seed, consensus });
    const clients = load(simulation);
    await simulation.run(1000);
    const leader = simulation.leader()!;
    const before = termOf(simulation);
    simulation.disk(leader).stall(ms);
    return { simulation, clients, leader, before };
  };

  it('keeps its office when that is shorter than the bound, and its group commits all the while', async () => {
    for (const seed of seeds(3)) {
      const { simulation, clients, leader, before } = await hang(seed, 1800);
      const { done } = clients;
      await simulation.run(1700);
      expect(clients.done - done).to.be.above(100);
      await simulation.run(2000);
      expect(simulation.leader()).to.equal(leader);
      expect(termOf(simulation)).to.equal(before);
      simulation.check();
    }
  });

  it('hands over beyond the bound, and does not run before the disk answers', async () => {
    for (const seed of seeds(3)) {
      const { simulation, clients, leader, before } = await hang(seed, 20_000);
      const another = (): boolean => ![undefined, leader].includes(simulation.leader());
      expect(await simulation.runUntil(another, 2200), 'somebody else leads').to.equal(true);
      expect(termOf(simulation)).to.equal(before + 1);
      // Two of three are left with a disk, and the third can vote for nobody: they need each other, and get nothing from it.
      const next = simulation.leader()!;
      simulation.crash(next);
      await simulation.run(5000);
      expect(simulation.replica(leader).status().role).to.equal('follower');
      expect(simulation.replica(leader).status().epoch, 'it counted no term up').to.be.at.most(before + 1);
      simulation.restart(next);
      await simulation.run(18_000);
      clients.stop();
      await untilLed(simulation);
      await untilEqual(simulation);
      simulation.check();
    }
  });

  it('stays where nobody could take over, or where that is not wanted', async () => {
    const { simulation, leader } = await hang(1, 5000, raft({ diskStallMs: 0 }));
    await simulation.run(4900);
    expect(simulation.leader()).to.equal(leader);
    const alone = await elected({ nodes: ['a'] });
    alone.disk('a').stall(5000);
    const written = alone.replica('a').submit({ op: 'put', key: 'k', value: 1 });
    await alone.run(4900);
    expect(alone.replica('a').status().role).to.equal('leader');
    await alone.settle(written);
  });
});
