/** Local stores on disks in memory. */
import { QuorateError } from '../../../../lib/errors.js';
import type { Environment } from '../../../../lib/environment.js';
import type { FileSystem } from '../../../../lib/files.js';
import { LocalStore, type LocalStoreSetup } from '../../../../lib/store/local/localStore.js';
import type { Resolution } from '../../../../lib/store/resolve/resolution.js';
import { diskStorage } from '../../../../lib/storage/diskStorage.js';
import { memoryStorage } from '../../../../lib/storage/memoryStorage.js';
import type { NodeStore, Storage } from '../../../../lib/storage/storage.js';
import { environmentOn } from '../../storage/support/harness.js';
import { seeded } from '../../support/seeded.js';
import { FaultyDisk } from '../../storage/support/faultyDisk.js';

export interface Opened<V, Input, Op> {
  readonly local: LocalStore<V, Input, Op>;
  readonly store: NodeStore;
  readonly wall: { ms: number };
  readonly close: () => Promise<void>;
}

export type Setup<V, Input, Op> = Partial<LocalStoreSetup<V, Input, Op>> & {
  readonly files?: FileSystem;
  readonly storage?: Storage;
  readonly seed?: number;
  readonly wall?: { ms: number };
};

/** Opens one; with `files` on a disk storage there, otherwise in memory. */
export async function openLocal<V, Input, Op>(
  resolve: Resolution<V, Input, Op>,
  setup: Setup<V, Input, Op> = {},
): Promise<Opened<V, Input, Op>> {
  const { files, node = 'a', seed = node.charCodeAt(0), wall = { ms: 1_700_000_000_000 }, ...rest } = setup;
  const random = seeded(seed);
  const environment: Environment = {
    ...environmentOn(files ?? new FaultyDisk()),
    wallClock: () => wall.ms,
    randomBytes: (length) => Uint8Array.from({ length }, () => Math.floor(random() * 256)),
  };
  const { storage = files ? diskStorage('/d', { segmentBytes: 65_536, reserve: 0 }) : memoryStorage() } =
    setup;
  const store = await storage.open({ environment, cluster: 'c', node });
  try {
    const local = await LocalStore.open({ environment, store, name: 's', node, resolve, ...rest });
    const close = async (): Promise<void> => {
      await local.close();
      await store.close();
    };
    return { local, store, wall, close };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Two exchange all they know. */
export async function meet<V, Input, Op>(
  one: LocalStore<V, Input, Op>,
  other: LocalStore<V, Input, Op>,
): Promise<void> {
  for (const [from, into] of [
    [one, other],
    [other, one],
  ] as const)
    for (const key of [...from.table.keys()]) await into.merge(key, (await from.versionsOf(key))!);
}

export async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}
