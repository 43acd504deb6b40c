/** The peers that a mesh knows of: as many as it has room for. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import { QuorateError } from '../errors.js';
import { Peer } from './peer.js';

const maxPeers = 1024;

/** What a {@link Roster} is made with. */
export interface RosterOptions {
  readonly id: NodeId;
  readonly environment: Environment;
  /** Asks the transport for a direct link. */
  readonly connect: (peer: NodeId) => void;
  /** Asks for a relayed link. */
  readonly relay: (peer: NodeId) => void;
  readonly host: { onWarning(error: Error): void };
}

export class Roster {
  readonly #options: RosterOptions;
  readonly #peers = new Map<NodeId, Peer>();

  constructor(options: RosterOptions) {
    this.#options = options;
  }

  get(id: NodeId): Peer | undefined {
    return this.#peers.get(id);
  }

  all(): IterableIterator<Peer> {
    return this.#peers.values();
  }

  /** A peer, which is taken in if need be and there is room. `hearsay`: gossip alone knows of it. */
  take(id: NodeId, hearsay = false): Peer | undefined {
    const known = this.#peers.get(id);
    if (known !== undefined) return known;
    if (this.#peers.size >= maxPeers && !this.#forgetOne(hearsay)) {
      if (!hearsay) {
        this.#options.host.onWarning(
          new QuorateError('ERR_PEER_STRANGER', `more than ${maxPeers} peers: ${id} is left out`),
        );
      }
      return undefined;
    }
    const peer = new Peer({
      id,
      offers: this.#options.id < id,
      environment: this.#options.environment,
      connect: () => this.#options.connect(id),
      relay: () => this.#options.relay(id),
    });
    this.#peers.set(id, peer);
    return peer;
  }

  /** Forgets a peer that nobody knows of any more, else one that only gossip knows, if it is not for another such. */
  #forgetOne(hearsay: boolean): boolean {
    let found: Peer | undefined;
    for (const peer of this.#peers.values()) {
      if (!hearsay && peer.hearsay) found ??= peer;
      if (!peer.forgettable) continue;
      found = peer;
      break;
    }
    if (found === undefined) return false;
    found.close();
    return this.#peers.delete(found.id);
  }
}
