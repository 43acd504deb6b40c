/** Frames of clients, events and the mirror of a mesh between two threads, with caps for an app that stands still. */
import { expect } from 'chai';
import { nodeEnvironment } from '../../../lib/environment.js';
import { Credentials } from '../../../lib/mesh/credentials.js';
import type { MeshParts, MeshSink } from '../../../lib/mesh/mesh.js';
import { FrameKind, type MeshListener, type MeshPort } from '../../../lib/mesh/port.js';
import { FarPort } from '../../../lib/mesh/thread/farPort.js';
import { FramesServer } from '../../../lib/mesh/thread/framesServer.js';
import {
  MAX_EVENTS_UNTAKEN,
  MAX_FRAMES_UNTAKEN,
  MAX_LANE_BYTES,
  type FromMesh,
  type FromMeshApp,
} from '../../../lib/mesh/thread/items.js';
import { MeshServer, type ServedMesh } from '../../../lib/mesh/thread/meshServer.js';
import type { Channel, ChannelEnd } from '../../../lib/threads/line.js';

/** A channel that keeps what was said. */
class FakeChannel implements Channel {
  readonly said: unknown[] = [];
  end: ChannelEnd | undefined;

  say(item: unknown): void {
    this.said.push(item);
  }

  ask(): Promise<unknown> {
    return Promise.resolve(undefined);
  }

  wake(): void {}

  attach(end: ChannelEnd): void {
    this.end = end;
  }
}

/** Links that take frames as long as they are told to. */
class FakePort implements MeshPort {
  readonly id = 'a';
  readonly cluster = 'c';
  full = false;
  readonly sent: Uint8Array[] = [];
  readonly punished: string[] = [];
  readonly sessions = new Map([['b', 1]]);
  handler: Parameters<MeshPort['handle']>[1] | undefined;
  listener: MeshListener | undefined;
  #drained: (() => void)[] = [];

  linked(): ReadonlyMap<string, number> {
    return this.sessions;
  }

  send(_peer: string, _kind: FrameKind, frame: Uint8Array): boolean {
    if (this.full) return false;
    this.sent.push(frame);
    return true;
  }

  vitals(): undefined {
    return undefined;
  }

  count(): void {
    // no groups here
  }

  maxFrameBytes(): number {
    return 64 * 1024 * 1024;
  }

  backlog(): number {
    return 0;
  }

  whenDrained(_peer: string, _lane: string, callback: () => void): void {
    this.#drained.push(callback);
  }

  drain(): void {
    this.full = false;
    for (const callback of this.#drained.splice(0)) callback();
  }

  handle(_kind: FrameKind, handler: Parameters<MeshPort['handle']>[1]): void {
    this.handler = handler;
  }

  listen(listener: MeshListener): void {
    this.listener = listener;
  }

  expect(): void {}

  punish(peer: string): void {
    this.punished.push(peer);
  }
}

const link = { peer: 'b', session: 1, maxFrameBytes: 1024 * 1024 };
const frame = (bytes: number, first = 0): Uint8Array => new Uint8Array(bytes).fill(first, 0, 1);

function farPort(): { port: FarPort; channel: FakeChannel; says: (type: string) => unknown[] } {
  const channel = new FakeChannel();
  const port = new FarPort('a', 'c', channel, nodeEnvironment);
  port.up(link);
  return {
    port,
    channel,
    says: (type) => channel.said.filter((item) => (item as FromMeshApp).type === type),
  };
}

describe("the app's end of frames", () => {
  it('takes so many bytes for a lane until the link has taken them, and calls back when there is room', () => {
    const { port, says } = farPort();
    const large = frame(MAX_LANE_BYTES / 8);
    let sent = 0;
    while (port.send('b', FrameKind.client, large, { lane: 'bulk' }) && sent < 100) sent++;
    expect(sent).to.be.within(7, 8);
    expect(says('send')).to.have.length(sent);
    expect(port.send('b', FrameKind.client, frame(10), { lane: 'control' }), 'another lane').to.equal(true);
    let called = 0;
    port.whenDrained('b', 'bulk', () => called++);
    for (let i = 0; i < sent; i++) {
      expect(called, `after ${i} frames`).to.equal(i < sent - 1 ? 0 : 1);
      port.sent({ type: 'sent', peer: 'b', session: 1, lane: 'bulk', bytes: large.length });
    }
    expect(called).to.equal(1);
    expect(port.backlog('b', 'bulk')).to.equal(0);
    expect(port.send('b', FrameKind.client, large, { lane: 'bulk' })).to.equal(true);
  });

  it('takes a frame that is above the cap when nothing else is under way, and none above the largest', () => {
    const { port } = farPort();
    port.up({ ...link, maxFrameBytes: 2 * MAX_LANE_BYTES });
    expect(port.send('b', FrameKind.client, frame(2 * MAX_LANE_BYTES), { lane: 'bulk' })).to.equal(true);
    expect(port.send('b', FrameKind.client, frame(1), { lane: 'bulk' })).to.equal(false);
    expect(port.send('b', FrameKind.client, frame(2 * MAX_LANE_BYTES + 1), { lane: 'control' })).to.equal(
      false,
    );
    expect(port.send('nobody', FrameKind.client, frame(1), { lane: 'control' })).to.equal(false);
  });

  it('bounds the number of small frames, urgent ones too', () => {
    const { port } = farPort();
    for (const urgent of [false, true]) {
      let sent = 0;
      while (port.send('b', FrameKind.client, frame(1), { lane: 'control', urgent }) && sent < 1e6) sent++;
      expect(sent).to.be.within(1000, 20_000);
    }
  });

  it('starts anew with a new link, and tells who waited', async () => {
    const { port } = farPort();
    port.send('b', FrameKind.client, frame(MAX_LANE_BYTES), { lane: 'bulk' });
    const told: string[] = [];
    port.listen({ onPeer: (peer, up, session) => told.push(`${peer} ${up} ${session}`) });
    const waited = new Promise<void>((resolve) => port.whenDrained('b', 'bulk', resolve));
    port.up({ ...link, session: 2 });
    await waited;
    port.down('b', 1); // of the link before
    expect(port.linked().get('b')).to.equal(2);
    port.sent({ type: 'sent', peer: 'b', session: 1, lane: 'bulk', bytes: MAX_LANE_BYTES });
    expect(port.backlog('b', 'bulk')).to.equal(0);
    port.resync([{ ...link, peer: 'x', session: 9 }]);
    expect(told).to.deep.equal(['b true 2', 'b false 2', 'x true 9']);
    port.resync([{ ...link, peer: 'x', session: 9 }]);
    expect(told).to.have.length(3);
  });

  it('tells what the handler says of a frame, and skips those of a link that is gone', async () => {
    const { port, says } = farPort();
    const seen: number[] = [];
    port.handle(FrameKind.client, (_peer, _session, bytes) => {
      seen.push(bytes[0]!);
      return bytes[0] === 2 ? Promise.resolve(false) : bytes[0] !== 1;
    });
    for (const [session, first] of [
      [1, 0],
      [1, 1],
      [1, 2],
      [7, 3],
    ] as const)
      port.received({ type: 'frame', peer: 'b', session, kind: FrameKind.client, frame: frame(1, first) });
    await Promise.resolve();
    await Promise.resolve();
    expect(seen).to.deep.equal([0, 1, 2]);
    const verdicts = says('verdict').map((item) => (item as { sound: boolean }).sound);
    expect(verdicts.filter((sound) => sound)).to.have.length(2);
    expect(verdicts.filter((sound) => !sound)).to.have.length(2);
  });
});

describe("the links' end of frames", () => {
  const setUp = (): { port: FakePort; channel: FakeChannel; frames: FramesServer } => {
    const port = new FakePort();
    const channel = new FakeChannel();
    const frames = new FramesServer(port, channel, nodeEnvironment);
    frames.handle(FrameKind.client);
    return { port, channel, frames };
  };
  const item = (first: number, session = 1, urgent = false): Extract<FromMeshApp, { type: 'send' }> => {
    const [type, lane] = ['send', 'control'] as const;
    return { type, peer: 'b', session, kind: FrameKind.client, lane, frame: frame(4, first), urgent };
  };

  it('keeps in order what a full lane does not take, and says when it went', () => {
    const { port, channel, frames } = setUp();
    frames.send(item(1));
    port.full = true;
    frames.send(item(2));
    frames.send(item(3));
    expect(channel.said).to.have.length(1);
    frames.send(item(4, 1, true));
    frames.send(item(5, 1, true));
    port.full = false; // and nobody has heard of it yet
    frames.send(item(6));
    frames.send(item(7, 1, true));
    port.drain();
    frames.send(item(8));
    expect(port.sent.map(([first]) => first)).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(channel.said).to.have.length(8);
  });

  it('drops what was meant for an earlier link', () => {
    const { port, frames } = setUp();
    port.full = true;
    frames.send(item(1));
    port.sessions.set('b', 2);
    frames.linked('b');
    port.drain();
    frames.send(item(2));
    frames.send(item(3, 2));
    expect(port.sent.map(([first]) => first)).to.deep.equal([3]);
  });

  it('grants credit at once while little waits for the app, then as the app takes it', async () => {
    const { port, frames } = setUp();
    const verdicts: unknown[] = [];
    for (let i = 0; i < MAX_FRAMES_UNTAKEN; i++) verdicts.push(port.handler!('b', 1, frame(1)));
    expect(new Set(verdicts)).to.deep.equal(new Set([true]));
    const next = port.handler!('b', 1, frame(1));
    expect(next).to.be.instanceOf(Promise);
    let settled: boolean | undefined;
    void (next as Promise<boolean>).then((sound) => (settled = sound));
    for (let i = 0; i < MAX_FRAMES_UNTAKEN; i++) frames.verdict('b', 1, true);
    await Promise.resolve();
    expect(settled).to.equal(undefined);
    frames.verdict('b', 1, false);
    await Promise.resolve();
    expect(settled).to.equal(false);
    expect(port.punished).to.deep.equal([]);
    // One whose credit was granted already costs the link all the same.
    expect(port.handler!('b', 1, frame(1))).to.equal(true);
    frames.verdict('b', 1, false);
    expect(port.punished).to.deep.equal(['b']);
  });

  it('leaves nobody waiting when the link is gone', async () => {
    const { port, frames } = setUp();
    const waiting = Array.from({ length: MAX_FRAMES_UNTAKEN + 5 }, () => port.handler!('b', 1, frame(1)));
    frames.linked('b');
    expect(await Promise.all(waiting.map(async (one) => one))).to.deep.equal(waiting.map(() => true));
  });
});

describe('what a mesh tells an app in another thread', () => {
  it('is bounded while the app stands still, and ends with how the links stand', async () => {
    const port = new FakePort();
    const channel = new FakeChannel();
    let sink: MeshSink | undefined;
    const open = { id: 'a', cluster: 'c', secret: false, identity: undefined };
    const identity = await Credentials.resolve(open);
    const parts = {
      ...{ id: 'a', port, environment: nodeEnvironment, identity },
      ...{ peers: () => [], partition: () => ({}), metrics: () => ({}) },
      attach: (to: MeshSink) => (sink = to),
      shutDown: () => Promise.resolve(),
    } as unknown as MeshParts as ServedMesh;
    const server = new MeshServer(parts, channel, () => Promise.resolve());
    const types = (): string[] => channel.said.map((item) => (item as FromMesh).type);
    for (let i = 0; i < 10 * MAX_EVENTS_UNTAKEN; i++) sink!.state('b', i % 2 === 0 ? 'up' : 'suspect');
    port.sessions.set('c', 5);
    port.listener!.onPeer('c', true, 5);
    expect(types().filter((type) => type === 'event')).to.have.length(MAX_EVENTS_UNTAKEN - 1);
    expect(types().filter((type) => type === 'mirror')).to.have.length(1);
    channel.said.length = 0;
    channel.end!.heard({ type: 'taken', events: MAX_EVENTS_UNTAKEN - 1, mirrors: 0 } satisfies FromMeshApp);
    expect(types()).to.deep.equal([]);
    channel.end!.heard({ type: 'taken', events: 1, mirrors: 1 } satisfies FromMeshApp);
    expect(channel.said[0]).to.deep.include({ type: 'resync' });
    expect((channel.said[0] as { linked: unknown[] }).linked).to.deep.include({
      ...{ peer: 'c', session: 5, maxFrameBytes: 64 * 1024 * 1024 },
    });
    await server.close();
  });
});
