/**
 * Links over datagrams: how two members talk that cannot reach each other, while others can carry. Whoever carries sees
 * sealed packets; see docs/relay.md for what that keeps from whom.
 *
 *     open →   ← challenge   open with its cookie →   ← accept   sealed packets ↔
 *
 * The answerer hands its end over when the first sealed packet has proved that the opener has the same keys. @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { TokenBucket, TokenBuckets } from '../../tokenBucket.js';
import type { LaneName, RawLink } from '../transport.js';
import { Cookies } from './cookies.js';
import { DatagramKind } from './datagrams.js';
import type { DatagramPort } from './datagrams.js';
import { EndedSessions } from './endedSessions.js';
import { bindingOf, deriveKeys, makeKeys } from './keyExchange.js';
import type { DirectionKeys, Transcript } from './keyExchange.js';
import { newRelayCounters } from './metrics.js';
import { Opening, setupTimeoutMs } from './opening.js';
import { MessageType, cookieOf, isWellFormed, keyOf, sessionOf, setupMessage } from './packets.js';
import { RelayLink } from './relayLink.js';

/** Set-ups that this end began and that are not settled. */
const maxOpenings = 256;
/**
 * Set-ups that others began, and that have not proved themselves. Who began one is what a datagram says, so each neighbour that
 * such datagrams come from has a share, and of a peer's it can use up its own only.
 */
const maxAnswering = 48;
const maxAnsweringPerHop = 16;
const maxAnsweringPerPeer = 4;
/** Links of one peer, newer runs of it included. */
const maxLinksPerPeer = 8;
const maxLinks = 1024;
const maxIdLength = 128;
/** How long an unproven opening by a peer holds back one to it, in milliseconds: somebody may have made it up. */
const crossingMs = 1000;

/** Key exchanges for others: a burst of 64, then 32 a second; half of that over one neighbour. */
const answersPerSecond = 32;
const answerBurst = 64;
/** Answers to packets of links that are over: a burst of 16, then 16 a second. */
const repliesPerSecond = 16;

/** What {@link RelayLinks} are made with. */
export interface RelayLinksOptions {
  /** This node. */
  readonly id: NodeId;
  readonly environment: Environment;
  readonly port: DatagramPort;
  /** A link is there, unproven: the mesh runs its handshake over it. */
  readonly onLink: (raw: RawLink) => void;
  /** A set-up came to nothing. */
  readonly onWarning: (error: QuorateError) => void;
}

interface Known {
  readonly link: RelayLink;
  /** The answer to the opening, until the opener has shown that it got it. */
  accept: Uint8Array | undefined;
  /** The neighbour that the opening came from. */
  readonly by: NodeId;
  timer: Timer | undefined;
  readonly since: number;
}

export class RelayLinks {
  readonly counters = newRelayCounters();
  readonly #options: RelayLinksOptions;
  readonly #environment: Environment;
  readonly #cookies: Cookies;
  readonly #openings = new Map<NodeId, Opening>();
  readonly #sessions = new Map<string, Known>();
  readonly #ended = new EndedSessions();
  readonly #answers: TokenBucket;
  readonly #answersByHop = new TokenBuckets(answersPerSecond / 2, answerBurst / 2);
  /** Since when openings by a peer hold back one to it. */
  readonly #heldBack = new Map<NodeId, number>();
  readonly #replies: TokenBucket;
  #closed = false;

  constructor(options: RelayLinksOptions) {
    this.#options = options;
    this.#environment = options.environment;
    this.#cookies = new Cookies(options.environment);
    const now = options.environment.now();
    this.#answers = new TokenBucket(answersPerSecond, answerBurst, now);
    this.#replies = new TokenBucket(repliesPerSecond, repliesPerSecond, now);
    options.port.handle(DatagramKind.link, (from, payload, lane, by) =>
      this.#receive(from, payload, lane, by),
    );
  }

  /** Links to a peer, unless that is under way. Comes to nothing after 5 s, with a warning. */
  connect(peer: NodeId): void {
    if (this.#closed || peer === this.#options.id || this.#openings.has(peer)) return;
    if (this.#isAnswering(peer)) return; // a link is about to come from there
    if (this.#openings.size >= maxOpenings || !this.#hasRoom(peer)) {
      this.#warn(peer, 'too many links and set-ups already');
      return;
    }
    const opening = new Opening(
      peer,
      this.#environment,
      (message) => void this.#send(peer, 'control', message),
      () => {
        this.#openings.delete(peer);
        this.#warn(peer, `no answer within ${setupTimeoutMs} ms`);
      },
    );
    this.#openings.set(peer, opening);
    opening.start();
  }

  /** Ends every link and set-up; nothing is sent or answered any more. */
  close(): void {
    if (this.#closed) return;
    for (const { link } of [...this.#sessions.values()]) link.close();
    this.#closed = true;
    for (const opening of this.#openings.values()) opening.close();
    this.#openings.clear();
    this.#ended.clear();
  }

  /** Never throws, whatever the bytes. */
  #receive(from: NodeId, payload: Uint8Array, lane: LaneName, by: NodeId): void {
    if (this.#closed) return;
    const sane = from !== this.#options.id && from.length > 0 && from.length <= maxIdLength;
    if (!sane || !isWellFormed(payload)) {
      this.counters.dropped++;
      return;
    }
    const message = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    const type = message[0];
    if (type === MessageType.control || type === MessageType.bulk)
      this.#packet(from, type === MessageType.control ? 'control' : 'bulk', message, lane);
    else if (type === MessageType.open) this.#opened(from, message, by);
    else if (type === MessageType.challenge) this.#challenged(from, message);
    else if (type === MessageType.accept) this.#accepted(from, message);
    else this.#gone(from, message);
  }

  #packet(from: NodeId, name: LaneName, packet: Buffer, via: LaneName): void {
    const session = nameOf(packet);
    const known = this.#sessions.get(session);
    if (known === undefined) {
      this.counters.dropped++;
      this.#late(from, session, packet, via);
      return;
    }
    const { link } = known;
    if (link.peer !== from) {
      this.counters.dropped++;
      return;
    }
    if (!link.receive(name, packet)) return;
    if (known.accept !== undefined && link.open) {
      known.accept = undefined;
      known.timer?.cancel();
      this.#handOver(link);
    } else {
      link.deliver();
    }
  }

  /** A packet of a link that is over, or that this run never had. */
  #late(from: NodeId, session: string, packet: Buffer, via: LaneName): void {
    const farewell = this.#ended.farewellOf(session);
    if (farewell === undefined && this.#ended.has(session)) return; // the other end said so itself
    if (!this.#replies.allows(this.#environment.now())) return;
    this.#send(from, via, farewell ?? setupMessage(MessageType.gone, sessionOf(packet)));
  }

  /** Somebody wants a link. Until the cookie is back this costs one HMAC, and keeps nothing. */
  #opened(from: NodeId, message: Buffer, by: NodeId): void {
    const [session, key, cookie] = [sessionOf(message), keyOf(message), cookieOf(message)];
    if (!this.#cookies.isFresh(cookie, from, session, key)) {
      const fresh = this.#cookies.make(from, session, key);
      this.#send(from, 'control', setupMessage(MessageType.challenge, session, fresh));
      return;
    }
    const known = this.#sessions.get(nameOf(message));
    if (known !== undefined) {
      if (known.accept !== undefined && known.link.peer === from) this.#send(from, 'control', known.accept);
      return;
    }
    if (this.#ended.has(nameOf(message))) return;
    // Both ends opened at once: the smaller id's opening is the one that counts.
    if (this.#openings.has(from) && this.#options.id < from) return;
    if (!this.#mayAnswer(from, by)) {
      this.counters.openingsRefused++;
      return;
    }
    this.#answer(from, session, key, by);
  }

  #answer(from: NodeId, session: Uint8Array, openerKey: Uint8Array, by: NodeId): void {
    const own = makeKeys(this.#environment);
    const transcript = {
      session: Uint8Array.from(session),
      opener: from,
      answerer: this.#options.id,
      openerKey: Uint8Array.from(openerKey),
      answererKey: own.publicKey,
    };
    const keys = deriveKeys(own, transcript.openerKey, transcript);
    if (keys === undefined) {
      this.counters.openingsRefused++;
      return;
    }
    this.#dropOpening(from);
    const link = this.#link(from, false, transcript, keys, by);
    const known = this.#sessions.get(nameOfSession(session))!;
    known.accept = setupMessage(MessageType.accept, session, own.publicKey);
    known.timer = this.#environment.setTimer(setupTimeoutMs, () => link.abandon());
    this.#send(from, 'control', known.accept);
  }

  #challenged(from: NodeId, message: Buffer): void {
    const opening = this.#openings.get(from);
    if (opening !== undefined && sameSession(opening, message)) opening.challenged(cookieOf(message));
  }

  #accepted(from: NodeId, message: Buffer): void {
    const opening = this.#openings.get(from);
    if (opening === undefined || !sameSession(opening, message)) return;
    const transcript = {
      session: opening.session,
      opener: this.#options.id,
      answerer: from,
      openerKey: opening.keys.publicKey,
      answererKey: Uint8Array.from(keyOf(message)),
    };
    const keys = deriveKeys(opening.keys, transcript.answererKey, transcript);
    if (keys === undefined) {
      this.counters.dropped++; // forged: the true answer may still come
      return;
    }
    this.#dropOpening(from);
    const link = this.#link(from, true, transcript, keys, from);
    link.ping(); // the other end waits for proof that we have the keys
    this.#handOver(link);
  }

  /** Says that a link is over, without proof: whoever is on the way can say it, so the other end is asked. */
  #gone(from: NodeId, message: Buffer): void {
    const known = this.#sessions.get(nameOf(message));
    if (known?.link.peer === from) known.link.doubt();
  }

  #link(peer: NodeId, offerer: boolean, transcript: Transcript, keys: DirectionKeys, by: NodeId): RelayLink {
    const session = nameOfSession(transcript.session);
    const link: RelayLink = new RelayLink({
      peer,
      offerer,
      binding: bindingOf(transcript),
      session: transcript.session,
      keys,
      environment: this.#environment,
      counters: this.counters,
      transmit: (lane, packet) => this.#send(peer, lane, packet),
      onOver: (farewell) => {
        this.#sessions.get(session)?.timer?.cancel();
        this.#sessions.delete(session);
        this.#ended.add(session, farewell);
      },
    });
    this.#sessions.set(session, {
      link,
      accept: undefined,
      by,
      timer: undefined,
      since: this.#environment.now(),
    });
    return link;
  }

  #handOver(link: RelayLink): void {
    link.listen();
    this.#options.onLink(link);
  }

  #mayAnswer(peer: NodeId, by: NodeId): boolean {
    let answering = 0;
    let ofHop = 0;
    let ofPeer = 0;
    for (const { link, accept, by: other } of this.#sessions.values()) {
      if (accept === undefined) continue;
      answering++;
      if (other !== by) continue;
      ofHop++;
      if (link.peer === peer) ofPeer++;
    }
    if (answering >= maxAnswering || ofHop >= maxAnsweringPerHop || ofPeer >= maxAnsweringPerPeer)
      return false;
    const now = this.#environment.now();
    return this.#hasRoom(peer) && this.#answersByHop.allows(by, now) && this.#answers.allows(now);
  }

  /** Whether a link is about to come from there. Openings that never prove themselves hold back no longer than one would. */
  #isAnswering(peer: NodeId): boolean {
    const now = this.#environment.now();
    let answering = false;
    let recent = false;
    for (const { link, accept, since } of this.#sessions.values()) {
      if (accept === undefined || link.peer !== peer) continue;
      answering = true;
      recent ||= since > now - crossingMs;
    }
    if (!answering) this.#heldBack.delete(peer);
    if (!recent) return false;
    const start = this.#heldBack.get(peer) ?? now;
    if (this.#heldBack.size >= maxLinks) this.#heldBack.clear();
    this.#heldBack.set(peer, start);
    return now - start < crossingMs;
  }

  #hasRoom(peer: NodeId): boolean {
    if (this.#sessions.size >= maxLinks) return false;
    let count = 0;
    for (const { link, accept } of this.#sessions.values())
      if (link.peer === peer && accept === undefined) count++;
    return count < maxLinksPerPeer;
  }

  #dropOpening(peer: NodeId): void {
    this.#openings.get(peer)?.close();
    this.#openings.delete(peer);
  }

  #send(to: NodeId, lane: LaneName, message: Uint8Array): boolean {
    return !this.#closed && this.#options.port.send(to, DatagramKind.link, message, { lane });
  }

  #warn(peer: NodeId, text: string): void {
    this.#options.onWarning(new QuorateError('ERR_PEER_TIMEOUT', `no relayed link to ${peer}: ${text}`));
  }
}

function nameOf(message: Uint8Array): string {
  return nameOfSession(sessionOf(message));
}

function nameOfSession(session: Uint8Array): string {
  return Buffer.from(session.buffer, session.byteOffset, session.length).toString('latin1');
}

function sameSession(opening: Opening, message: Uint8Array): boolean {
  return nameOfSession(opening.session) === nameOf(message);
}
