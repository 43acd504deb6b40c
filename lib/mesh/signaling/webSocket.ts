/** The client of the rendezvous server: keeps a seat, through outages, at the first server of a list that it can reach. */
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { described } from '../../description.js';
import type { Timer } from '../../environment.js';
import { checkName, configError, QuorateError } from '../../errors.js';
import { Backoff } from '../backoff.js';
import { Connection } from './connection.js';
import type { ConnectionEnd, ConnectionOwner } from './connection.js';
import type { Signaling, SignalingHost, SignalingSession } from './signaling.js';

/** Options of {@link webSocketSignaling}. */
export interface WebSocketSignalingOptions {
  /**
   * Addresses of rendezvous servers, `ws:` or `wss:`, 1 to 16 of them, in order of preference; give the same order to all
   * nodes. One is used at a time; a node that had to take a later one goes back to an earlier one within a minute of its
   * return, so that all nodes meet again.
   */
  readonly urls: readonly string[];
  /**
   * HTTP headers of the request, such as a token for the server's `authorize`.
   * @defaultValue no headers
   */
  readonly headers?: Readonly<Record<string, string>>;
}

const maxUrls = 16;
/** After a round of tries that brought no lasting connection. */
const outagePauseMs = { min: 500, max: 15_000 };
/** Between two urls of a round. */
const nextPauseMs = 250;
/** After a refusal, at least half of it: asking again soon would only be a quarrel. */
const refusedPauseMs = 10_000;
/** How long a node stays at a later url, at most, before it looks for an earlier one. */
const lookPauseMs = 60_000;
/** A connection that lived this long ends an outage. */
const stableMs = 5_000;

/**
 * Finds peers through servers started with {@link serveSignaling} or `npx quorate signal`. Starting never fails because a
 * server is out of reach: that is a warning, once per outage, and the node tries on with growing, jittered pauses. May be
 * shared by several meshes; each has a connection of its own.
 *
 * Warnings carry ERR_SIGNALING (out of reach, or a server that breaks the protocol), ERR_SIGNALING_UNAUTHORIZED (its
 * `authorize` said no) or ERR_PEER_REPLACED (a newer run of this node's id took the seat); after the last two, and any other
 * refusal, tries are at least 5 s apart.
 *
 * @throws {@link QuorateError} ERR_CONFIG for an address or a header that cannot be used.
 *
 * @example
 * ```ts
 * const signaling = webSocketSignaling({
 *   urls: ['wss://one.example/signal', 'wss://two.example/signal'],
 *   headers: { authorization: `Bearer ${token}` },
 * });
 * ```
 */
export function webSocketSignaling(target: string | WebSocketSignalingOptions): Signaling {
  const options = typeof target === 'string' ? { urls: [target] } : target;
  const urls = checkUrls(options.urls);
  const headers = checkHeaders(options.headers ?? {});
  const signaling: Signaling = {
    kind: 'websocket',
    start(host) {
      checkName('id', host.id);
      checkName('cluster', host.cluster);
      checkName('incarnation', host.incarnation);
      return Promise.resolve(new WebSocketSession(urls, headers, host));
    },
  };
  return described(signaling, 'webSocketSignaling', [{ urls, headers }]);
}

class WebSocketSession implements SignalingSession {
  readonly #urls: readonly string[];
  readonly #headers: Readonly<Record<string, string>>;
  readonly #host: SignalingHost;
  /** The connection with a seat, the place of its url in the list, and since when. */
  #active: { readonly connection: Connection; readonly place: number; readonly since: number } | undefined;
  #attempt: Connection | undefined;
  readonly #leaving = new Set<Promise<void>>();
  #timer: Timer | undefined;
  readonly #pauses: Readonly<Record<'outage' | 'next' | 'refused' | 'look', Backoff>>;
  readonly #warned = new Set<string>();
  /** What the host was told last. */
  readonly #present = new Set<string>();
  #closed = false;

  constructor(urls: readonly string[], headers: Readonly<Record<string, string>>, host: SignalingHost) {
    this.#urls = urls;
    this.#headers = headers;
    this.#host = host;
    const random = (): number => host.environment.random();
    this.#pauses = {
      outage: new Backoff(outagePauseMs.min, outagePauseMs.max, random),
      next: new Backoff(nextPauseMs, nextPauseMs, random),
      refused: new Backoff(refusedPauseMs, refusedPauseMs, random),
      look: new Backoff(lookPauseMs, lookPauseMs, random),
    };
    this.#try(0);
  }

  get connected(): boolean {
    return this.#active !== undefined;
  }

  send(to: string, payload: string): void {
    this.#active?.connection.send(to, payload);
  }

  /** A socket that is bound to an address that is gone stays open for long, and carries nothing. */
  moved(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    const before = [this.#active?.connection, this.#attempt];
    this.#active = undefined;
    this.#attempt = undefined;
    for (const connection of before) if (connection !== undefined) this.#leave(connection);
    this.#pauses.outage.reset();
    this.#try(0);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    if (this.#active !== undefined) this.#leave(this.#active.connection);
    if (this.#attempt !== undefined) this.#leave(this.#attempt);
    this.#active = undefined;
    this.#attempt = undefined;
    await Promise.all(this.#leaving);
  }

  #try(place: number): void {
    const connection: Connection = new Connection(this.#urls[place]!, this.#headers, this.#host, {
      onWelcome: (peers) => this.#welcomed(connection, place, peers),
      onPresence: (peer, present) => this.#presence(peer, present),
      onMessage: (from, payload) => this.#host.onMessage(from, payload),
      onEnd: (end) => {
        if (this.#attempt === connection) this.#failed(place, end);
        else this.#lost(end);
      },
    } satisfies ConnectionOwner);
    this.#attempt = connection;
  }

  #later(pause: 'outage' | 'next' | 'refused' | 'look', place: number): void {
    if (this.#closed) return; // by the host, inside a warning
    this.#timer?.cancel();
    this.#timer = this.#host.environment.setTimer(this.#pauses[pause].next(), () => this.#try(place));
  }

  #welcomed(connection: Connection, place: number, peers: ReadonlySet<string>): void {
    const before = this.#active;
    this.#active = { connection, place, since: this.#host.environment.now() };
    this.#attempt = undefined;
    if (before !== undefined) this.#leave(before.connection);
    if (place > 0) this.#later('look', 0);
    for (const peer of [...this.#present]) {
      if (!peers.has(peer)) this.#presence(peer, false);
    }
    for (const peer of [...peers]) this.#presence(peer, true);
  }

  /** A try came to nothing. */
  #failed(place: number, end: ConnectionEnd): void {
    this.#attempt = undefined;
    const next = place + 1;
    if (this.#active !== undefined) {
      // It was a look for an earlier url, and all is well without.
      if (next < this.#active.place) this.#later('next', next);
      else this.#later('look', 0);
      return;
    }
    const rest = next < this.#urls.length;
    // The first url out of reach is no news while another may answer.
    if (end.kind !== 'lost' || !rest) this.#warn(end);
    if (end.kind === 'refused') this.#later('refused', rest ? next : 0);
    else if (rest) this.#later('next', next);
    else this.#later('outage', 0);
  }

  /** The seat is gone. */
  #lost(end: ConnectionEnd): void {
    if (this.#active === undefined) return;
    const lived = this.#host.environment.now() - this.#active.since;
    this.#active = undefined;
    if (lived >= stableMs) {
      this.#pauses.outage.reset();
      this.#warned.clear();
    }
    if (end.kind !== 'lost') this.#warn(end);
    if (this.#attempt !== undefined) return; // goes on by itself
    this.#later(end.kind === 'refused' ? 'refused' : 'outage', 0);
  }

  /** Once per outage and kind of trouble. */
  #warn({ error }: ConnectionEnd): void {
    if (this.#warned.has(error.code)) return;
    this.#warned.add(error.code);
    this.#host.onWarning(error);
  }

  #presence(peer: string, present: boolean): void {
    if (this.#closed || peer === this.#host.id) return;
    if (present) this.#present.add(peer);
    else this.#present.delete(peer);
    this.#host.onPresence(peer, present);
  }

  #leave(connection: Connection): void {
    const gone = connection.close().then(() => void this.#leaving.delete(gone));
    this.#leaving.add(gone);
  }
}

function checkUrls(urls: unknown): readonly string[] {
  if (!Array.isArray(urls) || urls.length < 1 || urls.length > maxUrls) {
    throw configError('urls', urls, `an array of 1 to ${maxUrls} addresses`);
  }
  return urls.map((value: unknown) => {
    const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
    const usable = url !== undefined && /^wss?:$/.test(url.protocol) && url.hash === '';
    if (!usable) throw configError('url', value, 'an address that begins with ws: or wss: and has no #');
    return url.href;
  });
}

function checkHeaders(headers: unknown): Readonly<Record<string, string>> {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    throw configError('headers', headers, 'an object of strings');
  }
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value as string);
      if (typeof value !== 'string') throw new TypeError('not a string');
    } catch (cause) {
      // The value may be a secret: it is not shown.
      const message = `headers[${JSON.stringify(name)}] must be a valid HTTP header with a string value`;
      throw new QuorateError('ERR_CONFIG', message, { cause });
    }
  }
  return { ...headers };
}
