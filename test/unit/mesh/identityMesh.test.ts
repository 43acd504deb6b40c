/** Keys, the list, the keyring and the secret on meshes that run. */
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as join_ } from 'node:path';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import { followKeyring } from '../../../lib/machines/keyringFollower.js';
import { keyring } from '../../../lib/machines/keyring.js';
import { generateIdentity } from '../../../lib/mesh/identity.js';
import type { IdentityOptions } from '../../../lib/mesh/credentials.js';
import { keyringFile } from '../../../lib/machines/keyringFile.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { memoryNetwork } from '../../../lib/mesh/memory/network.js';
import type { MemoryNetwork } from '../../../lib/mesh/memory/network.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import type { ClusterSecret } from '../../../lib/mesh/secret.js';
import { openReplica } from '../../../lib/replica/openReplica.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import { record, secret, until } from './support.js';

const ids = ['a', 'b', 'c'] as const;
type Id = (typeof ids)[number];
const pairs = { a: generateIdentity(), b: generateIdentity(), c: generateIdentity() };
const list = Object.fromEntries(ids.map((id) => [id, pairs[id].publicKey]));

describe('a mesh with identities', () => {
  let network: MemoryNetwork;
  let meshes: Mesh[];
  beforeEach(() => {
    network = memoryNetwork();
    meshes = [];
  });
  afterEach(() => Promise.all(meshes.map((mesh) => mesh.close())));

  async function join(
    id: Id,
    options: { identity?: Partial<IdentityOptions>; secret?: ClusterSecret } = {},
  ): Promise<Mesh> {
    const mesh = await joinMesh({
      id,
      cluster: 'c',
      secret: options.secret ?? secret,
      identity: { key: pairs[id].privateKey, ...options.identity },
      transport: network,
      heartbeat: { timeoutMs: 20_000 }, // a busy machine loses no link here
    });
    meshes.push(mesh);
    return mesh;
  }
  const linked = (mesh: Mesh, id: Id): boolean =>
    mesh.peers().some((peer) => peer.id === id && peer.path === 'direct');
  const full = (): boolean =>
    meshes.every((mesh) => meshes.every((other) => other === mesh || linked(mesh, other.id as Id)));

  it('links by listed keys alone, shows them, and closes the door to others', async () => {
    for (const id of ids) await join(id, { secret: false, identity: { peers: list } });
    await until('the mesh', full);
    for (const mesh of meshes) {
      expect(mesh.identity.publicKey).to.equal(pairs[mesh.id as Id].publicKey);
      for (const peer of mesh.peers()) expect(peer.publicKey).to.equal(pairs[peer.id as Id].publicKey);
    }
  });

  it('refuses whoever holds the secret and not the key', async () => {
    const a = await join('a', { identity: { peers: list } });
    const events = record(a);
    const b = await join('b', { identity: { key: generateIdentity().privateKey } });
    const told = record(b);
    await until('the refusals', () => events.length > 0 && told.length > 0);
    expect(events[0]).to.equal('refused b ERR_PEER_KEY');
    expect(told[0]).to.equal('told a ERR_PEER_KEY');
    expect(linked(a, 'b')).to.equal(false);
  });

  it('closes the link of a peer that it revokes, keeps it out, and takes it back', async () => {
    const [a, b] = [
      await join('a', { identity: { peers: list } }),
      await join('b', { identity: { peers: list } }),
    ];
    await until('the link', full);
    const events = record(a);
    a.identity.revoke('b');
    expect(linked(a, 'b')).to.equal(false);
    expect(events).to.include('refused b ERR_PEER_KEY').and.to.include('unreachable b');
    await until('that b loses it too', () => !linked(b, 'a'));
    const told = record(b);
    await until(
      'that b tried again',
      () => told.includes('told a ERR_PEER_KEY') || a.metrics().turnedAway > 0,
    );
    expect(linked(a, 'b')).to.equal(false);
    a.identity.trust('b', pairs.b.publicKey);
    await until('the link anew', full);
  });

  it('changes the key of a node while its former one still counts', async () => {
    const next = generateIdentity();
    const a = await join('a', { identity: { peers: list } });
    const b = await join('b', { identity: { peers: list } });
    await until('the link', full);
    a.identity.trust('b', [pairs.b.publicKey, next.publicKey]);
    expect(linked(a, 'b')).to.equal(true);
    await b.close();
    meshes.pop();
    const others = Object.fromEntries(Object.entries(list).filter(([id]) => id !== 'b'));
    await join('b', { identity: { key: next.privateKey, peers: others } });
    await until('the link with the new key', full);
    a.identity.trust('b', next.publicKey);
    expect(linked(a, 'b')).to.equal(true);
  });

  describe('changes its secret while it runs', () => {
    const before = secret;
    const after = 'the next secret of this cluster';
    const steps: ClusterSecret[] = [
      { current: before, previous: after },
      { current: after, previous: before },
      after,
    ];
    const orders: Id[][] = [
      ['a', 'b', 'c'],
      ['a', 'c', 'b'],
      ['b', 'a', 'c'],
      ['b', 'c', 'a'],
      ['c', 'a', 'b'],
      ['c', 'b', 'a'],
    ];
    for (const [n, order] of orders.entries()) {
      it(`at ${order.join(', then ')}, and new links work after each move`, async () => {
        for (const id of ids) await join(id);
        await until('the mesh', full);
        const lost = (): number => meshes.reduce((sum, mesh) => sum + mesh.metrics().linksLost, 0);
        const byId = new Map(meshes.map((mesh) => [mesh.id, mesh]));
        for (const [i, step] of steps.entries()) {
          // Another order in each step.
          for (const id of orders[(n + i) % orders.length]!) {
            await byId.get(id)!.identity.rotateSecret(step);
            expect(lost()).to.equal(0);
            expect(full()).to.equal(true);
          }
        }
        // Handshakes really run with the new secret now: a latecomer with the old one stays out.
        const refused = record(byId.get('a')!);
        await byId.get('c')!.close();
        meshes = meshes.filter((mesh) => mesh.id !== 'c');
        const late = await join('c', { secret: before });
        await until('the refusal', () => refused.includes('refused c ERR_PEER_SECRET'));
        await late.close();
        meshes.pop();
        await join('c', { secret: after });
        await until('the mesh anew', full);
      });
    }

    it('between every two steps that may stand side by side, new links are made', async () => {
      const stages: ClusterSecret[] = [before, ...steps];
      for (let i = 0; i + 1 < stages.length; i++) {
        for (const [left, right] of [
          [i, i + 1],
          [i + 1, i],
          [i + 1, i + 1],
        ] as const) {
          const pair = [
            await join('a', { secret: stages[left]! }),
            await join('b', { secret: stages[right]! }),
          ];
          await until(`a link between steps ${left} and ${right}`, full);
          await Promise.all(pair.map((mesh) => mesh.close()));
          meshes = [];
        }
      }
    });

    it('with relink, links that were made by the former secret are made anew', async () => {
      for (const id of ids) await join(id);
      await until('the mesh', full);
      for (const step of steps.slice(0, 2)) for (const mesh of meshes) await mesh.identity.rotateSecret(step);
      expect(meshes[0]!.metrics().linksLost).to.equal(0);
      for (const mesh of meshes) await mesh.identity.rotateSecret(after, { relink: true });
      expect(meshes[0]!.metrics().linksLost).to.be.at.least(2);
      await until('the mesh anew', full);
      const lost = meshes.map((mesh) => mesh.metrics().linksLost);
      // All have proved themselves with the new one: nothing is left to renew.
      for (const mesh of meshes) await mesh.identity.rotateSecret(after, { relink: true });
      expect(meshes.map((mesh) => mesh.metrics().linksLost)).to.deep.equal(lost);
    });
  });

  it('follows a keyring: who is revoked anywhere loses its links everywhere', async () => {
    const storages = { a: memoryStorage(), b: memoryStorage(), c: memoryStorage() };
    const open = async (mesh: Mesh) => {
      const replica = await openReplica({
        mesh,
        group: 'keyring',
        members: ids.filter((id) => id !== 'c'), // c is a peer of the mesh, not of the group
        stateMachine: keyring(),
        storage: storages[mesh.id as Id],
      });
      return { replica, follower: followKeyring({ mesh, replica }) };
    };
    const [a, b] = [
      await join('a', { identity: { peers: list, awaitKeyring: true } }),
      await join('b', { identity: { peers: list, awaitKeyring: true } }),
    ];
    await join('c', { identity: { peers: list } });
    const [ra, rb] = [await open(a), await open(b)];
    await until('the mesh', full);
    await ra.replica.submit({ op: 'revoke', id: 'c' });
    await until('that a and b have closed', () => !linked(a, 'c') && !linked(b, 'c'));
    expect(linked(a, 'b')).to.equal(true);
    expect(rb.replica.peek({ op: 'get', id: 'c' })).to.deep.equal({ keys: [], revoked: true });
    // The replica goes and comes again while the mesh stays: the list stays in force all the time.
    await rb.replica.close();
    await rb.follower.closed;
    expect(b.identity.trusted().map((peer) => peer.id)).to.deep.equal(['a', 'b']);
    // Back with a new key, everywhere, by one command.
    await meshes.pop()!.close();
    const next = generateIdentity();
    const again = await open(b);
    await again.replica.submit({ op: 'add', id: 'c', key: next.publicKey });
    await join('c', { identity: { key: next.privateKey, peers: { ...list, c: next.publicKey } } });
    await until('the mesh with the new c', full);
  });

  it('keeps out whom the keyring revoked after a restart, from the first moment, without a leader', async () => {
    const folder = mkdtempSync(join_(tmpdir(), 'quorate-'));
    try {
      const open = async (id: Id) => {
        const mesh = await join(id, { identity: { peers: list, awaitKeyring: true } });
        const storage = diskStorage(join_(folder, id));
        const founders = ['a', 'b'];
        const replica = await openReplica({
          mesh,
          group: 'keyring',
          members: founders,
          stateMachine: keyring(),
          storage,
        });
        return { mesh, replica };
      };
      const memoryOf = (id: Id) => keyringFile(join_(folder, `${id}.json`));
      const a = await open('a');
      const b = await open('b');
      followKeyring({ ...a, memory: memoryOf('a') });
      followKeyring({ ...b, memory: memoryOf('b') });
      await a.replica.submit({ op: 'revoke', id: 'c' });
      await until('b', () => b.replica.peek({ op: 'get', id: 'c' }).revoked);
      await Promise.all(meshes.map((mesh) => mesh.close()));
      meshes = [];
      const again = await open('a'); // alone: no quorum
      const events = record(again.mesh);
      await join('c', { identity: { peers: list } });
      await until('the first refusal', () => events.includes('refused c ERR_PEER_KEY'));
      followKeyring({ ...again, memory: memoryOf('a') });
      await until(
        'a refusal again',
        () => events.filter((event) => event === 'refused c ERR_PEER_KEY').length > 1,
      );
      expect(events).not.to.include('up c');
    } finally {
      await Promise.all(meshes.map((mesh) => mesh.close()));
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
