/** What a user of meshes and replicas sees is the same whichever thread the engine is in. */
import { expect } from 'chai';
import {
  generateIdentity,
  joinMesh,
  keyValue,
  memoryNetwork,
  memoryStorage,
  openClient,
  openReplica,
  raft,
  type Mesh,
  type MemoryNetwork,
  type Replica,
  type Storage,
} from '../../../lib/index.js';
import { secret, until } from '../mesh/support.js';

type Machine = ReturnType<typeof keyValue<string>>;

const ids = ['a', 'b', 'c'];

for (const thread of ['main', 'worker'] as const) {
  describe(`a group whose engine is in the ${thread} thread`, function () {
    this.timeout(60_000);
    let network: MemoryNetwork;
    const meshes = new Map<string, Mesh>();
    const replicas = new Map<string, Replica<Machine>>();
    const storages = new Map<string, Storage>();

    const join = async (id: string): Promise<Mesh> => {
      const mesh = await joinMesh({ id, cluster: 'c', secret, transport: network, thread });
      meshes.set(id, mesh);
      return mesh;
    };
    const open = async (id: string, more: object = {}): Promise<Replica<Machine>> => {
      const storage = storages.get(id) ?? memoryStorage();
      storages.set(id, storage);
      const replica = await openReplica({
        ...{ mesh: meshes.get(id)!, group: 'g', members: ids, stateMachine: keyValue<string>(), storage },
        consensus: raft({ electionTimeoutMs: 500 }),
        ...more,
      });
      replicas.set(id, replica);
      return replica;
    };
    const leader = (): Replica<Machine> | undefined =>
      [...replicas.values()].find((replica) => replica.status().role === 'leader' && replica.status().quorum);
    const put = (replica: Replica<Machine>, key: string, value: string): Promise<unknown> =>
      replica.submit({ op: 'put', key, value });

    beforeEach(async () => {
      network = memoryNetwork();
      for (const id of ids) await join(id);
      for (const id of ids) await open(id);
      await Promise.all([...replicas.values()].map((replica) => replica.ready()));
    });

    afterEach(async () => {
      await Promise.all([...meshes.values()].map((mesh) => mesh.close()));
      meshes.clear();
      replicas.clear();
      storages.clear();
    });

    it('commits from every member, each command once, and answers everywhere', async () => {
      const all = [...replicas.values()];
      const writes = Array.from({ length: 600 }, (_, i) => put(all[i % 3]!, `k${i}`, `v${i}`));
      await Promise.all(writes);
      for (const replica of all) {
        const list = await replica.query({ op: 'list' });
        expect(list).to.have.length(600);
        expect(await replica.query({ op: 'get', key: 'k599' })).to.equal('v599');
      }
      expect(new Set(all.map((replica) => replica.status().leader)).size).to.equal(1);
    });

    it('tells the same of members, and says each change once', async () => {
      const [a] = [...replicas.values()];
      let changed = 0;
      let leaders = 0;
      a!.on('members:changed', () => changed++);
      a!.on('leader:changed', () => leaders++);
      const target = [...replicas.values()].find((replica) => replica !== leader())!;
      await a!.transferLeadership(target.id);
      await until('the new leader', () => a!.status().leader === target.id);
      expect(changed, 'nothing changed about the members').to.equal(0);
      expect(leaders).to.be.within(1, 2);
      await a!.removeMember(ids.find((id) => id !== a!.id && id !== target.id)!);
      await until('the removal', () => a!.status().members.length === 2);
      expect(changed).to.be.at.least(1);
    });

    it('takes snapshots through the door, and brings an empty member up to date with one', async () => {
      const snapshot = { logBytes: 16_384, keepEntries: 0 };
      await meshes.get('c')!.close();
      replicas.delete('c');
      for (const id of ['a', 'b']) {
        await replicas.get(id)!.close();
        await open(id, { snapshot });
      }
      await replicas.get('a')!.ready();
      for (let i = 0; i < 40; i++)
        await Promise.all(
          Array.from({ length: 20 }, (_, n) =>
            put(replicas.get(n % 2 ? 'a' : 'b')!, `${i}.${n}`, 'x'.repeat(100)),
          ),
        );
      storages.delete('c');
      await join('c');
      const c = await open('c', { snapshot });
      let resets = 0;
      const controller = new AbortController();
      const watching = (async () => {
        for await (const change of c.changes({ from: 0, signal: controller.signal }))
          if (change.type === 'reset') resets++;
      })();
      await c.ready();
      expect(await c.query({ op: 'list' })).to.have.length(800);
      expect((await c.digest()).digest).to.equal((await replicas.get('a')!.digest()).digest);
      await until('the reset', () => resets > 0);
      controller.abort();
      await watching;
    });

    it('compacts when it is told to, and says what came in between', async () => {
      const a = replicas.get('a')!;
      await put(a, 'k', 'v');
      const { appliedIndex } = a.status();
      const [one, other] = await Promise.all([a.compact(), a.compact()]);
      expect(one.index).to.be.at.least(appliedIndex);
      expect(other).to.deep.equal(one);
      const again = await a.compact();
      expect(again.index).to.be.at.least(one.index);
      const code = (work: Promise<unknown>): Promise<unknown> =>
        work.then(
          () => 'nothing',
          (error: unknown) => (error as { code?: string }).code,
        );
      expect(await code(a.compact({ timeout: -1 }))).to.equal('ERR_CONFIG');
      expect(await code(a.compact({ signal: AbortSignal.abort() }))).to.equal('ERR_ABORTED');
      // It stands at the snapshot, and the log goes on behind it.
      await a.close();
      const reopened = await open('a');
      await reopened.ready();
      expect(await reopened.query({ op: 'get', key: 'k' })).to.equal('v');
      await put(reopened, 'k', 'more');
      const closing = reopened.compact();
      await Promise.all([reopened.close(), code(closing).then((end) => expect(end).to.equal('ERR_CLOSED'))]);
      expect(await code(reopened.compact())).to.equal('ERR_CLOSED');
    });

    it('hears of cuts and repairs of links, and refuses without a quorum', async () => {
      const lead = leader()!;
      const others = ids.filter((id) => id !== lead.id);
      for (const other of others) network.cut(lead.id, other);
      const mesh = meshes.get(lead.id)!;
      await until('the links to be lost', () =>
        mesh.peers().every(({ state }) => state === 'unreachable' || state === 'suspect'),
      );
      await until('the loss of the quorum', () => !lead.status().quorum);
      await until('another leader', () => others.some((id) => replicas.get(id)!.status().role === 'leader'));
      network.heal();
      await mesh.waitFor(others);
      await put(lead, 'k', 'after');
      expect(await replicas.get(others[0]!)!.query({ op: 'get', key: 'k' })).to.equal('after');
    });

    it('serves clients on nodes outside the group, streams included', async () => {
      const mesh = await join('outside');
      const client = await openClient({ mesh, group: 'g', stateMachine: keyValue<string>() });
      const seen: unknown[] = [];
      const controller = new AbortController();
      const following = (async () => {
        for await (const change of client.changes({ signal: controller.signal })) seen.push(change);
      })();
      await Promise.all(
        Array.from({ length: 200 }, (_, i) => client.submit({ op: 'put', key: `k${i}`, value: 'v' })),
      );
      await client.submit({ op: 'put', key: 'large', value: 'x'.repeat(600_000) });
      expect(await client.query({ op: 'get', key: 'large' })).to.have.length(600_000);
      expect(await client.query({ op: 'list' })).to.have.length(201);
      await until('the changes', () => seen.length >= 201);
      controller.abort();
      await following;
      await client.close();
    });

    it('keeps an outbox while no quorum answers', async () => {
      await replicas.get('a')!.close();
      const a = await open('a', { onNoQuorum: 'queue' });
      await a.ready();
      for (const other of ['b', 'c']) network.cut('a', other);
      await until('the loss of the quorum', () => !a.status().quorum);
      const queued = put(a, 'k', 'queued');
      await until('the queued command', () => a.outbox.size === 1);
      network.heal();
      await queued;
      expect(await replicas.get('b')!.query({ op: 'get', key: 'k' })).to.equal('queued');
    });

    it('rejects with the same errors', async () => {
      const code = async (work: Promise<unknown>): Promise<unknown> =>
        work.then(
          () => 'nothing',
          (error: unknown) => (error as { code?: string }).code,
        );
      expect(await code(open('a'))).to.equal('ERR_GROUP_EXISTS');
      const mesh = meshes.get('a')!;
      const more = { mesh, stateMachine: keyValue<string>(), storage: memoryStorage() };
      expect(await code(openReplica({ ...more, group: 'unknown' }))).to.equal('ERR_GROUP_UNKNOWN');
      const foreign = { ...more, storage: storages.get('b')!, group: 'other', members: ['a'] };
      expect(await code(openReplica(foreign))).to.equal('ERR_STORAGE_LOCKED');
      await mesh.close();
      expect(await code(put(replicas.get('a')!, 'k', 'v'))).to.equal('ERR_CLOSED');
      expect(await replicas.get('a')!.closed).to.deep.equal({ type: 'closed' });
    });

    it('reopens what a storage holds', async () => {
      await put(replicas.get('a')!, 'k', 'v');
      await replicas.get('b')!.close();
      const b = await open('b', { members: undefined });
      await b.ready();
      expect(await b.query({ op: 'get', key: 'k' })).to.equal('v');
    });

    it('follows changes of secrets and of trust', async () => {
      const keys = { x: generateIdentity(), y: generateIdentity() };
      const joined = async (id: 'x' | 'y', other: 'x' | 'y'): Promise<Mesh> => {
        const mesh = await joinMesh({
          ...{ id, cluster: 'listed', transport: network, thread },
          secret: async () => secret,
          identity: { key: keys[id].privateKey, peers: { [other]: keys[other].publicKey } },
        });
        meshes.set(id, mesh);
        return mesh;
      };
      const x = await joined('x', 'y');
      const y = await joined('y', 'x');
      await Promise.all([x.waitFor(['y']), y.waitFor(['x'])]);
      expect(x.identity.publicKey).to.equal(keys.x.publicKey);
      x.identity.revoke('y');
      expect(x.identity.trusted()).to.deep.equal([]);
      await until('the lost link', () => y.peers().find(({ id }) => id === 'x')?.state === 'unreachable');
      x.identity.trust('y', keys.y.publicKey);
      await x.waitFor(['y']);
      const next = 'another secret of some length';
      const before = { current: secret, previous: next };
      for (const mesh of [x, y]) await mesh.identity.rotateSecret(before);
      for (const mesh of [x, y]) await mesh.identity.rotateSecret(async () => next);
      expect(() => x.identity.trust('y', 'nonsense'))
        .to.throw()
        .with.property('code', 'ERR_CONFIG');
    });
  });
}
