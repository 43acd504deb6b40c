/** Frames of clients from a node that holds the secret and means no good. */
import { expect } from 'chai';
import { meshPort, type Mesh } from '../../../../lib/mesh/mesh.js';
import { FrameKind, type MeshPort } from '../../../../lib/mesh/port.js';
import { cbor } from '../../../../lib/replica/codec.js';
import { MAX_CHANNELS } from '../../../../lib/replica/client/desk.js';
import { MAX_STREAMS } from '../../../../lib/replica/client/service.js';
import { PEER_LIMITS } from '../../../../lib/replica/client/servedPeer.js';
import {
  CLIENT_WIRE_VERSION,
  frameOf,
  readMessages,
  type Message,
} from '../../../../lib/replica/client/wire.js';
import type { Replica } from '../../../../lib/replica/replica.js';
import { GROUP, until, World, type Counter } from './support.js';

describe('hostile clients', () => {
  let world: World;
  let replica: Replica<Counter>;
  let mesh: Mesh;
  let port: MeshPort;
  let heard: Message[];
  let lost: number;

  beforeEach(async () => {
    world = new World();
    replica = await world.member('a', { members: ['a'] });
    await replica.ready();
    mesh = await world.mesh('h');
    await mesh.waitFor(['a']);
    port = meshPort(mesh);
    heard = [];
    lost = 0;
    port.handle(FrameKind.client, (_peer, _session, frame) =>
      readMessages(frame, (message) => heard.push(message) > 0),
    );
    port.listen({ onPeer: (_peer, up) => (lost += up ? 0 : 1) });
  });

  afterEach(async () => {
    await world.close();
  });

  function say(...messages: Message[]): void {
    for (const message of messages) port.send('a', FrameKind.client, frameOf(message), { lane: 'control' });
  }

  const open = (channel = 1, group = GROUP): Message => ({
    op: 'open',
    channel,
    version: CLIENT_WIRE_VERSION,
    group,
  });
  const add = (request: number, channel = 1, by = 1): Message => ({
    op: 'submit',
    channel,
    request,
    requestId: `h-${channel}-${request}`,
    body: cbor().encode({ op: 'add', by }),
  });
  const of = (op: Message['op']): Message[] => heard.filter((message) => message.op === op);

  /** The member goes on serving those who behave. */
  async function stillServes(): Promise<void> {
    const client = await world.client();
    await client.submit({ op: 'add', by: 0 });
    await client.close();
    expect(replica.status().state).to.equal('running');
  }

  it('a frame that makes no sense costs the link', async () => {
    for (const frame of [Uint8Array.of(77, 1, 2), Uint8Array.of(3), frameOf(open()).subarray(0, 4)]) {
      const before = lost;
      await until('a link', () => port.linked().has('a'));
      port.send('a', FrameKind.client, frame, { lane: 'control' });
      await until('the end of the link', () => lost > before);
    }
    await stillServes();
  });

  it('a grant that is taken back costs the link', async () => {
    say(open(), { op: 'follow', channel: 1, request: 5, from: undefined, count: 10, bytes: 1000 });
    await until('the stream', () => of('changes').length > 0);
    say({ op: 'grant', channel: 1, request: 5, count: 3, bytes: 2000 });
    await until('the end of the link', () => lost > 0);
    await stillServes();
  });

  it('what names no channel, or one of a group that is not here, is heard by nobody', async () => {
    say(
      add(1, 9),
      { op: 'leave', channel: 9, request: 1 },
      { op: 'grant', channel: 9, request: 1, count: 1, bytes: 1 },
    );
    say(open(2, 'elsewhere'), add(1, 2), open(1));
    await until('both standings', () => of('standing').length === 2);
    expect(of('standing').map((message) => (message as { serving: string }).serving)).to.deep.equal([
      'absent',
      'serving',
    ]);
    expect(of('result')).to.deep.equal([]);
    expect(replica.metrics().submitted).to.equal(0);
    expect(lost).to.equal(0);
  });

  it('answers that nobody asked for are not taken', async () => {
    const client = await world.client({}, 'a');
    const stray = { channel: 1, request: 1 };
    const change = {
      type: 'applied',
      index: 1,
      time: 1,
      origin: 'h',
      ok: true,
      command: new Uint8Array(1),
    } as const;
    say(
      { op: 'result', ...stray, body: cbor().encode('gift') },
      { op: 'changes', ...stray, changes: [change] },
      { op: 'here' },
    );
    const call = client.submit({ op: 'add', by: 1 }, { timeout: 300 }).catch((error: unknown) => error);
    say({ op: 'result', channel: 1, request: 1, body: cbor().encode('gift') });
    expect(await call).to.have.property('code', 'ERR_TIMEOUT');
  });

  it('bytes that are no command, and commands that are none, are refused one by one', async () => {
    say(open(), { op: 'submit', channel: 1, request: 1, requestId: 'x', body: Uint8Array.of(0xff, 0xff) });
    say({ op: 'query', channel: 1, request: 2, consistency: 'linearizable', body: Uint8Array.of(0xff) });
    await until('both refusals', () => of('failure').length === 2);
    for (const message of of('failure'))
      expect(message).to.have.property('failure').with.property('code', 'ERR_CODEC');
    expect(replica.metrics().submitted).to.equal(0);
    await stillServes();
  });

  it('a member without a quorum takes nothing in that needs one', async () => {
    const lonely = await world.member('a', { group: 'other', members: ['a', 'b', 'c'] });
    say(open(1, 'other'), add(1));
    const query = { op: 'query', channel: 1, body: cbor().encode({ op: 'total' }) } as const;
    say(
      { ...query, request: 2, consistency: 'linearizable' },
      { ...query, request: 3, consistency: 'local' },
    );
    await until('the answers', () => of('failure').length === 2 && of('result').length === 1);
    for (const message of of('failure'))
      expect(message).to.have.property('failure').that.includes({ code: 'ERR_NOT_READY', fate: 'refused' });
    expect(of('result')[0]).to.include({ request: 3 });
    expect(lonely.status().pending).to.deep.equal({ commands: 0, reads: 0 });
  });

  it('another version is refused with a word', async () => {
    say({ op: 'open', channel: 1, version: CLIENT_WIRE_VERSION + 1, group: GROUP });
    await until('the word', () => of('standing').length === 1);
    expect(of('standing')[0]).to.include({ serving: 'refused', code: 'ERR_PEER_VERSION' });
    expect(lost).to.equal(0);
  });

  it('more channels than are allowed take the places of the oldest', async () => {
    for (let channel = 1; channel <= MAX_CHANNELS + 1; channel++) say(open(channel));
    await until('the word', () =>
      of('standing').some((message) => (message as { code: string }).code === 'ERR_OVERLOADED'),
    );
    say(add(1, 1), add(1, 2));
    await until('an answer', () => of('result').length === 1);
    expect(of('result')[0]).to.include({ channel: 2 });
    await stillServes();
  });

  it('more streams than are allowed are refused', async () => {
    say(open());
    for (let request = 1; request <= MAX_STREAMS + 1; request++)
      say({ op: 'follow', channel: 1, request, from: undefined, count: 0, bytes: 0 });
    await until('the refusal', () => of('failure').length > 0);
    expect(of('failure')[0]).to.include({ request: MAX_STREAMS + 1 });
    expect(of('failure')[0]).to.have.property('failure').with.property('code', 'ERR_OVERLOADED');
    expect(of('changes')).to.deep.equal([]); // without credit nothing is sent
  });

  it('more commands than are allowed are refused, the others are not', async () => {
    say(open());
    const count = PEER_LIMITS.requests + 500;
    for (let request = 1; request <= count; request++) say(add(request));
    await until('all answers', () => of('result').length + of('failure').length >= count);
    for (const message of of('failure'))
      expect(message).to.have.property('failure').with.property('code', 'ERR_OVERLOADED');
    expect(await replica.query({ op: 'total' })).to.equal(of('result').length);
    say(add(count + 1));
    await until('another answer', () =>
      heard.some((message) => 'request' in message && message.request === count + 1),
    );
    expect(heard.at(-1)).to.include({ op: 'result' });
  });
});
