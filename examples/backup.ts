/**
 * A group with a disk each is backed up to a file. Then two of its three machines are lost for good, and it is recovered twice: from
 * what the third one has, with new members; and as another group, from the backup.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  diskStorage,
  joinMesh,
  keyValue,
  memoryNetwork,
  openReplica,
  recoverGroup,
  restoreGroup,
  verifyBackup,
  type Mesh,
} from 'quorate';

const folder = await mkdtemp(path(tmpdir(), 'quorate-backup-'));
const disk = (id: string) => diskStorage(path(folder, id), { segmentBytes: 65_536, reserve: 0 });
const transport = memoryNetwork();
const meshes = new Map<string, Mesh>();
async function open(id: string, how: { members?: string[]; join?: boolean; group?: string } = {}) {
  const secret = 'a secret of sixteen bytes or more';
  const mesh = await joinMesh({ id, cluster: 'example', secret, transport });
  meshes.set(id, mesh);
  return openReplica({
    mesh,
    group: 'settings',
    stateMachine: keyValue<string>(),
    storage: disk(id),
    ...how,
  });
}
const leave = async (...ids: string[]) => {
  for (const id of ids) await meshes.get(id)?.close();
};

const members = ['a', 'b', 'c'];
const [a] = await Promise.all(members.map((id) => open(id, { members })));
for (const theme of ['dark', 'light', 'sepia']) await a!.submit({ op: 'put', key: 'theme', value: theme });

// A backup is a stream of bytes; the group goes on meanwhile.
const file = path(folder, 'settings.backup');
await pipeline(a!.backup(), createWriteStream(file));
const info = await verifyBackup(createReadStream(file));
console.log(`backed up ${info.group} up to index ${info.index}, members ${info.members.join(', ')}`);
await a!.submit({ op: 'put', key: 'theme', value: 'after the backup' });
// From here on a starts from its own snapshot, not from the log; the backup has nothing to do with that.
console.log(`a has a snapshot of index ${(await a!.compact()).index}`);

// b and c are lost for good: their machines, with their disks. What a has is all there is.
await leave(...members);
const report = await recoverGroup({
  storage: disk('a'),
  cluster: 'example',
  node: 'a',
  group: 'settings',
  stateMachine: keyValue<string>(),
  iUnderstandThatWritesMayBeLost: true,
});
for (const note of report.notes) console.log('-', note);
const recovered = await open('a');
const newcomer = await open('d', { join: true });
await newcomer.ready();
await recovered.addMember('d', {
  onProgress: ([one]) => console.log(`d lacks ${one?.lag ?? 0} entries`),
});
const theme = await newcomer.query({ op: 'get', key: 'theme' });
console.log(`recovered: ${theme ?? 'nothing'}; members ${names(newcomer)}`);

// The backup makes a group of its own, here under another name.
await restoreGroup({
  storage: disk('e'),
  cluster: 'example',
  node: 'e',
  group: 'settings-as-of-then',
  from: createReadStream(file),
});
const restored = await open('e', { group: 'settings-as-of-then' });
const before = await restored.query({ op: 'get', key: 'theme' });
console.log(`restored: ${before ?? 'nothing'}; members ${names(restored)}`);
if (theme !== 'after the backup' || before !== 'sepia') throw new Error('something was lost');

await leave('a', 'd', 'e');
await rm(folder, { recursive: true });

function names(replica: { status(): { members: readonly { id: string }[] } }): string {
  return replica
    .status()
    .members.map(({ id }) => id)
    .join(', ');
}
