/**
 * The door between the two rooms: the engine (mesh, cores, storage) and the app's side of a group (state machine, codec,
 * promises, events). What passes is plain data in batches, once a turn, never a call that waits. In one thread the batches
 * are handed over directly; nothing in them would stop them from being posted between threads.
 */
import type {
  Entry,
  Epoch,
  Index,
  NodeId,
  Role,
  SnapshotMeta,
  TransferRefusal,
  MembershipChange,
} from '../consensus/consensus.js';
import type { AutopilotStep } from '../consensus/autopilot.js';
import type { ProgressReport } from './progressWire.js';
import type { Membership } from '../consensus/membership.js';
import type { OpenGroup } from './engine.js';

/** Why the engine did not take a proposal. All of them mean that it is not in the log. */
export type ProposalRefusal =
  'notLeader' | 'overloaded' | 'diskFull' | 'tooLarge' | 'stopped' | 'transferring';

/** What only a leader can do; a follower forwards it. */
export type LeaderRequest =
  /** The leadership should go to `to`; to anyone, when that is empty. */
  | { readonly type: 'transfer'; readonly to: NodeId }
  /** The members should be others. */
  | { readonly type: 'change'; readonly change: MembershipChange }
  /** How far the members are; answered with `progress`. */
  | { readonly type: 'progress' };

/** Why a request came to nothing. `gaveUp`: the target of a transfer did not take over in time. */
export type RequestFailure = TransferRefusal | 'gaveUp' | 'invalid' | 'noQuorum';

/** A batch of commands on its way to the log. */
export interface Proposal {
  /** Chosen by the app's side, unique while the replica lives. */
  readonly token: number;
  /** How many indexes it takes. */
  readonly count: number;
  readonly data: Uint8Array;
}

/** Where a group stands, as the app's side sees it. */
export interface GroupStatus {
  readonly role: Role;
  readonly leader: NodeId;
  readonly epoch: Epoch;
  readonly quorum: boolean;
  readonly membership: Membership;
  /** The newest that is known to be committed. */
  readonly stable: Membership;
  /** Nothing happens in the group, and the core waits for nothing. */
  readonly quiet: boolean;
  /** Changes whenever proposals sent to the leader before may have been lost: a new leader, or a new link to it. 0: no way to it. */
  readonly contact: number;
}

/** What the app's side hands over in a turn. */
export interface AppBatch {
  readonly proposals: readonly Proposal[];
  /** Ids of reads that want a linearizable index; each is answered once. */
  readonly reads: readonly number[];
  /** Applied up to here. */
  readonly applied: Index;
  /** Rare things, in order. */
  readonly notices: readonly AppNotice[];
}

/** What happens seldom on the app's side. */
export type AppNotice =
  /** The state was captured at `meta.index`; its chunks follow, one for each `snapshotPull`. */
  | { readonly type: 'snapshotBegin'; readonly meta: SnapshotMeta }
  /** The next chunk; empty at the end. */
  | { readonly type: 'snapshotChunk'; readonly chunk: Uint8Array }
  | { readonly type: 'snapshotFailed'; readonly message: string }
  /** Ready for the next chunk of the snapshot that is being restored. */
  | { readonly type: 'restorePull' }
  | { readonly type: 'restored' }
  /**
   * There should be a snapshot of this member's own state that covers `index`, and the log behind it should go. Answered with
   * `compacted`, or with `compactFailed`; both answer all that were asked before as well. `token` and `index` never fall.
   */
  | { readonly type: 'compact'; readonly token: number; readonly index: Index }
  /** Answered with `requestRefused`, or by its effect: another leader, another membership. */
  | { readonly type: 'request'; readonly token: number; readonly request: LeaderRequest }
  /** The app's side broke; the replica is over. */
  | { readonly type: 'failed'; readonly error: Error };

/** What the engine hands over in a turn. */
export interface EngineBatch {
  /** Committed entries, in order, without a gap. */
  readonly entries: readonly Entry[];
  /** Reads that may be answered once their index is applied. */
  readonly reads: readonly { readonly context: number; readonly index: Index }[];
  /** Reads that have to be asked again. */
  readonly readsFailed: readonly number[];
  /** Proposals that did not enter the log. */
  readonly refused: readonly { readonly token: number; readonly why: ProposalRefusal }[];
  readonly status: GroupStatus | undefined;
  readonly commitIndex: Index;
  readonly notices: readonly EngineNotice[];
}

/** What happens seldom on the engine's side. */
export type EngineNotice =
  /** Capture the state at the next entry's bound, and answer with `snapshotBegin`. */
  | { readonly type: 'snapshotWanted' }
  | { readonly type: 'snapshotPull' }
  /** Whatever `compact` asked for up to this index is there. */
  | { readonly type: 'compacted'; readonly index: Index }
  /** What was asked for by `compact` with this token, or before, came to nothing. */
  | { readonly type: 'compactFailed'; readonly token: number; readonly error: Error }
  /** The snapshot is durable, or was given up. */
  | { readonly type: 'snapshotDone'; readonly index: Index; readonly ok: boolean }
  /** Replace the state: chunks follow, one for each `restorePull`. Nothing else is delivered until `restored`. */
  | { readonly type: 'restoreBegin'; readonly meta: SnapshotMeta }
  /** The next chunk; empty at the end. */
  | { readonly type: 'restoreChunk'; readonly chunk: Uint8Array }
  | { readonly type: 'requestRefused'; readonly token: number; readonly why: RequestFailure }
  /** The members change by themselves. */
  | { readonly type: 'autopilot'; readonly step: AutopilotStep }
  | { readonly type: 'progress'; readonly token: number; readonly report: ProgressReport }
  /** A peer was refused, or something else a person should know. */
  | { readonly type: 'warning'; readonly error: Error }
  /** This node is no member any more: the replica is over. */
  | { readonly type: 'removed'; readonly membership: Membership }
  /** The engine gave the group up: the replica is over. */
  | { readonly type: 'failed'; readonly error: Error };

/** The app's side, as the engine sees it. */
export interface AppSide {
  /** Hands over what gathered since the last call; undefined when there is nothing. Called once in a turn in which `wake` was called. */
  collect(): AppBatch | undefined;
  deliver(batch: EngineBatch): void;
  /** Set while it takes no batch: what there is to tell waits, and entries stay in the log. It wakes the engine when that is over. */
  readonly busy?: boolean;
}

/** What an entry counts for while it waits to be applied: its bytes, and what holds them. */
export function waitingBytes(entry: Entry): number {
  return entry.data.length + 64;
}

/** The engine's side of one group, as the app sees it. */
export interface EngineSide {
  readonly self: NodeId;
  /** There is something to collect. */
  wake(): void;
  /** Ends the group on this node. Resolves when its log is flushed and nothing more will be delivered. */
  close(): Promise<void>;
}

/** What opens groups: the engine, or what stands for one in another thread. */
export interface EngineDoor {
  /** Opens a group. Throws ERR_GROUP_EXISTS, ERR_GROUP_UNKNOWN, and what the storage throws. */
  open(options: OpenGroup): Promise<EngineSide>;
}
