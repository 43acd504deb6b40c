/** What is peculiar to an engine in another thread. */
import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  diskStorage,
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

/** Whether a file of a directory has a text in it. Lets nothing else run meanwhile. */
function holds(directory: string, text: string): boolean {
  return readdirSync(directory, { withFileTypes: true, recursive: true }).some(
    (entry) => entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(text),
  );
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

  it('goes on while the app stands still', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'quorate-thread-'));
    const network = memoryNetwork();
    const joined = (id: string): Promise<Mesh> => joinMesh({ id, ...options, transport: network });
    const meshes = await Promise.all([joined('a'), joined('b')]);
    try {
      const replicas = await Promise.all(
        meshes.map((mesh) =>
          openReplica({
            ...{ mesh, group: 'g', members: ['a', 'b'], stateMachine: keyValue<string>() },
            storage: diskStorage(join(directory, mesh.id)),
          }),
        ),
      );
      await Promise.all(replicas.map((replica) => replica.ready()));
      for (const replica of replicas) await replica.submit({ op: 'put', key: replica.id, value: 'first' });
      const marker = 'a value that both members must write';
      const write = replicas[0]!.submit({ op: 'put', key: 'k', value: marker });
      await new Promise((resolve) => setImmediate(resolve)); // the command leaves, and this turn never ends
      const written = (): boolean => ['a', 'b'].every((id) => holds(join(directory, id), marker));
      const end = performance.now() + 20_000;
      while (!written()) expect(performance.now(), 'both have written it').to.be.lessThan(end);
      await write;
    } finally {
      await Promise.all(meshes.map((mesh) => mesh.close()));
      await rm(directory, { recursive: true });
    }
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
