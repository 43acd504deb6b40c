/** What the engine sees of a mesh: authenticated peers, and frames to and from them. */
import type { NodeId, Vitals } from '../consensus/consensus.js';
import type { GroupMetrics } from './metrics.js';
import type { LaneName } from './transport.js';

/** Who takes the frames of a kind. The first byte of every frame says its kind. */
export const FrameKind = {
  /** Groups: hellos, consensus messages, forwarded proposals. */
  group: 1,
  /** Snapshot streams. */
  snapshot: 2,
  /** Datagrams that the mesh carries over other members. */
  datagram: 3,
  /** What members tell each other of who hears whom. */
  gossip: 4,
  /** Clients of groups, and the members that serve them. */
  client: 5,
  /** Multi-primary stores. */
  store: 6,
  /** Sites of three-phase commit. */
  site: 7,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

/** How a frame travels. */
export interface SendOptions {
  readonly lane: LaneName;
  /** Needs no credit: heartbeats, votes, hellos. Must be small. */
  readonly urgent?: boolean;
}

/** Takes what the mesh brings. Called from the turn in which it arrives. */
export interface MeshListener {
  /** A link was authenticated (`up`) or is gone. Every new link to a peer has a larger session number. */
  onPeer(peer: NodeId, up: boolean, session: number): void;
}

/** The engine's side of a mesh. */
export interface MeshPort {
  readonly id: NodeId;
  readonly cluster: string;
  /** The peers whose link is up, with its session. */
  linked(): ReadonlyMap<NodeId, number>;
  /**
   * Sends a frame, fragmented as needed. Frames of one lane of one link arrive whole, in order, at most once.
   * `false`: not linked, or the link's send queue is full; the frame is dropped.
   * The bytes may be kept until sent: do not change them.
   */
  send(peer: NodeId, kind: FrameKind, frame: Uint8Array, options: SendOptions): boolean;
  /** The largest frame that the link to a peer takes, in bytes; 0 when not linked. */
  maxFrameBytes(peer: NodeId): number;
  /** Bytes waiting in this lane's queue, credit and buffers included; Infinity when not linked. */
  backlog(peer: NodeId, lane: LaneName): number;
  /** Calls back once, when the lane's backlog has fallen below its low-water mark or the link is gone. */
  whenDrained(peer: NodeId, lane: LaneName, callback: () => void): void;
  /** What the link to a peer has measured of it; undefined when not linked. */
  vitals(peer: NodeId): Vitals | undefined;
  /**
   * Registers who takes frames of a kind. The bytes belong to the handler. A handler returns `false` for a frame that breaks
   * the protocol: the sender loses its link. A handler may return a promise: the receiver's credit is granted when it settles.
   */
  handle(
    kind: FrameKind,
    handler: (peer: NodeId, session: number, frame: Uint8Array) => boolean | Promise<boolean>,
  ): void;
  listen(listener: MeshListener): void;
  /**
   * Names the voters of a group, `undefined` when the group is closed: a node whose part of the mesh has no majority of the
   * voters of one of its groups is isolated.
   */
  expect(group: string, voters: readonly NodeId[] | undefined): void;
  /** Who counts the groups, for the figures of the mesh. */
  count(groups: () => GroupMetrics): void;
  /** Drops the link to a peer that broke the protocol of a layer above. It will be set up again, after a pause. */
  punish(peer: NodeId, reason: string): void;
}
