import { expect } from 'chai';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { once } from 'node:events';
import { connect } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { serveSignaling } from '../../../lib/mesh/signaling/server.js';
import { Fixture, RawClient, codeOf, settled, until } from './support.js';

describe('serveSignaling', () => {
  const fixture = new Fixture();
  afterEach(() => fixture.closeAll());

  describe('seats and messages', () => {
    it('tells a newcomer who is there, and the others that it came and went', async () => {
      const { url } = await fixture.serve();
      const a = await fixture.seated(url, { id: 'a' });
      const b = await fixture.seated(url, { id: 'b' });
      expect(b.frames).to.deep.equal([
        { type: 'peers', body: 'a' },
        { type: 'welcome', body: '' },
      ]);
      await until('join', () => a.has('join'));
      b.socket.close();
      await until('leave', () => a.has('leave'));
      expect(a.frames.slice(1)).to.deep.equal([
        { type: 'join', id: 'b', body: '' },
        { type: 'leave', id: 'b', body: '' },
      ]);
    });

    it('relays a payload byte by byte, to its receiver only, and counts it', async () => {
      const server = await fixture.serve();
      const [a, b, c] = [
        await fixture.seated(server.url, { id: 'a' }),
        await fixture.seated(server.url, { id: 'b' }),
        await fixture.seated(server.url, { id: 'c' }),
      ];
      const payloads = ['{"not": "read', 'two\nlines\n', '', 'é☃𝄞', 'x'.repeat(65_536)];
      for (const payload of payloads) a.say({ type: 'send', to: 'b' }, payload);
      a.say({ type: 'send', to: 'nobody' }, 'lost');
      a.say({ type: 'send', to: 'a' }, 'to itself');
      await until(
        'all messages',
        () => b.frames.filter((frame) => frame.type === 'message').length === payloads.length,
      );
      await settled(a);
      const got = b.frames.filter((frame) => frame.type === 'message');
      expect(got.map((frame) => [frame.from, frame.body])).to.deep.equal(
        payloads.map((payload) => ['a', payload]),
      );
      expect(a.has('message') || c.has('message')).to.equal(false);
      expect(server.metrics()).to.deep.equal({ clients: 3, pending: 0, rooms: 1, relayed: 5, refused: 0 });
    });

    it('keeps clusters apart', async () => {
      const server = await fixture.serve();
      const a = await fixture.seated(server.url, { id: 'a' });
      const b = await fixture.seated(server.url, { id: 'b', cluster: 'other' });
      b.say({ type: 'send', to: 'a' }, 'hello');
      await settled(b);
      expect(a.frames.map((frame) => frame.type)).to.deep.equal(['welcome']);
      expect(b.frames.map((frame) => frame.type)).to.deep.equal(['welcome']);
      expect(server.metrics()).to.include({ clients: 2, rooms: 2, relayed: 0 });
      b.socket.close();
      await until('the room gone', () => server.metrics().rooms === 1);
    });

    it('names hundreds of nodes to a newcomer', async () => {
      const { url } = await fixture.serve({ maxClientsPerRoom: 300 });
      const ids = Array.from({ length: 299 }, (_, i) => `n${i}`);
      await Promise.all(ids.map((id) => fixture.seated(url, { id })));
      const last = await fixture.seated(url, { id: 'last' });
      const lists = last.frames
        .filter((frame) => frame.type === 'peers')
        .map((frame) => frame.body.split(' '));
      expect(lists.map((list) => list.length)).to.deep.equal([256, 43]);
      expect(new Set(lists.flat())).to.deep.equal(new Set(ids));
    });
  });

  describe('two runs of one id', () => {
    it('gives the seat to the newer, and tells the older', async () => {
      const server = await fixture.serve();
      const other = await fixture.seated(server.url, { id: 'other' });
      const older = await fixture.seated(server.url, { id: 'a', incarnation: '1' });
      const newer = await fixture.seated(server.url, { id: 'a', incarnation: '2' });
      await older.closed();
      expect([older.refusal, older.closeCode]).to.deep.equal(['replaced', 4000]);
      other.say({ type: 'send', to: 'a' }, 'hello');
      await until('the message', () => newer.has('message'));
      expect(other.frames.map((frame) => frame.type)).to.deep.equal(['welcome', 'join', 'join']);
      await until('the older one gone', () => server.metrics().pending === 0);
      expect(server.metrics()).to.include({ clients: 2, pending: 0 });
    });

    it('refuses the older while the newer is there', async () => {
      const { url } = await fixture.serve();
      const newer = await fixture.seated(url, { id: 'a', incarnation: '2' });
      const older = await fixture.open(url);
      older.hello({ id: 'a', incarnation: '1' });
      await older.closed();
      expect(older.refusal).to.equal('replaced');
      await settled(newer);
      expect(newer.refusal).to.equal(undefined);
    });

    it('lets the same run come again on another connection', async () => {
      const { url } = await fixture.serve();
      const first = await fixture.seated(url, { id: 'a', incarnation: '1' });
      const second = await fixture.seated(url, { id: 'a', incarnation: '1' });
      await first.closed();
      expect(first.refusal).to.equal('superseded');
      await settled(second);
    });

    it('asks a newer one for a sign of life when an older one comes, so that no ghost keeps a seat', async () => {
      const { url } = await fixture.serve({ pingTimeoutMs: 100 });
      const ghost = await fixture.seated(url, { id: 'a', incarnation: '9' }, { autoPong: false });
      const early = await fixture.open(url);
      early.hello({ id: 'a', incarnation: '1' });
      await early.closed();
      expect(early.refusal).to.equal('replaced');
      await ghost.closed();
      await fixture.seated(url, { id: 'a', incarnation: '1' });
    });
  });

  describe('its place', () => {
    const routes = (): Server =>
      createServer((request, response) => response.end(`route ${request.url ?? ''}`));

    it('says where it is, on any address', async () => {
      const server = await fixture.serve({ host: '0.0.0.0', path: '/signal' });
      expect(server.port).to.be.greaterThan(0);
      expect(server.url).to.equal(`ws://127.0.0.1:${server.port}/signal`);
      await fixture.seated(server.url);
      await fixture.seated(`${server.url}/?token=1`);
      expect((await fetch(server.url.replace('ws', 'http'))).status).to.equal(426);
      expect((await fetch(`http://127.0.0.1:${server.port}/other`)).status).to.equal(404);
    });

    it('fails with ERR_SIGNALING when the port is taken', async () => {
      const { port } = await fixture.serve();
      expect(await codeOf(() => serveSignaling({ port }))).to.equal('ERR_SIGNALING');
    });

    it('lives on a server of the user, beside its routes and other sockets', async () => {
      const http = routes();
      const port = await fixture.listen(http);
      const echo = new WebSocketServer({ noServer: true });
      http.on('upgrade', (request, socket, head) => {
        if (request.url === '/echo') {
          echo.handleUpgrade(request, socket, head, (ws) =>
            ws.on('message', (data: Buffer) => ws.send(`${data.toString()}!`)),
          );
        }
      });
      const server = await fixture.serve({ server: http, path: '/signal' });
      expect(server.url).to.equal(`ws://127.0.0.1:${port}/signal`);
      const client = await fixture.seated(server.url);
      const other = new WebSocket(`ws://127.0.0.1:${port}/echo`);
      fixture.add({ close: () => other.terminate() });
      await once(other, 'open');
      const answered = once(other, 'message');
      other.send('hi');
      expect(String((await answered)[0])).to.equal('hi!');
      expect(await (await fetch(`http://127.0.0.1:${port}/route`)).text()).to.equal('route /route');

      await server.close();
      await client.closed();
      expect(client.refusal).to.equal('closing');
      expect(other.readyState).to.equal(WebSocket.OPEN);
      expect(http.listening).to.equal(true);
      expect(http.listenerCount('upgrade')).to.equal(1);
    });

    it('answers a strange upgrade where nobody else would', async () => {
      const http = routes();
      await fixture.listen(http);
      const server = await fixture.serve({ server: http, path: '/signal' });
      const stray = new RawClient(`ws://127.0.0.1:${server.port}/elsewhere`);
      const [, response] = (await once(stray.socket, 'unexpected-response')) as [
        unknown,
        { statusCode: number },
      ];
      expect(response.statusCode).to.equal(404);
      stray.socket.terminate();
    });

    it('can be mounted before the server listens', async () => {
      const http = createServer();
      const server = await fixture.serve({ server: http });
      expect(server.port).to.equal(0);
      const port = await fixture.listen(http);
      expect(server.port).to.equal(port);
      await fixture.seated(server.url);
    });

    it('closes with everything on it, half-open sockets included', async () => {
      const server = await serveSignaling();
      const announced = await fixture.seated(server.url);
      const silent = await fixture.open(server.url);
      const plain = connect(server.port, '127.0.0.1').on('error', () => undefined);
      await once(plain, 'connect');
      const deaf = await fixture.seated(server.url, { id: 'deaf' });
      deaf.socket.pause();
      const ended = once(plain, 'close');
      await Promise.all([server.close(), server.close()]);
      await Promise.all([announced.closed(), silent.closed(), ended]);
      expect(server.metrics()).to.include({ clients: 0, pending: 0, rooms: 0 });
      expect(await codeOf(() => RawClient.open(server.url))).to.equal('ECONNREFUSED');
    });
  });
});
