/** One peer: its link, and when to try for a new one. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment, Timer } from '../environment.js';
import type { Admission } from './admission.js';
import { Backoff } from './backoff.js';
import type { Link, LinkPath } from './link.js';

/** How this node sees a peer. */
export type PeerState = 'connecting' | 'up' | 'suspect' | 'unreachable';

/** How long a link must live before the next loss starts the back-off afresh. */
const settledMs = 5000;
/** How long the side that does not offer waits before it asks for an offer: the offer is likely under way. */
const askDelayMs = 100;
/** How long a bad direct link is kept for a relayed one to take its place. */
const spareMs = 3000;
/** How long a newcomer has for a direct link before it gets a relayed one. */
const directFirstMs = 2000;
/** Both ends of a lost link ask for a relayed one: not in the same moment. */
const relayJitterMs = 20;

/** What a {@link Peer} is made with. */
export interface PeerOptions {
  readonly id: NodeId;
  /** Whether this node makes the offers to that peer. */
  readonly offers: boolean;
  readonly environment: Environment;
  /** Asks the transport for a direct link. */
  readonly connect: () => void;
  /** Asks for a relayed link; nothing happens where no way is known. */
  readonly relay: () => void;
}

export class Peer {
  readonly id: NodeId;
  /** Handshakes under way. */
  readonly admissions: Readonly<Record<LinkPath, Set<Admission>>> = { direct: new Set(), relayed: new Set() };
  /** When this node first knew of it. */
  readonly since: number;
  state: PeerState = 'connecting';
  link: Link | undefined;
  /** Its direct link is there, and yet nothing comes through while other members reach it. */
  bad = false;
  #badSince = 0;
  /** The last word of its last direct link was that it did not hear this node, which heard it. */
  deaf = false;
  /** It was linked once. */
  tried = false;
  #atRendezvous = false;
  #inMesh = false;
  readonly #offers: boolean;
  readonly #environment: Environment;
  readonly #connect: () => void;
  readonly #relay: () => void;
  readonly #backoff: Backoff;
  readonly #relayBackoff: Backoff;
  readonly #relayPenalty: Backoff;
  readonly #penalty: Backoff;
  #waitUntil = 0;
  #turnAwayUntil = 0;
  #relayUntil = 0;
  #timer: Timer | undefined;
  #relayTimer: Timer | undefined;
  #relayAt = 0;
  #closed = false;

  constructor(options: PeerOptions) {
    this.id = options.id;
    this.#offers = options.offers;
    this.#environment = options.environment;
    this.#connect = options.connect;
    this.#relay = options.relay;
    this.since = options.environment.now();
    const random = (): number => options.environment.random();
    this.#backoff = new Backoff(50, 5000, random);
    this.#relayBackoff = new Backoff(200, 5000, random);
    this.#penalty = new Backoff(1000, 5000, random);
    this.#relayPenalty = new Backoff(1000, 5000, random);
  }

  /** Whether a fresh link of this peer is not even worth a handshake: it was refused a moment ago. */
  get turnedAway(): boolean {
    return this.#environment.now() < this.#turnAwayUntil;
  }

  /** Whether anybody knows of it now: the rendezvous, or a member that is reached. */
  get present(): boolean {
    return this.#atRendezvous || this.#inMesh;
  }

  /** Nobody has anything to do with this peer any more. */
  get forgettable(): boolean {
    return !this.present && this.link === undefined && this.#admitting === 0;
  }

  /** It was never linked, and nothing but gossip knows of it: it makes room for who is there. */
  get hearsay(): boolean {
    return !this.#atRendezvous && !this.tried && this.#admitting === 0;
  }

  /** The rendezvous saw it come or go. */
  seen(present: boolean): void {
    this.#atRendezvous = present;
    this.#noticed(present);
  }

  /** Members that are reached hear it, or do not any more. */
  known(present: boolean): void {
    if (this.#inMesh === present) return;
    this.#inMesh = present;
    this.#noticed(present);
  }

  /** The link is up. */
  linked(link: Link): void {
    this.#cancel();
    this.link = link;
    this.state = 'up';
    this.bad = false;
    this.tried = true;
    this.#penalty.reset();
    this.#relayBackoff.reset();
    this.#relayPenalty.reset();
    this.#relayUntil = 0;
    this.#waitUntil = 0;
    this.#turnAwayUntil = 0;
    if (link.path === 'direct') this.deaf = false;
    else this.#schedule(this.#backoff.next()); // a direct link is better
  }

  /** The link is gone. */
  lost(): void {
    this.replaced();
    this.state = 'unreachable';
    this.#schedule(this.#backoff.next() + (this.#offers ? 0 : askDelayMs));
    this.#relaySoon(this.#environment.random() * relayJitterMs);
  }

  /** The link is gone, another takes its place. */
  replaced(): void {
    const lived = this.link === undefined ? 0 : this.#environment.now() - this.link.since;
    if (lived >= settledMs) this.#backoff.reset();
    this.link = undefined;
    this.bad = false;
  }

  /** Others reach it, its direct link does not. */
  failing(): void {
    if (this.bad) return;
    this.bad = true;
    this.#badSince = this.#environment.now();
    this.#relaySoon(0);
  }

  /** A relayed link is on its way, and the bad direct one may stand that long: a peer that answers others is not dead. */
  get spared(): boolean {
    return this.bad && this.#environment.now() - this.#badSince < spareMs;
  }

  /** Its direct link works again. */
  recovered(): void {
    this.bad = false;
    if (this.link !== undefined) this.#cancelRelay();
  }

  /** A set-up failed, or was refused: not so fast. `turnAway`: nor may the peer try. */
  slowDown(turnAway: boolean): void {
    const until = this.#environment.now() + this.#penalty.next();
    this.#waitUntil = until;
    if (turnAway) this.#turnAwayUntil = until;
    if (this.link === undefined) this.#schedule(0);
  }

  /** A relayed set-up was refused, by the peer or by whoever is on the way. */
  slowRelay(): void {
    this.#relayUntil = this.#environment.now() + this.#relayPenalty.next();
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    for (const admission of [...this.admissions.direct, ...this.admissions.relayed]) admission.cancel();
  }

  get #admitting(): number {
    return this.admissions.direct.size + this.admissions.relayed.size;
  }

  #noticed(present: boolean): void {
    if (!present) {
      if (!this.present) this.#cancel();
    } else if (this.bad) {
      this.#relaySoon(0);
    } else if (this.link?.path !== 'direct') {
      this.#backoff.reset();
      this.#relayBackoff.reset();
      this.#schedule(this.#offers ? 0 : askDelayMs * (1 + this.#environment.random()));
      if (this.link === undefined) this.#relaySoon(this.tried ? relayJitterMs : directFirstMs);
    }
  }

  #relaySoon(delayMs: number): void {
    if (this.#closed || !this.present) return;
    const now = this.#environment.now();
    const at = Math.max(now + delayMs, this.#waitUntil, this.#relayUntil);
    // Who comes into reach is not made to wait for a try that was put off while it was not.
    if (this.#relayTimer !== undefined && this.#relayAt <= at) return;
    this.#relayTimer?.cancel();
    this.#relayAt = at;
    this.#relayTimer = this.#environment.setTimer(at - now, () => this.#tryRelay());
  }

  #tryRelay(): void {
    this.#relayTimer = undefined;
    if (this.#closed || !this.present || (this.link !== undefined && !this.bad)) return;
    this.#relaySoon(this.#relayBackoff.next()); // until a link is up; a call during a set-up does nothing
    if (this.admissions.relayed.size === 0) this.#relay();
  }

  #schedule(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#closed || !this.present) return;
    const delay = Math.max(delayMs, this.#waitUntil - this.#environment.now());
    if (delay <= 0) this.#try();
    else this.#timer = this.#environment.setTimer(delay, () => this.#try());
  }

  #try(): void {
    if (this.#closed || this.link?.path === 'direct' || !this.present) return;
    this.#schedule(this.#backoff.next()); // until the link is up; a call during a set-up does nothing
    if (this.admissions.direct.size === 0) this.#connect();
  }

  #cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#cancelRelay();
  }

  #cancelRelay(): void {
    this.#relayTimer?.cancel();
    this.#relayTimer = undefined;
  }
}
