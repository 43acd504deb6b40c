/** One connection of a node to a rendezvous server, from the first try to its end. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import type { Environment, Timer } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { helloFrame, maxFrameBytes, maxPeers, parseServerFrame, sendFrame } from './protocol.js';
import type { RefusalCode } from './protocol.js';
import { maxPayloadBytes } from './signaling.js';
import type { SignalingHost } from './signaling.js';

/** Why a connection is over. */
export interface ConnectionEnd {
  /** `lost` is nobody's fault: the server was restarted, the network went away, or it was never reached. */
  readonly kind: 'lost' | 'breach' | 'refused';
  readonly error: QuorateError;
}

/** Where a connection reports. Nothing is called from inside the constructor, nor after `close`. */
export interface ConnectionOwner {
  /** The seat is taken; these others are there. */
  onWelcome(peers: ReadonlySet<string>): void;
  onPresence(peer: string, present: boolean): void;
  onMessage(from: string, payload: string): void;
  /** Called once. */
  onEnd(end: ConnectionEnd): void;
}

/** How long a try may take until the welcome. */
const welcomeTimeoutMs = 10_000;
/** A server of which nothing came between two pings is dead. */
const pingIntervalMs = 15_000;
/** What may wait for a slow server; more is dropped, for signalling is best effort. */
const maxQueuedBytes = 4 * 1024 * 1024;
/** How long a close may take before the connection is cut. */
const closeTimeoutMs = 1000;

export class Connection {
  readonly #name: string;
  readonly #environment: Environment;
  readonly #socket: WebSocket;
  readonly #gone: Promise<void>;
  readonly #peers = new Set<string>();
  #owner: ConnectionOwner | undefined;
  #timer: Timer | undefined;
  #welcome = false;
  #heard = false;

  constructor(
    url: string,
    headers: Readonly<Record<string, string>>,
    host: SignalingHost,
    owner: ConnectionOwner,
  ) {
    this.#name = publicName(url);
    this.#environment = host.environment;
    this.#owner = owner;
    const socketOptions = {
      headers,
      perMessageDeflate: false,
      maxPayload: maxFrameBytes,
      maxFragments: 64,
      handshakeTimeout: welcomeTimeoutMs,
      closeTimeout: closeTimeoutMs,
    };
    this.#socket = new WebSocket(url, socketOptions);
    this.#timer = this.#environment.setTimer(welcomeTimeoutMs, () =>
      this.#end('lost', `did not answer within ${welcomeTimeoutMs} ms`),
    );
    this.#socket.on('open', () => this.#socket.send(helloFrame(host), { binary: false }));
    this.#socket.on('message', (data, isBinary) => {
      this.#heard = true;
      this.#receive(data, isBinary);
    });
    this.#socket.on('ping', () => (this.#heard = true));
    this.#socket.on('pong', () => (this.#heard = true));
    this.#socket.on('unexpected-response', (request, response) => this.#answeredOtherwise(request, response));
    this.#socket.on('error', (cause) => {
      if (isProtocolError(cause)) this.#end('breach', `broke the protocol: ${cause.message}`, cause);
      else this.#end('lost', `is out of reach: ${describe(cause)}`, cause);
    });
    this.#gone = new Promise((resolve) => {
      this.#socket.on('close', () => {
        this.#end('lost', 'closed the connection');
        resolve();
      });
    });
  }

  /** Best effort: dropped for a peer that is not there, above the cap, or when too much is waiting. */
  send(to: string, payload: string): void {
    if (!this.#welcome || !this.#peers.has(to) || this.#socket.readyState !== WebSocket.OPEN) return;
    if (Buffer.byteLength(payload) > maxPayloadBytes) return;
    if (this.#socket.bufferedAmount > maxQueuedBytes) return;
    this.#socket.send(sendFrame(to, payload), { binary: false });
  }

  /** Ends the connection without a report; resolves when the socket is gone. */
  close(): Promise<void> {
    this.#detach();
    this.#socket.close(); // ends a try, too, and cuts after closeTimeoutMs
    return this.#gone;
  }

  #receive(data: unknown, isBinary: boolean): void {
    const owner = this.#owner;
    if (owner === undefined) return;
    let frame;
    try {
      frame = parseServerFrame(data, isBinary);
    } catch (cause) {
      this.#end('breach', `broke the protocol: ${(cause as Error).message}`, cause);
      return;
    }
    if (frame.type === 'refused') {
      this.#refused(frame.code, frame.reason);
    } else if (frame.type === 'peers' || frame.type === 'welcome') {
      if (this.#welcome) {
        this.#end('breach', 'broke the protocol: it welcomed twice');
        return;
      }
      if (frame.type === 'peers') this.#add(frame.ids);
      else this.#welcomed(owner);
    } else if (!this.#welcome) {
      this.#end('breach', 'broke the protocol: it did not begin with a welcome');
    } else if (frame.type === 'message') {
      if (this.#peers.has(frame.from)) owner.onMessage(frame.from, frame.payload);
      else this.#end('breach', 'broke the protocol: a message of nobody');
    } else if (frame.type === 'join') {
      if (this.#add([frame.id])) owner.onPresence(frame.id, true);
    } else if (this.#peers.delete(frame.id)) {
      owner.onPresence(frame.id, false);
    }
  }

  #add(ids: readonly string[]): boolean {
    for (const id of ids) this.#peers.add(id);
    if (this.#peers.size <= maxPeers) return true;
    this.#end('breach', `broke the protocol: it named more than ${maxPeers} nodes`);
    return false;
  }

  #welcomed(owner: ConnectionOwner): void {
    this.#welcome = true;
    this.#watch();
    owner.onWelcome(this.#peers);
  }

  #watch(): void {
    this.#timer?.cancel();
    this.#timer = this.#environment.setTimer(pingIntervalMs, () => {
      if (!this.#heard) {
        this.#end('lost', `was silent for ${pingIntervalMs} ms`);
        return;
      }
      this.#heard = false;
      this.#socket.ping();
      this.#watch();
    });
  }

  #refused(code: RefusalCode, reason: string): void {
    if (code === 'closing' || code === 'superseded') {
      this.#end('lost', `closed the connection: ${reason}`);
      return;
    }
    const errors = { replaced: 'ERR_PEER_REPLACED', unauthorized: 'ERR_SIGNALING_UNAUTHORIZED' } as const;
    const errorCode = code === 'replaced' || code === 'unauthorized' ? errors[code] : 'ERR_SIGNALING';
    const error = new QuorateError(errorCode, `the rendezvous server ${this.#name} refused: ${reason}`);
    this.#finish({ kind: 'refused', error });
  }

  /** An HTTP answer instead of an upgrade, such as a proxy's. */
  #answeredOtherwise(request: ClientRequest, response: IncomingMessage): void {
    const status = response.statusCode ?? 0;
    const message = `the rendezvous server ${this.#name} answered with HTTP status ${status}`;
    const code = status === 401 || status === 403 ? 'ERR_SIGNALING_UNAUTHORIZED' : 'ERR_SIGNALING';
    request.destroy();
    if (status >= 500) this.#end('lost', `answered with HTTP status ${status}`);
    else this.#finish({ kind: 'refused', error: new QuorateError(code, message) });
  }

  #end(kind: 'lost' | 'breach', what: string, cause?: unknown): void {
    const message = `the rendezvous server ${this.#name} ${what}`;
    this.#finish({ kind, error: new QuorateError('ERR_SIGNALING', message, { cause }) });
  }

  #finish(end: ConnectionEnd): void {
    const owner = this.#owner;
    this.#detach();
    this.#socket.terminate();
    owner?.onEnd(end);
  }

  #detach(): void {
    this.#owner = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

/** The url without what may be secret in it. */
function publicName(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** Node reports a host with several addresses as an AggregateError without a message. */
function describe(error: Error & { code?: string }): string {
  return error.message === '' ? (error.code ?? error.name) : error.message;
}

function isProtocolError(error: Error & { code?: string }): boolean {
  return error.code?.startsWith('WS_ERR_') ?? false;
}
