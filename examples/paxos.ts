/**
 * A group on Paxos instead of Raft: one option, and the rest of the program is the same. The leader is cut off from one moment to the
 * next, as if it had died; the others go on, and nothing that was acknowledged is lost.
 */
import { joinMesh, keyValue, memoryNetwork, memoryStorage, openReplica, paxos, type Mesh } from 'quorate';

const transport = memoryNetwork({ latencyMs: 1 });
const members = ['a', 'b', 'c'];
const meshes = new Map<string, Mesh>();

async function open(id: string) {
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
    members,
    stateMachine: keyValue<number>(),
    consensus: paxos(), // the same on every member; without it: raft()
    storage: memoryStorage(),
  });
}
const replicas = new Map(
  await Promise.all(
    members.map(async (id): Promise<[string, Awaited<ReturnType<typeof open>>]> => [id, await open(id)]),
  ),
);
for (const replica of replicas.values()) await replica.ready();

/** Any member that is left. */
const some = () => replicas.values().next().value!;

let written = 0;
for (; written < 20; written++) await some().submit({ op: 'put', key: 'n', value: written });
const leader = some().status().leader!;
console.log(`${leader} leads, and ${written} commands are done`);

console.log(`${leader} is cut off, as if it had died`);
for (const id of members) if (id !== leader) transport.cut(leader, id);
const lost = replicas.get(leader)!;
replicas.delete(leader);

const begun = Date.now();
for (; written < 40; written++) await some().submit({ op: 'put', key: 'n', value: written });
console.log(
  `${some().status().leader!} leads; the first commands took ${Date.now() - begun} ms, election and all`,
);

for (const [id, replica] of replicas) {
  const n = await replica.query({ op: 'get', key: 'n' });
  console.log(`${id} reads ${n}`);
  if (n !== written - 1) throw new Error('a read shows all that was written before');
}
await lost.close({ handOver: false });
await Promise.all([...meshes.values()].map((mesh) => mesh.close()));
