import type { PartitionMetrics } from '../failure/partition.js';
import type { RowGossipMetrics } from '../failure/rowsGossip.js';
import type { RelayMetrics } from './relay/metrics.js';

/** The groups of a mesh. */
export interface GroupMetrics {
  /** Replicas that are open here. */
  readonly open: number;
  /** Of these, groups in which nothing happens: they cost no messages and no timers. */
  readonly quiet: number;
}

/** What a mesh counts since it was joined. */
export interface MeshMetrics {
  /** Links that are up now. */
  readonly links: number;
  /** Links that came up, ever. */
  readonly linksUp: number;
  /** Links that were lost, for whatever reason. */
  readonly linksLost: number;
  /** Handshakes that ended in a refusal, on either side. */
  readonly refused: number;
  /** Fresh links turned away before a handshake: too many half-open ones, or a peer that was refused a moment ago. */
  readonly turnedAway: number;
  /** Frames taken by a transport, heartbeats and credit included. */
  readonly framesSent: number;
  /** Frames handed to their handlers. */
  readonly framesReceived: number;
  /** Frames that `send` did not take: not linked, queue full, or too large. */
  readonly framesDropped: number;
  /** Frames of a kind that nobody handles. */
  readonly framesUnhandled: number;
  /** Lane messages: frames of one turn share them. */
  readonly messagesSent: number;
  readonly messagesReceived: number;
  /** Bytes of lane messages. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Datagrams for this node: packets of relayed links, pings, signalling. */
  readonly datagramsReceived: number;
  /** Datagrams that this node passed on for others, and their bytes. */
  readonly datagramsRelayed: number;
  readonly bytesRelayed: number;
  /** Datagrams dropped here: no way known, a full link, or seen before. */
  readonly datagramsDropped: number;
  /** How often this process stood still, and for how long in all, in milliseconds. */
  readonly stalls: number;
  readonly stalledMs: number;
  /** The groups that this node takes part in. */
  readonly groups: GroupMetrics;
  /** Relayed links of this node; all zero with `relay: false`. */
  readonly relay: RelayMetrics;
  /** The gossip that tells members how the mesh is connected. */
  readonly gossip: RowGossipMetrics;
  /** How the mesh was cut, and for how long. */
  readonly partition: PartitionMetrics;
}

/** The same, being counted. @internal */
export type MeshCounters = {
  -readonly [
    K in Exclude<keyof MeshMetrics, 'links' | 'groups' | 'relay' | 'gossip' | 'partition'>
  ]: MeshMetrics[K];
};

/** All zero. @internal */
export function newCounters(): MeshCounters {
  return {
    linksUp: 0,
    linksLost: 0,
    refused: 0,
    turnedAway: 0,
    framesSent: 0,
    framesReceived: 0,
    framesDropped: 0,
    framesUnhandled: 0,
    messagesSent: 0,
    messagesReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
    datagramsReceived: 0,
    datagramsRelayed: 0,
    bytesRelayed: 0,
    datagramsDropped: 0,
    stalls: 0,
    stalledMs: 0,
  };
}
