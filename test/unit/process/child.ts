/** A process that uses a replica, closes it in one of several ways, says so, and has nothing else that would end it. */
import {
  defineMachine,
  diskStorage,
  joinMesh,
  localSignaling,
  openReplica,
  serveSignaling,
  webrtc,
  webSocketSignaling,
  type Mesh,
  type Signaling,
} from '../../../lib/index.js';

const [scenario = '', directory = ''] = process.argv.slice(2);

const counter = () =>
  defineMachine({
    version: 1,
    initial: () => ({ n: 0 }),
    commands: { add: (state, command: { by: number }) => (state.n += command.by) },
    queries: { total: (state) => state.n },
  });

function join(id: string, signaling: Signaling): Promise<Mesh> {
  return joinMesh({
    id,
    cluster: 'exit',
    secret: 'a secret of sixteen bytes or more',
    transport: webrtc({ signaling, bindAddress: '127.0.0.1' }),
  });
}

function open(mesh: Mesh, members: readonly string[]) {
  return openReplica({
    mesh,
    group: 'counter',
    members,
    stateMachine: counter(),
    storage: diskStorage(`${directory}/${mesh.id}`),
  });
}

const scenarios: Readonly<Record<string, () => Promise<void>>> = {
  async closeBoth() {
    const server = await serveSignaling({});
    const mesh = await join('a', webSocketSignaling(server.url));
    const replica = await open(mesh, ['a']);
    console.log(await replica.submit({ op: 'add', by: 2 }));
    await replica.close();
    await mesh.close();
    await server.close();
  },

  async closeMesh() {
    const mesh = await join('a', localSignaling());
    const replica = await open(mesh, ['a']);
    console.log(await replica.submit({ op: 'add', by: 2 }));
    await mesh.close();
    console.log((await replica.closed).type);
  },

  async twoMeshes() {
    const signaling = localSignaling();
    const meshes = [await join('a', signaling), await join('b', signaling)];
    const replicas = await Promise.all(meshes.map((mesh) => open(mesh, ['a', 'b'])));
    for (const replica of replicas) console.log(await replica.submit({ op: 'add', by: 2 }));
    for (const replica of replicas) console.log(await replica.query({ op: 'total' }));
    for (const mesh of meshes) await mesh.close();
  },

  /** The other member never comes: calls, a wait and a consumer of changes are open when the mesh closes. */
  async closeWhileWaiting() {
    const mesh = await join('a', localSignaling());
    const replica = await open(mesh, ['a', 'b']);
    const calls = Promise.allSettled([
      replica.submit({ op: 'add', by: 2 }),
      replica.query({ op: 'total' }, { timeout: 3_600_000 }),
      replica.ready(),
      mesh.waitFor(['b'], { timeout: 3_600_000 }),
    ]);
    const changes = replica.changes();
    const consumed = (async () => {
      for await (const change of changes) console.log(change.type);
    })();
    await Promise.all([mesh.close(), consumed]);
    for (const end of await calls) {
      console.log(end.status === 'rejected' ? (end.reason as { code?: string }).code : end.value);
    }
  },

  async dispose() {
    await using mesh = await join('a', localSignaling());
    await using replica = await open(mesh, ['a']);
    console.log(await replica.submit({ op: 'add', by: 2 }));
  },
};

await scenarios[scenario]!();
console.log('closed');
