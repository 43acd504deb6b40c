import { nodeEnvironment } from '../environment.js';
import type { Environment } from '../environment.js';
import { QuorateError, checkName, checkNumber, configError } from '../errors.js';
import type { FailureDetector } from '../failure/failureDetector.js';
import { heartbeatTimeout } from '../failure/heartbeatTimeout.js';
import { phiAccrual } from '../failure/phiAccrual.js';
import { assembleMesh } from './assemble.js';
import { Credentials, fetchIdentity } from './credentials.js';
import type { IdentityOptions } from './credentials.js';
import { resolveLimits } from './limits.js';
import type { LinkLimits } from './limits.js';
import { Mesh } from './mesh.js';
import { fetchSecret, type ClusterSecret } from './secret.js';
import { joinFar } from './thread/joinFar.js';
import type { Transport } from './transport.js';

/** Options of {@link joinMesh}. */
export interface JoinMeshOptions {
  /** This node's name, unique in its cluster: 1 to 128 characters out of `A-Z a-z 0-9 . _ : @ -`. */
  readonly id: string;
  /** The cluster's name, spelled like an id. Nodes of other clusters are refused. */
  readonly cluster: string;
  /** What members prove to each other; `undefined` is an error, `false` opens the door. See {@link ClusterSecret}. */
  readonly secret: ClusterSecret | undefined;
  /**
   * This node's own key pair, and whose keys get in; see the guide on identity.
   * @defaultValue none: whoever holds the secret is a member
   */
  readonly identity?: IdentityOptions;
  /** What carries bytes: `webrtc(…)` or `memoryNetwork()`. */
  readonly transport: Transport;
  /** How silence is noticed. */
  readonly heartbeat?: {
    /**
     * Milliseconds between heartbeats, 10 to 60 000.
     * @defaultValue 250
     */
    readonly intervalMs?: number;
    /**
     * Short for `failureDetector: heartbeatTimeout({ timeoutMs })`: a fixed silence in milliseconds after which a link is
     * thrown away and set up anew, at least twice the interval, at most 600 000.
     * @defaultValue undefined
     */
    readonly timeoutMs?: number;
  };
  /**
   * What takes a silent peer for dead: `phiAccrual(…)`, `heartbeatTimeout(…)`, or one of your own.
   * @defaultValue phiAccrual()
   */
  readonly failureDetector?: FailureDetector;
  /**
   * Whether peers that this node cannot reach directly are reached over other members, end-to-end encrypted. A node that does
   * not want relayed links for itself still carries those of others.
   * @defaultValue true
   */
  readonly relay?: boolean;
  /** Caps of each link. */
  readonly limits?: LinkLimits;
  /**
   * Where the engine of this node runs: links, consensus and storage. `'main'`: in this thread. `'worker'`: in a thread of its
   * own, one for all such meshes of the process, so that an app that blocks its event loop keeps its links and its leadership.
   * State machines, codecs and events stay here. What lives there has to be made by factories of this library, with options
   * free of functions; see the guide on the engine's thread.
   * @defaultValue 'main'
   */
  readonly thread?: 'main' | 'worker';
  /** Closes the mesh when it aborts. */
  readonly signal?: AbortSignal;
  /** @internal */
  readonly environment?: Environment;
}

/**
 * Joins the mesh of a cluster. Resolves when this node is ready; waits for no peer ({@link Mesh.waitFor} does). An open mesh
 * keeps the process alive; a closed one lets it end by itself.
 *
 * @throws QuorateError `ERR_SECRET_MISSING`, `ERR_SECRET_WEAK`, `ERR_CONFIG`, or `ERR_ABORTED`.
 *
 * @example
 * ```ts
 * const mesh = await joinMesh({
 *   id: 'a', cluster: 'orders', secret: process.env.CLUSTER_SECRET,
 *   transport: webrtc({ signaling: webSocketSignaling('ws://127.0.0.1:9000') }),
 * });
 * mesh.on('peer:up', (peer) => console.log(peer, 'is here'));
 * await mesh.waitFor(2);
 * ```
 */
export async function joinMesh(options: JoinMeshOptions): Promise<Mesh> {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw configError('options', options, 'an object');
  const id = checkName('id', options.id);
  const cluster = checkName('cluster', options.cluster);
  const transport = checkTransport(options.transport);
  const intervalMs = checkNumber(
    'heartbeat.intervalMs',
    options.heartbeat?.intervalMs ?? 250,
    10,
    60_000,
    false,
  );
  const detector = chooseDetector(options, intervalMs);
  const relay: unknown = options.relay ?? true;
  if (typeof relay !== 'boolean') throw configError('relay', relay, 'true or false');
  const limits = resolveLimits(options.limits);
  const { signal } = options;
  throwIfAborted(signal);
  const thread = checkThread(options);
  const plainSecret = await fetchSecret(options.secret);
  const plainIdentity = await fetchIdentity(options.identity);
  const credentials = await Credentials.resolve({
    ...{ id, cluster },
    ...{ secret: plainSecret, identity: plainIdentity },
  });
  throwIfAborted(signal);

  const environment = options.environment ?? nodeEnvironment;
  const plan = { id, cluster, credentials, transport, intervalMs, detector, relay, limits, environment };
  const parts =
    thread === 'worker' ? await joinFar(plan, plainSecret, plainIdentity) : await assembleMesh(plan);
  const mesh = new Mesh({
    ...parts,
    shutDown: () => {
      signal?.removeEventListener('abort', close);
      return parts.shutDown();
    },
  });
  const close = (): void => void mesh.close();
  if (signal?.aborted === true) {
    await mesh.close();
    throwIfAborted(signal);
  }
  signal?.addEventListener('abort', close, { once: true });
  return mesh;
}

/** A given detector; or the plain one, where only its time-out is given; or the default. */
function chooseDetector(options: JoinMeshOptions, intervalMs: number): FailureDetector {
  const { failureDetector, heartbeat } = options;
  if (failureDetector !== undefined) {
    if (typeof (failureDetector as { monitor?: unknown } | null)?.monitor !== 'function')
      throw configError('failureDetector', failureDetector, 'a detector such as phiAccrual({ … })');
    if (heartbeat?.timeoutMs !== undefined)
      throw configError(
        'heartbeat.timeoutMs',
        heartbeat.timeoutMs,
        'left out where a failureDetector is given',
      );
    return failureDetector;
  }
  const { timeoutMs } = heartbeat ?? {};
  if (timeoutMs === undefined) return phiAccrual();
  return heartbeatTimeout({
    timeoutMs: checkNumber('heartbeat.timeoutMs', timeoutMs, 2 * intervalMs, 600_000, false),
  });
}

function checkTransport(transport: unknown): Transport {
  const start = (transport as { readonly start?: unknown } | undefined | null)?.start;
  if (typeof start !== 'function')
    throw configError('transport', transport, 'a transport such as webrtc({ … })');
  return transport as Transport;
}

function checkThread({ thread = 'main', environment }: JoinMeshOptions): 'main' | 'worker' {
  if (!['main', 'worker'].includes(thread)) throw configError('thread', thread, "'main' or 'worker'");
  if (thread === 'worker' && environment !== undefined)
    throw configError('environment', environment, "left out where the mesh has thread: 'worker'");
  return thread;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new QuorateError('ERR_ABORTED', 'joining the mesh was aborted', { cause: signal.reason });
  }
}
