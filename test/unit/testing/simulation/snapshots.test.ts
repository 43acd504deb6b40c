/** When members take snapshots, and where their logs begin then. */
import { expect } from 'chai';
import { createSimulation } from '../../../../lib/testing/index.js';
import { brokenRaft, elected, thrown, three, untilEqual, type KeyValueSimulation } from './support.js';

const VALUE = 'v'.repeat(1000);
const ENTRY_BYTES = 1100;

describe('simulation: snapshots', function () {
  this.timeout(60_000);

  /** Twenty commands at once, again and again, all by one member. */
  async function write(
    simulation: KeyValueSimulation,
    id: string,
    rounds: number,
    look: () => void,
  ): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      const puts = Array.from({ length: 20 }, (_, i) =>
        simulation.replica(id).submit({ op: 'put', key: `${round % 3}.${i}`, value: VALUE }),
      );
      await simulation.settle(Promise.all(puts));
      await simulation.run(100);
      look();
    }
  }

  it('are taken as soon as the log has grown, by members that submit nothing too', async () => {
    const logBytes = 64 * 1024;
    const simulation = await elected({
      nodes: [...three, 'w'],
      founders: three,
      witnesses: ['w'],
      snapshot: { logBytes, keepEntries: 0 },
    });
    simulation.restart('w');
    const most = new Map<string, number>();
    await write(simulation, simulation.leader()!, 20, () => {
      for (const { node, durable } of simulation.group.disks.values())
        most.set(node, Math.max(most.get(node) ?? 0, durable.last - durable.first + 1));
    });
    expect([...most.keys()].sort()).to.deep.equal([...three, 'w']);
    const entries = logBytes / ENTRY_BYTES;
    // What is written while a snapshot is saved comes on top. The entries of a witness are empty.
    for (const id of three) expect(most.get(id), id).to.be.within(entries / 2, entries * 2);
    await untilEqual(simulation);
    simulation.check();
  });

  it('are where the log begins after a restart, when the app asked for one', async () => {
    const simulation = await elected();
    await write(simulation, simulation.leader()!, 2, () => undefined);
    await untilEqual(simulation);
    const compacted = new Map<string, number>();
    for (const id of three) {
      const { appliedIndex } = simulation.replica(id).status();
      const { index } = await simulation.settle(simulation.replica(id).compact());
      expect(index, id).to.be.at.least(appliedIndex);
      compacted.set(id, index);
    }
    // By default ten thousand entries stay behind a snapshot: the log goes by the option, not by the call.
    for (const { node, durable, snapshot } of simulation.group.disks.values()) {
      expect(durable.first, node).to.equal(1);
      expect(snapshot?.index, node).to.equal(compacted.get(node));
    }
    const found = new Map<string, number>();
    const consensus = brokenRaft(
      () => ({}),
      (setup) => {
        found.set(setup.self, setup.recovered?.firstIndex ?? 0);
        return setup;
      },
    );
    const other = await elected({ consensus, snapshot: { keepEntries: 5 } });
    await write(other, other.leader()!, 2, () => undefined);
    await untilEqual(other);
    for (const id of three) {
      const { index } = await other.settle(other.replica(id).compact());
      other.crash(id);
      other.restart(id);
      expect(await other.runUntil(() => other.state(id) === 'up', 10_000)).to.equal(true);
      // Commands that came as one entry stay together.
      expect(found.get(id), id).to.be.within(Math.max(2, index - 4 - 20), index - 4);
    }
    await untilEqual(other);
    other.check();
    simulation.check();
  });

  it('are not there to be asked for before anything is applied, after a fault of the disk, or on a node that is down', async () => {
    const simulation = createSimulation({ seed: 1, nodes: three });
    for (const id of ['b', 'c']) simulation.crash(id);
    await simulation.run(2000);
    const compact = (id: string) => simulation.settle(simulation.replica(id).compact());
    await thrown(() => compact('a'), 'ERR_NOT_READY');
    await thrown(() => compact('b'), 'ERR_CLOSED');
    for (const id of ['b', 'c']) simulation.restart(id);
    await simulation.ready();
    await write(simulation, simulation.leader()!, 1, () => undefined);
    const id = three.find((one) => one !== simulation.leader())!;
    simulation.setDisk(id, { errors: { sync: 1 } });
    await thrown(() => compact(id), 'ERR_REPLICA_FAILED');
    expect(simulation.state(id)).to.equal('failed');
    simulation.check();
  });
});
