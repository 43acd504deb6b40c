import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { expect } from 'chai';
import fc from 'fast-check';
import { anySignaling } from '../../../lib/mesh/signaling/any.js';
import { lanSignaling } from '../../../lib/mesh/signaling/lan.js';
import type { LanSignalingOptions } from '../../../lib/mesh/signaling/lan.js';
import { LanInbox, LanOutbox } from '../../../lib/mesh/signaling/lanMessages.js';
import {
  clusterTag,
  decodeDatagram,
  encodeDatagram,
  fragmentBytes,
  fragments,
  maxDatagramBytes,
} from '../../../lib/mesh/signaling/lanWire.js';
import type { LanDatagram } from '../../../lib/mesh/signaling/lanWire.js';
import { LanPeers } from '../../../lib/mesh/signaling/lanPeers.js';
import { localSignaling } from '../../../lib/mesh/signaling/local.js';
import type { SignalingSession } from '../../../lib/mesh/signaling/signaling.js';
import { codeOf, Fixture, ManualEnvironment, TestHost, turns, until } from './support.js';

const group = '239.255.99.1';
const tag = clusterTag('test');
const from = { id: 'a', incarnation: '1', port: 1234 };

/** A port that no other test, nor another run of this one, meets at. */
async function meetingPort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  socket.close();
  return port;
}

/** Whether this machine carries multicast over loopback at all. */
async function multicastWorks(): Promise<boolean> {
  const port = await meetingPort();
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.bind(port, '0.0.0.0', resolve);
    });
    socket.addMembership(group, '127.0.0.1');
    socket.setMulticastInterface('127.0.0.1');
    return await new Promise<boolean>((resolve, reject) => {
      socket.on('message', () => resolve(true));
      socket.send('?', port, group, (error) => {
        if (error !== null) reject(error);
      });
      setTimeout(() => resolve(false), 2000);
    });
  } catch {
    return false;
  } finally {
    socket.close();
  }
}

describe('lanSignaling', () => {
  const fixture = new Fixture();
  let port = 0;
  const start = async (host: TestHost, options: LanSignalingOptions = {}): Promise<SignalingSession> => {
    const signaling = lanSignaling({ group, port, interface: '127.0.0.1', intervalMs: 100, ...options });
    return fixture.add(await signaling.start(host));
  };
  /** Says whatever it likes, to the group. */
  const forger = async (): Promise<{ call: (datagram: LanDatagram | Buffer) => void; socket: Socket }> => {
    const socket = createSocket('udp4');
    fixture.add(socket);
    await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve));
    socket.setMulticastInterface('127.0.0.1');
    const call = (datagram: LanDatagram | Buffer): void =>
      socket.send(Buffer.isBuffer(datagram) ? datagram : encodeDatagram(tag, datagram), port, group);
    return { call, socket };
  };

  before(async function () {
    if (await multicastWorks()) return;
    console.warn('      no multicast over loopback on this machine: lanSignaling is not tested');
    this.skip();
  });
  beforeEach(async () => {
    port = await meetingPort();
  });
  afterEach(() => fixture.closeAll());

  it('lets nodes of one machine meet, in a later turn, once each', async () => {
    const hosts = ['a', 'b', 'c'].map((id) => new TestHost(id));
    for (const host of hosts) {
      const session = await start(host);
      expect(session.connected).to.equal(true);
    }
    await until('presence', () => hosts.every((host) => host.present.size === 2));
    expect(hosts[0]!.presence).to.deep.equal(['+b', '+c']);
    expect(hosts.flatMap((host) => host.codes())).to.deep.equal([]);
  });

  it('delivers in order, once, and only what fits, to who is there', async () => {
    const [a, b] = [new TestHost('a'), new TestHost('b')];
    const [atA] = [await start(a), await start(b)];
    await until('presence', () => a.present.has('b'));
    for (const payload of ['1', '', 'x'.repeat(65_536), 'x'.repeat(65_537), 'é'.repeat(30_000), '2'])
      atA.send('b', payload);
    atA.send('nobody', '3');
    atA.send('a', '4');
    await until('the last message', () => b.messages.at(-1)?.[1] === '2');
    expect(b.messages.map(([id, payload]) => [id, payload.length])).to.deep.equal([
      ['a', 1],
      ['a', 0],
      ['a', 65_536],
      ['a', 30_000],
      ['a', 1],
    ]);
    expect(b.messages[3]![1]).to.equal('é'.repeat(30_000));
    expect(a.messages).to.deep.equal([]);
  });

  it('keeps clusters apart, and their names to itself', async () => {
    const [a, b, c] = [
      new TestHost('a'),
      new TestHost('b', { cluster: 'orders-of-acme' }),
      new TestHost('c', { cluster: 'orders-of-acme' }),
    ];
    const heard: string[] = [];
    const listener = createSocket({ type: 'udp4', reuseAddr: true });
    fixture.add(listener);
    listener.on('message', (bytes) => heard.push(bytes.toString('latin1')));
    await new Promise<void>((resolve) => void listener.bind(port, '0.0.0.0', resolve));
    listener.addMembership(group, '127.0.0.1');
    await start(a);
    await start(b);
    await start(c);
    await until('presence', () => b.present.has('c') && c.present.has('b'));
    await until('calls', () => heard.length > 3);
    expect(a.presence).to.deep.equal([]);
    expect([...b.present, ...c.present]).to.deep.equal(['c', 'b']);
    expect(heard.filter((text) => text.includes('acme'))).to.deep.equal([]);
  });

  it('reports who leaves, and nothing to who left', async () => {
    const [a, b] = [new TestHost('a'), new TestHost('b')];
    const atA = await start(a, { intervalMs: 60_000 }); // so that only the farewell can tell
    const atB = await start(b, { intervalMs: 60_000 });
    await until('presence', () => a.present.has('b') && b.present.has('a'));
    await atB.close();
    await atB.close();
    expect(atB.connected).to.equal(false);
    await until('absence', () => !a.present.has('b'));
    atB.send('a', 'ghost');
    atA.send('b', 'nobody');
    await turns();
    expect([a.messages, b.messages]).to.deep.equal([[], []]);
  });

  it('forgets who falls silent', async () => {
    const a = new TestHost('a');
    await start(a, { expiryMs: 300 });
    const { call } = await forger();
    call({ kind: 'beacon', mood: 'here', from: { ...from, id: 'ghost' } });
    await until('presence', () => a.present.has('ghost'));
    await until('absence', () => !a.present.has('ghost'));
    expect(a.presence).to.deep.equal(['+ghost', '-ghost']);
  });

  it('gives the field to the newer run of an id, and takes it back when that one is gone', async () => {
    const [other, older, newer] = [
      new TestHost('other'),
      new TestHost('a', { incarnation: '1' }),
      new TestHost('a', { incarnation: '2' }),
    ];
    const atOther = await start(other);
    const atOlder = await start(older);
    await until('presence', () => other.present.has('a'));
    const atNewer = await start(newer);
    await until('the warning', () => older.codes().includes('ERR_PEER_REPLACED'));
    expect([atOlder.connected, atNewer.connected]).to.deep.equal([false, true]);
    await until('the newer', () => other.presence.length === 2);
    atOther.send('a', 'for the newer');
    await until('the message', () => newer.messages.length === 1);
    expect(older.messages).to.deep.equal([]);
    expect(newer.warnings).to.deep.equal([]);
    await atNewer.close();
    await until('the older again', () => atOlder.connected);
  });

  it('survives garbage, forged numbers and floods, and goes on', async () => {
    const [a, b] = [new TestHost('a', { incarnation: '5' }), new TestHost('b')];
    const [atA] = [await start(a), await start(b)];
    await until('presence', () => a.present.has('b'));
    const { call } = await forger();
    const evil = { ...from, incarnation: '5' };
    call(Buffer.alloc(0));
    call(Buffer.from('QLAN'));
    call(Buffer.concat([Buffer.from('QLAN\x01', 'latin1'), tag, Buffer.from('{\n')]));
    call(Buffer.alloc(1400, 0xff));
    // A message number out of reach, in the name of a: the true a must still be heard.
    call({
      kind: 'part',
      from: evil,
      to: 'b',
      number: 2 ** 40,
      place: 0,
      count: 1,
      body: Buffer.from('evil'),
    });
    call({ kind: 'ack', from: evil, to: 'b', number: 1, place: 0 });
    for (let i = 0; i < 300; i++)
      call({
        kind: 'part',
        from: { ...from, id: `p${i}` },
        to: 'b',
        number: 1,
        place: 0,
        count: 2,
        body: Buffer.alloc(fragmentBytes),
      });
    atA.send('b', 'true');
    await until('the true message', () => b.messages.some(([, payload]) => payload === 'true'));
    expect(b.present.size).to.be.at.most(256);
  });

  it('keeps only so many peers', async () => {
    const a = new TestHost('a');
    await start(a, { maxPeers: 2 });
    const { call } = await forger();
    for (const id of ['p1', 'p2', 'p3', 'p4']) call({ kind: 'beacon', mood: 'here', from: { ...from, id } });
    await until('two', () => a.present.size === 2);
    await turns();
    expect(a.present.size).to.equal(2);
  });

  it('warns once where there is no such interface, and lets its caller go on', async () => {
    const a = new TestHost('a');
    const session = await start(a, { interface: '203.0.113.7' });
    await until('the warning', () => a.warnings.length === 1);
    expect(a.codes()).to.deep.equal(['ERR_SIGNALING']);
    expect(session.connected).to.equal(false);
    session.send('b', 'nothing');
  });

  it('names what is wrong with an option', async () => {
    for (const options of [
      { group: '192.0.2.1' },
      { group: '224.0.0.251' },
      { group: 'ff02::1' },
      { port: 80 },
      { interface: 'eth0' },
      { intervalMs: 50 },
      { expiryMs: 299, intervalMs: 100 },
      { maxPeers: 0 },
      null,
    ]) {
      expect(await codeOf(() => lanSignaling(options as never)), JSON.stringify(options)).to.equal(
        'ERR_CONFIG',
      );
    }
  });
});

describe('peers of lanSignaling', () => {
  it('are kept where they are, and their messages apart from forged ones', async () => {
    const environment = new ManualEnvironment();
    const host = new TestHost('b', { environment });
    const told: string[] = [];
    const peers = new LanPeers({
      host,
      maxPeers: 9,
      intervalMs: 100,
      expiryMs: 500,
      tell: (datagram, address, port) => told.push(`${datagram.kind} ${address} ${port}`),
    });
    const part = (number: number, body: string): LanDatagram => {
      return { kind: 'part', from, to: 'b', number, place: 0, count: 1, body: Buffer.from(body) };
    };
    peers.received({ kind: 'beacon', mood: 'here', from }, '192.0.2.1', 9);
    peers.received(part(2 ** 40, 'forged'), '192.0.2.66', 8);
    peers.received(part(1, 'true'), '192.0.2.1', 9);
    peers.received(part(1, 'true'), '192.0.2.1', 9);
    await until('messages', () => host.messages.length === 2);
    expect(host.messages[1]).to.deep.equal(['a', 'true']);
    // Calls from elsewhere do not move it, neither address nor port, while it calls itself.
    peers.received({ kind: 'beacon', mood: 'here', from }, '192.0.2.66', 8);
    peers.received({ kind: 'beacon', mood: 'here', from: { ...from, port: 666 } }, '192.0.2.66', 8);
    told.length = 0;
    peers.send('a', Buffer.from('x'));
    expect(told).to.deep.equal(['part 192.0.2.1 1234']);
    // Once it is silent, it has moved.
    environment.advance(300);
    peers.received({ kind: 'beacon', mood: 'here', from: { ...from, port: 4321 } }, '192.0.2.2', 8);
    told.length = 0;
    peers.send('a', Buffer.from('y'));
    expect(told).to.deep.equal(['part 192.0.2.2 4321']);
    expect(host.presence).to.deep.equal(['+a']);
    peers.close();
    expect(environment.delays()).to.deep.equal([]);
  });
});

describe('datagrams of lanSignaling', () => {
  const name = 'n'.repeat(128);
  const datagrams: LanDatagram[] = [
    { kind: 'beacon', mood: 'ask', from },
    { kind: 'ack', from, to: 'b', number: 7, place: 3 },
    {
      kind: 'part',
      from: { id: name, incarnation: name, port: 65_535 },
      to: name,
      number: 2 ** 48,
      place: 0,
      count: 2,
      body: Buffer.alloc(fragmentBytes, 7),
    },
  ];

  it('are read as they were written, fit into a packet, and are for one cluster', () => {
    for (const datagram of datagrams) {
      const bytes = encodeDatagram(tag, datagram);
      expect(bytes.length).to.be.at.most(maxDatagramBytes);
      expect(decodeDatagram(tag, bytes)).to.deep.equal(datagram);
      expect(decodeDatagram(clusterTag('other'), bytes)).to.equal(undefined);
    }
  });

  it('are refused with anything wrong in them', () => {
    const part = { kind: 'part', from, to: 'b', number: 1, place: 0, count: 1, body: Buffer.from('x') };
    expect(decodeDatagram(tag, encodeDatagram(tag, part as LanDatagram))).to.not.equal(undefined);
    for (const change of [
      { kind: 'other' },
      { to: '' },
      { to: 'a\nb' },
      { number: -1 },
      { number: 1.5 },
      { number: 2 ** 50 },
      { place: 1 },
      { count: 1000, place: 999 },
      { count: 2 },
      { from: { ...from, port: 0 } },
      { from: { ...from, id: 7 } },
      { from: undefined },
      { body: Buffer.alloc(fragmentBytes + 1) },
    ]) {
      const bytes = encodeDatagram(tag, { ...part, ...change } as LanDatagram);
      expect(decodeDatagram(tag, bytes), JSON.stringify(change)).to.equal(undefined);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1500 }), fc.nat(200), (junk, cut) => {
        const whole = encodeDatagram(tag, datagrams[cut % 3]!);
        decodeDatagram(tag, Buffer.from(junk));
        decodeDatagram(tag, Buffer.concat([whole.subarray(0, cut), junk]));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('messages over datagrams', () => {
  it('arrive in order and once, whatever is lost, doubled or late', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(3), { minLength: 4 }),
        fc.array(fc.nat(40_000), { maxLength: 6 }),
        (luck, sizes) => {
          const environment = new ManualEnvironment();
          const inbox = new LanInbox();
          const got: string[] = [];
          let step = 0;
          let number = 0;
          const lost = new Map<string, number>();
          const late: (() => void)[] = [];
          const outbox: LanOutbox = new LanOutbox({
            environment,
            nextNumber: () => ++number,
            sendPart: (n, place, count, body) => {
              const arrive = (): void => {
                const taken = inbox.take(n, place, count, body);
                if (typeof taken === 'object') got.push(taken.payload);
                if (taken !== false) outbox.acknowledged(n, place);
              };
              // No part is lost more than four times: a message is given up after six.
              const key = `${n} ${place}`;
              const losses = lost.get(key) ?? 0;
              const fate = losses >= 4 ? 1 : luck[step++ % luck.length]!;
              if (fate === 0) lost.set(key, losses + 1);
              if (fate >= 1) late.push(arrive);
              if (fate === 2) late.push(arrive);
              if (fate === 3) late.reverse();
            },
          });
          const messages = sizes.map((size, i) => String(i).repeat(size));
          for (const message of messages) outbox.add(Buffer.from(message));
          for (let i = 0; i < 2000 && got.length < messages.length; i++) {
            for (const arrive of late.splice(0)) arrive();
            environment.advance(60);
          }
          expect(inbox.bytes).to.equal(0);
          expect(got).to.deep.equal(messages);
        },
      ),
      { numRuns: 50, examples: [[[0, 0, 0, 0], [26_209]]] },
    );
  });

  it('are given up when nobody answers, and then the next has its turn', () => {
    const environment = new ManualEnvironment();
    const sent: number[] = [];
    let number = 0;
    const outbox = new LanOutbox({
      environment,
      nextNumber: () => ++number,
      sendPart: (n) => sent.push(n),
    });
    for (let i = 0; i < 100; i++) outbox.add(Buffer.from('x'));
    for (let i = 0; i < 8; i++) environment.advance(2000);
    expect(sent.slice(0, 8)).to.deep.equal([1, 1, 1, 1, 1, 1, 2, 2]);
    for (let i = 0; i < 1000; i++) environment.advance(2000);
    expect(new Set(sent).size).to.equal(65); // one on its way, 64 waiting, and no more
    outbox.close();
    expect(environment.delays()).to.deep.equal([]);
  });

  it('fill no memory: a large one that never ends is dropped for the next', () => {
    const inbox = new LanInbox();
    const [part] = fragments(Buffer.alloc(60_000));
    inbox.take(1, 0, 80, part!);
    expect(inbox.bytes).to.equal(fragmentBytes);
    expect(inbox.take(1, 0, 80, part!)).to.equal(true);
    expect(inbox.take(1, 1, 79, part!)).to.equal(false);
    expect(inbox.bytes).to.equal(fragmentBytes);
    expect(inbox.take(2, 0, 1, Buffer.from('next'))).to.deep.equal({ payload: 'next' });
    expect(inbox.take(1, 1, 80, part!)).to.equal(true); // long over: acknowledged, so that it stops
    expect(inbox.bytes).to.equal(0);
  });
});

describe('anySignaling', () => {
  it('sees a peer while one of them does, and speaks through all that see it', async () => {
    const [one, two] = [localSignaling(), localSignaling()];
    const both = anySignaling([one, two]);
    const [a, b, c] = [new TestHost('a'), new TestHost('b'), new TestHost('c')];
    const atA = await both.start(a);
    const atB = [await one.start(b), await two.start(b)];
    await two.start(c);
    await until('presence', () => a.present.size === 2 && a.presence.length === 3);
    atA.send('b', 'twice');
    atA.send('c', 'once');
    await until('messages', () => b.messages.length === 2 && c.messages.length === 1);
    await atB[0]!.close();
    await turns();
    expect(a.present.has('b')).to.equal(true);
    atA.send('b', 'by the other');
    await until('the message', () => b.messages.length === 3);
    await atB[1]!.close();
    await until('absence', () => !a.present.has('b'));
    expect(a.presence.filter((event) => event.startsWith('-'))).to.deep.equal(['-b']);
    expect(atA.connected).to.equal(true);
    await atA.close();
    expect(atA.connected).to.equal(false);
    await until('absence there', () => !c.present.has('a'));
  });

  it('goes on when one of them fails to start, but not when all do', async () => {
    const broken = { kind: 'broken', start: () => Promise.reject(new Error('no')) };
    const host = new TestHost('a');
    const session = await anySignaling([broken, localSignaling()]).start(host);
    await until('the warning', () => host.warnings.length === 1);
    expect(host.codes()).to.deep.equal(['ERR_SIGNALING']);
    expect(session.connected).to.equal(true);
    await session.close();
    let failure: unknown;
    await anySignaling([broken, broken])
      .start(host)
      .catch((error: unknown) => (failure = error));
    expect(String(failure)).to.equal('Error: no');
  });

  it('names what is wrong', async () => {
    for (const bad of [[], [undefined], 'x', new Array(9).fill(localSignaling())])
      expect(await codeOf(() => anySignaling(bad as never))).to.equal('ERR_CONFIG');
    expect(anySignaling([localSignaling(), lanSignaling()]).kind).to.equal('local+lan');
  });
});
