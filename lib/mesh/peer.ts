/** One peer: its link, and when to try for a new one. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment, Timer } from '../environment.js';
import type { Admission } from './admission.js';
import { Backoff } from './backoff.js';
import type { Link } from './link.js';

/** How this node sees a peer. */
export type PeerState = 'connecting' | 'up' | 'suspect' | 'unreachable';

/** How long a link must live before the next loss starts the back-off afresh. */
const settledMs = 5000;
/** How long the side that does not offer waits before it asks for an offer: the offer is likely under way. */
const askDelayMs = 100;

/** What a {@link Peer} is made with. */
export interface PeerOptions {
  readonly id: NodeId;
  /** Whether this node makes the offers to that peer. */
  readonly offers: boolean;
  readonly environment: Environment;
  /** Asks the transport for a link. */
  readonly connect: () => void;
}

export class Peer {
  readonly id: NodeId;
  readonly admissions = new Set<Admission>();
  state: PeerState = 'connecting';
  link: Link | undefined;
  present = false;
  readonly #offers: boolean;
  readonly #environment: Environment;
  readonly #connect: () => void;
  readonly #backoff: Backoff;
  readonly #penalty: Backoff;
  #waitUntil = 0;
  #turnAwayUntil = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: PeerOptions) {
    this.id = options.id;
    this.#offers = options.offers;
    this.#environment = options.environment;
    this.#connect = options.connect;
    const random = (): number => options.environment.random();
    this.#backoff = new Backoff(50, 5000, random);
    this.#penalty = new Backoff(1000, 5000, random);
  }

  /** Whether a fresh link of this peer is not even worth a handshake: it was refused a moment ago. */
  get turnedAway(): boolean {
    return this.#environment.now() < this.#turnAwayUntil;
  }

  /** Nobody has anything to do with this peer any more. */
  get forgettable(): boolean {
    return !this.present && this.link === undefined && this.admissions.size === 0;
  }

  /** The rendezvous saw it come or go. */
  seen(present: boolean): void {
    this.present = present;
    if (!present) {
      this.#cancel();
    } else if (this.link === undefined) {
      this.#backoff.reset();
      this.#schedule(this.#offers ? 0 : askDelayMs * (1 + this.#environment.random()));
    }
  }

  /** The link is up. */
  linked(link: Link): void {
    this.#cancel();
    this.link = link;
    this.state = 'up';
    this.#penalty.reset();
    this.#waitUntil = 0;
    this.#turnAwayUntil = 0;
  }

  /** The link is gone. */
  lost(): void {
    const lived = this.link === undefined ? 0 : this.#environment.now() - this.link.since;
    if (lived >= settledMs) this.#backoff.reset();
    this.link = undefined;
    this.state = 'unreachable';
    this.#schedule(this.#backoff.next() + (this.#offers ? 0 : askDelayMs));
  }

  /** A set-up failed, or was refused: not so fast. `turnAway`: nor may the peer try. */
  slowDown(turnAway: boolean): void {
    const until = this.#environment.now() + this.#penalty.next();
    this.#waitUntil = until;
    if (turnAway) this.#turnAwayUntil = until;
    if (this.link === undefined) this.#schedule(0);
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    for (const admission of [...this.admissions]) admission.cancel();
  }

  #schedule(delayMs: number): void {
    this.#cancel();
    if (this.#closed || !this.present) return;
    const delay = Math.max(delayMs, this.#waitUntil - this.#environment.now());
    if (delay <= 0) this.#try();
    else this.#timer = this.#environment.setTimer(delay, () => this.#try());
  }

  #try(): void {
    if (this.#closed || this.link !== undefined || !this.present) return;
    this.#schedule(this.#backoff.next()); // until the link is up; a call during a set-up does nothing
    if (this.admissions.size === 0) this.#connect();
  }

  #cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
