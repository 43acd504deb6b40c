/** The face of the disk storage. */
import { resolve } from 'node:path';
import { described } from '../description.js';
import { checkNumber, configError } from '../errors.js';
import { openDisk } from './disk/openDisk.js';
import { openRecordFile } from './disk/recordFile.js';
import type { DiskSetup } from './disk/openDisk.js';
import type { Storage } from './storage.js';

/** What {@link diskStorage} can be made with. */
export interface DiskStorageOptions {
  /**
   * Size of a file of the log, in bytes, from 65536 (64 KiB) to 268435456 (256 MiB). The file that is being written and the one
   * that follows it are allocated at full size; space is freed in units of it.
   *
   * @defaultValue 16777216 (16 MiB)
   */
  readonly segmentBytes?: number | undefined;
  /**
   * How a write is made durable. `'fdatasync'`: a write, then a flush. `'dsync'`: the file is opened with O_DSYNC and each write
   * returns when it is durable; about a quarter faster for small writes on Linux, the same elsewhere.
   *
   * @defaultValue 'fdatasync'
   */
  readonly sync?: 'fdatasync' | 'dsync' | undefined;
  /**
   * Bytes of free disk space, from 0 to 2^50, that proposals must leave: below it they are refused with `ERR_STORAGE_FULL`, so that
   * votes, snapshots and what is under way still have room. At least twice `segmentBytes` makes sense.
   *
   * @defaultValue 67108864 (64 MiB)
   */
  readonly reserve?: number | undefined;
}

/**
 * Keeps the log, the votes and the snapshots of all groups of a node in a directory. The directory is made if need be, belongs
 * to the first cluster and node that open it, and is locked while it is open.
 *
 * One log is shared by all groups; a batch costs one write and one flush. Every byte read back is checked. After any failed write
 * or flush the storage fails for good (`ERR_STORAGE_FAILED`) and has to be opened anew. docs/storage.md has the format and the
 * guarantees.
 *
 * @param directory - where to keep it; relative paths start at the working directory of this call
 * @throws QuorateError `ERR_CONFIG` when the directory or an option is not as described.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ mesh, group: 'settings', stateMachine, storage: diskStorage('./data/a') });
 * ```
 */
export function diskStorage(directory: string, options: DiskStorageOptions = {}): Storage {
  if (typeof directory !== 'string' || directory.length === 0 || directory.includes('\0')) {
    throw configError('directory', directory, 'a path');
  }
  const { segmentBytes = 16 << 20, sync = 'fdatasync', reserve = 64 << 20 } = options;
  checkNumber('segmentBytes', segmentBytes, 64 << 10, 256 << 20);
  checkNumber('reserve', reserve, 0, 2 ** 50);
  if (!['fdatasync', 'dsync'].includes(sync)) throw configError('sync', sync, "'fdatasync' or 'dsync'");
  const setup: DiskSetup = { segmentBytes, sync, reserve };
  const path = resolve(directory);
  const storage: Storage = {
    kind: 'disk',
    open: (binding) => openDisk(path, setup, binding),
    openRecords: ({ environment, group }) => openRecordFile(path, environment, group, reserve),
  };
  return described(storage, 'diskStorage', [path, setup]);
}
