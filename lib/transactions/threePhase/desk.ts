/** Where the frames of sites arrive on a node, and who else has its sites open. One a mesh, made with its first sites. @internal */
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { meshEnvironment, meshPort, type Mesh } from '../../mesh/mesh.js';
import { FrameKind, type MeshPort } from '../../mesh/port.js';
import { decodeMessage, encodeMessage, type Message } from './wire.js';

/** The sites of a node. */
export interface SiteTenant {
  readonly incarnation: string;
  /** `false`: the message breaks the protocol, and its sender loses its link. */
  receive(peer: string, message: Exclude<Message, { kind: 'hello' }>): boolean;
  /** A node has its sites open, and is linked. */
  met(peer: string): void;
}

const desks = new WeakMap<Mesh, SiteDesk>();

/** The desk of a mesh. */
export function siteDeskOf(mesh: Mesh): SiteDesk {
  let desk = desks.get(mesh);
  if (desk === undefined) desks.set(mesh, (desk = new SiteDesk(meshPort(mesh), meshEnvironment(mesh))));
  return desk;
}

export class SiteDesk {
  readonly port: MeshPort;
  readonly environment: Environment;
  /** The incarnations of the linked nodes whose sites are open. */
  readonly #open = new Map<string, string>();
  #tenant: SiteTenant | undefined;

  constructor(port: MeshPort, environment: Environment) {
    this.port = port;
    this.environment = environment;
    port.handle(FrameKind.site, (peer, _session, frame) => this.#receive(peer, frame));
    port.listen({
      onPeer: (peer, up) => {
        this.#open.delete(peer);
        if (up && this.#tenant) this.send(peer, { kind: 'hello', incarnation: this.#tenant.incarnation });
      },
    });
  }

  /** Whether there are sites open here. */
  get taken(): boolean {
    return this.#tenant !== undefined;
  }

  /** The incarnation of a node's sites, if they are open and it is linked. */
  incarnationOf(peer: string): string | undefined {
    return this.#open.get(peer);
  }

  /** The function that it returns ends it. */
  open(tenant: SiteTenant): () => void {
    this.#tenant = tenant;
    this.#greet(tenant.incarnation);
    // They may have said so before anybody here was interested.
    for (const peer of this.#open.keys()) tenant.met(peer);
    return () => {
      this.#tenant = undefined;
      this.#greet('');
    };
  }

  send(peer: string, message: Message): void {
    // All on one lane: a node that says it is through says it after all else that it had to say.
    this.port.send(peer, FrameKind.site, encodeMessage(message), { lane: 'control' });
  }

  #greet(incarnation: string): void {
    for (const peer of this.port.linked().keys()) this.send(peer, { kind: 'hello', incarnation });
  }

  #receive(peer: string, frame: Uint8Array): boolean {
    let message: Message;
    try {
      message = decodeMessage(frame);
    } catch (error) {
      if (error instanceof QuorateError && error.code === 'ERR_CODEC') return false;
      throw error;
    }
    if (message.kind !== 'hello') return this.#tenant?.receive(peer, message) ?? true;
    if (message.incarnation === '') this.#open.delete(peer);
    else {
      this.#open.set(peer, message.incarnation);
      this.#tenant?.met(peer);
    }
    return true;
  }
}
