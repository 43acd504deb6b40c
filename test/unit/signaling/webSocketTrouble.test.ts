import { expect } from 'chai';
import { createServer } from 'node:http';
import { Fixture, ManualEnvironment, TestHost, underneath, until } from './support.js';

describe('webSocketSignaling, refused or deceived', () => {
  const fixture = new Fixture();
  afterEach(() => fixture.closeAll());

  describe('refusals', () => {
    it('yields to a newer run of its id, and only looks by now and then', async () => {
      const server = await fixture.serve();
      const environment = new ManualEnvironment();
      const older = new TestHost('a', { incarnation: '1', environment });
      const newer = new TestHost('a', { incarnation: '2' });
      const atOlder = await fixture.joined(older, server.url);
      const atNewer = await fixture.joined(newer, server.url);
      await until('replaced', () => !atOlder.connected);
      expect(older.codes()).to.deep.equal(['ERR_PEER_REPLACED']);
      expect(environment.delays()).to.deep.equal([10_000 * 0.5]); // with the shortest jitter
      for (let i = 1; i <= 3; i++) {
        environment.advance(4999);
        expect(environment.delays()).to.deep.equal([5000]);
        environment.advance(1);
        await until(
          'another refusal',
          () => server.metrics().refused === i && environment.delays()[0] === 5000,
        );
      }
      expect(older.codes()).to.deep.equal(['ERR_PEER_REPLACED']);
      expect([atNewer.connected, newer.warnings.length]).to.deep.equal([true, 0]);

      await atNewer.close();
      await until('the seat is free', () => server.metrics().clients === 0);
      environment.advance(5000);
      await until('the older has it', () => atOlder.connected);
    });

    it('tells of a no from authorize, once, and tries on slowly', async () => {
      let allowed = false;
      const server = await fixture.serve({
        authorize: (request) => allowed && request.headers['x-token'] === '42',
      });
      const environment = new ManualEnvironment();
      const host = new TestHost('a', { environment });
      const session = await fixture.start(host, { urls: [server.url], headers: { 'x-token': '42' } });
      await until('the warning', () => host.warnings.length === 1);
      expect(host.codes()).to.deep.equal(['ERR_SIGNALING_UNAUTHORIZED']);
      expect(environment.delays()).to.deep.equal([5000]);
      environment.advance(5000);
      await until('a second no', () => server.metrics().refused === 2 && environment.delays()[0] === 5000);
      allowed = true;
      environment.advance(5000);
      await until('connected', () => session.connected);
      expect(host.warnings).to.have.length(1);
    });

    it('tells of a server that is full or of another version', async () => {
      const full = await fixture.serve({ maxClientsPerRoom: 1 });
      await fixture.joined(new TestHost('a'), full.url);
      const b = new TestHost('b');
      await fixture.start(b, full.url);
      await until('the warning', () => b.warnings.length === 1);
      expect(b.codes()).to.deep.equal(['ERR_SIGNALING']);
      expect(b.warnings[0]!.message).to.include('at most 1 nodes in a cluster');
    });

    for (const [status, code] of [
      [401, 'ERR_SIGNALING_UNAUTHORIZED'],
      [404, 'ERR_SIGNALING'],
      [302, 'ERR_SIGNALING'],
      [503, 'ERR_SIGNALING'],
    ] as const) {
      it(`takes an HTTP ${status} for what it is`, async () => {
        const http = createServer((_, response) =>
          response.writeHead(status, { location: 'ws://127.0.0.1:1/' }).end(),
        );
        const port = await fixture.listen(http);
        const host = new TestHost('a');
        const session = await fixture.start(host, `ws://127.0.0.1:${port}`);
        await until('the warning', () => host.warnings.length === 1);
        expect(host.codes()).to.deep.equal([code]);
        expect(host.warnings[0]!.message).to.include(`HTTP status ${status}`);
        await session.close();
      });
    }
  });

  describe('servers that misbehave', () => {
    const welcome = '{"type":"welcome"}\n';
    const names = (count: number, from: number): string =>
      Array.from({ length: count }, (_, i) => `n${from + i}`).join(' ');
    const tricks: [what: string, frames: (string | Buffer)[]][] = [
      ['binary frames', [Buffer.from(welcome)]],
      ['no JSON', ['welcome\n']],
      ['unknown frames', ['{"type":"obey"}\n']],
      ['frames above the cap', ['x'.repeat(100_000)]],
      ['two welcomes', [welcome, welcome]],
      ['a list after the welcome', [welcome, '{"type":"peers"}\na']],
      ['no welcome first', ['{"type":"join","id":"b"}\n']],
      ['messages of nobody', [welcome, '{"type":"message","from":"b"}\nhi']],
      ['bad names', [welcome, '{"type":"join","id":"<b>"}\n']],
      ['too many nodes', Array.from({ length: 41 }, (_, i) => `{"type":"peers"}\n${names(250, i * 250)}`)],
      ['no WebSocket frames', []],
    ];
    for (const [what, frames] of tricks) {
      it(`lose their connection for ${what}, and nothing else happens`, async () => {
        let connections = 0;
        let ends = 0;
        const url = await fixture.rogue((socket) => {
          connections++;
          socket.on('close', () => ends++);
          for (const frame of frames) socket.send(frame);
          if (frames.length === 0) underneath(socket).write(Buffer.alloc(64, 0xff));
        });
        const host = new TestHost('a');
        const session = await fixture.start(host, url);
        await until('another try', () => connections >= 2 && ends >= 1);
        expect(host.codes()).to.deep.equal(['ERR_SIGNALING']);
        expect(host.warnings[0]!.message).to.include('broke the protocol');
        expect([...host.presence, ...host.messages]).to.deep.equal([]);
        await session.close();
      });
    }

    it('are tried ever more slowly when they drop everybody they welcome', async () => {
      const environment = new ManualEnvironment();
      const url = await fixture.rogue((socket) => {
        socket.send(welcome);
        socket.close();
      });
      await fixture.start(new TestHost('a', { environment }), url);
      const delays: number[] = [];
      for (let i = 0; i < 5; i++) {
        await until('the pause', () => environment.delays().some((delay) => delay < 10_000));
        delays.push(Math.min(...environment.delays()));
        environment.advance(Math.min(...environment.delays()));
      }
      expect(delays).to.deep.equal([250, 500, 1000, 2000, 4000]);
    });

    it('may repeat what they say of a node', async () => {
      const url = await fixture.rogue((socket) => {
        for (const frame of [
          welcome,
          '{"type":"leave","id":"b"}\n',
          '{"type":"join","id":"b"}\n',
          '{"type":"join","id":"b"}\n',
        ]) {
          socket.send(frame);
        }
        socket.send('{"type":"join","id":"a"}\n'); // oneself
        socket.send('{"type":"leave","id":"b"}\n');
      });
      const host = new TestHost('a');
      await fixture.start(host, url);
      await until('the last', () => host.presence.at(-1) === '-b');
      expect(host.presence).to.deep.equal(['+b', '+b', '-b']);
    });
  });
});
