/**
 * Tells a dead peer from a dead link (the indirect probes of SWIM, Das et al. 2002, §3.1): where a direct link is silent though
 * an answer is due, the peer is asked over that link and over members that hear it. If it answers them and the link stays
 * silent, the link is bad, and the peer is reached over others long before a time-out. @internal
 */
import { ByteReader, ByteWriter } from '../bytes.js';
import type { NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import type { Link } from './link.js';
import type { Peer } from './peer.js';
import type { Peers } from './peers.js';
import { DatagramKind } from './relay/datagrams.js';
import type { DatagramPort } from './relay/datagrams.js';

/** Silence with an answer due that is looked into, at least. */
const probeAfterMs = 100;
/** Pings go out so often while in doubt. */
const pingEveryMs = 150;
/** Members that are asked to pass a ping on. */
const helperCount = 3;
/** How long a link may stay silent, at least, though the peer answers over others. */
const badAfterMs = 150;
/** A silence that ended by itself: the next has this much longer before it counts. */
const lenience = 1.5;
/** Such patience halves in so long. */
const lenienceHalfLifeMs = 300_000;
const maxPatienceMs = 1500;
/** An answer over others says that the peer lives for so long. */
const pongFreshMs = 400;
/** The direct link has so much longer for its answer: a peer that stood still answers everywhere at once. */
const headStartMs = 50;

/** What a {@link Prober} is made with. */
export interface ProberOptions {
  readonly environment: Environment;
  readonly peers: Peers;
  readonly datagrams: DatagramPort;
  /** Up to `count` neighbours that say they hear a peer. */
  readonly helpers: (peer: NodeId, count: number) => readonly NodeId[];
}

interface Probe {
  readonly link: Link;
  readonly since: number;
  /** Messages that the link had received by then. */
  readonly received: number;
  pingAt: number;
  /** When the peer first and last answered over others. */
  firstPongAt: number;
  pongAt: number;
}

export class Prober {
  readonly #options: ProberOptions;
  readonly #probes = new Map<NodeId, Probe>();
  readonly #patience = new Map<NodeId, Patience>();
  #number = 0;

  constructor(options: ProberOptions) {
    this.#options = options;
    const { datagrams } = options;
    datagrams.handle(DatagramKind.ping, (from, payload) => this.#pinged(from, payload));
    datagrams.handle(DatagramKind.pong, (from, payload) => this.#ponged(from, payload));
  }

  /** Looks at every direct link; call it some times a heartbeat. */
  tick(now: number): void {
    const { peers } = this.#options;
    for (const link of peers.links()) {
      const peer = peers.get(link.peer);
      if (peer !== undefined && link.path === 'direct') this.#look(peer, link, now);
    }
    for (const [id, probe] of this.#probes) if (probe.link.over) this.#probes.delete(id);
  }

  /** The peer was forgotten. */
  forget(peer: NodeId): void {
    this.#probes.delete(peer);
    this.#patience.delete(peer);
  }

  #look(peer: Peer, link: Link, now: number): void {
    let probe = this.#probes.get(link.peer);
    if (probe !== undefined && (probe.link !== link || link.received !== probe.received)) {
      this.#probes.delete(link.peer);
      if (probe.link === link) {
        // Whatever it was, it passed by itself: silences of that length mean little on this link.
        this.#learn(link.peer, link.heardAt - probe.since + probeAfterMs, now);
        this.#options.peers.recovered(peer);
      }
      probe = undefined;
    }
    if (probe === undefined) {
      if (!this.#doubtful(peer, link, now)) return;
      const { received } = link;
      probe = { link, since: now, received, pingAt: -Infinity, firstPongAt: Infinity, pongAt: -Infinity };
      this.#probes.set(link.peer, probe);
    }
    if (now - probe.pingAt >= pingEveryMs) this.#ping(link, probe, now);
    const silence = now - Math.max(link.heardAt, link.unansweredSince ?? 0);
    const answers = now - probe.pongAt <= pongFreshMs && now - probe.firstPongAt >= headStartMs;
    if (peer.bad || !answers || silence < this.#patienceWith(link, now)) return;
    this.#learn(link.peer, silence, now);
    this.#options.peers.failing(peer);
  }

  #doubtful(peer: Peer, link: Link, now: number): boolean {
    if (peer.state === 'suspect') return true;
    const since = link.unansweredSince;
    return since !== undefined && now - since >= Math.max(probeAfterMs, 4 * (link.rttMs ?? 0));
  }

  #ping(link: Link, probe: Probe, now: number): void {
    const { helpers, datagrams } = this.#options;
    probe.pingAt = now;
    link.ping();
    for (const via of helpers(link.peer, helperCount)) {
      const payload = encodePing(++this.#number, via);
      datagrams.send(link.peer, DatagramKind.ping, payload, { lane: 'control', via });
    }
  }

  /** Answers the way the question came: this node may not know yet that its direct link is bad. */
  #pinged(from: NodeId, payload: Uint8Array): void {
    const via = decodePing(payload);
    if (via === undefined || via === from) return;
    this.#options.datagrams.send(from, DatagramKind.pong, payload, { lane: 'control', via });
  }

  #ponged(from: NodeId, payload: Uint8Array): void {
    const probe = this.#probes.get(from);
    if (probe === undefined || decodePing(payload) === undefined) return;
    probe.pongAt = this.#options.environment.now();
    probe.firstPongAt = Math.min(probe.firstPongAt, probe.pongAt);
  }

  #patienceWith(link: Link, now: number): number {
    const least = Math.max(badAfterMs, 4 * (link.rttMs ?? 0));
    return Math.max(least, this.#patience.get(link.peer)?.ms(now) ?? 0);
  }

  #learn(peer: NodeId, silenceMs: number, now: number): void {
    const ms = Math.min(maxPatienceMs, silenceMs * lenience);
    if (ms > (this.#patience.get(peer)?.ms(now) ?? 0)) this.#patience.set(peer, new Patience(ms, now));
  }
}

/** Patience in milliseconds that fades. */
class Patience {
  readonly #ms: number;
  readonly #since: number;

  constructor(ms: number, since: number) {
    this.#ms = ms;
    this.#since = since;
  }

  ms(now: number): number {
    return this.#ms * 2 ** ((this.#since - now) / lenienceHalfLifeMs);
  }
}

function encodePing(number: number, via: NodeId): Uint8Array {
  const writer = new ByteWriter(160);
  writer.varint(number);
  writer.string(via);
  return writer.take();
}

/** Over whom it came. */
function decodePing(payload: Uint8Array): NodeId | undefined {
  try {
    const reader = new ByteReader(payload);
    reader.varint();
    return reader.string(128);
  } catch {
    return undefined;
  }
}
