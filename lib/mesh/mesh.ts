/** The mesh as its user sees it: who this process can talk to. */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment, Timer } from '../environment.js';
import { QuorateError, checkName, checkNumber, configError } from '../errors.js';
import { Emitter } from '../events.js';
import type { PartitionView } from '../failure/partition.js';
import type { Channel } from '../threads/line.js';
import type { MeshIdentity } from './credentials.js';
import type { MeshMetrics } from './metrics.js';
import type { PeerState } from './peer.js';
import type { MeshPort } from './port.js';

/** What a mesh knows of a peer. */
export interface PeerStatus {
  readonly id: NodeId;
  /**
   * - `connecting`: seen at the rendezvous, no link yet;
   * - `up`: linked and authenticated, over a link of its own or over other members;
   * - `suspect`: linked, but silent for improbably long, or reached by others only; it is being probed;
   * - `unreachable`: the link was lost, and no way over other members is known; the mesh tries to set it up again.
   */
  readonly state: PeerState;
  /** How frames reach it: over a link of its own, in sealed packets that other members carry, or not at all. */
  readonly path: 'direct' | 'relayed' | 'none';
  /** How improbable its present silence is; see {@link FailureMonitor.phi}. 0 when just heard; `undefined` without a link. */
  readonly phi: number | undefined;
  /** The public key that it proved to hold, while it is linked; `undefined` if it has none. */
  readonly publicKey: string | undefined;
  /** Smoothed round trip in milliseconds, measured by heartbeats; `undefined` before the first measurement. */
  readonly rttMs: number | undefined;
}

/** The events of a {@link Mesh} and their arguments. */
export interface MeshEvents {
  /** A peer's link is up, or a suspect peer was heard again. */
  'peer:up': [peer: NodeId];
  /** A linked peer has been silent for improbably long, or answers other members only. */
  'peer:suspect': [peer: NodeId];
  /** A linked peer is reached another way than before: over other members while its direct link is cut, or directly again. */
  'peer:path': [peer: NodeId, path: 'direct' | 'relayed'];
  /** A peer's link is gone: closed, lost, or thrown away after the heartbeat time-out. */
  'peer:unreachable': [peer: NodeId];
  /**
   * A handshake was refused, by this side or (message "refuses this node") by the other. The codes are `ERR_PEER_SECRET`,
   * `ERR_PEER_KEY`, `ERR_PEER_STRANGER`, `ERR_PEER_FINGERPRINT`, `ERR_PEER_REPLAY`, `ERR_PEER_VERSION`, `ERR_PEER_PROTOCOL`,
   * `ERR_PEER_DUPLICATE` and `ERR_PEER_TIMEOUT`.
   */
  'peer:refused': [peer: NodeId, error: QuorateError];
  /** Who reaches whom has changed: the state, or the components. */
  'partition:changed': [view: PartitionView];
  /** This process itself stood still for so many milliseconds: nobody is judged by that silence. */
  'local:stall': [ms: number];
  /** Something that a person should know; the mesh goes on. At most ten a second are told. */
  warning: [error: Error];
}

/** What a mesh is made of. @internal */
export interface MeshParts {
  readonly id: NodeId;
  readonly identity: MeshIdentity;
  readonly environment: Environment;
  readonly port: MeshPort;
  readonly peers: () => PeerStatus[];
  readonly partition: () => PartitionView;
  readonly metrics: () => MeshMetrics;
  /** Where the parts are in another thread: the way to what lives on the mesh there. */
  readonly engine?: Channel | undefined;
  /** Hands over how the parts raise events. */
  readonly attach: (sink: MeshSink) => void;
  /** Stops everything below; called once. */
  readonly shutDown: () => Promise<void>;
}

/** Where the parts of a mesh raise events. @internal */
export interface MeshSink {
  state(peer: NodeId, state: 'up' | 'suspect' | 'unreachable'): void;
  path(peer: NodeId, path: 'direct' | 'relayed'): void;
  partition(view: PartitionView): void;
  refused(peer: NodeId, error: QuorateError): void;
  stall(ms: number): void;
  warning(error: Error): void;
  /** A link is up; said where the mesh is in another thread, and its links are told of apart from its events. */
  linked(): void;
  /** The thread that the mesh was in has ended. */
  failed(error: Error): void;
}

interface Waiter {
  readonly done: () => boolean;
  readonly settle: (error?: QuorateError) => void;
}

interface Inner {
  readonly port: MeshPort;
  readonly environment: Environment;
  readonly engine: Channel | undefined;
  readonly closing: Set<() => Promise<void>>;
}
const inners = new WeakMap<Mesh, Inner>();

const maxWarningsPerSecond = 10;

/**
 * Who this process can talk to: authenticated links to peers of one cluster, and how they fare. Made by {@link joinMesh};
 * carries any number of replicas.
 */
export class Mesh extends Emitter<MeshEvents> {
  /** This node's id. */
  readonly id: NodeId;
  /** Resolves when the mesh has closed. */
  readonly closed: Promise<void>;
  readonly #parts: MeshParts;
  readonly #closing = new Set<() => Promise<void>>();
  readonly #waiters = new Set<Waiter>();
  readonly #resolveClosed: () => void;
  #closeCalled = false;
  #warnings = 0;
  #warningsSince = 0;

  /** @internal */
  constructor(parts: MeshParts) {
    super();
    this.id = parts.id;
    this.#parts = parts;
    let resolveClosed!: () => void;
    this.closed = new Promise((resolve) => (resolveClosed = resolve));
    this.#resolveClosed = resolveClosed;
    const { port, environment, engine } = parts;
    inners.set(this, { port, environment, engine, closing: this.#closing });
    parts.attach({
      state: (peer, state) => this.#state(peer, state),
      path: (peer, path) => this.#emitOpen('peer:path', peer, path),
      partition: (view) => this.#emitOpen('partition:changed', view),
      refused: (peer, error) => this.#emitOpen('peer:refused', peer, error),
      stall: (ms) => this.#emitOpen('local:stall', ms),
      warning: (error) => this.#warn(error),
      linked: () => this.#lookAtWaiters(),
      failed: (error) => {
        this.#warn(error);
        void this.close();
      },
    });
  }

  /** What this node proves itself with, and whom it lets in; to be changed while the mesh runs. */
  get identity(): MeshIdentity {
    return this.#parts.identity;
  }

  /** The peers that were ever seen at the rendezvous or linked, in no order; the least useful are forgotten above 1024. */
  peers(): PeerStatus[] {
    return this.#parts.peers();
  }

  /**
   * Waits until so many peers, or all of those peers, are linked.
   *
   * @param peers - how many peers (this node not counted), or their ids
   * @param options - `timeout` in milliseconds, 1 to 2^31 - 1 (default: none), and a `signal`
   * @throws QuorateError `ERR_TIMEOUT`, `ERR_ABORTED`, `ERR_CLOSED`, or `ERR_CONFIG`.
   *
   * @example
   * ```ts
   * await mesh.waitFor(['b', 'c'], { timeout: 5000 });
   * ```
   */
  async waitFor(
    peers: number | readonly NodeId[],
    options: { readonly timeout?: number; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const sessions = this.#parts.port.linked();
    const wanted = typeof peers === 'number' ? checkNumber('peers', peers, 0, 1024) : this.#checkIds(peers);
    const { timeout, signal } = options;
    if (timeout !== undefined) checkNumber('timeout', timeout, 1, 2 ** 31 - 1, false);
    const done =
      typeof wanted === 'number'
        ? () => sessions.size >= wanted
        : () => wanted.every((id) => sessions.has(id));
    if (this.#closeCalled) throw closedError();
    if (signal?.aborted === true) throw abortError(signal);
    if (done()) return;
    await new Promise<void>((resolve, reject) => {
      let timer: Timer | undefined;
      const waiter: Waiter = {
        done,
        settle: (error) => {
          this.#waiters.delete(waiter);
          timer?.cancel();
          signal?.removeEventListener('abort', aborted);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      const aborted = (): void => waiter.settle(abortError(signal));
      signal?.addEventListener('abort', aborted, { once: true });
      if (timeout !== undefined) {
        timer = this.#parts.environment.setTimer(timeout, () =>
          waiter.settle(
            new QuorateError('ERR_TIMEOUT', `waitFor: ${sessions.size} peers are up after ${timeout} ms`),
          ),
        );
      }
      this.#waiters.add(waiter);
    });
  }

  /** How the mesh is connected, as this node knows it: who hears whom, which members form a part that holds together. */
  partition(): PartitionView {
    return this.#parts.partition();
  }

  /** What this mesh has counted. Cheap; call it as often as you like. */
  metrics(): MeshMetrics {
    return this.#parts.metrics();
  }

  /**
   * Closes what lives on this mesh, then its links (the peers are told), then the rendezvous. The process ends by itself when
   * nothing else keeps it alive. Safe to call again.
   */
  close(): Promise<void> {
    if (!this.#closeCalled) {
      this.#closeCalled = true;
      for (const waiter of [...this.#waiters]) waiter.settle(closedError());
      void this.#close().then(this.#resolveClosed);
    }
    return this.closed;
  }

  /** The same as {@link Mesh.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const tenants = Array.from(this.#closing, async (callback) => callback());
    for (const result of await Promise.allSettled(tenants)) {
      if (result.status === 'rejected') this.#warn(asError(result.reason));
    }
    try {
      await this.#parts.shutDown();
    } catch (error) {
      this.#warn(asError(error));
    }
    this.removeAllListeners();
  }

  #checkIds(ids: readonly NodeId[]): readonly NodeId[] {
    if (!Array.isArray(ids)) throw configError('peers', ids, 'a number or a list of node ids');
    return (ids as readonly unknown[]).map((id) => {
      if (checkName('peers', id) !== this.id) return id as NodeId;
      throw configError('peers', id, "other nodes' ids, not this node's own");
    });
  }

  #state(peer: NodeId, state: 'up' | 'suspect' | 'unreachable'): void {
    this.#lookAtWaiters();
    this.#emitOpen(`peer:${state}`, peer);
  }

  #lookAtWaiters(): void {
    for (const waiter of [...this.#waiters]) if (waiter.done()) waiter.settle();
  }

  #emitOpen<K extends keyof MeshEvents>(event: K, ...args: MeshEvents[K]): void {
    if (!this.#closeCalled) this.emit(event, ...args);
  }

  #warn(error: Error): void {
    const now = this.#parts.environment.now();
    if (now - this.#warningsSince > 1000) {
      this.#warningsSince = now;
      this.#warnings = 0;
    }
    if (++this.#warnings <= maxWarningsPerSecond) this.emit('warning', error);
  }
}

/** How inner layers reach the port of a mesh. @internal */
export function meshPort(mesh: Mesh): MeshPort {
  return innerOf(mesh).port;
}

/** The way to the engine of a mesh that lives in another thread. @internal */
export function meshEngine(mesh: Mesh): Channel | undefined {
  return innerOf(mesh).engine;
}

/** The environment that a mesh was joined with, for what lives on it. @internal */
export function meshEnvironment(mesh: Mesh): Environment {
  return innerOf(mesh).environment;
}

/** Has `callback` called, and waited for, when the mesh closes, before its links do. Returns how to take that back. @internal */
export function onClosing(mesh: Mesh, callback: () => Promise<void>): () => void {
  const { closing } = innerOf(mesh);
  closing.add(callback);
  return () => void closing.delete(callback);
}

function innerOf(mesh: Mesh): Inner {
  const inner = inners.get(mesh);
  if (inner === undefined) throw configError('mesh', mesh, 'a mesh made by joinMesh');
  return inner;
}

function closedError(): QuorateError {
  return new QuorateError('ERR_CLOSED', 'the mesh was closed');
}

function abortError(signal: AbortSignal | undefined): QuorateError {
  return new QuorateError('ERR_ABORTED', 'the wait was aborted', { cause: signal?.reason });
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new QuorateError('ERR_INTERNAL', String(value), { cause: value });
}
