import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { randomBytes } from 'node:crypto';
import { Credentials } from '../../../lib/mesh/credentials.js';
import { Handshake } from '../../../lib/mesh/handshake.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import { meshPort } from '../../../lib/mesh/mesh.js';
import { resolveLimits } from '../../../lib/mesh/limits.js';
import { resolveSecret } from '../../../lib/mesh/secret.js';
import { FakeLink, VirtualEnvironment, record, scriptedTransport, secret } from './support.js';

/** A peer in the test's hands: takes part in the handshake as far as the test wants. */
class Stranger {
  readonly link: FakeLink;
  readonly handshake: Handshake;
  readonly #read = { control: 0 };

  constructor(id: string, keys: Awaited<ReturnType<typeof resolveSecret>>, run = 1, peer = id) {
    this.link = new FakeLink(peer, true);
    this.handshake = new Handshake({
      cluster: 'c',
      id,
      incarnation: `${String(run).padStart(15, '0')}-0123456789abcdef`,
      credentials: new Credentials({ id, cluster: 'c', keys }),
      nonce: randomBytes(32),
      limits: resolveLimits(),
      peer: 'm',
      offerer: false,
      binding: 'binding',
      admit: () => undefined,
    });
  }

  /** Says `true` to what shall not be sent. */
  intercept: (bytes: Uint8Array) => boolean = () => false;

  say(bytes: Uint8Array): void {
    if (!this.intercept(bytes)) this.link.control.onMessage?.(bytes);
  }

  /** Answers what the mesh said since; says what it thinks of it. */
  hear(): string {
    let last = 'nothing';
    for (const bytes of this.link.control.sent.slice(this.#read.control)) {
      this.#read.control++;
      const state = this.handshake.receive(bytes, (reply) => this.say(reply));
      last = state.kind === 'refused' ? `${state.told ? 'told ' : ''}${state.error.code}` : state.kind;
    }
    return last;
  }

  /** The whole handshake. */
  greet(): string {
    this.say(this.handshake.start());
    let last = this.hear();
    for (let i = 0; i < 3 && last === 'running'; i++) last = this.hear();
    return last;
  }
}

describe('who gets into a mesh', () => {
  let environment: VirtualEnvironment;
  let script: ReturnType<typeof scriptedTransport>;
  let mesh: Mesh;
  let events: string[];
  let keys: Awaited<ReturnType<typeof resolveSecret>>;

  beforeEach(async () => {
    environment = new VirtualEnvironment();
    script = scriptedTransport();
    keys = await resolveSecret(secret, 'c');
    const joining = joinMesh({ id: 'm', cluster: 'c', secret, transport: script.transport, environment });
    mesh = await joining;
    events = record(mesh);
    await environment.run(1);
  });

  afterEach(() => mesh.close());

  function offer(stranger: Stranger): void {
    script.host().onLink(stranger.link);
  }

  it('lets a member in', async () => {
    const peer = new Stranger('p', keys);
    offer(peer);
    expect(peer.greet()).to.equal('done');
    await environment.run(1);
    expect(events).to.deep.equal(['up p']);
    const [status] = mesh.peers();
    expect(status).to.include({ id: 'p', state: 'up', path: 'direct', rttMs: undefined });
    expect(status!.phi).to.be.within(0, 0.01);
  });

  it('reads nothing before the proof: a frame on either lane costs the link', async () => {
    for (const [index, lane] of (['control', 'bulk'] as const).entries()) {
      const peer = new Stranger(`p${index}`, keys);
      let read = 0;
      meshPort(mesh).handle(1, () => ++read > 0);
      offer(peer);
      peer.say(peer.handshake.start());
      peer.link[lane].onMessage?.(Uint8Array.from([0xc1, 1, 42]));
      await environment.run(1);
      expect(peer.link.closed).to.equal(true);
      expect(read).to.equal(0);
      expect(events.at(-1)).to.equal(`refused p${index} ERR_PEER_PROTOCOL`);
      expect(peer.link.control.sent.at(-1)).to.deep.equal(Uint8Array.from([0x51, 4, 0]));
    }
  });

  it('keeps bulk frames that overtake the acceptance, and reads them after the peer is up', async () => {
    const peer = new Stranger('p', keys);
    const order: string[] = [];
    meshPort(mesh).handle(1, (from, session, frame) => order.push(`${from} ${session} ${frame.join()}`) > 0);
    meshPort(mesh).listen({ onPeer: (id, up) => order.push(`${id} ${up ? 'up' : 'down'}`) });
    offer(peer);
    // The last word, the peer's acceptance, is held back while its bulk lane runs ahead.
    let held: Uint8Array | undefined;
    peer.intercept = (bytes) => {
      if (bytes[1] === 3) held = bytes;
      return bytes[1] === 3;
    };
    peer.greet();
    expect(held).not.to.equal(undefined);
    peer.link.bulk.onMessage?.(Uint8Array.from([0xc1, 1, 1]));
    peer.link.bulk.onMessage?.(Uint8Array.from([0xc1, 1, 2]));
    expect(order).to.deep.equal([]);
    peer.link.control.onMessage?.(held!);
    expect(order).to.deep.equal(['p up', 'p 1 1', 'p 1 2']);
  });

  it('keeps no more of them than the peer has credit for', async () => {
    const peer = new Stranger('p', keys);
    offer(peer);
    peer.intercept = (bytes) => bytes[1] === 3;
    peer.greet();
    for (let i = 0; i < 200 && !peer.link.closed; i++) peer.link.bulk.onMessage?.(new Uint8Array(65_536));
    expect(peer.link.closed).to.equal(true);
    await environment.run(1);
    expect(events).to.deep.equal(['refused p ERR_PEER_PROTOCOL']);
  });

  it('gives up on a handshake that does not come', async () => {
    const peer = new Stranger('p', keys);
    offer(peer);
    await environment.run(4900);
    expect(peer.link.closed).to.equal(false);
    await environment.run(200);
    expect(peer.link.closed).to.equal(true);
    expect(events).to.deep.equal(['refused p ERR_PEER_TIMEOUT']);
  });

  it('turns a refused peer away for a while, longer each time, without a handshake', async () => {
    const wrong = await resolveSecret('some other secret of length', 'c');
    const waits: number[] = [];
    for (let round = 0; round < 4; round++) {
      const peer = new Stranger('p', wrong);
      offer(peer);
      peer.greet();
      expect(peer.link.closed).to.equal(true);
      const since = environment.now();
      for (;;) {
        await environment.run(50);
        const again = new Stranger('p', wrong);
        offer(again);
        if (!again.link.closed) {
          again.link.onClosed?.('gone');
          break;
        }
        expect(again.link.control.sent).to.deep.equal([]);
      }
      waits.push(environment.now() - since);
    }
    expect(events.filter((event) => event.startsWith('refused'))).to.have.length(4);
    expect(waits[0]).to.be.within(500, 1050);
    expect(waits[3]).to.be.within(2500, 5050);
    // A member that holds the secret gets in after that, and is forgiven.
    await environment.run(6000);
    const peer = new Stranger('p', keys);
    offer(peer);
    expect(peer.greet()).to.equal('done');
  });

  it('caps half-open handshakes, in all and for each peer', async () => {
    const crowd = Array.from({ length: 70 }, (_, i) => new Stranger(`p${i}`, keys));
    for (const peer of crowd) offer(peer);
    expect(crowd.filter((peer) => !peer.link.closed)).to.have.length(64);
    expect(mesh.metrics().turnedAway).to.equal(6);
    const links = Array.from({ length: 5 }, () => new Stranger('p0', keys));
    crowd[60]!.link.onClosed?.('gone');
    for (const peer of links) offer(peer);
    expect([crowd[0]!, ...links].filter((peer) => !peer.link.closed)).to.have.length(2);
  });

  it('replaces an older run by a newer, tells it so, and refuses the older afterwards', async () => {
    const old = new Stranger('p', keys, 5);
    offer(old);
    old.greet();
    const fresh = new Stranger('p', keys, 6);
    offer(fresh);
    expect(fresh.greet()).to.equal('done');
    expect(old.link.closed).to.equal(true);
    // The farewell "replaced": kind 0, urgent, first and last.
    expect(Buffer.from(old.link.control.sent.at(-1)!).includes(Buffer.from([0xe0, 2, 3, 1]))).to.equal(true);
    const ghost = new Stranger('p', keys, 5);
    offer(ghost);
    expect(ghost.greet()).to.equal('told ERR_PEER_DUPLICATE');
    await environment.run(1);
    expect(events).to.deep.equal(['up p', 'unreachable p', 'up p', 'refused p ERR_PEER_DUPLICATE']);
    expect(fresh.link.closed).to.equal(false);
  });

  it('takes a second link of the same run in place of the first', async () => {
    const first = new Stranger('p', keys, 5);
    const second = new Stranger('p', keys, 5);
    offer(first);
    first.greet();
    offer(second);
    expect(second.greet()).to.equal('done');
    expect([first.link.closed, second.link.closed]).to.deep.equal([true, false]);
    expect(meshPort(mesh).linked()).to.deep.equal(new Map([['p', 2]]));
  });

  it('leaves the field when a newer run of its own id took over', async () => {
    const [p, q] = [new Stranger('p', keys), new Stranger('q', keys)];
    for (const peer of [p, q]) {
      offer(peer);
      peer.greet();
      script.host().onPresence(peer.link.peer, true);
    }
    await environment.run(1);
    script.connects.length = 0;
    p.say(Uint8Array.from([0xe0, 2, 3, 1]));
    await environment.run(400);
    expect(events.slice(2).sort()).to.deep.equal([
      'unreachable p',
      'unreachable q',
      'warning ERR_PEER_REPLACED',
    ]);
    expect([p.link.closed, q.link.closed]).to.deep.equal([true, true]);
    expect(script.connects).to.deep.equal([]);
    await environment.run(10_000);
    expect(script.connects.length).to.be.within(2, 20);
  });

  it('drops a peer that breaks the protocol, and makes it wait', async () => {
    const peer = new Stranger('p', keys);
    offer(peer);
    peer.greet();
    peer.say(Uint8Array.from([0x01, 1, 0])); // a fragment without a beginning
    await environment.run(1);
    expect(peer.link.closed).to.equal(true);
    expect(events).to.deep.equal(['up p', 'warning ERR_PEER_PROTOCOL', 'unreachable p']);
    const again = new Stranger('p', keys);
    offer(again);
    expect(again.link.closed).to.equal(true);
  });

  it('drops a peer that a layer above complains of', async () => {
    const peer = new Stranger('p', keys);
    offer(peer);
    peer.greet();
    meshPort(mesh).punish('p', 'it lies');
    meshPort(mesh).punish('nobody', 'it lies');
    await environment.run(1);
    expect(peer.link.closed).to.equal(true);
    expect(events).to.include('warning ERR_PEER_PROTOCOL');
    expect(mesh.metrics().linksLost).to.equal(1);
  });

  it('warns of a handler that throws, and drops the link rather than the process', async () => {
    meshPort(mesh).handle(1, () => {
      throw new Error('a bug above');
    });
    const peer = new Stranger('p', keys);
    offer(peer);
    peer.greet();
    peer.say(Uint8Array.from([0xc1, 1, 0]));
    await environment.run(1);
    expect(events).to.include('warning ERR_INTERNAL');
    expect(peer.link.closed).to.equal(true);
  });

  it('tells at most ten warnings a second', async () => {
    for (let i = 0; i < 50; i++) script.host().onWarning(new Error('again'));
    expect(events.filter((event) => event.startsWith('warning'))).to.have.length(10);
    await environment.run(1100);
    script.host().onWarning(new Error('again'));
    expect(events.filter((event) => event.startsWith('warning'))).to.have.length(11);
  });

  it('remembers 1024 peers, and no more', async () => {
    for (let i = 0; i < 1100; i++) script.host().onPresence(`p${i}`, true);
    await environment.run(1);
    expect(mesh.peers()).to.have.length(1024);
    script.host().onPresence('p0', false);
    script.host().onPresence('late', true);
    expect(mesh.peers().map((peer) => peer.id)).to.include('late');
    expect(mesh.peers()).to.have.length(1024);
  });
});
