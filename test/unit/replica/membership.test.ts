import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { keyValue, memoryNetwork, memoryStorage, joinMesh, openReplica } from '../../../lib/index.js';
import type { Mesh, QuorateError, Replica, Transport } from '../../../lib/index.js';

const secret = 'a secret of more than sixteen bytes';

async function until(what: string, condition: () => boolean, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  return promise.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error as QuorateError,
  );
}

type Store = Replica<ReturnType<typeof keyValue<number>>>;

describe('the members of a group', () => {
  let transport: Transport;
  const meshes: Mesh[] = [];
  beforeEach(() => (transport = memoryNetwork()));
  afterEach(async () => {
    await Promise.all(meshes.splice(0).map((mesh) => mesh.close()));
  });

  async function open(
    id: string,
    how: { members?: string[]; join?: boolean; as?: 'voter' | 'learner' },
  ): Promise<Store> {
    const mesh = await joinMesh({ id, cluster: 'members', secret, transport });
    meshes.push(mesh);
    return openReplica({
      mesh,
      group: 'g',
      stateMachine: keyValue<number>(),
      storage: memoryStorage(),
      ...how,
    });
  }

  const members = (replica: Store): string =>
    replica
      .status()
      .members.map(({ id, as }) => (as === 'voter' ? id : `(${id})`))
      .sort()
      .join(' ');

  it('grow from one to five and shrink again, under load, and whoever is asked', async () => {
    const first = await open('a', { members: ['a'] });
    await first.ready();
    let written = 0;
    let done = false;
    const load = (async () => {
      while (!done) await first.submit({ op: 'put', key: 'n', value: ++written });
    })();
    const all = [first];
    for (const id of ['b', 'c', 'd', 'e']) {
      const joined = await open(id, { join: true });
      all.push(joined);
      await joined.ready();
      await until(`${id} to vote`, () => members(joined).includes(id) && !members(joined).includes('('));
    }
    await until('all to know', () => all.every((replica) => members(replica) === 'a b c d e'));
    // Those who go and those who stay: asked of a follower, in one change and one by one.
    await all[4]!.changeMembers({ remove: ['b', 'c'] });
    expect(members(all[4]!)).to.equal('a d e');
    await all[3]!.removeMember('e');
    done = true;
    await load;
    await all[0]!.removeMember('d');
    expect(members(first)).to.equal('a');
    expect(await first.query({ op: 'get', key: 'n' })).to.equal(written);
    expect(written).to.be.above(10);
  });

  it('may be learners, which are fed and asked, and voters later', async () => {
    const first = await open('a', { members: ['a'] });
    const said: string[] = [];
    first.on('members:changed', () => said.push(members(first)));
    const learner = await open('b', { join: true, as: 'learner' });
    await first.submit({ op: 'put', key: 'k', value: 1 });
    await until('b to learn', () => members(learner) === '(b) a');
    expect(await learner.query({ op: 'get', key: 'k' })).to.equal(1);
    expect(learner.status().role).to.equal('learner');
    await learner.addMember('b');
    expect(members(learner)).to.equal('a b');
    await learner.addMember('b', { as: 'learner' });
    await until('b to learn again', () => learner.status().role === 'learner');
    expect(await first.submit({ op: 'put', key: 'k', value: 2 })).to.deep.equal({ ok: true });
    expect(said, 'what an app sees of it is told once').to.deep.equal(['(b) a', 'a b', '(b) a']);
  });

  it('stay as they are where nobody would vote, or nobody would answer', async () => {
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((id) => open(id, { members: ['a', 'b', 'c'] })));
    await Promise.all([a!.ready(), b!.ready(), c!.ready()]);
    expect((await failure(a!.changeMembers({ remove: ['a', 'b', 'c'] }))).message).to.match(
      /^the members stay as they are: nobody would be left to vote/,
    );
    const [leader, follower] = [a!, b!, c!].sort((x) => (x.status().role === 'leader' ? -1 : 1));
    const gone = [a!, b!, c!].find((replica) => replica !== leader && replica !== follower)!;
    await meshes.find(({ id }) => id === gone.id)!.close();
    await until('it to be missed', () => follower!.status().leader === leader!.id);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const error = await failure(leader!.removeMember(follower!.id));
    expect([error.code, error.message]).to.deep.equal([
      'ERR_MEMBERSHIP',
      'the members stay as they are: of the voters that would be left, too few answer the leader',
    ]);
    await follower!.removeMember(gone.id);
    expect(members(leader!)).to.equal([leader!.id, follower!.id].sort().join(' '));
  });

  it('are told of a newcomer that never comes by a time-out, and can take it back', async () => {
    const first = await open('a', { members: ['a'] });
    await first.ready();
    const error = await failure(first.addMember('z', { timeout: 300 }));
    expect([error.code, error.message]).to.deep.equal(['ERR_TIMEOUT', 'z is no voter after 300 ms']);
    await first.submit({ op: 'put', key: 'k', value: 1 });
    expect(members(first)).to.equal('(z) a');
    await first.removeMember('z');
    expect(members(first)).to.equal('a');
  });

  it('are checked', async () => {
    const first = await open('a', { members: ['a'] });
    const bad: [object, RegExp][] = [
      [{ add: [null] }, /^add\[0\]\.id must be /],
      [{ add: [{ id: 'b', as: 'king' }] }, /^add\[0\]\.as must be 'voter', 'learner' or 'witness'/],
      [{ add: [{ id: 'no good' }] }, /^add\[0\]\.id must be/],
      [{ add: [{ id: 'b' }], remove: ['b'] }, /^remove\[0\] must be an id that the change names once/],
      [{ remove: 'b' }, /^remove must be a list/],
    ];
    for (const [change, message] of bad)
      expect((await failure(first.changeMembers(change))).message).to.match(message);
    for (const how of [
      { join: true, members: ['b'] },
      { as: 'voter' as const },
      { join: true, as: 'x' as 'voter' },
      { join: 1 as unknown as boolean },
    ])
      expect((await failure(open('b', how))).code, JSON.stringify(how)).to.equal('ERR_CONFIG');
  });
});
