/** Leases of whole nodes in virtual time: what they are for, and what would break them. */
import { expect } from 'chai';
import { raft } from '../../../../lib/replica/consensus.js';
import { checkLinearizable, createSimulation, keyValueModel } from '../../../../lib/testing/index.js';
import { Random } from '../../../../lib/testing/simulation/random.js';
import { elected, five, get, put, three, untilLed } from './support.js';
import type { KeyValueSimulation } from './support.js';

const leased = raft({ lease: { maxDrift: 0.1 } });

/** A cluster whose leader has a lease. */
async function withLease(options: Parameters<typeof elected>[0] = {}): Promise<KeyValueSimulation> {
  const simulation = await elected({ consensus: leased, ...options });
  await put(simulation, 'a', 'k', 'old');
  await simulation.run(200);
  return simulation;
}

/** How long a read through a node takes, in virtual milliseconds. */
async function timeOfRead(simulation: KeyValueSimulation, id: string): Promise<number> {
  const begun = simulation.now;
  await get(simulation, id, 'k');
  return simulation.now - begun;
}

const others = (simulation: KeyValueSimulation): string[] =>
  simulation.nodes.filter((id) => id !== simulation.leader());

describe('leases in the simulator', () => {
  it('save a read its round: none at the leader, one way there and back at a follower', async () => {
    const network = { latencyMs: 20, tailMs: 0 };
    for (const [consensus, atLeader, atFollower] of [
      [leased, 0, 40],
      [raft(), 40, 80],
    ] as const) {
      const simulation = await withLease({ consensus, network });
      const leader = simulation.leader()!;
      expect(await timeOfRead(simulation, leader)).to.be.within(atLeader, atLeader + 5);
      expect(await timeOfRead(simulation, others(simulation)[0]!)).to.be.within(atFollower, atFollower + 5);
    }
  });

  it('run out before the others elect another leader', async () => {
    const simulation = await withLease({ relay: false });
    const leader = simulation.leader()!;
    const rest = others(simulation);
    for (const id of rest) simulation.cut(leader, id);
    // For a while it still answers, though nobody hears it; then not any more.
    let answered = 0;
    for (let i = 0; i < 200; i++) {
      const asked = simulation.replica(leader).query({ op: 'get', key: 'k' }, { timeout: 5 });
      await simulation.settle(
        asked.then(
          () => answered++,
          () => undefined,
        ),
      );
      const now = simulation.replica(rest[0]!).status();
      if (now.leader !== undefined && now.leader !== leader)
        await put(simulation, now.leader, 'k', `new ${i}`);
      await simulation.run(5);
    }
    expect(answered).to.be.within(5, 60);
    expect(checkLinearizable(keyValueModel(), simulation.history)).to.equal('ok');
    simulation.check();
  });

  // Pitfall 5: the clock of a machine that sleeps stands still, and its lease would be as good as new when it wakes up.
  for (const [ms, network] of [
    [1200, 'still there'],
    [4000, 'still there'],
    [1200, 'not back yet'],
    [4000, 'not back yet'],
  ] as const)
    it(`are void after the leader was suspended for ${ms} ms, with its network ${network}`, async () => {
      const simulation = await withLease();
      const leader = simulation.leader()!;
      const rest = others(simulation);
      const wakes = simulation.now + ms;
      simulation.suspend(leader, ms);
      // Then nobody tells it that there is another leader.
      if (network === 'not back yet') for (const id of rest) simulation.cut(leader, id);
      const next = await untilLed(simulation, rest);
      await put(simulation, next, 'k', 'new');
      await simulation.run(wakes - 1 - simulation.now);
      // What its app asks as it wakes up comes before what the others have sent, and by its clock no time has gone by.
      let stale = 0;
      for (let i = 0; i < 50; i++) {
        simulation
          .replica(leader)
          .query({ op: 'get', key: 'k' }, { timeout: 3000 })
          .then(
            (value) => (stale += value === 'old' ? 1 : 0),
            () => undefined,
          );
        await simulation.run(1);
      }
      simulation.heal();
      await simulation.run(4000);
      expect(stale).to.equal(0);
      expect(checkLinearizable(keyValueModel(), simulation.history)).to.equal('ok');
      simulation.check();
    });

  // A voter that forgets its promise lets the one elect that has waited for just that.
  it('are safe from a voter that restarts', async () => {
    for (const seed of [1, 2, 3]) {
      const simulation = await withLease({ relay: false, seed });
      const leader = simulation.leader()!;
      const [voter, waiting] = others(simulation) as [string, string];
      simulation.cut(leader, waiting);
      await simulation.run(3000);
      simulation.cut(leader, voter);
      simulation.crash(voter);
      simulation.restart(voter);
      const written = simulation.replica(waiting).submit({ op: 'put', key: 'k', value: 'new' });
      for (let i = 0; i < 150; i++) {
        void simulation
          .replica(leader)
          .query({ op: 'get', key: 'k' }, { timeout: 50 })
          .catch(() => undefined);
        await simulation.run(4);
      }
      await simulation.settle(written);
      await simulation.run(3000);
      expect(simulation.leader()).to.not.equal(leader);
      expect(checkLinearizable(keyValueModel(), simulation.history)).to.equal('ok');
      simulation.check();
    }
  });

  for (const [seed, nodes] of [three, three, five].entries())
    it(`keep reads linearizable under pauses, suspends, drifting clocks, restarts and transfers (seed ${seed}, ${nodes.length} nodes)`, async () => {
      const simulation = createSimulation({
        seed,
        nodes,
        consensus: leased,
        clocks: { driftRate: 0.1 },
        relay: seed % 2 === 0,
      });
      await simulation.ready();
      const random = new Random(`leases ${seed}`);
      const work = { stop: false };
      const client = async (name: string): Promise<void> => {
        const own = random.stream(name);
        for (let n = 0; !work.stop; n++) {
          await simulation.sleep(own.exponential(8));
          const up = nodes.filter((id) => simulation.state(id) === 'up');
          if (up.length === 0) continue;
          // Old leaders are asked as often as new ones.
          const replica = simulation.replica(own.pick(up));
          const key = own.pick(['x', 'y']);
          const limits = { timeout: 400 };
          const call = own.chance(0.3)
            ? replica.submit({ op: 'put', key, value: `${name} ${n}` }, limits)
            : replica.query({ op: 'get', key }, limits);
          await call.catch(() => undefined);
        }
      };
      const clients = Array.from({ length: 5 }, (_, i) => client(`client ${i}`));
      for (let i = 0; i < 10; i++) {
        await simulation.run(random.between(200, 700));
        const id = random.chance(0.6) ? (simulation.leader() ?? 'a') : random.pick(nodes);
        const other = random.pick(nodes.filter((one) => one !== id));
        const ms = random.between(100, 1200);
        switch (random.integer(5)) {
          case 0:
            simulation.pause(id, ms);
            break;
          case 1:
            simulation.suspend(id, ms);
            break;
          case 2:
            simulation.partition([[id], nodes.filter((one) => one !== id)]);
            simulation.after(ms, () => simulation.heal());
            break;
          case 3:
            simulation.crash(other);
            simulation.restart(other);
            break;
          case 4:
            void simulation
              .replica(other)
              .transferLeadership(other, { timeout: 500 })
              .catch(() => undefined);
        }
      }
      simulation.heal();
      await simulation.run(2500);
      work.stop = true;
      await simulation.settle(Promise.all(clients));
      expect(checkLinearizable(keyValueModel(), simulation.history)).to.equal('ok');
      simulation.check();
    });
});
