/** Two open connections as one link, and the set-up that leads there. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import type { Lane, RawLink } from '../transport.js';
import { Connection } from './connection.js';
import type { ConnectionConfig } from './connection.js';
import { bulkIndex, connectionNames } from './messages.js';
import type { ConnectionName, SetupMessage } from './messages.js';
import type { Native } from './native.js';
import type { TurnRole } from './turn.js';
import { StripedLane } from './stripes.js';

/** What a set-up is made with. */
export interface SetupOptions {
  readonly native: Native;
  readonly config: ConnectionConfig;
  readonly environment: Environment;
  readonly peer: NodeId;
  readonly offerer: boolean;
  readonly role: TurnRole;
  /** Names this try. */
  readonly session: string;
  readonly timeoutMs: number;
  /** How many connections the bulk lane has: what the offerer would like, or what the answerer takes. */
  readonly bulkConnections: number;
  /** `false`: there is no way to tell the peer anything. */
  readonly send: (message: SetupMessage) => boolean;
  /** Both lanes are open. */
  readonly onLink: (link: RtcLink) => void;
  /** The set-up failed, once; or the link that came of it is gone. */
  readonly onGone: (reason: string, wasLinked: boolean) => void;
  readonly onError: (error: unknown) => void;
}

/** The end of a set-up that could not say a word: trying again at once would be no better. */
export const unheard = 'no way to reach the peer: neither rendezvous nor mesh';

/** All connections of one try. Becomes a {@link RtcLink} when they are open. */
export class Setup {
  readonly session: string;
  readonly released: Promise<unknown>;
  readonly #options: SetupOptions;
  readonly #connections = new Map<ConnectionName, Connection>();
  readonly #timer: Timer;
  /** Bulk connections that both sides want, once that is known. */
  #agreed: number | undefined;
  #link: RtcLink | undefined;
  #gone = false;

  /** Throws ERR_CONFIG where no socket can be had. */
  constructor(options: SetupOptions) {
    this.session = options.session;
    this.#options = options;
    if (!options.offerer) this.#agreed = options.bulkConnections;
    try {
      for (const name of connectionNames.slice(0, 1 + options.bulkConnections))
        this.#connections.set(name, this.#connection(name));
    } catch (error) {
      for (const connection of this.#connections.values()) connection.close();
      throw error;
    }
    const connections = [...this.#connections.values()];
    this.released = Promise.all(connections.map((connection) => connection.released));
    this.#timer = options.environment.setTimer(options.timeoutMs, () =>
      this.#end(`not connected within ${options.timeoutMs} ms`),
    );
    if (options.offerer) for (const connection of connections) connection.offer();
  }

  get link(): RtcLink | undefined {
    return this.#link;
  }

  /** Takes a message of this set-up. */
  receive(message: Exclude<SetupMessage, { kind: 'ask' }>): void {
    if (this.#gone || this.#link !== undefined) return;
    if (message.kind !== 'candidate') {
      const wanted = this.#options.offerer ? 'answer' : 'offer';
      if (message.kind !== wanted) return;
      if (this.#options.offerer && !this.#agree(message.bulkConnections)) {
        this.#end('an answer that takes another number of connections');
        return;
      }
    }
    const connection = this.#connections.get(message.lane);
    if (connection === undefined) return; // one that this side does not want
    if (message.kind !== 'candidate') {
      const taken = this.#options.offerer
        ? connection.takeAnswer(message.sdp)
        : connection.takeOffer(message.sdp);
      if (!taken) {
        this.#end(`an ${message.kind} that makes no sense`);
        return;
      }
    }
    connection.takeCandidates(message.candidates);
  }

  /** Ends the set-up, or the link that came of it; nobody is called back. */
  close(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#timer.cancel();
    for (const connection of this.#connections.values()) connection.close();
  }

  /** Gives it up, as if its time had run out. */
  abandon(reason: string): void {
    this.#end(reason);
  }

  /** The smaller wish wins; what is too much is closed. */
  #agree(count: number): boolean {
    if (this.#agreed !== undefined) return this.#agreed === count;
    if (count > this.#options.bulkConnections) return false;
    this.#agreed = count;
    for (const [name, connection] of this.#connections) {
      if (bulkIndex(name) < count) continue;
      this.#connections.delete(name);
      connection.close();
    }
    return true;
  }

  #connection(lane: ConnectionName): Connection {
    const { native, config, environment, session, role, send, onError } = this.#options;
    return new Connection({
      native,
      config,
      iceServers: role.iceServers,
      setup: role.setup,
      environment,
      lane,
      onSignal: (kind, sdp, candidates) => {
        if (this.#gone) return;
        const bulkConnections = this.#agreed ?? this.#options.bulkConnections;
        const bothRelay = kind === 'offer' && role.bothRelay && { bothRelay: true };
        const heard =
          kind !== 'candidate' && sdp !== undefined
            ? send({ kind, session, lane, bulkConnections, ...bothRelay, sdp, candidates })
            : send({ kind: 'candidate', session, lane, candidates });
        if (!heard && kind === 'offer') this.#end(unheard);
      },
      onOpen: () => this.#opened(),
      onLost: (reason) => this.#end(`${lane}: ${reason}`),
      onError: (error) => {
        onError(error);
        this.#end('an internal error');
      },
    });
  }

  #opened(): void {
    const connections = [...this.#connections.values()];
    if (this.#gone || this.#link !== undefined || this.#agreed === undefined) return;
    if (connections.some((connection) => !connection.open)) return;
    const ends = connections.map((connection) => connection.fingerprints());
    const binding = ends.map((end) =>
      end === undefined
        ? ''
        : this.#options.offerer
          ? `${end.local} ${end.remote}`
          : `${end.remote} ${end.local}`,
    );
    if (binding.includes('')) {
      this.#end('a connection without fingerprints');
      return;
    }
    this.#timer.cancel();
    const [control, ...bulk] = connections.map((connection) => connection.lane);
    this.#link = new RtcLink(
      this.#options,
      control!,
      bulk.length === 1
        ? bulk[0]!
        : new StripedLane(bulk, this.#options.environment, (reason) => this.#end(`bulk: ${reason}`)),
      binding.join(' '),
      () => this.#end('closed'),
    );
    this.#options.onLink(this.#link);
  }

  #end(reason: string): void {
    if (this.#gone) return;
    this.close();
    // Never from inside a call of the mesh.
    this.#options.environment.defer(() => {
      this.#options.onGone(reason, this.#link !== undefined);
      this.#link?.onClosed?.(reason);
    });
  }
}

export class RtcLink implements RawLink {
  readonly peer: NodeId;
  readonly offerer: boolean;
  readonly binding: string;
  readonly control: Lane;
  readonly bulk: Lane;
  onClosed: ((reason: string) => void) | undefined;
  readonly #close: () => void;

  constructor(options: SetupOptions, control: Lane, bulk: Lane, binding: string, close: () => void) {
    this.peer = options.peer;
    this.offerer = options.offerer;
    this.binding = binding;
    this.control = control;
    this.bulk = bulk;
    this.#close = close;
  }

  close(): void {
    this.#close();
  }
}
