/** Every size and count that a link is held to. */
import { checkNumber, configError } from '../errors.js';
import type { LaneName } from './transport.js';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Caps of a mesh's links. The defaults suit a local network; all are per link. */
export interface LinkLimits {
  /**
   * Largest lane message on `control`, in bytes, 1 KiB to 256 KiB. Larger frames travel in fragments.
   * @defaultValue 16384
   */
  readonly controlFragmentBytes?: number;
  /**
   * Largest lane message on `bulk`, in bytes, 1 KiB to 256 KiB.
   * @defaultValue 65536
   */
  readonly bulkFragmentBytes?: number;
  /**
   * Largest frame, in bytes, 64 KiB to 1 GiB: also the cap of what one lane may hold for reassembly.
   * @defaultValue 67108864
   */
  readonly maxFrameBytes?: number;
  /**
   * Unconsumed bytes that a peer may have sent us on `control`, 64 KiB to 1 GiB. A peer that sends more loses its link.
   * @defaultValue 4194304
   */
  readonly controlWindowBytes?: number;
  /**
   * The same for `bulk`.
   * @defaultValue 4194304
   */
  readonly bulkWindowBytes?: number;
  /**
   * Bytes that wait in a lane's send queue before `send` answers `false`, 64 KiB to 1 GiB. A single larger frame is taken
   * when the queue is empty.
   * @defaultValue 16777216
   */
  readonly sendQueueBytes?: number;
}

/** {@link LinkLimits} with nothing left out. @internal */
export type ResolvedLimits = Required<LinkLimits>;

/**
 * When a lane is too full to be given more, and when it may be given more again: bytes that the transport buffers. Low on bulk,
 * since what is buffered there delays whatever comes later (a shared SCTP buffer lies beneath). @internal
 */
export const watermarks: Readonly<Record<LaneName, { readonly high: number; readonly low: number }>> = {
  control: { high: MiB, low: 256 * KiB },
  bulk: { high: 64 * KiB, low: 32 * KiB },
};

/** Urgent bytes that may wait in the transport's buffer, or in handlers, before more are refused. @internal */
export const urgentCapBytes = 4 * MiB;

/** What a piece costs beside its bytes, so that credit and queues cap counts too. @internal */
export const pieceOverhead = 32;

/** Fewest bytes that a window or a largest frame may have. @internal */
export const minWindowBytes = 64 * KiB;
/** Most bytes that a window or a largest frame may have. @internal */
export const maxWindowBytes = 1024 * MiB;

/** Checks the limits and fills in the defaults. @internal */
export function resolveLimits(limits: LinkLimits = {}): ResolvedLimits {
  if (typeof limits !== 'object' || (limits as unknown) === null)
    throw configError('limits', limits, 'an object');
  const check = (name: keyof LinkLimits, fallback: number, min: number, max: number): number =>
    checkNumber(`limits.${name}`, limits[name] ?? fallback, min, max);
  return {
    controlFragmentBytes: check('controlFragmentBytes', 16 * KiB, KiB, 256 * KiB),
    bulkFragmentBytes: check('bulkFragmentBytes', 64 * KiB, KiB, 256 * KiB),
    maxFrameBytes: check('maxFrameBytes', 64 * MiB, minWindowBytes, maxWindowBytes),
    controlWindowBytes: check('controlWindowBytes', 4 * MiB, minWindowBytes, maxWindowBytes),
    bulkWindowBytes: check('bulkWindowBytes', 4 * MiB, minWindowBytes, maxWindowBytes),
    sendQueueBytes: check('sendQueueBytes', 16 * MiB, minWindowBytes, maxWindowBytes),
  };
}
