import { expect } from 'chai';
import { ByteWriter } from '../../../lib/bytes.js';
import { crc32 } from '../../../lib/crc.js';

describe('crc32', () => {
  it('goes on from its seed over nothing, whatever kind of nothing', () => {
    const nothing = new Uint8Array(0);
    // Node's own crc32 answers 0 once a view has been made of the empty buffer.
    new DataView(nothing.buffer);
    for (const empty of [
      nothing,
      new ByteWriter().take(),
      new Uint8Array([1]).subarray(1),
      Buffer.alloc(0),
    ]) {
      expect(crc32(empty, 123)).to.equal(123);
    }
  });

  it('is the same in pieces as over the whole', () => {
    const bytes = Buffer.from('123456789');
    expect(crc32(bytes)).to.equal(0xcbf43926);
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut)))).to.equal(0xcbf43926);
    }
  });
});
