/**
 * A link between two members breaks while a third reaches both. Shows: the relayed path that takes over without an election, the
 * partition view, and the return to the direct path.
 */
import {
  formatLinks,
  joinMesh,
  keyValue,
  memoryNetwork,
  memoryStorage,
  openReplica,
  type Mesh,
} from 'quorate';

const transport = memoryNetwork({ latencyMs: 1 });
const members = ['a', 'b', 'c'];

async function start(id: string) {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport,
  });
  const stateMachine = keyValue<number>();
  const replica = await openReplica({
    mesh,
    group: 'settings',
    members,
    stateMachine,
    storage: memoryStorage(),
  });
  return { id, mesh, replica };
}
const nodes = await Promise.all(members.map(start));
for (const { replica } of nodes) await replica.ready();

const leader = nodes.find(({ id, replica }) => replica.status().leader === id) ?? nodes[0]!;
const follower = nodes.find((node) => node !== leader)!;
const epoch = leader.replica.status().epoch;

/** Resolves when the follower is reached that way. */
function pathIs(mesh: Mesh, path: 'direct' | 'relayed'): Promise<void> {
  return new Promise((resolve) => {
    const look = setInterval(() => {
      if (mesh.peers().some((peer) => peer.id === follower.id && peer.path === path)) {
        clearInterval(look);
        resolve();
      }
    }, 10);
  });
}
const write = (n: number) => follower.replica.submit({ op: 'put', key: 'n', value: n });

console.log(`${leader.id} leads; the link to ${follower.id} breaks`);
const cutAt = performance.now();
transport.cut(leader.id, follower.id);
await pathIs(leader.mesh, 'relayed');
console.log(`relayed after ${Math.round(performance.now() - cutAt)} ms`);
await write(1);
while (leader.mesh.partition().state !== 'partial') await new Promise((resolve) => setTimeout(resolve, 50));
console.log(`the mesh is ${leader.mesh.partition().state}:`);
console.log(formatLinks(leader.mesh.partition()));

console.log('the link is mended');
transport.heal();
await pathIs(leader.mesh, 'direct');
while (leader.mesh.partition().state !== 'healthy') await new Promise((resolve) => setTimeout(resolve, 50));
await write(2);
console.log(`direct again, and ${leader.mesh.partition().state}`);
console.log(leader.replica.status().epoch === epoch ? 'no election was needed' : 'there was an election');

await Promise.all(nodes.map(({ mesh }) => mesh.close()));
