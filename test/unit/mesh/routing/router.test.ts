import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Link } from '../../../../lib/mesh/link.js';
import { newCounters } from '../../../../lib/mesh/metrics.js';
import type { MeshCounters } from '../../../../lib/mesh/metrics.js';
import { DatagramKind, maxDatagramBytes } from '../../../../lib/mesh/relay/datagrams.js';
import { DatagramRouter, decodeDatagram, encodeDatagram } from '../../../../lib/mesh/relay/router.js';
import { Seen } from '../../../../lib/mesh/relay/seen.js';
import type { LaneName } from '../../../../lib/mesh/transport.js';
import { VirtualEnvironment } from '../support.js';

type Hops = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Routers joined by wires that a test draws; each believes the table of next hops that it is given. */
class Net {
  readonly routers = new Map<string, DatagramRouter>();
  readonly counters = new Map<string, MeshCounters>();
  readonly heard: string[] = [];
  /** Frames that crossed each wire. */
  readonly crossed: string[] = [];
  readonly backlog = new Map<string, number>();
  /** Links that owe an answer. */
  readonly doubted = new Set<string>();
  readonly #environment = new VirtualEnvironment();
  readonly #wires: readonly string[];

  constructor(wires: readonly string[], hops: Hops, around: Hops = {}) {
    this.#wires = wires;
    for (const id of Object.keys(hops)) {
      const counters = newCounters();
      const router = new DatagramRouter({
        id,
        environment: this.#environment,
        counters,
        routes: {
          next: (to, { over }) => (over && hops[id]![to] === to ? around[id]?.[to] : hops[id]![to]),
        },
        link: (peer) => this.#wire(id, peer),
        doubts: (peer) => this.doubted.has(`${id}${peer}`),
      });
      for (const kind of Object.values(DatagramKind)) {
        router.handle(kind, (from, payload, lane) =>
          this.heard.push(`${id} hears ${from} ${kind} ${lane} ${Buffer.from(payload).toString()}`),
        );
      }
      this.routers.set(id, router);
      this.counters.set(id, counters);
    }
  }

  send(from: string, to: string, text: string, lane: LaneName = 'control', via?: string): boolean {
    const options = via === undefined ? { lane } : { lane, via };
    return this.routers.get(from)!.send(to, DatagramKind.link, Buffer.from(text), options);
  }

  #wire(from: string, to: string): Link | undefined {
    if (!this.#wires.includes(`${from}${to}`) && !this.#wires.includes(`${to}${from}`)) return undefined;
    const wire = {
      backlog: () => this.backlog.get(`${from}${to}`) ?? 0,
      send: (_kind: number, frame: Uint8Array) => {
        this.crossed.push(`${from}>${to}`);
        if (this.crossed.length > 1000) throw new Error('a datagram that runs for ever');
        return this.routers.get(to)!.onFrame(from, frame);
      },
    };
    return wire as unknown as Link;
  }
}

describe('datagrams through the mesh', () => {
  it('take the next hop of each member on their way, on the lane they were given', () => {
    const net = new Net(['ab', 'bc', 'cd'], { a: { d: 'b' }, b: { d: 'c' }, c: { d: 'd' }, d: {} });
    expect(net.send('a', 'd', 'hello', 'bulk')).to.equal(true);
    expect(net.heard).to.deep.equal(['d hears a 4 bulk hello']);
    expect(net.crossed).to.deep.equal(['a>b', 'b>c', 'c>d']);
    expect(net.counters.get('b')).to.include({ datagramsRelayed: 1, bytesRelayed: 5, datagramsReceived: 0 });
    expect(net.counters.get('d')).to.include({ datagramsRelayed: 0, datagramsReceived: 1 });
  });

  it('avoid the link to the receiver itself, which is not to be trusted, and take the first hop that is named', () => {
    const net = new Net(['ab', 'ac', 'bc'], { a: { c: 'c' }, b: { c: 'c' }, c: {} });
    expect(net.send('a', 'c', 'direct')).to.equal(false);
    expect(net.send('a', 'c', 'over b', 'control', 'b')).to.equal(true);
    expect(net.crossed).to.deep.equal(['a>b', 'b>c']);
  });

  it('take the direct link of whoever passes them on, whatever it believes of ways', () => {
    const net = new Net(['ab', 'bc', 'cd'], { a: { c: 'b' }, b: { c: 'a' }, c: {} });
    expect(net.send('a', 'c', 'x')).to.equal(true);
    expect(net.heard).to.deep.equal(['c hears a 4 control x']);
  });

  it('go round a link that owes an answer where there is another way, and over it where there is none', () => {
    const hops = { a: { c: 'b' }, b: { c: 'c' }, c: {}, d: { c: 'c' } };
    const net = new Net(['ab', 'bc', 'bd', 'dc'], hops, { b: { c: 'd' } });
    net.doubted.add('bc');
    net.send('a', 'c', 'round');
    expect(net.crossed.splice(0)).to.deep.equal(['a>b', 'b>d', 'd>c']);
    net.doubted.add('dc');
    net.send('a', 'c', 'straight after all');
    expect(net.crossed.splice(0)).to.deep.equal(['a>b', 'b>d', 'd>c']);
    const bare = new Net(['ab', 'bc'], { a: { c: 'b' }, b: { c: 'c' }, c: {} });
    bare.doubted.add('bc');
    bare.send('a', 'c', 'no other way');
    expect(bare.crossed).to.deep.equal(['a>b', 'b>c']);
  });

  it('never run in circles, whatever the members believe', () => {
    // Each of three hands what is for z to the next; b and c also back.
    for (const hops of [
      { a: { z: 'b' }, b: { z: 'c' }, c: { z: 'a' } },
      { a: { z: 'b' }, b: { z: 'a' }, c: {} },
      { a: { z: 'b' }, b: { z: 'c' }, c: { z: 'b' } },
    ]) {
      const net = new Net(['ab', 'bc', 'ca'], hops);
      net.send('a', 'z', 'lost');
      expect(net.crossed.length).to.be.at.most(3);
      const dropped = [...net.counters.values()].reduce(
        (sum, counters) => sum + counters.datagramsDropped,
        0,
      );
      expect(dropped).to.equal(1);
      // The next one is not taken for the same.
      const before = net.crossed.length;
      net.send('a', 'z', 'lost too');
      expect(net.crossed.length).to.equal(2 * before);
    }
  });

  it('end after sixteen hops', () => {
    const ids = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i));
    const wires = ids.slice(1).map((id, i) => `${ids[i]!}${id}`);
    const hops = Object.fromEntries(
      ids.map((id, i) => [id, i < 19 ? { t: ids[i + 1]!, q: ids[i + 1]! } : {}]),
    );
    const net = new Net(wires, hops);
    net.send('a', 't', 'too far'); // 19 links
    expect([net.heard, net.crossed.length]).to.deep.equal([[], 16]);
    net.send('a', 'q', 'just'); // 16 links
    expect(net.heard).to.deep.equal(['q hears a 4 control just']);
  });

  it('are dropped by a member whose next link is full, and nobody waits', () => {
    const net = new Net(['ab', 'bc'], { a: { c: 'b' }, b: { c: 'c' }, c: {} });
    net.backlog.set('bc', 2 * 1024 * 1024);
    expect(net.send('a', 'c', 'lost')).to.equal(true);
    expect(net.heard).to.deep.equal([]);
    expect(net.counters.get('b')).to.include({ datagramsDropped: 1, datagramsRelayed: 0 });
    net.backlog.set('bc', 0);
    net.backlog.set('ab', 2 * 1024 * 1024);
    expect(net.send('a', 'c', 'not even sent')).to.equal(false);
    net.backlog.set('ab', 0);
    net.send('a', 'c', 'there');
    expect(net.heard).to.deep.equal(['c hears a 4 control there']);
  });

  it('are heard once, however often they come', () => {
    const net = new Net(['ab'], { a: {}, b: {} });
    const payload = Buffer.from('again');
    const datagram = { from: 'x', to: 'b', number: 7, hops: 3, kind: DatagramKind.signal, payload };
    for (let i = 0; i < 5; i++) net.routers.get('b')!.onFrame('a', encodeDatagram(datagram, 'control'));
    expect(net.heard).to.deep.equal(['b hears x 3 control again']);
    // One that says it is of this node itself is not heard either.
    net.routers.get('b')!.onFrame('a', encodeDatagram({ ...datagram, from: 'b', number: 8 }, 'control'));
    expect(net.heard).to.have.length(1);
  });

  it('cost a neighbour its link when they make no sense', () => {
    const router = new Net(['ab'], { a: {}, b: {} }).routers.get('b')!;
    const payload = new Uint8Array(10);
    const good = { from: 'x', to: 'b', number: 1, hops: 3, kind: 1, payload };
    expect(router.onFrame('a', encodeDatagram(good, 'bulk'))).to.equal(true);
    const bytes = encodeDatagram(good, 'bulk');
    for (let length = 0; length < bytes.length; length++)
      expect(router.onFrame('a', bytes.subarray(0, length)), `${length} bytes`).to.equal(false);
    for (const change of [
      { hops: 17 },
      { kind: 16 },
      { from: '' },
      { to: 'a b' },
      { from: 'x'.repeat(129) },
    ]) {
      expect(router.onFrame('a', encodeDatagram({ ...good, ...change }, 'control'))).to.equal(false);
    }
    const long = { ...good, payload: new Uint8Array(maxDatagramBytes + 1) };
    expect(router.onFrame('a', encodeDatagram(long, 'control'))).to.equal(false);
    expect(router.onFrame('a', Buffer.concat([bytes, Buffer.from([0])]))).to.equal(false);
    expect(decodeDatagram(bytes)).to.deep.equal({ lane: 'bulk', datagram: good });
  });
});

describe('a memory of names', () => {
  it('forgets the oldest, and never holds more than twice its size', () => {
    const seen = new Seen(100);
    for (let i = 0; i < 1000; i++) expect(seen.add(`n${i}`)).to.equal(true);
    for (let i = 900; i < 1000; i++) expect(seen.add(`n${i}`)).to.equal(false);
    expect(seen.add('n0')).to.equal(true);
  });
});
