import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { LaneName } from '../../../../lib/mesh/transport.js';
import { watermarks } from '../../../../lib/mesh/limits.js';
import { Lab, count, numbered, numbersOf } from './support.js';

const lanes: readonly LaneName[] = ['control', 'bulk'];
const still = { tailMs: 0, jitterMs: 0 };

describe('simulated network: lanes', () => {
  for (const lane of lanes) {
    it(`delivers all in order on ${lane} with 30 % loss, late`, async () => {
      const lab = new Lab({ ...still, latencyMs: 5 });
      const [near, far] = await lab.pair();
      lab.network.shapeAll({ lossRate: 0.3 });
      const sent = count(400);
      for (const i of sent) {
        near.raw[lane].send(numbered(i, 100));
        await lab.run(2);
      }
      await lab.until(() => far.got[lane].length === sent.length, 120_000);
      expect(numbersOf(far.got[lane])).deep.equal(sent);
      expect(lab.network.counts.packetsLost).greaterThan(50);
      expect(lab.network.counts.retransmissions).greaterThan(50);
      // What was sent after a lost packet waits for it, and comes with it.
      const together = far.at[lane].filter((at, i) => i > 0 && at === far.at[lane][i - 1]).length;
      expect(together).greaterThan(50);
      await lab.run(60_000);
      expect(far.got[lane].length, 'nothing comes twice').equal(sent.length);
    });
  }

  it('keeps the order of what a shorter latency or a clog would let overtake', async () => {
    const lab = new Lab({ latencyMs: 50, jitterMs: 40, tailMs: 20 });
    const [near, far] = await lab.pair();
    for (const i of count(100)) {
      if (i === 30) lab.network.shape('a', 'b', { latencyMs: 1, jitterMs: 0, tailMs: 0 });
      if (i === 60) lab.network.clog('a', 'b', 200);
      near.raw.control.send(numbered(i));
      await lab.run(3);
    }
    await lab.run(5000);
    expect(numbersOf(far.got.control)).deep.equal(count(100));
  });

  it('lets the lanes overtake each other, each with a shape of its own', async () => {
    const lab = new Lab({ ...still, control: { latencyMs: 1 }, bulk: { latencyMs: 80 } });
    const [near, far] = await lab.pair();
    near.raw.bulk.send(numbered(1));
    await lab.run(10);
    near.raw.control.send(numbered(2));
    await lab.run(200);
    expect(far.at.control[0]).lessThan(far.at.bulk[0]!);
    lab.network.shape('a', 'b', { control: { latencyMs: 80 }, bulk: { latencyMs: 1 } });
    near.raw.control.send(numbered(3));
    await lab.run(10);
    near.raw.bulk.send(numbered(4));
    await lab.run(200);
    expect(far.at.bulk[1]).lessThan(far.at.control[1]!);
  });

  it('sends what one turn sent as one event', async () => {
    const lab = new Lab();
    const [near, far] = await lab.pair();
    const before = lab.scheduler.events;
    for (const i of count(200)) near.raw.control.send(numbered(i));
    await lab.until(() => far.got.control.length === 200);
    expect(lab.scheduler.events - before).equal(1);
  });

  it('takes the time that its bandwidth needs, and says honestly what has not left', async () => {
    const lab = new Lab({ ...still, latencyMs: 10, bandwidth: 1e6 });
    const [near, far] = await lab.pair();
    const began = lab.scheduler.now;
    const { bulk } = near.raw;
    let drains = 0;
    bulk.onDrain = () => {
      drains++;
      expect(bulk.bufferedAmount).within(0, watermarks.bulk.low);
    };
    for (const i of count(100)) bulk.send(numbered(i, 20_000));
    expect(bulk.bufferedAmount).equal(2_000_000);
    await lab.run(500);
    expect(bulk.bufferedAmount).within(1_400_000, 1_600_000);
    expect(drains).equal(0);
    await lab.until(() => drains > 0);
    await lab.until(() => far.got.bulk.length === 100);
    expect(far.at.bulk.at(-1)! - began).within(2000, 2300);
    expect(bulk.bufferedAmount).equal(0);
    expect(drains).equal(1);
  });

  it('gives one large message the time of its bytes', async () => {
    const lab = new Lab({ ...still, latencyMs: 10, bandwidth: 100_000 });
    const [near, far] = await lab.pair();
    const began = lab.scheduler.now;
    near.raw.bulk.send(numbered(1, 50_000));
    await lab.until(() => far.got.bulk.length === 1);
    expect(far.at.bulk[0]! - began).within(505, 515);
  });

  it('holds back what exceeds the send window until it is acknowledged', async () => {
    const lab = new Lab({ ...still, latencyMs: 100, bandwidth: 1e10, sendWindowBytes: 65_536 });
    const [near, far] = await lab.pair();
    const began = lab.scheduler.now;
    for (const i of count(40)) near.raw.bulk.send(numbered(i, 16_384));
    await lab.until(() => far.got.bulk.length === 40);
    // Ten windows, each a round trip after the one before.
    expect(far.at.bulk.at(-1)! - began).within(1850, 2150);
  });

  it('goes on when the window was full of what has arrived and is not yet acknowledged', async () => {
    const lab = new Lab({ ...still, latencyMs: 100, bandwidth: 1e10, sendWindowBytes: 16_384 });
    const [near, far] = await lab.pair();
    near.raw.bulk.send(numbered(0, 16_384));
    await lab.run(150);
    near.raw.bulk.send(numbered(1));
    await lab.run(250);
    expect(numbersOf(far.got.bulk)).deep.equal([0, 1]);
  });

  it('breaks a link that is given more than its buffer holds', async () => {
    const lab = new Lab();
    const [near] = await lab.pair();
    lab.network.cut('a', 'b');
    const message = new Uint8Array(262_144);
    let taken = 0;
    while (near.raw.bulk.send(message)) taken++;
    expect(taken * message.length).within(64 * 2 ** 20, 67 * 2 ** 20);
    await lab.run(1);
    expect(near.closed).length(1);
  });

  it('stalls in the open direction of a one-way cut when the window is full, and goes on after', async () => {
    const lab = new Lab({ ...still, silenceMs: 600_000, sendWindowBytes: 65_536 });
    const [near, far] = await lab.pair();
    lab.network.cutOneWay('b', 'a');
    for (const i of count(40)) near.raw.bulk.send(numbered(i, 16_384));
    far.raw.control.send(numbered(9));
    await lab.run(20_000);
    expect(far.got.bulk.length, 'a window full').equal(4);
    expect(near.raw.bulk.bufferedAmount).equal(36 * 16_384);
    expect(near.got.control).deep.equal([]);
    expect(lab.network.counts.retransmissions).greaterThan(3);
    lab.network.heal('a', 'b');
    await lab.until(() => far.got.bulk.length === 40, 25_000);
    await lab.until(() => near.got.control.length === 1, 25_000);
    expect(numbersOf(far.got.bulk)).deep.equal(count(40));
  });

  it('lets everything through at the end of a clog', async () => {
    const lab = new Lab({ ...still });
    const [near, far] = await lab.pair();
    near.raw.control.send(numbered(0));
    lab.network.clog('a', 'b', 1000);
    const free = lab.scheduler.now + 1000;
    await lab.run(1);
    near.raw.control.send(numbered(1));
    await lab.run(900);
    expect(far.got.control).deep.equal([]);
    far.raw.control.send(numbered(7));
    await lab.run(5);
    expect(near.got.control, 'the other direction is free').length(1);
    await lab.run(200);
    expect(numbersOf(far.got.control)).deep.equal([0, 1]);
    expect(far.at.control[0]).within(free, free + 5);
  });

  it('waits while the receiver is paused', async () => {
    const lab = new Lab();
    const [near, far] = await lab.pair();
    const b = lab.nodes.get('b')!.process;
    b.pausedUntil = lab.scheduler.now + 500;
    for (const i of count(5)) {
      near.raw.control.send(numbered(i));
      await lab.run(50);
    }
    expect(far.got.control).deep.equal([]);
    await lab.run(400);
    expect(numbersOf(far.got.control)).deep.equal(count(5));
    expect(Math.min(...far.at.control)).equal(b.pausedUntil);
  });

  it('checks its settings', () => {
    expect(() => new Lab({ lossRate: 1 })).throws('network.lossRate must be a number from 0 to 0.95, got 1');
    expect(() => new Lab({ bulk: { bandwidth: 1 } })).throws('network.bulk.bandwidth');
    expect(() => new Lab({ silenceMs: -1 })).throws('network.silenceMs');
    const { network } = new Lab();
    expect(() => network.shapeAll({ latencyMs: Number.NaN })).throws('shape.latencyMs');
    expect(() => network.clog('a', 'b', -1)).throws('ms must be');
    expect(() => network.cut('a', 'a')).throws('two different nodes');
    expect(() => network.partition([['a'], ['a', 'b']])).throws('without a node in common');
    expect(() => network.heal('a')).throws('both ids or none');
    expect(() => network.reset('a', 'b', 'c')).throws('side must be');
  });

  it('forgets changed shapes on request', async () => {
    const lab = new Lab({ ...still, latencyMs: 1 });
    const [near, far] = await lab.pair();
    lab.network.shapeAll({ latencyMs: 1000 });
    lab.network.resetShapes();
    near.raw.control.send(numbered(1));
    await lab.run(10);
    expect(far.got.control).length(1);
  });
});
