import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { nodeEnvironment } from '../../../lib/environment.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import type { JoinMeshOptions } from '../../../lib/mesh/joinMesh.js';
import { meshPort } from '../../../lib/mesh/mesh.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import { localSignaling } from '../../../lib/mesh/signaling/local.js';
import type { Signaling, SignalingHost, SignalingSession } from '../../../lib/mesh/signaling/signaling.js';
import type { RawLink } from '../../../lib/mesh/transport.js';
import { guarded } from '../../../lib/mesh/webrtc/native.js';
import { webrtc } from '../../../lib/mesh/webrtc/webrtc.js';
import type { WebrtcOptions } from '../../../lib/mesh/webrtc/webrtc.js';
import { record, secret, turns, until } from './support.js';
import { parentSignaling } from './webrtcChild.js';

const meshes: Mesh[] = [];
const children: ChildProcess[] = [];

async function join(id: string, signaling: Signaling, options: Partial<JoinMeshOptions> = {}): Promise<Mesh> {
  const mesh = await joinMesh({ id, cluster: 'c', secret, transport: webrtc({ signaling }), ...options });
  meshes.push(mesh);
  return mesh;
}

/** A process of its own that joins as `id`, its rendezvous being this process. */
function child(id: string, mode: string, signaling: Signaling): ChildProcess {
  const path = fileURLToPath(new URL('./webrtcChild.js', import.meta.url));
  const process_ = fork(path, [id, mode, secret], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  children.push(process_);
  parentSignaling(process_, id, signaling);
  return process_;
}

/** A rendezvous that may change what it relays, and says what it saw. */
function hostile(change: (payload: string, from: string, to: string) => string | undefined): Signaling & {
  readonly seen: string[];
  readonly say: (from: string, to: string, payload: string) => void;
} {
  const sessions = new Map<string, SignalingSession>();
  const honest = localSignaling();
  const seen: string[] = [];
  return {
    kind: 'hostile',
    seen,
    say: (from, to, payload) => sessions.get(from)?.send(to, payload),
    async start(host: SignalingHost) {
      const session = await honest.start(host);
      sessions.set(host.id, session);
      return {
        get connected() {
          return session.connected;
        },
        send(to, payload) {
          seen.push(payload);
          const changed = change(payload, host.id, to);
          if (changed !== undefined) session.send(to, changed);
        },
        close: () => session.close(),
      };
    },
  };
}

describe('a mesh over webrtc', () => {
  afterEach(async () => {
    for (const process_ of children.splice(0)) {
      if (process_.exitCode === null && process_.signalCode === null) {
        process_.kill('SIGKILL');
        await once(process_, 'exit');
      }
    }
    await Promise.all(meshes.splice(0).map((mesh) => mesh.close()));
  });

  it('links three nodes of one process without any configuration', async () => {
    const signaling = localSignaling();
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((id) => join(id, signaling)));
    await Promise.all([a!, b!, c!].map((mesh) => mesh.waitFor(2)));
    const got: string[] = [];
    for (const mesh of [a!, b!, c!]) {
      meshPort(mesh).handle(1, (peer, _, frame) => got.push(`${peer}>${mesh.id}:${frame.length}`) > 0);
      for (const peer of meshPort(mesh).linked().keys()) {
        for (const lane of ['control', 'bulk'] as const)
          meshPort(mesh).send(peer, 1, new Uint8Array(100_000), { lane });
      }
    }
    await until('twelve frames', () => got.length === 12);
    expect(new Set(got).size).to.equal(6);
  });

  it('carries a frame of 20 MB over bulk, while control stays open', async () => {
    const signaling = localSignaling();
    const [a, b] = [await join('a', signaling), await join('b', signaling)];
    await Promise.all([a.waitFor(1), b.waitFor(1)]);
    const frame = Buffer.alloc(20_000_000, 'quorate ');
    let got: Uint8Array | undefined;
    let answers = 0;
    let whileUnderWay = 0;
    meshPort(b).handle(2, (_, __, bytes) => (got = bytes).length > 0);
    meshPort(b).handle(1, (peer) => meshPort(b).send(peer, 1, Uint8Array.of(1), { lane: 'control' }));
    meshPort(a).handle(1, () => {
      answers++;
      if (got !== undefined) return true;
      whileUnderWay++;
      return meshPort(a).send('b', 1, Uint8Array.of(1), { lane: 'control' });
    });
    expect(meshPort(a).send('b', 2, frame, { lane: 'bulk' })).to.equal(true);
    expect(meshPort(a).send('b', 1, Uint8Array.of(1), { lane: 'control' })).to.equal(true);
    await until('the frame', () => got !== undefined);
    expect(frame.equals(got!)).to.equal(true);
    expect(whileUnderWay).to.be.greaterThan(3);
    expect(answers).to.be.at.least(whileUnderWay);
  });

  it('holds a sender back while the receiver is slow', async () => {
    const signaling = localSignaling();
    const limits = { bulkWindowBytes: 1_048_576 };
    const [a, b] = [await join('a', signaling, { limits }), await join('b', signaling, { limits })];
    await Promise.all([a.waitFor(1), b.waitFor(1)]);
    const waiting: (() => void)[] = [];
    let bytes = 0;
    meshPort(b).handle(2, (_, __, frame) => {
      bytes += frame.length;
      return new Promise((resolve) => waiting.push(() => resolve(true)));
    });
    let sent = 0;
    while (meshPort(a).send('b', 2, new Uint8Array(100_000), { lane: 'bulk' })) sent++;
    await until('a full window', () => bytes >= 900_000);
    await new Promise<void>((resolve) => void setTimeout(resolve, 100));
    expect(bytes).to.be.at.most(1_048_576 + 100_000);
    await until('the rest', () => {
      for (const consume of waiting.splice(0)) consume();
      return bytes === sent * 100_000;
    });
  });

  it('refuses another secret', async () => {
    const signaling = localSignaling();
    const eventsA = record(await join('a', signaling));
    const eventsB = record(await join('b', signaling, { secret: 'not the secret of a' }));
    const refusal = (events: string[]): string | undefined =>
      events.find((event) => !event.startsWith('warning'));
    await until('refusals', () => refusal(eventsA) !== undefined && refusal(eventsB) !== undefined);
    expect(refusal(eventsA)).to.match(/ b ERR_PEER_SECRET$/);
    expect(refusal(eventsB)).to.match(/ a ERR_PEER_SECRET$/);
  });

  it('notices a rendezvous that sits in the middle, though it relays every word', async () => {
    // Two hubs, and in each a double of the node in the other; between them the rendezvous passes handshakes on.
    const [left, right] = [localSignaling(), localSignaling()];
    const a = await join('a', left);
    const b = await join('b', right);
    const [eventsA, eventsB] = [record(a), record(b)];
    const ends: (RawLink | undefined)[] = [undefined, undefined];
    const waiting: Uint8Array[] = [];
    const bridge = (side: 0 | 1, raw: RawLink): void => {
      const other = 1 - side;
      ends[side] = raw;
      for (const message of waiting.splice(0)) raw.control.send(message);
      raw.control.onMessage = (message) => {
        if (ends[other] === undefined) waiting.push(message);
        else ends[other].control.send(message);
      };
      raw.onClosed = () => {
        if (ends[side] !== raw) return;
        ends[other]?.close();
        ends.fill(undefined);
        waiting.length = 0;
      };
    };
    const doubles = await Promise.all([
      webrtc({ signaling: left }).start({
        ...signalingHost('b'),
        route: () => false,
        onLink: (raw) => bridge(0, raw),
      }),
      webrtc({ signaling: right }).start({
        ...signalingHost('a'),
        route: () => false,
        onLink: (raw) => bridge(1, raw),
      }),
    ]);
    const noticed = (events: string[]): boolean =>
      events.some((event) => event.endsWith('ERR_PEER_FINGERPRINT'));
    try {
      await until('both to notice', () => noticed(eventsA) && noticed(eventsB));
      expect(
        [...eventsA, ...eventsB].some((event) => /^refused . ERR_PEER_FINGERPRINT$/.test(event)),
      ).to.equal(true);
      expect([a.metrics().linksUp, b.metrics().linksUp]).to.deep.equal([0, 0]);
    } finally {
      await Promise.all(doubles.map((session) => session.close()));
    }
  });

  it('survives a rendezvous that sends garbage, and links once it stops', async () => {
    let honest = false;
    const junk = ['', '{', '{"v":1,"kind":"offer"}', '\0', 'x'.repeat(40_000)];
    let turn = 0;
    const signaling = hostile((payload) => {
      if (honest) return payload;
      turn++;
      const message = JSON.parse(payload) as { sdp?: string; candidates?: string[] };
      if (turn % 3 === 0 && message.sdp !== undefined) {
        return JSON.stringify({
          ...message,
          sdp: message.sdp.replace(/ice-(ufrag|pwd):.*/g, 'ice-$1:\u0000!'),
        });
      }
      if (turn % 3 === 1)
        return JSON.stringify({
          ...message,
          candidates: ['a=candidate:evil', '\r\n', 'a=candidate:1 1 UDP 1 x 1 typ host'],
        });
      return junk[turn % junk.length];
    });
    const a = await join('a', signaling, { transport: webrtc({ signaling, setupTimeoutMs: 1000 }) });
    const b = await join('b', signaling, { transport: webrtc({ signaling, setupTimeoutMs: 1000 }) });
    await until('a few tries', () => turn > 12);
    honest = true;
    await Promise.all([a.waitFor(['b'], { timeout: 15_000 }), b.waitFor(['a'], { timeout: 15_000 })]);
  });

  it('ignores late words of a set-up that was given up, and offers that are not for the other side to make', async () => {
    const signaling = hostile((payload) => payload);
    const a = await join('a', signaling);
    const b = await join('b', signaling);
    await Promise.all([a.waitFor(1), b.waitFor(1)]);
    const events = [...record(a), ...record(b)];
    const old = [...signaling.seen];
    const answers: string[] = [];
    const c = await signaling.start({
      ...signalingHost('c'),
      onMessage: (from, payload) => answers.push(from + payload),
    });
    // An offer to a smaller id, and everything that was ever said, again.
    for (const payload of old) for (const to of ['a', 'b']) c.send(to, payload);
    await turns(50);
    await new Promise<void>((resolve) => void setTimeout(resolve, 50));
    await c.close();
    const sessions = new Set(old.map((payload) => (JSON.parse(payload) as { session?: string }).session));
    sessions.delete(undefined);
    expect(sessions.size).to.be.greaterThan(0);
    // They may well offer to c, but never go into a set-up that c pretends to offer.
    expect(
      answers.filter((answer) => [...sessions].some((session) => answer.includes(session!))),
    ).to.deep.equal([]);
    expect(meshPort(a).linked().get('b')).to.equal(1);
    expect(meshPort(b).linked().get('a')).to.equal(1);
    expect(events).to.deep.equal([]);
  });

  it('takes an ask that crossed a link on its way for what it is, and a later one seriously', async () => {
    const signaling = hostile((payload) => payload);
    const a = await join('a', signaling);
    const b = await join('b', signaling);
    await Promise.all([a.waitFor(1), b.waitFor(1)]);
    const since = Date.now();
    signaling.say('b', 'a', JSON.stringify({ v: 1, kind: 'ask' }));
    await new Promise<void>((resolve) => void setTimeout(resolve, 200));
    // On a machine that stood still for a second here, the ask was not early.
    if (Date.now() - since < 900) expect(a.metrics().linksUp).to.equal(1);
    await new Promise<void>((resolve) => void setTimeout(resolve, 1000));
    signaling.say('b', 'a', JSON.stringify({ v: 1, kind: 'ask' }));
    await until('a fresh link', () => a.metrics().linksUp === 2 && b.metrics().linksUp === 2);
    // Nor can a hostile rendezvous keep them at it.
    await new Promise<void>((resolve) => void setTimeout(resolve, 1100));
    for (let i = 0; i < 20; i++) signaling.say('b', 'a', JSON.stringify({ v: 1, kind: 'ask' }));
    await new Promise<void>((resolve) => void setTimeout(resolve, 200));
    expect(a.metrics().linksUp).to.equal(2);
  });

  it('replaces its ghost when a node starts again', async () => {
    const signaling = localSignaling();
    for (const [id, peer] of [
      ['b', 'a'],
      ['a', 'b'],
    ] as const) {
      // Deaf and dumb, but still linked: a ghost.
      const ghost = await join(id, signaling, { heartbeat: { intervalMs: 60_000, timeoutMs: 600_000 } });
      const other = await join(peer, signaling, { heartbeat: { intervalMs: 60_000, timeoutMs: 600_000 } });
      await other.waitFor([id]);
      const fresh = await join(id, signaling);
      await fresh.waitFor([peer]);
      await other.waitFor([id]);
      await until('the exchange', () => other.metrics().linksUp === 2);
      let got = 0;
      meshPort(fresh).handle(1, () => ++got > 0);
      meshPort(other).send(id, 1, Uint8Array.of(1), { lane: 'control' });
      await until('a frame', () => got === 1);
      await Promise.all([ghost.close(), other.close(), fresh.close()]);
    }
  });

  it('links with a process of its own, notices kill -9 by its silence, and links again', async () => {
    const signaling = localSignaling();
    const heartbeat = { intervalMs: 100, timeoutMs: 1500 };
    const a = await join('a', signaling, { heartbeat });
    const events = record(a);
    const first = child('b', 'stay', signaling);
    await a.waitFor(['b'], { timeout: 15_000 });
    let answers = 0;
    meshPort(a).handle(1, () => ++answers > 0);
    meshPort(a).send('b', 1, new Uint8Array(50), { lane: 'control' });
    await until('an answer', () => answers > 0);
    first.kill('SIGKILL');
    await until('the loss', () => events.includes('unreachable b'));
    expect(events).to.include('suspect b'); // silence told, not the transport: that takes 12 s and more
    child('b', 'stay', signaling);
    await a.waitFor(['b'], { timeout: 15_000 });
  });

  for (const mode of ['close', 'closeAlone', 'closeWhileConnecting']) {
    it(`lets a process end by itself after close: ${mode}`, async () => {
      const signaling = localSignaling();
      const a = await join('a', signaling);
      const events = record(a);
      const process_ = child('b', mode, signaling);
      const [code] = (await once(process_, 'exit')) as [number | null];
      expect(code).to.equal(0);
      if (mode !== 'close') return;
      await until('the farewell', () => events.includes('unreachable b'));
    });
  }

  it('names what is wrong with an option', () => {
    const signaling = localSignaling();
    for (const [change, message] of [
      [{ signaling: undefined }, /^signaling must be/],
      [{ iceServers: ['http://x'] }, /^iceServers\[0\] must be/],
      [{ iceServers: 'stun:x' }, /^iceServers must be/],
      [{ iceServers: new Array(17).fill('stun:x:1') }, /at most 16/],
      [{ bindAddress: 'localhost' }, /^bindAddress must be/],
      [{ portRange: [5000] }, /^portRange must be/],
      [{ portRange: [5000, 4000] }, /portRange\[1\] must be an integer from 5000 to 65535, got 4000/],
      [{ setupTimeoutMs: 10 }, /setupTimeoutMs must be a number from 1000 to 120000, got 10/],
      [{ sendBufferBytes: 1 }, /sendBufferBytes/],
    ] as [object, RegExp][]) {
      expect(() => webrtc({ signaling, ...change })).to.throw(message);
    }
    expect(() => webrtc(undefined as unknown as WebrtcOptions)).to.throw(/options/);
  });

  it('warns a mesh that wants another SCTP buffer than the process has', async () => {
    const signaling = localSignaling();
    const warnings: string[] = [];
    await join('a', signaling);
    const b = await join('b', signaling, { transport: webrtc({ signaling, sendBufferBytes: 1_048_576 }) });
    b.on('warning', (error) => warnings.push(error.message));
    await until('a warning', () => warnings.length > 0);
    expect(warnings[0]).to.match(/sendBufferBytes is 262144/);
  });

  it('lets no throw out of a native callback', () => {
    const errors: unknown[] = [];
    const boom = guarded(
      () => {
        throw new Error('boom');
      },
      (error) => {
        errors.push(error);
        throw new Error('and again');
      },
    );
    boom();
    expect(errors).to.have.length(1);
  });
});

function signalingHost(id: string): SignalingHost {
  return {
    id,
    cluster: 'c',
    incarnation: '000000000000001-0123456789abcdef',
    environment: nodeEnvironment,
    onPresence: () => undefined,
    onMessage: () => undefined,
    onWarning: () => undefined,
  };
}
