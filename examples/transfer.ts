/**
 * Moving money between two groups: all of it or nothing, with others at work on the same accounts; a request that is repeated;
 * and a process that is gone in the middle of a transfer, of which nothing is left.
 */
import {
  joinMesh,
  keyValue,
  memoryNetwork,
  memoryStorage,
  openClient,
  openReplica,
  QuorateError,
  transact,
  transactional,
  transactionsOf,
  type Mesh,
} from 'quorate';

const transport = memoryNetwork();
const members = ['a', 'b', 'c'];
const meshes: Mesh[] = [];
const accounts = () => transactional(keyValue<number>());

async function join(id: string): Promise<Mesh> {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport,
  });
  meshes.push(mesh);
  return mesh;
}

async function start(id: string) {
  const mesh = await join(id);
  const open = (group: string) =>
    openReplica({ mesh, group, members, stateMachine: accounts(), storage: memoryStorage() });
  return { east: await open('east'), west: await open('west') };
}
const [a, b] = await Promise.all([start('a'), start('b'), start('c')]);

type Groups = Pick<typeof a, 'east' | 'west'>;
async function transfer(groups: Groups, amount: number, requestId?: string): Promise<number> {
  return transact(
    groups,
    async ({ east, west }, { abort }) => {
      const ann = (await east.query({ op: 'get', key: 'ann' }, { forUpdate: true })) ?? 0;
      const bob = (await west.query({ op: 'get', key: 'bob' }, { forUpdate: true })) ?? 0;
      if (ann < amount) abort('NOT_ENOUGH', { balance: ann });
      await east.submit({ op: 'put', key: 'ann', value: ann - amount });
      await west.submit({ op: 'put', key: 'bob', value: bob + amount });
      return ann - amount;
    },
    requestId === undefined ? {} : { requestId },
  );
}
/** Both accounts as of one moment. */
const both = (groups: Groups) =>
  transact(groups, async ({ east, west }) => [
    await east.query({ op: 'get', key: 'ann' }),
    await west.query({ op: 'get', key: 'bob' }),
  ]);

await a.east.submit({ op: 'put', key: 'ann', value: 100 });
await a.west.submit({ op: 'put', key: 'bob', value: 0 });

console.log('ann sends 30 to bob; left:', await transfer(a, 30));
await Promise.all([transfer(a, 5), transfer(b, 5), transfer(a, 5), transfer(b, 5)]);
console.log('four more at once, 5 each, from two processes:', await both(b));

try {
  await transfer(a, 1000);
} catch (error) {
  const { code, reason, data, fate } = error as QuorateError;
  console.log('too much:', code, reason, data, fate);
}

console.log('a request:', await transfer(a, 10, 'order-17'), 'and again:', await transfer(b, 10, 'order-17'));
console.log('it was done once:', await both(a));

// A process that belongs to neither group begins a transfer, and is gone before it commits.
const laptop = await join('laptop');
const far = {
  east: await openClient({ mesh: laptop, group: 'east', stateMachine: accounts() }),
  west: await openClient({ mesh: laptop, group: 'west', stateMachine: accounts() }),
};
await transact(
  far,
  async ({ east }) => {
    await east.submit({ op: 'put', key: 'ann', value: 0 });
    console.log('the laptop has taken the money, and is shut');
    await laptop.close();
  },
  { timeout: 1000 },
).catch((error: unknown) => {
  const { code, fate } = error as QuorateError;
  console.log('the laptop is told:', code, fate);
});
await a.east.ready();
console.log('transactions under way in east:', transactionsOf(a.east).metrics().underWay);
const began = performance.now();
console.log('the next transfer from the same account; left:', await transfer(a, 1));
const seconds = ((performance.now() - began) / 1000).toFixed(1);
console.log(
  `it got the lock when the laptop's time was over, after ${seconds} s; nothing of the laptop's took effect`,
);

await Promise.all(meshes.map((mesh) => mesh.close()));
