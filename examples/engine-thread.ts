/**
 * An app that blocks its event loop for two seconds. Its engine is in a thread of its own: links, leadership and the group's
 * commits go on, and nobody holds an election.
 */
import { joinMesh, keyValue, memoryNetwork, memoryStorage, openReplica, type Mesh } from 'quorate';

const transport = memoryNetwork();
const members = ['a', 'b', 'c'];
const meshes: Mesh[] = [];
for (const id of members) {
  const secret = 'a secret of sixteen bytes or more';
  meshes.push(await joinMesh({ id, cluster: 'example', secret, transport, thread: 'worker' }));
}
const replicas = await Promise.all(
  meshes.map((mesh) =>
    openReplica({ mesh, group: 'g', members, stateMachine: keyValue<number>(), storage: memoryStorage() }),
  ),
);
await Promise.all(replicas.map((replica) => replica.ready()));
meshes[0]!.on('local:stall', (ms) => console.log(`the engine stood still for ${Math.round(ms)} ms`));

const before = { reign: replicas[0]!.status().epoch, frames: meshes[0]!.metrics().framesReceived };
const command = replicas[0]!.submit({ op: 'put', key: 'k', value: 1 });
await new Promise((resolve) => setImmediate(resolve)); // the command is on its way

const end = performance.now() + 2000;
while (performance.now() < end); // parsing something large, say

await command;
await new Promise((resolve) => setTimeout(resolve, 500)); // a picture of the mesh is at most 200 ms old
const frames = meshes[0]!.metrics().framesReceived - before.frames;
console.log(
  `the app stood still for 2 s; meanwhile its engine read ${frames > 20 ? 'dozens of' : frames} frames`,
);
console.log(`reign ${before.reign} before, reign ${replicas[0]!.status().epoch} after`);

await Promise.all(meshes.map((mesh) => mesh.close()));
