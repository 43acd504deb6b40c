/**
 * A process that is no member of the group: it submits, asks and follows through whichever member leads. The leader leaves while
 * the client counts: the commands that were under way go to another member, each takes effect once.
 */
import {
  defineMachine,
  joinMesh,
  memoryNetwork,
  memoryStorage,
  openClient,
  openReplica,
  QuorateError,
  type Mesh,
} from 'quorate';

const counter = () =>
  defineMachine({
    version: 1,
    initial: () => ({ n: 0 }),
    commands: { add: (state, command: { by: number }) => (state.n += command.by) },
    queries: { total: (state) => state.n },
  });

const transport = memoryNetwork({ latencyMs: 2 });
const members = ['a', 'b', 'c'];
const meshes: Mesh[] = [];
async function join(id: string): Promise<Mesh> {
  const secret = 'a secret of sixteen bytes or more';
  const mesh = await joinMesh({ id, cluster: 'example', secret, transport });
  meshes.push(mesh);
  return mesh;
}

// The client is there first: its calls wait for a member.
const mesh = await join('frontend');
const client = await openClient({ mesh, group: 'counter', stateMachine: counter() });
const early = client.submit({ op: 'add', by: 1 });

const replicas = await Promise.all(
  members.map(async (id) =>
    openReplica({
      mesh: await join(id),
      group: 'counter',
      members,
      stateMachine: counter(),
      storage: memoryStorage(),
    }),
  ),
);
console.log('the first command waited for a member; the total is', await early);

// What is applied, as the member that serves tells it. A stream begins with a reset: ask for the state, then follow.
let followed = 0;
const following = (async () => {
  for await (const change of client.changes()) if (change.type === 'applied') followed++;
})();

const { member, leader } = client.status();
console.log(`${member ?? 'nobody'} serves, ${leader ?? 'nobody'} leads`);
const calls = Array.from({ length: 100 }, () => client.submit({ op: 'add', by: 1 }));
await replicas.find(({ id }) => id === member)?.close(); // while they are on their way
await Promise.all(calls);
const total = await client.query({ op: 'total' });
console.log(`${member ?? 'nobody'} left meanwhile; now ${client.status().member ?? 'nobody'} serves`);
console.log('101 commands were submitted, the total is', total);
if (total !== 101) throw new Error('every command has to take effect once');

// A command of one's own name is the same command, from wherever it is submitted again.
await client.submit({ op: 'add', by: 10 }, { requestId: 'order-17' });
await client.submit({ op: 'add', by: 10 }, { requestId: 'order-17' });
console.log('order-17 was submitted twice, the total is', await client.query({ op: 'total' }));

// Without any member the calls wait up to their time-out.
await Promise.all(replicas.map((replica) => replica.close()));
try {
  await client.submit({ op: 'add', by: 1 }, { timeout: 200 });
} catch (error) {
  if (error instanceof QuorateError) console.log('without members:', error.code, error.fate ?? '');
}
await Promise.all(meshes.map((one) => one.close())); // closes the client too
await following;
console.log('the stream told of', followed, 'commands, and ended with the client');
