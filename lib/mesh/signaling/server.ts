/** The rendezvous server: rooms by cluster, presence, and messages relayed unread. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { nodeEnvironment } from '../../environment.js';
import type { Timer } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { Emitter } from '../../events.js';
import { maxFrameBytes, parseClientFrame, protocolVersion } from './protocol.js';
import type { Hello, RefusalCode } from './protocol.js';
import { Rooms } from './rooms.js';
import { ServerClient } from './serverClient.js';
import { serverSettings } from './serverOptions.js';
import type { ServeSignalingOptions, ServerSettings } from './serverOptions.js';

/** Figures of a {@link SignalingServer}. */
export interface SignalingServerMetrics {
  /** Nodes that have a seat. */
  readonly clients: number;
  /** Connections that have not said their name yet, or are about to end. */
  readonly pending: number;
  /** Clusters with at least one node. */
  readonly rooms: number;
  /** Messages handed on since the start. */
  readonly relayed: number;
  /** Connections that were turned away since the start. */
  readonly refused: number;
}

/** Events of a {@link SignalingServer}, with what their listeners get. */
export interface SignalingServerEvents {
  /** A node took its seat; `replaced` if it took over that of an older run or connection. */
  'client:joined': [node: { readonly cluster: string; readonly id: string; readonly replaced: boolean }];
  /** A node's seat is free again. */
  'client:left': [node: { readonly cluster: string; readonly id: string }];
  /** A connection was turned away. `error` is what `authorize` threw, if it did. */
  'client:refused': [
    refusal: {
      readonly cluster: string | undefined;
      readonly id: string | undefined;
      readonly reason: string;
      readonly error?: unknown;
    },
  ];
}

/** How long a client may take to answer a close before its connection is cut. */
const closeTimeoutMs = 1000;

/** A running rendezvous server; made by {@link serveSignaling}. */
export class SignalingServer extends Emitter<SignalingServerEvents> {
  readonly #settings: ServerSettings;
  readonly #http: Server;
  readonly #sockets: WebSocketServer;
  readonly #rooms: Rooms;
  readonly #connections = new Set<ServerClient>();
  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void =>
    this.#upgrade(request, socket, head);
  #address: AddressInfo | undefined;
  #pings: Timer | undefined;
  #refused = 0;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(settings: ServerSettings, http: Server) {
    super();
    this.#settings = settings;
    this.#http = http;
    this.#rooms = new Rooms(settings.maxRooms, settings.maxClientsPerRoom);
    const socketOptions = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: maxFrameBytes,
      maxFragments: 64,
      closeTimeout: closeTimeoutMs,
    };
    this.#sockets = new WebSocketServer(socketOptions);
    this.#where();
    http.on('upgrade', this.#onUpgrade);
    this.#pingLater();
  }

  /** The port; stays after close. 0 while a mounted server does not listen on TCP yet. */
  get port(): number {
    return this.#where()?.port ?? 0;
  }

  /** What to give to `webSocketSignaling`. A server on all addresses is named by its loopback address. */
  get url(): string {
    const listens = this.#where()?.address ?? '127.0.0.1';
    const reached = listens === '0.0.0.0' ? '127.0.0.1' : listens === '::' ? '::1' : listens;
    const host = reached.includes(':') ? `[${reached}]` : reached;
    const scheme = 'setSecureContext' in this.#http ? 'wss' : 'ws';
    return `${scheme}://${host}:${this.port}${this.#settings.path}`;
  }

  /** Figures of this moment. */
  metrics(): SignalingServerMetrics {
    const { clients, rooms, relayed } = this.#rooms;
    return { clients, rooms, relayed, pending: this.#connections.size - clients, refused: this.#refused };
  }

  /**
   * Ends every connection and stops listening; a server that was handed in stays open. Resolves when all is gone. Safe to
   * call twice.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The same as {@link SignalingServer.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#where();
    this.#http.off('upgrade', this.#onUpgrade);
    this.#pings?.cancel();
    for (const client of this.#connections) client.refuse('closing', 'the rendezvous server shuts down');
    await new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
      if (this.#connections.size === 0) resolve();
    });
    if (this.#settings.server === undefined) {
      await new Promise<void>((resolve) => {
        this.#http.close(() => resolve());
        this.#http.closeAllConnections();
      });
    }
    this.removeAllListeners();
  }

  #whenEmpty: () => void = () => undefined;

  #where(): AddressInfo | undefined {
    const address = this.#http.address();
    if (typeof address === 'object' && address !== null) this.#address = address;
    return this.#address;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (pathOf(request) !== trimmed(this.#settings.path)) {
      // Another listener may want it; where there is none the socket would hang for ever.
      if (this.#http.listenerCount('upgrade') === 1) answer(socket, '404 Not Found');
      return;
    }
    const { origin } = request.headers;
    if (origin !== undefined && !this.#settings.origins.includes(origin)) {
      this.#refuse(undefined, `web pages of ${JSON.stringify(origin.slice(0, 100))} may not connect`);
      answer(socket, '403 Forbidden');
    } else if (this.#connections.size >= this.#settings.maxConnections) {
      this.#refuse(undefined, `this server takes at most ${this.#settings.maxConnections} connections`);
      answer(socket, '503 Service Unavailable');
    } else {
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#accept(webSocket, request));
    }
  }

  #accept(socket: WebSocket, request: IncomingMessage): void {
    const client = new ServerClient(socket, this.#settings);
    this.#connections.add(client);
    const late = nodeEnvironment.setTimer(this.#settings.announceTimeoutMs, () =>
      this.#turnAway(client, 'invalid', 'the node was not announced and authorized in time'),
    );
    socket.on('message', (data, isBinary) => {
      client.charge(Buffer.isBuffer(data) ? data.length : 0);
      if (client.open) this.#receive(client, request, late, data, isBinary);
    });
    socket.on('ping', () => client.charge(0));
    socket.on('pong', () => client.charge(0));
    socket.on('error', () => undefined); // always followed by 'close'
    socket.on('close', () => {
      late.cancel();
      client.dispose();
      this.#connections.delete(client);
      if (this.#rooms.leave(client)) {
        const { cluster, id } = client.hello!;
        this.emit('client:left', { cluster, id });
      }
      if (this.#connections.size === 0) this.#whenEmpty();
    });
  }

  #receive(
    client: ServerClient,
    request: IncomingMessage,
    late: Timer,
    data: unknown,
    isBinary: boolean,
  ): void {
    let frame;
    try {
      frame = parseClientFrame(data, isBinary);
    } catch (error) {
      this.#turnAway(client, 'invalid', (error as Error).message);
      return;
    }
    if (frame.type === 'send') {
      const seated = this.#rooms.relay(client, frame.to, frame.payload);
      if (!seated) this.#turnAway(client, 'invalid', 'a message before the welcome');
    } else if (client.hello !== undefined) {
      this.#turnAway(client, 'invalid', 'a second hello');
    } else if (frame.version !== protocolVersion) {
      const reason = `this server speaks version ${protocolVersion}, the node version ${frame.version}`;
      this.#turnAway(client, 'version', reason);
    } else {
      client.announce(frame);
      void this.#authorized(request, frame).then((answered) => {
        late.cancel();
        if (!client.open) return;
        if (answered.yes) this.#seat(client, frame);
        else this.#turnAway(client, 'unauthorized', `node "${frame.id}" is not authorized`, answered.error);
      });
    }
  }

  /** Never rejects. */
  async #authorized(request: IncomingMessage, hello: Hello): Promise<{ yes: boolean; error?: unknown }> {
    const { authorize } = this.#settings;
    if (authorize === undefined) return { yes: true };
    try {
      // Only true is a yes: a forgotten return must not open the door.
      const answered: unknown = await authorize(request, { cluster: hello.cluster, id: hello.id });
      return { yes: answered === true };
    } catch (error) {
      return { yes: false, error };
    }
  }

  #seat(client: ServerClient, { cluster, id }: Hello): void {
    const admission = this.#rooms.admit(client);
    if (admission.seated)
      this.emit('client:joined', { cluster, id, replaced: admission.replaced !== undefined });
    else this.#turnAway(client, admission.code, admission.reason);
  }

  #turnAway(client: ServerClient, code: RefusalCode, reason: string, error?: unknown): void {
    if (!client.open) return;
    client.refuse(code, reason);
    this.#refuse(client.hello, reason, error);
  }

  #refuse(hello: Hello | undefined, reason: string, error?: unknown): void {
    this.#refused++;
    const refusal = { cluster: hello?.cluster, id: hello?.id, reason };
    this.emit('client:refused', error === undefined ? refusal : { ...refusal, error });
  }

  #pingLater(): void {
    this.#pings = nodeEnvironment.setTimer(this.#settings.pingIntervalMs, () => {
      for (const client of this.#rooms) client.probe();
      this.#pingLater();
    });
  }
}

/**
 * Serves the rendezvous where nodes find each other: on a port of its own, or mounted on an HTTP server of yours. It relays
 * offers and answers between nodes of one cluster and never reads them; once nodes are linked it carries nothing.
 *
 * @throws {@link QuorateError} ERR_CONFIG for an option out of range; ERR_SIGNALING when the port cannot be listened on.
 *
 * @example
 * ```ts
 * const server = await serveSignaling({ port: 9000, authorize: (request) => tokens.has(request.headers['x-token']) });
 * console.log(server.url); // ws://127.0.0.1:9000/
 * await server.close();
 * ```
 */
export async function serveSignaling(options: ServeSignalingOptions = {}): Promise<SignalingServer> {
  const settings = serverSettings(options);
  if (settings.server !== undefined) return new SignalingServer(settings, settings.server);
  const http = createServer(
    { headersTimeout: Math.min(settings.announceTimeoutMs, 60_000) },
    (request, response) => {
      response
        .writeHead(pathOf(request) === trimmed(settings.path) ? 426 : 404, { connection: 'close' })
        .end();
    },
  );
  http.maxConnections = settings.maxConnections + 64; // those still in their HTTP request
  await new Promise<void>((resolve, reject) => {
    http.once('error', (cause) => {
      const message = `cannot listen on ${settings.host} port ${settings.port}: ${cause.message}`;
      reject(new QuorateError('ERR_SIGNALING', message, { cause }));
    });
    http.listen(settings.port, settings.host, resolve);
  });
  http.on('error', () => undefined); // a failed accept concerns one connection only
  return new SignalingServer(settings, http);
}

function pathOf(request: IncomingMessage): string {
  return trimmed((request.url ?? '/').split('?', 1)[0]!);
}

function trimmed(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

function answer(socket: Duplex, status: string): void {
  socket.on('error', () => undefined);
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}
