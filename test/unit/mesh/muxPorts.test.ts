import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { localSignaling } from '../../../lib/mesh/signaling/local.js';
import type { Signaling } from '../../../lib/mesh/signaling/signaling.js';
import { parseIceServers } from '../../../lib/mesh/webrtc/iceServers.js';
import { loadNative } from '../../../lib/mesh/webrtc/native.js';
import { Ports } from '../../../lib/mesh/webrtc/ports.js';
import { webrtc } from '../../../lib/mesh/webrtc/webrtc.js';
import { until } from './support.js';
import { closeAll, greet, link, open } from './webrtcSupport.js';

const sockets: Socket[] = [];

/** Takes a port, as another process would. */
async function take(port = 0, address = '127.0.0.1'): Promise<Socket> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  sockets.push(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, address, resolve);
  });
  return socket;
}

function release(socket: Socket): void {
  sockets.splice(sockets.indexOf(socket), 1);
  socket.close();
}

/** The first of `count` free ports in a row. */
async function freeRow(count: number): Promise<number> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const taken: Socket[] = [];
    try {
      for (let i = 0; i < count; i++) taken.push(await take(first + i));
      return first;
    } catch {
      // somebody has one of them
    } finally {
      for (const socket of taken) release(socket);
    }
  }
}

/** Notes the ports that each node offers. */
function watched(): Signaling & { readonly ports: Map<string, Set<number>> } {
  const honest = localSignaling();
  const ports = new Map<string, Set<number>>();
  return {
    kind: 'watched',
    ports,
    async start(host) {
      const session = await honest.start(host);
      return {
        connected: true,
        send: (to, payload) => {
          const { candidates = [] } = JSON.parse(payload) as { candidates?: string[] };
          for (const candidate of candidates) {
            const mine = ports.get(host.id) ?? new Set();
            ports.set(host.id, mine.add(Number(candidate.split(' ')[5])));
          }
          session.send(to, payload);
        },
        close: () => session.close(),
      };
    },
  };
}

describe('ports of webrtc', () => {
  afterEach(async () => {
    await closeAll();
    for (const socket of sockets.splice(0)) socket.close();
  });

  it('serve five peers from one fixed pair', async () => {
    const signaling = watched();
    const port = await freeRow(2);
    const hub = await open('a', signaling, { port });
    const peers = await Promise.all(['b', 'c', 'd', 'e', 'f'].map((id) => open(id, signaling)));
    await link(hub, ...peers);
    greet(hub, ...peers);
    await until('words', () => hub.got.length === 10 && peers.every((peer) => peer.got.length === 2));
    expect([...signaling.ports.get('a')!].sort()).to.deep.equal([port, port + 1]);
  });

  it('serve nodes that all have fixed ones, with several bulk connections, and again after a loss', async () => {
    const signaling = watched();
    const [portA, portB] = [await freeRow(4), await freeRow(4)];
    const options = { bulkConnections: 2 };
    const a = await open('a', signaling, { ...options, port: { control: portA + 3, bulk: portA } });
    const b = await open('b', signaling, { ...options, port: portB });
    await link(a, b);
    expect([...signaling.ports.get('a')!].sort()).to.deep.equal([portA, portA + 1, portA + 3]);
    expect([...signaling.ports.get('b')!].sort()).to.deep.equal([portB, portB + 1, portB + 2]);
    a.links[0]!.close();
    await until('the end', () => b.closed.length === 1);
    await until('a new link', () => {
      if (b.links.length === 1) a.session.connect('b');
      return a.links.length === 2 && b.links.length === 2;
    });
  });

  it('that another process has are a warning, not the end of this one', async () => {
    const port = await freeRow(2);
    const signaling = localSignaling();
    const other = await take(port + 1);
    const [a, b] = [await open('a', signaling, { port }), await open('b', signaling)];
    await until('presence', () => a.present.has('b'));
    for (let i = 0; i < 5; i++) a.session.connect('b');
    await until('a warning', () => a.warnings.length > 0);
    expect(a.codes()).to.deep.equal(['ERR_CONFIG']);
    expect(a.warnings[0]!.message).to.match(new RegExp(`port ${port + 1}: EADDRINUSE`));
    release(other);
    await link(a, b);
  });

  it('of a range are used one each, and its end is a warning, not the end of the process', async () => {
    const signaling = watched();
    const first = await freeRow(4);
    const a = await open('a', signaling, { portRange: [first, first + 3] });
    const peers = await Promise.all(['b', 'c', 'd'].map((id) => open(id, signaling)));
    await link(a, peers[0]!);
    await link(a, peers[1]!);
    // A set-up that died of a race may have held ports while the next one asked for some: then it was said before.
    const isUsedUp = /portRange \d+ to \d+ is used up/;
    await until('a warning', () => {
      a.session.connect('d');
      return a.warnings.some(({ message }) => isUsedUp.test(message));
    });
    expect(peers[2]!.links.length).to.equal(0);
    expect([...signaling.ports.get('a')!].every((port) => port >= first && port <= first + 3)).to.equal(true);
    // A link that ends gives its ports back.
    a.links[0]!.close();
    await until('the ports', () => {
      a.session.connect('d');
      return peers[2]!.links.length === 1;
    });
  });

  it('on an address that the machine does not have are a warning too', async () => {
    const signaling = localSignaling();
    const a = await open('a', signaling, { bindAddress: '203.0.113.77' });
    a.session.connect('b');
    await until('a warning', () => a.warnings.length > 0);
    expect(a.codes()).to.deep.equal(['ERR_CONFIG']);
    expect(a.warnings[0]!.message).to.match(/203\.0\.113\.77: EADDRNOTAVAIL/);
  });

  it('can be taken between the choice and the use: seen right before native code opens its socket', async () => {
    const port = await freeRow(1);
    for (const ports of [
      new Ports({ range: [port, port] }),
      new Ports({ mux: { control: port, bulk: port } }),
    ]) {
      const lease = ports.lease('control', '127.0.0.1');
      const thief = await take(port);
      expect(() => lease.check()).to.throw(/EADDRINUSE/);
      release(thief);
      lease.check();
      lease.release();
      lease.release();
    }
  });

  it('are leased once each, and shared where that is the point', () => {
    const ports = new Ports({ range: [30_001, 30_002] });
    const leases = [ports.lease('control', '127.0.0.1'), ports.lease('bulk', '127.0.0.1')];
    expect(new Set(leases.map((lease) => lease.port)).size).to.equal(2);
    expect(() => ports.lease('control', '127.0.0.1')).to.throw(/used up/);
    leases[0]!.release();
    expect(ports.lease('control', '127.0.0.1').port).to.equal(leases[0]!.port);
    const any = new Ports().lease('control', undefined);
    expect([any.port, any.mux]).to.deep.equal([undefined, false]);
    any.check();
  });

  it('work over IPv6', async function () {
    try {
      release(await take(0, '::1'));
    } catch {
      this.skip(); // this machine has no IPv6
    }
    const signaling = watched();
    const port = await freeRow(2);
    const a = await open('a', signaling, { bindAddress: '::1', port });
    const b = await open('b', signaling, { bindAddress: '::1', bulkConnections: 3, mtu: 1200 });
    await link(a, b);
    greet(a, b);
    await until('words', () => a.got.length === 2 && b.got.length === 2);
  });
});

describe('options of webrtc that concern networks', () => {
  const signaling = localSignaling();

  it('are checked, and never show a password', () => {
    for (const [options, message] of [
      [{ iceServers: ['http://x'] }, /^iceServers\[0\] must be a URL/],
      [{ iceServers: ['stun:'] }, /^iceServers\[0\] must be a URL/],
      [{ iceServers: ['stun:host:99999'] }, /valid host and a port/],
      [{ iceServers: ['stun:256.1.1.1'] }, /valid host/],
      [{ iceServers: ['stun:-bad-.example'] }, /valid host/],
      [{ iceServers: ['stun:u:p@host'] }, /STUN asks for none/],
      [{ iceServers: ['turn:host'] }, /user:password/],
      [{ iceServers: ['turn:u:%zz@host'] }, /percent-encoded/],
      [{ iceServers: ['turns:u:topsecret@host'] }, /TURN over UDP only/],
      [{ iceServers: ['turn:u:topsecret@host?transport=tcp'] }, /TURN over UDP only/],
      [{ iceServers: ['turn:u:topsecret@host:0'] }, /port from 1/],
      [{ iceServers: ['turn:u:topsecret@ho st'] }, /URL/],
      [{ iceServers: new Array(17).fill('stun:host') }, /at most 16/],
      [{ iceServers: 'stun:host' }, /at most 16/],
      [{ iceTransportPolicy: 'relay' }, /needs a turn: server/],
      [{ iceTransportPolicy: 'none' }, /"all" or "relay"/],
      [{ bindAddress: '1.2.3' }, /^bindAddress/],
      [{ bindAddress: 'localhost' }, /^bindAddress/],
      [{ portRange: [1023, 2000] }, /^portRange\[0\]/],
      [{ portRange: [3000, 2999] }, /^portRange\[1\]/],
      [{ portRange: [3000] }, /^portRange/],
      [{ port: 1000 }, /^port must/],
      [{ port: 65_535 }, /^port must/],
      [{ port: 65_530, bulkConnections: 8 }, /^port must/],
      [{ port: { control: 5000, bulk: 5000 } }, /^port\.control/],
      [{ port: { control: 5003, bulk: 5000 }, bulkConnections: 4 }, /^port\.control/],
      [{ port: { control: 5000 } }, /^port\.bulk/],
      [{ port: null }, /^port/],
      [{ port: 5000, portRange: [5000, 6000] }, /^port must be absent/],
      [{ bulkConnections: 0 }, /^bulkConnections/],
      [{ bulkConnections: 9 }, /^bulkConnections/],
      [{ mtu: 575 }, /^mtu/],
      [{ mtu: 1501 }, /^mtu/], // larger ones stall large messages
      [{ addressCheckMs: 50 }, /^addressCheckMs/],
    ] as const) {
      let error: Error | undefined;
      try {
        webrtc({ signaling, ...options } as never);
      } catch (caught) {
        error = caught as Error;
      }
      expect((error as { code?: string } | undefined)?.code, JSON.stringify(options)).to.equal('ERR_CONFIG');
      expect(error!.message).to.match(message);
      expect(error!.message).to.not.match(/topsecret/);
    }
    webrtc({ signaling, port: { control: 5004, bulk: 5000 }, bulkConnections: 4 });
  });

  it('become what native code takes, one by one', async () => {
    const servers = parseIceServers([
      'stun:stun.example.org',
      'stun:[2001:db8::1]:3479',
      'turn:orders:s%40cret%3A%2F@192.0.2.7',
      'turn:1700000000%3Auser:a+b/c=@turn.example.org:5000?transport=udp',
    ]);
    expect(servers).to.deep.equal([
      { hostname: 'stun.example.org', port: 3478 },
      { hostname: '2001:db8::1', port: 3479 },
      { hostname: '192.0.2.7', port: 3478, username: 'orders', password: 's@cret:/', relayType: 'TurnUdp' },
      {
        hostname: 'turn.example.org',
        port: 5000,
        username: '1700000000:user',
        password: 'a+b/c=',
        relayType: 'TurnUdp',
      },
    ]);
    const native = await loadNative();
    const connection = new native.PeerConnection('x', { iceServers: [...servers], bindAddress: '127.0.0.1' });
    const closed = new Promise<void>((resolve) =>
      connection.onStateChange((state) => {
        if (state === 'closed') resolve();
      }),
    );
    connection.close();
    await closed;
  });

  it('have no place for ICE over TCP: native code only ever calls, so two nodes would wait for each other', async () => {
    const native = await loadNative();
    const connection = new native.PeerConnection('x', {
      iceServers: [],
      bindAddress: '127.0.0.1',
      enableIceTcp: true,
      disableAutoNegotiation: true,
    });
    const closed = new Promise<void>((resolve) =>
      connection.onStateChange((state) => {
        if (state === 'closed') resolve();
      }),
    );
    const candidates: string[] = [];
    connection.onLocalCandidate((candidate) => candidates.push(candidate));
    connection.createDataChannel('x', { negotiated: true, id: 0 }).onClosed(() => undefined);
    connection.setLocalDescription('offer');
    await until('candidates', () => candidates.length === 2);
    connection.close();
    await closed;
    // Once one of them says passive or so, the option has become possible.
    const tcp = candidates.filter((candidate) => / TCP /.test(candidate));
    expect(tcp.map((candidate) => candidate.split('tcptype ')[1])).to.deep.equal(['active']);
  });
});
