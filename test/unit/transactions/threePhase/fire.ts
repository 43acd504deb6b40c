/** One run of three-phase commits under random faults; one seed decides it. Throws where a transaction has two outcomes, or none. */
import { expect } from 'chai';
import { dice } from '../world.js';
import { Stage, type Told } from './stage.js';

/** After healing: what is left of a doubled patience, two rounds of attempts, a pause between two tellings. */
export const BOUND_MS = 15_000;

export async function runSites(seed: number): Promise<{ calls: readonly Told[]; stage: Stage }> {
  const nodes = ['a', 'b', 'c', 'd'];
  const stage = await new Stage(seed, nodes).ready();
  const { simulation } = stage;
  const roll = dice(seed);
  for (const vault of stage.vaults.values())
    vault.vote = async () => {
      await simulation.sleep(roll(20) * roll(20));
      return roll(12) > 0;
    };
  const calls: Told[] = [];
  const end = simulation.now + 8000;
  const client = async (): Promise<void> => {
    while (simulation.now < end) {
      await simulation.sleep(20 + roll(300));
      const node = nodes[roll(4)]!;
      if (!stage.isUp(node)) continue;
      const to = nodes.filter(() => roll(3) > 0);
      if (to.length > 0)
        calls.push(stage.begin(node, to, { timeout: 300 + roll(3000), patience: 200 + roll(600) }));
      for (const vault of stage.vaults.values()) if (roll(8) === 0) vault.refuseOutcomes = roll(4);
    }
  };
  const nemesis = async (): Promise<void> => {
    while (simulation.now < end) {
      await simulation.sleep(100 + roll(900));
      const node = nodes[roll(4)]!;
      switch (roll(4)) {
        case 0:
        case 1:
          if (!stage.isUp(node)) break;
          stage.crash(node, roll(3) > 0);
          simulation.after(100 + roll(2500), () => {
            if (simulation.state(node) === 'down') stage.restart(node);
          });
          break;
        case 2: {
          const part = nodes.filter(() => roll(2) === 0);
          simulation.partition([part, [...nodes.filter((id) => !part.includes(id)), 'z']]);
          simulation.after(200 + roll(2500), () => simulation.heal());
          break;
        }
        case 3:
          simulation.pause(node, 100 + roll(1000));
      }
    }
  };
  await simulation.settle(Promise.all([client(), client(), client(), nemesis()]), 60_000);
  stage.heal();
  const through = await simulation.runUntil(() => stage.settled, BOUND_MS);
  simulation.check();
  expect(through, `seed ${seed}: nobody is in doubt`).to.equal(true);
  stage.check(calls, `seed ${seed}`);
  return { calls, stage };
}
