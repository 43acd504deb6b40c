/** Members that missed writes are told of them: by hints on the disk, past circuits that opened. */
import { expect } from 'chai';
import { lww } from '../../../../lib/store/resolve/resolution.js';
import { Stage } from './stage.js';

describe('hinted handoff', () => {
  const stageOf = (seed: number, more: object = {}): Stage<string, string, never> =>
    new Stage<string, string, never>(seed, () => ({
      resolve: lww<string>(),
      w: 'local',
      repairIntervalMs: 1e9,
      ...more,
    }));

  it('outlives a crash of who remembers, and is over once the member has it on its disk', async () => {
    const stage = await stageOf(41).ready();
    stage.simulation.partition([['a'], ['b', 'c']]);
    await stage.simulation.run(10_000);
    for (let n = 0; n < 30; n++)
      expect(await stage.settle(stage.at('a').put(`k${n % 20}`, `${n}`))).to.deep.equal({
        acknowledged: 1,
        hinted: ['b', 'c'],
      });
    expect(stage.at('a').status().hints).to.equal(40);
    await stage.simulation.run(100);
    stage.crash('a');
    await stage.restart('a');
    expect(stage.at('a').status()).to.deep.include({ hints: 40, hintsDropped: 0 });
    const told: unknown[] = [];
    stage.at('a').on('handed-over', (event) => told.push(event));
    stage.simulation.heal();
    const over = (): boolean => stage.converged && stage.at('a').status().hints === 0;
    expect(await stage.simulation.runUntil(over, 10_000)).to.equal(true);
    expect(told).to.have.deep.members([
      { peer: 'b', keys: 20 },
      { peer: 'c', keys: 20 },
    ]);
    await stage.simulation.run(100);
    stage.crash('a');
    await stage.restart('a');
    expect(stage.at('a').status().hints).to.equal(0);
    stage.simulation.check();
  });

  it('goes through a checkpoint', async () => {
    const stage = await stageOf(42).ready();
    stage.simulation.partition([['a'], ['b', 'c']]);
    await stage.simulation.run(10_000);
    // More than a megabyte of log is what a checkpoint waits for.
    await stage.settle(stage.at('a').put('first', 'x'));
    for (let n = 0; n < 30; n++) await stage.settle(stage.at('a').put('big', `${n}`.padEnd(50_000, '.')));
    await stage.simulation.run(1000);
    stage.crash('a');
    await stage.restart('a');
    expect(stage.at('a').status().hints).to.equal(4);
    stage.simulation.check();
  });

  it('does not wait for a member whose circuit opened, and tries it again', async () => {
    const stage = await stageOf(43, { timeout: 100 }).ready();
    stage.simulation.pause('c', 1500);
    for (let n = 0; n < 6; n++) {
      await stage.settle(stage.at('a').put(`k${n}`, 'v'));
      await stage.simulation.run(1);
    }
    await stage.simulation.run(150);
    expect(stage.at('a').status().circuits).to.deep.equal({ c: 'open' });
    expect((await stage.settle(stage.at('a').put('k', 'v', { w: 2 }))).hinted).to.deep.equal(['c']);
    expect(stage.at('a').status().hints).to.equal(7);
    await stage.simulation.run(5000);
    await stage.settle(stage.at('a').repair());
    expect(stage.at('a').status()).to.deep.include({ circuits: {}, hints: 0 });
    expect(stage.converged).to.equal(true);
    stage.simulation.check();
  });
});
