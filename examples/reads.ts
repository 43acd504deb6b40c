/**
 * How fresh an answer is, and what it costs: the same key read in each way from a leader and a follower with 20 ms between them,
 * without a lease and with one, and by a follower that is cut off.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  joinMesh,
  keyValue,
  memoryNetwork,
  memoryStorage,
  openReplica,
  raft,
  type Consistency,
} from 'quorate';

const members = ['a', 'b', 'c'];
const LATENCY_MS = 20;

async function start(lease: boolean) {
  const transport = memoryNetwork({ latencyMs: LATENCY_MS });
  const open = async (id: string) => {
    const mesh = await joinMesh({
      id,
      cluster: 'example',
      secret: 'a secret of sixteen bytes or more',
      transport,
    });
    const replica = await openReplica({
      mesh,
      group: 'settings',
      members,
      stateMachine: keyValue<string>(),
      storage: memoryStorage(),
      consensus: raft(lease ? { lease: {} } : {}),
    });
    return { mesh, replica };
  };
  const nodes = await Promise.all(members.map(open));
  await Promise.all(nodes.map(({ replica }) => replica.ready()));
  await nodes[0]!.replica.submit({ op: 'put', key: 'theme', value: 'dark' });
  await sleep(200); // a lease begins with the heartbeats
  const leader = nodes.find(({ replica }) => replica.status().role === 'leader')!;
  const follower = nodes.find((node) => node !== leader)!;
  return { transport, nodes, leader, follower };
}
type Replica = Awaited<ReturnType<typeof start>>['leader']['replica'];

async function read(replica: Replica, consistency: Consistency): Promise<string> {
  const began = performance.now();
  try {
    await replica.query({ op: 'get', key: 'theme' }, { consistency, timeout: 1000 });
    return `${Math.round(performance.now() - began)} ms`;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

for (const lease of [false, true]) {
  const { nodes, leader, follower } = await start(lease);
  console.log(lease ? 'with a lease' : `one way takes ${LATENCY_MS} ms; without a lease`);
  console.log('  linearizable, at the leader  ', await read(leader.replica, 'linearizable'));
  console.log('  linearizable, at a follower  ', await read(follower.replica, 'linearizable'));
  console.log('  at most 5 s old, a follower  ', await read(follower.replica, { maxLagMs: 5000 }));
  console.log('  local, a follower            ', await read(follower.replica, 'local'));
  await Promise.all(nodes.map(({ mesh }) => mesh.close()));
}

const { transport, nodes, follower } = await start(false);
for (const { mesh } of nodes) if (mesh !== follower.mesh) transport.cut(mesh.id, follower.mesh.id);
console.log('the follower is cut off');
await sleep(300);
console.log('  linearizable                 ', await read(follower.replica, 'linearizable'));
console.log('  at most 5 s old              ', await read(follower.replica, { maxLagMs: 5000 }));
console.log('  at most 100 ms old           ', await read(follower.replica, { maxLagMs: 100 }));
console.log('  peek, at once and maybe old  ', follower.replica.peek({ op: 'get', key: 'theme' }));
await Promise.all(nodes.map(({ mesh }) => mesh.close()));
