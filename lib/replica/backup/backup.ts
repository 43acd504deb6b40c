/** A backup of what a replica has applied. */
import { allMembers } from '../../consensus/membership.js';
import type { Environment } from '../../environment.js';
import type { RoomSnapshots } from '../appSnapshots.js';
import { encodeBackup } from './backupFormat.js';

/** What is backed up, and by whom. @internal */
export interface BackupOf {
  readonly group: string;
  readonly node: string;
  readonly machineVersion: number;
  readonly environment: Environment;
  readonly snapshots: RoomSnapshots;
}

/** Captures the state when the first bytes are asked for, and encodes it as they are taken. @internal */
export async function* backupOf(
  { group, node, machineVersion, environment, snapshots }: BackupOf,
  ready: () => Promise<void>,
): AsyncGenerator<Uint8Array, void, undefined> {
  await ready();
  const { meta, chunks } = await snapshots.captured();
  const { index, epoch, time, protocol, membership } = meta;
  const info = {
    group,
    genesis: membership.genesis,
    node,
    index,
    epoch,
    time,
    createdAt: environment.wallClock(),
    machineVersion,
    protocol,
    members: allMembers(membership).map(({ id }) => id),
  };
  try {
    yield* encodeBackup(info, chunks);
  } finally {
    await chunks.return();
  }
}
