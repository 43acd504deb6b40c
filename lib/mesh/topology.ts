/** What this node knows of the whole mesh: its own links told to the others, theirs believed, and ways found through them. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import { Connectivity } from '../failure/connectivity.js';
import { PartitionDetector } from '../failure/partitionDetector.js';
import type { PartitionView } from '../failure/partition.js';
import { RowGossip } from '../failure/rowsGossip.js';
import { isIncarnation } from './incarnation.js';
import type { Peer } from './peer.js';
import type { Peers } from './peers.js';
import type { Routes } from './relay/router.js';

/** What a {@link Topology} is made with. */
export interface TopologyOptions {
  readonly id: NodeId;
  readonly incarnation: string;
  readonly environment: Environment;
  readonly heartbeatMs: number;
  readonly peers: Peers;
  /** Whether a node with that id could be let in. @defaultValue everybody */
  readonly admits?: (id: NodeId) => boolean;
  /** Sends a gossip frame over the direct link to a neighbour. */
  readonly send: (peer: NodeId, message: Uint8Array) => void;
  readonly onPartition: (view: PartitionView) => void;
}

export class Topology implements Routes {
  readonly connectivity: Connectivity;
  readonly partition: PartitionDetector;
  readonly #options: TopologyOptions;
  readonly gossip: RowGossip;
  /** Members that others hear, as the peers were told last. */
  readonly #known = new Set<NodeId>();
  #seenChanges = -1;
  #due = false;
  #left = false;

  constructor(options: TopologyOptions) {
    const { id, incarnation, heartbeatMs, peers, admits, send, onPartition } = options;
    this.#options = options;
    this.connectivity = new Connectivity({ id, incarnation, heartbeatMs, ...(admits && { admits }) });
    this.gossip = new RowGossip({
      connectivity: this.connectivity,
      isIncarnation,
      send,
      neighbours: () => neighboursOf(peers),
    });
    this.partition = new PartitionDetector({
      connectivity: this.connectivity,
      now: options.environment.now(),
      onChange: onPartition,
    });
  }

  next(to: NodeId, { over }: { readonly over: boolean }): NodeId | undefined {
    return over ? this.connectivity.hopAround(to) : this.connectivity.nextHop(to);
  }

  helpers(peer: NodeId, count: number): readonly NodeId[] {
    return this.connectivity.helpers(peer, count);
  }

  /** What this node hears of a peer may have changed. */
  changed(peer: Peer): void {
    const now = this.#options.environment.now();
    const { link } = peer;
    const direct = link?.path === 'direct' && !peer.bad;
    this.connectivity.proven(peer.id, link?.incarnation);
    if (peer.deaf && link?.path !== 'direct') this.connectivity.deaf(peer.id, now);
    else this.connectivity.set(peer.id, { hears: direct, pending: !peer.tried, phi: 0 }, now);
    if (direct && link.received === 0) this.gossip.linked(peer.id, now);
    else if (!direct) this.gossip.unlinked(peer.id);
    this.#later();
  }

  /** A peer said farewell. */
  left(peer: NodeId): void {
    this.connectivity.remove(peer);
    this.#later();
  }

  /** The rules of who could be let in have changed. */
  review(): void {
    this.connectivity.review();
    this.#later();
  }

  onDigest(peer: NodeId, digest: number): void {
    this.gossip.digest(peer, digest, this.#options.environment.now());
  }

  /** A gossip frame of a neighbour. `false`: it makes no sense. */
  onFrame(peer: NodeId, message: Uint8Array): boolean {
    try {
      this.gossip.receive(peer, message, this.#options.environment.now());
    } catch {
      return false;
    }
    this.#later();
    return true;
  }

  /** Once a heartbeat, before it is sent. */
  beat(now: number): void {
    for (const link of this.#options.peers.links()) {
      if (link.path === 'direct' && this.#options.peers.get(link.peer)?.bad === false)
        this.connectivity.set(link.peer, { hears: true, phi: link.phi(now) }, now);
    }
    this.connectivity.tick(now);
    this.gossip.publish();
    this.#look(now);
  }

  /** A group of this node counts on these voters; `undefined` when it is closed. */
  expect(group: string, voters: readonly NodeId[] | undefined): void {
    if (this.#left) return;
    this.partition.expect(group, voters, this.#options.environment.now());
    this.connectivity.expect(this.partition.expected);
  }

  /** This process stood still. */
  excuse(ms: number, now: number): void {
    this.partition.excuse(ms, now);
  }

  /** Says farewell to the neighbours. */
  leave(): void {
    this.#left = true;
    this.connectivity.leave();
    this.gossip.publish();
  }

  /** Many changes come in one turn: one row tells of them all. */
  #later(): void {
    if (this.#due) return;
    this.#due = true;
    const { environment } = this.#options;
    environment.defer(() => {
      this.#due = false;
      this.gossip.publish();
      this.#look(environment.now());
    });
  }

  #look(now: number): void {
    this.partition.tick(now);
    const { changes } = this.connectivity;
    if (changes === this.#seenChanges) return;
    this.#seenChanges = changes;
    const { id, peers } = this.#options;
    const heard = new Set<NodeId>();
    for (const row of this.connectivity.rows()) if (row.from !== id && !row.left) heard.add(row.from);
    for (const peer of [...this.#known]) {
      if (heard.has(peer)) continue;
      this.#known.delete(peer);
      peers.known(peer, false);
    }
    for (const peer of heard) {
      this.#known.add(peer);
      peers.known(peer, true);
    }
  }
}

function* neighboursOf(peers: Peers): Iterable<NodeId> {
  for (const link of peers.links()) if (link.path === 'direct') yield link.peer;
}
