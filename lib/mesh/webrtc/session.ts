/** All links of one mesh over WebRTC, and the rendezvous that leads to them. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import { randomId } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { AddressWatch } from './addresses.js';
import type { Signaling, SignalingSession } from '../signaling/signaling.js';
import type { TransportHost, TransportSession } from '../transport.js';
import type { ConnectionConfig } from './connection.js';
import { Duplicates } from './duplicates.js';
import { EarlyCandidates } from './earlyCandidates.js';
import { Setup, unheard } from './link.js';
import { decodeSetupMessage, encodeSetupMessage } from './messages.js';
import type { SetupMessage } from './messages.js';
import type { Native } from './native.js';
import type { IceServer } from './iceServers.js';
import { parseDescription } from './sdp.js';
import { answererRole, offererRole } from './turn.js';
import type { TurnRole } from './turn.js';
import { TokenBuckets } from '../../tokenBucket.js';

/** Connections of all set-ups under way at once: a few sockets each. */
const maxSetupConnections = 128;
/** Tries that one call of `connect`, or one ask, makes: a few set-ups in a hundred die of races in native code. */
const triesPerConnect = 3;
/** A link that is younger than this was under way when its peer asked. */
const freshLinkMs = 1000;
/** How often the same trouble is told. */
const sameWarningMs = 30_000;

/** What a session is made with. */
export interface WebrtcSessionOptions {
  readonly native: Native;
  readonly config: ConnectionConfig;
  readonly iceServers: readonly IceServer[];
  readonly host: TransportHost;
  readonly setupTimeoutMs: number;
  /** How many connections the bulk lane may have. */
  readonly bulkConnections: number;
  /** The addresses in use, as a text that changes when they do, and how often to look. */
  readonly addresses: { readonly read: () => string; readonly intervalMs: number };
}

export class WebrtcSession implements TransportSession {
  readonly #options: WebrtcSessionOptions;
  readonly #host: TransportHost;
  readonly #setups = new Map<NodeId, Setup>();
  /** The newest link of each peer, and since when. */
  readonly #newest = new Map<NodeId, { readonly setup: Setup; readonly since: number }>();
  /** All that holds native objects. */
  readonly #alive = new Set<Setup>();
  readonly #offers = new TokenBuckets(4, 8);
  readonly #asks = new TokenBuckets(4, 4);
  readonly #asksWhileLinked = new TokenBuckets(0.2, 1);
  readonly #troubles = new TokenBuckets(1000 / sameWarningMs, 1);
  readonly #duplicates = new Duplicates();
  readonly #early = new EarlyCandidates();
  readonly #addressWatch: AddressWatch;
  #signaling: SignalingSession | undefined;
  #closed = false;

  constructor(options: WebrtcSessionOptions) {
    this.#options = options;
    this.#host = options.host;
    const { read, intervalMs } = options.addresses;
    this.#addressWatch = new AddressWatch(options.host.environment, intervalMs, read, () => this.#moved());
  }

  async start(signaling: Signaling): Promise<void> {
    const { id, cluster, incarnation, environment } = this.#host;
    this.#signaling = await signaling.start({
      id,
      cluster,
      incarnation,
      environment,
      onPresence: (peer, present) => {
        if (!this.#closed) this.#host.onPresence(peer, present);
      },
      onMessage: (from, payload) => this.#received(from, payload),
      onWarning: (error) => this.#host.onWarning(error),
    });
  }

  connect(peer: NodeId): void {
    if (this.#closed || peer === this.#host.id || this.#setups.has(peer)) return;
    if (this.#host.id < peer) this.#offer(peer, triesPerConnect);
    else this.#send(peer, { kind: 'ask', id: randomId(this.#host.environment) });
  }

  routed(from: NodeId, payload: string): void {
    this.#received(from, payload);
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#addressWatch.close();
      for (const setup of this.#alive) setup.close();
      this.#setups.clear();
      this.#newest.clear();
    }
    await Promise.all([this.#signaling?.close(), ...Array.from(this.#alive, (setup) => setup.released)]);
  }

  /** Every message comes by two ways, so it may come twice, and late. */
  #received(from: NodeId, payload: string): void {
    if (this.#closed || from === this.#host.id) return;
    const message = decodeSetupMessage(payload);
    if (message === undefined) return;
    const identical = message.kind === 'ask' && message.id === undefined; // of an older version
    if (!identical && !this.#duplicates.isNew(from, payload)) return;
    if (message.kind === 'ask') {
      this.#asked(from);
      return;
    }
    const current = this.#setups.get(from);
    if (current?.session === message.session) current.receive(message);
    else if (message.kind === 'offer') this.#offered(from, message);
    else if (message.kind === 'candidate' && from < this.#host.id) this.#early.keep(from, message);
  }

  /** The peer, which may not offer, has no link to us; perhaps ours leads to a ghost. */
  #asked(peer: NodeId): void {
    const now = this.#host.environment.now();
    if (this.#host.id > peer || this.#setups.has(peer)) return;
    const newest = this.#newest.get(peer);
    if (newest === undefined) {
      if (this.#asks.allows(peer, now)) this.#offer(peer, triesPerConnect);
    } else if (now - newest.since > freshLinkMs && this.#asksWhileLinked.allows(peer, now)) {
      this.#offer(peer, triesPerConnect);
    }
  }

  #offered(peer: NodeId, message: Extract<SetupMessage, { kind: 'offer' | 'answer' }>): void {
    // One fixed offerer: two offers that cross kill both connections for good.
    if (this.#host.id < peer || !this.#offers.allows(peer, this.#host.environment.now())) return;
    this.#setups.get(peer)?.close(); // the offerer gave that one up
    this.#setups.delete(peer);
    const bulkConnections = Math.min(message.bulkConnections, this.#options.bulkConnections);
    const { iceServers, config } = this.#options;
    const offered = parseDescription(message.sdp)?.setup ?? 'actpass';
    const role = answererRole(iceServers, config.relayOnly, offered, message.bothRelay === true);
    const setup = this.#setUp(peer, message.session, 0, bulkConnections, role);
    setup?.receive(message);
    for (const early of this.#early.take(peer, message.session)) setup?.receive(early);
  }

  #offer(peer: NodeId, tries: number): void {
    const { iceServers, config, bulkConnections } = this.#options;
    const role = offererRole(iceServers, config.relayOnly, tries === triesPerConnect - 1);
    this.#setUp(peer, randomId(this.#host.environment), tries, bulkConnections, role);
  }

  /** Once native code let go of the last try: its ports may be all there are. */
  #offerAfter(last: Setup, peer: NodeId, tries: number): void {
    void last.released.then(() => {
      if (!this.#closed && !this.#setups.has(peer)) this.#offer(peer, tries);
    });
  }

  /** `tries`: how many are left of those this side makes; 0 where the other side offers. */
  #setUp(
    peer: NodeId,
    session: string,
    tries: number,
    bulkConnections: number,
    role: TurnRole,
  ): Setup | undefined {
    const { native, config, setupTimeoutMs } = this.#options;
    const most = maxSetupConnections / (1 + this.#options.bulkConnections);
    if (this.#setups.size >= most) return undefined;
    let setup: Setup;
    try {
      setup = new Setup({
        native,
        config,
        environment: this.#host.environment,
        peer,
        offerer: this.#host.id < peer,
        role,
        session,
        timeoutMs: setupTimeoutMs,
        bulkConnections,
        send: (message) => this.#send(peer, message),
        onLink: (link) => {
          if (this.#setups.get(peer) === setup) this.#setups.delete(peer);
          this.#newest.set(peer, { setup, since: this.#host.environment.now() });
          this.#host.onLink(link);
        },
        onGone: (reason, wasLinked) => this.#gone(peer, setup, reason, wasLinked ? 0 : tries),
        onError: (error) => this.#warn('ERR_INTERNAL', `the link to ${peer} met an error`, error),
      });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      // Each peer meets it at each try: once in a while is enough.
      if (this.#troubles.allows(why, this.#host.environment.now()))
        this.#warn('ERR_CONFIG', `no connection to ${peer} could be made: ${why}`, error);
      return undefined;
    }
    this.#setups.set(peer, setup);
    this.#alive.add(setup);
    void setup.released.then(() => this.#alive.delete(setup));
    return setup;
  }

  #gone(peer: NodeId, setup: Setup, reason: string, tries: number): void {
    if (this.#newest.get(peer)?.setup === setup) this.#newest.delete(peer);
    if (this.#setups.get(peer) !== setup) return;
    this.#setups.delete(peer);
    if (this.#closed || reason === unheard) return; // the mesh asks again
    if (tries > 1) this.#offerAfter(setup, peer, tries - 1);
    else if (tries === 1)
      this.#warn('ERR_PEER_TIMEOUT', `no link to ${peer} could be set up (${reason}); trying again`);
  }

  /** New addresses: what is being set up with the old ones starts again, and the mesh looks after its links. */
  #moved(): void {
    if (this.#closed) return;
    this.#signaling?.moved?.();
    for (const [peer, setup] of [...this.#setups]) {
      if (this.#host.id > peer) continue; // the offerer does
      this.#setups.delete(peer);
      setup.close();
      this.#offerAfter(setup, peer, triesPerConnect);
    }
    this.#host.onAddressChange?.();
  }

  /** Through the rendezvous and through the mesh: who of them gets there, and when, is not known. `false`: neither is there. */
  #send(peer: NodeId, message: SetupMessage): boolean {
    const payload = encodeSetupMessage(message);
    const connected = this.#signaling?.connected === true;
    this.#signaling?.send(peer, payload);
    return this.#host.route(peer, payload) || connected;
  }

  #warn(code: 'ERR_INTERNAL' | 'ERR_CONFIG' | 'ERR_PEER_TIMEOUT', text: string, cause?: unknown): void {
    if (!this.#closed) this.#host.onWarning(new QuorateError(code, text, { cause }));
  }
}
