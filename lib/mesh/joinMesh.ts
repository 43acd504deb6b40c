import { nodeEnvironment } from '../environment.js';
import type { Environment } from '../environment.js';
import { QuorateError, checkName, checkNumber, configError } from '../errors.js';
import { heartbeatTimeout } from '../failure/heartbeatTimeout.js';
import { FrameRouter } from './frameRouter.js';
import { Heartbeats } from './heartbeats.js';
import { newIncarnation } from './incarnation.js';
import { resolveLimits } from './limits.js';
import type { LinkLimits } from './limits.js';
import { Mesh } from './mesh.js';
import type { MeshSink } from './mesh.js';
import { newCounters } from './metrics.js';
import { Peers } from './peers.js';
import { resolveSecret } from './secret.js';
import type { ClusterSecret } from './secret.js';
import type { Transport, TransportSession } from './transport.js';

/** Options of {@link joinMesh}. */
export interface JoinMeshOptions {
  /** This node's name, unique in its cluster: 1 to 128 characters out of `A-Z a-z 0-9 . _ : @ -`. */
  readonly id: string;
  /** The cluster's name, spelled like an id. Nodes of other clusters are refused. */
  readonly cluster: string;
  /** What members prove to each other; `undefined` is an error, `false` opens the door. See {@link ClusterSecret}. */
  readonly secret: ClusterSecret | undefined;
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
     * Silence in milliseconds after which a link is thrown away and set up anew, at least twice the interval, at most
     * 600 000. Half of it makes the peer suspect.
     * @defaultValue 1500
     */
    readonly timeoutMs?: number;
  };
  /** Caps of each link. */
  readonly limits?: LinkLimits;
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
  const timeoutMs = options.heartbeat?.timeoutMs ?? Math.max(1500, 2 * intervalMs);
  checkNumber('heartbeat.timeoutMs', timeoutMs, 2 * intervalMs, 600_000, false);
  const limits = resolveLimits(options.limits);
  const { signal } = options;
  throwIfAborted(signal);
  const keys = await resolveSecret(options.secret, cluster);
  throwIfAborted(signal);

  const environment = options.environment ?? nodeEnvironment;
  const incarnation = newIncarnation(environment);
  const counters = newCounters();
  // What happens before the caller can have put its listeners on waits for a turn.
  let sink: MeshSink | undefined;
  let waiting: ((to: MeshSink) => void)[] | undefined = [];
  const tell = (event: (to: MeshSink) => void): void => {
    if (waiting === undefined) event(sink!);
    else if (waiting.length < 1000) waiting.push(event);
  };
  const onWarning = (error: Error): void => tell((to) => to.warning(error));

  let connect: TransportSession['connect'] = () => undefined; // a call that comes too early is made again
  const router = new FrameRouter({ id, cluster, environment, counters, onWarning });
  const peers = new Peers({
    id,
    cluster,
    incarnation,
    keys,
    environment,
    limits,
    detector: heartbeatTimeout({ timeoutMs }),
    intervalMs,
    counters,
    connect: (peer) => connect(peer),
    host: {
      onFrame: (peer, link, kind, frame) => router.onFrame(peer, link, kind, frame),
      onPeer: (peer, up, link) => router.onPeer(peer, up, link),
      onState: (peer, state) => tell((to) => to.state(peer, state)),
      onRefused: (peer, error) => tell((to) => to.refused(peer, error)),
      onWarning,
    },
  });
  router.attach(peers);
  const session = await transport.start({
    id,
    cluster,
    incarnation,
    environment,
    onLink: (link) => peers.admit(link),
    onPresence: (peer, present) => peers.seen(peer, present),
    route: () => false,
    onWarning,
  });
  connect = (peer) => session.connect(peer);
  const heartbeats = new Heartbeats({
    intervalMs,
    environment,
    peers,
    counters,
    onStall: (ms) => tell((to) => to.stall(ms)),
  });
  // An open mesh is a server: it keeps its process alive also while rendezvous and peers are out of reach.
  const alive = environment.hold();
  const shutDown = async (): Promise<void> => {
    signal?.removeEventListener('abort', close);
    heartbeats.close();
    peers.close();
    try {
      await session.close();
    } finally {
      alive.cancel();
    }
  };
  const mesh = new Mesh({
    id,
    environment,
    peers,
    port: router,
    counters,
    attach: (to) => (sink = to),
    shutDown,
  });
  const close = (): void => void mesh.close();
  if (signal?.aborted === true) {
    await mesh.close();
    throwIfAborted(signal);
  }
  signal?.addEventListener('abort', close, { once: true });
  environment.defer(() => {
    const told = waiting ?? [];
    waiting = undefined;
    for (const event of told) event(sink!);
  });
  return mesh;
}

function checkTransport(transport: unknown): Transport {
  const start = (transport as { readonly start?: unknown } | undefined | null)?.start;
  if (typeof start !== 'function')
    throw configError('transport', transport, 'a transport such as webrtc({ … })');
  return transport as Transport;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new QuorateError('ERR_ABORTED', 'joining the mesh was aborted', { cause: signal.reason });
  }
}
