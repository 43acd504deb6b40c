/** One end of a relayed link: two lanes under one session's keys, one timer, and an end. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import type { LaneName, RawLink } from '../transport.js';
import type { DirectionKeys } from './keyExchange.js';
import { RelayLane } from './lane.js';
import type { RelayCounters } from './metrics.js';
import { Opener, Sealer } from './seal.js';

/** How long the other end may owe an acknowledgement, in milliseconds. The mesh's heartbeats end most links sooner. */
export const silenceMs = 10_000;
/** How long the other end has to contradict somebody who says that it has no such link, in milliseconds. */
export const doubtMs = 1000;

/** A timer that is later than this, in milliseconds, means that the event loop stood still. */
const stallMs = 100;

/** What a link is made with. */
export interface RelayLinkOptions {
  readonly peer: NodeId;
  readonly offerer: boolean;
  readonly binding: string;
  readonly session: Uint8Array;
  readonly keys: DirectionKeys;
  readonly environment: Environment;
  readonly counters: RelayCounters;
  /** A sealed packet leaves. `false`: it was dropped at once. */
  readonly transmit: (lane: LaneName, packet: Uint8Array) => boolean;
  /** The link is over; with the packet that says so, if this end decided it. */
  readonly onOver: (farewell: Uint8Array | undefined) => void;
}

export class RelayLink implements RawLink {
  readonly peer: NodeId;
  readonly offerer: boolean;
  readonly binding: string;
  readonly control: RelayLane;
  readonly bulk: RelayLane;
  onClosed: ((reason: string) => void) | undefined;
  readonly #environment: Environment;
  readonly #options: RelayLinkOptions;
  #open = true;
  #closing = false;
  #flushing = false;
  #deferred = false;
  #timer: Timer | undefined;
  #timerAt = Infinity;
  /** When somebody's word that the other end is gone is taken for true. */
  #doubtUntil = Infinity;

  constructor(options: RelayLinkOptions) {
    this.#options = options;
    this.#environment = options.environment;
    this.peer = options.peer;
    this.offerer = options.offerer;
    this.binding = options.binding;
    this.control = this.#lane('control');
    this.bulk = this.#lane('bulk');
  }

  get open(): boolean {
    return this.#open;
  }

  /** Bytes kept for the other end: chunks before their turn. */
  get held(): number {
    return this.control.held + this.bulk.held;
  }

  /** The link was handed over in this turn: messages come from the next one on. */
  listen(): void {
    this.#environment.defer(() => {
      for (const lane of [this.control, this.bulk]) if (this.#open) lane.listen();
    });
  }

  /** Asks the other end for a sign of life. */
  ping(): void {
    this.control.ping();
  }

  /**
   * Takes a packet of a lane; whether it is from the other end. Messages are delivered by {@link RelayLink.deliver}: the link
   * may have to be handed over first.
   */
  receive(name: LaneName, packet: Buffer): boolean {
    if (!this.#open) return false;
    const frames = this[name].receive(packet);
    if (frames === undefined) return false;
    this.#doubtUntil = Infinity;
    if (frames.close) {
      this.deliver();
      this.#end('closed by the peer');
    } else {
      this.#later();
    }
    return true;
  }

  /** Delivers what has come. */
  deliver(): void {
    for (const lane of [this.control, this.bulk]) if (this.#open) lane.deliver();
  }

  /** Somebody says that the other end does not know this link: ask it. Anybody on the way can say so. */
  doubt(): void {
    if (!this.#open || this.#doubtUntil < Infinity) return;
    this.#doubtUntil = this.#environment.now() + doubtMs;
    this.ping();
  }

  close(): void {
    this.#shut('closed', true);
  }

  /** Ends a link that was never handed over. */
  abandon(): void {
    this.#shut('never confirmed', true);
  }

  #lane(name: LaneName): RelayLane {
    const { session, keys, offerer, counters, transmit } = this.#options;
    const [own, other] = offerer ? [keys.opener, keys.answerer] : [keys.answerer, keys.opener];
    const isOpen = (): boolean => this.#open;
    const host = {
      get open() {
        return isOpen();
      },
      now: () => this.#environment.now(),
      transmit,
      soon: () => this.#soon(),
      broken: (reason: string) => this.#shut(reason, true),
    };
    return new RelayLane(name, host, counters, new Sealer(name, session, own[name]), new Opener(other[name]));
  }

  /** What one piece of code sends leaves together. */
  #soon(): void {
    if (this.#flushing || !this.#open) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** What comes in one turn is acknowledged together. */
  #later(): void {
    if (this.#deferred || !this.#open) return;
    this.#deferred = true;
    this.#environment.defer(() => {
      this.#deferred = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#open) this.control.flush();
    if (this.#open) this.bulk.flush();
    this.#arm();
  }

  /** One timer for all that is due; one that comes too early finds nothing, and is set anew. */
  #arm(): void {
    if (!this.#open) return;
    const at = Math.min(this.control.deadline, this.bulk.deadline, this.#deadEnd);
    if (at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#environment.setTimer(Math.max(0, at - this.#environment.now()), () => this.#due());
  }

  get #deadEnd(): number {
    return Math.min(
      this.#doubtUntil,
      this.control.silentSince + silenceMs,
      this.bulk.silentSince + silenceMs,
    );
  }

  #due(): void {
    const now = this.#environment.now();
    const late = now - this.#timerAt;
    this.#timer = undefined;
    this.#timerAt = Infinity;
    if (late > stallMs) this.#excuse(late);
    if (now >= this.#doubtUntil) {
      this.#shut('the peer does not know the link any more', true);
    } else if (now >= this.#deadEnd) {
      this.#shut(`no acknowledgement for ${silenceMs} ms`, true);
    } else {
      if (this.#open) this.control.check(now);
      if (this.#open) this.bulk.check(now);
      this.#arm();
    }
  }

  #end(reason: string): void {
    this.#shut(reason, false);
  }

  /** This node stood still: what came meanwhile is still to be read, and nobody is to blame. */
  #excuse(ms: number): void {
    this.control.excuse(ms);
    this.bulk.excuse(ms);
    this.#doubtUntil += ms;
  }

  #shut(reason: string, tell: boolean): void {
    if (this.#closing) return;
    this.#closing = true;
    let farewell: Uint8Array | undefined;
    if (tell) {
      this.#lastWords();
      farewell = this.control.farewell();
    }
    this.#open = false;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.control.close();
    this.bulk.close();
    this.#options.onOver(farewell);
    this.#environment.defer(() => this.onClosed?.(reason));
  }

  /** What was sent just before the end still leaves, as far as the window lets it. */
  #lastWords(): void {
    this.control.sendNow();
    this.bulk.sendNow();
  }
}
