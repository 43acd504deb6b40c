import { expect } from 'chai';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QuorateError, type ErrorCode } from '../../../lib/errors.js';
import { defineMachine } from '../../../lib/machines/defineMachine.js';
import { keyValue } from '../../../lib/machines/keyValue.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { memoryNetwork, type MemoryNetwork } from '../../../lib/mesh/memory/network.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import { raft } from '../../../lib/replica/consensus.js';
import { openReplica } from '../../../lib/replica/openReplica.js';
import type { ReplicaOptions } from '../../../lib/replica/options.js';
import type { Replica } from '../../../lib/replica/replica.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';

const secret = 'a secret of more than sixteen bytes';
const ids = ['a', 'b', 'c'];

const counter = () =>
  defineMachine({
    version: 1,
    initial: () => ({ n: 0, seen: [] as number[] }),
    commands: {
      add: (state, { by }: { by: number }, context) => {
        if (by < 0) context.reject('negative', { by });
        if (by === 13) throw new Error('unlucky');
        state.seen.push(context.index);
        return (state.n += by);
      },
      all: (state) => state,
    },
    queries: {
      total: (state) => state.n,
      state: (state) => state,
      broken: () => {
        throw new Error('broken query');
      },
    },
  });
type Counter = ReturnType<typeof counter>;

async function until(what: string, condition: () => boolean, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('a replica', () => {
  let network: MemoryNetwork;
  let meshes: Map<string, Mesh>;
  let directory: string;

  beforeEach(async () => {
    network = memoryNetwork();
    meshes = new Map();
    directory = await mkdtemp(join(tmpdir(), 'quorate-replica-'));
  });

  afterEach(async () => {
    await Promise.all([...meshes.values()].map((mesh) => mesh.close()));
    await rm(directory, { recursive: true, force: true });
  });

  async function meshOf(id: string): Promise<Mesh> {
    const known = meshes.get(id);
    if (known) return known;
    const mesh = await joinMesh({ id, cluster: 'test', secret, transport: network });
    meshes.set(id, mesh);
    return mesh;
  }

  async function open(id: string, options: Partial<ReplicaOptions<Counter>> = {}): Promise<Replica<Counter>> {
    const mesh = await meshOf(id);
    const base = { mesh, group: 'counter', members: ids, stateMachine: counter(), storage: memoryStorage() };
    return openReplica({ ...base, ...options });
  }

  async function openAll(
    options: (id: string) => Partial<ReplicaOptions<Counter>> = () => ({}),
  ): Promise<Replica<Counter>[]> {
    const replicas: Replica<Counter>[] = [];
    for (const id of ids) replicas.push(await open(id, options(id)));
    return replicas;
  }

  /** The process of a node ends: its mesh and all that lives on it. */
  async function stop(id: string): Promise<void> {
    await meshes.get(id)?.close();
    meshes.delete(id);
  }

  const onDisk = (id: string) => ({
    storage: diskStorage(join(directory, id), { segmentBytes: 1024 * 1024 }),
  });

  it('lets no answer reach into the state', async () => {
    const [a] = await openAll();
    const result = await a!.submit({ op: 'all' });
    result.n = 99;
    const answer = await a!.query({ op: 'state' });
    answer.seen.push(1, 2, 3);
    a!.peek({ op: 'state' }).n = 98;
    expect(await a!.query({ op: 'state' })).to.deep.equal({ n: 0, seen: [] });
  });

  it('reopens from disk, without being told the members', async () => {
    const replicas = await openAll(onDisk);
    await Promise.all(Array.from({ length: 100 }, () => replicas[1]!.submit({ op: 'add', by: 1 })));
    for (const id of ids) await stop(id);
    const again: Replica<Counter>[] = [];
    for (const id of ids) {
      const mesh = await meshOf(id);
      again.push(await openReplica({ mesh, group: 'counter', stateMachine: counter(), ...onDisk(id) }));
    }
    expect(await again[2]!.query({ op: 'total' })).to.equal(100);
    expect(again[0]!.status().members.map(({ id }) => id)).to.deep.equal(ids);
  });

  describe('without a quorum', () => {
    it('rejects at once if told so', async () => {
      const alone = await open('a', { onNoQuorum: 'reject' });
      // Before it has looked for a leader, it cannot know that there is none.
      const early = alone.submit({ op: 'add', by: 1 }, { timeout: 60_000 }).catch((e: unknown) => e);
      await until('an election', () => alone.status().role === 'candidate');
      expect((await failure(alone.query({ op: 'total' }))).code).to.equal('ERR_NOT_READY');
      expect(await alone.query({ op: 'total' }, { consistency: 'local' })).to.equal(0);
      await alone.close();
      expect(await early).to.include({ code: 'ERR_CLOSED' });
    });

    it('rejects at once, with the fate', async () => {
      const alone = await open('a', { onNoQuorum: 'reject' });
      await until('an election', () => alone.status().role === 'candidate');
      expect(await failure(alone.submit({ op: 'add', by: 1 }))).to.include({
        code: 'ERR_NOT_READY',
        fate: 'refused',
      });
    });

    it('takes no more than its caps', async () => {
      const alone = await open('a', { maxPending: 10, maxCommandBytes: 100 });
      const pending = Array.from({ length: 10 }, () => failure(alone.submit({ op: 'add', by: 1 })));
      expect(await failure(alone.submit({ op: 'add', by: 1 }))).to.include({
        code: 'ERR_OVERLOADED',
        fate: 'refused',
      });
      const reads = Array.from({ length: 10 }, () => failure(alone.query({ op: 'total' })));
      expect((await failure(alone.query({ op: 'total' }))).code).to.equal('ERR_OVERLOADED');
      await alone.close();
      for (const error of await Promise.all(pending))
        expect(error).to.include({ code: 'ERR_CLOSED', fate: 'refused' });
      for (const error of await Promise.all(reads)) expect(error.code).to.equal('ERR_CLOSED');
    });
  });

  it('refuses commands that are too large or cannot be encoded, before they are sent', async () => {
    const solo = await open('a', { members: ['a'], maxCommandBytes: 100 });
    // @ts-expect-error a string is no number
    expect(await failure(solo.submit({ op: 'add', by: 'x'.repeat(200) }))).to.include({
      code: 'ERR_TOO_LARGE',
      fate: 'refused',
    });
    // @ts-expect-error a function is no number
    expect((await failure(solo.submit({ op: 'add', by: () => 1 }))).code).to.equal('ERR_CODEC');
    expect(await solo.submit({ op: 'add', by: 1 })).to.equal(1);
  });

  it('says what is wrong with its options', async () => {
    const mesh = await meshOf('a');
    const good = { mesh, group: 'counter', members: ids, stateMachine: counter(), storage: memoryStorage() };
    const wrong: [Record<string, unknown>, ErrorCode, string][] = [
      [{ mesh: {} }, 'ERR_CONFIG', 'mesh'],
      [{ group: 'no spaces' }, 'ERR_CONFIG', 'group'],
      [{ members: [] }, 'ERR_CONFIG', 'members'],
      [{ members: ['b', 'c'] }, 'ERR_CONFIG', 'members'],
      [{ members: ['a', 'a'] }, 'ERR_CONFIG', 'members'],
      [{ stateMachine: {} }, 'ERR_CONFIG', 'stateMachine'],
      [{ storage: undefined }, 'ERR_CONFIG', 'storage'],
      [{ onNoQuorum: 'panic' }, 'ERR_CONFIG', 'onNoQuorum'],
      [{ timeout: 0 }, 'ERR_CONFIG', 'timeout'],
      [{ snapshot: { logBytes: 1 } }, 'ERR_CONFIG', 'snapshot.logBytes'],
      [{ snapshot: { maxBytesPerSecond: 1023 } }, 'ERR_CONFIG', 'snapshot.maxBytesPerSecond'],
      [{ members: undefined }, 'ERR_GROUP_UNKNOWN', 'counter'],
    ];
    for (const [change, code, names] of wrong) {
      const error = await failure(openReplica({ ...good, ...change }));
      expect(error.code, JSON.stringify(Object.keys(change))).to.equal(code);
      expect(error.message).to.include(names);
    }
    expect(() => raft({ heartbeatMs: 200, electionTimeoutMs: 300 })).to.throw(
      /heartbeatMs.*electionTimeoutMs/,
    );
    await openReplica(good);
    expect((await failure(openReplica({ ...good, storage: memoryStorage() }))).code).to.equal(
      'ERR_GROUP_EXISTS',
    );
  });

  it('closes once, drains if told to, and rejects what comes after', async () => {
    const [a, b] = await openAll();
    await a!.ready();
    const last = a!.submit({ op: 'add', by: 1 });
    await a!.close({ drain: true });
    expect(await last).to.equal(1);
    await a!.close();
    expect(await failure(a!.submit({ op: 'add', by: 1 }))).to.include({
      code: 'ERR_CLOSED',
      fate: 'refused',
    });
    expect((await failure(a!.query({ op: 'total' }))).code).to.equal('ERR_CLOSED');
    expect(() => a!.peek({ op: 'total' })).to.throw(QuorateError);
    expect(a!.status().state).to.equal('closed');
    await meshes.get('b')!.close();
    expect(await b!.closed).to.deep.equal({ type: 'closed' });
  });

  it('compares and swaps', async () => {
    const mesh = await meshOf('a');
    const replica = await openReplica({
      mesh,
      group: 'kv',
      members: ['a'],
      stateMachine: keyValue<string>(),
      storage: memoryStorage(),
    });
    expect(await replica.submit({ op: 'cas', key: 'k', expected: undefined, value: '1' })).to.deep.equal({
      ok: true,
      current: '1',
    });
    expect(await replica.submit({ op: 'cas', key: 'k', expected: 'x', value: '2' })).to.deep.equal({
      ok: false,
      current: '1',
    });
    expect(await replica.query({ op: 'get', key: 'k' })).to.equal('1');
    expect(await replica.query({ op: 'list' })).to.deep.equal([['k', '1']]);
  });
});
