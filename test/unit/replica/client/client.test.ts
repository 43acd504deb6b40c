import { expect } from 'chai';
import type { GroupClient } from '../../../../lib/replica/client/groupClient.js';
import { openClient } from '../../../../lib/replica/client/openClient.js';
import { joinMesh } from '../../../../lib/mesh/joinMesh.js';
import { memoryStorage } from '../../../../lib/storage/memoryStorage.js';
import { counter, failure, GROUP, leaderOf, until, World, type Counter } from './support.js';

describe('a client of a group', () => {
  let world: World;

  beforeEach(() => {
    world = new World();
  });

  afterEach(async () => {
    await world.close();
  });

  it('submits and asks, typed as a replica does', async () => {
    await world.group();
    const client = await world.client();
    const sum: number = await client.submit({ op: 'add', by: 2 });
    expect(sum).to.equal(2);
    const total: number = await client.query({ op: 'total' });
    expect(total).to.equal(2);
    expect(await Promise.all([client.submit({ op: 'nothing' })])).to.deep.equal([undefined]);
    for (const consistency of ['committed', 'local'] as const)
      expect(await client.query({ op: 'total' }, { consistency })).to.be.oneOf([0, 2]);
  });

  it('prefers the member that leads', async () => {
    const replicas = await world.group();
    const client = await world.client();
    await until('the leader', () => client.status().member === leaderOf(replicas).id);
    expect(client.status()).to.deep.include({ id: 'x', group: GROUP, state: 'running' });
    expect(client.status().leader).to.equal(leaderOf(replicas).id);
    await client.submit({ op: 'add', by: 1 });
    expect(leaderOf(replicas).metrics().submitted).to.equal(1);
  });

  it('goes over a follower where the leader is not linked', async () => {
    const replicas = await world.group();
    const leader = leaderOf(replicas).id;
    world.network.cut('x', leader);
    const mesh = await joinMesh({
      id: 'x',
      cluster: 'test',
      secret: 'a secret of more than sixteen bytes',
      transport: world.network,
      relay: false,
    });
    world.meshes.set('x', mesh);
    const client = await world.client();
    expect(await client.submit({ op: 'add', by: 4 })).to.equal(4);
    expect(client.status().member).to.not.equal(leader);
    expect(client.status().leader).to.equal(leader);
  });

  it('waits for nobody when it opens, and its calls wait for a member', async () => {
    const client = await world.client();
    const submitted = client.submit({ op: 'add', by: 3 });
    const asked = client.query({ op: 'total' });
    expect(client.status().member).to.equal(undefined);
    expect(client.status().pending).to.deep.equal({ commands: 1, queries: 1, streams: 0 });
    await world.group();
    expect(await submitted).to.equal(3);
    expect(await asked).to.be.oneOf([0, 3]);
    expect(client.status().pending).to.deep.equal({ commands: 0, queries: 0, streams: 0 });
  });

  it('finds a replica that opens on a node that was linked before', async () => {
    const mesh = await world.mesh('a');
    const client = await world.client();
    await mesh.waitFor(['x']);
    const submitted = client.submit({ op: 'add', by: 3 });
    await world.member('a', { members: ['a'] });
    expect(await submitted).to.equal(3);
  });

  it('what never left is refused at the time-out', async () => {
    const client = await world.client();
    const error = await failure(client.submit({ op: 'add', by: 1 }, { timeout: 20, requestId: 'mine' }));
    expect(error).to.include({ code: 'ERR_TIMEOUT', fate: 'refused', requestId: 'mine' });
    const query = await failure(client.query({ op: 'total' }, { timeout: 20 }));
    expect(query.code).to.equal('ERR_TIMEOUT');
    expect(query.fate).to.equal(undefined);
  });

  it('what a member holds without a quorum is ambiguous, and settles under its request id', async () => {
    const replicas = await world.group();
    const leader = leaderOf(replicas);
    const client = await world.client();
    await until('the leader', () => client.status().member === leader.id);
    for (const { id } of replicas)
      if (id !== leader.id) for (const other of [leader.id, 'x']) world.network.cut(id, other);
    const error = await failure(client.submit({ op: 'add', by: 5 }, { timeout: 60 }));
    expect(error).to.include({ code: 'ERR_TIMEOUT', fate: 'ambiguous' });
    expect(error.requestId).to.match(/^[0-9a-f]{32}$/);
    world.network.heal();
    const again = client.submit({ op: 'add', by: 5 }, { requestId: error.requestId! });
    expect(await again).to.equal(5);
    expect(await client.query({ op: 'total' })).to.equal(5);
  });

  it("passes the machine's own errors on, with all they say", async () => {
    await world.group();
    const client = await world.client();
    const rejected = await failure(client.submit({ op: 'add', by: -7 }, { requestId: 'r' }));
    expect(rejected).to.include({
      code: 'ERR_REJECTED',
      reason: 'negative',
      fate: undefined,
      requestId: 'r',
    });
    expect(rejected.data).to.deep.equal({ by: -7 });
    expect((await failure(client.submit({ op: 'add', by: 13 }))).code).to.equal('ERR_COMMAND_FAILED');
    const unknown = await failure(client.submit({ op: 'fly' } as never));
    expect(unknown.code).to.equal('ERR_UNKNOWN_OPERATION');
    expect((await failure(client.query({ op: 'broken' }))).code).to.equal('ERR_QUERY_FAILED');
    expect((await failure(client.query({ op: 'fly' } as never))).code).to.equal('ERR_UNKNOWN_OPERATION');
  });

  it("asks the machine's validate at the member, and here where it has the machine", async () => {
    await world.group();
    const client = await world.client();
    const there = await failure(client.submit({ op: 'add', by: 666 }));
    expect(there).to.include({ code: 'ERR_REJECTED', fate: 'refused' });
    expect(there.message).to.include('not this one');
    const wise = await world.client({ stateMachine: counter() });
    let thrown: unknown;
    await wise.submit({ op: 'add', by: 666 }).catch((error: unknown) => (thrown = error));
    expect(thrown).to.be.instanceOf(Error).with.property('message', 'not this one');
  });

  it('the same request id twice is one command, from another client too', async () => {
    const [a] = await world.group();
    const client = await world.client();
    const other = await world.client({}, 'y');
    expect(await client.submit({ op: 'add', by: 3 }, { requestId: 'once' })).to.equal(3);
    expect(await other.submit({ op: 'add', by: 3 }, { requestId: 'once' })).to.equal(3);
    expect(await a!.submit({ op: 'add', by: 3 }, { requestId: 'once' })).to.equal(3);
    expect(await client.query({ op: 'total' })).to.equal(3);
  });

  it("takes the request id of a replica's ambiguous error", async () => {
    const replicas = await world.group();
    const client = await world.client();
    const leader = leaderOf(replicas);
    const follower = replicas.find((replica) => replica !== leader)!;
    await leader.submit({ op: 'add', by: 1 });
    for (const other of replicas) if (other !== leader) world.network.cut(leader.id, other.id);
    const error = await failure(leader.submit({ op: 'add', by: 10 }, { timeout: 50 }));
    expect(error.requestId).to.match(/^q:/);
    world.network.heal();
    expect(await client.submit({ op: 'add', by: 10 }, { requestId: error.requestId! })).to.equal(11);
    expect(await follower.query({ op: 'total' })).to.equal(11);
  });

  it('no request id can make a member forward a session that cannot be', async () => {
    const replicas = await world.group();
    const client = await world.client();
    for (const requestId of ['q:0:1', 'q:999999999999:1', 'q:1:0']) {
      const error = await failure(client.submit({ op: 'add', by: 1 }, { requestId, timeout: 150 }));
      expect(error, requestId).to.include({ code: 'ERR_TIMEOUT' });
      expect(error.cause, requestId).to.have.property('code', 'ERR_NOT_READY');
    }
    expect(await client.submit({ op: 'add', by: 1 })).to.equal(1);
    for (const replica of replicas) expect(replica.metrics().leaderChanges).to.be.lessThan(3);
  });

  it('goes on at another member when the one that serves closes', async () => {
    const replicas = await world.group();
    const client = await world.client();
    await client.submit({ op: 'add', by: 1 });
    const served = client.status().member!;
    const calls = Array.from({ length: 50 }, () => client.submit({ op: 'add', by: 1 }));
    await replicas.find(({ id }) => id === served)!.close();
    const results = await Promise.all(calls);
    expect(new Set(results).size).to.equal(50);
    expect(await client.query({ op: 'total' })).to.equal(51);
    expect(client.status().member).to.not.equal(served);
  });

  it('hears of a replica that closes, and of one that opens, without a call', async () => {
    const solo = await world.member('a', { members: ['a'], storage: memoryStorage() });
    const client = await world.client();
    await until('the member', () => client.status().member === 'a');
    await solo.close();
    await until('its end', () => client.status().member === undefined);
    await world.member('a', { members: ['a'] });
    await until('the next', () => client.status().member === 'a');
  });

  it('answers what is under way while its replica drains, and sends new calls elsewhere', async () => {
    const replicas = await world.group();
    const client = await world.client();
    await client.submit({ op: 'add', by: 1 });
    const served = replicas.find(({ id }) => id === client.status().member)!;
    const call = client.submit({ op: 'add', by: 1 });
    const closed = served.close({ drain: true });
    expect(await call).to.equal(2);
    await closed;
    expect(await client.submit({ op: 'add', by: 1 })).to.equal(3);
  });

  it('goes on at another member when the link breaks, each command once', async () => {
    await world.group();
    const client = await world.client();
    await client.submit({ op: 'add', by: 1 });
    const calls = Array.from({ length: 25 }, () => client.submit({ op: 'add', by: 1 }));
    await world.stop(client.status().member!);
    expect(new Set(await Promise.all(calls)).size).to.equal(25);
    expect(await client.query({ op: 'total' })).to.equal(26);
  });

  it('is refused with a clear code by a member that serves no clients', async () => {
    await world.member('a', { members: ['a'], clients: false });
    const client = await world.client();
    await until('the refusal', () => client.status().refused !== undefined);
    expect(client.status().refused).to.include({ code: 'ERR_NOT_SERVED' });
    const error = await failure(client.submit({ op: 'add', by: 1 }, { timeout: 50 }));
    expect(error).to.include({ code: 'ERR_NOT_SERVED', fate: 'refused' });
    expect((await failure(client.query({ op: 'total' }, { timeout: 50 }))).code).to.equal('ERR_NOT_SERVED');
  });

  it('passes by a member that serves no clients', async () => {
    await Promise.all(['a', 'b', 'c'].map((id) => world.member(id, { clients: id === 'c' })));
    const client = await world.client();
    expect(await client.submit({ op: 'add', by: 1 })).to.equal(1);
    expect(client.status().member).to.equal('c');
    expect(client.status().refused).to.equal(undefined);
  });

  it('never puts a command into the outbox of a member', async () => {
    const replicas = await world.group({ onNoQuorum: 'queue' });
    const client = await world.client();
    await until('the leader', () => client.status().member === leaderOf(replicas).id);
    const leader = leaderOf(replicas);
    for (const { id } of replicas)
      if (id !== leader.id) for (const other of [leader.id, 'x']) world.network.cut(id, other);
    await until('the loss', () => !leader.status().quorum && client.status().member === undefined);
    const own = leader.submit({ op: 'add', by: 1 });
    const error = await failure(client.submit({ op: 'add', by: 2 }, { timeout: 100 }));
    expect(error).to.include({ code: 'ERR_TIMEOUT', fate: 'refused' });
    expect(leader.outbox.size).to.equal(1);
    world.network.heal();
    expect(await own).to.equal(1);
    expect(await client.submit({ op: 'add', by: 2 })).to.equal(3);
  });

  it('caps what it has in flight, in count and in bytes', async () => {
    const client = await world.client({ maxPending: 2, maxPendingBytes: 1024, maxCommandBytes: 2000 });
    const open = [client.submit({ op: 'add', by: 1 }), client.query({ op: 'total' })].map(failure);
    const over = await failure(client.submit({ op: 'add', by: 1 }));
    expect(over).to.include({ code: 'ERR_OVERLOADED', fate: 'refused' });
    await client.close();
    for (const { code } of await Promise.all(open)) expect(code).to.equal('ERR_CLOSED');
    const bytes = await world.client({ maxPendingBytes: 1024, maxCommandBytes: 2000 });
    const data = new Uint8Array(900);
    const first = failure(bytes.submit({ op: 'take', data }));
    expect((await failure(bytes.submit({ op: 'take', data }))).code).to.equal('ERR_OVERLOADED');
    const large = await failure(bytes.submit({ op: 'take', data: new Uint8Array(3000) }));
    expect(large).to.include({ code: 'ERR_TOO_LARGE', fate: 'refused' });
    await bytes.close();
    await first;
  });

  it('a member caps commands as it does those of its own app', async () => {
    await world.group({ maxCommandBytes: 1000 });
    const client = await world.client();
    const error = await failure(client.submit({ op: 'take', data: new Uint8Array(2000) }));
    expect(error).to.include({ code: 'ERR_TOO_LARGE', fate: 'refused' });
  });

  it('carries large commands and answers, and says so where one does not fit the link', async () => {
    await world.group();
    const client = await world.client();
    const data = new Uint8Array(3_000_000).fill(7);
    expect(await client.submit({ op: 'take', data })).to.equal(data.length);
    expect((await client.query({ op: 'blob', bytes: 5_000_000 })).length).to.equal(5_000_000);
    const query = await failure(client.query({ op: 'blob', bytes: 70_000_000 }));
    expect(query.code).to.equal('ERR_TOO_LARGE');
  });

  it('many calls of one turn leave together', async () => {
    const replicas = await world.group();
    const client = await world.client();
    const results = await Promise.all(
      Array.from({ length: 4000 }, () => client.submit({ op: 'add', by: 1 })),
    );
    expect(new Set(results).size).to.equal(4000);
    expect(await replicas[0]!.query({ op: 'total' })).to.equal(4000);
  });

  it('a signal ends a call with its fate, and says nothing to a client that is done', async () => {
    const replicas = await world.group();
    const client = await world.client();
    const done = new AbortController();
    expect(await client.submit({ op: 'add', by: 1 }, { signal: done.signal })).to.equal(1);
    done.abort();
    const early = await failure(client.submit({ op: 'add', by: 1 }, { signal: done.signal }));
    expect(early).to.include({ code: 'ERR_ABORTED', name: 'AbortError', fate: 'refused' });
    for (const { id } of replicas)
      for (const other of ['a', 'b', 'c']) if (id !== other) world.network.cut(id, other);
    const late = new AbortController();
    const call = client.submit({ op: 'add', by: 1 }, { signal: late.signal });
    await new Promise((resolve) => setTimeout(resolve, 5));
    late.abort();
    expect(await failure(call)).to.include({ code: 'ERR_ABORTED', fate: 'ambiguous' });
  });

  it('checks its options', async () => {
    const mesh = await world.mesh('x');
    const wrong: [Record<string, unknown>, string][] = [
      [{ mesh: {} }, 'mesh'],
      [{ group: 'a b' }, 'group'],
      [{ stateMachine: {} }, 'stateMachine'],
      [{ codec: {} }, 'codec'],
      [{ timeout: 0 }, 'timeout'],
      [{ maxPending: 8193 }, 'maxPending'],
      [{ maxPendingBytes: 1 }, 'maxPendingBytes'],
      [{ maxCommandBytes: 2 ** 26 }, 'maxCommandBytes'],
    ];
    for (const [more, option] of wrong) {
      const error = await failure(openClient({ mesh, group: GROUP, ...more }));
      expect(error.code, option).to.equal('ERR_CONFIG');
      expect(error.message).to.include(option);
    }
    const client = await world.client();
    expect((await failure(client.submit({ op: 'add', by: 1 }, { requestId: '' }))).code).to.equal(
      'ERR_CONFIG',
    );
    expect((await failure(client.submit({ op: 'add', by: 1 }, { timeout: 0 }))).code).to.equal('ERR_CONFIG');
    const consistency = 'eventual' as 'local';
    expect((await failure(client.query({ op: 'total' }, { consistency }))).code).to.equal('ERR_CONFIG');
    expect((await failure(world.member('a', { clients: 1 as never }))).code).to.equal('ERR_CONFIG');
  });

  describe('closing', () => {
    async function isClosed(client: GroupClient<Counter>): Promise<void> {
      await client.closed;
      expect(client.status().state).to.equal('closed');
      expect(await failure(client.submit({ op: 'add', by: 1 }))).to.include({
        code: 'ERR_CLOSED',
        fate: 'refused',
      });
      expect((await failure(client.query({ op: 'total' }))).code).to.equal('ERR_CLOSED');
      expect(() => client.changes())
        .to.throw()
        .with.property('code', 'ERR_CLOSED');
    }

    it('rejects what is open', async () => {
      const client = await world.client();
      const call = failure(client.submit({ op: 'add', by: 1 }));
      await client.close();
      await client.close();
      expect(await call).to.include({ code: 'ERR_CLOSED', fate: 'refused' });
      await isClosed(client);
    });

    it('closes with its mesh, and does not open on one that is closed', async () => {
      const client = await world.client();
      const mesh = await world.mesh('x');
      await mesh.close();
      await isClosed(client);
      expect((await failure(openClient({ mesh, group: GROUP }))).code).to.equal('ERR_CLOSED');
    });

    it('closes by its signal, and does not open with one that has fired', async () => {
      const controller = new AbortController();
      const client = await world.client({ signal: controller.signal });
      controller.abort();
      await isClosed(client);
      expect((await failure(world.client({ signal: controller.signal }))).code).to.equal('ERR_ABORTED');
    });

    it('closes at the end of its block', async () => {
      const client = await world.client();
      await client[Symbol.asyncDispose]();
      await isClosed(client);
    });

    it('a mesh carries several clients, each of its own', async () => {
      await world.group();
      const [one, two] = [await world.client(), await world.client()];
      await one.submit({ op: 'add', by: 1 });
      await one.close();
      expect(await two.submit({ op: 'add', by: 1 })).to.equal(2);
    });
  });
});
