/**
 * One lane of a relayed link: ordered and reliable over datagrams that are lost, doubled and overtake each other. A chunk that
 * was lost goes out again in a new packet with a new number: so a nonce is never used twice, an acknowledgement says which
 * sending it answers (no ambiguity in round trips), and what rides along is fresh. The price is sealing it again, some
 * microseconds, and only for what was lost. @internal
 */
import { watermarks } from '../limits.js';
import type { Lane, LaneName } from '../transport.js';
import { Assembly } from './laneAssembly.js';
import { ChunkWriter, maxMessageBytes } from './laneChunks.js';
import type { Chunk } from './laneChunks.js';
import { CongestionWindow } from './laneCongestion.js';
import { Flight } from './laneFlight.js';
import { ReceivedPackets, maxAckDelayMs } from './laneReceived.js';
import { RoundTripEstimate } from './laneRoundTrip.js';
import type { RelayCounters } from './metrics.js';
import { FrameFlag, maxChunkBytes, maxPacketBytes, numberOf, readFrames, writeFrames } from './packets.js';
import type { Ack, Frames } from './packets.js';
import type { Opener, Sealer } from './seal.js';

const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * Most bytes under way. A megabyte covers 25 MB/s at 40 ms, more than control needs; bulk may use more of a long path. The
 * relay's queues are the real limit: it drops what is too much for them.
 */
const maxUnderWay: Readonly<Record<LaneName, number>> = { control: MiB, bulk: 2 * MiB };
/** What a receiver keeps that came before its turn; part of the protocol, the sender stays within. */
const windowBytes: Readonly<Record<LaneName, number>> = { control: 2 * MiB, bulk: 4 * MiB };
const windowChunks = 1024;
/** Packets under way: so that a crowd of tiny ones costs little to keep account of. */
const maxPacketsUnderWay = 512;
/** What a lane holds before the link breaks: far above the marks at which the mesh stops. */
const maxWaitingBytes = 16 * MiB;
const maxWaitingChunks = 16 * KiB;
const chunkOverhead = 64;

/** What a lane needs of its link. */
export interface LaneHost {
  readonly open: boolean;
  now(): number;
  /** A sealed packet leaves. `false`: it was dropped at once. */
  transmit(lane: LaneName, packet: Uint8Array): boolean;
  /** Something waits to be sent: flush in a microtask. */
  soon(): void;
  /** The lane is broken, and the link with it. */
  broken(reason: string): void;
}

const nothing = new Uint8Array(0);

export class RelayLane implements Lane {
  readonly maxMessageSize = maxMessageBytes;
  onMessage: ((message: Uint8Array) => void) | undefined;
  onDrain: (() => void) | undefined;
  readonly #name: LaneName;
  readonly #host: LaneHost;
  readonly #counters: RelayCounters;
  readonly #sealer: Sealer;
  readonly #opener: Opener;
  readonly #head = new Uint8Array(maxPacketBytes - maxChunkBytes);
  readonly #chunks = new ChunkWriter();
  readonly #flight: Flight;
  readonly #window: CongestionWindow;
  readonly #roundTrip = new RoundTripEstimate();
  readonly #received = new ReceivedPackets();
  readonly #assembly: Assembly;
  /** Chunks that were sent and are not known to have come, in order, behind a moving head; and what they cost. */
  #unacked: Chunk[] = [];
  #unackedHead = 0;
  #unackedCost = 0;
  #nextSeq = 0;
  #lost: Chunk[] = [];
  #pingWanted = false;
  #listening = false;
  #full = false;
  #probing = false;
  #aboveLow = false;
  /** The retransmission time-out counts from here. */
  #timerFrom = 0;
  #lossAt = Infinity;
  /** The port refused a packet: not before then. */
  #retryAt = 0;
  #restingSince: number;
  /** Since when something is under way, and nothing was acknowledged. */
  #silentSince = Infinity;

  constructor(name: LaneName, host: LaneHost, counters: RelayCounters, sealer: Sealer, opener: Opener) {
    this.#name = name;
    this.#host = host;
    this.#counters = counters;
    this.#sealer = sealer;
    this.#opener = opener;
    this.#window = new CongestionWindow(maxUnderWay[name]);
    this.#flight = new Flight((packet, chunk) => this.#isLost(packet, chunk));
    this.#assembly = new Assembly(windowBytes[name], windowChunks, (message) => this.onMessage?.(message));
    this.#restingSince = host.now();
  }

  /** What was given to `send` and was not sent even once: what is under way delays nothing that comes later. */
  get bufferedAmount(): number {
    return this.#chunks.waiting;
  }

  /** Bytes kept for the other end's sake. */
  get held(): number {
    return this.#assembly.held;
  }

  /** Since when the other end owes an acknowledgement; `Infinity`: it owes none. */
  get silentSince(): number {
    return this.#silentSince;
  }

  /** This node stood still for so long: that time does not count as silence of the other end. */
  excuse(ms: number): void {
    this.#silentSince += ms;
  }

  send(message: Uint8Array): boolean {
    if (!this.#host.open || message.length > maxMessageBytes) return false;
    const { waiting, count } = this.#chunks;
    if (waiting + message.length > maxWaitingBytes || count >= maxWaitingChunks) {
      this.#host.broken('too much waits to be sent');
      return false;
    }
    this.#chunks.write(message);
    if (this.#chunks.waiting > watermarks[this.#name].low) this.#aboveLow = true;
    this.#host.soon();
    return true;
  }

  /** Asks the other end for a sign of life. */
  ping(): void {
    this.#pingWanted = true;
    this.#host.soon();
  }

  /** Hands out messages from now on. */
  listen(): void {
    this.#listening = true;
    this.#run();
  }

  /** Takes a packet. `undefined`: it is to be ignored; else it is from the other end, and may close the link. */
  receive(packet: Buffer): Frames | undefined {
    const now = this.#host.now();
    const number = numberOf(packet);
    if (this.#received.seen(number)) {
      // Perhaps a replay, so nothing is believed; but perhaps our word was lost.
      this.#counters.packetsRepeated++;
      return undefined;
    }
    const plain = this.#opener.open(packet, number);
    if (plain === undefined) {
      this.#counters.packetsForged++;
      return undefined;
    }
    this.#counters.packetsReceived++;
    const frames = readFrames(plain);
    if (frames === undefined) {
      this.#host.broken('a packet that does not decode');
      return undefined;
    }
    const { ack, chunk } = frames;
    if (ack !== undefined) this.#acknowledged(ack, now);
    if (!this.#host.open) return undefined;
    // What is not kept is not acknowledged either: it will come again.
    if (chunk !== undefined && this.#assembly.take(chunk.seq, chunk.bytes) === 'outside') return frames;
    this.#received.add(number, frames.ping || chunk !== undefined, now);
    return frames;
  }

  /** Delivers what has become whole. */
  deliver(): void {
    if (this.#listening) this.#run();
  }

  /** Sends what may be sent now, and acknowledges what is due. */
  flush(): void {
    const now = this.#host.now();
    if (now >= this.#retryAt) this.#sendChunks(now);
    if (this.#pingWanted && now >= this.#retryAt) this.#transmit(FrameFlag.ping, undefined, now);
    if (now >= this.#received.dueAt) this.#transmit(0, undefined, now);
    this.#drained();
  }

  /** Sends what may be sent, and calls nobody back: the link is being closed. */
  sendNow(): void {
    const now = this.#host.now();
    if (now >= this.#retryAt && !this.#sealer.spent) this.#sendChunks(now);
  }

  /** Looks at the clock: what is lost by now, what is due; returns when to look again. */
  check(now: number): number {
    if (now >= this.#lossAt) this.#detectLosses(now);
    const timeoutAt = this.#timerFrom + this.#roundTrip.timeoutMs;
    if (this.#flight.count > 0 && now >= timeoutAt) this.#timedOut(now);
    this.flush();
    return this.deadline;
  }

  /** When `check` is due. */
  get deadline(): number {
    let at = Math.min(this.#received.dueAt, this.#lossAt);
    if (this.#flight.count > 0) at = Math.min(at, this.#timerFrom + this.#roundTrip.timeoutMs);
    if (this.#wants && this.#retryAt > this.#host.now()) at = Math.min(at, this.#retryAt);
    return at;
  }

  /** The last packet: tells the other end that the link is over. Returned for those who ask again. */
  farewell(): Uint8Array | undefined {
    if (this.#sealer.spent) return undefined;
    const packet = this.#sealer.seal(Uint8Array.of(FrameFlag.close), nothing);
    this.#host.transmit(this.#name, packet);
    return packet;
  }

  close(): void {
    this.#chunks.clear();
    this.#flight.clear();
    this.#assembly.close();
    this.#unacked = [];
    this.#lost = [];
    this.#pingWanted = false;
    this.#lossAt = Infinity;
  }

  get #wants(): boolean {
    return this.#pingWanted || this.#lost.length > 0 || this.#chunks.count > 0;
  }

  #run(): void {
    const problem = this.#assembly.run();
    if (problem !== undefined) this.#host.broken(problem);
  }

  #sendChunks(now: number): void {
    if (this.#flight.count === 0 && this.#wants && now - this.#restingSince > this.#roundTrip.timeoutMs)
      this.#window.rested();
    for (;;) {
      const again = this.#nextLost();
      const bytes = again?.bytes.length ?? this.#chunks.nextBytes;
      if (bytes === 0) return;
      if (this.#flight.count > 0 && this.#flight.bytes + bytes > this.#window.bytes) {
        this.#full = true;
        return;
      }
      if (this.#flight.count >= maxPacketsUnderWay) return;
      let chunk = again;
      if (chunk === undefined) {
        const cost = this.#unackedCost + bytes + chunkOverhead;
        const count = this.#unacked.length - this.#unackedHead;
        if (count > 0 && (cost > windowBytes[this.#name] || count >= windowChunks)) {
          // All of it may have come, and only the word of its delivery been lost.
          if (this.#flight.count === 0) this.#pingWanted = true;
          return;
        }
        chunk = this.#chunks.take()!;
        this.#unacked.push(chunk);
        this.#unackedCost = cost;
        this.#nextSeq = chunk.seq + 1;
      } else {
        this.#lost.shift();
        chunk.lost = false;
      }
      if (!this.#transmit(FrameFlag.chunk, chunk, now)) return;
    }
  }

  #nextLost(): Chunk | undefined {
    while (this.#lost[0]?.acked === true) this.#lost.shift();
    return this.#lost[0];
  }

  /** Sends one packet; what was received rides along. `false`: the port would not have it. */
  #transmit(flags: number, chunk: Chunk | undefined, now: number): boolean {
    const sealer = this.#sealer;
    if (sealer.spent) {
      this.#host.broken('the keys are worn out');
      return false;
    }
    const ack = this.#received.take(this.#assembly.next, now);
    const head = this.#head;
    const ping = this.#pingWanted && flags !== 0 ? FrameFlag.ping : 0;
    const length = writeFrames(
      head,
      flags | ping | (ack === undefined ? 0 : FrameFlag.ack),
      ack,
      chunk?.seq ?? 0,
    );
    const number = sealer.next;
    const packet = sealer.seal(head.subarray(0, length), chunk?.bytes ?? nothing);
    this.#counters.packetsSent++;
    const left = this.#host.transmit(this.#name, packet);
    if (flags === 0) return left; // bare acknowledgements are not acknowledged, and the next one says it all again
    if (ping !== 0) this.#pingWanted = false;
    if (this.#flight.count === 0) this.#timerFrom = now;
    this.#silentSince = Math.min(this.#silentSince, now);
    this.#flight.add(number, now, chunk?.bytes.length ?? 0, chunk);
    if (left) return true;
    this.#counters.packetsRefused++;
    this.#roundTrip.backOff();
    this.#retryAt = now + this.#roundTrip.timeoutMs;
    this.#flight.giveUpNewest();
    return false;
  }

  #acknowledged(ack: Ack, now: number): void {
    if (ack.ranges[0]![1] >= this.#sealer.next || ack.nextChunk > this.#nextSeq) {
      this.#host.broken('an acknowledgement of what was never sent');
      return;
    }
    const full = this.#full;
    const acked = this.#flight.acknowledge(ack);
    if (acked.sentAt !== undefined)
      this.#roundTrip.sample(now - acked.sentAt - Math.min(ack.delayMs, 2 * maxAckDelayMs));
    if (acked.progress) this.#roundTrip.progressed();
    if (acked.newest >= 0) {
      this.#window.acked(acked.bytes, acked.newest, full);
      this.#timerFrom = now;
      this.#retryAt = 0;
      this.#restingSince = now;
      this.#full = false;
    }
    this.#dropAcked(ack.nextChunk);
    this.#detectLosses(now);
    this.#nextLost();
    if (this.#flight.count === 0 && !this.#wants) this.#silentSince = Infinity;
    else if (acked.progress) this.#silentSince = now;
  }

  #dropAcked(nextChunk: number): void {
    const unacked = this.#unacked;
    for (;;) {
      const chunk = unacked[this.#unackedHead];
      if (chunk === undefined) break;
      if (chunk.seq < nextChunk) chunk.acked = true;
      // Only what the other end delivered leaves the window: the rest still takes its room there.
      else break;
      this.#unackedCost -= chunk.bytes.length + chunkOverhead;
      this.#unackedHead++;
    }
    if (this.#unackedHead === unacked.length) {
      unacked.length = 0;
      this.#unackedHead = 0;
    } else if (this.#unackedHead > 256 && this.#unackedHead * 2 > unacked.length) {
      this.#unacked = unacked.slice(this.#unackedHead);
      this.#unackedHead = 0;
    }
  }

  #detectLosses(now: number): void {
    this.#lossAt = this.#flight.detectLosses(now, this.#roundTrip.reorderMs);
  }

  #isLost(packet: number, chunk: Chunk | undefined): void {
    this.#counters.packetsLost++;
    if (chunk === undefined) {
      this.#pingWanted = true;
    } else if (!chunk.acked && !chunk.lost) {
      chunk.lost = true;
      this.#lost.push(chunk);
    }
    // A probe after the first time-out says nothing yet about the path.
    if (!this.#probing) this.#window.lost(packet, this.#sealer.next);
  }

  /**
   * Nothing came back in time. First the oldest two packets again, as a probe (RFC 9002, section 6.2): whatever comes back tells
   * what else is lost. Then everything, with the smallest window.
   */
  #timedOut(now: number): void {
    const first = this.#roundTrip.backoff === 0;
    this.#roundTrip.backOff();
    this.#timerFrom = now;
    if (!first) this.#window.collapse(this.#sealer.next);
    this.#probing = first;
    this.#flight.giveUp(first ? 2 : Infinity);
    this.#probing = false;
  }

  #drained(): void {
    if (!this.#aboveLow || !this.#host.open || this.#chunks.waiting > watermarks[this.#name].low) return;
    this.#aboveLow = false;
    this.onDrain?.();
  }
}
