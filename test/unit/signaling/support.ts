import { once } from 'node:events';
import type { Server } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type { ClientOptions, ServerOptions } from 'ws';
import { nodeEnvironment } from '../../../lib/environment.js';
import type { Environment, Timer } from '../../../lib/environment.js';
import { QuorateError } from '../../../lib/errors.js';
import { webSocketSignaling } from '../../../lib/mesh/signaling/webSocket.js';
import type { WebSocketSignalingOptions } from '../../../lib/mesh/signaling/webSocket.js';
import { serveSignaling } from '../../../lib/mesh/signaling/server.js';
import type { SignalingServer } from '../../../lib/mesh/signaling/server.js';
import type { ServeSignalingOptions } from '../../../lib/mesh/signaling/serverOptions.js';
import type { SignalingHost, SignalingSession } from '../../../lib/mesh/signaling/signaling.js';

/** Waits for a condition, not for a time; the limit is only there to fail a broken test. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const limit = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > limit) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** A clock that moves only when told to, beside real sockets. */
export class ManualEnvironment implements Environment {
  readonly files = nodeEnvironment.files;
  readonly #timers = new Set<{ at: number; delayMs: number; callback: () => void }>();
  #now = 0;

  now(): number {
    return this.#now;
  }
  wallClock(): number {
    return this.#now;
  }
  random(): number {
    return 0; // the shortest jitter
  }
  randomBytes(length: number): Uint8Array {
    return new Uint8Array(length);
  }
  defer(callback: () => void): void {
    setImmediate(callback);
  }
  hold(): Timer {
    return { cancel: () => undefined };
  }
  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { at: this.#now + delayMs, delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }
  /** The delays of the timers that run. */
  delays(): number[] {
    return [...this.#timers].map((timer) => timer.delayMs);
  }
  /** Ends the pause before the next try; while a try is under way there is none. */
  retry(): void {
    const pauses = this.delays().filter((delay) => delay < 10_000);
    if (pauses.length > 0) this.advance(Math.min(...pauses));
  }
  advance(ms: number): void {
    this.#now += ms;
    for (const timer of [...this.#timers]) {
      if (timer.at <= this.#now && this.#timers.delete(timer)) timer.callback();
    }
  }
}

/** A host that writes down what it hears. */
export class TestHost implements SignalingHost {
  readonly id: string;
  readonly cluster: string;
  readonly incarnation: string;
  readonly environment: Environment;
  readonly present = new Set<string>();
  readonly presence: string[] = [];
  readonly messages: [from: string, payload: string][] = [];
  readonly warnings: Error[] = [];

  constructor(
    id: string,
    options: { cluster?: string; incarnation?: string; environment?: Environment } = {},
  ) {
    this.id = id;
    this.cluster = options.cluster ?? 'test';
    this.incarnation = options.incarnation ?? '1';
    this.environment = options.environment ?? nodeEnvironment;
  }
  onPresence(peer: string, present: boolean): void {
    this.presence.push(`${present ? '+' : '-'}${peer}`);
    if (present) this.present.add(peer);
    else this.present.delete(peer);
  }
  onMessage(from: string, payload: string): void {
    this.messages.push([from, payload]);
  }
  onWarning(error: Error): void {
    this.warnings.push(error);
  }
  codes(): string[] {
    return this.warnings.map((warning) => (warning instanceof QuorateError ? warning.code : String(warning)));
  }
}

/** A client that can say anything. */
export class RawClient {
  readonly socket: WebSocket;
  readonly frames: { type?: string; code?: string; id?: string; from?: string; body: string }[] = [];
  closeCode: number | undefined;

  constructor(url: string, options: ClientOptions = {}) {
    this.socket = new WebSocket(url, options);
    this.socket.on('message', (data: Buffer) => {
      const text = data.toString();
      const end = text.indexOf('\n');
      this.frames.push({ ...(JSON.parse(text.slice(0, end)) as object), body: text.slice(end + 1) });
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', (code) => (this.closeCode = code));
  }
  static async open(url: string, options?: ClientOptions): Promise<RawClient> {
    const client = new RawClient(url, options);
    await once(client.socket, 'open');
    return client;
  }
  hello(hello: object = {}): void {
    this.say({ type: 'hello', version: 1, cluster: 'test', id: 'raw', incarnation: '1', ...hello });
  }
  say(header: object, body = ''): void {
    this.socket.send(`${JSON.stringify(header)}\n${body}`);
  }
  has(type: string): boolean {
    return this.frames.some((frame) => frame.type === type);
  }
  get refusal(): string | undefined {
    return this.frames.find((frame) => frame.type === 'refused')?.code;
  }
  close(): void {
    this.socket.terminate();
  }
  async closed(): Promise<void> {
    await until('the end of the connection', () => this.closeCode !== undefined);
  }
}

/** Opens what a test needs, and closes it whatever comes. */
export class Fixture {
  #closers: (() => unknown)[] = [];

  add<T extends { close(): unknown }>(thing: T): T {
    this.#closers.push(() => thing.close());
    return thing;
  }
  async closeAll(): Promise<void> {
    const closers = this.#closers.reverse();
    this.#closers = [];
    for (const close of closers) await close();
  }

  async serve(options: ServeSignalingOptions = {}): Promise<SignalingServer> {
    return this.add(await serveSignaling(options));
  }
  async open(url: string, options?: ClientOptions): Promise<RawClient> {
    return this.add(await RawClient.open(url, options));
  }
  async seated(url: string, hello: object = {}, options?: ClientOptions): Promise<RawClient> {
    const client = await this.open(url, options);
    client.hello(hello);
    await until('the welcome', () => client.has('welcome'));
    return client;
  }

  async start(host: TestHost, target: string | WebSocketSignalingOptions): Promise<SignalingSession> {
    return this.add(await webSocketSignaling(target).start(host));
  }
  async joined(host: TestHost, target: string | WebSocketSignalingOptions): Promise<SignalingSession> {
    const session = await this.start(host, target);
    await until(`${host.id} connected`, () => session.connected);
    return session;
  }
  /** A server that says what the test wants; returns its url. */
  async rogue(talk: (socket: WebSocket) => void, options: ServerOptions = {}): Promise<string> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
    server.on('connection', (socket) => {
      socket.on('error', () => undefined);
      talk(socket);
    });
    this.add({
      close: () => {
        for (const socket of server.clients) socket.terminate();
        server.close();
      },
    });
    await once(server, 'listening');
    return `ws://127.0.0.1:${(server.address() as { port: number }).port}/`;
  }
  /** Any server, on a free port or a given one; returns its port. */
  async listen(server: Server, port = 0): Promise<number> {
    this.add({ close: () => server.close() });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as { port: number }).port;
  }
}

/** A port that nobody listens on, at least for now. */
export async function freePort(): Promise<number> {
  const server = await serveSignaling();
  await server.close();
  return server.port;
}

/** The TCP socket of a WebSocket, to send what is none of its frames. */
export function underneath(socket: WebSocket): NodeJS.WritableStream {
  return (socket as unknown as { _socket: NodeJS.WritableStream })._socket;
}

/** Lets the event loop go round, so that what the kernel has is read. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
}

/** A round trip through the server: what was sent before has been handled. */
export async function settled(from: RawClient): Promise<void> {
  from.socket.ping();
  await once(from.socket, 'pong');
}

/** The code of the error that something throws or rejects with. */
export async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    return (error as QuorateError).code;
  }
  throw new Error('nothing was thrown');
}
