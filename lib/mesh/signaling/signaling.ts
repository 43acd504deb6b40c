/** How nodes find each other and exchange the offers and answers that set a link up: a rendezvous, never a data path. */
import type { Environment } from '../../environment.js';

/** The most a message may have, in bytes of UTF-8. Offers and answers of data channels have about 1 KiB. */
export const maxPayloadBytes = 64 * 1024;

/** What a transport gives to a {@link Signaling}. No method is called before `start` has returned its promise. */
export interface SignalingHost {
  /** The id of this node. */
  readonly id: string;
  /** Only nodes of one cluster see each other. */
  readonly cluster: string;
  /** Names this run of the node; compared as a string, larger is newer. */
  readonly incarnation: string;
  readonly environment: Environment;
  /** A peer is, or is no longer, at the rendezvous. Repeated after reconnects; says nothing about links. */
  onPresence(peer: string, present: boolean): void;
  /** A text of another member, at most 64 KiB of it. Nothing in it is to be trusted, nor is who sent it. */
  onMessage(from: string, payload: string): void;
  /** Something that a person should know. The session goes on trying. */
  onWarning(error: Error): void;
}

/** A node's seat at the rendezvous. */
export interface SignalingSession {
  /**
   * Sends a text to another member. Best effort: it is dropped while disconnected, when the member is unknown, and above
   * 64 KiB. Never throws.
   */
  send(to: string, payload: string): void;
  /** Whether the rendezvous is reached at the moment. */
  readonly connected: boolean;
  /** This machine's addresses changed: what goes over the old ones is dead, though nothing says so, and is to be made anew. */
  moved?(): void;
  /** Leaves the rendezvous; nothing is reported any more. Safe to call twice. */
  close(): Promise<void>;
}

/**
 * A rendezvous: `webSocketSignaling()`, `localSignaling()`, or one of your own. May be shared by several meshes of a
 * process.
 */
export interface Signaling {
  /** A name for logs and metrics. */
  readonly kind: string;
  /** Resolves when ready locally; a rendezvous out of reach is a warning, never a failure. */
  start(host: SignalingHost): Promise<SignalingSession>;
}
