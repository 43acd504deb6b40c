/** The engine's side of a mesh: frames by kind, to and from authenticated peers. @internal */
import type { NodeId, Vitals } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import { QuorateError, checkNumber } from '../errors.js';
import { maxKind } from './framing.js';
import type { GroupMetrics, MeshCounters } from './metrics.js';
import type { Peers } from './peers.js';
import type { FrameKind, MeshListener, MeshPort, SendOptions } from './port.js';
import type { LaneName } from './transport.js';

type Handler = Parameters<MeshPort['handle']>[1];

/** What a {@link FrameRouter} is made with. */
export interface FrameRouterOptions {
  readonly id: NodeId;
  readonly cluster: string;
  readonly environment: Environment;
  readonly counters: MeshCounters;
  readonly peers: Peers;
  readonly onWarning: (error: Error) => void;
}

export class FrameRouter implements MeshPort {
  readonly id: NodeId;
  readonly cluster: string;
  readonly #environment: Environment;
  readonly #counters: MeshCounters;
  readonly #onWarning: (error: Error) => void;
  readonly #handlers: (Handler | undefined)[] = new Array<undefined>(maxKind + 1).fill(undefined);
  readonly #listeners: MeshListener[] = [];
  readonly #peers: Peers;
  /** Who is told the voters of groups. */
  onExpect: (group: string, voters: readonly NodeId[] | undefined) => void = () => undefined;
  /** Counts the groups. */
  groups: () => GroupMetrics = () => ({ open: 0, quiet: 0 });

  constructor(options: FrameRouterOptions) {
    this.id = options.id;
    this.cluster = options.cluster;
    this.#environment = options.environment;
    this.#counters = options.counters;
    this.#onWarning = options.onWarning;
    this.#peers = options.peers;
  }

  linked(): ReadonlyMap<NodeId, number> {
    return this.#peers.sessions;
  }

  send(peer: NodeId, kind: FrameKind, frame: Uint8Array, options: SendOptions): boolean {
    const link = this.#peers.link(peer);
    if (link !== undefined) {
      if (frame.length > link.maxFrameBytes) {
        const text = `a frame of ${frame.length} bytes to ${peer} is above the cap of ${link.maxFrameBytes} and was dropped`;
        this.#onWarning(new QuorateError('ERR_TOO_LARGE', text));
      } else if (link.send(kind, frame, options.lane, options.urgent === true)) {
        return true;
      }
    }
    this.#counters.framesDropped++;
    return false;
  }

  maxFrameBytes(peer: NodeId): number {
    return this.#peers.link(peer)?.maxFrameBytes ?? 0;
  }

  backlog(peer: NodeId, lane: LaneName): number {
    return this.#peers.link(peer)?.backlog(lane) ?? Infinity;
  }

  whenDrained(peer: NodeId, lane: LaneName, callback: () => void): void {
    const link = this.#peers.link(peer);
    if (link === undefined) this.#environment.defer(callback);
    else link.whenDrained(lane, callback);
  }

  vitals(peer: NodeId): Vitals | undefined {
    return this.#peers.link(peer);
  }

  handle(kind: FrameKind, handler: Handler): void {
    this.#handlers[checkNumber('kind', kind, 1, maxKind)] = handler;
  }

  listen(listener: MeshListener): void {
    this.#listeners.push(listener);
  }

  expect(group: string, voters: readonly NodeId[] | undefined): void {
    this.onExpect(group, voters);
  }

  count(groups: () => GroupMetrics): void {
    this.groups = groups;
  }

  punish(peer: NodeId, reason: string): void {
    this.#peers.punish(peer, reason);
  }

  onFrame(peer: NodeId, session: number, kind: number, frame: Uint8Array): boolean | Promise<boolean> {
    const handler = this.#handlers[kind];
    if (handler === undefined) {
      // The other end may be ahead: a group not opened here yet, or a later version.
      this.#counters.framesUnhandled++;
      return true;
    }
    this.#counters.framesReceived++;
    return handler(peer, session, frame);
  }

  onPeer(peer: NodeId, up: boolean, session: number): void {
    for (const listener of this.#listeners) listener.onPeer(peer, up, session);
  }
}
