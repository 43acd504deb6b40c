/** A group out of a backup. */
import { configError, QuorateError } from '../../errors.js';
import { openBackup, type BackupInfo } from './backupFormat.js';
import { foundAnew, withStore, type OfflineOptions } from './offline.js';

/** Bytes, as a file stream or an array of chunks has them. */
export type BackupSource = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Options of {@link restoreGroup}. */
export interface RestoreOptions extends OfflineOptions {
  /** The backup. It is read once, to its end. */
  readonly from: BackupSource;
}

/** What {@link restoreGroup} did. */
export interface RestoreReport {
  /** What the backup said of itself. */
  readonly backup: BackupInfo;
  /** The genesis of the group that was founded. */
  readonly genesis: string;
  /** The index at which it begins. */
  readonly index: number;
}

/**
 * Founds a group from a backup, in a storage that does not hold a group of that name. Its only member is this node: open it there
 * with neither `members` nor `join`, and let the others join. It is a new group: members of the one that the backup is of never
 * mix with it, should they still be there, and it may have another name. What the group had remembered of commands in flight is
 * kept, so a command that is in the backup and is submitted once more with its `requestId` does not take effect twice.
 *
 * Nothing is changed unless all of the backup is right, and after a crash at any moment the group is there whole or not at all.
 *
 * Throws {@link QuorateError}: `ERR_BACKUP_CORRUPT` (the message names the byte), `ERR_BACKUP_VERSION`, `ERR_GROUP_EXISTS` when the
 * storage holds such a group, `ERR_CONFIG`, and what the storage throws: `ERR_STORAGE_LOCKED` while a replica has it open,
 * `ERR_STORAGE_FULL`. A state machine of another version is found out when the replica is opened (`ERR_MACHINE_VERSION`).
 *
 * @example
 * ```ts
 * await restoreGroup({
 *   storage: diskStorage('./data/a'), cluster: 'orders', node: 'a', group: 'settings', from: createReadStream('settings.backup'),
 * });
 * const replica = await openReplica({ mesh, group: 'settings', stateMachine, storage: diskStorage('./data/a') });
 * ```
 */
export async function restoreGroup(options: RestoreOptions): Promise<RestoreReport> {
  const { group, from } = options;
  checkSource(from);
  return withStore(options, async (store, environment) => {
    if ((await store.recover(group)) !== undefined)
      throw new QuorateError(
        'ERR_GROUP_EXISTS',
        `the storage holds a group ${group} already; restore into another storage, or under another name`,
      );
    const { info, content } = await openBackup(from);
    const { genesis, index, epoch, time, protocol } = info;
    const former = { genesis, meta: { index, epoch, time, protocol }, content };
    const meta = await foundAnew(store, environment, options, former);
    return { backup: info, genesis: meta.membership.genesis, index: meta.index };
  });
}

/**
 * Reads a backup to its end, and says what it is. Nothing is kept or changed.
 *
 * Throws {@link QuorateError}: `ERR_BACKUP_CORRUPT` (the message names the byte), `ERR_BACKUP_VERSION`, `ERR_CONFIG`.
 *
 * @example
 * ```ts
 * const { group, index, createdAt } = await verifyBackup(createReadStream('settings.backup'));
 * ```
 */
export async function verifyBackup(from: BackupSource): Promise<BackupInfo> {
  checkSource(from);
  const { info, content } = await openBackup(from);
  for (let next = await content.next(); next.done !== true;) next = await content.next();
  return info;
}

function checkSource(from: unknown): void {
  const iterable =
    typeof from === 'object' && from !== null && (Symbol.asyncIterator in from || Symbol.iterator in from);
  if (!iterable || from instanceof Uint8Array)
    throw configError('from', from, 'a stream or a list of chunks of bytes');
}
