/** Messages of any length over datagrams that get lost: one at a time to each peer, cut, acknowledged, sent again. @internal */
import type { Environment, Timer } from '../../environment.js';
import { fragments } from './lanWire.js';

/** Parts on their way at a time: what a socket's buffer surely takes. */
const window = 32;
/** Pauses after each sending that brought nothing; then the message is given up. */
const pausesMs = [50, 100, 200, 400, 800, 1600];
const maxQueued = 64;
const maxQueuedBytes = 512 * 1024;

/** What {@link LanOutbox} is made with. */
export interface LanOutboxOptions {
  readonly environment: Environment;
  /** Larger at each call. */
  readonly nextNumber: () => number;
  readonly sendPart: (number: number, place: number, count: number, body: Buffer) => void;
}

/** The messages to one peer. */
export class LanOutbox {
  readonly #options: LanOutboxOptions;
  readonly #queue: Buffer[] = [];
  #queuedBytes = 0;
  #number = 0;
  #parts: Buffer[] = [];
  readonly #missing = new Set<number>();
  #tries = 0;
  #progress = false;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: LanOutboxOptions) {
    this.#options = options;
  }

  /** Best effort: dropped when too much is waiting. */
  add(payload: Buffer): void {
    if (this.#closed || this.#queue.length >= maxQueued) return;
    if (this.#queuedBytes + payload.length > maxQueuedBytes) return;
    this.#queue.push(payload);
    this.#queuedBytes += payload.length;
    if (this.#missing.size === 0) this.#begin();
  }

  acknowledged(number: number, place: number): void {
    if (number !== this.#number || !this.#missing.delete(place)) return;
    this.#progress = true;
    if (this.#missing.size === 0) this.#begin();
    // Each part that arrived makes room for one that was not sent yet.
    else if (this.#parts.length > window && place + window < this.#parts.length) this.#send(place + window);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#missing.clear();
    this.#queue.length = 0;
  }

  #begin(): void {
    this.#timer?.cancel();
    const payload = this.#closed ? undefined : this.#queue.shift();
    if (payload === undefined) return;
    this.#queuedBytes -= payload.length;
    this.#number = this.#options.nextNumber();
    this.#parts = fragments(payload);
    for (let place = 0; place < this.#parts.length; place++) this.#missing.add(place);
    this.#tries = 0;
    this.#sendMissing();
  }

  #sendMissing(): void {
    let sent = 0;
    for (const place of this.#missing) {
      if (sent++ >= window) break;
      this.#send(place);
    }
    // Parts that had to wait for room are as young as their first sending.
    if (this.#progress) this.#tries = 0;
    this.#progress = false;
    const pause = pausesMs[this.#tries++]!;
    this.#timer = this.#options.environment.setTimer(pause, () => {
      if (this.#tries < pausesMs.length) {
        this.#sendMissing();
        return;
      }
      this.#missing.clear();
      this.#begin();
    });
  }

  #send(place: number): void {
    this.#options.sendPart(this.#number, place, this.#parts.length, this.#parts[place]!);
  }
}

/** The messages from one peer: at most one that is not complete. */
export class LanInbox {
  #done = 0;
  #number = 0;
  #parts: (Buffer | undefined)[] = [];
  #missing = 0;
  #bytes = 0;

  /** Bytes that wait for the rest of their message. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a part: a message if this was the last that it missed; otherwise whether to acknowledge it. */
  take(number: number, place: number, count: number, body: Buffer): { readonly payload: string } | boolean {
    if (number <= this.#done) return true; // the acknowledgement was lost
    if (number < this.#number) return false;
    if (number > this.#number) {
      this.clear();
      this.#number = number;
      this.#parts = new Array<Buffer | undefined>(count);
      this.#missing = count;
    }
    if (count !== this.#parts.length) return false;
    if (this.#parts[place] !== undefined) return true;
    this.#parts[place] = Buffer.from(body); // a part of the socket's buffer would keep all of it
    this.#bytes += body.length;
    if (--this.#missing > 0) return true;
    const payload = Buffer.concat(this.#parts as Buffer[]).toString('utf8');
    this.clear();
    this.#done = number;
    return { payload };
  }

  clear(): void {
    this.#parts = [];
    this.#missing = 0;
    this.#bytes = 0;
  }
}
