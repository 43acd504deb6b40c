import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { Cookies, cookieLifeMs } from '../../../../../lib/mesh/relay/cookies.js';
import { Assembly } from '../../../../../lib/mesh/relay/laneAssembly.js';
import { ChunkWriter } from '../../../../../lib/mesh/relay/laneChunks.js';
import { CongestionWindow } from '../../../../../lib/mesh/relay/laneCongestion.js';
import { ReceivedPackets, maxAckDelayMs } from '../../../../../lib/mesh/relay/laneReceived.js';
import { RoundTripEstimate } from '../../../../../lib/mesh/relay/laneRoundTrip.js';
import { maxChunkBytes, maxPacketBytes } from '../../../../../lib/mesh/relay/packets.js';
import { Lab } from './lab.js';

describe('relayed links: cookies', () => {
  it('are good for their peer, session and key, for a while, at whoever made them', async () => {
    const lab = new Lab(1);
    const cookies = new Cookies(lab.environment);
    const [session, key] = [new Uint8Array(16).fill(1), new Uint8Array(32).fill(2)];
    await lab.run(500);
    const cookie = cookies.make('a', session, key);
    await lab.run(cookieLifeMs - 1);
    expect(cookies.isFresh(cookie, 'a', session, key)).to.equal(true);
    expect(cookies.isFresh(cookie, 'b', session, key)).to.equal(false);
    expect(cookies.isFresh(cookie, 'a', new Uint8Array(16), key)).to.equal(false);
    expect(cookies.isFresh(cookie, 'a', session, new Uint8Array(32))).to.equal(false);
    expect(new Cookies(lab.environment).isFresh(cookie, 'a', session, key)).to.equal(false);
    for (let at = 0; at < cookie.length; at++) {
      const forged = Uint8Array.from(cookie);
      forged[at]! ^= 1;
      expect(cookies.isFresh(forged, 'a', session, key), `byte ${at}`).to.equal(false);
    }
    await lab.run(2);
    expect(cookies.isFresh(cookie, 'a', session, key)).to.equal(false);
  });
});

describe('relayed links: what was received', () => {
  it('is told as the numbers that came, newest first, and takes none twice', () => {
    const numbers = fc.array(fc.nat(120), { minLength: 1, maxLength: 150 });
    fc.assert(
      fc.property(numbers, (list) => {
        const received = new ReceivedPackets();
        const model = new Set<number>();
        for (const number of list) {
          expect(received.seen(number)).to.equal(model.has(number));
          if (model.has(number)) continue;
          model.add(number);
          received.add(number, true, 0);
        }
        const told: number[] = [];
        for (const [low, high] of received.take(0, 0)!.ranges)
          for (let number = high; number >= low; number--) told.push(number);
        expect(told).to.deep.equal([...model].sort((a, b) => b - a));
      }),
    );
  });

  it('forgets the oldest of too many gaps, and then takes them for seen', () => {
    const received = new ReceivedPackets();
    for (let number = 0; number < 1000; number += 2) received.add(number, true, 0);
    expect(received.take(0, 0)!.ranges.length).to.equal(64);
    expect([received.seen(1), received.seen(501), received.seen(997), received.seen(998)]).to.deep.equal([
      true,
      true,
      false,
      true,
    ]);
  });

  it('waits a little with a word, not for the second packet, and not at a gap', () => {
    const received = new ReceivedPackets();
    received.add(0, false, 5);
    expect(received.dueAt, 'a bare acknowledgement').to.equal(Infinity);
    expect(received.take(0, 5)).to.equal(undefined);
    received.add(1, true, 10);
    expect(received.dueAt).to.equal(10 + maxAckDelayMs);
    received.add(2, true, 12);
    expect(received.dueAt).to.equal(12);
    expect(received.take(7, 15)).to.deep.equal({ nextChunk: 7, delayMs: 3, ranges: [[0, 2]] });
    expect(received.dueAt).to.equal(Infinity);
    received.add(4, true, 20);
    expect(received.dueAt, 'a gap').to.equal(20);
  });
});

describe('relayed links: time-outs', () => {
  it('follow RFC 6298 between their bounds, and double', () => {
    const estimate = new RoundTripEstimate();
    expect(estimate.timeoutMs).to.equal(250);
    estimate.sample(80);
    expect(estimate.timeoutMs).to.equal(80 + 4 * 40);
    estimate.sample(40); // variation 40 + (40 - 40) / 4, smoothed 80 - 5
    expect(estimate.timeoutMs).to.equal(75 + 4 * 40);
    expect(estimate.reorderMs).to.equal((9 / 8) * 75);
    for (let i = 0; i < 200; i++) estimate.sample(2);
    expect(estimate.timeoutMs).to.equal(100);
    const doubled = [1, 2, 3, 4, 5, 6].map(() => {
      estimate.backOff();
      return estimate.timeoutMs;
    });
    expect(doubled).to.deep.equal([200, 400, 800, 1600, 2000, 2000]);
    estimate.progressed();
    expect(estimate.timeoutMs).to.equal(100);
  });
});

describe('relayed links: the congestion window', () => {
  it('doubles a round trip, halves once a loss, then grows by a packet a round trip', () => {
    const window = new CongestionWindow(2 ** 20);
    const start = window.bytes;
    window.acked(start, 5, true);
    expect(window.bytes).to.equal(2 * start);
    window.acked(start, 6, false);
    expect(window.bytes, 'not what held the sender back').to.equal(2 * start);
    window.lost(7, 20);
    window.lost(8, 20);
    window.lost(19, 21);
    expect(window.bytes, 'one round trip').to.equal(start);
    window.acked(start, 19, true);
    expect(window.bytes, 'still that round trip').to.equal(start);
    window.acked(start, 20, true);
    expect(window.bytes).to.equal(start + maxPacketBytes);
    window.lost(20, 30);
    expect(window.bytes).to.equal((start + maxPacketBytes) / 2);
    window.collapse(40);
    expect(window.bytes).to.equal(2 * maxPacketBytes);
    for (let i = 0; i < 3000; i++) window.acked(window.bytes, 50 + i, true);
    expect(window.bytes).to.equal(2 ** 20);
    window.rested();
    expect(window.bytes).to.equal(start);
  });
});

describe('relayed links: chunks', () => {
  it('hold the messages, whatever their order of arrival', () => {
    const sizes = fc.array(
      fc.oneof(fc.nat(100), fc.integer({ min: 15_340, max: 15_370 }), fc.constant(65_536), fc.nat(65_536)),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(
        sizes,
        fc.infiniteStream(fc.boolean()),
        fc.infiniteStream(fc.nat()),
        (list, early, order) => {
          const writer = new ChunkWriter();
          const chunks: { seq: number; bytes: Uint8Array }[] = [];
          const take = (): void => {
            for (let chunk = writer.take(); chunk !== undefined; chunk = writer.take()) chunks.push(chunk);
          };
          let total = 0;
          for (const [index, size] of list.entries()) {
            writer.write(new Uint8Array(size).fill(index + 1));
            total += size;
            if (early.next().value === true) {
              expect(writer.waiting).to.equal(total);
              take();
              total = 0;
            }
          }
          take();
          expect([writer.waiting, writer.count]).to.deep.equal([0, 0]);
          const got: Uint8Array[] = [];
          const assembly = new Assembly(2 ** 22, 1024, (message) => void got.push(message));
          const left = [...chunks];
          while (left.length > 0) {
            const [chunk] = left.splice((order.next().value as number) % left.length, 1);
            expect(chunk!.bytes.length).to.be.within(1, maxChunkBytes);
            expect(assembly.take(chunk!.seq, chunk!.bytes)).to.equal('new');
            expect(assembly.take(chunk!.seq, chunk!.bytes)).to.equal('known');
            expect(assembly.run()).to.equal(undefined);
            expect(assembly.take(chunk!.seq, chunk!.bytes)).to.equal('known');
          }
          expect(got.map((message) => message.length)).to.deep.equal(list);
          for (const [index, message] of got.entries())
            expect(message.every((byte) => byte === index + 1)).to.equal(true);
          expect(assembly.held).to.equal(0);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('are kept within a window, but for the one whose turn it is', () => {
    const assembly = new Assembly(1000, 8, () => undefined);
    expect(assembly.take(1, new Uint8Array(900))).to.equal('new');
    expect(assembly.take(2, new Uint8Array(100))).to.equal('outside');
    expect(assembly.take(8, new Uint8Array(1))).to.equal('outside');
    expect(assembly.take(0, Uint8Array.from([0, 3, 132, ...new Uint8Array(800)]))).to.equal('new');
  });
});
