/** Links inside one process: for tests, examples, and several nodes in one program. */
import type { NodeId } from '../../consensus/consensus.js';
import { described } from '../../description.js';
import { QuorateError, checkName, checkNumber, configError } from '../../errors.js';
import type { Transport, TransportHost, TransportSession } from '../transport.js';
import { connectMemoryLinks } from './link.js';
import type { MemoryLink } from './link.js';

/** Options of {@link memoryNetwork}. */
export interface MemoryNetworkOptions {
  /**
   * How long each message travels, in milliseconds, 0 to 60 000. 0: until a later turn of the event loop.
   * @defaultValue 0
   */
  readonly latencyMs?: number;
}

/** A network inside this process, and what a test can do to it. */
export interface MemoryNetwork extends Transport {
  /**
   * Cuts the wire between two nodes, both ways: nothing arrives and nobody is told, as when a cable is pulled. What is sent
   * meanwhile arrives after {@link MemoryNetwork.heal} if the link still lives. New links cannot be made.
   */
  cut(a: NodeId, b: NodeId): void;
  /** Mends one cut, or all of them. */
  heal(a?: NodeId, b?: NodeId): void;
  /** Changes the latency, in milliseconds, for messages sent from now on. */
  setLatency(ms: number): void;
}

/**
 * A network inside this process. Give the same one to several {@link joinMesh} calls; nodes of one cluster find each other.
 * Messages are copied, and arrive in order in a later turn.
 *
 * @throws QuorateError `ERR_CONFIG`.
 *
 * @example
 * ```ts
 * const network = memoryNetwork();
 * const a = await joinMesh({ id: 'a', cluster: 'test', secret: false, transport: network });
 * const b = await joinMesh({ id: 'b', cluster: 'test', secret: false, transport: network });
 * await a.waitFor(['b']);
 * ```
 */
export function memoryNetwork(options: MemoryNetworkOptions = {}): MemoryNetwork {
  const latencyMs = checkLatency('latencyMs', options.latencyMs ?? 0);
  return described(new Network(latencyMs), 'memoryNetwork', [{ latencyMs }]);
}

function checkLatency(name: string, value: unknown): number {
  return checkNumber(name, value, 0, 60_000, false);
}

/** What a test can do to a network. @internal */
export type MemoryNetworkControls = Pick<MemoryNetwork, 'cut' | 'heal' | 'setLatency'>;

/**
 * Has another network, in another thread, do as this one is told, from the present state on. Returns how to end that.
 *
 * @throws QuorateError `ERR_CONFIG` where meshes of this thread use it: the two networks are not connected.
 * @internal
 */
export function followNetwork(
  transport: Transport,
  follower: MemoryNetworkControls,
): (() => void) | undefined {
  return transport instanceof Network ? transport.follow(follower) : undefined;
}

/** What links and sessions ask of the network. @internal */
export interface Wire {
  readonly latencyMs: number;
  isCut(a: NodeId, b: NodeId): boolean;
  /** Calls back when the cut between two nodes is mended. */
  whenHealed(callback: () => void): void;
}

const inTwoThreads = 'the same for all meshes of one memoryNetwork()';

class Network implements MemoryNetwork, Wire {
  readonly kind = 'memory';
  readonly #sessions = new Map<string, Session>();
  readonly #cuts = new Set<string>();
  readonly #followers = new Set<MemoryNetworkControls>();
  #healed: (() => void)[] = [];
  #latencyMs: number;

  constructor(latencyMs: number) {
    this.#latencyMs = latencyMs;
  }

  get latencyMs(): number {
    return this.#latencyMs;
  }

  follow(follower: MemoryNetworkControls): () => void {
    if (this.#sessions.size > 0) throw configError('thread', 'worker', inTwoThreads);
    this.#followers.add(follower);
    follower.setLatency(this.#latencyMs);
    for (const cut of this.#cuts) {
      const [a, b] = cut.split(' ') as [string, string];
      follower.cut(a, b);
    }
    return () => void this.#followers.delete(follower);
  }

  start(host: TransportHost): Promise<TransportSession> {
    if (this.#followers.size > 0) return Promise.reject(configError('thread', 'main', inTwoThreads));
    const key = keyOf(host.cluster, host.id);
    const session = new Session(host, this, () => {
      // A newer run of the same id may have taken the place.
      if (this.#sessions.get(key) === session) {
        this.#sessions.delete(key);
        this.#announce(session, false);
      }
    });
    this.#sessions.set(key, session);
    this.#announce(session, true);
    return Promise.resolve(session);
  }

  find(cluster: string, id: NodeId): Session | undefined {
    return this.#sessions.get(keyOf(cluster, id));
  }

  cut(a: NodeId, b: NodeId): void {
    this.#cuts.add(pairOf(checkName('a', a), checkName('b', b)));
    for (const follower of this.#followers) follower.cut(a, b);
  }

  heal(a?: NodeId, b?: NodeId): void {
    if ((a === undefined) !== (b === undefined))
      throw new QuorateError('ERR_CONFIG', 'heal takes both ids or none');
    if (a === undefined || b === undefined) this.#cuts.clear();
    else this.#cuts.delete(pairOf(a, b));
    for (const follower of this.#followers) follower.heal(a, b);
    const healed = this.#healed;
    this.#healed = [];
    for (const callback of healed) callback();
  }

  setLatency(ms: number): void {
    this.#latencyMs = checkLatency('ms', ms);
    for (const follower of this.#followers) follower.setLatency(ms);
  }

  isCut(a: NodeId, b: NodeId): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(pairOf(a, b));
  }

  whenHealed(callback: () => void): void {
    this.#healed.push(callback);
  }

  #announce(session: Session, present: boolean): void {
    const { cluster, environment } = session.host;
    const others = [...this.#sessions.values()].filter(
      (other) => other.host.cluster === cluster && other !== session,
    );
    for (const other of others) {
      other.host.environment.defer(() => other.presence(session.host.id, present));
      if (present) environment.defer(() => session.presence(other.host.id, true));
    }
  }
}

class Session implements TransportSession {
  readonly host: TransportHost;
  readonly #network: Network;
  readonly #gone: () => void;
  readonly #links = new Set<MemoryLink>();
  #closed = false;

  constructor(host: TransportHost, network: Network, gone: () => void) {
    this.host = host;
    this.#network = network;
    this.#gone = gone;
  }

  presence(peer: NodeId, present: boolean): void {
    if (!this.#closed) this.host.onPresence(peer, present);
  }

  /** The side that does not offer may ask too: here that is the same as offering. */
  connect(peer: NodeId): void {
    this.host.environment.defer(() => this.#connect(peer));
  }

  /** Nothing is set up by texts here. */
  routed(): void {
    // The network itself is the rendezvous.
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const link of [...this.#links]) link.close();
      this.#gone();
    }
    return Promise.resolve();
  }

  #connect(peer: NodeId): void {
    const other = this.#network.find(this.host.cluster, peer);
    if (this.#closed || other === undefined || other.#closed || other === this) return;
    if (this.#network.isCut(this.host.id, peer)) return;
    for (const link of this.#links) if (link.partner === other) return; // set up already
    const [offerer, answerer] = this.host.id < peer ? [this, other] : [other, this];
    const [near, far] = connectMemoryLinks(this.#network, [offerer.host, answerer.host], [offerer, answerer]);
    offerer.#adopt(near);
    answerer.#adopt(far);
  }

  #adopt(link: MemoryLink): void {
    this.#links.add(link);
    link.onGone = () => this.#links.delete(link);
    this.host.onLink(link);
  }
}

function keyOf(cluster: string, id: NodeId): string {
  return `${cluster} ${id}`;
}

function pairOf(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
