import { expect } from 'chai';
import { describe, it } from 'mocha';
import { ByteReader, ByteWriter } from '../../../lib/bytes.js';
import { decodeProgress, encodeProgress, type ProgressReport } from '../../../lib/engine/progressWire.js';
import { QuorateError } from '../../../lib/errors.js';

describe('how far the members are, as bytes', () => {
  const report: ProgressReport = {
    lastIndex: 2 ** 40,
    members: [
      { id: 'b', state: 'replicate', matched: 7, silentMs: 0, snapshot: undefined },
      { id: 'c', state: 'snapshot', matched: 0, silentMs: undefined, snapshot: { sent: 5, total: 2 ** 41 } },
      { id: 'd', state: 'absent', matched: 3, silentMs: 12_345, snapshot: undefined },
    ],
  };

  function encoded(given: ProgressReport): Uint8Array {
    const writer = new ByteWriter();
    encodeProgress(writer, 9, given);
    return writer.take();
  }

  it('is the same after it was sent', () => {
    expect(decodeProgress(new ByteReader(encoded(report)))).to.deep.equal({ token: 9, ...report });
  });

  it('is refused cut short, with something behind it, and with what cannot be', () => {
    const bytes = encoded(report);
    const of = (change: object): Uint8Array =>
      encoded({ ...report, members: [{ ...report.members[0]!, ...change }] });
    const bad = [
      Buffer.concat([bytes, new Uint8Array(1)]),
      encoded({ ...report, lastIndex: 2 ** 51 }),
      of({ matched: 2 ** 51 }),
      of({ id: '' }),
      of({ id: 'x'.repeat(129) }),
      of({ state: 'dreaming' }),
    ];
    for (let length = 0; length < bytes.length; length++) bad.push(Buffer.from(bytes.subarray(0, length)));
    for (const body of bad)
      expect(() => decodeProgress(new ByteReader(body)))
        .to.throw(QuorateError)
        .with.property('code', 'ERR_CODEC');
  });
});
