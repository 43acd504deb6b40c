/** One run of a bank over three groups, under fire; one seed decides it. Throws where money was made or lost, or a history is not serializable. */
import { expect } from 'chai';
import { dice, Teller, World } from './world.js';

/** In doubt no longer than: the time-out of the transactions, one pause between tries, and an election. */
const BOUND_MS = 3000 + 6250 + 4000;

export async function runBank(seed: number): Promise<Teller> {
  const world = new World({ seed });
  const { simulation, groups, nodes } = world;
  await world.ready();
  const roll = dice(seed);
  const teller = new Teller(world);
  const accounts = groups.flatMap((group) => [0, 1, 2].map((n) => [group, `${group}-${n}`] as const));
  await simulation.settle(teller.fill('a', accounts, 100), 20_000);

  const end = simulation.now + 6000;
  const client = async (): Promise<void> => {
    while (simulation.now < end && simulation.violation === undefined) {
      await simulation.sleep(10 + roll(120));
      const node = nodes[roll(nodes.length)]!;
      if (!world.isUp(node)) continue;
      const from = roll(accounts.length);
      const to = (from + 1 + roll(accounts.length - 1)) % accounts.length;
      const work =
        roll(5) === 0
          ? teller.audit(node, accounts)
          : teller.transfer(node, accounts[from]!, accounts[to]!, 1 + roll(60));
      // A process that dies takes its promises with it.
      await Promise.race([work, simulation.sleep(8000)]);
    }
  };
  const nemesis = async (): Promise<void> => {
    while (simulation.now < end) {
      await simulation.sleep(200 + roll(1500));
      const node = nodes[roll(nodes.length)]!;
      switch (roll(5)) {
        case 0:
        case 1:
          if (nodes.filter((id) => world.isUp(id)).length < nodes.length - 1) break;
          world.crash(node, roll(2) === 0);
          simulation.after(100 + roll(1500), () => {
            if (simulation.state(node) === 'down') world.restart(node);
          });
          break;
        case 2:
          simulation.partition([[node], nodes.filter((id) => id !== node)]);
          simulation.after(200 + roll(2000), () => simulation.heal());
          break;
        case 3:
          simulation.pause(node, 100 + roll(1500));
          break;
        case 4: {
          const other = nodes[roll(nodes.length)]!;
          if (other !== node) simulation.cutOneWay(node, other);
          simulation.after(200 + roll(1500), () => simulation.heal());
          break;
        }
      }
    }
  };
  const clients = Promise.all([client(), client(), client(), client(), nemesis()]);
  await simulation.settle(clients, 60_000);
  world.heal();
  simulation.heal();
  // One who was cut off may still begin anew until its calls are over; then the bound counts.
  const settled = await simulation.runUntil(() => world.settled, BOUND_MS);
  simulation.check();
  expect(settled, 'nobody is in doubt').to.equal(true);
  await simulation.settle(teller.audit('b', accounts, { timeout: 10_000 }), 20_000);
  expect(teller.history.at(-1)!.outcome).to.equal('committed');
  teller.check();
  for (const group of groups) {
    const digests = new Set<string>();
    for (const node of world.layout[group]!) {
      const replica = world.replica(node, group)!;
      await simulation.settle(replica.ready());
      digests.add((await simulation.settle(replica.digest())).digest);
    }
    expect(digests.size, `the members of ${group} are equal`).to.equal(1);
  }
  return teller;
}
