/** How a simulated disk behaves: how fast it is, and how often it fails. */
import { checkNumber, configError } from '../../../errors.js';

/** What a disk is asked to do: the operations of the library's file system and file handles. */
export type DiskOperation =
  | 'open'
  | 'write'
  | 'sync'
  | 'read'
  | 'truncate'
  | 'size'
  | 'close'
  | 'makeDirectory'
  | 'list'
  | 'rename'
  | 'remove'
  | 'syncDirectory'
  | 'freeBytes'
  | 'lock';

/** All of them. @internal */
export const diskOperations: readonly DiskOperation[] = [
  'open',
  'write',
  'sync',
  'read',
  'truncate',
  'size',
  'close',
  'makeDirectory',
  'list',
  'rename',
  'remove',
  'syncDirectory',
  'freeBytes',
  'lock',
];

/** How long something takes: never less than `minMs`, and an exponentially distributed time more. */
export interface DiskLatency {
  /** Milliseconds, from 0 to 3600000 (an hour). */
  readonly minMs: number;
  /** Mean of what comes on top, in milliseconds, from 0 to 3600000. */
  readonly meanMs: number;
}

/** How a simulated disk behaves. Probabilities are numbers from 0 to 1. What is left out has its default. */
export interface DiskSettings {
  /** How long a write takes. @defaultValue 0.02 ms and 0.03 ms on average on top */
  readonly write?: DiskLatency | undefined;
  /** How long a flush of a file or directory takes. @defaultValue 0.1 ms and 0.2 ms on average on top */
  readonly sync?: DiskLatency | undefined;
  /** How long a read takes. @defaultValue 0.02 ms and 0.03 ms on average on top */
  readonly read?: DiskLatency | undefined;
  /** How long everything else takes. @defaultValue 0.01 ms and 0.02 ms on average on top */
  readonly other?: DiskLatency | undefined;
  /**
   * Probability that the disk hangs when it is asked for something: all it is asked for from then on waits until that is over.
   *
   * @defaultValue 0
   */
  readonly stall?: number | undefined;
  /** Mean time that it hangs, exponentially distributed, in milliseconds from 0 to 3600000. @defaultValue 1000 */
  readonly stallMs?: number | undefined;
  /** For each operation, the probability that it fails with EIO. `close` never fails. @defaultValue none fails */
  readonly errors?: Readonly<Partial<Record<DiskOperation, number>>> | undefined;
  /**
   * Probability that something that fails with EIO was done all the same; of a write, the first part, of any length.
   *
   * @defaultValue 0.5
   */
  readonly halfDone?: number | undefined;
  /**
   * Probability that a failed flush of a file loses what it was to flush: later flushes succeed without writing it.
   *
   * @defaultValue 0.5
   */
  readonly syncLoses?: number | undefined;
  /**
   * Probability that what a failed flush lost can still be read until the power fails, as with ext4; otherwise what was there
   * before is read from then on, as with XFS.
   *
   * @defaultValue 0.5
   */
  readonly lostIsCached?: number | undefined;
  /** What the disk holds, in bytes, from 0 to 2^50; beyond it writes end in part with ENOSPC. @defaultValue 2^40 (1 TiB) */
  readonly capacityBytes?: number | undefined;
  /** Probability that power loss leaves a sector, or a name, that was not flushed as if it had been. @defaultValue 0.5 */
  readonly crashKeeps?: number | undefined;
  /** Probability that what was new in a sector that was not flushed is zeros after power loss. @defaultValue 0.05 */
  readonly crashZeroes?: number | undefined;
  /**
   * Probability that what was new in a sector that was not flushed is random bytes after power loss. Disks write sectors whole,
   * and the storage takes such bytes for corruption.
   *
   * @defaultValue 0
   */
  readonly crashGarbage?: number | undefined;
}

/** The same, checked and complete. @internal */
export type CompleteDiskSettings = {
  readonly [K in keyof Omit<DiskSettings, 'errors'>]-?: NonNullable<DiskSettings[K]>;
} & { readonly errors: Readonly<Record<DiskOperation, number>> };

const HOUR = 3_600_000;

/** Throws ERR_CONFIG. @internal */
export function completeDiskSettings(settings: DiskSettings): CompleteDiskSettings {
  if (typeof settings !== 'object' || (settings as unknown) === null)
    throw configError('disk settings', settings, 'an object');
  return {
    write: latency('write', settings.write, { minMs: 0.02, meanMs: 0.03 }),
    sync: latency('sync', settings.sync, { minMs: 0.1, meanMs: 0.2 }),
    read: latency('read', settings.read, { minMs: 0.02, meanMs: 0.03 }),
    other: latency('other', settings.other, { minMs: 0.01, meanMs: 0.02 }),
    stall: probability('stall', settings.stall, 0),
    stallMs: checkNumber('stallMs', settings.stallMs ?? 1000, 0, HOUR, false),
    errors: errors(settings.errors),
    halfDone: probability('halfDone', settings.halfDone, 0.5),
    syncLoses: probability('syncLoses', settings.syncLoses, 0.5),
    lostIsCached: probability('lostIsCached', settings.lostIsCached, 0.5),
    capacityBytes: checkNumber('capacityBytes', settings.capacityBytes ?? 2 ** 40, 0, 2 ** 50),
    crashKeeps: probability('crashKeeps', settings.crashKeeps, 0.5),
    crashZeroes: probability('crashZeroes', settings.crashZeroes, 0.05),
    crashGarbage: probability('crashGarbage', settings.crashGarbage, 0),
  };
}

function latency(option: string, value: DiskLatency | undefined, fallback: DiskLatency): DiskLatency {
  if (value === undefined) return fallback;
  return {
    minMs: checkNumber(`${option}.minMs`, value.minMs, 0, HOUR, false),
    meanMs: checkNumber(`${option}.meanMs`, value.meanMs, 0, HOUR, false),
  };
}

function probability(option: string, value: number | undefined, fallback: number): number {
  return checkNumber(option, value ?? fallback, 0, 1, false);
}

function errors(value: DiskSettings['errors'] = {}): Record<DiskOperation, number> {
  const out = Object.fromEntries(diskOperations.map((operation) => [operation, 0])) as Record<
    DiskOperation,
    number
  >;
  for (const [operation, chance] of Object.entries(value)) {
    if (!Object.hasOwn(out, operation))
      throw configError('errors', operation, `of ${diskOperations.join(', ')}`);
    out[operation as DiskOperation] = checkNumber(
      `errors.${operation}`,
      chance,
      0,
      operation === 'close' ? 0 : 1,
      false,
    );
  }
  return out;
}
