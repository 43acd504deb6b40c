/** Pings and pongs over other members: any bytes, any sender. */
import type { NodeId } from '../../../lib/consensus/consensus.js';
import type { Link } from '../../../lib/mesh/link.js';
import type { Peer } from '../../../lib/mesh/peer.js';
import type { Peers } from '../../../lib/mesh/peers.js';
import { Prober } from '../../../lib/mesh/prober.js';
import { DatagramKind, type DatagramPort } from '../../../lib/mesh/relay/datagrams.js';
import type { Random } from '../random.js';
import { must, TAKEN, type Surface, type Trial } from '../surface.js';
import { World } from '../world.js';
import { written } from './group.js';

interface Sent {
  readonly to: NodeId;
  readonly kind: number;
  readonly payload: Uint8Array;
  readonly via: NodeId | undefined;
}

interface FakeLink {
  readonly peer: NodeId;
  readonly path: 'direct';
  received: number;
  over: boolean;
  heardAt: number;
  unansweredSince: number | undefined;
  readonly rttMs: number;
  readonly since: number;
  ping(): void;
}

interface FakePeer {
  readonly id: NodeId;
  bad: boolean;
  state: 'up' | 'suspect';
}

const members = ['b', 'c', 'd'];

class PingTrial implements Trial {
  readonly #random: Random;
  readonly #world: World;
  readonly #links = new Map<NodeId, FakeLink>();
  readonly #peers = new Map<NodeId, FakePeer>();
  readonly #handlers = new Map<number, (from: NodeId, payload: Uint8Array, lane: 'control') => void>();
  readonly #prober: Prober;
  #sent: Sent[] = [];
  /** Pings that are out, as they were sent. */
  #asked: Sent[] = [];
  /** When a member last gave a true answer. */
  readonly #answeredAt = new Map<NodeId, number>();

  constructor(random: Random) {
    this.#random = random;
    this.#world = new World(random);
    for (const id of members) {
      this.#peers.set(id, { id, bad: false, state: 'up' });
      this.#links.set(id, {
        peer: id,
        path: 'direct',
        received: 0,
        over: false,
        heardAt: 0,
        unansweredSince: undefined,
        rttMs: 5,
        since: 0,
        ping: () => undefined,
      });
    }
    const peers = {
      links: () => [...this.#links.values()] as unknown as Link[],
      get: (id: NodeId) => this.#peers.get(id) as unknown as Peer | undefined,
      recovered: () => undefined,
      drop: (link: FakeLink) => void (link.received += 1),
      failing: (peer: FakePeer) => {
        const at = this.#answeredAt.get(peer.id) ?? -Infinity;
        must(this.#world.now - at <= 400, 'a link was given up, and its peer did not answer');
        peer.bad = true;
      },
    };
    const datagrams = {
      send: (to: NodeId, kind: number, payload: Uint8Array, options: { readonly via?: NodeId }) => {
        const sent = { to, kind, payload, via: options.via };
        this.#sent.push(sent);
        if (kind === DatagramKind.ping) this.#asked.push(sent);
        return true;
      },
      reaches: () => true,
      handle: (kind: number, handler: (from: NodeId, payload: Uint8Array, lane: 'control') => void) =>
        void this.#handlers.set(kind, handler),
    };
    this.#prober = new Prober({
      environment: this.#world.environment,
      peers: peers as unknown as Peers,
      datagrams: datagrams as unknown as DatagramPort,
      helpers: (peer, count) => members.filter((id) => id !== peer).slice(0, count),
    });
  }

  take(input: Uint8Array): string {
    const random = this.#random;
    const from = random.pick([...members, 'x']);
    this.#live();
    this.#sent = [];
    const kind = random.pick([DatagramKind.ping, DatagramKind.pong]);
    if (random.chance(0.1) && this.#asked.length > 0) this.#answer();
    const before = this.#prober.answers(from, this.#world.now);
    const genuine = this.#asked.some((ping) => ping.to === from && Buffer.compare(ping.payload, input) === 0);
    this.#handlers.get(kind)!(from, Uint8Array.from(input), 'control');
    if (kind === DatagramKind.ping) {
      const answers = this.#sent.filter((sent) => sent.kind === DatagramKind.pong);
      must(answers.length <= 1, 'a ping with many answers');
      const [answer] = answers;
      if (answer === undefined) return 'ERR_PEER_PROTOCOL';
      must(answer.to === from && answer.payload.length <= input.length, 'an answer larger than the ping');
      must(answer.via !== undefined && answer.via !== from, 'an answer that does not go over others');
      return TAKEN;
    }
    must(
      this.#sent.every((sent) => sent.kind !== DatagramKind.pong),
      'a pong was answered',
    );
    must(
      before || genuine || !this.#prober.answers(from, this.#world.now),
      'a pong that nobody asked for is believed',
    );
    return genuine ? TAKEN : 'ERR_PEER_PROTOCOL';
  }

  /** A member answers a ping, as it came or as another one. */
  #answer(): void {
    const random = this.#random;
    const ping = this.#asked[random.below(this.#asked.length)]!;
    const honest = random.chance(0.5);
    const from = honest ? ping.to : random.pick(members);
    if (from === ping.to) this.#answeredAt.set(from, this.#world.now);
    this.#handlers.get(DatagramKind.pong)!(from, Uint8Array.from(ping.payload), 'control');
  }

  /** Links are heard or fall silent; time passes. */
  #live(): void {
    const random = this.#random;
    this.#world.pass(random.below(60));
    const { now } = this.#world;
    for (const [id, link] of this.#links) {
      const peer = this.#peers.get(id)!;
      if (random.chance(0.05)) peer.state = random.pick(['up', 'suspect']);
      if (random.chance(0.05)) link.unansweredSince = now;
      if (!random.chance(0.1)) continue;
      link.received++;
      link.heardAt = now;
      link.unansweredSince = undefined;
      peer.bad = false;
    }
    this.#sent = [];
    if (random.chance(0.02)) this.#prober.urge(now);
    this.#prober.tick(now);
    must(this.#sent.length <= 2 * members.length * 3, 'more pings than helpers');
    if (this.#asked.length > 64) this.#asked = this.#asked.slice(-64);
  }
}

const ping = (number: number, via: string): Uint8Array =>
  written((w) => {
    w.varint(number);
    w.string(via);
  });

export function pings(): Surface {
  return {
    name: 'pings',
    about: 'pings and pongs over other members',
    corpus: [ping(0, 'b'), ping(77, 'c'), ping(2 ** 48 - 1, 'd'), ping(5, 'node:with@signs'), ping(9, '')],
    words: members.map((id) => written((w) => w.string(id))),
    life: 4096,
    strict: false,
    begin: (random) => new PingTrial(random),
  };
}
