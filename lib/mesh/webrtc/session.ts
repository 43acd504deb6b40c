/** All links of one mesh over WebRTC, and the rendezvous that leads to them. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import { randomId } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { Signaling, SignalingSession } from '../signaling/signaling.js';
import type { TransportHost, TransportSession } from '../transport.js';
import type { ConnectionConfig } from './connection.js';
import { Setup } from './link.js';
import { decodeSetupMessage, encodeSetupMessage } from './messages.js';
import type { SetupMessage } from './messages.js';
import type { Native } from './native.js';
import { Throttle } from './throttle.js';

/** Set-ups under way at once: two connections and a few sockets each. */
const maxSetups = 64;
/** Tries that one call of `connect`, or one ask, makes: a few set-ups in a hundred die of races in native code. */
const triesPerConnect = 3;
/** A link that is younger than this was under way when its peer asked. */
const freshLinkMs = 1000;

/** What a session is made with. */
export interface WebrtcSessionOptions {
  readonly native: Native;
  readonly config: ConnectionConfig;
  readonly host: TransportHost;
  readonly setupTimeoutMs: number;
}

export class WebrtcSession implements TransportSession {
  readonly #options: WebrtcSessionOptions;
  readonly #host: TransportHost;
  readonly #setups = new Map<NodeId, Setup>();
  /** The newest link of each peer, and since when. */
  readonly #newest = new Map<NodeId, { readonly setup: Setup; readonly since: number }>();
  /** All that holds native objects. */
  readonly #alive = new Set<Setup>();
  readonly #offers = new Throttle(8, 250);
  readonly #asks = new Throttle(4, 250);
  readonly #asksWhileLinked = new Throttle(1, 5000);
  #signaling: SignalingSession | undefined;
  #closed = false;

  constructor(options: WebrtcSessionOptions) {
    this.#options = options;
    this.#host = options.host;
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
    else this.#send(peer, { kind: 'ask' });
  }

  routed(from: NodeId, payload: string): void {
    this.#received(from, payload);
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const setup of this.#alive) setup.close();
      this.#setups.clear();
      this.#newest.clear();
    }
    await Promise.all([this.#signaling?.close(), ...Array.from(this.#alive, (setup) => setup.released)]);
  }

  #received(from: NodeId, payload: string): void {
    if (this.#closed || from === this.#host.id) return;
    const message = decodeSetupMessage(payload);
    if (message === undefined) return;
    if (message.kind === 'ask') this.#asked(from);
    else if (message.kind === 'offer' && this.#setups.get(from)?.session !== message.session)
      this.#offered(from, message);
    else if (this.#setups.get(from)?.session === message.session) this.#setups.get(from)?.receive(message);
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
    this.#setUp(peer, message.session, 0)?.receive(message);
  }

  #offer(peer: NodeId, tries: number): void {
    this.#setUp(peer, randomId(this.#host.environment), tries);
  }

  /** `tries`: how many are left of those this side makes; 0 where the other side offers. */
  #setUp(peer: NodeId, session: string, tries: number): Setup | undefined {
    if (this.#setups.size >= maxSetups) return undefined;
    const { native, config, setupTimeoutMs } = this.#options;
    let setup: Setup;
    try {
      setup = new Setup({
        native,
        config,
        environment: this.#host.environment,
        peer,
        offerer: this.#host.id < peer,
        session,
        timeoutMs: setupTimeoutMs,
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
      this.#warn('ERR_CONFIG', `no connection to ${peer} could be made`, error);
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
    if (this.#closed) return;
    if (tries > 1) this.#offer(peer, tries - 1);
    else if (tries === 1)
      this.#warn('ERR_PEER_TIMEOUT', `no link to ${peer} could be set up (${reason}); trying again`);
  }

  #send(peer: NodeId, message: SetupMessage): void {
    this.#signaling?.send(peer, encodeSetupMessage(message));
  }

  #warn(code: 'ERR_INTERNAL' | 'ERR_CONFIG' | 'ERR_PEER_TIMEOUT', text: string, cause?: unknown): void {
    if (!this.#closed) this.#host.onWarning(new QuorateError(code, text, { cause }));
  }
}
