import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { joinMesh, keyValue, memoryNetwork, memoryStorage, openReplica } from '../../../lib/index.js';
import type { MemberProgress, Mesh } from '../../../lib/index.js';
import { Cluster, failure, until } from './backup/support.js';

describe('how far the members are', () => {
  let cluster: Cluster;
  const meshes: Mesh[] = [];
  const transport = memoryNetwork();
  beforeEach(() => (cluster = new Cluster()));
  afterEach(async () => {
    await cluster.close();
    await Promise.all(meshes.splice(0).map((mesh) => mesh.close()));
  });

  it('is told by any member', async () => {
    const members = ['a', 'b', 'c'];
    const all = await Promise.all(members.map((id) => cluster.open(id, memoryStorage(), { members })));
    await all[0]!.submit({ op: 'put', key: 'k', value: 1 });
    await until('all to follow', () => all.every((one) => one.status().leader !== undefined));
    for (const replica of all) {
      const leader = replica.status().leader!;
      const told = await replica.progress();
      expect(told.map(({ id }) => id).sort()).to.deep.equal(members.filter((id) => id !== leader));
      for (const { state, lag, matchedIndex, silentMs, snapshot } of told) {
        expect(state).to.equal('replicate');
        expect(matchedIndex + lag).to.be.at.least(2);
        expect(silentMs).to.be.within(0, 2000);
        expect(snapshot).to.equal(undefined);
      }
    }
    // One that is gone is told of as absent.
    const gone = all.find((one) => one.status().role !== 'leader')!;
    await cluster.leave(gone.id);
    const leader = all.find((one) => one.status().role === 'leader')!;
    let state = '';
    while (state !== 'absent') state = (await leader.progress()).find(({ id }) => id === gone.id)!.state;
    expect((await failure(gone.progress())).code).to.equal('ERR_CLOSED');
  });

  it('is told while a newcomer catches up, snapshot and all, also to who asked at a follower', async () => {
    const open = async (id: string, how: object) => {
      const secret = 'a secret of more than sixteen bytes';
      const mesh = await joinMesh({ id, cluster: 'c', secret, transport });
      meshes.push(mesh);
      const snapshot = { logBytes: 20_000, keepEntries: 0, maxBytesPerSecond: 200_000 };
      return openReplica({
        mesh,
        group: 'g',
        stateMachine: keyValue<string>(),
        storage: memoryStorage(),
        snapshot,
        ...how,
      });
    };
    const a = await open('a', { members: ['a'] });
    await a.ready();
    const b = await open('b', { join: true });
    await until('b to vote', () => b.status().members.length === 2 && b.status().role === 'follower');
    for (let i = 0; i < 30; i++) await a.submit({ op: 'put', key: `${i}`, value: 'x'.repeat(10_000) });
    const told: MemberProgress[] = [];
    await open('c', { join: true, as: 'learner' });
    await b.addMember('c', {
      onProgress: (members) => told.push(...members.filter(({ id }) => id === 'c')),
    });
    const snapshots = told.filter(({ snapshot }) => snapshot !== undefined && snapshot.sent > 0);
    expect(snapshots.length).to.be.at.least(2);
    for (const [i, { state, snapshot }] of snapshots.entries()) {
      expect(state).to.equal('snapshot');
      expect(snapshot!.sent).to.be.at.least(snapshots[i - 1]?.snapshot!.sent ?? 0);
      expect(snapshot!.sent).to.be.at.most(snapshot!.total || Infinity);
    }
    const count = told.length;
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(told.length, 'told after it was over').to.equal(count);
    const bad = await failure(b.addMember('c', { onProgress: 'loud' as never }));
    expect(bad.message).to.match(/^onProgress must be a function/);
    const thrown = await failure(
      b.addMember('z', {
        onProgress: () => {
          throw new Error('not interested');
        },
      }),
    );
    expect(thrown.message).to.equal('not interested');
    await b.removeMember('z');
  });
});
