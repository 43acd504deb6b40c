import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { QuorateError } from '../../../lib/errors.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import type { JoinMeshOptions } from '../../../lib/mesh/joinMesh.js';
import { memoryNetwork } from '../../../lib/mesh/memory/network.js';
import { meshEnvironment, meshPort, onClosing } from '../../../lib/mesh/mesh.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import { VirtualEnvironment, record, secret, turns, until } from './support.js';

const meshes: Mesh[] = [];

async function join(id: string, options: Partial<JoinMeshOptions>): Promise<Mesh> {
  const mesh = await joinMesh({ id, cluster: 'c', secret, transport: memoryNetwork(), ...options });
  meshes.push(mesh);
  return mesh;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'fulfilled',
    (error: unknown) => (error as QuorateError).code,
  );
}

describe('a mesh in memory', () => {
  afterEach(async () => {
    await Promise.all(meshes.splice(0).map((mesh) => mesh.close()));
  });

  it('joins at once, waiting for nobody', async () => {
    const mesh = await join('a', {});
    expect(mesh.id).to.equal('a');
    expect(mesh.peers()).to.deep.equal([]);
  });

  it('names what is wrong with an option', async () => {
    const transport = memoryNetwork();
    const base: JoinMeshOptions = { id: 'a', cluster: 'c', secret, transport };
    for (const [change, message] of [
      [{ id: '' }, /^id must be a string of 1 to 128/],
      [{ id: 'a b' }, /^id must be/],
      [{ cluster: 'x'.repeat(129) }, /^cluster must be/],
      [{ transport: {} }, /^transport must be/],
      [{ heartbeat: { intervalMs: 5 } }, /heartbeat.intervalMs must be a number from 10 to 60000, got 5/],
      [
        { heartbeat: { intervalMs: 1000, timeoutMs: 1500 } },
        /heartbeat.timeoutMs must be a number from 2000/,
      ],
      [
        { limits: { maxFrameBytes: 1 } },
        /limits.maxFrameBytes must be an integer from 65536 to 1073741824, got 1/,
      ],
      [{ limits: { controlFragmentBytes: 1.5 } }, /limits.controlFragmentBytes/],
    ] as [object, RegExp][]) {
      const error = await joinMesh({ ...base, ...change }).catch((caught: unknown) => caught as QuorateError);
      expect(error).to.be.instanceOf(QuorateError).with.property('code', 'ERR_CONFIG');
      expect((error as QuorateError).message).to.match(message);
    }
    expect(await codeOf(joinMesh(undefined as unknown as JoinMeshOptions))).to.equal('ERR_CONFIG');
    expect(await codeOf(joinMesh({ ...base, secret: undefined }))).to.equal('ERR_SECRET_MISSING');
    expect(await codeOf(joinMesh({ ...base, secret: 'short' }))).to.equal('ERR_SECRET_WEAK');
    expect(await codeOf(joinMesh({ ...base, signal: AbortSignal.abort() }))).to.equal('ERR_ABORTED');
    expect(() => memoryNetwork({ latencyMs: -1 })).to.throw(/latencyMs/);
    expect(() => memoryNetwork().heal('a')).to.throw(/both/);
  });

  it('links three nodes, and carries frames by kind, lane and session', async () => {
    const transport = memoryNetwork();
    const [a, b, c] = [
      await join('a', { transport }),
      await join('b', { transport }),
      await join('c', { transport }),
    ];
    await Promise.all([a.waitFor(2), b.waitFor(['a', 'c']), c.waitFor(2)]);
    const got: string[] = [];
    for (const mesh of [a, b, c]) {
      meshPort(mesh).handle(1, (peer, session, frame) => {
        expect(session).to.equal(meshPort(mesh).linked().get(peer));
        return got.push(`${peer}>${mesh.id} ${frame.join()}`) > 0;
      });
    }
    expect(meshPort(a).send('b', 1, Uint8Array.of(1), { lane: 'control' })).to.equal(true);
    expect(meshPort(a).send('c', 1, Uint8Array.of(2), { lane: 'bulk' })).to.equal(true);
    expect(meshPort(c).send('b', 1, Uint8Array.of(3), { lane: 'control', urgent: true })).to.equal(true);
    expect(meshPort(a).send('a', 1, Uint8Array.of(4), { lane: 'control' })).to.equal(false);
    expect(meshPort(a).send('nobody', 1, Uint8Array.of(4), { lane: 'control' })).to.equal(false);
    await until('three frames', () => got.length === 3);
    expect(got.sort()).to.deep.equal(['a>b 1', 'a>c 2', 'c>b 3']);
    expect(a.peers().map((peer) => [peer.id, peer.state, peer.path])).to.have.deep.members([
      ['b', 'up', 'direct'],
      ['c', 'up', 'direct'],
    ]);
    expect(a.metrics()).to.include({ links: 2, linksUp: 2, linksLost: 0, framesDropped: 2 });
  });

  it('packs the frames of a turn, and delivers frames of a kind that nobody handles to nobody', async () => {
    const transport = memoryNetwork();
    const [a, b] = [await join('a', { transport }), await join('b', { transport })];
    await a.waitFor(1);
    await b.waitFor(1);
    const before = a.metrics().messagesSent;
    for (let i = 0; i < 100; i++) meshPort(a).send('b', 2, new Uint8Array(10), { lane: 'control' });
    await until('frames', () => b.metrics().framesUnhandled === 100);
    expect(a.metrics().messagesSent - before).to.be.at.most(3);
  });

  it('carries a frame of 20 MB over bulk, and refuses one above the cap with a warning', async () => {
    const transport = memoryNetwork();
    const [a, b] = [await join('a', { transport }), await join('b', { transport })];
    await a.waitFor(1);
    await b.waitFor(1);
    const events = record(a);
    const frame = Buffer.alloc(20_000_000, 'quorate ');
    let got: Uint8Array | undefined;
    meshPort(b).handle(2, (_, __, bytes) => (got = bytes).length > 0);
    expect(meshPort(a).send('b', 2, frame, { lane: 'bulk' })).to.equal(true);
    await until('the frame', () => got !== undefined);
    expect(frame.equals(got!)).to.equal(true);
    expect(meshPort(a).send('b', 2, new Uint8Array(64 * 1024 * 1024 + 1), { lane: 'bulk' })).to.equal(false);
    expect(events).to.deep.equal(['warning ERR_TOO_LARGE']);
  });

  it('holds a sender back while the receiver is slow', async () => {
    const transport = memoryNetwork();
    const limits = { bulkWindowBytes: 262_144, sendQueueBytes: 1_048_576 };
    const [a, b] = [await join('a', { transport, limits }), await join('b', { transport, limits })];
    await a.waitFor(1);
    await b.waitFor(1);
    const waiting: (() => void)[] = [];
    let received = 0;
    meshPort(b).handle(2, () => {
      received++;
      return new Promise((resolve) => waiting.push(() => resolve(true)));
    });
    const port = meshPort(a);
    let sent = 0;
    while (port.send('b', 2, new Uint8Array(10_000), { lane: 'bulk' })) sent++;
    expect(sent).to.be.within(95, 105);
    await turns(50);
    expect(received * 10_000).to.be.at.most(262_144);
    expect(port.backlog('b', 'bulk')).to.be.greaterThan(700_000);
    expect(port.backlog('nobody', 'bulk')).to.equal(Infinity);
    let drained = 0;
    port.whenDrained('b', 'bulk', () => drained++);
    port.whenDrained('nobody', 'bulk', () => drained++);
    await turns(10);
    expect(drained).to.equal(1);
    await until('everything', () => {
      for (const consume of waiting.splice(0)) consume();
      return received === sent;
    });
    expect(drained).to.equal(2);
    expect(port.backlog('b', 'bulk')).to.equal(0);
  });

  it('refuses a wrong secret on both sides, and goes on for others', async () => {
    const transport = memoryNetwork();
    const a = await join('a', { transport });
    const eventsA = record(a);
    const b = await join('b', { transport, secret: 'not the secret of a' });
    const eventsB = record(b);
    const c = await join('c', { transport });
    await c.waitFor(['a']);
    await until('refusals', () => eventsA.length > 1 && eventsB.length > 0);
    expect(eventsA).to.include('refused b ERR_PEER_SECRET').and.to.include('up c');
    expect(eventsB[0]).to.match(/ERR_PEER_SECRET$/);
    expect(a.peers().find((peer) => peer.id === 'b')?.state).to.equal('connecting');
  });

  it('keeps clusters apart', async () => {
    const transport = memoryNetwork();
    const a = await join('a', { transport });
    await join('b', { transport, cluster: 'd' });
    await turns(20);
    expect(a.peers()).to.deep.equal([]);
  });

  it('replaces its ghost when a node comes back before the old one is missed', async () => {
    const transport = memoryNetwork();
    const a = await join('a', { transport });
    const ghost = await join('b', { transport });
    await a.waitFor(['b']);
    const events = record(a);
    const ghostEvents = record(ghost);
    const fresh = await join('b', { transport });
    await fresh.waitFor(['a']);
    await until('the exchange', () => events.length >= 2 && ghostEvents.length >= 2);
    expect(events).to.deep.equal(['unreachable b', 'up b']);
    expect(ghostEvents).to.include('warning ERR_PEER_REPLACED');
    await turns(50);
    expect(meshPort(fresh).linked().has('a')).to.equal(true);
  });

  it('waits for peers with time-out, abort and close', async () => {
    const transport = memoryNetwork();
    const a = await join('a', { transport });
    expect(await codeOf(a.waitFor(1, { timeout: 5 }))).to.equal('ERR_TIMEOUT');
    const aborting = new AbortController();
    const aborted = a.waitFor(['b'], { signal: aborting.signal });
    aborting.abort(new Error('enough'));
    const error = await aborted.catch((caught: unknown) => caught as QuorateError);
    expect(error).to.include({ code: 'ERR_ABORTED', name: 'AbortError' });
    expect(await codeOf(a.waitFor(1, { signal: AbortSignal.abort() }))).to.equal('ERR_ABORTED');
    expect(await codeOf(a.waitFor(0))).to.equal('fulfilled');
    expect(await codeOf(a.waitFor(['a']))).to.equal('ERR_CONFIG');
    expect(await codeOf(a.waitFor(['b c']))).to.equal('ERR_CONFIG');
    expect(await codeOf(a.waitFor(-1))).to.equal('ERR_CONFIG');
    expect(await codeOf(a.waitFor('b' as unknown as string[]))).to.equal('ERR_CONFIG');
    expect(await codeOf(a.waitFor(1, { timeout: 0 }))).to.equal('ERR_CONFIG');
    const waiting = codeOf(a.waitFor(1));
    await a.close();
    expect(await waiting).to.equal('ERR_CLOSED');
    expect(await codeOf(a.waitFor(0))).to.equal('ERR_CLOSED');
  });

  it('closes what lives on it first, then tells its peers, once', async () => {
    const transport = memoryNetwork();
    const [a, b] = [await join('a', { transport }), await join('b', { transport })];
    await a.waitFor(1);
    await b.waitFor(1);
    const events = record(b);
    const order: string[] = [];
    const port = meshPort(a);
    onClosing(a, async () => {
      await turns(3);
      order.push(`tenant, links: ${port.linked().size}`);
    });
    onClosing(a, () => Promise.reject(new Error('a tenant that fails')));
    const takeBack = onClosing(a, async () => void order.push('never'));
    takeBack();
    a.on('warning', (error) => order.push(error.message));
    void a.closed.then(() => order.push('closed'));
    const closing = a.close();
    expect(a.close()).to.equal(closing);
    await closing;
    await a[Symbol.asyncDispose]();
    expect(order).to.deep.equal(['tenant, links: 1', 'a tenant that fails', 'closed']);
    await until('the farewell', () => events.length > 0);
    expect(events).to.deep.equal(['unreachable a']);
    expect(port.send('b', 1, Uint8Array.of(1), { lane: 'control' })).to.equal(false);
  });

  it('closes when its signal aborts', async () => {
    const aborting = new AbortController();
    const a = await join('a', { signal: aborting.signal });
    aborting.abort();
    await a.closed;
  });

  it('keeps the process out of a listener that throws', async () => {
    const transport = memoryNetwork();
    const a = await join('a', { transport });
    let thrown: unknown;
    const before = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => (thrown = error));
    a.on('peer:up', () => {
      throw new Error('a listener that fails');
    });
    await join('b', { transport });
    await until('the error', () => thrown !== undefined);
    for (const listener of before) process.on('uncaughtException', listener);
    expect(String(thrown)).to.include('a listener that fails');
    expect(meshPort(a).linked().has('b')).to.equal(true);
  });

  it('is reachable for inner layers only through what joinMesh made', async () => {
    const a = await join('a', {});
    expect(meshPort(a).cluster).to.equal('c');
    expect(meshEnvironment(a).now()).to.be.a('number');
    expect(() => meshPort(Object.create(null) as Mesh)).to.throw(/mesh/);
  });
});

describe('a mesh and time', () => {
  const heartbeat = { intervalMs: 100, timeoutMs: 600 };
  let environment: VirtualEnvironment;

  async function two(
    latencyMs = 0,
  ): Promise<{ a: Mesh; b: Mesh; events: string[]; network: ReturnType<typeof memoryNetwork> }> {
    environment = new VirtualEnvironment();
    const network = memoryNetwork({ latencyMs });
    const a = await join('a', { transport: network, environment, heartbeat });
    const b = await join('b', { transport: network, environment, heartbeat });
    const events = record(a);
    await environment.run(500);
    expect(events).to.deep.equal(['up b']);
    return { a, b, events, network };
  }

  afterEach(async () => {
    expect(environment.held).to.equal(meshes.length);
    await Promise.all(meshes.splice(0).map((mesh) => mesh.close()));
    await environment.run(100); // what was still under way arrives
    expect([environment.timers, environment.held], 'no timer is left, nothing is held').to.deep.equal([0, 0]);
  });

  it('keeps a quiet link up by heartbeats, and measures the round trip', async () => {
    const { a, events } = await two(20);
    await environment.run(5000);
    expect(events).to.deep.equal(['up b']);
    expect(a.peers()[0]?.rttMs).to.be.within(39.9, 41);
  });

  it('suspects a silent peer, drops it, and links again after healing', async () => {
    const { a, b, events, network } = await two();
    network.cut('a', 'b');
    await environment.run(450);
    expect(events).to.deep.equal(['up b', 'suspect b']);
    expect(a.peers()[0]).to.include({ state: 'suspect', path: 'direct' });
    await environment.run(300);
    expect(events).to.deep.equal(['up b', 'suspect b', 'unreachable b']);
    expect(a.peers()[0]).to.include({ state: 'unreachable', path: 'none' });
    expect(meshPort(a).linked().size).to.equal(0);
    await environment.run(20_000);
    expect(events.length).to.equal(3);
    network.heal('a', 'b');
    await environment.run(5100);
    expect(events.slice(3)).to.deep.equal(['up b']);
    expect(meshPort(b).linked().has('a')).to.equal(true);
  });

  it('takes back a suspicion when the peer is heard', async () => {
    const { events, network } = await two();
    network.cut('a', 'b');
    await environment.run(450);
    network.heal();
    await environment.run(300);
    expect(events).to.deep.equal(['up b', 'suspect b', 'up b']);
  });

  it('loses nothing over a cut that is shorter than the time-out', async () => {
    const { a, b, network } = await two();
    const got: number[] = [];
    meshPort(b).handle(1, (_, __, frame) => got.push(frame[0]!) > 0);
    network.cut('a', 'b');
    for (let i = 0; i < 50; i++) {
      meshPort(a).send('b', 1, Uint8Array.of(i), { lane: 'control' });
      if (i % 10 === 0) await environment.run(20);
    }
    network.heal();
    await environment.run(50);
    expect(got).to.deep.equal(Array.from({ length: 50 }, (_, i) => i));
  });

  it('keeps order when the wire becomes quicker', async () => {
    const { a, b, network } = await two();
    const got: number[] = [];
    meshPort(b).handle(1, (_, __, frame) => got.push(frame[0]!) > 0);
    for (const [index, latencyMs] of [50, 1, 20, 0].entries()) {
      network.setLatency(latencyMs);
      meshPort(a).send('b', 1, Uint8Array.of(index), { lane: 'control' });
      await environment.run(1);
    }
    await environment.run(40);
    expect(got).to.deep.equal([]); // the first takes its 50 ms, and nobody overtakes it
    await environment.run(200);
    expect(got).to.deep.equal([0, 1, 2, 3]);
  });

  it('blames itself, not its peers, when it stood still', async () => {
    const { events } = await two();
    environment.stall(30_000);
    await environment.run(2000);
    expect(events.filter((event) => !event.startsWith('stall'))).to.deep.equal(['up b']);
    expect(Number(events.find((event) => event.startsWith('stall'))?.slice(6))).to.be.within(29_900, 30_000);
  });

  it('reads what is queued before it judges', async () => {
    const { a, b, events } = await two();
    // A stall below the tolerance: the timer is on time, but the peer's frames of that while are still unread.
    let heard = 0;
    meshPort(a).handle(1, () => ++heard > 0);
    environment.stall(99);
    meshPort(b).send('a', 1, Uint8Array.of(1), { lane: 'control' });
    await environment.run(700);
    expect([heard, events]).to.deep.equal([1, ['up b']]);
  });

  it('tries again with growing, jittered pauses', async () => {
    const { events, network, a } = await two();
    network.cut('a', 'b');
    await environment.run(60_000);
    expect(events.at(-1)).to.equal('unreachable b');
    network.heal();
    await environment.run(5001);
    expect(meshPort(a).linked().has('b')).to.equal(true);
  });
});
