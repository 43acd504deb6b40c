import { expect } from 'chai';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { serveSignaling } from '../../../lib/mesh/signaling/server.js';
import type { ServeSignalingOptions } from '../../../lib/mesh/signaling/serverOptions.js';
import { Fixture, RawClient, codeOf, settled, underneath, until } from './support.js';

describe('serveSignaling, to strangers', () => {
  const fixture = new Fixture();
  afterEach(() => fixture.closeAll());

  describe('authorize', () => {
    const node = { cluster: 'test', id: 'raw' };

    it('gets the request and the name, and may say yes, at once or later', async () => {
      const asked: unknown[] = [];
      const { url } = await fixture.serve({
        authorize: async (request, who) => {
          asked.push([request.headers['x-token'], who]);
          await new Promise(setImmediate);
          return true;
        },
      });
      await fixture.seated(url, {}, { headers: { 'x-token': '42' } });
      expect(asked).to.deep.equal([['42', node]]);
      const sync = await fixture.serve({ authorize: (_, { id }) => id === 'raw' });
      await fixture.seated(sync.url);
    });

    const refusals: [string, ServeSignalingOptions['authorize'], unknown][] = [
      ['says no', () => false, undefined],
      ['says no later', async () => false, undefined],
      [
        'throws',
        () => {
          throw new Error('broken');
        },
        'broken',
      ],
      [
        'rejects',
        async () => {
          throw new Error('broken');
        },
        'broken',
      ],
      ['returns something else than true', (() => 'yes') as never, undefined],
    ];
    for (const [what, authorize, thrown] of refusals) {
      it(`keeps the node out when it ${what}`, async () => {
        const server = await fixture.serve({ authorize: authorize! });
        const other: object[] = [];
        server.on('client:refused', (refusal) => other.push(refusal));
        const client = await fixture.open(server.url);
        client.hello();
        await client.closed();
        expect(client.frames.map((frame) => [frame.type, frame.code])).to.deep.equal([
          ['refused', 'unauthorized'],
        ]);
        expect(server.metrics()).to.include({ clients: 0, refused: 1 });
        expect(other).to.have.length(1);
        const { error, ...rest } = other[0] as { error?: Error };
        expect(rest).to.deep.equal({ ...node, reason: 'node "raw" is not authorized' });
        expect(error?.message).to.equal(thrown);
      });
    }

    it('keeps the node out when it never answers, or answers too late', async () => {
      const answers: ((yes: boolean) => void)[] = [];
      const server = await fixture.serve({
        announceTimeoutMs: 100,
        authorize: () => new Promise((resolve) => answers.push(resolve)),
      });
      const client = await fixture.open(server.url);
      client.hello();
      await client.closed();
      answers[0]!(true);
      await new Promise(setImmediate);
      expect(client.refusal).to.equal('invalid');
      expect(server.metrics()).to.include({ clients: 0, pending: 0 });
    });

    it('is not asked twice, and nothing is relayed before its answer', async () => {
      const server = await fixture.serve({
        authorize: (_, { id }) => id === 'there' || new Promise(() => undefined),
      });
      const there = await fixture.seated(server.url, { id: 'there' });
      const eager = await fixture.open(server.url);
      eager.hello();
      eager.say({ type: 'send', to: 'there' }, 'early');
      await eager.closed();
      const twice = await fixture.open(server.url);
      twice.hello();
      twice.hello({ id: 'another' });
      await twice.closed();
      expect([eager.refusal, twice.refusal]).to.deep.equal(['invalid', 'invalid']);
      await settled(there);
      expect(there.has('message')).to.equal(false);
    });
  });

  describe('caps', () => {
    it('ends a connection that sends what is no frame, and serves the others', async () => {
      const server = await fixture.serve();
      const good = await fixture.seated(server.url, { id: 'good' });
      const garbage: [string, string | Buffer][] = [
        ['binary', Buffer.from('{"type":"hello"}\n')],
        ['nothing', ''],
        ['no JSON', 'hello\n'],
        ['null', 'null\n'],
        ['unknown type', '{"type":"shout"}\n'],
        ['a bad name', '{"type":"hello","version":1,"cluster":"test","id":"a b","incarnation":"1"}\n'],
        ['no version', '{"type":"hello","cluster":"test","id":"a","incarnation":"1"}\n'],
        ['a message before hello', '{"type":"send","to":"good"}\nhello'],
        ['a long header', `{"type":"send","to":"good"${' '.repeat(2000)}}\nhello`],
        ['a long payload', `{"type":"send","to":"good"}\n${'x'.repeat(65_537)}`],
      ];
      for (const [what, data] of garbage) {
        const client = await fixture.open(server.url);
        client.socket.send(data);
        await client.closed();
        expect(client.refusal, what).to.equal('invalid');
      }
      expect(good.frames.map((frame) => frame.type)).to.deep.equal(['welcome']);
      expect(server.metrics()).to.include({ clients: 1, refused: garbage.length });
      await settled(good);
    });

    it('ends a connection that is no WebSocket any more, or sends above the cap', async () => {
      const server = await fixture.serve();
      const huge = await fixture.seated(server.url, { id: 'huge' });
      huge.socket.send('x'.repeat(200_000));
      await huge.closed();
      expect(huge.closeCode).to.equal(1009);
      const noise = await fixture.seated(server.url, { id: 'noise' });
      underneath(noise.socket).write(Buffer.alloc(50, 0xff));
      await noise.closed();
      await until('nobody left', () => server.metrics().clients === 0);
    });

    it('refuses another version', async () => {
      const { url } = await fixture.serve();
      const client = await fixture.open(url);
      client.hello({ version: 2 });
      await client.closed();
      expect(client.refusal).to.equal('version');
      expect(client.frames[0]!.body).to.equal('this server speaks version 1, the node version 2');
    });

    it('takes a number of clusters, of nodes in each, and of connections', async () => {
      const server = await fixture.serve({ maxRooms: 2, maxClientsPerRoom: 2, maxConnections: 4 });
      const place = (cluster: string, id: string, incarnation = '1'): object => ({
        cluster,
        id,
        incarnation,
      });
      await fixture.seated(server.url, place('one', 'a'));
      await fixture.seated(server.url, place('two', 'a'));
      const third = await fixture.open(server.url);
      third.hello(place('three', 'a'));
      await third.closed();
      await fixture.seated(server.url, place('one', 'b'));
      const crowd = await fixture.open(server.url);
      crowd.hello(place('one', 'c'));
      await crowd.closed();
      expect([third.refusal, crowd.refusal]).to.deep.equal(['full', 'full']);
      await fixture.seated(server.url, place('one', 'b', '2')); // a newer run fits where the older was
      await until('only seats', () => server.metrics().pending === 0);
      await fixture.open(server.url);
      const late = new RawClient(server.url);
      const [, response] = (await once(late.socket, 'unexpected-response')) as [
        unknown,
        { statusCode: number },
      ];
      expect(response.statusCode).to.equal(503);
      late.socket.terminate();
    });

    it('holds back who sends too fast, and nobody else', async () => {
      const server = await fixture.serve({ messagesPerSecond: 1, messageBurst: 20 });
      const [flood, calm] = [
        await fixture.seated(server.url, { id: 'flood' }),
        await fixture.seated(server.url, { id: 'calm' }),
      ];
      const victim = await fixture.seated(server.url, { id: 'victim' });
      for (let i = 0; i < 100; i++) flood.say({ type: 'send', to: 'victim' }, 'flood');
      await until('the first wave', () => victim.has('message'));
      const relayed = server.metrics().relayed;
      for (let i = 0; i < 100; i++) flood.say({ type: 'send', to: 'victim' }, 'flood');
      for (let i = 0; i < 5; i++) {
        calm.say({ type: 'send', to: 'victim' }, 'calm');
        await settled(calm);
      }
      expect(victim.frames.filter((frame) => frame.from === 'calm')).to.have.length(5);
      expect(relayed).to.be.lessThan(200);
      expect(server.metrics().relayed).to.be.at.most(100 + 5);
      expect(flood.closeCode).to.equal(undefined);
    });

    it('counts pings and large payloads, too', async () => {
      const server = await fixture.serve({ messagesPerSecond: 1, messageBurst: 40 });
      const [large, pinger] = [
        await fixture.seated(server.url, { id: 'large' }),
        await fixture.seated(server.url, { id: 'pinger' }),
      ];
      const other = await fixture.seated(server.url, { id: 'other' });
      const count = (): number => other.frames.filter((frame) => frame.type === 'message').length;
      for (let i = 0; i < 3; i++) large.say({ type: 'send', to: 'other' }, 'x'.repeat(65_536)); // 17 each
      let pongs = 0;
      pinger.socket.on('pong', () => pongs++);
      for (let i = 0; i < 50; i++) pinger.socket.ping(); // more would be cut off by ws
      await until('all of this', () => count() === 3 && pongs === 50);
      // Both are in debt for more than ten seconds now.
      for (const client of [large, pinger]) client.say({ type: 'send', to: 'other' });
      for (let i = 0; i < 5; i++) await settled(other);
      expect(count()).to.equal(3);
    });

    it('loses nothing of what it held back', async () => {
      const server = await fixture.serve({ messagesPerSecond: 1000, messageBurst: 10 });
      const [a, b] = [
        await fixture.seated(server.url, { id: 'a' }),
        await fixture.seated(server.url, { id: 'b' }),
      ];
      for (let i = 0; i < 200; i++) a.say({ type: 'send', to: 'b' }, `${i}`);
      const bodies = (): string[] =>
        b.frames.filter((frame) => frame.type === 'message').map((frame) => frame.body);
      await until('all', () => bodies().length === 200);
      expect(bodies()).to.deep.equal(Array.from({ length: 200 }, (_, i) => `${i}`));
    });

    it('drops who does not read, and keeps who sends to it', async () => {
      const server = await fixture.serve({
        messagesPerSecond: 1_000_000,
        messageBurst: 1_000_000,
        maxQueuedBytes: 131_072,
      });
      const left: object[] = [];
      server.on('client:left', (who) => left.push(who));
      const slow = await fixture.seated(server.url, { id: 'slow' });
      const sender = await fixture.seated(server.url, { id: 'sender' });
      slow.socket.pause();
      for (let i = 0; i < 1000 && left.length === 0; i++) {
        sender.say({ type: 'send', to: 'slow' }, 'x'.repeat(65_536));
        await settled(sender);
      }
      expect(left).to.deep.equal([{ cluster: 'test', id: 'slow' }]);
      await until('leave', () => sender.has('leave'));
      expect(server.metrics()).to.include({ clients: 1 });
    });

    it('ends who does not say its name', async () => {
      const server = await fixture.serve({ announceTimeoutMs: 100 });
      const client = await fixture.open(server.url);
      await client.closed();
      expect(client.refusal).to.equal('invalid');
      expect(server.metrics().pending).to.equal(0);
    });

    it('finds the dead by pings, and spares the living', async () => {
      const server = await fixture.serve({ pingIntervalMs: 100, pingTimeoutMs: 100 });
      const living = await fixture.seated(server.url, { id: 'living' });
      const dead = await fixture.seated(server.url, { id: 'dead' }, { autoPong: false });
      await dead.closed();
      await until('leave', () => living.has('leave'));
      let pings = 0;
      living.socket.on('ping', () => pings++);
      await until('more pings', () => pings >= 5);
      expect(living.closeCode).to.equal(undefined);
    });

    it('keeps strange web pages away, and lets listed ones in', async () => {
      const { url } = await fixture.serve({ origins: ['https://app.example'] });
      const page = new RawClient(url, { origin: 'https://evil.example' });
      const [, response] = (await once(page.socket, 'unexpected-response')) as [
        unknown,
        { statusCode: number },
      ];
      expect(response.statusCode).to.equal(403);
      page.socket.terminate();
      await fixture.seated(url, {}, { origin: 'https://app.example' });
    });

    it('checks its options', async () => {
      const http = createServer();
      const bad: object[] = [
        { port: -1 },
        { port: 65_536 },
        { port: '9000' },
        { host: '' },
        { path: 'signal' },
        { path: '/a?b' },
        { server: {} },
        { server: http, port: 1 },
        { server: http, host: '::1' },
        { authorize: true },
        { origins: 'https://app.example' },
        { maxRooms: 0 },
        { maxClientsPerRoom: 10_001 },
        { maxConnections: 1.5 },
        { messagesPerSecond: NaN },
        { messageBurst: 0 },
        { maxQueuedBytes: 1000 },
        { announceTimeoutMs: 1 },
        { pingIntervalMs: Infinity },
        { pingTimeoutMs: 0 },
      ];
      for (const options of bad) {
        expect(await codeOf(() => serveSignaling(options)), JSON.stringify(options)).to.equal('ERR_CONFIG');
      }
    });
  });
});
