/** How much a store holds. */
import { checkNumber } from '../../errors.js';

/** How much one member of a store holds, and one key of it. */
export interface StoreLimits {
  /**
   * The most keys, deleted ones that are remembered among them; from 1 to 10,000,000.
   *
   * @defaultValue 1000000
   */
  readonly maxKeys?: number | undefined;
  /**
   * The most bytes of keys and versions together, from 65536 (64 KiB) to 2^36 (64 GiB). All of it is held in memory.
   *
   * @defaultValue 268435456 (256 MiB)
   */
  readonly maxBytes?: number | undefined;
  /**
   * The most bytes of one encoded value, from 1 to 2^24 (16 MiB).
   *
   * @defaultValue 1048576 (1 MiB)
   */
  readonly maxValueBytes?: number | undefined;
  /**
   * The most versions of one key that may stand beside each other for a write without a context to add another one; from 1 to 4096.
   *
   * @defaultValue 64
   */
  readonly maxSiblings?: number | undefined;
  /**
   * The most bytes of writes that wait for the disk, from 65536 (64 KiB) to 2^30 (1 GiB); above it writes are refused.
   *
   * @defaultValue 16777216 (16 MiB)
   */
  readonly maxPendingBytes?: number | undefined;
}

/** The most bytes of a key. */
export const MAX_KEY_BYTES = 1024;

/** @internal */
export type Limits = { readonly [name in keyof StoreLimits]-?: number };

/** Throws ERR_CONFIG. @internal */
export function checkLimits(given: StoreLimits = {}): Limits {
  const {
    maxKeys = 1_000_000,
    maxBytes = 256 << 20,
    maxValueBytes = 1 << 20,
    maxSiblings = 64,
    maxPendingBytes = 16 << 20,
  } = given;
  return {
    maxKeys: checkNumber('limits.maxKeys', maxKeys, 1, 10_000_000),
    maxBytes: checkNumber('limits.maxBytes', maxBytes, 65_536, 2 ** 36),
    maxValueBytes: checkNumber('limits.maxValueBytes', maxValueBytes, 1, 2 ** 24),
    maxSiblings: checkNumber('limits.maxSiblings', maxSiblings, 1, 4096),
    maxPendingBytes: checkNumber('limits.maxPendingBytes', maxPendingBytes, 65_536, 2 ** 30),
  };
}
