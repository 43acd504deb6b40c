import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import {
  memoryStorage,
  openReplica,
  restoreGroup,
  verifyBackup,
  keyValue,
  joinMesh,
  memoryNetwork,
} from '../../../../lib/index.js';
import { bytesOf, Cluster, failure, until } from './support.js';

describe('a backup of a group', () => {
  let cluster: Cluster;
  beforeEach(() => (cluster = new Cluster()));
  afterEach(() => cluster.close());

  it('makes a new group, with all that was acknowledged before, which others join', async () => {
    const a = await cluster.open('a', memoryStorage(), { members: ['a', 'b'] });
    const b = await cluster.open('b', memoryStorage(), { members: ['a', 'b'] });
    for (let i = 0; i < 200; i++) await a.submit({ op: 'put', key: `k${i}`, value: i });
    await a.submit({ op: 'put', key: 'once', value: 1 }, { requestId: 'payment 7' });
    // From a follower too, and while the group goes on.
    const follower = a.status().role === 'leader' ? b : a;
    const [backup] = await Promise.all([
      bytesOf(follower.backup()),
      a.submit({ op: 'put', key: 'later', value: 9 }),
    ]);
    const info = await verifyBackup([backup]);
    expect([info.group, info.members, info.machineVersion]).to.deep.equal(['g', ['a', 'b'], 1]);
    await cluster.close();

    const storage = memoryStorage();
    const report = await restoreGroup({ storage, cluster: 'c', node: 'x', group: 'h', from: [backup] });
    expect(report.backup).to.deep.equal(info);
    expect(report.genesis).to.not.equal(info.genesis);
    const x = await cluster.open('x', storage, { group: 'h' });
    const y = await cluster.open('y', memoryStorage(), { group: 'h', join: true });
    await until('y to be a voter', () => y.status().members.filter(({ as }) => as === 'voter').length === 2);
    expect(await y.query({ op: 'get', key: 'k199' })).to.equal(199);
    expect((await y.query({ op: 'list' })).length).to.be.oneOf([201, 202]);
    // What was applied before the backup is not applied again.
    await y.submit({ op: 'put', key: 'once', value: 2 });
    await y.submit({ op: 'put', key: 'once', value: 1 }, { requestId: 'payment 7' });
    expect(await x.query({ op: 'get', key: 'once' })).to.equal(2);
    expect(x.status().appliedIndex).to.be.above(report.index);
  });

  it('goes into no storage that holds such a group, and changes nothing when it is damaged', async () => {
    const storage = memoryStorage();
    const a = await cluster.open('a', storage, { members: ['a'] });
    await a.submit({ op: 'put', key: 'k', value: 1 });
    const backup = await bytesOf(a.backup());
    const options = { cluster: 'c', node: 'a', group: 'g' };
    expect((await failure(restoreGroup({ ...options, storage, from: [backup] }))).code).to.equal(
      'ERR_STORAGE_LOCKED',
    );
    await cluster.close();
    expect((await failure(restoreGroup({ ...options, storage, from: [backup] }))).message).to.match(
      /^the storage holds a group g already/,
    );
    const other = memoryStorage();
    const damaged = Buffer.from(backup);
    damaged[backup.length - 40]! ^= 1;
    const { code } = await failure(restoreGroup({ ...options, storage: other, from: [damaged] }));
    expect(code).to.equal('ERR_BACKUP_CORRUPT');
    expect((await failure(cluster.open('a', other))).code).to.equal('ERR_GROUP_UNKNOWN');
    await restoreGroup({ ...options, storage: other, from: [backup] });
    const again = await cluster.open('a', other);
    expect(await again.query({ op: 'get', key: 'k' })).to.equal(1);
  });

  it('needs a quorum, unless what is here will do', async () => {
    const a = await cluster.open('a', memoryStorage(), { members: ['a', 'b'] });
    expect((await failure(bytesOf(a.backup({ consistency: 'local' })))).code).to.equal('ERR_NOT_READY');
    expect((await failure(bytesOf(a.backup({ timeout: 20 })))).code).to.equal('ERR_TIMEOUT');
    const b = await cluster.open('b', memoryStorage(), { members: ['a', 'b'] });
    await a.submit({ op: 'put', key: 'k', value: 1 });
    await cluster.leave('b');
    expect(b.status().state).to.equal('closed');
    const info = await verifyBackup(a.backup({ consistency: 'local' }));
    expect(info.index).to.equal(a.status().appliedIndex);
    expect(() => a.backup({ consistency: 'fresh' as 'local' })).to.throw(/^consistency must be/);
    // One that is left half-way leaves nothing behind; one that is asked for too late fails.
    for await (const chunk of a.backup({ consistency: 'local' })) if (chunk.length > 0) break;
    const late = a.backup({ consistency: 'local' });
    await a.close();
    expect((await failure(bytesOf(late))).code).to.equal('ERR_CLOSED');
    expect(() => a.backup()).to.throw(/closed/);
  });

  it('is of one version of the machine', async () => {
    const a = await cluster.open('a', memoryStorage(), { members: ['a'] });
    await a.submit({ op: 'put', key: 'k', value: 1 });
    const storage = memoryStorage();
    await restoreGroup({ storage, cluster: 'c', node: 'n', group: 'g', from: a.backup() });
    const secret = 'a secret of more than sixteen bytes';
    const mesh = await joinMesh({ id: 'n', cluster: 'c', secret, transport: memoryNetwork() });
    const machine = Object.assign(keyValue<number>(), { version: 2 });
    const error = await failure(openReplica({ mesh, group: 'g', storage, stateMachine: machine }));
    expect(error.code).to.equal('ERR_MACHINE_VERSION');
    await mesh.close();
  });
});
