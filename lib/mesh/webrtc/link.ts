/** Two open connections as one link, and the set-up that leads there. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import type { LaneName, RawLink } from '../transport.js';
import type { ChannelLane } from './channel.js';
import { Connection } from './connection.js';
import type { ConnectionConfig } from './connection.js';
import type { SetupMessage } from './messages.js';
import type { Native } from './native.js';

const laneNames: readonly LaneName[] = ['control', 'bulk'];

/** What a set-up is made with. */
export interface SetupOptions {
  readonly native: Native;
  readonly config: ConnectionConfig;
  readonly environment: Environment;
  readonly peer: NodeId;
  readonly offerer: boolean;
  /** Names this try. */
  readonly session: string;
  readonly timeoutMs: number;
  readonly send: (message: SetupMessage) => void;
  /** Both lanes are open. */
  readonly onLink: (link: RtcLink) => void;
  /** The set-up failed, once; or the link that came of it is gone. */
  readonly onGone: (reason: string, wasLinked: boolean) => void;
  readonly onError: (error: unknown) => void;
}

/** Both connections of one try. Becomes a {@link RtcLink} when both are open. */
export class Setup {
  readonly session: string;
  readonly released: Promise<unknown>;
  readonly #options: SetupOptions;
  readonly #connections: Readonly<Record<LaneName, Connection>>;
  readonly #timer: Timer;
  #link: RtcLink | undefined;
  #gone = false;

  constructor(options: SetupOptions) {
    this.session = options.session;
    this.#options = options;
    const control = this.#connection('control');
    let bulk: Connection;
    try {
      bulk = this.#connection('bulk');
    } catch (error) {
      control.close();
      throw error;
    }
    this.#connections = { control, bulk };
    this.released = Promise.all([control.released, bulk.released]);
    this.#timer = options.environment.setTimer(options.timeoutMs, () =>
      this.#end(`not connected within ${options.timeoutMs} ms`),
    );
    if (options.offerer) for (const lane of laneNames) this.#connections[lane].offer();
  }

  get link(): RtcLink | undefined {
    return this.#link;
  }

  /** Takes a message of this set-up. */
  receive(message: Exclude<SetupMessage, { kind: 'ask' }>): void {
    if (this.#gone || this.#link !== undefined) return;
    const connection = this.#connections[message.lane];
    if (message.kind !== 'candidate') {
      const wanted = this.#options.offerer ? 'answer' : 'offer';
      if (message.kind !== wanted) return;
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
    for (const lane of laneNames) this.#connections[lane].close();
  }

  #connection(lane: LaneName): Connection {
    const { native, config, environment, session, send, onError } = this.#options;
    return new Connection({
      native,
      config,
      environment,
      lane,
      onSignal: (kind, sdp, candidates) => {
        if (this.#gone) return;
        if (kind !== 'candidate' && sdp !== undefined) send({ kind, session, lane, sdp, candidates });
        else send({ kind: 'candidate', session, lane, candidates });
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
    const { control, bulk } = this.#connections;
    if (this.#gone || this.#link !== undefined || !control.open || !bulk.open) return;
    const ends = [control.fingerprints(), bulk.fingerprints()];
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
    this.#link = new RtcLink(this.#options, control.lane, bulk.lane, binding.join(' '), () =>
      this.#end('closed'),
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
  readonly control: ChannelLane;
  readonly bulk: ChannelLane;
  onClosed: ((reason: string) => void) | undefined;
  readonly #close: () => void;

  constructor(
    options: SetupOptions,
    control: ChannelLane,
    bulk: ChannelLane,
    binding: string,
    close: () => void,
  ) {
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
