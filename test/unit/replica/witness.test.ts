import { expect } from 'chai';
import { QuorateError, type ErrorCode } from '../../../lib/errors.js';
import { keyValue } from '../../../lib/machines/keyValue.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { memoryNetwork } from '../../../lib/mesh/memory/network.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import type { Transport } from '../../../lib/mesh/transport.js';
import { recoverGroup } from '../../../lib/replica/backup/recoverGroup.js';
import { openReplica } from '../../../lib/replica/openReplica.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import type { Storage } from '../../../lib/storage/storage.js';

const secret = 'a secret of sixteen bytes or more';

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function codeOf(call: () => unknown): Promise<ErrorCode | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error instanceof QuorateError ? error.code : 'ERR_INTERNAL';
  }
}

describe('a witness of a group', () => {
  let transport: Transport;
  const meshes = new Map<string, Mesh>();
  beforeEach(() => (transport = memoryNetwork()));
  afterEach(async () => {
    await Promise.all([...meshes.values()].map((mesh) => mesh.close()));
    meshes.clear();
  });

  const witness = { join: true, as: 'witness' } as const;
  const snapshot = { logBytes: 4096, keepEntries: 0 };

  async function open(
    id: string,
    how: { members?: string[]; join?: boolean; as?: 'voter' | 'witness' },
    storage: Storage = memoryStorage(),
  ) {
    const mesh = await joinMesh({ id, cluster: 'witnesses', secret, transport });
    meshes.set(id, mesh);
    return openReplica({ mesh, group: 'g', stateMachine: keyValue<string>(), storage, snapshot, ...how });
  }

  async function leave(id: string): Promise<void> {
    await meshes.get(id)!.close();
    meshes.delete(id);
  }

  async function pair() {
    const [a, b] = await Promise.all(['a', 'b'].map((id) => open(id, { members: ['a', 'b'] })));
    await Promise.all([a!.ready(), b!.ready()]);
    return { a: a!, b: b! };
  }

  it('keeps a group of two going when one is lost', async () => {
    const { a, b } = await pair();
    const w = await open('w', witness);
    await until('w to vote', () => a.status().members.some(({ id, as }) => id === 'w' && as === 'witness'));
    await w.ready();
    expect(w.status().role).to.equal('witness');
    const lost = a.status().role === 'leader' ? a : b;
    const left = lost === a ? b : a;
    await lost.submit({ op: 'put', key: 'k', value: 'v' });
    await until('the other to have it', () => left.peek({ op: 'get', key: 'k' }) === 'v');
    await leave(lost.id);
    await left.submit({ op: 'put', key: 'k', value: 'alone' });
    expect(await left.query({ op: 'get', key: 'k' })).to.equal('alone');
    expect(left.status().leader).to.equal(left.id);
  });

  it('keeps snapshots of nothing, and needs one that holds nothing', async () => {
    const { a, b } = await pair();
    const storage = memoryStorage();
    const w = await open('w', witness, storage);
    await a.addMember('w', { as: 'witness' });
    const fill = async (): Promise<void> => {
      for (let round = 0; round < 20; round++)
        await Promise.all(
          [a, b].flatMap((replica) =>
            Array.from({ length: 20 }, (_, n) =>
              replica.submit({ op: 'put', key: `${n}`, value: 'x'.repeat(200) }),
            ),
          ),
        );
    };
    await fill();
    await until('w to follow', () => w.status().appliedIndex === a.status().commitIndex);
    await leave('w');
    await fill();
    const again = await open('w', witness, storage);
    await again.ready();
    await until('w to follow again', () => again.status().appliedIndex === a.status().commitIndex);
    const lost = a.status().role === 'leader' ? a : b;
    const left = lost === a ? b : a;
    await left.ready();
    await leave(lost.id);
    expect(await left.submit({ op: 'put', key: 'k', value: 'v' })).to.deep.equal({ ok: true });
  });

  it('has no state to ask, and says so', async () => {
    const { a } = await pair();
    const w = await open('w', witness);
    await a.addMember('w', { as: 'witness' });
    await w.ready();
    for (const call of [
      () => w.submit({ op: 'put', key: 'k', value: 'v' }),
      () => w.query({ op: 'get', key: 'k' }),
      () => w.peek({ op: 'get', key: 'k' }),
      () => w.changes(),
      () => w.digest(),
    ])
      expect(await codeOf(call)).to.equal('ERR_WITNESS');
    await w.addMember('z', { as: 'learner', timeout: 50 }).catch(() => undefined);
    await until('z to learn', () => a.status().members.some(({ id }) => id === 'z'));
  });

  it('is never made of a member that holds data, nor the other way round', async () => {
    const { a, b } = await pair();
    const storage = memoryStorage();
    await open('w', witness, storage);
    await a.addMember('w', { as: 'witness' });
    expect(await codeOf(() => a.addMember('w'))).to.equal('ERR_MEMBERSHIP');
    expect(await codeOf(() => b.addMember('a', { as: 'witness' }))).to.equal('ERR_MEMBERSHIP');
    expect(
      await codeOf(() => a.changeMembers({ add: [{ id: 'v', as: 'witness' }], remove: ['b'] })),
    ).to.equal('ERR_MEMBERSHIP');
    await leave('w');
    expect(await codeOf(() => open('w', { join: true }, storage))).to.equal('ERR_CONFIG');
  });

  it('has nothing to recover a group from, and says so', async () => {
    const { a } = await pair();
    const storage = memoryStorage();
    const w = await open('w', witness, storage);
    await a.addMember('w', { as: 'witness' });
    await w.ready();
    await leave('w');
    const call = (): Promise<unknown> =>
      recoverGroup({
        ...{ storage, cluster: 'witnesses', node: 'w', group: 'g', stateMachine: keyValue<string>() },
        iUnderstandThatWritesMayBeLost: true,
      });
    expect(await codeOf(call)).to.equal('ERR_WITNESS');
    const again = await open('w', witness, storage);
    await again.ready();
    expect(again.status().role).to.equal('witness');
  });

  it('takes no commands for an outbox', async () => {
    const mesh = await joinMesh({ id: 'w', cluster: 'witnesses', secret, transport });
    meshes.set('w', mesh);
    const options = { mesh, group: 'g', stateMachine: keyValue<string>(), storage: memoryStorage() };
    const queue = { ...options, ...witness, onNoQuorum: 'queue' } as const;
    expect(await codeOf(() => openReplica(queue))).to.equal('ERR_CONFIG');
  });
});
