/** Transactions on the group that the simulation watches: each member applies the same, answers the same, and has the same state. */
import { expect } from 'chai';
import { keyValue, transact, transactional, transactionsOf } from '../../../lib/index.js';
import { createSimulation } from '../../../lib/testing/index.js';
import { dice } from './world.js';

describe('a transactional machine in a simulation', function () {
  this.timeout(120_000);
  it('is the same on every member, through crashes, snapshots and conflicts', async () => {
    const simulation = createSimulation({
      seed: 3,
      nodes: ['a', 'b', 'c'],
      stateMachine: () => transactional(keyValue<number>()),
      snapshot: { logBytes: 16_384, keepEntries: 10 },
    });
    await simulation.ready();
    const roll = dice(3);
    let committed = 0;
    const client = async (): Promise<void> => {
      for (let i = 0; i < 40; i++) {
        await simulation.sleep(5 + roll(60));
        const node = simulation.nodes[roll(3)]!;
        if (simulation.state(node) !== 'up') continue;
        const work = transact(
          [simulation.replica(node)],
          async ([group]) => {
            const [from, to] = [`k${roll(4)}`, `k${roll(4)}`];
            const n = (await group.query({ op: 'get', key: from })) ?? 0;
            await group.submit({ op: 'put', key: to, value: n + 1 });
            if (roll(4) === 0) await group.query({ op: 'list' });
          },
          { timeout: 2000, ...(roll(2) === 0 ? { requestId: `r${roll(10)}` } : {}) },
        ).then(
          () => {
            committed++;
          },
          () => undefined,
        );
        await Promise.race([work, simulation.sleep(4000)]);
      }
    };
    const nemesis = async (): Promise<void> => {
      for (let i = 0; i < 4; i++) {
        await simulation.sleep(400 + roll(500));
        const node = simulation.nodes[roll(3)]!;
        simulation.crash(node);
        await simulation.sleep(200 + roll(400));
        simulation.restart(node);
      }
    };
    await simulation.settle(Promise.all([client(), client(), client(), nemesis()]), 120_000);
    expect(committed).to.be.greaterThan(40);
    const up = (): boolean => simulation.nodes.every((node) => simulation.state(node) === 'up');
    expect(await simulation.runUntil(up, 10_000)).to.equal(true);
    await simulation.run(3000);
    for (const node of simulation.nodes)
      expect(transactionsOf(simulation.replica(node)).metrics()).to.include({ inDoubt: 0, unfinished: 0 });
    const { counts } = simulation.check();
    expect(counts['states compared']).to.be.greaterThan(3);
  });
});
