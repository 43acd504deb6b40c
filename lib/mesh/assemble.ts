/** Puts a mesh together out of its parts. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import type { FailureDetector } from '../failure/failureDetector.js';
import type { PartitionView } from '../failure/partition.js';
import type { Credentials } from './credentials.js';
import { FrameRouter } from './frameRouter.js';
import { Heartbeats } from './heartbeats.js';
import { newIncarnation } from './incarnation.js';
import type { ResolvedLimits } from './limits.js';
import type { MeshParts, MeshSink, PeerStatus } from './mesh.js';
import { newCounters } from './metrics.js';
import type { MeshMetrics } from './metrics.js';
import { newRelayCounters } from './relay/metrics.js';
import { Peers } from './peers.js';
import type { PeersHost } from './peers.js';
import { FrameKind } from './port.js';
import { Prober } from './prober.js';
import { DatagramKind } from './relay/datagrams.js';
import { RelayLinks } from './relay/relayLinks.js';
import { DatagramRouter } from './relay/router.js';
import { Topology } from './topology.js';
import type { Transport, TransportHost, TransportSession } from './transport.js';

/** What {@link assembleMesh} is given: checked options. */
export interface MeshPlan {
  readonly id: NodeId;
  readonly cluster: string;
  readonly credentials: Credentials;
  readonly transport: Transport;
  readonly intervalMs: number;
  readonly detector: FailureDetector;
  readonly relay: boolean;
  readonly limits: ResolvedLimits;
  readonly environment: Environment;
}

/** Most bytes of UTF-8 that a signalling text may have on its way through the mesh. */
const maxSignalBytes = 60 * 1024;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The parts of a mesh, at work. Events that come before the mesh has taken its place wait for a turn. */
export async function assembleMesh(plan: MeshPlan): Promise<MeshParts> {
  const { id, cluster, credentials, environment, intervalMs, limits } = plan;
  const incarnation = newIncarnation(environment);
  const counters = newCounters();
  const { tell, attach } = mailbox(environment);
  const onWarning = (error: Error): void => tell((to) => to.warning(error));

  let connect: TransportSession['connect'] = () => undefined; // a call that comes too early is made again
  let relay: (peer: NodeId) => void = () => undefined;
  const host: PeersHost = {
    onFrame: (peer, link, kind, frame) => router.onFrame(peer, link, kind, frame),
    onPeer: (peer, up, link) => router.onPeer(peer, up, link),
    onState: (peer, state) => tell((to) => to.state(peer, state)),
    onPath: (peer, path) => tell((to) => to.path(peer, path)),
    onGivenUp: (link) => prober.moved(link, environment.now()),
    onChange: (peer) => topology.changed(peer),
    onLeft: (peer) => topology.left(peer),
    onDigest: (peer, digest) => topology.onDigest(peer, digest),
    onRefused: (peer, error) => tell((to) => to.refused(peer, error)),
    onWarning,
  };
  const peers = new Peers({
    id,
    cluster,
    incarnation,
    credentials,
    environment,
    limits,
    detector: plan.detector,
    intervalMs,
    counters,
    greet: (link) => link.heartbeat(environment.now(), heartbeats.stalledMs, topology.connectivity.digest()),
    connect: (peer) => connect(peer),
    relay: (peer) => relay(peer),
    host,
  });
  credentials.attach({
    review: (objection) => {
      peers.review(objection);
      topology.review();
    },
    onWarning,
  });
  const router = new FrameRouter({ id, cluster, environment, counters, peers, onWarning });
  const topology = new Topology({
    id,
    incarnation,
    environment,
    heartbeatMs: intervalMs,
    peers,
    send: (peer, message) => router.send(peer, FrameKind.gossip, message, { lane: 'control' }),
    admits: (peer) => credentials.couldAdmit(peer),
    onPartition: (view) => tell((to) => to.partition(view)),
  });
  router.onExpect = (group, voters) => topology.expect(group, voters);
  const direct = (peer: NodeId): ReturnType<Peers['link']> => {
    const link = peers.link(peer);
    return link?.path === 'direct' && peers.get(peer)?.bad === false ? link : undefined;
  };
  const datagrams: DatagramRouter = new DatagramRouter({
    id,
    environment,
    counters,
    routes: topology,
    link: direct,
    doubts: (peer) => prober.doubts(peer),
  });
  router.handle(FrameKind.gossip, (peer, _session, frame) => topology.onFrame(peer, frame));
  router.handle(FrameKind.datagram, (peer, _session, frame) => datagrams.onFrame(peer, frame));
  const prober: Prober = new Prober({
    environment,
    peers,
    datagrams,
    helpers: (peer, count) => topology.helpers(peer, count),
  });

  const heartbeats = new Heartbeats({
    intervalMs,
    environment,
    counters,
    onStall: (ms, now) => {
      peers.excuse(ms, now);
      topology.excuse(ms, now);
      tell((to) => to.stall(ms));
    },
    onBeat: (now, stalledMs) => {
      topology.beat(now);
      peers.heartbeat(now, stalledMs, topology.connectivity.digest());
    },
    onLook: (now, mayConvict) => {
      prober.tick(now);
      peers.judge(now, mayConvict, (peer) => plan.relay && prober.answers(peer, now));
    },
  });
  const session = await startTransport(plan.transport, () => heartbeats.close(), {
    id,
    cluster,
    incarnation,
    environment,
    onLink: (link) => peers.admit(link),
    onPresence: (peer, present) => peers.seen(peer, present),
    route: (peer, text) => {
      const payload = Buffer.from(text, 'utf8');
      if (payload.length > maxSignalBytes) return false;
      return datagrams.send(peer, DatagramKind.signal, payload, { lane: 'control' });
    },
    onAddressChange: () => prober.urge(environment.now()),
    onWarning,
  });
  connect = (peer) => session.connect(peer);
  datagrams.handle(DatagramKind.signal, (from, payload) => {
    const text = textOf(payload);
    if (text !== undefined && from !== id) session.routed(from, text);
  });
  let relays: RelayLinks | undefined;
  if (plan.relay) {
    relays = new RelayLinks({
      id,
      environment,
      port: datagrams,
      onLink: (link) => peers.admit(link, 'relayed'),
      onWarning,
    });
    const links = relays;
    relay = (peer) => {
      if (datagrams.reaches(peer)) links.connect(peer);
    };
  }
  // An open mesh is a server: it keeps its process alive also while rendezvous and peers are out of reach.
  const alive = environment.hold();
  const shutDown = async (): Promise<void> => {
    heartbeats.close();
    peers.closeRelayed();
    topology.leave();
    peers.close();
    relays?.close();
    try {
      await session.close();
    } finally {
      alive.cancel();
    }
  };
  const relayCounters = relays?.counters ?? newRelayCounters();
  const metrics = (): MeshMetrics => ({
    links: peers.sessions.size,
    ...counters,
    groups: router.groups(),
    relay: { ...relayCounters },
    gossip: topology.gossip.metrics(),
    partition: topology.partition.metrics(environment.now()),
  });
  const statuses = (): PeerStatus[] => {
    const now = environment.now();
    return Array.from(peers.all(), (peer) => ({
      id: peer.id,
      state: peer.state,
      path: peer.link?.path ?? 'none',
      publicKey: peer.link?.standing.publicKey,
      phi: peer.link?.phi(now),
      rttMs: peer.link?.rttMs,
    }));
  };
  const partition = (): PartitionView => topology.partition.view();
  return {
    ...{ id, identity: credentials, environment, port: router },
    ...{ peers: statuses, partition, metrics, attach, shutDown },
  };
}

/** Starts a transport; `undo` where that fails. */
async function startTransport(
  transport: Transport,
  undo: () => void,
  host: TransportHost,
): Promise<TransportSession> {
  try {
    return await transport.start(host);
  } catch (error) {
    undo();
    throw error;
  }
}

/** What happens before the caller can have put its listeners on waits for a turn. */
function mailbox(environment: Environment): {
  readonly tell: (event: (to: MeshSink) => void) => void;
  readonly attach: (to: MeshSink) => void;
} {
  let sink: MeshSink | undefined;
  let waiting: ((to: MeshSink) => void)[] | undefined = [];
  return {
    tell: (event) => {
      if (waiting === undefined) event(sink!);
      else if (waiting.length < 1000) waiting.push(event);
    },
    attach: (to) => {
      sink = to;
      environment.defer(() => {
        const told = waiting ?? [];
        waiting = undefined;
        for (const event of told) event(to);
      });
    },
  };
}

function textOf(payload: Uint8Array): string | undefined {
  try {
    return utf8.decode(payload);
  } catch {
    return undefined;
  }
}
