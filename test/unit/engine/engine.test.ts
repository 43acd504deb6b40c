import { expect } from 'chai';
import type {
  AppBatch,
  AppNotice,
  AppSide,
  EngineBatch,
  EngineSide,
  GroupStatus,
} from '../../../lib/engine/door.js';
import { engineOf } from '../../../lib/engine/engineOf.js';
import { nodeEnvironment, type Environment } from '../../../lib/environment.js';
import { QuorateError } from '../../../lib/errors.js';
import { keyValue } from '../../../lib/machines/keyValue.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { memoryNetwork, type MemoryNetwork } from '../../../lib/mesh/memory/network.js';
import { meshPort, type Mesh } from '../../../lib/mesh/mesh.js';
import { FrameKind } from '../../../lib/mesh/port.js';
import { raft } from '../../../lib/replica/consensus.js';
import { openReplica } from '../../../lib/replica/openReplica.js';
import type { Replica } from '../../../lib/replica/replica.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import type { NodeStore, Storage } from '../../../lib/storage/storage.js';
import { diskError, FaultyDisk } from '../storage/support/faultyDisk.js';
import { seeded } from '../support/seeded.js';

const secret = 'a secret of more than sixteen bytes';
const ids = ['a', 'b', 'c'];
const MiB = 1024 * 1024;

type Store = ReturnType<typeof keyValue<string>>;

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + 15_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  const error: unknown = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  if (error instanceof QuorateError) return error;
  throw error;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A storage whose stores are changed as they open. */
function wrapped(storage: Storage, change: (store: NodeStore) => void): Storage {
  return {
    kind: storage.kind,
    open: async (binding) => {
      const store = await storage.open(binding);
      change(store);
      return store;
    },
  };
}

/** The app's side of a group, reduced to what it was told. */
class Listener implements AppSide {
  readonly batches: EngineBatch[] = [];
  notices: AppNotice[] = [];
  throwing: Error | undefined;
  proposals: AppBatch['proposals'] = [];

  collect(): AppBatch {
    if (this.throwing) throw this.throwing;
    const { notices, proposals } = this;
    this.notices = [];
    this.proposals = [];
    return { proposals, reads: [], applied: 0, notices };
  }

  deliver(batch: EngineBatch): void {
    this.batches.push(batch);
  }

  get status(): GroupStatus | undefined {
    return this.batches.findLast(({ status }) => status)?.status;
  }

  get failed(): Error | undefined {
    const found = this.batches.flatMap(({ notices }) => notices).find(({ type }) => type === 'failed');
    return found?.type === 'failed' ? found.error : undefined;
  }

  get committed(): number {
    return this.batches.flatMap(({ entries }) => entries).filter(({ kind }) => kind === 'user').length;
  }
}

describe('the engine', () => {
  let network: MemoryNetwork;
  let meshes: Map<string, Mesh>;
  let disks: Map<string, FaultyDisk>;

  beforeEach(() => {
    network = memoryNetwork();
    meshes = new Map();
    disks = new Map(ids.map((id) => [id, new FaultyDisk()]));
  });

  afterEach(async () => {
    await Promise.all([...meshes.values()].map((mesh) => mesh.close()));
  });

  async function meshOf(id: string): Promise<Mesh> {
    const known = meshes.get(id);
    if (known) return known;
    const environment: Environment = {
      ...nodeEnvironment,
      files: disks.get(id)!,
      // The storage asks for the free space every five seconds; here it hears sooner.
      setTimer: (delay, callback) => nodeEnvironment.setTimer(delay === 5000 ? 20 : delay, callback),
    };
    const mesh = await joinMesh({ id, cluster: 'test', secret, transport: network, environment });
    meshes.set(id, mesh);
    return mesh;
  }

  const disk = (): Storage => diskStorage('/data', { segmentBytes: 64 * 1024, reserve: MiB });

  async function open(
    id: string,
    storage = disk(),
    group = 'g',
    members: string[] | 'stored' = ids,
  ): Promise<Replica<Store>> {
    const mesh = await meshOf(id);
    return openReplica({
      mesh,
      group,
      stateMachine: keyValue<string>(),
      storage,
      timeout: 15_000,
      ...(members !== 'stored' && { members }),
    });
  }

  const put = (replica: Replica<Store>, key: string, value = 'v') =>
    replica.submit({ op: 'put', key, value });
  const get = (replica: Replica<Store>, key: string) => replica.query({ op: 'get', key });

  async function listen(
    id: string,
    app: AppSide,
    storage: Storage,
    name = 'g',
    founders = ids,
  ): Promise<EngineSide> {
    return engineOf(await meshOf(id)).open({
      name,
      wired: raft().wired,
      storage,
      founders,
      snapshotLogBytes: 64 * MiB,
      keepEntries: 100,
      app,
    });
  }

  for (const role of ['leader', 'follower'] as const) {
    it(`a failed flush ends the replica of a ${role}, and nobody else's`, async () => {
      const replicas = await Promise.all(ids.map((id) => open(id)));
      for (const replica of replicas) await put(replica, 'x');
      const broken = replicas.find(
        (replica) => (replica.status().role === 'leader') === (role === 'leader'),
      )!;
      const others = replicas.filter((replica) => replica !== broken);
      const id = ids[replicas.indexOf(broken)]!;
      const emitted: Error[] = [];
      broken.on('replica:failed', (error) => emitted.push(error));
      disks.get(id)!.judge = (operation) =>
        operation === 'sync' ? { error: diskError('EIO'), half: false } : 'works';
      const pending = Array.from({ length: 5 }, (_, i) =>
        put(broken, `pending ${i}`).then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
      await put(others[0]!, 'wakes the disk of a follower').catch(() => undefined);
      const reason = await broken.closed;
      expect(reason).to.deep.nested.include({ type: 'failed', 'error.code': 'ERR_STORAGE_FAILED' });
      expect(emitted).to.have.length(1);
      expect(broken.status().state).to.equal('failed');
      for (const error of await Promise.all(pending)) {
        // One that a majority of the others had may have been answered.
        if (error === undefined) continue;
        expect(error).to.include({ code: 'ERR_REPLICA_FAILED' });
        expect((error as QuorateError).fate).to.be.oneOf(['ambiguous', 'refused']);
      }
      expect(await failure(put(broken, 'later'))).to.include({ code: 'ERR_REPLICA_FAILED', fate: 'refused' });
      for (const replica of others) await put(replica, 'later');
      expect(await get(others[1]!, 'later')).to.equal('v');
      await broken.close();
      await broken.close();
      expect(emitted).to.have.length(1);
    });
  }

  it('refuses what a nearly full disk has no room for, at the leader for all, and recovers', async () => {
    const replicas = await Promise.all(ids.map((id) => open(id)));
    for (const replica of replicas) await put(replica, 'before');
    const leader = replicas.find((replica) => replica.status().role === 'leader')!;
    const follower = replicas.find((replica) => replica !== leader)!;
    const full = disks.get(ids[replicas.indexOf(leader)]!)!;
    full.free = MiB;
    let error: QuorateError | undefined;
    while (!error) {
      error = await put(leader, 'filler').then(
        () => undefined,
        (reason: unknown) => reason as QuorateError,
      );
    }
    expect(error).to.include({ code: 'ERR_STORAGE_FULL', fate: 'refused' });
    expect(await failure(put(follower, 'forwarded'))).to.include({
      code: 'ERR_STORAGE_FULL',
      fate: 'refused',
    });
    expect(await get(follower, 'before'), 'reads need no room').to.equal('v');
    full.free = 1e12;
    let done = false;
    while (!done) {
      done = await put(follower, 'after').then(
        () => true,
        (reason: unknown) => {
          expect(reason).to.include({ code: 'ERR_STORAGE_FULL' });
          return false;
        },
      );
    }
    expect(await get(leader, 'after')).to.equal('v');
    expect(await get(leader, 'forwarded')).to.equal(undefined);
    expect(leader.status().state).to.equal('running');
  });

  it('closing with writes in flight settles every submit, and loses nothing that was acknowledged', async () => {
    const random = seeded(3);
    for (let round = 0; round < 3; round++) {
      const replica = await open('a', disk(), 'g', ['a']);
      await put(replica, `first of ${round}`);
      const acknowledged: string[] = [];
      const submits = Array.from({ length: 300 }, async (_, i) => {
        const key = `${round}/${i}`;
        try {
          await put(replica, key);
          acknowledged.push(key);
        } catch (error) {
          expect(error).to.include({ code: 'ERR_CLOSED' });
          expect((error as QuorateError).fate).to.be.oneOf(['ambiguous', 'refused']);
        }
      });
      for (let i = Math.floor(random() * 8); i >= 0; i--) await nextTurn();
      await replica.close();
      await Promise.all(submits);
      const again = await open('a', disk(), 'g', 'stored');
      await put(again, 'is there');
      for (const key of acknowledged) expect(await get(again, key), key).to.equal('v');
      await again.close();
    }
  });

  it('a group opens, closes and opens again on one mesh, beside another on the same storage', async () => {
    const storage = disk();
    const beside = await open('a', storage, 'beside', ['a']);
    for (let round = 0; round < 4; round++) {
      const replica = await open('a', storage, 'g', round === 0 ? ['a'] : 'stored');
      await replica.ready();
      for (let i = 0; i < round; i++) expect(await get(replica, `k${i}`)).to.equal('v');
      await put(replica, `k${round}`);
      await Promise.all([replica.close(), replica.close()]);
      await put(beside, `k${round}`);
    }
    expect(await get(beside, 'k3')).to.equal('v');
    expect((await failure(open('a', storage, 'beside', ['a']))).code).to.equal('ERR_GROUP_EXISTS');
  });

  it('the members of a group meet again after one of them closed and opened it on the same links', async () => {
    const storages = ids.map(() => disk());
    const replicas = await Promise.all(ids.map((id, i) => open(id, storages[i])));
    await put(replicas[0]!, 'x');
    for (let i = 0; i < 3; i++) {
      await replicas[i]!.close();
      await put(replicas[(i + 1) % 3]!, `without ${i}`);
      replicas[i] = await open(ids[i]!, storages[i], 'g', 'stored');
      expect(await get(replicas[i]!, `without ${i}`)).to.equal('v');
    }
  });

  it('a group that opens while the last one is closing the storage waits for that', async () => {
    let close = (): void => undefined;
    let closing = false;
    const storage = wrapped(memoryStorage(), (store) => {
      const really = store.close.bind(store);
      store.close = async () => {
        closing = true;
        await new Promise<void>((resolve) => (close = resolve));
        await really();
      };
    });
    const one = await open('a', storage, 'one', ['a']);
    await put(one, 'x');
    const ended = one.close();
    await until('the storage to close', () => closing);
    const opened = open('a', storage, 'one', 'stored');
    for (let i = 0; i < 5; i++) await nextTurn();
    close();
    await ended;
    expect(await get(await opened, 'x')).to.equal('v');
    const last = (await opened).close();
    await until('the last close', () => closing);
    for (let i = 0; i < 5; i++) await nextTurn();
    close();
    await last;
  });

  it('closing a group twice leaves the storage to the groups beside it', async () => {
    const storage = disk();
    const beside = await open('a', storage, 'beside', ['a']);
    const app = new Listener();
    const side = await listen('a', app, storage, 'twice', ['a']);
    await until('a leader', () => app.status?.role === 'leader');
    app.proposals = [{ token: 1, count: 1, data: new Uint8Array(10) }];
    side.wake();
    await Promise.all([side.close(), side.close(), side.close()]);
    await side.close();
    await put(beside, 'x');
    expect(await get(beside, 'x')).to.equal('v');
  });

  it('delivers nothing after close, not even that a write under way has failed', async () => {
    const held: ((error?: Error) => void)[] = [];
    let holding = false;
    const storage = wrapped(memoryStorage(), (store) => {
      const write = store.write.bind(store);
      store.write = (writes, done) => write(writes, holding ? () => held.push(done) : done);
    });
    const app = new Listener();
    const side = await listen('a', app, storage, 'g', ['a']);
    await until('a leader', () => app.status?.role === 'leader');
    holding = true;
    for (const token of [1, 2]) {
      app.proposals = [{ token, count: 1, data: new Uint8Array(10) }];
      side.wake();
      await until('the write', () => held.length >= token);
    }
    let closed = false;
    const closing = side.close().then(() => (closed = true));
    const told = app.batches.length;
    for (let i = 0; i < 5; i++) await nextTurn();
    expect(closed, 'it waits for the write').to.equal(false);
    for (const done of held) {
      done(new Error('too late'));
      await nextTurn();
    }
    await closing;
    side.wake();
    for (let i = 0; i < 5; i++) await nextTurn();
    expect(app.batches).to.have.length(told);
  });

  it('a step of a group that throws fails that group only', async () => {
    const storage = disk();
    const beside = await open('a', storage, 'beside', ['a']);
    const app = new Listener();
    const side = await listen('a', app, storage, 'thrower', ['a']);
    await until('a leader', () => app.status?.role === 'leader');
    app.throwing = new Error('out of order');
    side.wake();
    await until('the failure', () => app.failed !== undefined);
    expect(app.failed?.message).to.equal('out of order');
    await put(beside, 'x');
    await side.close();
    expect(await get(beside, 'x')).to.equal('v');
  });

  it('a group that fails says goodbye: its peers know at once that it is gone', async () => {
    const apps = ids.map(() => new Listener());
    const sides = await Promise.all(ids.map((id, i) => listen(id, apps[i]!, memoryStorage())));
    const leads = (): number => apps.findIndex((app) => !app.failed && app.status?.role === 'leader');
    await until('a leader and contact with it', () => {
      const leader = leads();
      return leader >= 0 && apps.every(({ status }) => status?.leader === ids[leader] && status!.contact > 0);
    });
    const first = leads();
    const epoch = apps[first]!.status!.epoch.n;
    const told = apps.map((app) => app.batches.length);
    apps[first]!.notices = [{ type: 'failed', error: new Error('the app is done for') }];
    sides[first]!.wake();
    await until(
      'a new leader',
      () => leads() >= 0 && leads() !== first && apps[leads()]!.status!.epoch.n > epoch,
    );
    for (const [i, app] of apps.entries()) {
      if (i === first) continue;
      const next = app.batches.slice(told[i]).find(({ status }) => status)?.status;
      expect(next, 'no way to the leader any more, before its term is over').to.deep.nested.include({
        contact: 0,
        'epoch.n': epoch,
      });
    }
    await Promise.all(sides.map((side) => side.close()));
  });

  it('garbage from a peer costs that link only, which is made anew', async () => {
    const replicas = await Promise.all(ids.map((id) => open(id)));
    await put(replicas[0]!, 'before');
    const seen: string[] = [];
    meshPort(meshes.get('a')!).listen({ onPeer: (peer, up) => seen.push(`${peer} ${up ? 'up' : 'down'}`) });
    const port = meshPort(meshes.get('b')!);
    const item = (type: number, ...body: number[]): number[] => [1, type, body.length, 0, 0, 0, ...body];
    const garbage = [
      [0xff, 0xff],
      [1, 4, 0xff, 0xff, 0xff, 0xff, 0], // an item longer than its frame
      item(4, 99), // a message of no known type
      item(77, 1), // an item of no known type
    ];
    for (const bytes of garbage) {
      seen.length = 0;
      await until('the link', () => port.linked().has('a') && meshPort(meshes.get('a')!).linked().has('b'));
      await get(replicas[1]!, 'before'); // contact is made, so that b's number for the group is known
      await until('the group', () => {
        port.send('a', FrameKind.group, Uint8Array.from(bytes), { lane: 'control' });
        return seen.includes('b down');
      });
      await until('the link again', () => seen.includes('b up'));
      expect(seen.filter((line) => line.startsWith('c'))).to.deep.equal([]);
    }
    for (const replica of replicas) await put(replica, 'after');
    expect(replicas.map((replica) => replica.status().state)).to.deep.equal([
      'running',
      'running',
      'running',
    ]);
  });

  it('frames for groups that are not open here cost nothing', async () => {
    const replica = await open('a', memoryStorage(), 'g', ['a']);
    const other = meshPort(await meshOf('b'));
    const near = meshPort(meshes.get('a')!);
    await until('the link', () => other.linked().has('a') && near.linked().has('b'));
    const seen: boolean[] = [];
    const port = meshPort(meshes.get('a')!);
    port.listen({ onPeer: (_peer, up) => seen.push(up) });
    const received = meshes.get('a')!.metrics();
    for (const type of [3, 4, 5, 6, 7, 8, 9, 99]) {
      other.send('a', FrameKind.group, Uint8Array.of(50, type, 1, 0, 0, 0, 1), { lane: 'control' });
    }
    await put(replica, 'x');
    await until('the frames', () => meshes.get('a')!.metrics().framesReceived > received.framesReceived + 7);
    expect(seen).to.deep.equal([]);
  });
});
