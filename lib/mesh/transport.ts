/** What carries bytes between two nodes. A transport knows nothing of secrets, frames, or groups. */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';

/**
 * The two ways between a pair of nodes. `control` carries votes, heartbeats and small appends; `bulk` snapshots and what
 * is large. They share no queue, so bulk never delays control.
 */
export type LaneName = 'control' | 'bulk';

/** One lane of a link: ordered, reliable while the link lives. */
export interface Lane {
  /** The largest message it takes, in bytes. */
  readonly maxMessageSize: number;
  /** Bytes that were given to `send` and have not left yet. */
  readonly bufferedAmount: number;
  /** Takes the bytes over (they are copied before it returns). `false`: the lane is closed. Never throws. */
  send(message: Uint8Array): boolean;
  /** Set by the mesh before the event turn in which the link was handed over ends. */
  onMessage: ((message: Uint8Array) => void) | undefined;
  /** Called when `bufferedAmount` falls to the low-water mark or below. */
  onDrain: (() => void) | undefined;
}

/** A connected pair of lanes to one peer, not yet authenticated. */
export interface RawLink {
  /** Who the other side says it is. */
  readonly peer: NodeId;
  /** Whether this side made the offer. Exactly one side did. */
  readonly offerer: boolean;
  /**
   * What the channel itself proves: a string that both ends compute alike only if nobody sits between them, such as the DTLS
   * fingerprints of both lanes in the offerer's order. Empty when the transport has nothing of the kind.
   */
  readonly binding: string;
  readonly control: Lane;
  readonly bulk: Lane;
  /** Ends the link on both sides; what is buffered may be lost. Safe to call twice. */
  close(): void;
  /** Called once, when the link is gone for whatever reason; never from inside a call of the mesh. */
  onClosed: ((reason: string) => void) | undefined;
}

/** What the mesh gives to a transport. */
export interface TransportHost {
  readonly id: NodeId;
  readonly cluster: string;
  /** Names this run of the node; larger is newer. Two runs of one id never share it. */
  readonly incarnation: string;
  readonly environment: Environment;
  /** Both lanes are open. */
  onLink(link: RawLink): void;
  /** A peer was seen or is gone at the rendezvous; says nothing about links. */
  onPresence(peer: NodeId, present: boolean): void;
  /**
   * Sends a text that sets up a link to a peer through the mesh itself, over members that are linked: so a node that knows one
   * live member needs no rendezvous to reach the others. At most 64 KiB of UTF-8. `false`: no way is known; best effort
   * otherwise. It arrives as {@link TransportSession.routed} there.
   */
  route(peer: NodeId, payload: string): boolean;
  /**
   * This machine's addresses changed: links over the old ones may be dead though nothing says so. The mesh may probe all links
   * at once, rather than wait for their silence.
   */
  onAddressChange?(): void;
  /** Something that a person should know: a rendezvous out of reach, a set-up that failed. The transport goes on trying. */
  onWarning(error: Error): void;
}

/** A transport in use by one mesh. */
export interface TransportSession {
  /**
   * Asks for a link to a peer, if this side is the one to offer (the smaller id offers). Fails silently after its time-out,
   * with `onWarning`; the mesh asks again. A call while a set-up is under way does nothing.
   */
  connect(peer: NodeId): void;
  /** A text that a peer's transport gave to its {@link TransportHost.route}. As little to be trusted as one of a rendezvous. */
  routed(from: NodeId, payload: string): void;
  /** Closes links and rendezvous, and releases every native object, so that the process can end. */
  close(): Promise<void>;
}

/** What `webrtc()` and `memoryNetwork()` return and `joinMesh` takes. May serve several meshes of one process. */
export interface Transport {
  readonly kind: string;
  /** Resolves when ready locally; a rendezvous out of reach is a warning, not a failure. */
  start(host: TransportHost): Promise<TransportSession>;
}
