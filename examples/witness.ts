/**
 * Two nodes cannot lose one, since both are needed for a majority. A third that votes and holds no data helps: the leader of this
 * pair goes, and the other goes on with everything.
 */
import { joinMesh, keyValue, memoryNetwork, memoryStorage, openReplica, type Mesh } from 'quorate';

const transport = memoryNetwork({ latencyMs: 1 });
const meshes = new Map<string, Mesh>();

async function open(id: string, how: { members: string[] } | { join: true; as: 'witness' }) {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport,
  });
  meshes.set(id, mesh);
  return openReplica({
    mesh,
    group: 'settings',
    stateMachine: keyValue<string>(),
    storage: memoryStorage(),
    ...how,
  });
}

const pair = await Promise.all(['a', 'b'].map((id) => open(id, { members: ['a', 'b'] })));
const [a, b] = pair as [(typeof pair)[0], (typeof pair)[0]];
await Promise.all([a.ready(), b.ready()]);
// On a small machine somewhere else.
const witness = await open('w', { join: true, as: 'witness' });
await a.addMember('w', { as: 'witness' }); // it asks by itself; this waits until it counts
console.log(
  'members:',
  a
    .status()
    .members.map(({ id, as }) => `${id} (${as})`)
    .join(', '),
);

await a.submit({ op: 'put', key: 'theme', value: 'dark' });
await b.query({ op: 'get', key: 'theme' }); // b has it now
try {
  await witness.query({ op: 'get', key: 'theme' });
} catch (error) {
  console.log('the witness:', (error as Error).message);
}

const leader = a.status().role === 'leader' ? 'a' : 'b';
const other = leader === 'a' ? b : a;
console.log(`${leader} leads, and is gone now`);
await meshes.get(leader)!.close();
await other.submit({ op: 'put', key: 'font', value: 'serif' });
console.log('the other has', JSON.stringify(await other.query({ op: 'list' })));
console.log(`${other.status().leader} leads, with the vote of the witness`);
await Promise.all([...meshes.values()].map((mesh) => mesh.close()));
