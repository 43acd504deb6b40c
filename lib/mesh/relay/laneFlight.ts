/**
 * Packets of a lane that are under way: what was acknowledged, what is lost. A packet is lost when three later ones have
 * come, or when a later one has and a little more than a round trip is over (RFC 9002, section 6.1). @internal
 */
import type { Chunk } from './laneChunks.js';
import type { Ack } from './packets.js';

/** Later packets that must have come before one counts as lost. */
const reorderThreshold = 3;

interface Sent {
  readonly packet: number;
  readonly at: number;
  readonly bytes: number;
  /** Undefined: only a ping. */
  readonly chunk: Chunk | undefined;
  flying: boolean;
}

/** What an acknowledgement brought. */
export interface Acked {
  /** Bytes of packets that were not acknowledged before. */
  readonly bytes: number;
  /** The newest of those packets, -1: there is none. */
  readonly newest: number;
  /** When the newest packet of the acknowledgement was sent, if it is acknowledged for the first time. */
  readonly sentAt: number | undefined;
  /** Something came that was not known to have come. */
  readonly progress: boolean;
}

export class Flight {
  readonly #onLost: (packet: number, chunk: Chunk | undefined) => void;
  #sent: Sent[] = [];
  #head = 0;
  #bytes = 0;
  #count = 0;
  #largestAcked = -1;

  /** `onLost`: a packet is lost, and its chunk, if it has one that was not acknowledged, is to be sent again. */
  constructor(onLost: (packet: number, chunk: Chunk | undefined) => void) {
    this.#onLost = onLost;
  }

  /** Bytes under way. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Packets under way. */
  get count(): number {
    return this.#count;
  }

  add(packet: number, at: number, bytes: number, chunk: Chunk | undefined): void {
    this.#sent.push({ packet, at, bytes, chunk, flying: true });
    this.#bytes += bytes;
    this.#count++;
  }

  /** Takes an acknowledgement in; every chunk that came is marked. */
  acknowledge(ack: Ack): Acked {
    const largest = ack.ranges[0]![1];
    let bytes = 0;
    let newest = -1;
    let sentAt: number | undefined;
    let progress = false;
    let range = 0;
    for (let i = this.#sent.length - 1; i >= this.#head && range < ack.ranges.length; i--) {
      const sent = this.#sent[i]!;
      while (range < ack.ranges.length && ack.ranges[range]![0] > sent.packet) range++;
      if (range === ack.ranges.length || sent.packet > ack.ranges[range]![1]) continue;
      // A packet that was given up may still have come.
      progress ||= sent.flying || sent.chunk?.acked === false;
      if (sent.chunk !== undefined) sent.chunk.acked = true;
      if (!sent.flying) continue;
      if (newest < 0) newest = sent.packet;
      if (sent.packet === largest) sentAt = sent.at;
      bytes += sent.bytes;
      this.#land(sent);
    }
    this.#largestAcked = Math.max(this.#largestAcked, largest);
    return { bytes, newest, sentAt, progress };
  }

  /** Gives up what is lost by now; returns when the next packet is, `Infinity`: not before an acknowledgement says so. */
  detectLosses(now: number, reorderMs: number): number {
    let next = Infinity;
    for (let i = this.#head; i < this.#sent.length; i++) {
      const sent = this.#sent[i]!;
      if (sent.packet >= this.#largestAcked) break;
      if (!sent.flying) continue;
      if (sent.packet <= this.#largestAcked - reorderThreshold || now >= sent.at + reorderMs)
        this.#lose(sent);
      else next = Math.min(next, sent.at + reorderMs);
    }
    this.#trim();
    return next;
  }

  /** Gives up the oldest packets: the time-out has passed. */
  giveUp(count: number): void {
    let left = count;
    for (let i = this.#head; i < this.#sent.length && left > 0; i++) {
      const sent = this.#sent[i]!;
      if (!sent.flying) continue;
      this.#lose(sent);
      left--;
    }
    this.#trim();
  }

  /** Gives up the packet that was added last: it never left. */
  giveUpNewest(): void {
    const sent = this.#sent.at(-1);
    if (sent?.flying === true) this.#lose(sent);
  }

  clear(): void {
    this.#sent = [];
    this.#head = this.#bytes = this.#count = 0;
  }

  #lose(sent: Sent): void {
    this.#land(sent);
    this.#onLost(sent.packet, sent.chunk);
  }

  #land(sent: Sent): void {
    sent.flying = false;
    this.#bytes -= sent.bytes;
    this.#count--;
  }

  /** Drops what is settled at the old end, but for the last few: a late acknowledgement may save a retransmission. */
  #trim(): void {
    while (this.#head < this.#sent.length - keptSettled && !this.#sent[this.#head]!.flying) this.#head++;
    if (this.#head < 256 || this.#head * 2 < this.#sent.length) return;
    this.#sent = this.#sent.slice(this.#head);
    this.#head = 0;
  }
}

/** Settled packets that are remembered. */
const keptSettled = 64;
