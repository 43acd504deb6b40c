/** Five machines share a store of which each key is on three; a sixth one comes, and one of the first goes. */
import { once } from 'node:events';
import { joinMesh, lww, memoryNetwork, memoryStorage, openStore } from 'quorate';

const network = memoryNetwork();
const founders = ['a', 'b', 'c', 'd', 'e'];

async function start(id: string) {
  const secret = 'a secret of sixteen bytes or more';
  const mesh = await joinMesh({ id, cluster: 'example', secret, transport: network });
  const store = await openStore({
    mesh,
    name: 'sessions',
    ...(founders.includes(id) ? { members: founders } : { join: true }),
    n: 3,
    storage: memoryStorage(),
    resolve: lww<string>(),
  });
  return { id, mesh, store };
}

const nodes = await Promise.all(founders.map(start));
for (const { mesh } of nodes) await mesh.waitFor(4);
const [first] = nodes;
const show = (): void => {
  for (const { id, store } of nodes) console.log(' ', id, 'holds', store.status().keys, 'keys');
};

for (let n = 0; n < 200; n++) await first!.store.put(`user:${n}`, `token ${n}`, { w: 'all' });
console.log('200 keys, each on three of five');
show();

const sixth = await start('f');
nodes.push(sixth);
await first!.store.addMember('f'); // it asked for that itself: this waits until the keys are where they belong
while (nodes.reduce((sum, { store }) => sum + store.status().keys, 0) > 600)
  await once(AbortSignal.timeout(50), 'abort'); // the room is given back
console.log('f came');
show();

await first!.store.removeMember('b');
console.log('b went');
nodes.splice(1, 1)[0]!.mesh.close().catch(console.error);
show();
console.log('user:7 is', (await sixth.store.get('user:7')).value);
for (const { mesh } of nodes) await mesh.close();
