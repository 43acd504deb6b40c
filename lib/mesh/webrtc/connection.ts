/** One PeerConnection with its one data channel: a lane being set up, and its end. @internal */
import type { Environment, Timer } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { ChannelLane } from './channel.js';
import type { IceServer } from './iceServers.js';
import { maxCandidates } from './messages.js';
import type { ConnectionName } from './messages.js';
import { attempt, guarded } from './native.js';
import type { Native, NativeChannel, NativeConnection } from './native.js';
import type { PortLease, Ports } from './ports.js';
import { silenced } from './turn.js';
import type { OfferedSetup } from './turn.js';
import { cleanCandidate, isFingerprint, isRelayed, parseDescription, writeDescription } from './sdp.js';

/** How long a connected PeerConnection may take to open its channel. About one in fifty never does, and is set up anew. */
const channelTimeoutMs = 1500;
/** How long a closed link lingers, so that its last words leave: closing drops what native code still holds. */
const lingerMs = 50;
/** The channel id that both ends agreed on: a negotiated channel opens without a handshake of its own. */
const channelId = 0;

/** The native configuration of a connection. */
export interface ConnectionConfig {
  /** Only paths through a TURN server. */
  readonly relayOnly: boolean;
  /** Asked for each connection: a machine that had only loopback may have a network by now. */
  readonly bindAddress: () => string | undefined;
  readonly ports: Ports;
  readonly mtu: number | undefined;
}

/** What a connection is made with. */
export interface ConnectionOptions {
  readonly native: Native;
  readonly config: ConnectionConfig;
  readonly environment: Environment;
  readonly lane: ConnectionName;
  readonly iceServers: readonly IceServer[];
  /** This side's DTLS role: the client's, the server's, or as the answerer likes, in which case it has no TURN server. */
  readonly setup: OfferedSetup;
  /** Local description and candidates, at most once a turn. */
  readonly onSignal: (
    kind: 'offer' | 'answer' | 'candidate',
    sdp: string | undefined,
    candidates: string[],
  ) => void;
  readonly onOpen: () => void;
  /** The connection failed or ended; once. */
  readonly onLost: (reason: string) => void;
  /** Something threw that should not have. */
  readonly onError: (error: unknown) => void;
}

export class Connection {
  readonly lane: ChannelLane;
  /** Resolves when native code has let go. */
  readonly released: Promise<void>;
  readonly #options: ConnectionOptions;
  readonly #lease: PortLease;
  readonly #connection: NativeConnection;
  readonly #channel: NativeChannel;
  #localSdp: string | undefined;
  #localKind: 'offer' | 'answer' = 'offer';
  #described = false;
  #localCandidates: string[] = [];
  #signalDue = false;
  #remoteSet = false;
  #remoteCandidates: string[] = [];
  #remoteCandidateCount = 0;
  #timer: Timer | undefined;
  #state: 'opening' | 'open' | 'closing' | 'closed' = 'opening';
  #resolveReleased!: () => void;

  /** Throws what native code throws at a configuration it does not like. */
  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.released = new Promise((resolve) => (this.#resolveReleased = resolve));
    const { iceServers } = options;
    const { relayOnly, ports, mtu } = options.config;
    const bindAddress = options.config.bindAddress();
    this.#lease = ports.lease(options.lane, bindAddress);
    const { port, mux } = this.#lease;
    let connection: NativeConnection;
    try {
      connection = new options.native.PeerConnection(options.lane, {
        iceServers: [...iceServers],
        iceTransportPolicy: relayOnly ? 'relay' : 'all',
        disableAutoNegotiation: true,
        enableIceUdpMux: mux,
        ...(bindAddress === undefined ? {} : { bindAddress }),
        ...(port === undefined ? {} : { portRangeBegin: port, portRangeEnd: port }),
        ...(mtu === undefined ? {} : { mtu }),
      });
    } catch (error) {
      this.#lease.release();
      throw error;
    }
    this.#connection = connection;
    void this.released.then(() => this.#lease.release());
    const guard = <A extends unknown[]>(callback: (...args: A) => void): ((...args: A) => void) =>
      guarded(callback, options.onError);
    // A connection without onStateChange, or a channel without onClosed, keeps the process alive after close.
    connection.onStateChange(guard((state: string) => this.#stateChanged(state)));
    connection.onLocalDescription(guard((sdp: string, type: string) => this.#localDescribed(sdp, type)));
    connection.onLocalCandidate(guard((candidate: string) => this.#gathered(candidate)));
    connection.onDataChannel(
      guard((channel: NativeChannel) => {
        channel.onClosed(() => undefined);
        this.#lost('the peer opened a channel of its own');
      }),
    );
    this.#channel = connection.createDataChannel(options.lane, { negotiated: true, id: channelId });
    this.#channel.onOpen(guard(() => this.#opened()));
    this.#channel.onClosed(guard(() => this.#lost('channel closed')));
    this.#channel.onError(guard((error: string) => this.#lost(error)));
    const lane = options.lane === 'control' ? 'control' : 'bulk';
    this.lane = new ChannelLane(lane, this.#channel, options.environment, options.onError, () =>
      this.#lost('too much came before it was read'),
    );
  }

  get open(): boolean {
    return this.#state === 'open';
  }

  /** Fingerprints really in force, ours and theirs, never what signalling said; `undefined` when there are none. */
  fingerprints(): { readonly local: string; readonly remote: string } | undefined {
    const description = attempt(() => this.#connection.localDescription(), null);
    const local = description === null ? undefined : parseDescription(description.sdp)?.fingerprint;
    const remote = attempt(() => this.#connection.remoteFingerprint(), undefined);
    if (local === undefined || remote?.algorithm !== 'sha-256') return undefined;
    const value = remote.value.toUpperCase();
    return isFingerprint(value) ? { local, remote: value } : undefined;
  }

  /** Makes the offer. */
  offer(): void {
    this.#describe('offer');
  }

  /** Takes the offer of the other side, and answers it in the role that is set. `false`: it is no offer. */
  takeOffer(sdp: string): boolean {
    const description = parseDescription(sdp);
    if (description === undefined || this.#remoteSet) return false;
    this.#remoteSet = true;
    this.#try(() => {
      // Native code takes the role that the offerer leaves.
      const setup = this.#options.setup === 'active' ? 'passive' : 'active';
      this.#connection.setRemoteDescription(writeDescription({ ...description, setup }), 'offer');
      // An answer in the stable state aborts the process.
      if (this.#connection.signalingState() === 'have-remote-offer') this.#describe('answer');
      else this.#lost('an offer that native code did not take');
    });
    this.#addCandidates();
    return true;
  }

  /** Takes the answer to our offer. `false`: it is none. */
  takeAnswer(sdp: string): boolean {
    const description = parseDescription(sdp);
    if (description === undefined || description.setup === 'actpass' || this.#remoteSet) return false;
    if (description.setup === this.#options.setup) return false; // both cannot be the DTLS client, or the server
    if (attempt(() => this.#connection.signalingState(), 'closed') !== 'have-local-offer') return false;
    this.#remoteSet = true;
    this.#try(() => this.#connection.setRemoteDescription(writeDescription(description), 'answer'));
    this.#addCandidates();
    return true;
  }

  /** Takes candidates; they wait until the remote description is set, which native code insists on. */
  takeCandidates(candidates: readonly string[]): void {
    for (const text of candidates) {
      const candidate = cleanCandidate(text);
      if (candidate === undefined || ++this.#remoteCandidateCount > maxCandidates) continue;
      // Native code hides our own addresses from the peer, but would still try the peer's by itself.
      if (this.#options.config.relayOnly && !isRelayed(candidate)) continue;
      this.#remoteCandidates.push(this.#options.setup === 'active' ? silenced(candidate) : candidate);
    }
    this.#addCandidates();
  }

  /** Ends it, soon: nothing more is sent or reported, but what was sent may still leave. */
  close(): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    const lingers = this.#state === 'open';
    this.#state = 'closing';
    this.lane.shut();
    this.#timer?.cancel();
    if (lingers) this.#timer = this.#options.environment.setTimer(lingerMs, () => this.#release());
    else this.#release();
  }

  #release(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.lane.shut();
    this.#timer?.cancel();
    // Never `channel.close()`: where the other side closes at that moment too, its callback is lost in native code, and the
    // process hangs. Closing the connection closes the channel.
    attempt(() => this.#connection.close(), undefined);
    // Should native code not report the end, nobody waits for it for ever.
    this.#timer = this.#options.environment.setTimer(1000, this.#resolveReleased);
  }

  #stateChanged(state: string): void {
    if (state === 'closed') {
      this.#lost('closed');
      this.#release();
      // A second close on a closed connection is what frees the native object.
      attempt(() => this.#connection.close(), undefined);
      this.#timer?.cancel();
      this.#resolveReleased();
    } else if (state === 'failed' || state === 'disconnected') {
      this.#lost(state);
    } else if (state === 'connected' && this.#state === 'opening') {
      this.#timer ??= this.#options.environment.setTimer(channelTimeoutMs, () => {
        if (this.#state === 'opening') this.#lost('its channel did not open');
      });
    }
  }

  #opened(): void {
    if (this.#state !== 'opening') return;
    this.#state = 'open';
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#options.onOpen();
  }

  #lost(reason: string): void {
    if (this.#state === 'closing') this.#release();
    if (this.#state === 'closed') return;
    this.#release();
    this.#options.onLost(reason);
  }

  #localDescribed(sdp: string, type: string): void {
    if (type !== 'offer' && type !== 'answer') return;
    this.#localKind = type;
    this.#localSdp =
      type === 'offer' ? sdp.replace(/a=setup:actpass/, `a=setup:${this.#options.setup}`) : sdp;
    this.#signalLater();
  }

  #gathered(candidate: string): void {
    if (this.#localCandidates.length >= maxCandidates) return;
    this.#localCandidates.push(candidate);
    if (this.#described || this.#localSdp !== undefined) this.#signalLater();
  }

  /** Native code reports candidates one by one, some before the description: one message a turn says it all. */
  #signalLater(): void {
    if (this.#signalDue) return;
    this.#signalDue = true;
    this.#options.environment.defer(() => {
      this.#signalDue = false;
      if (this.#state !== 'opening') return;
      const sdp = this.#localSdp;
      const candidates = this.#localCandidates;
      this.#localCandidates = [];
      this.#localSdp = undefined;
      this.#described = true;
      this.#options.onSignal(sdp === undefined ? 'candidate' : this.#localKind, sdp, candidates);
    });
  }

  #describe(kind: 'offer' | 'answer'): void {
    if (this.#state !== 'opening') return;
    this.#try(() => {
      this.#lease.check(); // now native code opens its socket
      this.#connection.setLocalDescription(kind);
    });
  }

  #addCandidates(): void {
    if (!this.#remoteSet) return;
    const candidates = this.#remoteCandidates;
    this.#remoteCandidates = [];
    // Throws on a connection that failed meanwhile.
    for (const candidate of candidates)
      attempt(() => this.#connection.addRemoteCandidate(candidate, '0'), undefined);
  }

  #try(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#lost(error instanceof QuorateError ? error.message : `native code refused: ${String(error)}`);
    }
  }
}
