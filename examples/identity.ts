/**
 * Keys instead of a shared secret: three nodes that list each other, a fourth that is added to the replicated list while everything
 * runs, and one that is revoked and loses its links at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  followKeyring,
  generateIdentity,
  joinMesh,
  keyring,
  memoryNetwork,
  memoryStorage,
  openReplica,
  type Mesh,
} from 'quorate';

const transport = memoryNetwork();
const members = ['a', 'b', 'c'];
const identities = new Map(['a', 'b', 'c', 'd'].map((id) => [id, generateIdentity()]));
const publicKey = (id: string) => identities.get(id)!.publicKey;
const peers = Object.fromEntries(members.map((id) => [id, publicKey(id)]));

const meshes = new Map<string, Mesh>();
async function join(id: string) {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: false, // closed all the same: only listed keys get in
    identity: { key: identities.get(id)!.privateKey, peers },
    transport,
  });
  meshes.set(id, mesh);
  return mesh;
}
async function start(id: string) {
  const mesh = await join(id);
  const storage = memoryStorage();
  const replica = await openReplica({ mesh, group: 'keyring', members, stateMachine: keyring(), storage });
  followKeyring({ mesh, replica });
  return replica;
}
const links = (id: string): string =>
  meshes
    .get(id)!
    .peers()
    .filter((peer) => peer.path !== 'none')
    .map((peer) => peer.id)
    .sort()
    .join(' ');
async function until(condition: () => boolean) {
  while (!condition()) await sleep(20);
}

const [a] = await Promise.all(members.map(start));
await until(() => links('a') === 'b c');
console.log('a is linked with:', links('a'));

const d = await join('d');
const [peer, error] = await new Promise<[string, Error & { code?: string }]>((resolve) =>
  d.once('peer:refused', (...args) => resolve(args)),
);
console.log(`d is not on the list: ${peer} says ${error.code}`);

await a!.submit({ op: 'add', id: 'd', key: publicKey('d') });
await until(() => links('d') === 'a b c');
console.log('one command later d is linked with:', links('d'));

await a!.submit({ op: 'revoke', id: 'c' });
await until(() => links('a') === 'b d' && links('b') === 'a d');
console.log('c is revoked; a is linked with:', links('a'));

await Promise.all([...meshes.values()].map((mesh) => mesh.close()));
