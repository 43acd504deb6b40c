/** A mesh in the engine's thread: tells the app's thread what happens, mirrors what that reads, does what it is told. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import { packError, unpackError } from '../../threads/errors.js';
import type { Channel, ChannelEnd } from '../../threads/line.js';
import type { Credentials } from '../credentials.js';
import type { MeshParts } from '../mesh.js';
import type { ClusterSecret } from '../secret.js';
import { FramesServer } from './framesServer.js';
import {
  MAX_EVENTS_UNTAKEN,
  MIRROR_MS,
  type FromMesh,
  type FromMeshApp,
  type LinkedPeer,
  type MeshEvent,
  type MeshOrder,
} from './items.js';

/** A mesh whose identity can be followed and warned. */
export type ServedMesh = MeshParts & { readonly identity: Credentials };

export class MeshServer implements ChannelEnd {
  readonly #parts: ServedMesh;
  readonly #channel: Channel;
  readonly #environment: Environment;
  readonly #frames: FramesServer;
  readonly #onClose: () => Promise<void>;
  #events = 0;
  #leftOut = false;
  #mirrors = 0;
  #timer: Timer | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: ServedMesh, channel: Channel, onClose: () => Promise<void>) {
    this.#parts = parts;
    this.#channel = channel;
    this.#environment = parts.environment;
    this.#onClose = onClose;
    this.#frames = new FramesServer(parts.port, channel, parts.environment);
    parts.port.listen({ onPeer: (peer, up, session) => this.#onPeer(peer, up, session) });
    parts.attach({
      state: (peer, state) => this.#event({ type: 'state', peer, state }),
      path: (peer, path) => this.#event({ type: 'path', peer, path }),
      partition: (view) => this.#event({ type: 'partition', view }),
      refused: (peer, error) => this.#event({ type: 'refused', peer, error: packError(error) }),
      stall: (ms) => this.#event({ type: 'stall', ms }),
      warning: (error) => this.#event({ type: 'warning', error: packError(error) }),
      linked: () => undefined,
      failed: () => undefined,
    });
    channel.attach(this);
    this.#resync();
    this.#mirror();
  }

  heard(item: unknown): void {
    const said = item as FromMeshApp;
    const { identity, port } = this.#parts;
    switch (said.type) {
      case 'send':
        this.#frames.send(said);
        return;
      case 'verdict':
        this.#frames.verdict(said.peer, said.session, said.sound);
        return;
      case 'taken':
        this.#events -= said.events;
        this.#mirrors -= said.mirrors;
        if (this.#leftOut && this.#events === 0) this.#resync();
        return;
      case 'handle':
        this.#frames.handle(said.kind);
        return;
      case 'punish':
        port.punish(said.peer, said.reason);
        return;
      case 'trust':
        identity.trust(said.peer, said.keys);
        return;
      case 'revoke':
        identity.revoke(said.peer);
        return;
      case 'follow':
        identity.follow(said.list);
        return;
      case 'warn':
        identity.warn(unpackError(said.error));
    }
  }

  async asked(item: unknown): Promise<void> {
    const order = item as MeshOrder;
    if (order.type === 'close') await this.close();
    else await this.#parts.identity.rotateSecret(order.secret as ClusterSecret, { relink: order.relink });
  }

  /** Leaves the mesh. Safe to call again. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#timer?.cancel();
    await this.#onClose();
    await this.#parts.shutDown();
  }

  #onPeer(peer: NodeId, up: boolean, session: number): void {
    this.#frames.linked(peer);
    this.#event(up ? { type: 'up', link: this.#link(peer, session) } : { type: 'down', peer, session });
  }

  #link(peer: NodeId, session: number): LinkedPeer {
    return { peer, session, maxFrameBytes: this.#parts.port.maxFrameBytes(peer) };
  }

  /** What is too much for an app that stands still is left out, and made up for when it listens again. */
  #event(event: MeshEvent): void {
    if (this.#events >= MAX_EVENTS_UNTAKEN) {
      this.#leftOut = true;
      return;
    }
    this.#events++;
    this.#say({ type: 'event', event });
  }

  #resync(): void {
    this.#leftOut = false;
    this.#events++;
    const linked = Array.from(this.#parts.port.linked(), ([peer, session]) => this.#link(peer, session));
    this.#say({ type: 'resync', linked });
  }

  #mirror(): void {
    if (this.#closing) return;
    if (this.#mirrors === 0) {
      this.#mirrors++;
      const { peers, partition, metrics } = this.#parts;
      this.#say({ type: 'mirror', mirror: { peers: peers(), partition: partition(), metrics: metrics() } });
    }
    this.#timer = this.#environment.setTimer(MIRROR_MS, () => this.#mirror());
  }

  #say(item: FromMesh): void {
    this.#channel.say(item);
  }
}
