import { expect } from 'chai';
import { describe, it } from 'mocha';
import { seeded } from '../../../support/seeded.js';
import { deriveKeys, makeKeys } from '../../../../../lib/mesh/relay/keyExchange.js';
import { RelayLink } from '../../../../../lib/mesh/relay/relayLink.js';
import { Sealer } from '../../../../../lib/mesh/relay/seal.js';
import type { RawLink } from '../../../../../lib/mesh/transport.js';
import type { Datagram } from './lab.js';
import { Lab, Node, pair } from './lab.js';

const gone = 4;

function forgedGone(binding: string): Uint8Array {
  return Uint8Array.from([gone, ...Buffer.from(binding.slice(-32), 'hex')]);
}

describe('relayed links: the end', () => {
  it('tells the other end, after what was sent before', async () => {
    const lab = new Lab(61);
    const { near, far } = await pair(lab);
    near.raw.control.send(Buffer.from('farewell'));
    near.raw.close();
    near.raw.close();
    expect(near.closed, 'not from inside the call').to.deep.equal([]);
    await lab.run(50);
    expect(far.got.control.length).to.equal(1);
    expect(Buffer.from(far.got.control[0]!).toString()).to.equal('farewell');
    expect([near.closed, far.closed]).to.deep.equal([['closed'], ['closed by the peer']]);
    await lab.run(20_000);
    expect([near.closed.length, far.closed.length]).to.deep.equal([1, 1]);
    expect(lab.scheduler.step(Infinity), 'no timer is left').to.equal(false);
  });

  it('is told again, sealed, to an end that missed it', async () => {
    const lab = new Lab(62);
    const { near, far } = await pair(lab);
    await lab.run(100);
    lab.conditions = { ...lab.conditions, loss: 1 };
    near.raw.close();
    await lab.run(10);
    lab.conditions = { ...lab.conditions, loss: 0 };
    expect(far.closed).to.deep.equal([]);
    far.raw.bulk.send(Uint8Array.of(1));
    await lab.run(10);
    expect(far.closed).to.deep.equal(['closed by the peer']);
  });

  it('answers late packets of dead links seldom', async () => {
    const lab = new Lab(63);
    const { near, far, b } = await pair(lab);
    let caught: Datagram | undefined;
    lab.onDatagram = (datagram) => {
      if (datagram.from === 'a') caught = datagram;
      return datagram;
    };
    near.raw.control.send(Uint8Array.of(1));
    await lab.run(100);
    far.raw.close();
    await lab.run(100);
    let answers = 0;
    lab.onDatagram = (datagram) => {
      if (datagram.from === 'b') answers++;
      return undefined;
    };
    for (let i = 0; i < 1000; i++) {
      lab.inject(caught!);
      const unknown = Uint8Array.from(caught!.payload);
      unknown[5]! ^= 1;
      lab.inject({ ...caught!, payload: unknown });
      await lab.run(1);
    }
    expect(answers, 'in a second').to.be.within(16, 33);
    expect(b.relay.counters.dropped).to.be.at.least(2000);
  });

  it('comes within about a second when the other run is gone, not in ten', async () => {
    const lab = new Lab(64);
    const { near } = await pair(lab);
    await lab.run(100);
    const fresh = new Node(lab, 'b');
    near.raw.control.send(Uint8Array.of(1));
    await lab.run(500);
    expect(near.closed).to.deep.equal([]);
    await lab.run(700);
    expect(near.closed).to.deep.equal(['the peer does not know the link any more']);
    expect(fresh.links).to.deep.equal([]);
  });

  it('does not come from somebody who only says so', async () => {
    const lab = new Lab(65);
    const { near, far } = await pair(lab);
    await lab.run(100);
    for (let i = 0; i < 50; i++) {
      lab.inject({ from: 'b', to: 'a', lane: 'control', payload: forgedGone(near.raw.binding) });
      lab.inject({ from: 'c', to: 'b', lane: 'control', payload: forgedGone(near.raw.binding) });
      await lab.run(100);
    }
    expect([...near.closed, ...far.closed]).to.deep.equal([]);
    near.raw.control.send(Uint8Array.of(7));
    await lab.run(10);
    expect(far.got.control.length).to.equal(1);
  });

  it('comes after ten seconds of silence while something is due, and never on an idle link', async () => {
    const lab = new Lab(66);
    const { near, far } = await pair(lab);
    await lab.run(60_000);
    expect([...near.closed, ...far.closed]).to.deep.equal([]);
    lab.conditions = { ...lab.conditions, loss: 1 };
    near.raw.control.send(Uint8Array.of(1));
    await lab.run(9900);
    expect(near.closed).to.deep.equal([]);
    await lab.run(300);
    expect(near.closed).to.deep.equal(['no acknowledgement for 10000 ms']);
    expect(far.closed).to.deep.equal([]);
  });

  it('does not come when this node itself stood still for long', async () => {
    const lab = new Lab(72);
    let skipped = 0;
    const stalling = { ...lab.environment, now: () => lab.scheduler.now + skipped };
    const [a, b] = [new Node(lab, 'a', stalling), new Node(lab, 'b')];
    a.relay.connect('b');
    await lab.until('a link', () => b.links.length > 0);
    const [near, far] = [a.links[0]!, b.links[0]!];
    lab.conditions = { ...lab.conditions, loss: 1 };
    near.raw.control.send(Uint8Array.of(1));
    await lab.run(500);
    skipped += 15_000;
    await lab.run(500);
    lab.conditions = { ...lab.conditions, loss: 0 };
    await lab.until('the message', () => far.got.control.length === 1, 5000);
    expect([...near.closed, ...far.closed]).to.deep.equal([]);
  });

  it('comes to a peer that never acknowledges before it costs more than the caps', async () => {
    const lab = new Lab(67);
    const { a, near, far } = await pair(lab);
    far.keep = false;
    await lab.run(100);
    lab.onDatagram = (datagram) => (datagram.from === 'b' ? undefined : datagram);
    const before = a.relay.counters.packetsSent;
    let given = 0;
    while (near.closed.length === 0 && near.raw.bulk.send(new Uint8Array(60_000))) {
      given += 60_000;
      if (given % 1_200_000 === 0) await lab.run(1);
    }
    await lab.run(1);
    expect(near.closed).to.deep.equal(['too much waits to be sent']);
    expect(given / 2 ** 20).to.be.within(15, 18);
    expect(a.relay.counters.packetsSent - before, 'packets under way').to.be.below(30);
    expect(near.raw.bulk.bufferedAmount).to.equal(0);
  });

  it('keeps a bounded store of what comes before its turn', async () => {
    const lab = new Lab(68);
    const { near, far } = await pair(lab);
    await lab.run(100);
    far.keep = false;
    // The first chunk never arrives: every packet as long as the first is lost.
    lab.onDatagram = (datagram) =>
      datagram.from === 'a' && datagram.payload.length > 3000 && datagram.payload.length < 3200
        ? undefined
        : datagram;
    near.raw.bulk.send(new Uint8Array(3000));
    await lab.run(0);
    let most = 0;
    for (let i = 0; i < 3000 && near.closed.length === 0; i++) {
      if (near.raw.bulk.bufferedAmount < 2 ** 20) near.raw.bulk.send(new Uint8Array(60_000));
      await lab.run(2);
      most = Math.max(most, heldBy(far.raw));
    }
    expect(most / 2 ** 20, 'MiB').to.be.within(3.5, 4.1);
    expect(far.bytes.bulk).to.equal(0);
    lab.onDatagram = undefined;
    await lab.until('all of it', () => heldBy(far.raw) < 70_000 && near.raw.bulk.bufferedAmount === 0);
    await lab.run(3000);
    expect(far.bytes.bulk % 60_000).to.equal(3000);
  });

  it('does not come from garbage, however much of it', async () => {
    const lab = new Lab(69);
    const { b, near, far } = await pair(lab);
    await lab.run(100);
    const random = seeded(3);
    const session = Buffer.from(near.raw.binding.slice(-32), 'hex');
    for (let i = 0; i < 5000; i++) {
      const payload = Uint8Array.from({ length: Math.floor(random() * 90) }, () =>
        Math.floor(random() * 256),
      );
      if (payload.length > 0 && i % 3 > 0) payload[0] = 1 + (i % 6);
      if (payload.length > 17 && i % 2 > 0) payload.set(session, 1);
      for (const to of ['a', 'b']) lab.inject({ from: to === 'a' ? 'b' : 'a', to, lane: 'control', payload });
    }
    lab.inject({ from: 'a', to: 'b', lane: 'control', payload: new Uint8Array(65_536).fill(5) });
    lab.inject({ from: '', to: 'b', lane: 'control', payload: new Uint8Array(69).fill(1) });
    lab.inject({ from: 'x'.repeat(5000), to: 'b', lane: 'control', payload: new Uint8Array(69).fill(1) });
    await lab.run(2000);
    near.raw.control.send(Uint8Array.of(1, 2));
    await lab.run(500);
    expect(far.got.control.length).to.equal(1);
    expect([...near.closed, ...far.closed]).to.deep.equal([]);
    expect(b.links.length).to.equal(1);
    expect(b.relay.counters.packetsForged).to.be.above(100);
  });

  it('takes the whole of it down when the node closes, and stays silent after', async () => {
    const lab = new Lab(70);
    const { a, b, near, far } = await pair(lab);
    b.relay.connect('c');
    b.relay.close();
    b.relay.close();
    b.relay.connect('a');
    expect(far.raw.control.send(Uint8Array.of(1))).to.equal(false);
    const sent: number[] = [];
    lab.onDatagram = (datagram) => {
      if (datagram.from === 'b') sent.push(datagram.payload[0]!);
      return datagram;
    };
    a.relay.connect('b');
    await lab.run(20_000);
    expect([near.closed, far.closed, sent]).to.deep.equal([['closed by the peer'], ['closed'], []]);
    expect(b.warnings).to.deep.equal([]);
    expect(lab.scheduler.step(Infinity), 'no timer is left').to.equal(false);
  });

  it('comes from an authentic packet that breaks the protocol', async () => {
    // What the peer's own code would have to send: frames sealed with the true key, made from the same seed.
    const wrong: readonly (readonly [string, readonly number[]])[] = [
      ['a packet that does not decode', [16]],
      ['an acknowledgement of what was never sent', [1, 0, 0, 1, 200, 1, 0]],
      ['an acknowledgement of what was never sent', [1, 99, 0, 1, 0, 0]],
      ['a chunk that ends inside a length', [2, 0, 0, 0]],
      ['a message of 65537 bytes, above 65536', [2, 0, 1, 0, 1, 7]],
    ];
    for (const [reason, plain] of wrong) {
      const lab = new Lab(71);
      const drawn: Uint8Array[] = [];
      const recording = {
        ...lab.environment,
        randomBytes: (length: number) => {
          drawn.push(lab.environment.randomBytes(length));
          return drawn.at(-1)!;
        },
      };
      const [a, b] = [new Node(lab, 'a', recording), new Node(lab, 'b')];
      a.relay.connect('b');
      await lab.until('a link', () => b.links.length > 0);
      await lab.run(100);
      const [near, far] = [a.links[0]!, b.links[0]!];
      const sealer = sealerOf(near.raw.binding, drawn.at(-1)!);
      while (sealer.next < 50) sealer.seal(Uint8Array.of(4), new Uint8Array(0));
      const payload = sealer.seal(Uint8Array.from(plain), new Uint8Array(0));
      lab.inject({ from: 'a', to: 'b', lane: 'control', payload });
      await lab.run(50);
      expect(far.closed, reason).to.deep.equal([reason]);
      expect(near.closed, reason).to.deep.equal(['closed by the peer']);
    }
  });
});

/** What seals the control lane of the opener a, who drew this seed. */
function sealerOf(binding: string, seed: Uint8Array): Sealer {
  const [openerKey, answererKey, session] = binding
    .split(' ')
    .slice(1)
    .map((hex) => Buffer.from(hex, 'hex'));
  const keys = makeKeys({ ...new Lab(0).environment, randomBytes: () => seed });
  expect(Buffer.from(keys.publicKey).equals(openerKey!)).to.equal(true);
  const transcript = {
    session: session!,
    opener: 'a',
    answerer: 'b',
    openerKey: openerKey!,
    answererKey: answererKey!,
  };
  return new Sealer('control', session!, deriveKeys(keys, answererKey!, transcript)!.opener.control);
}

function heldBy(raw: RawLink): number {
  return raw instanceof RelayLink ? raw.held : NaN;
}
