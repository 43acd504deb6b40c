/** What `serveSignaling` can be told, and its checks. */
import type { IncomingMessage, Server } from 'node:http';
import { checkNumber, configError } from '../../errors.js';

/** Decides whether a node may take its seat; see {@link ServeSignalingOptions.authorize}. */
export type Authorize = (
  request: IncomingMessage,
  node: { readonly cluster: string; readonly id: string },
) => boolean | Promise<boolean>;

/** Options of {@link serveSignaling}. */
export interface ServeSignalingOptions {
  /**
   * The TCP port to listen on, 0 to 65535; 0 picks a free one. Not with `server`.
   * @defaultValue 0
   */
  readonly port?: number;
  /**
   * The address to listen on. The default is reached from this machine only. Not with `server`.
   * @defaultValue '127.0.0.1'
   */
  readonly host?: string;
  /** An HTTP or HTTPS server of yours to mount on. It stays yours: `close()` leaves it listening. */
  readonly server?: Server;
  /**
   * The path to serve, beginning with `/`. Upgrade requests for other paths are left to the other listeners of a mounted
   * server, and answered with 404 where there are none.
   * @defaultValue '/'
   */
  readonly path?: string;
  /**
   * Asked once per connection, after the node has said its name. Only `true` lets it in; a throw, a rejection and silence
   * until `announceTimeoutMs` are a no. The node hears ERR_SIGNALING_UNAUTHORIZED. Without it everybody who reaches the port
   * may take a seat; what protects the mesh itself is its secret.
   */
  readonly authorize?: Authorize;
  /**
   * Origins of web pages that may connect, such as `https://app.example`. Requests without an Origin header, as Node sends
   * them, are not concerned. The default keeps strange web pages away from a server on the loopback address.
   * @defaultValue []
   */
  readonly origins?: readonly string[];
  /**
   * The most clusters at a time, 1 to 1,000,000.
   * @defaultValue 1024
   */
  readonly maxRooms?: number;
  /**
   * The most nodes of one cluster, 1 to 10,000.
   * @defaultValue 256
   */
  readonly maxClientsPerRoom?: number;
  /**
   * The most connections at a time, announced or not, 1 to 1,000,000.
   * @defaultValue 4096
   */
  readonly maxConnections?: number;
  /**
   * Messages per second and node, 1 to 1,000,000. A payload counts as one message for each started 4 KiB. Who is faster is
   * not read from until the rate is kept; nothing is lost.
   * @defaultValue 200
   */
  readonly messagesPerSecond?: number;
  /**
   * Messages that a node may send at once after a quiet time, 1 to 1,000,000.
   * @defaultValue 1000
   */
  readonly messageBurst?: number;
  /**
   * Bytes that may wait for a node that reads slowly, 128 KiB to 1 GiB. A node above it is disconnected.
   * @defaultValue 4194304
   */
  readonly maxQueuedBytes?: number;
  /**
   * How long a connection may take to say its name and be authorized, 100 ms to 10 min.
   * @defaultValue 10000
   */
  readonly announceTimeoutMs?: number;
  /**
   * How often every node is pinged, 100 ms to 10 min.
   * @defaultValue 10000
   */
  readonly pingIntervalMs?: number;
  /**
   * How long a node may take to answer a ping before it is disconnected, 100 ms to 10 min.
   * @defaultValue 10000
   */
  readonly pingTimeoutMs?: number;
}

/** {@link ServeSignalingOptions}, complete. @internal */
export type ServerSettings = Required<Omit<ServeSignalingOptions, 'server' | 'authorize'>> & {
  readonly server: Server | undefined;
  readonly authorize: Authorize | undefined;
};

const minute = 60_000;

/** Throws ERR_CONFIG for whatever is out of range. @internal */
export function serverSettings(options: ServeSignalingOptions): ServerSettings {
  const { server, authorize, host = '127.0.0.1', path = '/', origins = [] } = options;
  if (server !== undefined) {
    if (options.port !== undefined) throw configError('port', options.port, 'absent when server is given');
    if (options.host !== undefined) throw configError('host', options.host, 'absent when server is given');
    if (typeof (server as Partial<Server>).on !== 'function')
      throw configError('server', server, 'an http.Server');
  }
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw configError('authorize', authorize, 'a function');
  }
  if (typeof host !== 'string' || host === '') throw configError('host', host, 'a host name or address');
  if (typeof path !== 'string' || !/^\/[^?#\s]*$/.test(path)) {
    throw configError('path', path, 'a path that begins with / and has no ?, # or space');
  }
  if (!Array.isArray(origins) || !origins.every((origin) => typeof origin === 'string')) {
    throw configError('origins', origins, 'an array of strings');
  }
  const number = (name: keyof ServeSignalingOptions, fallback: number, min: number, max: number): number =>
    checkNumber(name, options[name] ?? fallback, min, max);
  return {
    server,
    authorize,
    host,
    path,
    origins,
    port: number('port', 0, 0, 65_535),
    maxRooms: number('maxRooms', 1024, 1, 1_000_000),
    maxClientsPerRoom: number('maxClientsPerRoom', 256, 1, 10_000),
    maxConnections: number('maxConnections', 4096, 1, 1_000_000),
    messagesPerSecond: number('messagesPerSecond', 200, 1, 1_000_000),
    messageBurst: number('messageBurst', 1000, 1, 1_000_000),
    maxQueuedBytes: number('maxQueuedBytes', 4 * 1024 * 1024, 128 * 1024, 1024 ** 3),
    announceTimeoutMs: number('announceTimeoutMs', 10_000, 100, 10 * minute),
    pingIntervalMs: number('pingIntervalMs', 10_000, 100, 10 * minute),
    pingTimeoutMs: number('pingTimeoutMs', 10_000, 100, 10 * minute),
  };
}
