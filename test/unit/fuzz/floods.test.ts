/** What a peer can make this node hold, measured against the caps that docs/hostile-peers.md states. */
import { expect } from 'chai';
import { TokenBuckets } from '../../../lib/tokenBucket.js';
import { Outbox } from '../../../lib/engine/outbox.js';
import { ItemType, MAX_ITEMS, readItems } from '../../../lib/engine/wire.js';
import { TermGuard } from '../../../lib/consensus/core/termGuard.js';
import { MAX_EPOCH_JUMP } from '../../../lib/consensus/bounds.js';
import { checkMembership, decodeMembership, encodeMembership } from '../../../lib/consensus/membership.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { LaneReceiver } from '../../../lib/mesh/laneReceiver.js';
import { LaneSender } from '../../../lib/mesh/laneSender.js';
import { PieceReader, PieceWriter } from '../../../lib/mesh/framing.js';
import { encodeLinkFrame } from '../../../lib/mesh/linkFrames.js';
import { pieceOverhead, urgentCapBytes } from '../../../lib/mesh/limits.js';
import { memoryNetwork } from '../../../lib/mesh/memory/network.js';
import { FrameKind, type MeshPort } from '../../../lib/mesh/port.js';
import { serveSignaling } from '../../../lib/mesh/signaling/server.js';
import { helloFrame, sendFrame } from '../../../lib/mesh/signaling/protocol.js';
import { WebSocket } from 'ws';
import { FakeLane, FakeLink, scriptedTransport } from '../mesh/support.js';
import { Hostile, secret, until } from './hostile.js';

const KiB = 1024;
const MiB = 1024 * KiB;

function receiver(window: number, maxFrame: number, onFrame: () => boolean | Promise<boolean>) {
  const broken: string[] = [];
  let credit = window;
  const lane = new LaneReceiver(window, maxFrame, {
    onFrame,
    onLinkFrame: () => undefined,
    announce: (limit) => (credit = limit),
    onBroken: (problem) => void broken.push(problem),
  });
  return { lane, broken, credit: () => credit };
}

/** A lane message of one whole frame. */
function whole(length: number, urgent = false): Uint8Array {
  const writer = new PieceWriter(length + 64);
  writer.add(1, new Uint8Array(length), 0, length, urgent);
  return writer.take();
}

describe('floods', () => {
  it('half-open links: 64 in all, 2 of one peer; the others are closed at once', async () => {
    const { transport, host } = scriptedTransport();
    const mesh = await joinMesh({ id: 'a', cluster: 'test', secret, transport });
    const links = Array.from({ length: 200 }, (_, i) => new FakeLink(`p${i}`, true));
    for (const link of links) host().onLink(link);
    expect(links.filter(({ closed }) => !closed)).to.have.length(64);
    expect(mesh.metrics().turnedAway).to.equal(136);
    const same = Array.from({ length: 10 }, () => new FakeLink('p0', true));
    for (const link of same) host().onLink(link);
    expect([links[0]!, ...same].filter(({ closed }) => !closed).length).to.be.at.most(2);
    await mesh.close();
  });

  it('frames before the handshake: none is kept, the link is lost', async () => {
    const { transport, host } = scriptedTransport();
    const mesh = await joinMesh({ id: 'a', cluster: 'test', secret, transport });
    const codes: string[] = [];
    mesh.on('peer:refused', (_peer, error) => void codes.push(error.code));
    const [early, large] = [new FakeLink('b', true), new FakeLink('c', true)];
    host().onLink(early);
    early.bulk.onMessage!(whole(100));
    host().onLink(large);
    large.control.onMessage!(new Uint8Array(1025));
    expect([early.closed, large.closed]).to.deep.equal([true, true]);
    await until('both refusals', () => codes.length === 2);
    expect(codes).to.deep.equal(['ERR_PEER_PROTOCOL', 'ERR_PEER_PROTOCOL']);
    await mesh.close();
  });

  it('frames that handlers have not finished with: a window, and not a frame more than was announced', () => {
    const window = 64 * KiB;
    const { lane, broken } = receiver(window, MiB, () => new Promise(() => undefined));
    let sent = 0;
    while (broken.length === 0) {
      lane.receive(whole(KiB));
      sent += KiB + pieceOverhead;
    }
    expect(sent).to.be.within(window, window + 2 * KiB);
    expect(lane.held).to.be.at.most(window);
    expect(broken[0]).to.include('more than its credit');
  });

  it('tiny messages cost their overhead, so that their count is capped with their bytes', () => {
    const window = 64 * KiB;
    let frames = 0;
    const { lane, broken } = receiver(window, MiB, () => {
      frames++;
      return new Promise(() => undefined);
    });
    while (broken.length === 0) lane.receive(whole(0));
    expect(frames).to.equal(window / pieceOverhead);
  });

  it('giant frames: refused when they are announced; fragments cost credit as they come', () => {
    const told: string[] = [];
    const reader = new PieceReader(MiB, { charge: () => true, frame: () => true });
    const announce = (length: number): void => {
      const writer = new PieceWriter(64);
      writer.add(1, new Uint8Array(length), 0, 1, false);
      told.push(reader.read(writer.take()) ?? 'taken');
    };
    announce(MiB + 1);
    expect(told[0]).to.include('above');
    expect(reader.assembling).to.equal(0);
    announce(MiB);
    expect(told[1]).to.equal('taken');
    expect(reader.assembling).to.equal(MiB);
    announce(MiB);
    expect(told[2]).to.equal('a frame inside a frame');
  });

  it('urgent frames that handlers have not finished with: 4 MiB', () => {
    const { lane, broken } = receiver(MiB, MiB, () => new Promise(() => undefined));
    let sent = 0;
    while (broken.length === 0) {
      lane.receive(whole(8 * KiB, true));
      sent += 8 * KiB + pieceOverhead;
    }
    expect(sent).to.be.within(urgentCapBytes, urgentCapBytes + 9 * KiB);
    expect(broken[0]).to.include('urgent');
  });

  it('a peer that grants no credit: the send queue ends at its cap, urgent frames at theirs', () => {
    const lane = new FakeLane();
    const sender = new LaneSender({
      name: 'control',
      lane,
      fragmentBytes: 16 * KiB,
      sendQueueBytes: MiB,
      windowBytes: 64 * KiB,
      onSent: () => undefined,
    });
    let taken = 0;
    while (sender.send(1, new Uint8Array(10_000))) taken += 10_000;
    sender.flush();
    expect(taken).to.be.at.most(MiB);
    expect(sender.backlog).to.be.at.most(MiB);
    lane.bufferedAmount = 0;
    let urgent = 0;
    while (sender.sendUrgent(1, new Uint8Array(1000))) urgent += 1000;
    expect(urgent).to.be.at.most(urgentCapBytes);
    sender.close();
    expect(sender.backlog).to.equal(0);
  });

  it('heartbeats, pings and frames that nobody handles: nothing is kept, and no more is sent than comes', async function () {
    this.timeout(60_000);
    const network = memoryNetwork();
    const mesh = await joinMesh({ id: 'a', cluster: 'test', secret, transport: network });
    const hostile = await Hostile.join(network, 'h');
    await hostile.mesh.waitFor(['a']);
    const before = mesh.metrics();
    for (let round = 0; round < 100; round++) {
      for (let i = 0; i < 100; i++)
        hostile.port.send('a', 30 as FrameKind, new Uint8Array(10), { lane: 'control' });
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
    await until('the frames', () => mesh.metrics().framesUnhandled >= before.framesUnhandled + 10_000);
    const { bytesSent, bytesReceived } = mesh.metrics();
    expect(bytesSent - before.bytesSent).to.be.lessThan(bytesReceived - before.bytesReceived);
    expect(mesh.metrics().links).to.equal(1);
    await hostile.close();
    await mesh.close();
    // What the link itself answers to is smaller than what it answers, or is not sent while much waits.
    expect(encodeLinkFrame({ op: 'pong', number: 9 }).length).to.equal(
      encodeLinkFrame({ op: 'ping', number: 9 }).length,
    );
  });

  it('answers that gather in a turn: frames of a megabyte and 4096 items, whatever was asked', () => {
    const frames: Uint8Array[] = [];
    const port: Partial<MeshPort> = { send: (_peer, _kind, frame) => frames.push(frame) > 0 };
    const outbox = new Outbox(port as MeshPort);
    for (let i = 0; i < 3 * MAX_ITEMS; i++) outbox.item('b', 1, ItemType.bye, true, () => undefined);
    for (let i = 0; i < 100; i++)
      outbox.item('b', 1, ItemType.proposal, false, (writer) => writer.raw(new Uint8Array(100_000)));
    outbox.flush();
    expect(frames.length).to.be.greaterThan(12);
    for (const frame of frames) {
      expect(frame.length).to.be.lessThan(MiB + 200_000);
      let items = 0;
      readItems(frame, () => items++);
      expect(items).to.be.at.most(MAX_ITEMS);
    }
  });

  it('hellos: so many at once, so many a second, counted over links and forgotten with time', () => {
    const hellos = new TokenBuckets(16, 128);
    let taken = 0;
    while (hellos.allows('b', 0)) taken++;
    expect(taken).to.equal(128);
    expect(hellos.allows('c', 0)).to.equal(true);
    expect(hellos.allows('b', 60)).to.equal(false);
    expect([hellos.allows('b', 65), hellos.allows('b', 65)]).to.deep.equal([true, false]);
    // Peers that come once, without end.
    for (let i = 0; i < 5000; i++) expect(hellos.allows(`p${i}`, 1000 * i)).to.equal(true);
  });

  it('terms: as far as a node can have been away, not further; not without end', () => {
    const guard = new TermGuard(300, 0);
    expect(guard.judge(0, 'b', MAX_EPOCH_JUMP)).to.equal('take');
    guard.rose(0, 'b', MAX_EPOCH_JUMP);
    expect(guard.judge(0, 'b', 1)).to.equal('drop');
    expect(guard.judge(1, 'b', 1000)).to.equal('take');
    expect(guard.judge(1, 'c', 10_000)).to.equal('drop');
    expect(guard.judge(3_700_000, 'c', MAX_EPOCH_JUMP)).to.equal('take');
    let rises = 0;
    while (guard.judge(3_700_000, 'd', 1) === 'take') {
      guard.rose(3_700_000, 'd', 1);
      rises++;
    }
    expect(rises).to.equal(32);
    expect(guard.judge(3_700_000, 'd', 1)).to.equal('breach');
    expect(guard.judge(3_700_000, 'b', 1)).to.equal('take');
    expect(guard.judge(3_700_600, 'd', 1)).to.equal('take');
  });

  it('memberships: nothing is carried on that is none of it, however deep', () => {
    const deep = '['.repeat(50_000) + ']'.repeat(50_000);
    const text = `{"genesis":"g","founders":[],"voters":[{"id":"a","incarnation":"","more":${deep}}],"outgoing":[],"learners":[],"x":${deep}}`;
    const membership = decodeMembership(Buffer.from(text))!;
    expect(encodeMembership(membership).length).to.be.lessThan(200);
    const many = Array.from({ length: 1025 }, (_, i) => ({ id: `n${i}`, incarnation: '' }));
    expect(checkMembership({ ...membership, voters: many })).to.equal(undefined);
    expect(checkMembership({ ...membership, founders: ['x'.repeat(129)] })).to.equal(undefined);
  });

  it('signalling: who is above its rate is read from no faster than that', async function () {
    this.timeout(60_000);
    const server = await serveSignaling({ messagesPerSecond: 100, messageBurst: 50 });
    const node = async (id: string): Promise<WebSocket> => {
      const socket = new WebSocket(server.url);
      await new Promise((resolve) => socket.on('open', resolve));
      socket.send(helloFrame({ cluster: 'c', id, incarnation: '000000000000001-0123456789abcdef' }), {
        binary: false,
      });
      await until('its seat', () => server.metrics().clients >= (id === 'flood' ? 1 : 2));
      return socket;
    };
    const [flood, other] = [await node('flood'), await node('other')];
    const began = performance.now();
    for (let i = 0; i < 1000; i++) flood.send(sendFrame('other', 'x'.repeat(100)), { binary: false });
    await until('two hundred messages', () => server.metrics().relayed >= 200);
    const seconds = (performance.now() - began) / 1000;
    // What one read of the socket brought counts too, and is paid for by the pause that follows.
    expect(server.metrics().relayed).to.be.at.most(50 + 100 * seconds + 700);
    flood.terminate();
    other.terminate();
    await server.close();
  });
});
