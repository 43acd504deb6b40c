/** What is remembered for members that missed writes. */
import { expect } from 'chai';
import { ByteReader } from '../../../../lib/bytes.js';
import { HINT_WINDOW_MS, Hints, MAX_HINT_BYTES, MAX_HINTS } from '../../../../lib/store/local/hints.js';
import {
  decodeRecord,
  encodeHint,
  encodeIdentity,
  type StoreRecord,
} from '../../../../lib/store/local/records.js';

class Bench {
  now = 1e12;
  room = true;
  readonly records: StoreRecord[] = [];
  readonly hints = new Hints({
    wallClock: () => this.now,
    append: (record) => {
      if (this.room) this.records.push(decodeRecord(new ByteReader(record)));
      return this.room;
    },
  });
}

describe('hints', () => {
  it('are written down once, and again when they were handed over', () => {
    const { hints, records } = new Bench();
    expect(hints.add('b', 'k')).to.equal(true);
    expect(hints.add('b', 'k')).to.equal(true);
    hints.told('b', hints.peek('b', 10));
    expect(hints.size).to.equal(0);
    expect(records).to.deep.equal([
      { type: 'hint', member: 'b', key: 'k', since: 1e12 },
      { type: 'told', member: 'b', key: 'k' },
    ]);
  });

  it('stay where a member missed a key again while it was told of it', () => {
    const { hints } = new Bench();
    hints.add('b', 'k');
    const batch = hints.peek('b', 10);
    hints.add('b', 'k');
    hints.told('b', batch);
    expect(hints.peek('b', 10).map(({ key }) => key)).to.deep.equal(['k']);
  });

  it('are capped in number and in bytes, for each member, and say what was dropped', () => {
    const { hints } = new Bench();
    for (let n = 0; n < MAX_HINTS; n++) expect(hints.add('b', `${n}`)).to.equal(true);
    expect(hints.add('b', 'more')).to.equal(false);
    expect(hints.add('b', '7')).to.equal(true);
    expect(hints.add('c', 'more')).to.equal(true);
    expect([hints.count('b'), hints.count('c'), hints.dropped]).to.deep.equal([MAX_HINTS, 1, 1]);
    for (let n = 0; n < MAX_HINT_BYTES / 1024; n++)
      expect(hints.add('d', `${n}`.padEnd(1024, '.'))).to.equal(true);
    expect(hints.add('d', 'x')).to.equal(false);
    hints.told('d', hints.peek('d', 1));
    expect(hints.add('d', 'x')).to.equal(true);
  });

  it('end after three hours, counted from the first write that was missed', () => {
    const bench = new Bench();
    const { hints } = bench;
    hints.add('b', 'old');
    bench.now += HINT_WINDOW_MS / 2;
    hints.add('b', 'old');
    hints.add('b', 'new');
    bench.now += HINT_WINDOW_MS / 2 + 1;
    expect(hints.peek('b', 10).map(({ key }) => key)).to.deep.equal(['new']);
    expect([hints.size, hints.dropped]).to.deep.equal([1, 1]);
  });

  it('are not kept where there is no room for them on the disk, nor for who is no member', () => {
    const bench = new Bench();
    bench.hints.add('b', 'k');
    bench.hints.keepFor(['c']);
    bench.room = false;
    expect(bench.hints.add('c', 'k')).to.equal(false);
    expect([bench.hints.size, bench.hints.dropped]).to.deep.equal([0, 1]);
  });

  it('came with format 2: format 1 is still read, and one to come is not', () => {
    const clock = { wall: 1, counter: 0 };
    const record = encodeIdentity({ actor: 'a~0123456789abcdef', counter: 5, clock });
    const as = (format: number): StoreRecord => {
      record[1] = format;
      return decodeRecord(new ByteReader(record));
    };
    for (const format of [1, 2]) expect(as(format)).to.deep.include({ type: 'identity', format });
    for (const format of [0, 3]) expect(() => as(format)).to.throw('this version reads 1 to 2');
  });

  it('that no store wrote are refused', () => {
    expect(() => decodeRecord(new ByteReader(encodeHint('', 'k', 1)))).to.throw('a hint for no member');
  });
});
