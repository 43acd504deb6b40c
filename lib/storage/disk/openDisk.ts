/** The steps of opening a directory. */
import { dirname, join } from 'node:path';
import type { Environment } from '../../environment.js';
import { checkName, QuorateError } from '../../errors.js';
import type { FileSystem } from '../../files.js';
import { keepsAfter } from '../groupWrite.js';
import { DiskStore } from './diskStore.js';
import { Headroom } from './headroom.js';
import { corrupt, FailStop } from './io.js';
import { Journal } from './journal.js';
import { checkBinding, newManifest, readManifest, writeManifest } from './manifest.js';
import type { Manifest } from './manifest.js';
import { changes } from './meta.js';
import { listSegments, recoverLog } from './recovery.js';
import type { RecoveredLog } from './recovery.js';
import { isBlank, SegmentBytes } from './scan.js';
import { newSegment, prepareSegment, segmentPath } from './segment.js';
import type { SegmentMaker } from './segment.js';
import { Snapshots } from './snapshots.js';

/** The options, checked and complete. @internal */
export interface DiskSetup {
  readonly segmentBytes: number;
  readonly sync: 'fdatasync' | 'dsync';
  readonly reserve: number;
}

/** @internal */
export interface Binding {
  readonly environment: Environment;
  readonly cluster: string;
  readonly node: string;
}

/** @internal */
export async function openDisk(directory: string, setup: DiskSetup, binding: Binding): Promise<DiskStore> {
  const { environment, cluster, node } = binding;
  const { files } = environment;
  checkName('cluster', cluster);
  checkName('node', node);
  try {
    await files.makeDirectory(directory);
    const lock = await files.lock(directory);
    const headroom = new Headroom(environment, directory, setup.reserve);
    try {
      const paths = { log: join(directory, 'log'), snapshots: join(directory, 'snapshots') };
      await files.makeDirectory(paths.log);
      await files.makeDirectory(paths.snapshots);
      const manifest =
        (await readManifest(files, directory)) ?? (await create(directory, paths, setup, binding));
      checkBinding(directory, manifest, cluster, node);
      // A process that was killed may have made these names without flushing them: they count from now on.
      await files.syncDirectory(directory);
      await syncParents(files, directory);
      await headroom.open();

      const { incarnation } = manifest;
      const maker: SegmentMaker = { environment, directory: paths.log, incarnation, ...setup };
      const log = await recoverLog(maker);
      const failStop = new FailStop(directory);
      const snapshots = new Snapshots({
        environment,
        directory: paths.snapshots,
        incarnation,
        failStop,
        headroom,
      });
      try {
        await snapshots.load(log.table.floors);
        await files.syncDirectory(paths.snapshots);
        log.table.floors.clear();
        const resets = reconcile(log, snapshots, paths);
        const journal = new Journal({ maker, failStop, headroom, ...log });
        await writeResets(journal, log, snapshots, resets);
        journal.collect();
        for (const leaving of log.unsealed) journal.seal(leaving);
        return new DiskStore({
          environment,
          directory,
          segmentBytes: setup.segmentBytes,
          incarnation,
          table: log.table,
          journal,
          snapshots,
          headroom,
          failStop,
          lock,
        });
      } catch (error) {
        for (const { handle } of [...log.segments, log.prepared].filter((segment) => segment !== undefined)) {
          await handle?.close().catch(() => undefined);
        }
        throw error;
      }
    } catch (error) {
      headroom.close();
      await lock.release();
      throw error;
    }
  } catch (cause) {
    if (cause instanceof QuorateError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError('ERR_STORAGE_FAILED', `the storage in ${directory} cannot be opened: ${why}`, {
      cause,
    });
  }
}

/** Makes the name of a directory durable, and those of its parents, which may have been made with it. */
async function syncParents(files: FileSystem, directory: string): Promise<void> {
  let at = dirname(directory);
  await files.syncDirectory(at);
  while (dirname(at) !== at) {
    at = dirname(at);
    try {
      await files.syncDirectory(at);
    } catch (error) {
      // One that this process may not read, or that has no medium, was not made by it.
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (!UNREACHABLE.has(code)) throw error;
    }
  }
}

const UNREACHABLE: ReadonlySet<unknown> = new Set([
  'EACCES',
  'EPERM',
  'EINVAL',
  'ENOTSUP',
  'EROFS',
  'ENOENT',
]);

interface Paths {
  readonly log: string;
  readonly snapshots: string;
}

/** The manifest comes last: without one nothing was ever written, and what is there is left of a creation that was cut short. */
async function create(
  directory: string,
  paths: Paths,
  setup: DiskSetup,
  binding: Binding,
): Promise<Manifest> {
  const { environment, cluster, node } = binding;
  const { files } = environment;
  const missing = (path: string): QuorateError =>
    corrupt(path, 0, 'it has content, but the manifest beside it is missing');
  if ((await files.list(paths.snapshots)).some((name) => name.endsWith('.snap')))
    throw missing(paths.snapshots);
  for (const number of await listSegments(files, paths.log)) {
    const path = segmentPath(paths.log, number);
    const handle = await files.open(path, 'read');
    try {
      if (!(await isBlank(new SegmentBytes(handle, await handle.size())))) throw missing(path);
    } finally {
      await handle.close();
    }
    await files.remove(path);
  }
  const manifest = newManifest(environment, cluster, node);
  const maker: SegmentMaker = {
    environment,
    directory: paths.log,
    incarnation: manifest.incarnation,
    ...setup,
  };
  const handle = await prepareSegment(newSegment(maker, 1), maker, setup.segmentBytes, () => false);
  await handle?.close();
  await files.syncDirectory(directory);
  await writeManifest(files, directory, manifest);
  return manifest;
}

/** Checks that log and snapshots belong together; returns the groups whose log has to begin anew after their snapshot. */
function reconcile({ table }: RecoveredLog, snapshots: Snapshots, paths: Paths): string[] {
  for (const log of table.groups.values()) {
    const missing = log.missing();
    if (missing !== undefined)
      throw corrupt(paths.log, 0, `entry ${missing} of group ${log.name} is missing`);
    if (snapshots.indexOf(log.name) < log.firstIndex - 1) {
      const { name, firstIndex } = log;
      throw corrupt(
        paths.snapshots,
        0,
        `group ${name} begins at ${firstIndex}, and no snapshot covers what was before`,
      );
    }
  }
  const resets: string[] = [];
  for (const name of snapshots.groups()) {
    // A crash came between a snapshot and the write that installs it: the rule of that write applies.
    const { index, epoch } = snapshots.metaOf(name)!;
    if (!keepsAfter(table.ensure(name), index, epoch)) resets.push(name);
  }
  return resets;
}

/** Makes it part of the log that some logs begin anew. */
async function writeResets(
  journal: Journal,
  { table }: RecoveredLog,
  snapshots: Snapshots,
  names: readonly string[],
): Promise<void> {
  if (names.length === 0) return;
  const frame = journal.frameFor(0);
  table.frame = frame.sequence;
  for (const name of names) {
    const first = snapshots.indexOf(name) + 1;
    changes.reset(frame.meta, name, first);
    table.ensure(name).reset(first);
  }
  await new Promise<void>((resolve, reject) => {
    journal.submit(frame, (error) => (error ? reject(error) : resolve()));
  });
}
