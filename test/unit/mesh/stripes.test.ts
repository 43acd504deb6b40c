import { expect } from 'chai';
import fc from 'fast-check';
import { afterEach, describe, it } from 'mocha';
import { localSignaling } from '../../../lib/mesh/signaling/local.js';
import { StripedLane } from '../../../lib/mesh/webrtc/stripes.js';
import { FakeLane, VirtualEnvironment, until } from './support.js';
import { closeAll, greet, link, open } from './webrtcSupport.js';

/** A striped lane over fake ones, and what it said. */
function striped(
  count: number,
  first = 0,
): {
  lanes: FakeLane[];
  lane: StripedLane;
  environment: VirtualEnvironment;
  breaches: string[];
} {
  const lanes = Array.from({ length: count }, () => new FakeLane());
  const environment = new VirtualEnvironment();
  const breaches: string[] = [];
  const lane = new StripedLane(lanes, environment, (reason) => breaches.push(reason), first);
  return { lanes, lane, environment, breaches };
}

/** A message with its number, as it comes. */
function numbered(number: number, bytes = 0): Uint8Array {
  const message = Buffer.alloc(4 + bytes);
  message.writeUInt32BE(number >>> 0);
  return message;
}

describe('a lane over several connections', () => {
  it('delivers in the order of sending, whatever each connection is up to', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 8 }), fc.array(fc.nat(7), { maxLength: 200 }), (count, picks) => {
        const out = striped(count);
        const back = striped(count);
        const got: number[] = [];
        back.lane.onMessage = (message) => got.push(message[0]! * 256 + message[1]!);
        for (let i = 0; i < picks.length; i++) {
          out.lanes[picks[i]! % count]!.bufferedAmount = picks[i]!;
          expect(out.lane.send(Uint8Array.of(i >> 8, i & 255))).to.equal(true);
        }
        // Each connection keeps its order; which of them is next is chance.
        for (let turn = 0; out.lanes.some((lane) => lane.sent.length > 0); turn++) {
          const full = out.lanes.filter((lane) => lane.sent.length > 0);
          const lane = full[picks[turn % picks.length]! % full.length]!;
          back.lanes[out.lanes.indexOf(lane)]!.onMessage!(lane.sent.shift()!);
        }
        expect(got).to.deep.equal(picks.map((_, i) => i));
        expect(back.breaches).to.deep.equal([]);
      }),
      { numRuns: 100 },
    );
  });

  it('gives each message to the connection that holds least, in turn among equals', () => {
    const { lanes, lane } = striped(3);
    for (let i = 0; i < 6; i++) lane.send(new Uint8Array(1));
    expect(lanes.map((one) => one.sent.length)).to.deep.equal([2, 2, 2]);
    lanes[0]!.bufferedAmount = 100;
    lanes[2]!.bufferedAmount = 50;
    expect(lane.bufferedAmount).to.equal(0); // one has room: there is room
    for (let i = 0; i < 3; i++) lane.send(new Uint8Array(1));
    expect(lanes.map((one) => one.sent.length)).to.deep.equal([2, 5, 2]);
    lanes[1]!.bufferedAmount = 70;
    expect(lane.bufferedAmount).to.equal(50);
    expect(lane.maxMessageSize).to.equal(262_144 - 4);
    let drains = 0;
    lane.onDrain = () => drains++;
    lanes[2]!.onDrain!();
    expect(drains).to.equal(1);
    for (const one of lanes) one.open = false;
    expect(lane.send(new Uint8Array(1))).to.equal(false);
  });

  it('goes on counting past the end of its numbers', () => {
    const [out, back] = [striped(2, 0xffff_fffe), striped(2, 0xffff_fffe)];
    const got: number[] = [];
    back.lane.onMessage = (message) => got.push(message[0]!);
    for (let i = 0; i < 4; i++) out.lane.send(Uint8Array.of(i));
    // The second connection first: its numbers are those after the gap.
    for (const place of [1, 0]) for (const one of out.lanes[place]!.sent) back.lanes[place]!.onMessage!(one);
    expect([got, back.breaches]).to.deep.equal([[0, 1, 2, 3], []]);
  });

  for (const [name, messages] of [
    ['a message without a number', [new Uint8Array(3)]],
    ['a number that came before', [numbered(1), numbered(1)]],
    ['a number that is over', [numbered(0), numbered(0)]],
    ['a number too far ahead', [numbered(65_536)]],
  ] as const) {
    it(`ends at ${name}, and delivers nothing any more`, () => {
      const { lanes, lane, breaches } = striped(2);
      const got: Uint8Array[] = [];
      lane.onMessage = (message) => got.push(message);
      for (const message of messages) lanes[0]!.onMessage!(message);
      expect(breaches.length).to.equal(1);
      const before = got.length;
      lanes[0]!.onMessage!(numbered(before));
      expect(got.length).to.equal(before);
    });
  }

  it('holds what is early up to a cap, a small one while nobody listens', async () => {
    const silent = striped(2);
    for (let i = 0; i < 10; i++) silent.lanes[i % 2]!.onMessage!(numbered(i, 1000));
    const got: number[] = [];
    silent.lane.onMessage = (message) => got.push(message.length);
    silent.lanes[0]!.onMessage!(numbered(10, 7)); // not before those that wait
    expect(got).to.deep.equal([]);
    await silent.environment.run(1);
    expect(got).to.deep.equal([...new Array<number>(10).fill(1000), 7]);

    const stranger = striped(2);
    for (let i = 0; i < 11; i++) stranger.lanes[0]!.onMessage!(numbered(i, 100_000));
    expect(stranger.breaches).to.deep.equal(['too much came before its turn']);
    const many = striped(2);
    for (let i = 0; i < 257; i++) many.lanes[0]!.onMessage!(numbered(i));
    expect(many.breaches.length).to.equal(1);

    const known = striped(2);
    known.lane.onMessage = () => undefined;
    for (let i = 1; i <= 64; i++) known.lanes[0]!.onMessage!(numbered(i, 1024 * 1024));
    expect(known.breaches).to.deep.equal([]);
    known.lanes[0]!.onMessage!(numbered(65, 1));
    expect(known.breaches.length).to.equal(1);
  });
});

describe('bulk connections of a link', () => {
  afterEach(() => closeAll());

  it('are as many as both ends want, carry in order, and all count in the binding', async () => {
    const signaling = localSignaling();
    const a = await open('a', signaling, { bulkConnections: 4 });
    const b = await open('b', signaling, { bulkConnections: 3 });
    await link(a, b);
    const [atA, atB] = [a.links[0]!, b.links[0]!];
    expect(atA.binding).to.equal(atB.binding);
    const fingerprints = atA.binding.split(' ');
    expect(fingerprints.length).to.equal(8); // two ends of control and of three bulk connections
    expect(fingerprints.every((one) => /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/.test(one))).to.equal(true);
    let next = 0;
    atB.bulk.onMessage = (message) => {
      expect(Buffer.from(message).readUInt32BE()).to.equal(next++);
    };
    for (let i = 0; i < 2000; i++) {
      const message = Buffer.alloc(10 + ((i * 7919) % 20_000));
      message.writeUInt32BE(i);
      expect(atA.bulk.send(message)).to.equal(true);
    }
    await until('all', () => next === 2000);
    atA.close();
    await until('the end', () => b.closed.length === 1);
    expect(atB.bulk.send(new Uint8Array(1))).to.equal(false);
  });

  for (const [one, other] of [
    [1, 8],
    [8, 1],
  ] as const) {
    it(`come down to one between ends that want ${one} and ${other}`, async () => {
      const signaling = localSignaling();
      const a = await open('a', signaling, { bulkConnections: one });
      const b = await open('b', signaling, { bulkConnections: other });
      await link(a, b);
      greet(a, b);
      await until('words', () => a.got.length === 2 && b.got.length === 2);
      expect(a.links[0]!.binding.split(' ').length).to.equal(4);
      expect([a.closed, b.closed]).to.deep.equal([[], []]);
    });
  }

  it('live and die together: one that breaks the order ends the link on both sides', async () => {
    const signaling = localSignaling();
    const a = await open('a', signaling, { bulkConnections: 2 });
    const b = await open('b', signaling, { bulkConnections: 2 });
    await link(a, b);
    // Its numbers begin anew, as those of a peer that lost its mind.
    const { bulk } = a.links[0]!;
    if (!(bulk instanceof StripedLane)) throw new Error('one connection only');
    bulk.lanes[0]!.send(numbered(1_000_000));
    await until('the end', () => a.closed.length === 1 && b.closed.length === 1);
    expect(b.closed[0]).to.match(/number that cannot be/);
    expect(a.links[0]!.control.send(new Uint8Array(1))).to.equal(false);
  });
});
