import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { keyValue, memoryNetwork, memoryStorage, joinMesh, openReplica } from '../../../../lib/index.js';
import type { Mesh } from '../../../../lib/index.js';
import { secret, until } from '../support.js';

describe('the partition view of a mesh that carries groups', () => {
  const meshes = new Map<string, Mesh>();
  afterEach(async () => {
    await Promise.all([...meshes.values()].map((mesh) => mesh.close()));
    meshes.clear();
  });

  it('calls a side isolated by the voters of its groups, and by all nodes only where there is no group', async () => {
    const transport = memoryNetwork();
    for (const id of ['a', 'b', 'c', 'd'])
      meshes.set(id, await joinMesh({ id, cluster: 'voters', secret, transport }));
    const members = ['a', 'b', 'c'];
    const open = (id: string) =>
      openReplica({
        mesh: meshes.get(id)!,
        group: 'g',
        members,
        stateMachine: keyValue(),
        storage: memoryStorage(),
      });
    const replicas = await Promise.all(members.map(open));
    await Promise.all(replicas.map((replica) => replica.ready()));
    const all = [...meshes.values()];
    const states = (): string => all.map((mesh) => mesh.partition().state).join(' ');
    await until('all healthy', () => states() === 'healthy healthy healthy healthy');
    const seen: string[] = [];
    meshes.get('c')!.on('partition:changed', (view) => seen.push(view.state));
    for (const near of ['a', 'b']) for (const far of ['c', 'd']) transport.cut(near, far);
    // Two of four nodes are no majority; two of three voters are.
    await until('the split', () => states() === 'complete complete isolated isolated');
    expect(meshes.get('a')!.partition().components).to.deep.equal([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    expect(seen.at(-1)).to.equal('isolated');
    expect(meshes.get('c')!.metrics().partition).to.include({
      state: 'isolated',
      reachable: 2,
      unreachable: 2,
    });
    // Without its group, a's side has no majority either.
    await Promise.all(replicas.map((replica) => replica.close()));
    await until('no majority of nodes', () => states() === 'isolated isolated isolated isolated');
    transport.heal();
    await until('healed', () => states() === 'healthy healthy healthy healthy');
    expect(seen).to.include('healing');
  });
});
