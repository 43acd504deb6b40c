/** Datagrams of the local network: as bytes, and as a crowd that calls and sends parts of messages. */
import {
  clusterTag,
  decodeDatagram,
  encodeDatagram,
  fragmentBytes,
  fragments,
  maxDatagramBytes,
  type LanDatagram,
  type LanSender,
  type Unsigned,
} from '../../../lib/mesh/signaling/lanWire.js';
import { LanPeers } from '../../../lib/mesh/signaling/lanPeers.js';
import { maxPayloadBytes } from '../../../lib/mesh/signaling/signaling.js';
import { isName, QuorateError } from '../../../lib/errors.js';
import type { Random } from '../random.js';
import { must, sameBytes, stateless, TAKEN, type Surface, type Trial } from '../surface.js';
import { World } from '../world.js';

const tag = clusterTag('home');
const run = (number: number): string => `${String(number).padStart(15, '0')}-0123456789abcdef`;
const sender = (id: string, incarnation = 1): LanSender => ({
  id,
  incarnation: run(incarnation),
  port: 40_000 + id.length,
});

function parts(from: LanSender, number: number, payload: Buffer): LanDatagram[] {
  const cut = fragments(payload);
  return cut.map((body, place) => ({
    kind: 'part',
    from,
    to: 'a',
    number,
    place,
    count: cut.length,
    body,
  }));
}

const text = Buffer.from('{"type":"offer","sdp":"v=0"}');
const recorded: readonly LanDatagram[] = [
  ...(['here', 'ask', 'bye'] as const).map((mood): LanDatagram => ({
    kind: 'beacon',
    from: sender('b'),
    mood,
  })),
  { kind: 'beacon', from: sender('b', 2), mood: 'here' },
  { kind: 'beacon', from: sender('node:with@signs'), mood: 'ask' },
  ...parts(sender('b'), 1, text),
  ...parts(sender('b'), 2, Buffer.alloc(0)),
  ...parts(sender('c'), 1, Buffer.alloc(3 * fragmentBytes, 'x')),
  ...parts(sender('c'), 2, Buffer.alloc(fragmentBytes + 1, 'ü')),
  ...[0, 1, 2].map((place): LanDatagram => ({
    kind: 'ack',
    from: sender('b'),
    to: 'a',
    number: 1 + place,
    place,
  })),
];
const corpus = recorded.map((datagram) => Uint8Array.from(encodeDatagram(tag, datagram)));
const words = [
  '"kind":',
  '"part"',
  '"ack"',
  '"place":',
  '"count":',
  '"number":',
  '81',
  '{"id":"b"',
  '\n',
  tag,
].map((word) => (typeof word === 'string' ? Buffer.from(word) : word));

function read(input: Uint8Array): LanDatagram {
  const datagram = decodeDatagram(tag, Buffer.from(input));
  if (datagram === undefined) throw new QuorateError('ERR_SIGNALING', 'no datagram of this cluster');
  return datagram;
}

export function lanWire(): Surface {
  return stateless(
    'lanWire',
    'datagrams of the local network',
    corpus,
    (input) => {
      const datagram = read(input);
      const { id, incarnation, port } = datagram.from;
      must(isName(id) && isName(incarnation) && port > 0 && port < 65_536, 'a sender that cannot be');
      must(
        datagram.kind !== 'part' ||
          (datagram.place < datagram.count && datagram.body.length <= fragmentBytes),
        'a part that cannot be',
      );
      const bytes = encodeDatagram(tag, datagram);
      must(bytes.length <= maxDatagramBytes + 64, 'a datagram that grows');
      const again = decodeDatagram(tag, bytes);
      // Numbers such as 1e2 may have been shorter than they are written.
      must(again !== undefined || bytes.length > maxDatagramBytes, 'it does not read again');
      if (again !== undefined)
        must(
          JSON.stringify(again) === JSON.stringify(datagram) && sameBytes(encodeDatagram(tag, again), bytes),
          'it reads otherwise',
        );
      return TAKEN;
    },
    words,
  );
}

const intervalMs = 1000;
const expiryMs = 5000;

/** Node a's list of who calls, with messages under way both ways. */
class LanTrial implements Trial {
  readonly #random: Random;
  readonly #world: World;
  readonly #peers: LanPeers;
  #told: Unsigned[] = [];
  #heard: string[] = [];
  #took = 0;
  #expiredAt = 0;
  #floods = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#world = new World(random);
    const { environment } = this.#world;
    const host = {
      id: 'a',
      cluster: 'home',
      incarnation: run(1),
      environment,
      onPresence: (peer: string) => {
        must(peer !== 'a', 'this node met itself');
      },
      onMessage: (from: string, payload: string) => {
        must(from !== 'a' && Buffer.byteLength(payload) <= maxPayloadBytes, 'a message that cannot be');
        this.#heard.push(payload);
      },
      onWarning: () => undefined,
    };
    this.#peers = new LanPeers({
      host,
      maxPeers: 256,
      intervalMs,
      expiryMs,
      tell: (datagram, _address, port) => {
        must(port > 0 && port < 65_536, 'an answer to a port that is none');
        this.#told.push(datagram);
      },
    });
  }

  take(input: Uint8Array): string {
    if (++this.#took % 4096 === 0) this.#flood();
    const random = this.#random;
    this.#told = [];
    this.#heard = [];
    try {
      const datagram = read(input);
      if (datagram.from.id !== 'a')
        this.#peers.received(
          datagram,
          `10.0.0.${1 + random.below(20)}`,
          datagram.from.port + random.below(2),
        );
      must(this.#told.length <= 33, 'one datagram sets off many');
      return TAKEN;
    } finally {
      if (random.chance(0.1))
        this.#peers.send(
          random.pick(['b', 'c', 'nobody']),
          random.chance(0.1) ? Buffer.alloc(60_000, 'y') : text,
        );
      this.#told = [];
      if (random.chance(0.3)) this.#world.pass(random.below(100));
      must(this.#told.length <= 256 * 32, 'too much is sent again');
      this.#expire();
      must(this.#world.timers <= 256, 'more timers than peers');
    }
  }

  #expire(): void {
    const { now } = this.#world;
    if (now - this.#expiredAt < intervalMs) return;
    this.#expiredAt = now;
    this.#peers.expire();
  }

  /** When all who called are forgotten there is room again for parts: as much as there ever was. */
  #flood(): void {
    this.#world.pass(expiryMs + intervalMs);
    this.#peers.expire();
    must(this.#world.timers === 0, 'a timer of a peer that is forgotten');
    const crowd = 60;
    const payload = Buffer.alloc(maxPayloadBytes, 'z');
    const number = ++this.#floods;
    for (let i = 0; i < crowd; i++) {
      const whole = parts(sender(`flood${i}`, number), 1, payload);
      const last = i === crowd - 1;
      for (const part of last ? whole : whole.slice(1))
        this.#peers.received(part, `10.9.${number % 200}.${i}`, part.from.port);
    }
    this.#heard = [];
    this.#world.pass(1);
    must(
      this.#heard.length === 1 && this.#heard[0]!.length === maxPayloadBytes,
      'a flood that is over still takes room',
    );
    this.#world.pass(expiryMs + intervalMs);
    this.#peers.expire();
  }
}

export function lanPeers(): Surface {
  return {
    name: 'lanPeers',
    about: 'who calls on the local network, and messages in parts',
    corpus,
    words,
    life: 16_384,
    strict: false,
    begin: (random) => new LanTrial(random),
  };
}
