import { expect } from 'chai';
import { connect, createServer as createTcpServer } from 'node:net';
import type { WebSocket } from 'ws';
import { webSocketSignaling } from '../../../lib/mesh/signaling/webSocket.js';
import { Fixture, ManualEnvironment, TestHost, codeOf, freePort, turns, until } from './support.js';

describe('webSocketSignaling', () => {
  const fixture = new Fixture();
  afterEach(() => fixture.closeAll());

  it('brings nodes together and their messages across', async () => {
    const { url } = await fixture.serve();
    const [a, b] = [new TestHost('a'), new TestHost('b')];
    const atA = await fixture.joined(a, url);
    const atB = await fixture.joined(b, url);
    await until('presence', () => a.present.has('b') && b.present.has('a'));
    const payloads = ['one', 'two\nlines', '', 'é☃', 'x'.repeat(65_536)];
    for (const payload of payloads) atA.send('b', payload);
    atA.send('b', 'x'.repeat(65_537));
    atA.send('nobody', 'lost');
    atA.send('not a name\n', 'lost');
    atA.send('b', 'last');
    await until('the last message', () => b.messages.at(-1)?.[1] === 'last');
    expect(b.messages).to.deep.equal([...payloads, 'last'].map((payload) => ['a', payload]));
    await atB.close();
    await until('absence', () => !a.present.has('b'));
    expect([a.warnings, b.warnings]).to.deep.equal([[], []]);
  });

  it('serves several meshes of one process', async () => {
    const { url } = await fixture.serve();
    const signaling = webSocketSignaling(url);
    const hosts = ['a', 'b', 'c'].map((id) => new TestHost(id));
    for (const host of hosts) fixture.add(await signaling.start(host));
    await until('all see all', () => hosts.every((host) => host.present.size === 2));
  });

  it('reports nothing after close, and closes twice, and before it was connected', async () => {
    const { url } = await fixture.serve();
    const a = new TestHost('a');
    const atA = await fixture.joined(a, url);
    await Promise.all([atA.close(), atA.close()]);
    expect(atA.connected).to.equal(false);
    const b = new TestHost('b');
    const atB = await fixture.start(b, url);
    await atB.close();
    atB.send('a', 'hello');
    await fixture.joined(new TestHost('c'), url);
    expect([a.presence, b.presence, a.warnings, b.warnings]).to.deep.equal([[], [], [], []]);
  });

  it('may be closed from inside a warning', async () => {
    const environment = new ManualEnvironment();
    const host = new TestHost('a', { environment });
    const session = await webSocketSignaling(`ws://127.0.0.1:${await freePort()}`).start(host);
    let closed: Promise<void> | undefined;
    host.onWarning = () => {
      closed = session.close();
    };
    await until('the warning', () => closed !== undefined);
    await closed;
    expect(environment.delays()).to.deep.equal([]);
  });

  describe('outages', () => {
    it('starts without a server, warns once, and gets there when it can', async () => {
      const environment = new ManualEnvironment();
      const port = await freePort();
      const host = new TestHost('a', { environment });
      const session = await fixture.start(host, `ws://user:hidden@127.0.0.1:${port}/?token=hidden`);
      const delays: number[] = [];
      for (let i = 0; i < 9; i++) {
        await until('the pause', () => environment.delays().some((delay) => delay < 10_000));
        delays.push(Math.min(...environment.delays()));
        environment.advance(10_000);
      }
      expect(delays).to.deep.equal([250, 500, 1000, 2000, 4000, 7500, 7500, 7500, 7500]);
      expect(host.codes()).to.deep.equal(['ERR_SIGNALING']);
      expect(host.warnings[0]!.message)
        .to.match(/out of reach.*ECONNREFUSED/)
        .and.not.to.include('hidden');

      let server = await fixture.serve({ port });
      await until('connected', () => (environment.retry(), session.connected));
      environment.advance(6000); // it holds: the outage is over
      await server.close();
      await until('disconnected', () => !session.connected);
      expect(host.codes()).to.deep.equal(['ERR_SIGNALING']); // a restart is no news yet
      expect(environment.delays()).to.deep.equal([250]);
      await until('a second warning', () => (environment.retry(), host.warnings.length === 2));
      server = await fixture.serve({ port });
      await until('connected again', () => (environment.retry(), session.connected));
      expect(server.metrics().clients).to.equal(1);
      expect(host.warnings).to.have.length(2);
    });

    it('knows after a restart of the server who is there and who is gone', async () => {
      const first = await fixture.serve();
      const environment = new ManualEnvironment();
      const [a, b, c] = [new TestHost('a', { environment }), new TestHost('b'), new TestHost('c')];
      const atA = await fixture.joined(a, first.url);
      await fixture.joined(b, first.url);
      const atC = await fixture.joined(c, first.url);
      await until('presence', () => a.present.size === 2);
      await first.close();
      await until('disconnected', () => !atA.connected);
      expect([...a.present]).to.deep.equal(['b', 'c']); // no news is no absence
      atA.send('b', 'dropped');
      await atC.close();
      await fixture.serve({ port: first.port });
      await until('b is back', () => b.present.size === 0 || b.presence.includes('-c'));
      await fixture.joined(new TestHost('d'), first.url);
      a.presence.length = 0;
      environment.advance(1000);
      await until('presence again', () => a.present.has('b') && a.present.has('d') && !a.present.has('c'));
      expect(a.presence).to.include('+b').and.to.include('-c');
      expect(b.messages).to.deep.equal([]);
    });

    it('takes a new connection at once when the addresses of its machine changed', async () => {
      const server = await fixture.serve();
      const environment = new ManualEnvironment();
      const [a, b] = [new TestHost('a', { environment }), new TestHost('b')];
      const atA = await fixture.joined(a, server.url);
      const atB = await fixture.joined(b, server.url);
      await until('presence', () => a.present.has('b') && b.present.has('a'));
      let joins = 0;
      server.on('client:joined', () => joins++);
      a.presence.length = 0;
      atA.moved!(); // no time passes for a
      expect(atA.connected).to.equal(false);
      await until('the second connection', () => joins === 1 && atA.connected);
      await until('presence again', () => a.presence.includes('+b') && b.present.has('a'));
      atB.send('a', 'are you there?');
      await until('the message', () => a.messages.length === 1);
      await until('the first connection gone', () => server.metrics().clients === 2);
      expect([a.codes(), b.codes()]).to.deep.equal([[], []]);
      await atA.close();
      atA.moved!();
      expect(atA.connected).to.equal(false);
    });

    it('notices a server that went silent', async () => {
      const environment = new ManualEnvironment();
      const url = await fixture.rogue((socket) => socket.send('{"type":"welcome"}\n'), { autoPong: false });
      const session = await fixture.joined(new TestHost('a', { environment }), url);
      environment.advance(15_000);
      expect(session.connected).to.equal(true);
      environment.advance(15_000);
      expect(session.connected).to.equal(false);
    });

    it('keeps to a server that answers its pings', async () => {
      const environment = new ManualEnvironment();
      let pings = 0;
      const url = await fixture.rogue((socket) => {
        socket.on('ping', () => pings++);
        socket.send('{"type":"welcome"}\n');
      });
      const host = new TestHost('a', { environment });
      const session = await fixture.joined(host, url);
      for (let i = 1; i <= 4; i++) {
        environment.advance(15_000);
        await until('a ping', () => pings === i);
        await turns(); // the pong was sent before the ping was counted
      }
      expect(session.connected).to.equal(true);
    });

    it('gives up a try that brings no welcome, and one that brings no WebSocket', async () => {
      const environment = new ManualEnvironment();
      const host = new TestHost('a', { environment });
      await fixture.start(host, await fixture.rogue(() => undefined));
      await turns();
      environment.advance(10_000);
      expect(host.codes()).to.deep.equal(['ERR_SIGNALING']);
      const mute = createTcpServer(() => undefined);
      const port = await fixture.listen(mute);
      const other = new TestHost('b', { environment });
      const session = await fixture.start(other, `ws://127.0.0.1:${port}`);
      environment.advance(10_000);
      await until('the warning', () => other.codes()[0] === 'ERR_SIGNALING');
      await session.close();
    });
  });

  describe('several urls', () => {
    it('takes the next when one is out of reach, without a word', async () => {
      const { url } = await fixture.serve();
      const host = new TestHost('a');
      await fixture.joined(host, { urls: [`ws://127.0.0.1:${await freePort()}`, url] });
      expect(host.warnings).to.deep.equal([]);
    });

    it('warns once when none is in reach', async () => {
      const host = new TestHost('a');
      const environment = host.environment;
      let timers = 0;
      const counting = {
        ...environment,
        setTimer: (ms: number, f: () => void) => (timers++, environment.setTimer(ms, f)),
      };
      const counted = new TestHost('a', { environment: counting });
      const urls = [`ws://127.0.0.1:${await freePort()}`, `ws://127.0.0.1:${await freePort()}`];
      await fixture.start(counted, { urls });
      await until('some rounds', () => timers >= 10);
      expect(counted.codes()).to.deep.equal(['ERR_SIGNALING']);
    });

    it('goes back to an earlier one, so that all nodes meet, and leaves the later without a gap', async () => {
      const port = await freePort();
      const second = await fixture.serve();
      const urls = [`ws://127.0.0.1:${port}`, second.url];
      const environment = new ManualEnvironment();
      const a = new TestHost('a', { environment });
      const atA = await fixture.start(a, { urls });
      await until('the second', () => (environment.retry(), atA.connected));
      environment.advance(60_000); // a look in vain
      await until('the try to fail', () => environment.delays().includes(30_000));
      expect([atA.connected, ...a.warnings]).to.deep.equal([true]);

      const first = await fixture.serve({ port });
      const b = new TestHost('b');
      await fixture.joined(b, { urls });
      expect(b.present.size).to.equal(0);
      environment.advance(60_000);
      await until('they meet', () => a.present.has('b') && b.present.has('a'));
      await until('the second is left', () => second.metrics().clients === 0);
      expect(first.metrics().clients).to.equal(2);
      expect([atA.connected, ...a.warnings]).to.deep.equal([true]);
    });

    it('takes two names of one server for what they are', async () => {
      const server = await fixture.serve();
      const port = await freePort();
      const environment = new ManualEnvironment();
      const a = new TestHost('a', { environment });
      const atA = await fixture.start(a, { urls: [`ws://127.0.0.1:${port}`, server.url] });
      await until('the second', () => (environment.retry(), atA.connected));
      // A plain TCP forwarder gives the one server a second name.
      const forwarder = createTcpServer((inward) => {
        const outward = connect(server.port, '127.0.0.1');
        for (const end of [inward, outward]) end.on('error', () => undefined);
        inward.pipe(outward).pipe(inward);
        fixture.add({ close: () => [inward, outward].map((end) => end.destroy()) });
      });
      await fixture.listen(forwarder, port);
      let joins = 0;
      server.on('client:joined', () => joins++);
      environment.advance(60_000);
      await until('the second connection', () => joins === 1);
      await until('one connection', () => server.metrics().pending === 0 && atA.connected);
      expect(a.codes()).to.deep.equal([]);
      expect(server.metrics().clients).to.equal(1);
    });
  });

  it('drops what a server that does not read would make it keep', async () => {
    const sockets: WebSocket[] = [];
    const url = await fixture.rogue((socket) => {
      sockets.push(socket);
      socket.send('{"type":"peers"}\nb');
      socket.send('{"type":"welcome"}\n');
      socket.pause();
    });
    const session = await fixture.joined(new TestHost('a'), url);
    const total = 400;
    for (let i = 0; i < total; i++) session.send('b', 'x'.repeat(65_536));
    let large = 0;
    let last = false;
    sockets[0]!.on('message', (data: Buffer) => {
      if (data.length > 65_536) large++;
      else last = data.toString().endsWith('last');
    });
    sockets[0]!.resume();
    await until('room again', () => {
      session.send('b', 'last');
      return last;
    });
    expect(large).to.be.greaterThan(60).and.lessThan(total);
  });

  it('checks its configuration', async () => {
    const bad: unknown[] = [
      '',
      'http://127.0.0.1:9000',
      'ws://',
      'ws://127.0.0.1:9000/#part',
      { urls: [] },
      { urls: 'ws://127.0.0.1' },
      { urls: Array(17).fill('ws://127.0.0.1') },
      { urls: ['ws://127.0.0.1', 5] },
      { urls: ['ws://127.0.0.1'], headers: 'token' },
      { urls: ['ws://127.0.0.1'], headers: { 'bad name': 'x' } },
      { urls: ['ws://127.0.0.1'], headers: { token: 'two\nlines' } },
      { urls: ['ws://127.0.0.1'], headers: { token: 5 } },
      { urls: ['ws://127.0.0.1'], headers: { token: undefined } },
    ];
    for (const target of bad) {
      expect(await codeOf(() => webSocketSignaling(target as string)), JSON.stringify(target)).to.equal(
        'ERR_CONFIG',
      );
    }
    expect(await codeOf(() => webSocketSignaling('ws://127.0.0.1').start(new TestHost('a b')))).to.equal(
      'ERR_CONFIG',
    );
  });
});
