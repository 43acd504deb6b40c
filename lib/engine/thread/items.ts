/** What the two ends of the engine's channel say to each other. */
import type { Description } from '../../description.js';
import type { NodeId } from '../../consensus/consensus.js';
import type { AutopilotSettings } from '../autopilot.js';
import type { JoinAs } from '../joining.js';
import type { PackedAppBatch, PackedEngineBatch } from './batches.js';

/**
 * Batches of a group that may be on their way to the app. An app that stands still takes none: what comes after waits in the
 * engine, the entries in the log.
 */
export const MAX_BATCHES_UNTAKEN = 64;

/** The app's thread says that it took batches whenever it took so many. */
export const TAKEN_AT_ONCE = 16;

/** How a group is opened, as data. */
export interface OpenOrder {
  readonly type: 'open';
  /** Chosen by the app's thread, unique for the mesh. */
  readonly group: number;
  readonly name: string;
  readonly wired: Description;
  readonly storage: Description;
  readonly founders: readonly NodeId[] | undefined;
  readonly join: JoinAs | undefined;
  readonly snapshotLogBytes: number;
  readonly keepEntries: number;
  readonly snapshotBytesPerSecond: number | undefined;
  readonly autopilot: AutopilotSettings | undefined;
}

/** What the app's thread asks. */
export type EngineOrder = OpenOrder | { readonly type: 'close'; readonly group: number };

/** What the app's thread says. */
export type FromApp =
  | { readonly type: 'batch'; readonly group: number; readonly batch: PackedAppBatch }
  | { readonly type: 'taken'; readonly group: number; readonly count: number };

/** What the engine's thread says. */
export interface FromEngine {
  readonly group: number;
  readonly batch: PackedEngineBatch;
}
