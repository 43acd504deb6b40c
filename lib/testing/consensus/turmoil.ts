/** Clients read and write through all nodes alike, deposed leaders too, while leaders are paused, suspended, cut off and replaced. */
import { Random } from '../simulation/random.js';
import type { Group } from './bench.js';
import { assertLinearizable, led } from './steps.js';

/** Has `group` live through it; its history must be linearizable. @internal */
export async function turmoil(group: Group, rounds = 10): Promise<void> {
  const { nodes, seed } = group;
  const random = new Random(`turmoil ${seed}`);
  const work = { stop: false };
  const client = async (name: string): Promise<void> => {
    const own = random.stream(name);
    for (let n = 0; !work.stop; n++) {
      await group.sleep(own.exponential(8));
      const up = nodes.filter((id) => group.state(id) === 'up');
      if (up.length === 0) continue;
      // Old leaders are asked as often as new ones.
      const replica = group.replica(own.pick(up));
      const key = own.pick(['x', 'y']);
      const limits = { timeout: 400 };
      const call = own.chance(0.3)
        ? replica.submit({ op: 'put', key, value: `${name} ${n}` }, limits)
        : replica.query({ op: 'get', key }, limits);
      await call.catch(() => undefined);
    }
  };
  const clients = Promise.all(Array.from({ length: 5 }, (_, i) => client(`client ${i}`)));
  clients.catch(() => undefined);
  for (let i = 0; i < rounds; i++) {
    await group.run(random.between(200, 700));
    const id = random.chance(0.6) ? (group.leader() ?? nodes[0]!) : random.pick(nodes);
    const other = random.pick(nodes.filter((one) => one !== id));
    const ms = random.between(100, 1200);
    switch (random.integer(5)) {
      case 0:
        group.pause(id, ms);
        break;
      case 1:
        group.suspend(id, ms);
        break;
      case 2:
        group.partition([[id], nodes.filter((one) => one !== id)]);
        group.after(ms, () => group.heal());
        break;
      case 3:
        group.crash(other);
        group.restart(other);
        break;
      case 4:
        void group
          .replica(other)
          .transferLeadership(other, { timeout: 500 })
          .catch(() => undefined);
    }
  }
  group.heal();
  await group.run(2500);
  await led(group);
  work.stop = true;
  await group.settle(clients);
  assertLinearizable(group);
}
