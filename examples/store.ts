/**
 * A shopping list on three machines that are cut off from each other, and written on both sides. Nothing waits, and when the network is
 * back all three have everything.
 */
import { once } from 'node:events';
import { crdt, joinMesh, memoryNetwork, memoryStorage, openStore, orSet } from 'quorate';

const network = memoryNetwork();
const machines = ['kitchen', 'office', 'phone'];

async function start(id: string) {
  const secret = 'a secret of sixteen bytes or more';
  const mesh = await joinMesh({ id, cluster: 'example', secret, transport: network });
  const lists = await openStore({
    mesh,
    name: 'lists',
    members: machines,
    storage: memoryStorage(),
    resolve: crdt(orSet<string>()),
    w: 'local', // this machine's disk is enough; the others are told when they can be reached
    r: 'local',
  });
  return { id, mesh, lists };
}

const [kitchen, office, phone] = [await start('kitchen'), await start('office'), await start('phone')];
for (const { mesh } of [kitchen, office, phone]) await mesh.waitFor(2);
await kitchen.lists.update('shopping', { op: 'add', value: 'bread' }, { w: 'all' });

console.log('the phone leaves the network');
for (const id of ['kitchen', 'office']) network.cut('phone', id);
await phone.lists.update('shopping', { op: 'add', value: 'milk' });
await phone.lists.update('shopping', { op: 'remove', value: 'bread' });
await office.lists.update('shopping', { op: 'add', value: 'tea' });
for (const { id, lists } of [kitchen, office, phone])
  console.log(' ', id, (await lists.get('shopping')).value);

console.log('and comes back');
for (const id of ['kitchen', 'office']) network.heal('phone', id);
for (const { mesh } of [kitchen, office, phone]) await mesh.waitFor(2);
for (const { id, lists } of [kitchen, office, phone]) {
  while (new Set([kitchen, office, phone].map((one) => one.lists.status().root)).size > 1) {
    await once(AbortSignal.timeout(50), 'abort');
    await lists.repair().catch(() => undefined); // at once, not when it is due
  }
  console.log(' ', id, (await lists.get('shopping')).value);
}
for (const { mesh } of [kitchen, office, phone]) await mesh.close();
