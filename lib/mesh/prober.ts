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
/** Pings of one probe whose answers are still taken. */
const maxAsked = 32;
/** Members that are asked to pass one ping on. */
const helperCount = 8;
/** Members that take turns at that. */
const maxHelpers = 64;
/** How long a link may stay silent, at least, though the peer answers over others. */
const badAfterMs = 150;
/** After a silence that ended by itself the next has a little longer before it counts, and twice as long after one that counted. */
const lenience = { passed: 1.25, counted: 2 } as const;
/** Such patience halves in so long. */
const lenienceHalfLifeMs = 300_000;
/** Peers about whose links something is remembered: more than a mesh has. */
const maxRemembered = 2048;
const maxPatienceMs = 750;
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

/** After a change of addresses, a link that does not answer within this time is given up. */
const urgentMs = 500;

/** A direct link that works again within this time was not cut: it had a glitch. */
const glitchMs = 5000;

interface GivenUp {
  readonly silenceMs: number;
  readonly at: number;
}

interface Probe {
  readonly link: Link;
  readonly since: number;
  /** Messages that the link had received by then. */
  readonly received: number;
  /** The pings that were passed on and not answered yet, each with its helper: the newest few. */
  readonly asked: Map<number, NodeId>;
  pingAt: number;
  /** How many helpers were asked by now: the next ones take their turn. */
  turn: number;
  /** The link may be dead: it is given up if it does not answer soon. */
  readonly urgent: boolean;
  /** When the peer first and last answered over others. */
  firstPongAt: number;
  pongAt: number;
}

export class Prober {
  readonly #options: ProberOptions;
  readonly #probes = new Map<NodeId, Probe>();
  readonly #patience = new Map<NodeId, Patience>();
  /** Direct links that were given up while their peers were reached over others. */
  readonly #givenUp = new Map<NodeId, GivenUp>();

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
    if (this.#patience.size > maxRemembered) this.#patience.clear();
    if (this.#givenUp.size > maxRemembered) this.#givenUp.clear();
  }

  /** Whether a silent peer answered other members a moment ago: it is not dead, its link is. */
  answers(peer: NodeId, now: number): boolean {
    const probe = this.#probes.get(peer);
    return probe !== undefined && now - probe.pongAt <= pongFreshMs;
  }

  /** Whether the direct link of a peer owes an answer at the moment: there may be a better way. */
  doubts(peer: NodeId): boolean {
    return this.#probes.has(peer);
  }

  /** This machine's addresses changed: every direct link has to show that it still works. */
  urge(now: number): void {
    for (const link of this.#options.peers.links()) {
      if (link.path === 'direct') this.#begin(link, now, true);
    }
  }

  #look(peer: Peer, link: Link, now: number): void {
    this.#lookBack(link, now);
    let probe = this.#probes.get(link.peer);
    if (probe !== undefined && (probe.link !== link || link.received !== probe.received)) {
      this.#probes.delete(link.peer);
      if (probe.link === link) {
        // The peer answered others meanwhile, and it passed by itself: such silences mean little on this link.
        if (probe.firstPongAt < Infinity)
          this.#learn(link.peer, lenience.passed * (link.heardAt - probe.since + probeAfterMs), now);
        this.#options.peers.recovered(peer);
      }
      probe = undefined;
    }
    if (probe === undefined) {
      if (!this.#doubtful(peer, link, now)) return;
      probe = this.#begin(link, now, false);
    }
    if (probe.urgent && now - probe.since >= Math.max(urgentMs, 8 * (link.rttMs ?? 0))) {
      this.#options.peers.drop(link, 'it does not answer since this machine changed its addresses');
      return;
    }
    if (now - probe.pingAt >= pingEveryMs) this.#ping(link, probe, now);
    const silence = now - Math.max(link.heardAt, link.unansweredSince ?? 0);
    const answers = now - probe.pongAt <= pongFreshMs && now - probe.firstPongAt >= headStartMs;
    if (peer.bad || !answers || silence < this.#patienceWith(link, now)) return;
    this.#givenUp.set(link.peer, { silenceMs: silence, at: now });
    this.#options.peers.failing(peer);
  }

  /** A link that was back so soon had better been waited for; one that was cut for long had not. */
  #lookBack(link: Link, now: number): void {
    const last = this.#givenUp.get(link.peer);
    if (last === undefined || link.since <= last.at) return;
    this.#givenUp.delete(link.peer);
    if (link.since - last.at < glitchMs) this.#learn(link.peer, lenience.counted * last.silenceMs, now);
  }

  #begin(link: Link, now: number, urgent: boolean): Probe {
    const { received } = link;
    const times = { pingAt: -Infinity, firstPongAt: Infinity, pongAt: -Infinity };
    const probe = { link, since: now, received, urgent, turn: 0, asked: new Map<number, NodeId>(), ...times };
    this.#probes.set(link.peer, probe);
    if (urgent) this.#ping(link, probe, now);
    return probe;
  }

  #doubtful(peer: Peer, link: Link, now: number): boolean {
    if (peer.state === 'suspect') return true;
    const since = link.unansweredSince;
    return since !== undefined && now - since >= Math.max(probeAfterMs, 4 * (link.rttMs ?? 0));
  }

  #ping(link: Link, probe: Probe, now: number): void {
    const { environment, helpers, datagrams } = this.#options;
    probe.pingAt = now;
    link.ping();
    // Where one cut took many links of the peer, those who lost theirs still say that they hear it: all have to be asked in turn.
    const all = helpers(link.peer, maxHelpers);
    for (let asked = Math.min(helperCount, all.length); asked > 0; asked--) {
      const via = all[probe.turn++ % all.length]!;
      // Random numbers: whoever did not carry the ping cannot answer it.
      const number = environment.randomBytes(6).reduce((sum, byte) => sum * 256 + byte, 0);
      const payload = encodePing({ number, via });
      if (datagrams.send(link.peer, DatagramKind.ping, payload, { lane: 'control', via }))
        probe.asked.set(number, via);
    }
    for (const number of probe.asked.keys()) {
      if (probe.asked.size <= maxAsked) break;
      probe.asked.delete(number);
    }
  }

  /** Answers the way the question came: this node may not know yet that its direct link is bad. */
  #pinged(from: NodeId, payload: Uint8Array): void {
    const via = decodePing(payload)?.via;
    if (via === undefined || via === from) return;
    this.#options.datagrams.send(from, DatagramKind.pong, payload, { lane: 'control', via });
  }

  #ponged(from: NodeId, payload: Uint8Array): void {
    const probe = this.#probes.get(from);
    const ping = decodePing(payload);
    if (probe === undefined || ping === undefined || probe.asked.get(ping.number) !== ping.via) return;
    probe.asked.delete(ping.number);
    probe.pongAt = this.#options.environment.now();
    probe.firstPongAt = Math.min(probe.firstPongAt, probe.pongAt);
  }

  #patienceWith(link: Link, now: number): number {
    const least = Math.max(badAfterMs, 4 * (link.rttMs ?? 0));
    return Math.max(least, this.#patience.get(link.peer)?.ms(now) ?? 0);
  }

  /** The other end gave a direct link up that nothing was wrong with here, or not yet. */
  moved(link: Link, now: number): void {
    this.#givenUp.set(link.peer, { silenceMs: now - link.heardAt, at: now });
  }

  #learn(peer: NodeId, patienceMs: number, now: number): void {
    const ms = Math.min(maxPatienceMs, patienceMs);
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

interface Ping {
  readonly number: number;
  /** Whom it goes over, and its answer. */
  readonly via: NodeId;
}

function encodePing(ping: Ping): Uint8Array {
  const writer = new ByteWriter(160);
  writer.varint(ping.number);
  writer.string(ping.via);
  return writer.take();
}

function decodePing(payload: Uint8Array): Ping | undefined {
  try {
    const reader = new ByteReader(payload);
    return { number: reader.varint(), via: reader.string(128) };
  } catch {
    return undefined;
  }
}
