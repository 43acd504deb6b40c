import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { keyValue, memoryNetwork, memoryStorage, joinMesh, openReplica } from '../../../lib/index.js';
import type { Mesh, QuorateError, Replica, Transport } from '../../../lib/index.js';

const secret = 'a secret of more than sixteen bytes';

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
