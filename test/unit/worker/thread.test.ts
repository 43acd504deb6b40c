/** What is peculiar to an engine in another thread. */
import { expect } from 'chai';
import {
  joinMesh,
  keyValue,
  localSignaling,
  memoryNetwork,
  memoryStorage,
  openReplica,
  phiAccrual,
  QuorateError,
  webrtc,
  type Mesh,
} from '../../../lib/index.js';
import { meshEngine } from '../../../lib/mesh/mesh.js';
import { secret, until } from '../mesh/support.js';

const options = { cluster: 'c', secret, thread: 'worker' } as const;

async function failure(work: Promise<unknown>): Promise<QuorateError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

describe('the thread of an engine', function () {
  this.timeout(60_000);

  it('is refused what does not cross, by the name of the option', async () => {
    const network = memoryNetwork();
    const refused = async (more: object): Promise<string> =>
      (await failure(joinMesh({ id: 'a', ...options, transport: network, ...more }))).message;
    const detector = phiAccrual();
    const own = { kind: 'own', monitor: detector.monitor.bind(detector) };
    expect(await refused({ failureDetector: own })).to.match(/^failureDetector must be made by a factory/);
    const transport = { kind: 'own', start: network.start.bind(network) };
    expect(await refused({ transport })).to.match(/^transport must be made by a factory/);
    const signaling = { ...localSignaling() };
    expect(await refused({ transport: webrtc({ signaling }) })).to.match(
      /^transport\.signaling must be made/,
    );
    expect(await refused({ thread: 'third' })).to.match(/^thread must be 'main' or 'worker'/);
    const mesh = await joinMesh({ id: 'a', ...options, transport: network });
    const inner = memoryStorage();
    const storage = { kind: 'own', open: inner.open.bind(inner) };
    const more = { mesh, group: 'g', members: ['a'], stateMachine: keyValue<string>() };
    expect((await failure(openReplica({ ...more, storage }))).message).to.match(/^storage must be made/);
    expect(await refused({ thread: 'main', id: 'b' })).to.match(/^thread must be the same/);
    await mesh.close();
  });

  it('passes on what joining throws there', async () => {
    const first = memoryNetwork();
    const mesh = await joinMesh({ id: 'a', ...options, transport: first });
    const more = { ...options, transport: memoryNetwork() };
    expect((await failure(joinMesh({ id: 'b', ...more, secret: 'short' }))).code).to.equal('ERR_SECRET_WEAK');
    const fetched = failure(joinMesh({ id: 'b', ...more, secret: () => Promise.reject(new Error('no')) }));
    expect((await fetched).code).to.equal('ERR_SECRET_MISSING');
    await mesh.close();
  });

  it('ends with its last mesh, and serves another one after that', async () => {
    for (let round = 0; round < 2; round++) {
      const network = memoryNetwork();
      const a = await joinMesh({ id: 'a', ...options, transport: network });
      const b = await joinMesh({ id: 'b', ...options, transport: network });
      await a.waitFor(['b']);
      await a.close();
      await until('the farewell', () => b.peers().every(({ state }) => state !== 'up'));
      await b.close();
    }
    // Nothing of the process is left behind by it.
    expect(process.listenerCount('exit')).to.equal(exitListeners);
  });
  const exitListeners = process.listenerCount('exit');

  it('goes on while the app stands still, and does not say that the node stood still', async () => {
    const network = memoryNetwork();
    const join = (id: string): Promise<Mesh> => joinMesh({ id, ...options, transport: network });
    const [a, b] = await Promise.all([join('a'), join('b')]);
    await Promise.all([a.waitFor(['b']), b.waitFor(['a'])]);
    const opened = [a, b].map((mesh) =>
      openReplica({
        ...{
          mesh,
          group: 'g',
          members: ['a', 'b'],
          stateMachine: keyValue<string>(),
          storage: memoryStorage(),
        },
      }),
    );
    const replicas = await Promise.all(opened);
    await Promise.all(replicas.map((replica) => replica.ready()));
    const before = a.metrics();
    const writes = Array.from({ length: 500 }, (_, i) =>
      replicas[i % 2]!.submit({ op: 'put', key: `k${i}`, value: 'x'.repeat(100) }),
    );
    await new Promise((resolve) => setImmediate(resolve));
    block(1500);
    await until('a new picture', () => a.metrics().framesReceived >= before.framesReceived + 10);
    await Promise.all(writes);
    await a.close();
    await b.close();
  });

  it('that crashes costs its meshes and replicas, with an error that says so, and nothing else', async () => {
    const network = memoryNetwork();
    const mesh = await joinMesh({ id: 'a', ...options, transport: network });
    const other = await joinMesh({ id: 'b', cluster: 'c', secret, transport: memoryNetwork() });
    const replica = await openReplica({
      ...{ mesh, group: 'g', members: ['a'], stateMachine: keyValue<string>(), storage: memoryStorage() },
    });
    await replica.submit({ op: 'put', key: 'k', value: 'v' });
    const warnings: Error[] = [];
    mesh.on('warning', (error) => warnings.push(error));
    let failed = 0;
    replica.on('replica:failed', () => failed++);
    // What no app can send: the thread throws over it.
    meshEngine(mesh)!.say({ type: 'batch', group: 1, batch: { proposals: [1, 1, 8], reads: null } });
    const reason = await replica.closed;
    expect(reason.type).to.equal('failed');
    if (reason.type === 'failed') expect(reason.error).to.have.property('code', 'ERR_ENGINE_FAILED');
    await mesh.closed;
    expect(failed).to.equal(1);
    expect(
      warnings.some((error) => error instanceof QuorateError && error.code === 'ERR_ENGINE_FAILED'),
    ).to.equal(true);
    expect((await failure(replica.submit({ op: 'put', key: 'k', value: 'v' }))).code).to.equal(
      'ERR_REPLICA_FAILED',
    );
    expect(other.peers()).to.deep.equal([]);
    await other.close();
    const again = await joinMesh({ id: 'a', ...options, transport: memoryNetwork() });
    await again.close();
  });
});
