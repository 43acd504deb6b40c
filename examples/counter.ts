/**
 * Three replicas of a counter in one process, over a network in memory. Shows: a state machine in four lines, submits from any
 * member with typed results, a linearizable read, following what is applied, and comparing the copies.
 */
import { defineMachine, joinMesh, memoryNetwork, memoryStorage, openReplica, type Mesh } from 'quorate';

const counter = () =>
  defineMachine({
    version: 1,
    initial: () => ({ n: 0 }),
    commands: { add: (state, command: { by: number }) => (state.n += command.by) },
    queries: { total: (state) => state.n },
  });

const transport = memoryNetwork();
const members = ['a', 'b', 'c'];
const meshes: Mesh[] = [];
async function start(id: string) {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport,
  });
  meshes.push(mesh);
  return openReplica({ mesh, group: 'counter', members, stateMachine: counter(), storage: memoryStorage() });
}
const [a, b, c] = await Promise.all([start('a'), start('b'), start('c')]);

const replicas = [a, b, c];
await Promise.all(replicas.map((replica) => replica.ready()));
const { leader, members: list } = a.status();
console.log(`${leader ?? 'nobody'} leads ${list.map(({ id }) => id).join(', ')}`);

// What is applied at c, whoever submitted it. A subscription begins with a reset: read the state, then follow.
const seen = (async () => {
  for await (const change of c.changes()) {
    if (change.type === 'reset') continue;
    console.log(`  c applied ${JSON.stringify(change.command)} of ${change.origin} at index ${change.index}`);
    if (c.peek({ op: 'total' }) === 12) return;
  }
})();

console.log('a adds 2:', await a.submit({ op: 'add', by: 2 }));
console.log('b adds 4:', await b.submit({ op: 'add', by: 4 }));
console.log('c adds 6:', await c.submit({ op: 'add', by: 6 }));
// Linearizable: a member answers with all that anybody was told before.
console.log('a says the total is', await a.query({ op: 'total' }));
await seen;

await Promise.all(replicas.map((replica) => replica.query({ op: 'total' })));
const digests = await Promise.all(replicas.map((replica) => replica.digest()));
console.log('the copies are equal:', new Set(digests.map(({ digest }) => digest)).size === 1);

await Promise.all(meshes.map((mesh) => mesh.close())); // closes the replicas too; the process ends by itself
