/** Relayed links as a whole: three nodes over a carrier that changes what it likes, and one end whose other end is hostile. */
import { createCipheriv } from 'node:crypto';
import { bindingOf, deriveKeys, makeKeys, type DirectionKeys } from '../../../lib/mesh/relay/keyExchange.js';
import { maxMessageBytes } from '../../../lib/mesh/relay/laneChunks.js';
import {
  FrameFlag,
  headerBytes,
  maxPacketBytes,
  MessageType,
  setupMessage,
  typeOfLane,
  writeFrames,
  type Ack,
} from '../../../lib/mesh/relay/packets.js';
import { type DatagramHandler, type DatagramPort } from '../../../lib/mesh/relay/datagrams.js';
import { newRelayCounters } from '../../../lib/mesh/relay/metrics.js';
import { RelayLink } from '../../../lib/mesh/relay/relayLink.js';
import { RelayLinks } from '../../../lib/mesh/relay/relayLinks.js';
import type { LaneName, RawLink } from '../../../lib/mesh/transport.js';
import type { Random } from '../random.js';
import { must, TAKEN, type Surface, type Trial } from '../surface.js';
import { World } from '../world.js';

const refused = 'ERR_PEER_PROTOCOL';
const lanes = ['control', 'bulk'] as const;
const ids = ['a', 'b', 'c'] as const;
type Id = (typeof ids)[number];

interface Datagram {
  readonly from: string;
  readonly to: Id;
  readonly lane: LaneName;
  readonly payload: Uint8Array;
}

const MAX_IN_FLIGHT = 2000;
/** Windows of both lanes, and a message of each that is not whole. */
const MAX_HELD = (2 + 4) * 1024 * 1024 + 2 * maxMessageBytes + 2 * maxPacketBytes;

/** Bytes that only their place decides: whoever gets a message knows which one it must be. */
function contentOf(key: number, number: number): Uint8Array {
  const length = 8 + ((number * 7919) % (number % 29 === 28 ? 40_000 : 900));
  const bytes = new Uint8Array(length).fill((key + number) & 0xff);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, key);
  view.setUint32(4, number);
  return bytes;
}

/** One end of a link that was handed over. What it gets must be what the other end sent, whole and in order. */
class End {
  readonly raw: RawLink;
  readonly sent: Record<LaneName, number> = { control: 0, bulk: 0 };
  readonly got: Record<LaneName, number> = { control: 0, bulk: 0 };
  other: End | undefined;
  closed = false;
  readonly #key: number;

  constructor(raw: RawLink, key: number) {
    this.raw = raw;
    this.#key = key;
    for (const lane of lanes) raw[lane].onMessage = (message) => this.#receive(lane, message);
    raw.onClosed = () => {
      must(!this.closed, 'a link ended twice');
      this.closed = true;
    };
  }

  keyOf(lane: LaneName): number {
    return this.#key * 4 + (this.raw.offerer ? 2 : 0) + (lane === 'bulk' ? 1 : 0);
  }

  send(lane: LaneName): void {
    if (this.raw[lane].send(contentOf(this.keyOf(lane), this.sent[lane]))) this.sent[lane]++;
  }

  #receive(lane: LaneName, message: Uint8Array): void {
    must(!this.closed, 'a message of a link that is over');
    const { other } = this;
    must(other !== undefined, 'a message of a link that the other end does not have');
    const number = this.got[lane]++;
    must(number < other.sent[lane], 'a message that nobody sent');
    const expected = contentOf(other.keyOf(lane), number);
    must(
      Buffer.compare(message, expected) === 0,
      `message ${number} of ${lane} is another one than was sent`,
    );
  }
}

class Node {
  readonly relay: RelayLinks;
  ends: End[] = [];

  constructor(id: Id, world: World, net: Net, onLink: (raw: RawLink) => End) {
    this.relay = new RelayLinks({
      id,
      environment: world.environment,
      port: net.port(id),
      onLink: (raw) => void this.ends.push(onLink(raw)),
      onWarning: (error) => {
        must(error.code === 'ERR_PEER_TIMEOUT', `a warning ${error.code}`);
      },
    });
  }

  /** What it refused so far. */
  get refusals(): number {
    const { dropped, openingsRefused, packetsForged, packetsRepeated } = this.relay.counters;
    return dropped + openingsRefused + packetsForged + packetsRepeated;
  }
}

/** The carrier: sees all, keeps all, and hands over what the fuzzer says. */
class Net {
  readonly queue: Datagram[] = [];
  readonly #handlers = new Map<string, DatagramHandler>();

  port(id: Id): DatagramPort {
    return {
      send: (to: string, _kind: number, payload: Uint8Array, { lane }: { readonly lane: LaneName }) => {
        const known = ids.find((each) => each === to);
        must(payload.length <= maxPacketBytes, 'a packet above its cap');
        if (known === undefined || this.queue.length >= MAX_IN_FLIGHT) return false;
        this.queue.push({ from: id, to: known, lane, payload });
        return true;
      },
      reaches: () => true,
      handle: (_kind: number, handler: DatagramHandler) => void this.#handlers.set(id, handler),
    };
  }

  deliver({ from, to, lane, payload }: Datagram, by = 'h'): void {
    this.#handlers.get(to)!(from, Uint8Array.from(payload), lane, by);
  }
}

class RelayTrial implements Trial {
  readonly #random: Random;
  readonly #world: World;
  readonly #net = new Net();
  readonly #nodes: Record<Id, Node>;
  readonly #bindings = new Map<string, { readonly key: number; readonly ends: End[] }>();
  /** Old datagrams, to be played again. */
  readonly #museum: Datagram[] = [];
  #took = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#world = new World(random);
    const make = (id: Id): Node => new Node(id, this.#world, this.#net, (raw) => this.#linked(raw));
    this.#nodes = { a: make('a'), b: make('b'), c: make('c') };
  }

  async take(input: Uint8Array, valid: boolean): Promise<string> {
    const before = this.#refusals;
    const random = this.#random;
    if (++this.#took % 512 === 0) await this.#peace();
    if (valid) this.#deliver(this.#net.queue.length);
    else this.#harm(input);
    if (random.chance(0.3)) this.#use();
    if (random.chance(0.05)) this.#nodes[random.pick(ids)].relay.connect(random.pick(ids));
    await this.#world.run(random.chance(0.01) ? random.below(6000) : random.below(30));
    if (this.#took % 32 === 0) this.#look();
    return this.#refusals > before ? refused : TAKEN;
  }

  get #refusals(): number {
    return this.#nodes.a.refusals + this.#nodes.b.refusals + this.#nodes.c.refusals;
  }

  #linked(raw: RawLink): End {
    const known = this.#bindings.get(raw.binding) ?? { key: this.#bindings.size, ends: [] };
    this.#bindings.set(raw.binding, known);
    const end = new End(raw, known.key);
    known.ends.push(end);
    must(known.ends.length <= 2, 'three ends of one link');
    const [one, two] = known.ends;
    if (two !== undefined) {
      must(one!.raw.offerer !== two.raw.offerer, 'two ends that opened');
      one!.other = two;
      two.other = one;
    }
    return end;
  }

  /** Hands over datagrams that wait, in order. */
  #deliver(count: number): void {
    for (const datagram of this.#net.queue.splice(0, count)) {
      if (this.#museum.length < 64) this.#museum.push(datagram);
      else this.#museum[this.#random.below(64)] = datagram;
      this.#net.deliver(datagram);
    }
  }

  #harm(input: Uint8Array): void {
    const random = this.#random;
    const { queue } = this.#net;
    const what = random.next();
    const at = random.below(Math.max(1, queue.length));
    const one = queue[at] ?? this.#museum[random.below(64)];
    if (what < 0.3 || one === undefined) {
      this.#inject({
        from: random.pick([...ids, 'x', '']),
        to: random.pick(ids),
        lane: random.pick(lanes),
        payload: input,
      });
    } else if (what < 0.5) {
      this.#inject({ ...one, payload: this.#changed(one.payload, input) });
    } else if (what < 0.6) {
      this.#inject({ ...one, from: random.pick(ids), to: random.pick(ids), lane: random.pick(lanes) });
    } else if (what < 0.7) {
      this.#net.deliver(one);
    } else if (what < 0.75) {
      queue.splice(at, 1 + random.below(4));
    } else if (what < 0.8) {
      const [moved] = queue.splice(at, 1);
      if (moved !== undefined) queue.splice(random.below(queue.length + 1), 0, moved);
    } else {
      this.#deliver(1 + random.below(16));
    }
  }

  #changed(payload: Uint8Array, input: Uint8Array): Uint8Array {
    const random = this.#random;
    const out = Uint8Array.from(payload);
    const from = random.below(out.length + 1);
    if (random.chance(0.2)) return out.subarray(0, from);
    if (random.chance(0.2)) return Buffer.concat([out, input]).subarray(0, maxPacketBytes + 1);
    for (let i = 0; i < input.length && from + i < out.length && i < 40; i++) out[from + i]! ^= input[i]!;
    return out;
  }

  /** What a message sets off at once may not be larger than it is, but for the fixed size of an answer. */
  #inject(datagram: Datagram): void {
    const { queue } = this.#net;
    const before = queue.length;
    this.#net.deliver(datagram);
    const answers = queue.slice(before);
    must(answers.length <= 2, 'a message with many answers');
    const bytes = answers.reduce((sum, { payload }) => sum + payload.length, 0);
    must(bytes <= Math.max(256, datagram.payload.length), 'an answer larger than the question');
  }

  #use(): void {
    const random = this.#random;
    const { ends } = this.#nodes[random.pick(ids)];
    const end = ends[random.below(ends.length)];
    if (end === undefined) return;
    for (let n = 1 + random.below(4); n > 0; n--) end.send(random.pick(lanes));
    if (random.chance(0.02)) end.raw.close();
  }

  #look(): void {
    for (const id of ids) {
      const node = this.#nodes[id];
      let held = 0;
      for (const end of node.ends)
        held += end.closed ? 0 : (end.raw as RawLink & { readonly held: number }).held;
      node.ends = node.ends.filter((end) => !end.closed);
      must(node.ends.length <= 16, 'more links than two peers may have');
      must(held <= MAX_HELD * Math.max(1, node.ends.length), 'more is kept than the windows');
    }
    for (const [binding, { ends }] of this.#bindings)
      if (this.#bindings.size > 256 && ends.every((end) => end.closed))
        this.#bindings.set(binding, { key: 0, ends });
    must(this.#world.timers < 512, 'timers without an end');
  }

  /** The carrier is honest for a while: a new link comes up, and carries what is given to it. */
  async #peace(): Promise<void> {
    const { a, b } = this.#nodes;
    for (const end of [...a.ends, ...b.ends]) end.raw.close();
    const old = new Set(a.ends);
    for (let ms = 0; ms < 40_000; ms += 10) {
      if (ms % 200 === 0) a.relay.connect('b');
      this.#deliver(this.#net.queue.length);
      await this.#world.run(10);
      const end = a.ends.find((each) => !old.has(each) && !each.closed && each.other?.closed === false);
      if (end === undefined) continue;
      const wanted = 5;
      while (end.sent.control < wanted) end.send('control');
      for (let more = 0; more < 3000 && end.other!.got.control < wanted; more += 10) {
        this.#deliver(this.#net.queue.length);
        await this.#world.run(10);
      }
      must(end.other!.got.control >= wanted, 'a link that carries nothing though nobody harms it');
      return;
    }
    must(false, 'no link though nobody harms it any more');
  }
}

const zeros = new Uint8Array(20);
const session = Uint8Array.from({ length: 16 }, (_, i) => i);
const key = Uint8Array.from({ length: 32 }, (_, i) => 9 + i);
const setupCorpus: readonly Uint8Array[] = [
  setupMessage(MessageType.open, session, key, zeros),
  setupMessage(MessageType.open, session, new Uint8Array(32), zeros),
  setupMessage(MessageType.challenge, session, zeros),
  setupMessage(MessageType.accept, session, key),
  setupMessage(MessageType.gone, session),
  Buffer.concat([Uint8Array.of(MessageType.control), session, new Uint8Array(40)]),
  Buffer.concat([Uint8Array.of(MessageType.bulk), session, new Uint8Array(900)]),
];

export function relayLinks(): Surface {
  return {
    name: 'relayLinks',
    about: 'relayed links of three nodes over a carrier that changes, forges, repeats, and loses',
    corpus: setupCorpus,
    words: [session, key],
    life: 2048,
    strict: false,
    begin: (random) => new RelayTrial(random),
  };
}

/** A packet that opens: the other end holds the keys. */
function sealed(lane: LaneName, keyOfLane: Uint8Array, number: number, plain: Uint8Array): Buffer {
  const head = Buffer.alloc(headerBytes);
  head[0] = typeOfLane[lane];
  head.set(session, 1);
  head.writeUIntBE(number, headerBytes - 6, 6);
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 6, 6);
  const cipher = createCipheriv('aes-256-gcm', keyOfLane, nonce, { authTagLength: 16 });
  cipher.setAAD(head);
  return Buffer.concat([head, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** One end of a link, and a peer that seals any frames. */
class OpenedTrial implements Trial {
  readonly #random: Random;
  readonly #world: World;
  readonly #keys: DirectionKeys;
  #link!: RelayLink;
  #closed = false;
  #over = false;
  #delivered = 0;
  #packets = 0;
  #numbers: Record<LaneName, number> = { control: 0, bulk: 0 };

  constructor(random: Random) {
    this.#random = random;
    this.#world = new World(random);
    const own = makeKeys(this.#world.environment);
    const other = makeKeys(this.#world.environment);
    const transcript = {
      session,
      opener: 'b',
      answerer: 'a',
      openerKey: other.publicKey,
      answererKey: own.publicKey,
    };
    must(bindingOf(transcript).length < 200, 'a binding that is a book');
    this.#keys = deriveKeys(own, other.publicKey, transcript)!;
    this.#begin();
  }

  #begin(): void {
    this.#closed = this.#over = false;
    this.#numbers = { control: 0, bulk: 0 };
    const link = new RelayLink({
      peer: 'b',
      offerer: false,
      binding: 'x',
      session,
      keys: this.#keys,
      environment: this.#world.environment,
      counters: newRelayCounters(),
      transmit: (_lane, packet) => {
        must(packet.length <= maxPacketBytes, 'a packet above its cap');
        this.#packets++;
        return true;
      },
      onOver: () => {
        must(!this.#over, 'a link was over twice');
        this.#over = true;
      },
    });
    link.onClosed = () => {
      must(!this.#closed, 'a link ended twice');
      this.#closed = true;
    };
    for (const lane of lanes) {
      link[lane].onMessage = (message) => {
        must(link.open, 'a message of a link that is over');
        must(message.length <= maxMessageBytes, 'a message above its cap');
        this.#delivered += message.length;
      };
    }
    link.listen();
    this.#link = link;
  }

  async take(input: Uint8Array): Promise<string> {
    const random = this.#random;
    const link = this.#link;
    const lane = random.pick(lanes);
    this.#delivered = this.#packets = 0;
    if (random.chance(0.2)) link[random.pick(lanes)].send(random.bytes(random.chance(0.05) ? 20_000 : 30));
    const jump = random.chance(0.1) ? random.pick([2, 5, 100, 2 ** 20, 2 ** 40]) : 1;
    const number = Math.min(2 ** 48 - 1, this.#numbers[lane] + jump);
    this.#numbers[lane] = random.chance(0.05) ? 0 : number;
    const packet = sealed(
      lane,
      this.#keys.opener[lane],
      number,
      input.subarray(0, maxPacketBytes - headerBytes - 16),
    );
    const heldBefore = link.held;
    if (packet.length > headerBytes + 16 && link.receive(lane, packet)) link.deliver();
    must(this.#delivered <= heldBefore + packet.length + 8 * 1024 * 1024, 'more comes out than went in');
    must(link.held <= MAX_HELD, 'more is kept than the windows');
    await this.#world.run(random.chance(0.02) ? random.below(3000) : random.below(12));
    must(this.#packets <= 2048, 'one packet sets off many');
    if (link.open) {
      must(this.#world.timers <= 1, 'more than one timer for a link');
      return TAKEN;
    }
    await this.#world.run(1);
    must(this.#over && this.#closed, 'a link that is over and does not say so');
    must(this.#world.timers === 0, 'a timer of a link that is over');
    must(link.held === 0, 'a link that is over keeps bytes');
    this.#begin();
    return refused;
  }

  held(): number {
    return this.#link.held;
  }
}

function frames(
  flags: number,
  ack: Ack | undefined,
  seq: number,
  ...messages: readonly number[]
): Uint8Array {
  const out = new Uint8Array(512);
  const head = out.subarray(0, writeFrames(out, flags, ack, seq));
  const bodies = messages.map((length) =>
    Buffer.concat([Uint8Array.of(length >> 16, length >> 8, length), Buffer.alloc(length, 7)]),
  );
  return Uint8Array.from(Buffer.concat([head, ...bodies]));
}

const { ack: ACK, chunk: CHUNK, ping: PING, close: CLOSE } = FrameFlag;
const openedCorpus: readonly Uint8Array[] = [
  ...[0, 1, 2, 3].map((seq) => frames(CHUNK, undefined, seq, 5, 0, 60)),
  frames(CHUNK, undefined, 0, 900),
  frames(CHUNK, undefined, 7, 20),
  frames(CHUNK, undefined, 1023, 20),
  frames(CHUNK, undefined, 0, 60_000).subarray(0, 500),
  frames(PING, undefined, 0),
  frames(PING | CHUNK, undefined, 0, 8),
  frames(CLOSE, undefined, 0),
  ...[0, 1, 2, 5].map((high) => frames(ACK, { nextChunk: high + 1, delayMs: 2, ranges: [[0, high]] }, 0)),
  frames(
    ACK | CHUNK,
    {
      nextChunk: 1,
      delayMs: 1,
      ranges: [
        [2, 3],
        [0, 0],
      ],
    },
    1,
    9,
  ),
];

export function relayOpened(): Surface {
  return {
    name: 'relayOpened',
    about: 'one end of a relayed link whose other end seals anything',
    corpus: openedCorpus,
    life: 4096,
    strict: false,
    begin: (random) => new OpenedTrial(random),
  };
}
