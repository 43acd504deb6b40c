/** What a group is made with, and what it needs of the engine it lives in. @internal */
import type { Consensus, Index, NodeId, SnapshotMeta, SnapshotRequest } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import type { NodeStore } from '../storage/storage.js';
import type { AutopilotSettings } from './autopilot.js';
import type { WiredProtocol } from './codec.js';
import type { AppSide } from './door.js';
import type { Group } from './group.js';
import type { JoinAs } from './joining.js';
import type { Outbox } from './outbox.js';
import type { MemberReport } from './progressWire.js';
import type { SoundProposal } from './proposals.js';

/** What a group needs from the engine it lives in. */
export interface GroupHost {
  readonly self: NodeId;
  readonly environment: Environment;
  readonly outbox: Outbox;
  /** There is something to do in the next turn. */
  schedule(group: Group): void;
  /** Bring a snapshot to a peer. */
  sendSnapshot(group: Group, wanted: SnapshotRequest): void;
  /** How far the snapshot is that a peer gets. */
  snapshotProgress(group: Group, to: NodeId): MemberReport['snapshot'];
  /** The first index of the log that transfers still need; Infinity when they need none. */
  keepFrom(group: Group): Index;
  /** Whether a peer sends a snapshot. */
  receives(group: Group): boolean;
  /** Who votes in the group now. */
  voters(group: Group, voters: readonly NodeId[]): void;
  /** The group is over on this node. */
  ended(group: Group): void;
}

/** How a group is set up. */
export interface GroupSetup {
  readonly name: string;
  /** This node's number for the group. */
  readonly number: number;
  readonly wired: WiredProtocol;
  readonly core: Consensus;
  readonly store: NodeStore;
  readonly app: AppSide;
  readonly snapshot: SnapshotMeta | undefined;
  readonly snapshotLogBytes: number;
  readonly keepEntries: number;
  readonly snapshotBytesPerSecond: number;
  readonly soundProposal: SoundProposal | undefined;
  readonly join?: JoinAs | undefined;
  readonly autopilot: AutopilotSettings | undefined;
}
