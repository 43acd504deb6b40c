import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { bindingOf, deriveKeys, makeKeys } from '../../../../../lib/mesh/relay/keyExchange.js';
import type { Transcript } from '../../../../../lib/mesh/relay/keyExchange.js';
import {
  FrameFlag,
  isWellFormed,
  numberOf,
  readFrames,
  writeFrames,
} from '../../../../../lib/mesh/relay/packets.js';
import { Opener, Sealer } from '../../../../../lib/mesh/relay/seal.js';
import type { Datagram } from './lab.js';
import { Lab, pair } from './lab.js';

/** Points of small order on Curve25519, and encodings of them that are not reduced. */
const lowOrder = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));

describe('relayed links: keys', () => {
  const { environment } = new Lab(1);
  const [a, b] = [makeKeys(environment), makeKeys(environment)];
  const transcript: Transcript = {
    session: new Uint8Array(16).fill(7),
    opener: 'a',
    answerer: 'b',
    openerKey: a.publicKey,
    answererKey: b.publicKey,
  };

  it('come out alike at both ends, four different ones, and from the seed alone', () => {
    const near = deriveKeys(a, b.publicKey, transcript)!;
    expect(deriveKeys(b, a.publicKey, transcript)).to.deep.equal(near);
    const keys = [near.opener.control, near.opener.bulk, near.answerer.control, near.answerer.bulk];
    expect(new Set(keys.map((key) => Buffer.from(key).toString('hex'))).size).to.equal(4);
    for (const key of keys) expect(key.length).to.equal(32);
    expect(makeKeys(new Lab(1).environment).publicKey).to.deep.equal(a.publicKey);
    expect(makeKeys(new Lab(2).environment).publicKey).to.not.deep.equal(a.publicKey);
  });

  it('depend on everything that names the session', () => {
    const near = deriveKeys(a, b.publicKey, transcript);
    const other = makeKeys(environment);
    const changes: Partial<Transcript>[] = [
      { session: new Uint8Array(16).fill(8) },
      { opener: 'c' },
      { answerer: 'c' },
      { opener: 'b', answerer: 'a' },
      { openerKey: other.publicKey },
      { answererKey: other.publicKey },
    ];
    for (const change of changes)
      expect(deriveKeys(a, b.publicKey, { ...transcript, ...change })).to.not.deep.equal(near);
    expect(deriveKeys(a, other.publicKey, transcript)).to.not.deep.equal(near);
    for (const change of changes.slice(4))
      expect(bindingOf({ ...transcript, ...change })).to.not.equal(bindingOf(transcript));
  });

  it('are those of RFC 7748: its second key pair in section 6.1', () => {
    const seed = Buffer.from('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb', 'hex');
    const { publicKey } = makeKeys({ ...environment, randomBytes: () => seed });
    expect(Buffer.from(publicKey).toString('hex')).to.equal(
      'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f',
    );
  });

  it('are refused for points of low order, and for keys of another length', () => {
    for (const point of lowOrder) expect(deriveKeys(a, point, transcript)).to.equal(undefined);
    expect(deriveKeys(a, new Uint8Array(31), transcript)).to.equal(undefined);
  });
});

describe('relayed links: sealing', () => {
  const session = new Uint8Array(16).fill(1);
  const key = new Uint8Array(32).fill(2);

  it('opens what was sealed, and nothing else: any byte changed, cut or added', () => {
    const sealer = new Sealer('control', session, key);
    const opener = new Opener(key);
    const packet = Buffer.from(sealer.seal(Uint8Array.of(2, 0), Buffer.from('a secret')));
    expect(opener.open(packet, 0)!.subarray(2).toString()).to.equal('a secret');
    expect(packet.includes('secret')).to.equal(false);
    for (let at = 0; at < packet.length; at++) {
      for (const bit of [1, 0x80]) {
        const forged = Buffer.from(packet);
        forged[at]! ^= bit;
        expect(opener.open(forged, numberOf(forged)), `byte ${at}`).to.equal(undefined);
      }
    }
    expect(opener.open(packet.subarray(0, -1), 0)).to.equal(undefined);
    expect(opener.open(Buffer.concat([packet, Buffer.alloc(1)]), 0)).to.equal(undefined);
    expect(opener.open(packet, 1)).to.equal(undefined);
    expect(new Opener(new Uint8Array(32).fill(3)).open(packet, 0)).to.equal(undefined);
  });

  it('counts by itself, so that no number comes twice', () => {
    const sealer = new Sealer('bulk', session, key);
    const numbers = Array.from({ length: 300 }, () =>
      numberOf(Buffer.from(sealer.seal(Uint8Array.of(4), new Uint8Array(0)))),
    );
    expect(numbers).to.deep.equal(Array.from({ length: 300 }, (_, i) => i));
    expect(sealer.next).to.equal(300);
  });
});

describe('relayed links: frames', () => {
  it('read back as they were written', () => {
    fc.assert(
      fc.property(
        fc.nat(2 ** 40),
        fc.nat(2 ** 45),
        fc.array(fc.tuple(fc.integer({ min: 2, max: 99_999 }), fc.nat(9999)), {
          minLength: 1,
          maxLength: 80,
        }),
        fc.option(fc.uint8Array({ minLength: 1, maxLength: 100 })),
        (seq, nextChunk, steps, body) => {
          let below = 2 ** 40;
          const ranges = steps.map(([gap, length]): [number, number] => {
            const high = below - gap;
            below = high - length;
            return [below, high];
          });
          const head = new Uint8Array(512);
          const flags = FrameFlag.ack | (body === null ? FrameFlag.ping : FrameFlag.chunk);
          const length = writeFrames(head, flags, { nextChunk, delayMs: 1.5, ranges }, seq);
          const frames = readFrames(Buffer.concat([head.subarray(0, length), body ?? new Uint8Array(0)]))!;
          expect(frames.ack!.nextChunk).to.equal(nextChunk);
          expect(frames.ack!.delayMs).to.equal(1.5);
          // The newest ranges, as many as fit.
          expect(frames.ack!.ranges.length).to.be.at.least(Math.min(ranges.length, 40));
          expect(frames.ack!.ranges).to.deep.equal(ranges.slice(0, frames.ack!.ranges.length));
          if (body === null) expect([frames.ping, frames.chunk]).to.deep.equal([true, undefined]);
          else expect([frames.chunk!.seq, [...frames.chunk!.bytes]]).to.deep.equal([seq, [...body]]);
        },
      ),
    );
  });

  it('are refused, and never thrown over, when they make no sense', () => {
    const wrong = [
      [],
      [16],
      [255],
      [FrameFlag.ack],
      [FrameFlag.ack, 0, 0, 0],
      [FrameFlag.ack, 0, 0, 1, 3, 4],
      [FrameFlag.ack, 0, 0, 2, 9, 0, 1, 0],
      [FrameFlag.ack, 0, 0, 1, 3],
      [FrameFlag.chunk],
      [FrameFlag.chunk, 1],
      [FrameFlag.chunk, 255, 255, 255, 255, 255, 255, 255, 1, 5],
      [FrameFlag.ping, 0],
      [0, 0],
    ];
    for (const bytes of wrong)
      expect(readFrames(Uint8Array.from(bytes)), `[${bytes.join()}]`).to.equal(undefined);
    expect(readFrames(new Uint8Array(15_400).fill(2))).to.equal(undefined);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        readFrames(bytes);
        isWellFormed(bytes);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('relayed links: a hostile way', () => {
  it('delivers nothing of a packet with any byte changed, and goes on', async () => {
    const lab = new Lab(21);
    const { b, near, far } = await pair(lab);
    await lab.run(200);
    const caught: Datagram[] = [];
    lab.onDatagram = (datagram) => {
      if (datagram.from === 'a') caught.push(datagram);
      return datagram.from === 'a' ? undefined : datagram;
    };
    near.raw.control.send(Buffer.from('to be spoiled'));
    await lab.run(10);
    const [packet] = caught;
    lab.onDatagram = undefined;
    const before = b.relay.counters;
    for (let at = 0; at < packet!.payload.length; at++) {
      for (let bit = 1; bit < 256; bit *= 2) {
        const payload = Uint8Array.from(packet!.payload);
        payload[at]! ^= bit;
        lab.inject({ ...packet!, payload });
      }
    }
    expect(far.got.control).to.deep.equal([]);
    expect(before.packetsForged).to.be.above(0);
    await lab.until('the true one', () => far.got.control.length === 1);
    expect(Buffer.from(far.got.control[0]!).toString()).to.equal('to be spoiled');
    expect([...near.closed, ...far.closed]).to.deep.equal([]);
  });

  it('delivers a packet played again only once, and does not open it again', async () => {
    const lab = new Lab(22);
    const { b, near, far } = await pair(lab);
    const seen: Datagram[] = [];
    lab.onDatagram = (datagram) => {
      seen.push(datagram);
      return datagram;
    };
    near.raw.control.send(Uint8Array.of(1, 2, 3));
    await lab.run(300);
    const { packetsReceived } = b.relay.counters;
    for (let i = 0; i < 100; i++) for (const datagram of seen) if (datagram.to === 'b') lab.inject(datagram);
    await lab.run(300);
    expect(far.got.control.length).to.equal(1);
    expect(b.relay.counters.packetsReceived).to.equal(packetsReceived);
    expect(b.relay.counters.packetsRepeated).to.be.at.least(100);
  });

  it('takes no packet on the other lane, from another sender, or back where it came from', async () => {
    const lab = new Lab(23);
    const { a, b, near, far } = await pair(lab);
    await lab.run(200);
    let caught: Datagram | undefined;
    lab.onDatagram = (datagram) => {
      if (datagram.from !== 'a') return datagram;
      caught = datagram;
      return undefined;
    };
    near.raw.control.send(Uint8Array.of(9));
    await lab.run(5);
    const payload = caught!.payload;
    const turned = Uint8Array.from(payload);
    turned[0] = 6;
    lab.inject({ from: 'a', to: 'b', lane: 'bulk', payload: turned });
    lab.inject({ from: 'c', to: 'b', lane: 'control', payload });
    lab.inject({ from: 'b', to: 'a', lane: 'control', payload });
    await lab.run(5);
    expect([far.got.control, far.got.bulk, near.got.control]).to.deep.equal([[], [], []]);
    // Turned to the other lane it does not open; turned back it does not open, or has a number that was seen.
    expect(b.relay.counters.packetsForged).to.equal(1);
    expect(a.relay.counters.packetsForged + a.relay.counters.packetsRepeated).to.equal(1);
    expect(b.relay.counters.dropped).to.equal(1);
  });
});
