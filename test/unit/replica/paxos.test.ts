/** Groups whose commands Paxos orders: over a mesh in memory, and in the simulation. What any consensus gives is the suite's. */
import { expect } from 'chai';
import {
  joinMesh,
  keyValue,
  memoryNetwork,
  memoryStorage,
  openReplica,
  paxos,
  raft,
} from '../../../lib/index.js';
import type { Mesh, QuorateError, Replica, ReplicaOptions, Transport } from '../../../lib/index.js';
import { createSimulation } from '../../../lib/testing/simulation/simulation.js';

const secret = 'a secret of more than sixteen bytes';

type Store = Replica<ReturnType<typeof keyValue<number>>>;

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  return promise.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error as QuorateError,
  );
}

describe('a group under paxos()', () => {
  let transport: Transport;
  const meshes: Mesh[] = [];
  beforeEach(() => (transport = memoryNetwork()));
  afterEach(async () => {
    await Promise.all(meshes.splice(0).map((mesh) => mesh.close()));
  });

  async function open(
    id: string,
    how: Pick<ReplicaOptions<ReturnType<typeof keyValue<number>>>, 'members' | 'join' | 'as' | 'consensus'>,
  ): Promise<Store> {
    const mesh = await joinMesh({ id, cluster: 'paxos', secret, transport });
    meshes.push(mesh);
    const own = { stateMachine: keyValue<number>(), storage: memoryStorage() };
    return openReplica({ mesh, group: 'g', consensus: paxos(), ...own, ...how });
  }

  it('takes commands and answers reads through any member', async () => {
    const ids = ['a', 'b', 'c'];
    const replicas = await Promise.all(ids.map((id) => open(id, { members: ids })));
    for (const [at, replica] of replicas.entries())
      await replica.submit({ op: 'put', key: replica.id, value: at });
    for (const replica of replicas)
      expect(await replica.query({ op: 'list' })).to.deep.equal([
        ['a', 0],
        ['b', 1],
        ['c', 2],
      ]);
  });

  it('of one member serves at once', async () => {
    const replica = await open('a', { members: ['a'] });
    await replica.submit({ op: 'put', key: 'k', value: 1 });
    expect(await replica.query({ op: 'get', key: 'k' })).to.equal(1);
  });

  it('grows under load and shrinks, the leader included, and loses nothing', async function () {
    this.timeout(60_000);
    const first = await open('a', { members: ['a'] });
    await first.submit({ op: 'put', key: 'n', value: 0 });
    let written = 0;
    let done = false;
    const load = (async () => {
      while (!done) await first.submit({ op: 'put', key: 'n', value: ++written });
    })();
    const others = await Promise.all(['b', 'c', 'd', 'e'].map((id) => open(id, { join: true })));
    await Promise.all(others.map((replica) => replica.ready({ timeout: 30_000 })));
    await Promise.all(others.map(({ id }) => first.addMember(id, { timeout: 30_000 })));
    expect(first.status().members).to.have.length(5);
    done = true;
    await load;
    const { leader } = first.status();
    const left = [first, ...others].find(({ id }) => id !== leader)!;
    await left.removeMember(leader!, { timeout: 30_000 });
    await left.submit({ op: 'put', key: 'last', value: 1 }, { timeout: 30_000 });
    expect(await left.query({ op: 'get', key: 'n' })).to.equal(written);
    expect(left.status().members.map(({ id }) => id)).to.not.include(leader);
  });

  it('has its leadership handed over', async () => {
    const ids = ['a', 'b', 'c'];
    const replicas = await Promise.all(ids.map((id) => open(id, { members: ids })));
    for (const replica of replicas) await replica.submit({ op: 'put', key: replica.id, value: 1 });
    const { leader } = replicas[0]!.status();
    const to = ids.find((id) => id !== leader)!;
    await replicas[0]!.transferLeadership(to, { timeout: 20_000 });
    await replicas[0]!.submit({ op: 'put', key: 'after', value: 1 });
  });

  it('takes no witnesses, neither opened nor added', async () => {
    const error = await failure(open('w', { join: true, as: 'witness' }));
    expect(error.code).to.equal('ERR_CONFIG');
    expect(error.message).to.contain('paxos()');
    const first = await open('a', { members: ['a'] });
    await first.submit({ op: 'put', key: 'k', value: 1 });
    expect((await failure(first.addMember('w', { as: 'witness' }))).code).to.equal('ERR_MEMBERSHIP');
    expect(() =>
      createSimulation({ seed: 1, nodes: ['a', 'b'], founders: ['a'], witnesses: ['b'], consensus: paxos() }),
    )
      .to.throw('witnesses')
      .with.property('code', 'ERR_CONFIG');
  });

  it('does not mix with one under raft()', async () => {
    await open('a', { members: ['a', 'b', 'c'] });
    const other = await open('b', { members: ['a', 'b', 'c'], consensus: raft() });
    const { code } = await failure(other.ready({ timeout: 1500 }));
    expect(code).to.be.a('string');
  });
});
