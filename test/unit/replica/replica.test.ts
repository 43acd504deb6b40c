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
import type { AppliedChange } from '../../../lib/replica/changes.js';
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

  it('takes commands and answers queries on every member', async () => {
    const replicas = await openAll();
    const results: number[] = [];
    for (const replica of replicas) results.push(await replica.submit({ op: 'add', by: 2 }));
    expect(results).to.deep.equal([2, 4, 6]);
    for (const replica of replicas) expect(await replica.query({ op: 'total' })).to.equal(6);
    await until(
      'the same index',
      () => new Set(replicas.map((replica) => replica.status().appliedIndex)).size === 1,
    );
    const digests = await Promise.all(replicas.map((replica) => replica.digest()));
    expect(new Set(digests.map(({ digest }) => digest)).size).to.equal(1);
    expect(replicas.filter((replica) => replica.status().role === 'leader')).to.have.length(1);
  });

  it('gives every command an index of its own, in order', async () => {
    const [a] = await openAll();
    await Promise.all(Array.from({ length: 200 }, () => a!.submit({ op: 'add', by: 1 })));
    const { seen } = await a!.query({ op: 'state' });
    expect(seen).to.have.length(200);
    for (let i = 1; i < seen.length; i++) expect(seen[i]!).to.be.greaterThan(seen[i - 1]!);
  });

  it('a single member needs nobody', async () => {
    const solo = await open('a', { members: ['a'] });
    expect(await solo.submit({ op: 'add', by: 1 })).to.equal(1);
    expect(await solo.query({ op: 'total' })).to.equal(1);
  });

  it('a majority is enough to begin', async () => {
    const a = await open('a');
    await open('b');
    expect(await a.submit({ op: 'add', by: 1 })).to.equal(1);
  });

  it('tells rejections, throws and unknown operations apart, alike on every member', async () => {
    const replicas = await openAll();
    for (const replica of replicas) {
      const rejected = await failure(replica.submit({ op: 'add', by: -1 }));
      expect(rejected).to.include({ code: 'ERR_REJECTED', reason: 'negative' });
      expect(rejected.data).to.deep.equal({ by: -1 });
      expect((await failure(replica.submit({ op: 'add', by: 13 }))).code).to.equal('ERR_COMMAND_FAILED');
      // @ts-expect-error no such command
      expect((await failure(replica.submit({ op: 'nonsense' }))).code).to.equal('ERR_UNKNOWN_OPERATION');
      expect((await failure(replica.query({ op: 'broken' }))).code).to.equal('ERR_QUERY_FAILED');
    }
    expect(await replicas[0]!.query({ op: 'total' })).to.equal(0);
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

  it('applies a request id once, from whatever member it comes', async () => {
    const replicas = await openAll();
    const results = [];
    for (const replica of [...replicas, ...replicas])
      results.push(await replica.submit({ op: 'add', by: 5 }, { requestId: 'order-7' }));
    expect(results).to.deep.equal([5, 5, 5, 5, 5, 5]);
    expect(await replicas[0]!.query({ op: 'total' })).to.equal(5);
  });

  it('goes on without its leader, and takes it back', async () => {
    const replicas = await openAll(onDisk);
    await replicas[0]!.submit({ op: 'add', by: 1 });
    await until('a leader', () => replicas.some((replica) => replica.status().role === 'leader'));
    const leader = replicas.find((replica) => replica.status().role === 'leader')!;
    const others = replicas.filter((replica) => replica !== leader);
    await stop(leader.id);
    expect(await leader.closed).to.deep.equal({ type: 'closed' });
    expect(await others[0]!.submit({ op: 'add', by: 1 })).to.equal(2);
    const back = await open(leader.id, onDisk(leader.id));
    expect(await back.submit({ op: 'add', by: 1 })).to.equal(3);
    expect(await others[1]!.query({ op: 'total' })).to.equal(3);
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

  it('a member that lost its memory follows, but neither votes nor counts unless it is admitted again', async () => {
    const strict = { consensus: raft({ readmit: false }) };
    const [a] = await openAll(() => strict);
    await a!.submit({ op: 'add', by: 1 });
    await until('b to be recorded', () => a!.status().commitIndex > 1);
    await stop('b');
    const blank = await open('b', strict);
    await until('b to follow', () => blank.peek({ op: 'total' }) === 1);
    expect(await a!.submit({ op: 'add', by: 1 }), 'a and c are a quorum').to.equal(2);
    await stop('c');
    const refused = await failure(a!.submit({ op: 'add', by: 1 }, { timeout: 1500 }));
    expect(refused.code, 'a and a blank b are none').to.equal('ERR_TIMEOUT');
    expect(blank.peek({ op: 'total' })).to.equal(2);
    expect(blank.status().role).to.not.equal('leader');
  });

  it('a member that lost its memory is admitted again by itself', async () => {
    const [a] = await openAll();
    await a!.submit({ op: 'add', by: 1 });
    await until('b to be recorded', () => a!.status().commitIndex > 1);
    await stop('b');
    await a!.ready();
    const before = a!.status().commitIndex;
    const blank = await open('b');
    const roles: string[] = [];
    blank.on('role:changed', (role) => roles.push(role));
    await blank.ready();
    await until('b to count again', () => blank.status().role === 'follower');
    expect(roles).to.deep.equal(['learner', 'follower']);
    // Into the joint membership, and out of it.
    await until('the joint membership to end', () => a!.status().commitIndex >= before + 2);
    await stop('c');
    expect(await a!.submit({ op: 'add', by: 1 }), 'a and the new b are a quorum').to.equal(2);
    expect(blank.status().members).to.have.length(3);
  });

  it('sends a snapshot to a member that was away for longer than the log', async () => {
    const snapshot = { logBytes: 4096, keepEntries: 0 };
    const replicas = await openAll((id) => ({ ...onDisk(id), snapshot }));
    const away = replicas.find((replica) => replica.status().role !== 'leader')!;
    const [one, two] = replicas.filter((replica) => replica !== away);
    await one!.submit({ op: 'add', by: 1 });
    await stop(away.id);
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 50 }, () => two!.submit({ op: 'add', by: 1 })));
    }
    const back = await open(away.id, { ...onDisk(away.id), snapshot });
    const stream = back.changes();
    await back.ready();
    expect(await back.query({ op: 'total' })).to.equal(1001);
    expect((await stream.next()).value).to.have.property('type', 'reset');
    const { seen } = back.peek({ op: 'state' });
    expect(seen).to.have.length(1001);
    // Its own submits go on where the snapshot stands.
    expect(await back.submit({ op: 'add', by: 1 })).to.equal(1002);
    await until(
      'equal states',
      () => new Set([one!, two!, back].map((replica) => replica.status().appliedIndex)).size === 1,
    );
    const digests = await Promise.all([one!, two!, back].map((replica) => replica.digest()));
    expect(new Set(digests.map(({ digest }) => digest)).size).to.equal(1);
  });

  it('streams what is applied, and can go on from an index', async () => {
    const [a, b] = await openAll();
    await a!.submit({ op: 'add', by: 1 });
    await b!.ready();
    const stream = b!.changes();
    expect((await stream.next()).value).to.deep.include({ type: 'reset' });
    for (let by = 2; by <= 5; by++) await a!.submit({ op: 'add', by });
    await failure(a!.submit({ op: 'add', by: -1 }));
    const got: AppliedChange[] = [];
    for (let i = 0; i < 5; i++) got.push((await stream.next()).value as AppliedChange);
    expect(got.map((change) => change.command)).to.deep.equal(
      [2, 3, 4, 5, -1].map((by) => ({ op: 'add', by })),
    );
    expect(got.map((change) => change.ok)).to.deep.equal([true, true, true, true, false]);
    expect(got.every((change) => change.origin === 'a')).to.equal(true);
    const resumed = b!.changes({ from: got[1]!.index });
    expect((await resumed.next()).value).to.deep.equal(got[2]);
    const controller = new AbortController();
    const ended = b!.changes({ signal: controller.signal });
    await ended.next();
    const last = ended.next();
    controller.abort();
    expect((await last).done).to.equal(true);
    await stream.return?.();
  });

  describe('without a quorum', () => {
    it('times out with a fate: refused if it never left, ambiguous with a request id if it did', async () => {
      const alone = await open('a');
      const unsent = await failure(alone.submit({ op: 'add', by: 1 }, { timeout: 100 }));
      expect(unsent).to.include({ code: 'ERR_TIMEOUT', fate: 'refused' });
      // The other founder that was met: a third one, never met, could not take its place (docs/raft.md).
      await open('b', onDisk('b'));
      await alone.submit({ op: 'add', by: 1 });
      await stop('b');
      const sent = await failure(alone.submit({ op: 'add', by: 10 }, { timeout: 100 }));
      expect(sent.code).to.equal('ERR_TIMEOUT');
      const b = await open('b', onDisk('b'));
      const requestId = sent.fate === 'ambiguous' ? sent.requestId : undefined;
      if (requestId !== undefined) expect(await b.submit({ op: 'add', by: 10 }, { requestId })).to.equal(11);
      else expect(await b.submit({ op: 'add', by: 10 })).to.equal(11);
      expect(await alone.query({ op: 'total' })).to.equal(11);
    });

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

    it('rejects at once when it has lost its leader, and no more once there is one again', async () => {
      const replicas = await Promise.all(ids.map((id) => open(id, { onNoQuorum: 'reject' })));
      await Promise.all(replicas.map((replica) => replica.ready()));
      await until('a leader', () => replicas.every((replica) => replica.status().leader !== undefined));
      const follower = replicas.find((replica) => replica.status().role === 'follower')!;
      const others = ids.filter((id) => id !== follower.id);
      network.cut(follower.id, others[0]!);
      network.cut(follower.id, others[1]!);
      await until('the loss', () => !follower.status().quorum);
      expect(await failure(follower.submit({ op: 'add', by: 1 }))).to.include({
        code: 'ERR_NOT_READY',
        fate: 'refused',
      });
      expect((await failure(follower.query({ op: 'total' }))).code).to.equal('ERR_NOT_READY');
      network.heal();
      await until('a quorum', () => follower.status().quorum);
      expect(await follower.submit({ op: 'add', by: 2 })).to.equal(2);
    });

    it('rejects at once, with the fate', async () => {
      const alone = await open('a', { onNoQuorum: 'reject' });
      await until('an election', () => alone.status().role === 'candidate');
      expect(await failure(alone.submit({ op: 'add', by: 1 }))).to.include({
        code: 'ERR_NOT_READY',
        fate: 'refused',
      });
    });

    it('reads and ready() time out, and follow their signal', async () => {
      const alone = await open('a');
      expect((await failure(alone.query({ op: 'total' }, { timeout: 50 }))).code).to.equal('ERR_TIMEOUT');
      expect((await failure(alone.ready({ timeout: 50 }))).code).to.equal('ERR_TIMEOUT');
      const controller = new AbortController();
      const read = failure(alone.query({ op: 'total' }, { signal: controller.signal }));
      const write = failure(alone.submit({ op: 'add', by: 1 }, { signal: controller.signal }));
      controller.abort();
      expect(await read).to.include({ name: 'AbortError', code: 'ERR_ABORTED' });
      expect(await write).to.include({ name: 'AbortError', code: 'ERR_ABORTED', fate: 'refused' });
      expect(await failure(alone.submit({ op: 'add', by: 1 }, { signal: controller.signal }))).to.include({
        fate: 'refused',
      });
      expect(alone.peek({ op: 'total' })).to.equal(0);
      expect(await alone.query({ op: 'total' }, { consistency: 'local' })).to.equal(0);
      expect(await alone.query({ op: 'total' }, { consistency: 'committed' })).to.equal(0);
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

  it('refuses a peer whose list of founders differs', async () => {
    const a = await open('a');
    const warned = new Promise<Error>((resolve) => a.once('warning', resolve));
    const b = await open('b', { members: ['a', 'b'] });
    expect(await warned).to.include({ code: 'ERR_MEMBERS_DIFFER' });
    const error = await failure(b.submit({ op: 'add', by: 1 }, { timeout: 200 }));
    expect(error.cause).to.include({ code: 'ERR_MEMBERS_DIFFER' });
  });

  it('refuses a group of the same name that was founded apart', async () => {
    const first = await open('a', { members: ['a', 'b'], ...onDisk('a') });
    await open('b', { members: ['a', 'b'], ...onDisk('b') });
    await first.submit({ op: 'add', by: 1 });
    await stop('a');
    await stop('b');
    network = memoryNetwork();
    await open('b', { members: ['a', 'b'], ...onDisk('elsewhere-b') });
    const other = await open('a', { members: ['a', 'b'], ...onDisk('elsewhere-a') });
    await other.submit({ op: 'add', by: 1 });
    await stop('b');
    const warned = new Promise<Error>((resolve) => other.once('warning', resolve));
    await open('b', { members: ['a', 'b'], ...onDisk('b') });
    expect(await warned).to.include({ code: 'ERR_GENESIS_DIFFERS' });
  });

  it('carries several groups on one mesh and one storage', async () => {
    const storages = new Map(
      ids.map((id) => [id, diskStorage(join(directory, id), { segmentBytes: 1024 * 1024 })]),
    );
    for (const id of ids) await meshOf(id);
    const groups = await Promise.all(
      ['one', 'two', 'three'].map(async (group) =>
        Promise.all(ids.map((id) => open(id, { group, storage: storages.get(id)! }))),
      ),
    );
    await Promise.all(groups.map((replicas, at) => replicas[at]!.submit({ op: 'add', by: at + 1 })));
    for (const [at, replicas] of groups.entries())
      expect(await replicas[0]!.query({ op: 'total' })).to.equal(at + 1);
    await groups[0]![0]!.close();
    expect(await groups[1]![0]!.submit({ op: 'add', by: 1 })).to.equal(3);
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
