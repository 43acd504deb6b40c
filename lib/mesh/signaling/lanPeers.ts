/** Who calls on the local network, where they are, and the messages to and from them. @internal */
import { TokenBuckets } from '../../tokenBucket.js';
import { LanInbox, LanOutbox } from './lanMessages.js';
import type { LanDatagram, LanSender, Unsigned } from './lanWire.js';
import { maxPayloadBytes } from './signaling.js';
import type { SignalingHost } from './signaling.js';

/** What may wait for the rest of messages, of all peers together. */
const maxPartialBytes = 4 * 1024 * 1024;

interface LanPeer {
  readonly sender: LanSender;
  address: string;
  heardAt: number;
  /** When the address in use last called. */
  confirmedAt: number;
  readonly outbox: LanOutbox;
  inbox: LanInbox;
  /** Where the parts in the inbox come from. */
  source: string;
}

/** What {@link LanPeers} are made with. */
export interface LanPeersOptions {
  readonly host: SignalingHost;
  readonly maxPeers: number;
  readonly intervalMs: number;
  readonly expiryMs: number;
  readonly tell: (datagram: Unsigned, address: string, port: number) => void;
}

export class LanPeers {
  readonly #options: LanPeersOptions;
  readonly #peers = new Map<string, LanPeer>();
  /** Datagrams of one address, and answers to it. */
  readonly #rate = new TokenBuckets(500, 1000);
  readonly #answers = new TokenBuckets(10, 64);
  #partialBytes = 0;
  /** Counts the messages to all peers: a peer that is met anew, with new sockets, must not take a new message for an old one. */
  #number = 0;
  #closed = false;

  constructor(options: LanPeersOptions) {
    this.#options = options;
  }

  send(to: string, payload: Buffer): void {
    this.#peers.get(to)?.outbox.add(payload);
  }

  /** Whether another answer to an address is due: datagrams are easily forged, and no one should drown in answers. */
  mayAnswer(address: string): boolean {
    return this.#answers.allows(address, this.#now());
  }

  received(datagram: LanDatagram, address: string, port: number): void {
    const { from } = datagram;
    if (!this.#rate.allows(address, this.#now())) return;
    if (datagram.kind === 'beacon') {
      if (datagram.mood === 'bye') {
        const peer = this.#peers.get(from.id);
        if (peer?.sender.incarnation === from.incarnation) this.#gone(from.id, peer);
      } else {
        this.#heard(from, address);
        if (datagram.mood === 'ask' && this.mayAnswer(address))
          this.#options.tell({ kind: 'beacon', mood: 'here' }, address, from.port);
      }
      return;
    }
    if (datagram.to !== this.#options.host.id) return;
    const peer = this.#heard(from, address);
    if (peer === undefined) return;
    const { number, place } = datagram;
    if (datagram.kind === 'ack') {
      peer.outbox.acknowledged(number, place);
      return;
    }
    const source = `${address} ${port}`;
    if (peer.source !== source) {
      peer.source = source;
      this.#partialBytes -= peer.inbox.bytes;
      peer.inbox = new LanInbox();
    }
    const { count, body } = datagram;
    if (body.length + this.#partialBytes > maxPartialBytes) return;
    const before = peer.inbox.bytes;
    const taken = peer.inbox.take(number, place, count, body);
    this.#partialBytes += peer.inbox.bytes - before;
    if (taken === false) return;
    this.#options.tell({ kind: 'ack', to: from.id, number, place }, address, from.port);
    if (taken !== true && Buffer.byteLength(taken.payload) <= maxPayloadBytes)
      this.#later(() => this.#options.host.onMessage(from.id, taken.payload));
  }

  /** Forgets who has not called for too long. */
  expire(): void {
    const limit = this.#now() - this.#options.expiryMs;
    for (const [id, peer] of this.#peers) if (peer.heardAt <= limit) this.#gone(id, peer);
  }

  close(): void {
    this.#closed = true;
    for (const peer of this.#peers.values()) peer.outbox.close();
    this.#peers.clear();
  }

  #heard(sender: LanSender, address: string): LanPeer | undefined {
    const now = this.#now();
    const known = this.#peers.get(sender.id);
    if (known?.sender.incarnation === sender.incarnation && known.sender.port === sender.port) {
      known.heardAt = now;
      // A peer with several networks calls from all of them; and a forger may call from his. The one in use is kept while it works.
      if (known.address !== address && now - known.confirmedAt <= 2 * this.#options.intervalMs) return known;
      known.address = address;
      known.confirmedAt = now;
      return known;
    }
    if (known !== undefined && sender.incarnation < known.sender.incarnation) return undefined; // a ghost
    // Another port of the same run: new sockets, or a forger. The old ones are kept while they call.
    const same = known?.sender.incarnation === sender.incarnation;
    if (same && now - known.confirmedAt <= 2 * this.#options.intervalMs) return undefined;
    if (known === undefined && this.#peers.size >= this.#options.maxPeers) return undefined;
    if (known !== undefined) this.#drop(known);
    const peer: LanPeer = {
      sender,
      address,
      heardAt: now,
      confirmedAt: now,
      outbox: new LanOutbox({
        environment: this.#options.host.environment,
        nextNumber: () => ++this.#number,
        sendPart: (number, place, count, body) => {
          const part: Unsigned = { kind: 'part', to: sender.id, number, place, count, body };
          this.#options.tell(part, peer.address, sender.port);
        },
      }),
      inbox: new LanInbox(),
      source: '',
    };
    this.#peers.set(sender.id, peer);
    if (!same) this.#later(() => this.#options.host.onPresence(sender.id, true));
    return peer;
  }

  #drop(peer: LanPeer): void {
    peer.outbox.close();
    this.#partialBytes -= peer.inbox.bytes;
  }

  #gone(id: string, peer: LanPeer): void {
    this.#drop(peer);
    this.#peers.delete(id);
    this.#later(() => this.#options.host.onPresence(id, false));
  }

  #now(): number {
    return this.#options.host.environment.now();
  }

  #later(report: () => void): void {
    this.#options.host.environment.defer(() => {
      if (!this.#closed) report();
    });
  }
}
