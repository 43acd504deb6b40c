import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { VirtualEnvironment, turns, until } from './support.js';
import { End, closeAll, greet, open } from './webrtcSupport.js';
import { localSignaling } from '../../../lib/mesh/signaling/local.js';
import type { Signaling } from '../../../lib/mesh/signaling/signaling.js';
import { AddressWatch, localAddresses } from '../../../lib/mesh/webrtc/addresses.js';
import { Duplicates } from '../../../lib/mesh/webrtc/duplicates.js';
import { EarlyCandidates } from '../../../lib/mesh/webrtc/earlyCandidates.js';
import { loadNative } from '../../../lib/mesh/webrtc/native.js';
import { Ports } from '../../../lib/mesh/webrtc/ports.js';
import { WebrtcSession } from '../../../lib/mesh/webrtc/session.js';

/** A rendezvous that nobody ever reaches. */
const gone: Signaling = {
  kind: 'gone',
  start: () => Promise.resolve({ connected: false, send: () => undefined, close: () => Promise.resolve() }),
};

/** Carries what two ends say to each other, as a third member would. */
function bridge(a: End, b: End, deliver: (arrive: () => void) => void = setImmediate): string[] {
  const seen: string[] = [];
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.way = (peer, payload) => {
      if (peer !== to.id) return false;
      seen.push(`${from.id} ${(JSON.parse(payload) as { kind: string }).kind}`);
      deliver(() => to.session.routed(from.id, payload));
      return true;
    };
  }
  return seen;
}

/** One link, and one only, that carries. */
async function linkedOnce(a: End, b: End): Promise<void> {
  await until('a link', () => a.links.length > 0 && b.links.length > 0);
  greet(a, b);
  await until('words', () => a.got.length >= 2 && b.got.length >= 2);
  expect(a.got.sort()).to.deep.equal(['bulk from b', 'control from b']);
  expect(b.got.sort()).to.deep.equal(['bulk from a', 'control from a']);
}

describe('set-up messages by several ways', () => {
  afterEach(() => closeAll());

  for (const asker of ['a', 'b'] as const) {
    it(`need no rendezvous where the mesh has a way: ${asker} begins`, async () => {
      const [a, b] = [await open('a', gone), await open('b', gone)];
      const seen = bridge(a, b);
      if (asker === 'a') a.session.connect('b');
      else b.session.connect('a');
      await linkedOnce(a, b);
      expect(seen).to.include('a offer');
      expect([...a.warnings, ...b.warnings]).to.deep.equal([]);
    });
  }

  it('may come twice, in any order, and late: still one set-up', async () => {
    const signaling = localSignaling();
    const [a, b] = [await open('a', signaling), await open('b', signaling)];
    const late: (() => void)[] = [];
    // The way through the mesh: newest first, and all again when the link is up.
    bridge(a, b, (arrive) => late.push(arrive));
    const pump = setInterval(() => {
      for (const arrive of [...late].reverse()) arrive();
    }, 1);
    try {
      await until('presence', () => a.present.has('b') && b.present.has('a'));
      b.session.connect('a');
      await linkedOnce(a, b);
    } finally {
      clearInterval(pump);
    }
    for (let i = 0; i < 20; i++) for (const arrive of late) arrive();
    await turns(50);
    await new Promise<void>((resolve) => void setTimeout(resolve, 100));
    expect([a.links.length, b.links.length]).to.deep.equal([1, 1]);
    expect([a.closed, b.closed]).to.deep.equal([[], []]);
    // None of the copies was counted: there is room for more asks than any throttle would have left.
    a.links[0]!.close();
    await until('the end', () => b.closed.length === 1);
    b.session.connect('a');
    await until('a new link', () => b.links.length === 2);
  });

  it('may come backwards: candidates wait for the offer they overtook', async () => {
    const [a, b] = [await open('a', gone), await open('b', gone)];
    // The candidates of the offer travel apart from it, and before it; those of the answerer are lost, so that no path is found
    // but with the help of the others.
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.way = (_, payload) => {
        const message = JSON.parse(payload) as { kind: string; candidates?: string[] };
        const offer = message.kind === 'offer' && message.candidates!.length > 0;
        if (offer) {
          const early = { ...message, kind: 'candidate', sdp: undefined };
          setImmediate(() => to.session.routed(from.id, JSON.stringify(early)));
          message.candidates = [];
        } else if (from === b) message.candidates = [];
        setTimeout(() => to.session.routed(from.id, JSON.stringify(message)), offer ? 20 : 0);
        return true;
      };
    }
    a.session.connect('b');
    await linkedOnce(a, b);
  });

  it('that reach nobody end the set-up at once and in silence, so that the next try is a fresh one', async () => {
    const [a, b] = [await open('a', gone, { setupTimeoutMs: 60_000 }), await open('b', gone)];
    let tries = 0;
    a.way = () => {
      tries++;
      return false;
    };
    a.session.connect('b');
    await until('a try', () => tries >= 1);
    await turns(20);
    bridge(a, b);
    a.session.connect('b'); // would do nothing while a set-up is under way
    await linkedOnce(a, b);
    expect(a.warnings).to.deep.equal([]);
  });

  it('are remembered up to a cap, and told apart by who said them', () => {
    const duplicates = new Duplicates();
    expect(['a', 'a', 'b'].map((from) => duplicates.isNew(from, 'x'))).to.deep.equal([true, false, true]);
    for (let i = 0; i < 5000; i++) duplicates.isNew('c', String(i));
    expect(duplicates.isNew('c', '4999')).to.equal(false);
    expect(duplicates.isNew('a', 'x')).to.equal(true); // long forgotten
    const early = new EarlyCandidates();
    for (let s = 0; s < 100; s++)
      for (let i = 0; i < 100; i++)
        early.keep('a', { kind: 'candidate', session: String(s), lane: 'control', candidates: [] });
    expect(early.take('a', '0')).to.deep.equal([]);
    expect(early.take('b', '99')).to.deep.equal([]);
    expect(early.take('a', '99').length).to.equal(18);
    expect(early.take('a', '99')).to.deep.equal([]);
  });
});

describe('a change of addresses', () => {
  it('is noticed, once each', async () => {
    const environment = new VirtualEnvironment();
    let addresses = 'one';
    let changes = 0;
    const watch = new AddressWatch(
      environment,
      2000,
      () => addresses,
      () => changes++,
    );
    await environment.run(10_000);
    expect(changes).to.equal(0);
    addresses = 'two';
    await environment.run(2000);
    await environment.run(10_000);
    expect(changes).to.equal(1);
    watch.close();
    addresses = 'three';
    await environment.run(10_000);
    expect([changes, environment.timers]).to.deep.equal([1, 0]);
    expect(localAddresses('127.0.0.1')).to.match(/^127\.0\.0\.1 /);
    expect(localAddresses('203.0.113.9')).to.equal('');
    expect(localAddresses()).to.not.match(/127\.0\.0\.1/);
  });

  it('starts set-ups anew, and tells the mesh', async () => {
    const end = new End('a');
    let addresses = 'one';
    const sessions = new Set<string>();
    end.way = (_, payload) => {
      sessions.add((JSON.parse(payload) as { session: string }).session);
      return true;
    };
    const session = new WebrtcSession({
      native: await loadNative(),
      config: {
        relayOnly: false,
        bindAddress: () => '127.0.0.1',
        ports: new Ports(),
        mtu: undefined,
      },
      iceServers: [],
      host: end,
      setupTimeoutMs: 60_000,
      bulkConnections: 1,
      addresses: { read: () => addresses, intervalMs: 5 },
    });
    session.connect('b');
    await until('an offer', () => sessions.size === 1);
    addresses = 'two';
    await until('another', () => sessions.size === 2);
    expect(end.addressChanges).to.equal(1);
    await session.close();
    addresses = 'three';
    await new Promise<void>((resolve) => void setTimeout(resolve, 50));
    expect([end.addressChanges, sessions.size]).to.deep.equal([1, 2]);
  });
});
