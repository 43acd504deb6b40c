/**
 * One direction of a lane: an ordered reliable stream over a lossy path, as SCTP over UDP is (RFC 9260 §6.3). What is sent in
 * one turn travels as one batch, with one event when nothing goes wrong.
 *
 * Not modelled: the congestion window, and chance loss of acknowledgements, which are cumulative and so cover for each other.
 * @internal
 */
import { crc32 } from '../../../crc.js';
import { watermarks } from '../../../mesh/limits.js';
import type { Lane, LaneName } from '../../../mesh/transport.js';
import { Phase, type Event } from '../scheduler.js';
import { Batch, Flight } from './flight.js';
import { Inbox } from './inbox.js';
import type { LinkEnd } from './link.js';
import { packetsOf } from './way.js';
import type { Way } from './way.js';
import type { World } from './world.js';

const maxMessageSize = 262_144;
/** What a lane holds before the link breaks. */
const maxWaitingBytes = 64 * 1024 * 1024;
const maxWaitingMessages = 100_000;
/** A batch takes no more than this, so that a long turn leaves bit by bit. */
const batchBytes = 65_536;
/** Retransmission time-outs, as libdatachannel sets them. */
const minTimeoutMs = 200;
const maxTimeoutMs = 10_000;
/** A lost packet that so many follow is noticed by its gap, not by a time-out (RFC 9260 §7.2.4). */
const fastPackets = 4;

export class SimLane implements Lane {
  readonly maxMessageSize = maxMessageSize;
  onDrain: (() => void) | undefined;
  readonly #name: LaneName;
  readonly #end: LinkEnd;
  readonly #way: Way;
  readonly #world: World;
  readonly #inbox: Inbox;
  readonly #low: number;
  #other!: SimLane;

  /** The batch that this turn fills. */
  #loading: Batch | undefined;
  readonly #flight = new Flight();
  /** Batches that wait for room in the send window. */
  #waiting: Batch[] = [];
  #waitingBytes = 0;
  #waitingMessages = 0;
  /** When the last byte given to the wire has left. */
  #busyUntil = 0;
  #lastArrival = 0;
  #timeoutMs = 0;
  #resend: Event | undefined;
  #wake: Event | undefined;
  #drain: { cancel(): void } | undefined;
  /** More than the low-water mark was buffered since `onDrain` was last called. */
  #high = false;

  constructor(name: LaneName, end: LinkEnd, way: Way, world: World) {
    this.#name = name;
    this.#end = end;
    this.#way = way;
    this.#world = world;
    this.#inbox = new Inbox(end);
    this.#low = watermarks[name].low;
  }

  join(other: SimLane): void {
    this.#other = other;
  }

  get bufferedAmount(): number {
    const unsent = this.#busyUntil - this.#world.scheduler.now;
    if (unsent <= 0) return this.#waitingBytes;
    return this.#waitingBytes + Math.round((unsent * this.#way.lane(this.#name).bandwidth) / 1000);
  }

  /** When all that is under way has arrived, if no more gets lost. */
  get lastArrival(): number {
    return this.#lastArrival;
  }

  send(message: Uint8Array): boolean {
    const end = this.#end;
    const { length } = message;
    if (!end.open || !end.process.alive || length > maxMessageSize) return false;
    if (this.#waitingBytes + length > maxWaitingBytes || this.#waitingMessages >= maxWaitingMessages) {
      end.overflow(`the ${this.#name} lane holds ${this.#waitingBytes} bytes`);
      return false;
    }
    const { events, now } = this.#world.scheduler;
    let batch = this.#loading;
    if (batch?.turn !== events || batch.madeAt !== now || batch.bytes >= batchBytes) batch = this.#load();
    batch.messages.push(this.#world.slab.copy(message));
    batch.bytes += length;
    if (batch.startAt < 0) {
      this.#waitingBytes += length;
      this.#waitingMessages++;
    } else {
      this.#charge(batch, length);
    }
    this.#watchDrain();
    return true;
  }

  get onMessage(): ((message: Uint8Array) => void) | undefined {
    return this.#inbox.reader;
  }

  set onMessage(handler: ((message: Uint8Array) => void) | undefined) {
    this.#inbox.reader = handler;
  }

  /** The end is gone: nothing more is sent, again or for the first time. */
  stop(): void {
    this.#resend?.cancel();
    this.#wake?.cancel();
    this.#drain?.cancel();
    this.#waiting = [];
    this.#inbox.clear();
  }

  #load(): Batch {
    const { events, now } = this.#world.scheduler;
    const batch = new Batch(events, now);
    this.#loading = batch;
    this.#flight.acknowledged(now);
    if (this.#waiting.length === 0 && this.#flight.bytes < this.#world.settings.sendWindowBytes) {
      this.#start(batch, now);
    } else {
      batch.startAt = -1;
      this.#waiting.push(batch);
      this.#wakeLater();
    }
    return batch;
  }

  #start(batch: Batch, now: number): void {
    const way = this.#way;
    batch.startAt = Math.max(now, this.#busyUntil);
    this.#flight.add(batch);
    const at = Math.max(batch.startAt, way.cloggedUntil) + way.delay(this.#name);
    this.#lastArrival = Math.max(this.#lastArrival, at);
    this.#travel(batch, this.#lastArrival - now);
  }

  /** So many bytes of a batch that has started go onto the wire. */
  #charge(batch: Batch, bytes: number): void {
    const way = this.#way;
    const before = batch.bytes - bytes;
    const packets = before === 0 ? packetsOf(bytes) : packetsOf(batch.bytes) - packetsOf(before);
    this.#busyUntil =
      Math.max(this.#world.scheduler.now, this.#busyUntil) + (bytes * 1000) / way.lane(this.#name).bandwidth;
    this.#flight.sent(bytes);
    const lost = packets === 0 ? 0 : way.lost(this.#name, packets);
    if (lost > 0) this.#lose(batch, lost, packetsOf(batch.bytes) >= fastPackets);
  }

  #lose(batch: Batch, packets: number, fast: boolean): void {
    this.#world.counts.packetsLost += packets;
    batch.lost += packets;
    batch.event?.cancel();
    batch.event = undefined;
    if (this.#timeoutMs === 0) this.#timeoutMs = this.#initialTimeout();
    const quick = fast && !this.#way.cut;
    this.#resendIn(quick ? 1.5 * this.#way.roundTrip(this.#name) : this.#timeoutMs);
  }

  #initialTimeout(): number {
    return Math.min(maxTimeoutMs, Math.max(minTimeoutMs, 3 * this.#way.roundTrip(this.#name)));
  }

  #travel(batch: Batch, delayMs: number): void {
    batch.event = this.#other.#end.process.afterIo(delayMs, () => this.#arrive(batch));
  }

  /** Runs as the receiver. */
  #arrive(batch: Batch): void {
    batch.event = undefined;
    // An end that is gone acknowledges nothing: the other is left to notice the silence.
    if (this.#end.severed || !this.#other.#end.open) return;
    const way = this.#way;
    const { now } = this.#world.scheduler;
    if (way.cut) {
      if (this.#end.open) this.#lose(batch, packetsOf(batch.bytes), false);
      return;
    }
    if (way.cloggedUntil > now) {
      this.#travel(batch, way.cloggedUntil - now);
      return;
    }
    // The event was made with the batch's first message: the others took their time to leave.
    const { bandwidth, latencyMs } = way.lane(this.#name);
    const late = batch.startAt + (batch.bytes * 1000) / bandwidth + latencyMs - now;
    if (late > 0.5) {
      this.#travel(batch, late);
      return;
    }
    batch.arrived = true;
    for (let delivered; (delivered = this.#flight.deliver()) !== undefined;) {
      this.#acknowledge(delivered, now);
      const { messages } = delivered;
      delivered.messages = [];
      this.#other.#take(messages, delivered.bytes);
    }
  }

  /** The receiver's acknowledgement leaves. */
  #acknowledge(batch: Batch, now: number): void {
    const back = this.#way.back;
    if (back.cut) {
      this.#flight.mute();
      if (this.#timeoutMs === 0) this.#timeoutMs = this.#initialTimeout();
      this.#resendIn(this.#timeoutMs);
      return;
    }
    this.#timeoutMs = 0;
    batch.ackAt = Math.max(now, back.cloggedUntil) + back.lane(this.#name).latencyMs;
    this.#flight.heard(batch.ackAt);
    this.#wakeLater();
  }

  #resendIn(delayMs: number): void {
    const { scheduler } = this.#world;
    const at = scheduler.now + delayMs;
    if (this.#resend !== undefined) {
      if (this.#resend.time <= at) return;
      this.#resend.cancel();
    }
    // The world's own: the native stack of a process goes on while its event loop stands still.
    this.#resend = scheduler.after(delayMs, Phase.io, undefined, () => this.#sendAgain());
  }

  #sendAgain(): void {
    this.#resend = undefined;
    if (!this.#end.open || !this.#end.process.alive) return;
    const way = this.#way;
    const { now } = this.#world.scheduler;
    let packets = 0;
    let again = false;
    for (const batch of this.#flight.unacknowledged()) {
      if (batch.lost === 0) continue;
      packets += batch.lost;
      batch.lost = way.lost(this.#name, batch.lost);
      this.#world.counts.packetsLost += batch.lost;
      if (batch.lost > 0) again = true;
      else this.#travel(batch, Math.max(0, way.cloggedUntil - now) + way.delay(this.#name));
    }
    if (this.#flight.unheard) {
      packets++;
      if (way.open) {
        const at = Math.max(now, way.cloggedUntil, way.back.cloggedUntil) + way.roundTrip(this.#name);
        this.#flight.heard(at);
        this.#wakeLater();
      } else {
        again = true;
      }
    }
    if (packets > 0) {
      this.#world.counts.retransmissions += packets;
      this.#world.trace.add(now, way.from, 'resend', `${way.to} ${this.#name} ${packets}`);
    }
    if (!again) return;
    const last = this.#timeoutMs === 0 ? this.#initialTimeout() / 2 : this.#timeoutMs;
    this.#timeoutMs = Math.min(maxTimeoutMs, 2 * last);
    this.#resendIn(this.#timeoutMs);
  }

  /** Looks again when the oldest acknowledgement under way arrives. */
  #wakeLater(): void {
    if (this.#waiting.length === 0 || this.#wake !== undefined) return;
    const ackAt = this.#flight.nextAckAt;
    if (ackAt === Infinity) return;
    const { scheduler } = this.#world;
    this.#wake = scheduler.after(ackAt - scheduler.now, Phase.io, undefined, () => this.#moreRoom());
  }

  /** Acknowledgements made room in the send window. */
  #moreRoom(): void {
    this.#wake = undefined;
    if (!this.#end.open || !this.#end.process.alive) return;
    const { scheduler, settings } = this.#world;
    this.#flight.acknowledged(scheduler.now);
    while (this.#waiting.length > 0 && this.#flight.bytes < settings.sendWindowBytes) {
      const batch = this.#waiting.shift()!;
      this.#waitingBytes -= batch.bytes;
      this.#waitingMessages -= batch.messages.length;
      this.#start(batch, scheduler.now);
      this.#charge(batch, batch.bytes);
    }
    this.#wakeLater();
    this.#watchDrain();
  }

  #watchDrain(): void {
    if (!this.#high) {
      if (this.bufferedAmount <= this.#low) return;
      this.#high = true;
    }
    // While more than that waits for the window, the next acknowledgement looks again.
    if (this.#drain !== undefined || this.#waitingBytes > this.#low) return;
    const { now } = this.#world.scheduler;
    const { bandwidth } = this.#way.lane(this.#name);
    const at = this.#busyUntil - ((this.#low - this.#waitingBytes) * 1000) / bandwidth;
    this.#drain = this.#end.process.afterIo(at - now, () => this.#drained());
  }

  #drained(): void {
    this.#drain = undefined;
    if (!this.#end.open) return;
    if (this.bufferedAmount > this.#low) {
      this.#watchDrain();
      return;
    }
    this.#high = false;
    this.onDrain?.();
  }

  #take(messages: readonly Uint8Array[], bytes: number): void {
    const { counts, scheduler, trace } = this.#world;
    let crc = 0;
    for (const message of messages) crc = crc32(message, crc);
    counts.messages += messages.length;
    counts.bytes += bytes;
    const { from, to } = this.#way.back;
    trace.add(scheduler.now, to, 'deliver', `${from}>${to} ${this.#name} ${messages.length} ${bytes} ${crc}`);
    this.#inbox.take(messages);
  }
}
