/**
 * A group that grows from one process to four and gets rid of the first: nobody lists its members but the founder, and it counts
 * on while they come and go.
 */
import { defineMachine, joinMesh, memoryNetwork, memoryStorage, openReplica, type Mesh } from 'quorate';

const counter = () =>
  defineMachine({
    version: 1,
    initial: () => ({ n: 0 }),
    commands: { add: (state, command: { by: number }) => (state.n += command.by) },
    queries: { total: (state) => state.n },
  });

const transport = memoryNetwork({ latencyMs: 1 });
const meshes: Mesh[] = [];

/** A process of its own: it is given the name of the group, and who founds it, or whether it joins. */
async function open(id: string, how: { members: string[] } | { join: true }) {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport,
  });
  meshes.push(mesh);
  const options = { mesh, group: 'counter', stateMachine: counter(), storage: memoryStorage(), ...how };
  const replica = await openReplica(options);
  await replica.ready();
  return replica;
}
type Replica = Awaited<ReturnType<typeof open>>;
const members = (replica: Replica): string =>
  replica
    .status()
    .members.map(({ id, as }) => `${id} (${as})`)
    .join(', ');

const a = await open('a', { members: ['a'] });
a.on('members:changed', () => console.log('  a: the members are', members(a)));

let written = 0;
let over = false;
const load = { on: a };
const counting = (async () => {
  while (!over) {
    await load.on.submit({ op: 'add', by: 1 });
    written++;
  }
})();

console.log('b, c and d join while a counts');
const b = await open('b', { join: true });
const c = await open('c', { join: true });
const d = await open('d', { join: true });
await b.changeMembers({ add: [{ id: 'c' }, { id: 'd' }] }); // resolves when both vote

console.log('a, the leader, is removed, and b asked for it; from now on b counts');
load.on = b;
await b.removeMember('a');
over = true;
await counting;
console.log('  b: the members are', members(b));

const total = await d.query({ op: 'total' });
console.log(`${written} were counted, d says ${total}`);
if (total !== written) throw new Error('every command has to take effect once');
console.log(`${c.status().leader ?? 'nobody'} leads now`);
await Promise.all(meshes.map((mesh) => mesh.close()));
