/** Connectivity rows: as bytes, and as a live table with a neighbour that sends what it likes. */
import { Connectivity } from '../../../lib/failure/connectivity.js';
import {
  maxRowNodes,
  maxRowVersion,
  type ConnectivityRow,
  type RowEntry,
  type RowVersion,
} from '../../../lib/failure/rows.js';
import { decodeRowMessage, encodeRows, encodeVersions } from '../../../lib/failure/rowsCodec.js';
import { maxHearsay } from '../../../lib/failure/rowsHearsay.js';
import { RowGossip } from '../../../lib/failure/rowsGossip.js';
import { PartitionDetector } from '../../../lib/failure/partitionDetector.js';
import { isIncarnation } from '../../../lib/mesh/incarnation.js';
import type { Random } from '../random.js';
import { Broken, must, stateless, TAKEN, type Surface, type Trial } from '../surface.js';
import { written } from './group.js';

const heartbeatMs = 200;
const run = (number: number): string => `${String(number).padStart(15, '0')}-0123456789abcdef`;

function row(from: string, peers: readonly string[], more: Partial<ConnectivityRow> = {}): ConnectivityRow {
  const entries = [...peers].sort().map((peer, i): RowEntry => {
    const [hears, pending, deaf] = [i % 4 !== 3, i % 4 === 3 && i % 8 === 3, i % 16 === 2];
    return { peer, hears, pending, deaf: deaf && hears, phi: i % 4 === 0 ? 0.3 : 0 };
  });
  return { from, incarnation: run(1), version: 1 + peers.length, left: false, entries, ...more };
}

const members = ['a', 'b', 'c', 'd', 'e', 'f'];
const others = (id: string): string[] => members.filter((each) => each !== id);
const mesh = members.slice(1).map((id) => row(id, others(id)));
const newer = mesh.map((one, i) => ({ ...one, version: 20 + i }));

const messages: readonly Uint8Array[] = [
  encodeRows([]),
  encodeRows(mesh),
  encodeRows(newer),
  encodeRows([row('c', ['a'])]),
  encodeRows([row('c', others('c'), { incarnation: run(2) })]),
  encodeRows([row('b', [], { left: true })]),
  encodeRows([row('a', ['c'], { version: 7 })]),
  encodeRows([row('a', [], { version: maxRowVersion - 1 })]),
  encodeRows([row('b', [], { incarnation: run(999), version: maxRowVersion })]),
  encodeRows([row('x1', ['c', 'x2']), row('x2', ['c', 'x1'])]),
  encodeRows([row('y', ['b'])], true),
  encodeVersions(mesh, []),
  encodeVersions([], newer),
];
const words = [
  ...members,
  'x1',
  'y',
  run(1),
  run(2),
  run(999),
  written((w) => w.varint(maxRowVersion)),
  written((w) => w.varint(maxRowVersion - 1)),
  written((w) => w.varint(maxRowNodes)),
].map((word) => (typeof word === 'string' ? written((w) => w.string(word)) : word));

/** Reads a message, and writes it again: it must read alike. */
function reread(input: Uint8Array): ReturnType<typeof decodeRowMessage> {
  const message = decodeRowMessage(input, isIncarnation);
  const again =
    message.kind === 'versions'
      ? encodeVersions(message.versions, message.lost)
      : encodeRows(message.rows, message.kind === 'lost');
  const same = JSON.stringify(decodeRowMessage(again, isIncarnation)) === JSON.stringify(message);
  must(same, 'it reads otherwise');
  return message;
}

export function rows(): Surface {
  return stateless(
    'rows',
    'messages of connectivity rows',
    messages,
    (input) => {
      reread(input);
      return TAKEN;
    },
    words,
  );
}

interface Message {
  readonly to: string;
  readonly from: string;
  readonly bytes: Uint8Array;
}

/** One honest node's table, and what it tells its neighbours. */
class Member {
  readonly table: Connectivity;
  readonly gossip: RowGossip;
  readonly partition: PartitionDetector;
  readonly links = new Set<string>();

  constructor(id: string, now: number, sent: Message[]) {
    this.table = new Connectivity({ id, incarnation: run(1), heartbeatMs });
    this.gossip = new RowGossip({
      connectivity: this.table,
      isIncarnation,
      send: (to, bytes) => void sent.push({ to, from: id, bytes }),
      neighbours: () => this.links,
    });
    this.partition = new PartitionDetector({ connectivity: this.table, now, onChange: () => undefined });
    this.partition.expect('g', ['a', 'b', 'e'], now);
  }

  link(peer: string, now: number): void {
    this.links.add(peer);
    this.table.proven(peer, run(1));
    this.table.set(peer, { hears: true, phi: 0 }, now);
    this.gossip.linked(peer, now);
  }

  unlink(peer: string, now: number): void {
    this.links.delete(peer);
    this.table.proven(peer, undefined);
    this.table.set(peer, { hears: false }, now);
    this.gossip.unlinked(peer);
  }

  beat(now: number, phi: number): void {
    for (const peer of this.links) this.table.set(peer, { hears: true, phi }, now);
    this.table.tick(now);
    this.gossip.publish();
    this.partition.tick(now);
  }
}

/** Nodes a, b and e in a row, and at its end c, a neighbour of a, which sends the inputs. */
class GossipTrial implements Trial {
  readonly #random: Random;
  readonly #sent: Message[] = [];
  readonly #members: Readonly<Record<string, Member>>;
  readonly #a: Member;
  readonly #peaceEvery: number;
  #now = 1000;
  #beatAt = 0;
  #took = 0;

  constructor(random: Random, peaceEvery: number) {
    this.#random = random;
    this.#peaceEvery = peaceEvery;
    const member = (id: string): Member => new Member(id, this.#now, this.#sent);
    const [a, b, e] = [member('a'), member('b'), member('e')];
    this.#members = { a, b, e };
    this.#a = a;
    a.link('b', this.#now);
    a.link('c', this.#now);
    b.link('a', this.#now);
    b.link('e', this.#now);
    e.link('b', this.#now);
    this.#talk();
  }

  take(input: Uint8Array): string {
    const random = this.#random;
    if (++this.#took % this.#peaceEvery === 0) this.#peace();
    try {
      const known = input[0] === versionsKind ? this.#known() : 0;
      this.#a.gossip.receive('c', input, this.#now);
      this.#check(input, known);
    } finally {
      this.#now += random.below(random.chance(0.01) ? 20_000 : 40);
      this.#talk();
      if (this.#now - this.#beatAt >= heartbeatMs) this.#beat();
      if (random.chance(0.02)) this.#a.gossip.digest('c', random.below(2 ** 30), this.#now);
      if (random.chance(0.02)) this.#a.table.set('f', { hears: random.chance(0.5), phi: 0 }, this.#now);
    }
    return TAKEN;
  }

  #beat(): void {
    this.#beatAt = this.#now;
    for (const member of Object.values(this.#members)) member.beat(this.#now, this.#random.next());
    this.#talk();
    for (const member of Object.values(this.#members))
      for (const peer of member.links)
        this.#members[peer]?.gossip.digest(member.table.id, member.table.digest(), this.#now);
    this.#talk();
  }

  /** Hands over what honest nodes say. Whoever gets it must be able to read it, or the sender loses its links. */
  #talk(): void {
    for (let count = 0; this.#sent.length > 0; count++) {
      must(count < 20_000, 'honest nodes never stop talking');
      const { to, from, bytes } = this.#sent.shift()!;
      const member = this.#members[to];
      if (member === undefined) reread(bytes);
      else if (member.links.has(from)) member.gossip.receive(from, bytes, this.#now);
    }
  }

  /** What one message may set off, and what it may not change. */
  #check(input: Uint8Array, known: number): void {
    const { table } = this.#a;
    const own = table.own();
    must(own.from === 'a' && own.incarnation === run(1), 'the own row is of somebody else');
    must(!own.left, 'a neighbour said farewell for this node');
    const hears = (peer: string): boolean => own.entries.some((entry) => entry.peer === peer && entry.hears);
    // The sender itself may say farewell over its own link.
    must(hears('b'), 'a neighbour changed what this node hears');
    must(own.entries.length < maxRowNodes, 'a row above its cap');
    must(table.rows().length <= maxRowNodes && table.nodes().length <= maxRowNodes, 'a table above its cap');
    must(table.lostVersions().length <= maxRowNodes, 'more memories than the cap');
    const isVersions = ({ bytes }: { bytes: Uint8Array }): boolean => bytes[0] === 2;
    const size = (to: string): number =>
      this.#sent.reduce((sum, one) => sum + (one.to === to && !isVersions(one) ? one.bytes.length : 0), 0);
    // Whose digest differs is asked what it has, by a list of what is known here: once a while, whatever it says.
    must(this.#sent.filter((one) => one.to === 'c' && isVersions(one)).length <= 1, 'it is asked twice');
    const whole = encodeRows([own]).length + 64;
    // News go to the others, each once; to the sender go this node's own row and what it lacks.
    must(size('b') <= 2 * input.length + whole, 'one message makes many');
    must(size('c') <= Math.max(known, this.#known()) + 2 * whole, 'more is sent back than is known');
    for (const id of ['b', 'c', 'e', 'f', 'y', 'x1']) {
      const ways = [table.nextHop(id), table.hopAround(id)];
      must(ways[1] !== id, 'a way around that is the direct one');
      for (const hop of ways) must(hop === undefined || hears(hop), 'a way over a node that is not heard');
    }
  }

  /** Bytes of all that node a could tell. */
  #known(): number {
    const { table } = this.#a;
    return encodeRows(table.missing([])).length + encodeRows(table.missingLost([], [])).length;
  }

  #wait(): void {
    for (let beats = 0; beats < peaceBeats; beats++) {
      this.#now += heartbeatMs;
      this.#beat();
    }
  }

  /** The hostile neighbour loses its link. Before long all is as if it had never been there; then it comes again. */
  #peace(): void {
    const { a, b, e } = this.#members as Readonly<Record<'a' | 'b' | 'e', Member>>;
    a.unlink('c', this.#now);
    a.table.set('f', { hears: false }, this.#now);
    this.#wait();
    // A later run of a node that is no neighbour can be made up: nobody can prove the contrary to this node. See the document.
    if (isFooled(a, e) || isFooled(e, a)) {
      a.table.forget('e');
      e.table.forget('a');
      this.#wait();
    }
    const ways = [
      a.table.nextHop('e'),
      e.table.nextHop('a'),
      b.table.nextHop('a'),
      b.table.nextHop('e'),
    ].join(' ');
    must(ways === 'b b a e', `the harm lasts: the ways are ${ways}`);
    const tables = [a, b, e].map(({ table }) => table.digest());
    // Above the cap on hearsay nodes may differ for as long as they remember the names: whom each of them met differs.
    if (new Set(tables).size > 1 && [a, b, e].every(({ table }) => table.nodes().length < maxHearsay / 2))
      throw new Broken(`the tables of honest nodes differ for good: ${[a, b, e].map(saysOf).join(' | ')}`);
    const speaking = a.table.rows().flatMap(({ from, left }) => (left ? [] : [from]));
    must(
      [...speaking].sort().join(' ') === 'a b e',
      `who is gone is still believed: ${speaking.slice(0, 9).join(' ')}`,
    );
    a.link('c', this.#now);
  }
}

/** Whether a node believes a row that the other one did not make. */
function isFooled({ table }: Member, other: Member): boolean {
  const row = table.rows().find(({ from }) => from === other.table.id);
  return row !== undefined && row.incarnation !== other.table.incarnation;
}

/** What a node believes and remembers, for a message. */
function saysOf({ table }: Member): string {
  const names = (list: readonly RowVersion[]): string =>
    list
      .map(({ from, incarnation, version }) => `${from} ${incarnation.slice(0, 15)} ${version}`)
      .sort()
      .slice(0, 9)
      .join(', ');
  return `${table.id} believes ${names(table.versions())} and remembers ${names(table.lostVersions())}`;
}

const versionsKind = 2;
/** Two minutes. */
const peaceBeats = 600;

export function gossip(): Surface {
  return {
    name: 'gossip',
    about: 'a live connectivity table, and a neighbour that sends anything',
    corpus: messages,
    words,
    life: 4096,
    strict: false,
    begin: (random) => new GossipTrial(random, 1024),
  };
}

/** Tables as large as they get: made-up members by the hundred, who hear each other. */
export function crowd(): Surface {
  const made = (from: number, count: number, prefix: string, more: number): Uint8Array => {
    const ids = Array.from({ length: count }, (_, i) => `${prefix}${from + i}`);
    return encodeRows(ids.map((id, i) => row(id, ['c', ...ids.slice(i + 1, i + 1 + more)])));
  };
  const many = Array.from({ length: 1000 }, (_, i) => `z${i}`);
  const corpus = [
    ...messages,
    made(0, 200, 'z', 10),
    made(200, 400, 'z', 3),
    made(600, 400, 'z', 3),
    made(0, 900, 'y', 1),
    encodeRows([row('c', [...others('c'), ...many])]),
    encodeRows([row('c', [...others('c'), ...many], { version: 2000 })]),
    encodeVersions(
      many.map((id) => row(id, [])),
      [],
    ),
  ];
  return {
    name: 'crowd',
    about: 'the same with tables of a thousand made-up members',
    corpus,
    words,
    life: 64,
    strict: false,
    begin: (random) => new GossipTrial(random, 32),
  };
}
