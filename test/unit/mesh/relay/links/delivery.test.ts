import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { watermarks } from '../../../../../lib/mesh/limits.js';
import { maxPacketBytes } from '../../../../../lib/mesh/relay/packets.js';
import type { LaneName } from '../../../../../lib/mesh/transport.js';
import type { End } from './lab.js';
import { Lab, pair } from './lab.js';

const lanes: readonly LaneName[] = ['control', 'bulk'];

/** A message that names its place and its length. */
function numbered(index: number, size: number): Uint8Array {
  const out = new Uint8Array(Math.max(4, size)).fill(index & 0xff);
  new DataView(out.buffer).setUint32(0, index);
  return out;
}

function expectInOrder(end: End, lane: LaneName, sizes: readonly number[]): void {
  const got = end.got[lane];
  expect(got.length, `messages on ${lane}`).to.equal(sizes.length);
  for (const [index, size] of sizes.entries()) expect(got[index]).to.deep.equal(numbered(index, size));
}

describe('relayed links: delivery', () => {
  const size = fc.oneof(
    fc.integer({ min: 4, max: 200 }),
    fc.integer({ min: 4, max: 65_536 }),
    fc.constantFrom(15_354, 15_357, 15_358, 15_360, 16_384, 65_536),
  );
  const traffic = fc.array(size, { minLength: 1, maxLength: 25 });

  it('brings every message once and in order, whatever is lost, doubled, delayed or overtaken', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.record({
          loss: fc.double({ min: 0, max: 0.3, noNaN: true }),
          twice: fc.double({ min: 0, max: 0.3, noNaN: true }),
          delayMs: fc.integer({ min: 0, max: 40 }),
          jitterMs: fc.constantFrom(0, 1, 10, 60),
        }),
        fc.tuple(traffic, traffic, traffic, traffic),
        fc.integer({ min: 0, max: 30 }),
        async (seed, conditions, [ab, abBulk, ba, baBulk], pauseMs) => {
          const lab = new Lab(seed);
          const { near, far } = await pair(lab);
          lab.conditions = conditions;
          const plan = [
            { from: near, to: far, lane: 'control', sizes: ab },
            { from: near, to: far, lane: 'bulk', sizes: abBulk },
            { from: far, to: near, lane: 'control', sizes: ba },
            { from: far, to: near, lane: 'bulk', sizes: baBulk },
          ] as const;
          for (let i = 0; i < 25; i++) {
            for (const { from, lane, sizes } of plan) {
              if (i < sizes.length) expect(from.raw[lane].send(numbered(i, sizes[i]!))).to.equal(true);
            }
            if (i % 5 === 0) await lab.run(pauseMs);
          }
          await lab.until('all messages', () =>
            plan.every(({ to, lane, sizes }) => to.got[lane].length >= sizes.length),
          );
          await lab.run(3000); // what is doubled or sent again comes late
          for (const { to, lane, sizes } of plan) expectInOrder(to, lane, sizes);
          expect([...near.closed, ...far.closed]).to.deep.equal([]);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('keeps going through a cut of seconds, and sends again what it swallowed', async () => {
    const lab = new Lab(5);
    const { near, far } = await pair(lab);
    const sizes = Array.from({ length: 200 }, (_, i) => 50 + i);
    for (const [index, bytes] of sizes.entries()) {
      near.raw.control.send(numbered(index, bytes));
      if (index === 100) lab.conditions = { ...lab.conditions, loss: 1 };
      await lab.run(1);
    }
    await lab.run(4000);
    expect(far.got.control.length).to.be.below(200);
    lab.conditions = { ...lab.conditions, loss: 0 };
    await lab.until('the rest', () => far.got.control.length === 200, 3000);
    expectInOrder(far, 'control', sizes);
  });

  it('takes the place of a packet lost in the middle long before the time-out', async () => {
    const lab = new Lab(6);
    const { near, far } = await pair(lab);
    await lab.run(100);
    let packets = 0;
    lab.onDatagram = (datagram) =>
      datagram.from === 'a' && datagram.payload.length > 1000 && ++packets === 2 ? undefined : datagram;
    const from = lab.scheduler.now;
    for (let i = 0; i < 8; i++) near.raw.control.send(numbered(i, 15_000));
    await lab.until('all', () => far.got.control.length === 8);
    expect(packets).to.be.above(8);
    expect(lab.scheduler.now - from, 'virtual ms').to.be.below(20);
  });

  it('repeats itself after a refusal by the port, without hurry, and gets through', async () => {
    const lab = new Lab(8);
    const { a, near, far } = await pair(lab);
    await lab.run(500);
    const before = a.relay.counters.packetsSent;
    lab.accepts = ({ from }) => from !== 'a';
    for (let i = 0; i < 50; i++) near.raw.bulk.send(numbered(i, 16_000));
    await lab.run(3000);
    const { packetsSent, packetsRefused } = a.relay.counters;
    expect(packetsRefused).to.be.within(2, 12);
    expect(packetsSent - before, 'no storm against a closed door').to.be.below(20);
    lab.accepts = () => true;
    await lab.until('all', () => far.got.bulk.length === 50);
    expectInOrder(far, 'bulk', new Array<number>(50).fill(16_000));
  });

  it('says when a lane has drained, though all of it left in one go', async () => {
    for (const lane of lanes) {
      const lab = new Lab(9);
      const { near, far } = await pair(lab);
      const { high, low } = watermarks[lane];
      let drained = 0;
      near.raw[lane].onDrain = () => {
        expect(near.raw[lane].bufferedAmount).to.be.at.most(low);
        drained++;
      };
      let sent = 0;
      while (near.raw[lane].bufferedAmount < high) {
        near.raw[lane].send(numbered(sent++, 16_384));
      }
      expect(drained, 'not from inside a call').to.equal(0);
      await lab.until('the drain', () => drained > 0);
      await lab.until('all', () => far.got[lane].length === sent);
      expect([drained, near.raw[lane].bufferedAmount]).to.deep.equal([1, 0]);
    }
  });

  it('fills a path, and shares a packet between small messages', async () => {
    const lab = new Lab(10);
    lab.conditions = { loss: 0, twice: 0, delayMs: 10, jitterMs: 0 };
    const { a, near, far } = await pair(lab);
    const before = a.relay.counters.packetsSent;
    for (let i = 0; i < 1000; i++) near.raw.control.send(numbered(i, 100));
    await lab.until('all', () => far.got.control.length === 1000);
    expect(a.relay.counters.packetsSent - before).to.be.below(15);
    far.keep = false;
    const message = new Uint8Array(65_536);
    const fill = (): void => {
      while (near.raw.bulk.bufferedAmount < watermarks.bulk.high) near.raw.bulk.send(message);
    };
    near.raw.bulk.onDrain = fill;
    fill();
    await lab.run(300);
    // Two megabytes each 20 ms at most; slow start takes some round trips.
    expect(far.bytes.bulk / 2 ** 20, 'MiB').to.be.within(12, 30);
  });

  it('sends less on a path that loses, and more again when it does not', async () => {
    const lab = new Lab(11);
    lab.conditions = { loss: 0, twice: 0, delayMs: 50, jitterMs: 0 };
    const { near, far } = await pair(lab);
    far.keep = false;
    let underWay = 0;
    lab.onDatagram = (datagram) => {
      if (datagram.from === 'a') underWay++;
      return datagram;
    };
    const fill = (): void => {
      while (near.raw.control.bufferedAmount < watermarks.control.low)
        near.raw.control.send(new Uint8Array(15_000));
    };
    near.raw.control.onDrain = fill;
    fill();
    await lab.run(1000);
    const rate = async (loss: number, ms: number): Promise<number> => {
      lab.conditions = { ...lab.conditions, loss };
      await lab.run(500);
      underWay = 0;
      await lab.run(ms);
      return underWay / ms;
    };
    const clean = await rate(0, 200);
    const lossy = await rate(0.2, 2000);
    expect(lossy, 'packets a ms').to.be.below(clean / 10);
    await rate(0, 4000);
    expect(await rate(0, 200)).to.be.above(clean / 2);
    near.raw.close();
  });

  it('never sends a packet above its cap, nor the same number twice', async () => {
    const lab = new Lab(12);
    lab.conditions = { loss: 0.2, twice: 0.2, delayMs: 3, jitterMs: 20 };
    const packets = new Map<string, string>();
    let resent = 0;
    lab.onDatagram = (datagram) => {
      const { from, payload } = datagram;
      expect(payload.length).to.be.at.most(maxPacketBytes);
      if (payload[0]! < 5) return datagram;
      const header = `${from} ${Buffer.from(payload.subarray(0, 23)).toString('hex')}`;
      const bytes = Buffer.from(payload).toString('base64');
      // Only the sealed end of a link is ever sent again as it was.
      if (packets.has(header)) {
        expect(bytes).to.equal(packets.get(header));
        expect(payload.length).to.equal(40);
        resent++;
      }
      packets.set(header, bytes);
      return datagram;
    };
    const { near, far } = await pair(lab);
    for (let i = 0; i < 200; i++) {
      near.raw[lanes[i % 2]!].send(numbered(i, 5 + ((i * 997) % 40_000)));
      far.raw[lanes[i % 2]!].send(numbered(i, 5 + ((i * 31) % 3000)));
      if (i % 10 === 0) await lab.run(20);
    }
    await lab.until('all', () => far.got.bulk.length === 100 && near.got.control.length === 100);
    expect(resent).to.equal(0);
    expect(packets.size).to.be.above(300);
    near.raw.close();
    await lab.run(1000);
  });
});
