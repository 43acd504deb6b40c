/**
 * A group for each document: two hundred groups share three nodes, one link a pair and one log a node. Those in which nothing
 * happens rest, and cost neither messages nor timers; one that is wanted is there at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { joinMesh, keyValue, memoryNetwork, memoryStorage, openReplica, raft } from 'quorate';

const transport = memoryNetwork();
const members = ['a', 'b', 'c'];
const documents = Array.from({ length: 200 }, (_, n) => `document-${n}`);

async function start(id: string) {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport,
  });
  // One storage serves all groups of a node: with diskStorage() they share one log and its flushes.
  const storage = memoryStorage();
  const replicas = await Promise.all(
    documents.map((group) =>
      openReplica({
        mesh,
        group,
        members,
        stateMachine: keyValue<string>(),
        storage,
        consensus: raft({ quietAfterMs: 500 }),
      }),
    ),
  );
  return { mesh, replicas };
}

const nodes = await Promise.all(members.map(start));
await Promise.all(nodes.flatMap(({ replicas }) => replicas.map((replica) => replica.ready())));
const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
console.log('open:', a.mesh.metrics().groups);

while (a.mesh.metrics().groups.quiet < documents.length) await sleep(100);
console.log('left alone for a while:', a.mesh.metrics().groups);

const before = a.mesh.metrics().framesSent;
await sleep(2000);
const frames = a.mesh.metrics().framesSent - before;
console.log(
  `in two seconds a sends ${frames} frames: the heartbeats of its links, whatever the number of groups`,
);

const wanted = a.replicas[7]!;
const began = performance.now();
await wanted.submit({ op: 'put', key: 'title', value: 'Minutes' });
console.log(`a writes to ${wanted.group}: done in ${(performance.now() - began).toFixed(1)} ms`);
console.log('b reads:', await b.replicas[7]!.query({ op: 'get', key: 'title' }));
console.log('one is awake:', a.mesh.metrics().groups);

await Promise.all(nodes.map(({ mesh }) => mesh.close()));
