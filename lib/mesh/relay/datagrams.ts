/**
 * Datagrams: small messages that the mesh carries to any member it knows a way to, over other members where need be. Best
 * effort: they are lost with a link, dropped by a congested relay, and may overtake each other; a member that relays them can
 * read and forge them. What must be secret or whole is made so by what travels in them. @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import type { LaneName } from '../transport.js';

/** Most bytes of a datagram's payload. */
export const maxDatagramBytes = 64 * 1024;

/** What a datagram is about. */
export const DatagramKind = {
  /** "Do you hear me?", answered with `pong`: tells a dead peer from a dead link. */
  ping: 1,
  pong: 2,
  /** A text that sets up a link, as over a rendezvous. */
  signal: 3,
  /** Packets of relayed links. */
  link: 4,
} as const;
export type DatagramKind = (typeof DatagramKind)[keyof typeof DatagramKind];

/** How a datagram travels. */
export interface DatagramOptions {
  /** The lane it takes on every link of its way. */
  readonly lane: LaneName;
  /** The first hop; by default the first of a shortest way. Never the receiver itself unless named here. */
  readonly via?: NodeId;
}

/** Sends and receives datagrams. */
export interface DatagramPort {
  /** `false`: no way is known, or the first link is congested; the datagram is dropped. The bytes may be kept: do not change them. */
  send(to: NodeId, kind: DatagramKind, payload: Uint8Array, options: DatagramOptions): boolean;
  /** Whether a way over other members is known at the moment. */
  reaches(to: NodeId): boolean;
  /** Registers who takes datagrams of a kind. */
  handle(kind: DatagramKind, handler: DatagramHandler): void;
}

/**
 * Takes a datagram. `from` is who it says sent it, `by` the neighbour that it came from, which proved itself. The bytes belong to
 * the handler.
 */
export type DatagramHandler = (from: NodeId, payload: Uint8Array, lane: LaneName, by: NodeId) => void;
