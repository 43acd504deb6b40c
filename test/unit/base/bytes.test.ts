import { expect } from 'chai';
import fc from 'fast-check';
import { ByteReader, ByteWriter } from '../../../lib/bytes.js';
import { QuorateError } from '../../../lib/errors.js';

describe('byte writer and reader', () => {
  const value = fc.oneof(
    fc.record({ kind: fc.constant('varint' as const), value: fc.nat({ max: Number.MAX_SAFE_INTEGER }) }),
    fc.record({ kind: fc.constant('u32' as const), value: fc.nat({ max: 2 ** 32 - 1 }) }),
    fc.record({ kind: fc.constant('f64' as const), value: fc.double({ noNaN: true }) }),
    fc.record({ kind: fc.constant('string' as const), value: fc.string({ unit: 'grapheme' }) }),
    fc.record({ kind: fc.constant('bytes' as const), value: fc.uint8Array({ maxLength: 600 }) }),
  );

  it('bring back what was written, in one buffer after another', () => {
    fc.assert(
      fc.property(fc.array(fc.array(value)), (buffers) => {
        const writer = new ByteWriter();
        const taken = buffers.map((values) => {
          for (const item of values) (writer[item.kind] as (x: unknown) => void).call(writer, item.value);
          return writer.take();
        });
        for (const [at, values] of buffers.entries()) {
          const reader = new ByteReader(taken[at]!);
          for (const item of values) expect(reader[item.kind]()).to.deep.equal(item.value);
          expect(reader.remaining).to.equal(0);
        }
      }),
    );
  });

  it('patch and rewind', () => {
    const writer = new ByteWriter();
    writer.u32(0);
    writer.string('kept');
    const length = writer.length;
    writer.bytes(new Uint8Array(5000));
    writer.rewind(length);
    writer.patchU32(0, 7);
    const reader = new ByteReader(writer.take());
    expect([reader.u32(), reader.string(), reader.remaining]).to.deep.equal([7, 'kept', 0]);
  });

  it('never take malformed bytes for anything else than an error', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.array(fc.constantFrom('u8', 'u32', 'f64', 'varint', 'string', 'bytes')),
        (bytes, kinds) => {
          const reader = new ByteReader(bytes);
          try {
            for (const kind of kinds) reader[kind as 'u8']();
          } catch (error) {
            expect(error).to.be.instanceOf(QuorateError).with.property('code', 'ERR_CODEC');
          }
        },
      ),
    );
  });
});
