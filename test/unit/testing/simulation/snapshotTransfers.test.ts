/** Snapshots on their way through a simulated cluster: at a pace, over links that break, from members that die. */
import { expect } from 'chai';
import { elected, three, untilEqual, type KeyValueSimulation } from './support.js';

const RATE = 50_000;
const VALUE = 'v'.repeat(1000);
const KEYS = 600;

interface Stage {
  readonly simulation: KeyValueSimulation;
  readonly leader: string;
  readonly source: string;
  readonly laggard: string;
}

describe('simulation: snapshot transfers', function () {
  this.timeout(60_000);

  /** One member was down, or cut off, while the others wrote 600 kB and compacted their logs; it comes back now. */
  async function behind(away: 'down' | 'cut' = 'down'): Promise<Stage> {
    const simulation = await elected({
      seed: 3,
      snapshot: { logBytes: 64 * 1024, keepEntries: 0, maxBytesPerSecond: RATE },
    });
    const leader = simulation.leader()!;
    const [laggard, source] = three.filter((id) => id !== leader) as [string, string];
    if (away === 'down') simulation.crash(laggard, { power: false });
    else {
      await untilEqual(simulation);
      simulation.partition([[laggard], [leader, source]]);
    }
    for (let n = 0; n < KEYS; n += 20) {
      const puts = Array.from({ length: 20 }, (_, i) =>
        simulation.replica(leader).submit({ op: 'put', key: String(n + i), value: VALUE }),
      );
      await simulation.settle(Promise.all(puts));
    }
    await simulation.run(3000);
    if (away === 'down') simulation.restart(laggard);
    else simulation.heal();
    const met = (): boolean =>
      [leader, source].every((id) =>
        simulation
          .mesh(id)
          .peers()
          .every(({ state }) => state === 'up'),
      );
    expect(await simulation.runUntil(met, 10_000)).to.equal(true);
    return { simulation, leader, source, laggard };
  }

  const sentBy = ({ simulation }: Stage, id: string): number => simulation.mesh(id).metrics().bytesSent;
  const installs = ({ simulation }: Stage): number => simulation.counts()['snapshots installed'] ?? 0;

  async function untilInstalled(stage: Stage, maxMs = 60_000): Promise<number> {
    const { simulation } = stage;
    const before = simulation.now;
    expect(await simulation.runUntil(() => installs(stage) > 0, maxMs), 'a snapshot was installed').to.equal(
      true,
    );
    return simulation.now - before;
  }

  async function allIsWell({ simulation, laggard }: Stage): Promise<void> {
    await untilEqual(simulation);
    expect(simulation.replica(laggard).peek({ op: 'get', key: String(KEYS - 1) })).to.equal(VALUE);
    simulation.check();
  }

  it('are followed by the log, also where that grows faster than they travel', async () => {
    const stage = await behind();
    const { simulation, leader, laggard } = stage;
    let over = false;
    let written = 0;
    const writer = (async () => {
      for (; !over; written++) {
        const key = String(written % 5);
        await simulation.replica(leader).submit({ op: 'put', key, value: VALUE.repeat(20) });
        await simulation.sleep(10);
      }
    })();
    const near = (): boolean =>
      simulation.replica(leader).status().commitIndex - simulation.replica(laggard).status().appliedIndex <
      20;
    expect(await simulation.runUntil(near, 90_000), 'it caught up under load').to.equal(true);
    over = true;
    await simulation.settle(writer);
    await allIsWell(stage);
  });

  it('come from a follower, at its pace, and cost the leader nothing', async () => {
    const stage = await behind();
    const before = [sentBy(stage, stage.leader), sentBy(stage, stage.source)] as const;
    const ms = await untilInstalled(stage);
    expect(ms).to.be.within(8000, 14_000); // 600 kB and more at 50 kB a second, of which some were sent before
    expect(sentBy(stage, stage.source) - before[1]).to.be.greaterThan(400_000);
    expect(sentBy(stage, stage.leader) - before[0], 'heartbeats').to.be.lessThan(100_000);
    await allIsWell(stage);
  });

  it('begin anew when the one who gets them takes one of its own, and come to their end', async () => {
    const stage = await behind('cut');
    const { simulation, laggard, source } = stage;
    const before = sentBy(stage, source);
    await simulation.run(3000);
    expect(sentBy(stage, source) - before, 'it is on its way').to.be.greaterThan(50_000);
    const replica = simulation.replica(laggard);
    const { appliedIndex } = replica.status();
    const { index } = await simulation.settle(replica.compact());
    expect(index).to.equal(appliedIndex);
    expect(installs(stage)).to.equal(0);
    await untilInstalled(stage, 30_000);
    await allIsWell(stage);
    expect((await simulation.settle(replica.compact())).index).to.be.at.least(KEYS);
  });

  it('go on with the same snapshot after a break although there is a newer one by then', async () => {
    const stage = await behind();
    const { simulation, leader, source, laggard } = stage;
    await simulation.run(6000);
    const before = sentBy(stage, source);
    simulation.network.reset(source, laggard);
    for (let n = 0; n < 100; n += 20) {
      const puts = Array.from({ length: 20 }, (_, i) =>
        simulation.replica(i % 2 ? leader : source).submit({ op: 'put', key: `new ${n + i}`, value: VALUE }),
      );
      await simulation.settle(Promise.all(puts));
    }
    await untilInstalled(stage);
    expect(sentBy(stage, source) - before, 'the rest of it').to.be.lessThan(500_000);
    await allIsWell(stage);
  });
});
