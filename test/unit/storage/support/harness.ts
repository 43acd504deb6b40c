import { crc32 } from 'node:zlib';
import { nodeEnvironment } from '../../../../lib/environment.js';
import type { Environment } from '../../../../lib/environment.js';
import { foundingMembership } from '../../../../lib/consensus/membership.js';
import type { Entry, Epoch, HardState, SnapshotMeta } from '../../../../lib/consensus/consensus.js';
import type { FileSystem } from '../../../../lib/files.js';
import { diskStorage } from '../../../../lib/storage/diskStorage.js';
import type { DiskStorageOptions } from '../../../../lib/storage/diskStorage.js';
import { memoryStorage } from '../../../../lib/storage/memoryStorage.js';
import type { GroupWrite, NodeStore } from '../../../../lib/storage/storage.js';

export const DIRECTORY = '/data/a';

export function environmentOn(files: FileSystem): Environment {
  return { ...nodeEnvironment, files };
}

export function openOn(files: FileSystem, options: DiskStorageOptions = {}): Promise<NodeStore> {
  const storage = diskStorage(DIRECTORY, { segmentBytes: 65536, reserve: 0, ...options });
  return storage.open({ environment: environmentOn(files), cluster: 'c', node: 'a' });
}

export function write(store: NodeStore, ...writes: GroupWrite[]): Promise<void> {
  return new Promise((resolve, reject) => {
    store.write(writes, (error) => (error ? reject(error) : resolve()));
  });
}

export async function snapshot(
  store: NodeStore,
  group: string,
  meta: SnapshotMeta,
  content = new Uint8Array(10),
): Promise<void> {
  const writer = await store.createSnapshot(group);
  await writer.write(content);
  await writer.commit(meta);
}

export function epoch(n: number): Epoch {
  return { config: 0, n, priority: 0, node: `n${n}` };
}

export function entry(index: number, fields: Partial<Entry> = {}): Entry {
  const data = new Uint8Array(100).fill((index % 255) + 1);
  return { index, count: 1, epoch: epoch(1), time: 1e12 + index, kind: 'user', data, ...fields };
}

export function entries(from: number, count: number, size = 100, n = 1): Entry[] {
  const reign = epoch(n);
  return Array.from({ length: count }, (_, i) => {
    return entry(from + i, { data: new Uint8Array(size).fill(((from + i + n) % 255) + 1), epoch: reign });
  });
}

export function hard(commit: number, n = 1): HardState {
  return { protocol: 'raft', config: 0, epoch: epoch(n), vote: `n${n}`, commit, genesis: 'f'.repeat(32) };
}

export function metaAt(index: number, n = 1): SnapshotMeta {
  return { index, epoch: epoch(n), time: 1e12, membership: foundingMembership(['a', 'b']), protocol: 'raft' };
}

/** All that can be read of a store, in a form that compares well. */
export async function contentOf(store: NodeStore): Promise<string> {
  const out: unknown[] = [];
  for (const group of store.groups()) {
    const { tail, configs, ...rest } = (await store.recover(group))!;
    const held: unknown[] = [];
    for (let next = rest.firstIndex; next <= rest.lastIndex;) {
      for (const one of await store.read(group, next, rest.lastIndex, 1 << 20)) {
        held.push({ ...one, data: `${one.data.length} ${crc32(one.data)}` });
        next = one.index + one.count;
      }
    }
    out.push({ group, ...rest, held, tail: tail.at(-1)?.index, configs: configs.map(({ index }) => index) });
  }
  return JSON.stringify(out);
}

/** One step of a script: a write, a snapshot that is committed before the next step begins, or closing and opening anew. */
export type Step =
  | { readonly writes: readonly GroupWrite[] }
  | { readonly group: string; readonly snapshot: SnapshotMeta }
  | { readonly reopen: true };

/** What a storage without faults holds after some steps of a script and a restart. */
export async function expectedAfter(steps: readonly Step[]): Promise<string> {
  const storage = memoryStorage();
  const binding = { environment: nodeEnvironment, cluster: 'c', node: 'a' };
  let store = await storage.open(binding);
  for (const step of steps) {
    if ('writes' in step) {
      store.write(step.writes, () => {});
    } else if ('snapshot' in step) {
      await snapshot(store, step.group, step.snapshot);
    } else {
      await store.close();
      store = await storage.open(binding);
    }
  }
  await store.close();
  const reopened = await storage.open(binding);
  const content = await contentOf(reopened);
  await reopened.close();
  return content;
}
