/** What the two ends of a mesh's channel say to each other. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Description } from '../../description.js';
import type { PartitionView } from '../../failure/partition.js';
import type { PackedError } from '../../threads/errors.js';
import type { FollowedList } from '../credentials.js';
import type { ResolvedLimits } from '../limits.js';
import type { PeerStatus } from '../mesh.js';
import type { MeshMetrics } from '../metrics.js';
import type { FrameKind } from '../port.js';
import type { LaneName } from '../transport.js';

/** The mirror of what the app reads synchronously is renewed so often, in milliseconds, unless the app is busy. */
export const MIRROR_MS = 200;
/** Events that may be on their way to the app; what happens beyond is told in one, when it listens again. */
export const MAX_EVENTS_UNTAKEN = 512;
/** Frames of one peer, and their bytes, that the app may be given before it has answered: beyond it the peer's credit waits. */
export const MAX_FRAMES_UNTAKEN = 4096;
export const MAX_FRAME_BYTES_UNTAKEN = 8 * 1024 * 1024;
/** Bytes for one lane of a peer that the app may hand over before the link has taken them. */
export const MAX_LANE_BYTES = 4 * 1024 * 1024;

/** A mesh as it is to be joined: the checked options as data. */
export interface JoinPlan {
  readonly id: NodeId;
  readonly cluster: string;
  readonly secret: unknown;
  readonly identity: unknown;
  readonly transport: Description;
  readonly intervalMs: number;
  readonly detector: Description;
  readonly relay: boolean;
  readonly limits: ResolvedLimits;
}

/** What the app reads of a mesh without waiting. */
export interface Mirror {
  readonly peers: readonly PeerStatus[];
  readonly partition: PartitionView;
  readonly metrics: MeshMetrics;
}

/** A linked peer. */
export interface LinkedPeer {
  readonly peer: NodeId;
  readonly session: number;
  readonly maxFrameBytes: number;
}

/** What happened on the mesh. */
export type MeshEvent =
  | { readonly type: 'state'; readonly peer: NodeId; readonly state: 'up' | 'suspect' | 'unreachable' }
  | { readonly type: 'path'; readonly peer: NodeId; readonly path: 'direct' | 'relayed' }
  | { readonly type: 'partition'; readonly view: PartitionView }
  | { readonly type: 'refused'; readonly peer: NodeId; readonly error: PackedError }
  | { readonly type: 'stall'; readonly ms: number }
  | { readonly type: 'warning'; readonly error: PackedError }
  | { readonly type: 'up'; readonly link: LinkedPeer }
  | { readonly type: 'down'; readonly peer: NodeId; readonly session: number };

/** What the mesh's thread says. */
export type FromMesh =
  | { readonly type: 'event'; readonly event: MeshEvent }
  /** Events were left out: this is how the links stand. */
  | { readonly type: 'resync'; readonly linked: readonly LinkedPeer[] }
  | { readonly type: 'mirror'; readonly mirror: Mirror }
  | {
      readonly type: 'frame';
      readonly peer: NodeId;
      readonly session: number;
      readonly kind: FrameKind;
      readonly frame: Uint8Array;
    }
  /** The link took so many bytes of a lane, or lost them. */
  | {
      readonly type: 'sent';
      readonly peer: NodeId;
      readonly session: number;
      readonly lane: LaneName;
      readonly bytes: number;
    };

/** What the app's thread says. */
export type FromMeshApp =
  | { readonly type: 'taken'; readonly events: number; readonly mirrors: number }
  | { readonly type: 'handle'; readonly kind: FrameKind }
  | { readonly type: 'verdict'; readonly peer: NodeId; readonly session: number; readonly sound: boolean }
  | {
      readonly type: 'send';
      readonly peer: NodeId;
      readonly session: number;
      readonly kind: FrameKind;
      readonly frame: Uint8Array;
      readonly lane: LaneName;
      readonly urgent: boolean;
    }
  | { readonly type: 'punish'; readonly peer: NodeId; readonly reason: string }
  | { readonly type: 'trust'; readonly peer: NodeId; readonly keys: string | readonly string[] }
  | { readonly type: 'revoke'; readonly peer: NodeId }
  | { readonly type: 'follow'; readonly list: FollowedList }
  | { readonly type: 'warn'; readonly error: PackedError };

/** What the app's thread asks. */
export type MeshOrder =
  | { readonly type: 'rotateSecret'; readonly secret: unknown; readonly relink: boolean }
  | { readonly type: 'close' };
