/** What is done to a group in a storage while no replica is open: the storage is opened, changed and closed again. */
import { MAX_INDEX } from '../../consensus/bounds.js';
import type { HardState, SnapshotMeta } from '../../consensus/consensus.js';
import type { Membership } from '../../consensus/membership.js';
import { nodeEnvironment, randomId, type Environment } from '../../environment.js';
import { checkName, configError, QuorateError } from '../../errors.js';
import type { GroupWrite, NodeStore, Storage } from '../../storage/storage.js';

/** Whose storage, and which group in it. */
export interface OfflineOptions {
  /** The storage of the node. No replica may have it open: it is locked meanwhile. */
  readonly storage: Storage;
  /** The cluster that the storage belongs to, as {@link joinMesh} is told it. */
  readonly cluster: string;
  /** The node that the storage belongs to. */
  readonly node: string;
  /** The group's name. */
  readonly group: string;
  /**
   * Clock, randomness and files.
   *
   * @defaultValue those of this process
   */
  readonly environment?: Environment;
}

/**
 * How far a group that is founded anew begins behind what it was made from. What the former group committed further on is lost,
 * but whoever still has a session of it, which is known by its index, must not meet somebody else's under the same number.
 *
 * @internal
 */
export const REFOUNDING_GAP = 2 ** 32;

/** Works on a storage, and closes it whatever happens. @internal */
export async function withStore<T>(
  { storage, cluster, node, group, environment = nodeEnvironment }: OfflineOptions,
  work: (store: NodeStore, environment: Environment) => Promise<T>,
): Promise<T> {
  checkName('cluster', cluster);
  checkName('node', node);
  checkName('group', group);
  if (typeof (storage as { open?: unknown } | undefined)?.open !== 'function')
    throw configError('storage', storage, 'a storage, such as diskStorage(directory) or memoryStorage()');
  const store = await storage.open({ environment, cluster, node });
  let result: T;
  try {
    result = await work(store, environment);
  } catch (error) {
    await store.close().catch(() => undefined); // what went wrong first is what to tell
    throw error;
  }
  await store.close();
  return result;
}

/** What a group is founded anew from: the place in the former group's log, and the state there. @internal */
export interface Former {
  readonly genesis: string;
  readonly meta: Omit<SnapshotMeta, 'membership'>;
  readonly content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/**
 * Founds a group anew from a state. This node is its only member, by a genesis of its own: no member of the former group counts, or
 * is counted there. The snapshot is what does it, all at once: before it is committed nothing has changed, and what is written
 * after it only says the same again.
 *
 * @internal
 */
export async function foundAnew(
  store: NodeStore,
  environment: Environment,
  { node, group }: Pick<OfflineOptions, 'node' | 'group'>,
  { genesis: formerly, meta: { index, epoch, time, protocol }, content }: Former,
): Promise<SnapshotMeta> {
  if (index + REFOUNDING_GAP > MAX_INDEX)
    throw new QuorateError(
      'ERR_TOO_LARGE',
      `group ${group} stands at index ${index}, too near to the last one`,
    );
  const membership: Membership = {
    genesis: randomId(environment),
    formerly,
    founders: [node],
    voters: [{ id: node, incarnation: store.incarnation }],
    outgoing: [],
    learners: [],
  };
  const reign = { config: epoch.config, n: epoch.n + 1, priority: 0, node };
  const meta: SnapshotMeta = { index: index + REFOUNDING_GAP, epoch: reign, time, membership, protocol };
  const writer = await store.createSnapshot(group);
  try {
    for await (const chunk of content) if (chunk.length > 0) await writer.write(chunk);
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.commit(meta);
  const hard: HardState = {
    protocol,
    config: epoch.config,
    epoch: { ...reign, node: '' },
    vote: '',
    commit: meta.index,
    genesis: membership.genesis,
  };
  await written(store, { group, hard, install: meta });
  return meta;
}

function written(store: NodeStore, write: GroupWrite): Promise<void> {
  return new Promise((resolve, reject) => {
    store.write([write], (error) => (error ? reject(error) : resolve()));
  });
}
