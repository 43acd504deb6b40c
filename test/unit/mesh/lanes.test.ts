import { expect } from 'chai';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { PieceReader, PieceWriter, maxHeaderBytes } from '../../../lib/mesh/framing.js';
import { LaneReceiver } from '../../../lib/mesh/laneReceiver.js';
import { LaneSender } from '../../../lib/mesh/laneSender.js';
import { pieceOverhead, urgentCapBytes, watermarks } from '../../../lib/mesh/limits.js';
import { FakeLane, turns } from './support.js';

const window = 65_536;

interface Pair {
  readonly lane: FakeLane;
  readonly sender: LaneSender;
  readonly receiver: LaneReceiver;
  readonly problems: string[];
  /** Carries everything until nothing moves any more. */
  readonly carry: () => Promise<void>;
}

function pair(
  onFrame: (kind: number, frame: Uint8Array) => boolean | Promise<boolean>,
  options: {
    fragmentBytes?: number;
    sendQueueBytes?: number;
    maxFrameBytes?: number;
    windowBytes?: number;
  } = {},
): Pair {
  const lane = new FakeLane();
  const problems: string[] = [];
  const windowBytes = options.windowBytes ?? window;
  const sender = new LaneSender({
    name: 'bulk',
    lane,
    fragmentBytes: options.fragmentBytes ?? 4096,
    sendQueueBytes: options.sendQueueBytes ?? 1 << 24,
    windowBytes,
    onSent: () => undefined,
  });
  const receiver = new LaneReceiver(windowBytes, options.maxFrameBytes ?? 1 << 24, {
    onFrame,
    onLinkFrame: () => undefined,
    announce: (limit) => {
      if (!sender.grant(limit, windowBytes)) problems.push('a grant that was refused');
    },
    onBroken: (problem) => problems.push(problem),
  });
  const carry = async (): Promise<void> => {
    for (let idle = 0; idle < 3; idle++) {
      await turns(1);
      for (const message of lane.sent.splice(0)) {
        receiver.receive(message);
        idle = 0;
      }
    }
  };
  return { lane, sender, receiver, problems, carry };
}

describe('framing', () => {
  it('carries any frames whole, in order, whatever the fragment size', async () => {
    const frames = fc.array(fc.tuple(fc.integer({ min: 1, max: 31 }), fc.nat(20_000), fc.boolean()), {
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(frames, fc.integer({ min: 1024, max: 9000 }), async (list, fragmentBytes) => {
        const ordinary: string[] = [];
        const urgent: string[] = [];
        const got: string[] = [];
        const { sender, problems, carry, lane } = pair(
          (kind, frame) => {
            got.push(`${kind} ${frame.length} ${checksum(frame)}`);
            return true;
          },
          { fragmentBytes },
        );
        for (const [kind, length, isUrgent] of list) {
          const size = isUrgent ? length % 500 : length;
          const frame = Uint8Array.from({ length: size }, (_, i) => (i * 7 + kind + size) & 0xff);
          expect(isUrgent ? sender.sendUrgent(kind, frame) : sender.send(kind, frame)).to.equal(true);
          (isUrgent ? urgent : ordinary).push(`${kind} ${size} ${checksum(frame)}`);
        }
        await turns(1);
        expect(lane.sent.every((message) => message.length <= fragmentBytes)).to.equal(true);
        await carry();
        expect(problems).to.deep.equal([]);
        // What was queued in one turn: urgent frames first, each class in its order.
        expect(got).to.deep.equal([...urgent, ...ordinary]);
      }),
      { numRuns: 60 },
    );
  });

  it('never throws, and never holds more than a frame, whatever the bytes', () => {
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc
        .tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 40 }))
        .map(([a, b]) => Uint8Array.from([a, ...b])),
    );
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 20 }), (messages) => {
        const reader = new PieceReader(1000, {
          charge: () => true,
          frame: (_, bytes) => bytes.length <= 1000,
        });
        for (const message of messages) if (reader.read(message) !== undefined) break;
        return reader.assembling <= 1000;
      }),
      { numRuns: 2000 },
    );
  });

  const broken: [string, number[], RegExp][] = [
    ['an empty message', [], /empty message/],
    ['a length beyond the message', [0xc1, 5, 1, 2], /longer than its message/],
    ['a length that does not end', [0xc1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], /longer than its message/],
    ['a fragment without a beginning', [0x01, 1, 0], /without a beginning/],
    ['an urgent fragment', [0xa1, 9, 1, 0], /urgent frame in fragments/],
    ['a frame inside a frame', [0x81, 9, 1, 0, 0xc1, 1, 0], /frame inside a frame/],
    ['a second beginning', [0x81, 9, 1, 0, 0x81, 9, 1, 0], /frame inside a frame/],
    ['a fragment of another kind', [0x81, 9, 1, 0, 0x42, 1, 0], /another kind/],
    ['too many bytes', [0x81, 3, 2, 0, 0, 0x41, 2, 0, 0], /longer than their frame/],
    ['too few bytes', [0x81, 9, 1, 0, 0x41, 1, 0], /shorter than their frame/],
    ['a frame above the cap', [0x81, 0xe9, 0x07, 1, 0], /above 1000/],
    ['an empty fragment', [0x81, 9, 1, 0, 0x01, 0], /empty fragment/],
    ['a first fragment that is all', [0x81, 1, 1, 0], /as long as its frame/],
  ];
  for (const [name, bytes, problem] of broken) {
    it(`refuses ${name}`, () => {
      const reader = new PieceReader(1000, { charge: () => true, frame: () => true });
      expect(reader.read(Uint8Array.from(bytes))).to.match(problem);
    });
  }

  it('lets an urgent frame come between fragments', () => {
    const got: number[] = [];
    const reader = new PieceReader(1000, { charge: () => true, frame: (kind) => got.push(kind) > 0 });
    expect(reader.read(Uint8Array.from([0x81, 2, 1, 0, 0xe2, 1, 9, 0x41, 1, 0]))).to.equal(undefined);
    expect(got).to.deep.equal([2, 1]);
  });

  it('packs to the last byte of its capacity', () => {
    const writer = new PieceWriter(1024);
    const frame = new Uint8Array(writer.space);
    writer.add(1, frame, 0, frame.length, false);
    expect(writer.length).to.be.at.most(1024);
    expect(writer.length).to.be.greaterThan(1024 - maxHeaderBytes);
  });
});

describe('a lane with credit', () => {
  it('sends all frames of one turn in one message', async () => {
    const { lane, sender } = pair(() => true);
    for (let i = 0; i < 10; i++) sender.send(1, new Uint8Array(64));
    sender.sendUrgent(2, new Uint8Array(8));
    expect(lane.sent.length).to.equal(0);
    await Promise.resolve();
    expect(lane.sent.length).to.equal(1);
  });

  it('never has more unconsumed bytes under way than the window, and loses nothing', async () => {
    const sizes = fc.array(fc.nat(30_000), { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 5 }), async (list, batch) => {
        const waiting: (() => void)[] = [];
        let held = 0;
        let most = 0;
        const got: number[] = [];
        const { sender, carry, problems } = pair((_, frame) => {
          got.push(frame.length);
          held += frame.length;
          most = Math.max(most, held);
          return new Promise<boolean>((resolve) =>
            waiting.push(() => {
              held -= frame.length;
              resolve(true);
            }),
          );
        });
        for (const size of list) sender.send(1, new Uint8Array(size));
        await carry();
        while (waiting.length > 0) {
          for (const consume of waiting.splice(0, batch)) consume();
          await carry();
        }
        expect(problems).to.deep.equal([]);
        expect(got).to.deep.equal(list);
        // One frame may overshoot: what was granted while it was in fragments.
        expect(most).to.be.at.most(window + 30_000);
      }),
      { numRuns: 40 },
    );
  });

  it('carries a frame larger than the window', async () => {
    let length = 0;
    const { sender, carry, problems } = pair((_, frame) => (length = frame.length) > 0);
    sender.send(1, new Uint8Array(10 * window));
    await carry();
    expect([length, problems]).to.deep.equal([10 * window, []]);
  });

  it('stops when the receiver does not consume, and goes on when it does', async () => {
    const waiting: ((ok: boolean) => void)[] = [];
    const { sender, carry, receiver } = pair(() => new Promise<boolean>((resolve) => waiting.push(resolve)));
    for (let i = 0; i < 200; i++) sender.send(1, new Uint8Array(1000));
    await carry();
    const stopped = waiting.length;
    expect(stopped).to.equal(Math.floor(window / (1000 + pieceOverhead)));
    expect(receiver.held).to.be.at.most(window);
    for (const resolve of waiting.splice(0)) resolve(true);
    await carry();
    // Credit comes in quarters of the window, so the last one may still be due.
    expect(waiting.length).to.be.within(Math.floor(stopped * 0.75), stopped);
  });

  it('lets urgent frames through when all credit is used up', async () => {
    const kinds: number[] = [];
    const { sender, carry } = pair((kind) => {
      kinds.push(kind);
      return kind === 1 ? new Promise<boolean>(() => undefined) : true;
    });
    for (let i = 0; i < 100; i++) sender.send(1, new Uint8Array(1000));
    await carry();
    sender.sendUrgent(2, new Uint8Array(10));
    await carry();
    expect(kinds.at(-1)).to.equal(2);
    expect(kinds.filter((kind) => kind === 1).length).to.be.lessThan(100);
  });

  it('answers false when the queue is full, but takes one large frame into an empty one', () => {
    const { sender } = pair(() => true, { sendQueueBytes: 100_000 });
    expect(sender.send(1, new Uint8Array(1_000_000))).to.equal(true);
    expect(sender.send(1, new Uint8Array(1))).to.equal(false);
  });

  it('caps the count of queued frames too', () => {
    const { sender } = pair(() => true, { sendQueueBytes: 65_536 });
    let taken = 0;
    while (sender.send(1, new Uint8Array(0))) taken++;
    expect(taken).to.equal(65_536 / pieceOverhead);
  });

  it('sends a frame that fits no lane message the ordinary way, urgent or not', async () => {
    let length = 0;
    const { sender, carry } = pair((_, frame) => (length = frame.length) > 0);
    expect(sender.sendUrgent(1, new Uint8Array(10_000))).to.equal(true);
    await carry();
    expect(length).to.equal(10_000);
  });

  it('pauses above the high-water mark, and resumes when the lane drains', async () => {
    const { lane, sender } = pair(() => true);
    lane.bufferedAmount = watermarks.bulk.high;
    sender.send(1, new Uint8Array(10));
    await turns(2);
    expect(lane.sent.length).to.equal(0);
    lane.bufferedAmount = watermarks.bulk.low;
    lane.onDrain?.();
    expect(lane.sent.length).to.equal(1);
  });

  it('drops urgent frames when too many wait in the transport', () => {
    const { lane, sender } = pair(() => true);
    lane.bufferedAmount = urgentCapBytes;
    expect(sender.sendUrgent(1, new Uint8Array(1))).to.equal(false);
    lane.bufferedAmount = 0;
    expect(sender.sendUrgent(1, new Uint8Array(1))).to.equal(true);
  });

  it('breaks with a peer that sends more than its credit', () => {
    const { receiver, problems } = pair(() => new Promise<boolean>(() => undefined));
    const writer = new PieceWriter(5000);
    for (let i = 0; i < 40 && problems.length === 0; i++) {
      writer.add(1, new Uint8Array(4000), 0, 4000, false);
      receiver.receive(writer.take());
    }
    expect(problems[0]).to.match(/more than its credit/);
  });

  it('breaks with a peer that floods urgent frames into slow handlers', () => {
    const { receiver, problems } = pair(() => new Promise<boolean>(() => undefined));
    const writer = new PieceWriter(70_000);
    for (let i = 0; i < 100; i++) {
      writer.add(1, new Uint8Array(60_000), 0, 60_000, true);
      receiver.receive(writer.take());
    }
    expect(problems).to.have.length(1);
    expect(problems[0]).to.match(/urgent/);
  });

  it('refuses grants that make no sense', async () => {
    const { sender } = pair(() => true);
    expect(sender.grant(window - 1, window)).to.equal(false);
    expect(sender.grant(window + 1, window)).to.equal(false);
    sender.send(1, new Uint8Array(100));
    await turns(1);
    expect(sender.grant(window + 100, window)).to.equal(true);
    expect(sender.grant(window + 99, window)).to.equal(false);
  });

  for (const [name, answer, problem] of [
    ['answers false', () => false, /refused/],
    ['answers false later', () => Promise.resolve(false), /refused/],
    ['rejects', () => Promise.reject(new Error('boom')), /failed/],
    [
      'throws',
      () => {
        throw new Error('boom');
      },
      /failed/,
    ],
  ] as [string, () => boolean | Promise<boolean>, RegExp][]) {
    it(`breaks when a handler ${name}`, async () => {
      const { sender, carry, problems } = pair(answer);
      sender.send(1, new Uint8Array(1));
      sender.send(1, new Uint8Array(1));
      await carry();
      expect(problems).to.have.length(1);
      expect(problems[0]).to.match(problem);
    });
  }

  it('calls back once when its backlog has drained, and when it closes', async () => {
    const { lane, sender } = pair(() => true, { sendQueueBytes: 65_536 });
    let drained = 0;
    lane.bufferedAmount = watermarks.bulk.high;
    for (let i = 0; i < 60; i++) sender.send(1, new Uint8Array(1000));
    sender.whenDrained(() => drained++);
    await turns(2);
    expect(drained).to.equal(0);
    lane.bufferedAmount = 0;
    lane.onDrain?.();
    lane.onDrain?.();
    expect(drained).to.equal(1);
    lane.bufferedAmount = watermarks.bulk.high;
    sender.whenDrained(() => drained++);
    await turns(2);
    expect(drained).to.equal(1);
    sender.close();
    await turns(2);
    expect(drained).to.equal(2);
    expect(sender.send(1, new Uint8Array(1))).to.equal(false);
  });
});

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum = (sum * 31 + byte) >>> 0;
  return sum;
}
