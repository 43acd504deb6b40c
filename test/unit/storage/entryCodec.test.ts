import { expect } from 'chai';
import fc from 'fast-check';
import { ByteReader, ByteWriter } from '../../../lib/bytes.js';
import { NO_EPOCH } from '../../../lib/consensus/consensus.js';
import type { Entry, EntryKind, Epoch } from '../../../lib/consensus/consensus.js';
import { QuorateError } from '../../../lib/errors.js';
import { ChunkPool, GatherWriter } from '../../../lib/storage/disk/gatherWriter.js';
import { decodeEntries, encodeEntries } from '../../../lib/storage/entryCodec.js';
import {
  decodeHardState,
  decodeSnapshotMeta,
  encodeHardState,
  encodeSnapshotMeta,
} from '../../../lib/storage/stateCodec.js';
import { entries, entry, epoch, hard, metaAt } from './support/harness.js';

const epochs = fc.record({
  config: fc.maxSafeNat(),
  n: fc.maxSafeNat(),
  priority: fc.nat(),
  node: fc.string({ maxLength: 40 }),
}) satisfies fc.Arbitrary<Epoch>;
const times = fc.oneof(fc.nat(), fc.maxSafeInteger(), fc.double({ noNaN: true, noDefaultInfinity: true }));
const shapes = fc.record({
  kind: fc.constantFrom<EntryKind>('user', 'noop', 'config', 'stop'),
  count: fc.integer({ min: 1, max: 2 ** 30 }),
  time: times,
  data: fc.uint8Array({ maxLength: 300 }),
  newReign: fc.boolean(),
  epoch: epochs,
});
const blocks = fc
  .tuple(fc.integer({ min: 1, max: 2 ** 50 }), fc.array(shapes, { maxLength: 20 }))
  .map(([first, list]) => {
    const out: Entry[] = [];
    let index = first;
    let reign: Epoch = NO_EPOCH;
    for (const { kind, count, time, data, newReign, epoch: next } of list) {
      if (newReign) reign = next;
      out.push({ index, count: kind === 'user' ? count : 1, epoch: reign, time, kind, data });
      index += out.at(-1)!.count;
    }
    return out;
  });

function encoded(list: readonly Entry[]): Uint8Array {
  const writer = new ByteWriter();
  encodeEntries(writer, list);
  return writer.take();
}

describe('entry codec', () => {
  it('brings blocks back as they were', () => {
    fc.assert(
      fc.property(blocks, (list) => {
        const reader = new ByteReader(encoded(list));
        expect(decodeEntries(reader)).to.deep.equal(list);
        expect(reader.remaining).to.equal(0);
      }),
    );
  });

  it('writes the same through a writer that gathers', () => {
    const data = [0, 1, 8191, 8192, 65535, 65536, 200_000].map((length) =>
      new Uint8Array(length).fill(length % 251),
    );
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...data), { maxLength: 12 }), (payloads) => {
        const list = payloads.map((payload, i) => entry(i + 1, { data: payload }));
        const gather = new GatherWriter(new ChunkPool());
        encodeEntries(gather, list);
        const { length } = gather;
        const bytes = Buffer.concat(gather.finish());
        expect(bytes.length).to.equal(length);
        expect(Buffer.compare(bytes, encoded(list))).to.equal(0);
      }),
    );
  });

  it('shares the epoch within a reign, and with the one before', () => {
    const last = epoch(1);
    const list = decodeEntries(new ByteReader(encoded([...entries(1, 3), ...entries(4, 2, 1, 2)])), last);
    expect(list.slice(0, 3).every((one) => one.epoch === last)).to.equal(true);
    expect(list[3]!.epoch).to.equal(list[4]!.epoch);
    expect(list[3]!.epoch).not.to.equal(last);
  });

  it('gives views of the bytes, not copies', () => {
    const bytes = encoded(entries(1, 3));
    for (const { data } of decodeEntries(new ByteReader(bytes))) expect(data.buffer).to.equal(bytes.buffer);
  });

  it('is compact', () => {
    expect(encoded(entries(1000, 100, 100)).length).to.be.below(100 * 104 + 32);
  });

  it('never takes malformed bytes for anything else than an error', () => {
    fc.assert(
      fc.property(blocks, fc.nat(), fc.nat(255), fc.nat(), (list, at, value, cut) => {
        const bytes = encoded(list);
        bytes[at % bytes.length] = value;
        for (const candidate of [bytes, bytes.subarray(0, cut % (bytes.length + 1))])
          expectEntriesOrCodecError(candidate);
      }),
      { numRuns: 500 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), expectEntriesOrCodecError), { numRuns: 500 });
  });

  const [flagsAt] = [encoded(entries(1, 1)).indexOf(1, 1) + 1];
  const cases: [string, (bytes: Uint8Array) => void][] = [
    ['an unknown flag', (bytes) => (bytes[flagsAt]! |= 0x40)],
    ['two forms of time', (bytes) => (bytes[flagsAt]! |= 0x30)],
    ['no epoch', (bytes) => (bytes[flagsAt]! &= ~0x04)],
    ['index 0', (bytes) => (bytes[1] = 0)],
    ['more entries than bytes', (bytes) => (bytes[0] = 0x7f)],
    ['a count of several for a noop', (bytes) => (bytes[flagsAt]! |= 0x09)],
  ];
  for (const [name, change] of cases) {
    it(`refuses ${name}`, () => {
      const bytes = encoded(entries(1, 1));
      change(bytes);
      expect(() => decodeEntries(new ByteReader(bytes)))
        .to.throw(QuorateError)
        .with.property('code', 'ERR_CODEC');
    });
  }

  it('refuses a count of 0, an index above the safe integers, and a time that is none', () => {
    const bad = [
      [entry(1, { count: 0 })],
      [entry(2 ** 53 - 2, { count: 9 })],
      [entry(1, { time: NaN })],
      [entry(1, { time: Infinity })],
    ];
    for (const list of bad) {
      expect(() => decodeEntries(new ByteReader(encoded(list))))
        .to.throw(QuorateError)
        .with.property('code', 'ERR_CODEC');
    }
    expect(() => decodeEntries(new ByteReader(encoded(entries(1, 5))), undefined, 4)).to.throw(QuorateError);
  });

  it('brings hard states and snapshot metadata back', () => {
    for (const state of [
      hard(7),
      { ...hard(3), promiseMs: 300 },
      { ...hard(2 ** 52), accepted: epoch(9), vote: '', genesis: '', promiseMs: 0 },
    ]) {
      const writer = new ByteWriter();
      encodeHardState(writer, state);
      expect(decodeHardState(new ByteReader(writer.take()))).to.deep.equal(state);
    }
    const writer = new ByteWriter();
    encodeSnapshotMeta(writer, metaAt(9));
    const bytes = writer.take();
    expect(decodeSnapshotMeta(new ByteReader(bytes))).to.deep.equal(metaAt(9));
    for (let cut = 0; cut < bytes.length; cut++) {
      expect(() => decodeSnapshotMeta(new ByteReader(bytes.subarray(0, cut)))).to.throw(QuorateError);
    }
  });
});

function expectEntriesOrCodecError(bytes: Uint8Array): void {
  let list: Entry[];
  try {
    list = decodeEntries(new ByteReader(bytes));
  } catch (error) {
    expect(error).to.be.instanceOf(QuorateError).with.property('code', 'ERR_CODEC');
    return;
  }
  list.forEach((one, i) => {
    expect(
      Number.isSafeInteger(one.index) && one.index >= 1 && one.count >= 1 && Number.isFinite(one.time),
    ).to.equal(true);
    if (i > 0) expect(one.index).to.equal(list[i - 1]!.index + list[i - 1]!.count);
  });
}
