/** One connection at the rendezvous server, with its caps. */
import { nodeEnvironment } from '../../environment.js';
import type { Timer } from '../../environment.js';
import { WebSocket } from 'ws';
import { refusedFrame } from './protocol.js';
import type { Hello, RefusalCode } from './protocol.js';
import { TokenBucket } from '../../tokenBucket.js';

/** The caps of one connection. */
export interface ClientLimits {
  readonly messagesPerSecond: number;
  readonly messageBurst: number;
  readonly maxQueuedBytes: number;
  readonly pingTimeoutMs: number;
}

/** A large message costs as much as several small ones: one token for each started 4 KiB. */
const bytesPerToken = 4096;
const closeCode = { refused: 4000, closing: 1001 };

/** A connection, announced or not. It reports nothing by itself; its owner listens to the socket. */
export class ServerClient {
  readonly #socket: WebSocket;
  readonly #limits: ClientLimits;
  readonly #bucket: TokenBucket;
  #paused: Timer | undefined;
  #pong: Timer | undefined;
  #hello: Hello | undefined;

  constructor(socket: WebSocket, limits: ClientLimits) {
    this.#socket = socket;
    this.#limits = limits;
    this.#bucket = new TokenBucket(limits.messagesPerSecond, limits.messageBurst, nodeEnvironment.now());
  }

  /** Who this is, once it has said so. */
  get hello(): Hello | undefined {
    return this.#hello;
  }

  get open(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  announce(hello: Hello): void {
    this.#hello = hello;
  }

  /** Sends a frame; a client that reads too slowly is dropped, for a queue would hide the loss. `false`: not sent. */
  send(frame: Buffer): boolean {
    if (!this.open) return false;
    if (this.#socket.bufferedAmount + frame.length > this.#limits.maxQueuedBytes) {
      this.#socket.terminate();
      return false;
    }
    this.#socket.send(frame, { binary: false });
    return true;
  }

  /** Counts what arrived. A client above its rate is not read from until it has paid, so its own TCP holds it back. */
  charge(bytes: number): void {
    this.#alive();
    const now = nodeEnvironment.now();
    const debtMs = this.#bucket.take(Math.max(1, Math.ceil(bytes / bytesPerToken)), now);
    if (debtMs === 0 || !this.open) return;
    this.#paused?.cancel();
    this.#socket.pause();
    this.#paused = nodeEnvironment.setTimer(debtMs, () => {
      this.#paused = undefined;
      this.#socket.resume();
    });
  }

  /** Pings; a client of which nothing arrives in time is dead. One that is held back cannot be judged. */
  probe(): void {
    if (this.#pong !== undefined || this.#paused !== undefined || !this.open) return;
    this.#pong = nodeEnvironment.setTimer(this.#limits.pingTimeoutMs, () => {
      this.#pong = undefined;
      if (this.#paused === undefined) this.#socket.terminate();
    });
    this.#socket.ping();
  }

  /** Says why, and closes. */
  refuse(code: RefusalCode, reason: string): void {
    if (!this.open) return;
    this.#socket.resume(); // a paused socket would not see the other side's close
    this.#socket.send(refusedFrame(code, reason), { binary: false });
    this.#socket.close(code === 'closing' ? closeCode.closing : closeCode.refused, code);
  }

  terminate(): void {
    this.#socket.terminate();
  }

  /** Stops the timers, once the socket is gone. */
  dispose(): void {
    this.#paused?.cancel();
    this.#alive();
  }

  #alive(): void {
    this.#pong?.cancel();
    this.#pong = undefined;
  }
}
