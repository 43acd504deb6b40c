import { expect } from 'chai';
import fc from 'fast-check';
import { ByteWriter } from '../../../lib/bytes.js';
import { QuorateError } from '../../../lib/errors.js';
import { hashRow, maxRowVersion, quantisePhi } from '../../../lib/failure/rows.js';
import type { ConnectivityRow } from '../../../lib/failure/rows.js';
import { decodeRowMessage, encodeRows, encodeVersions, rowBytes } from '../../../lib/failure/rowsCodec.js';
import { incarnationOf } from './partitionLab.js';

const isIncarnation = (text: string): boolean => /^[0-9]{15}-[0-9a-f]{16}$/.test(text);
const ids = fc.stringMatching(/^[A-Za-z0-9._:@-]{1,128}$/);
const entryKinds = fc.constantFrom(
  { hears: true, pending: false, deaf: false },
  { hears: true, pending: false, deaf: true },
  { hears: false, pending: true, deaf: false },
  { hears: false, pending: false, deaf: false },
);
const rows = fc
  .record({
    from: ids,
    run: fc.nat(),
    version: fc.integer({ min: 1, max: maxRowVersion }),
    left: fc.boolean(),
    peers: fc.uniqueArray(fc.tuple(ids, entryKinds, fc.nat({ max: 1000 })), {
      selector: ([id]) => id,
      maxLength: 20,
    }),
  })
  .map(({ from, run, version, left, peers }): ConnectivityRow => ({
    from,
    incarnation: incarnationOf(run),
    version,
    left,
    entries: left
      ? []
      : peers
          .filter(([peer]) => peer !== from)
          .map(([peer, kind, tenths]) => ({ peer, ...kind, phi: tenths / 10 }))
          .sort((a, b) => (a.peer < b.peer ? -1 : 1)),
  }));
const tables = fc.uniqueArray(rows, { selector: (row) => row.from, maxLength: 8 });

function refused(bytes: Uint8Array, about: RegExp): void {
  try {
    decodeRowMessage(bytes, isIncarnation);
  } catch (error) {
    expect(error).to.be.instanceOf(QuorateError);
    expect((error as QuorateError).code).to.equal('ERR_CODEC');
    expect((error as QuorateError).message).to.match(about);
    return;
  }
  throw new Error(`taken: ${Buffer.from(bytes).toString('hex')}`);
}

const row = (change: Partial<ConnectivityRow> = {}): ConnectivityRow => ({
  from: 'a',
  incarnation: incarnationOf(1),
  version: 1,
  left: false,
  entries: [],
  ...change,
});
const entry = (peer: string, change: object = {}): ConnectivityRow['entries'][number] => ({
  peer,
  hears: true,
  pending: false,
  deaf: false,
  phi: 0,
  ...change,
});

describe('connectivity rows as bytes', () => {
  it('come back as they went', () => {
    fc.assert(
      fc.property(tables, (table) => {
        expect(decodeRowMessage(encodeRows(table), isIncarnation)).to.deep.equal({
          kind: 'rows',
          rows: table,
        });
        const alive = table.filter(({ left }) => !left);
        expect(decodeRowMessage(encodeRows(alive, true), isIncarnation)).to.deep.equal({
          kind: 'lost',
          rows: alive,
        });
        const names = table.map(({ from, incarnation, version }) => ({ from, incarnation, version }));
        for (let believed = 0; believed <= names.length; believed++) {
          const message = { versions: names.slice(0, believed), lost: names.slice(believed) };
          const bytes = encodeVersions(message.versions, message.lost);
          expect(decodeRowMessage(bytes, isIncarnation)).to.deep.equal({ kind: 'versions', ...message });
        }
        for (const one of table) expect(encodeRows([one]).length).to.be.at.most(rowBytes(one) + 2);
      }),
    );
  });

  it('refuse every cut, and anything after the end', () => {
    fc.assert(
      fc.property(tables, (table) => {
        const bytes = table.length % 2 === 0 ? encodeRows(table) : encodeVersions(table, []);
        for (let end = 0; end < bytes.length; end += 1 + Math.floor(bytes.length / 50)) {
          refused(bytes.subarray(0, end), /./);
        }
        refused(Buffer.concat([bytes, Buffer.of(0)]), /after the end/);
      }),
    );
  });

  it('refuse random bytes with a code, or read them as something that encodes again', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 80 }),
          tables.map((table) => encodeRows(table)),
          tables.map((table) => encodeRows(table, true)),
          tables.map((table) => encodeVersions(table.slice(1), table.slice(0, 1))),
        ),
        fc.nat(),
        fc.nat(),
        (bytes, at, bit) => {
          const damaged = Uint8Array.from(bytes);
          if (damaged.length > 0) damaged[at % damaged.length]! ^= 1 << (bit % 8);
          try {
            const read = decodeRowMessage(damaged, isIncarnation);
            const again =
              read.kind === 'versions'
                ? encodeVersions(read.versions, read.lost)
                : encodeRows(read.rows, read.kind === 'lost');
            expect(decodeRowMessage(again, isIncarnation)).to.deep.equal(read);
          } catch (error) {
            expect((error as QuorateError).code).to.equal('ERR_CODEC');
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('refuse what makes no sense', () => {
    refused(Buffer.of(9, 0), /kind 9/);
    refused(encodeRows([row(), row()]), /two rows of a/);
    refused(encodeVersions([row(), row({ version: 2 })], []), /two rows of a/);
    refused(encodeVersions([row()], [row({ version: 2 })]), /two rows of a/);
    refused(encodeRows([row({ from: 'b' }), row({ left: true })], true), /farewell of a as a lost row/);
    refused(encodeRows([row({ from: 'a b' })]), /cannot be/);
    refused(encodeRows([row({ from: 'x'.repeat(129) })]), /cap of 128/);
    refused(encodeRows([row({ incarnation: 'yesterday' })]), /no incarnation/);
    refused(encodeRows([row({ version: 0 })]), /version 0/);
    refused(encodeRows([row({ version: maxRowVersion + 1 })]), /version/);
    refused(encodeRows([row({ left: true, entries: [entry('b')] })]), /farewell/);
    refused(encodeRows([row({ entries: [entry('a')] })]), /about itself/);
    refused(encodeRows([row({ entries: [entry('c'), entry('b')] })]), /not sorted/);
    refused(encodeRows([row({ entries: [entry('b'), entry('b')] })]), /not sorted/);
    refused(encodeRows([row({ entries: [entry('b', { pending: true })] })]), /flags 3/);
    refused(encodeRows([row({ entries: [entry('b', { hears: false, deaf: true })] })]), /flags 4/);
    refused(encodeRows([row({ entries: [entry('b', { phi: 100.1 })] })]), /phi/);
    const many = new ByteWriter();
    many.u8(1);
    many.varint(1025);
    refused(many.take(), /1025 rows/);
    const peers = Array.from({ length: 1025 }, (_, i) => entry(`n${String(i).padStart(4, '0')}`));
    refused(encodeRows([row({ entries: peers })]), /1025 entries/);
    decodeRowMessage(encodeRows([row({ entries: peers.slice(1) })]), isIncarnation);
  });

  it('have phi in tenths, up to 100, and never anything but a number', () => {
    expect([-1, 0, 0.04, 0.06, 3.14159, 1e9, Infinity, NaN].map(quantisePhi)).to.deep.equal([
      0, 0, 0, 0.1, 3.1, 100, 100, 0,
    ]);
  });

  it('have hashes that do not add up to the same for near tables', () => {
    const sums = new Set<number>();
    for (let a = 1; a <= 60; a++)
      for (let b = 1; b <= 60; b++)
        sums.add((hashRow(row({ version: a })) + hashRow(row({ from: 'b', version: b }))) % 2 ** 52);
    expect(sums.size).to.equal(3600);
    for (const sum of sums) expect(Number.isSafeInteger(sum) && sum >= 0).to.equal(true);
  });
});
