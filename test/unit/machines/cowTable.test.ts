import { expect } from 'chai';
import fc from 'fast-check';
import { type Capture, CowTable } from '../../../lib/machines/cowTable.js';

function contentOf<V>(capture: Capture<V>): [string, V][] {
  return Array.from(capture.entries(), ([key, value]) => [key, value]);
}

const change = fc.oneof(
  { weight: 5, arbitrary: fc.record({ type: fc.constant('set' as const), key: fc.nat(60) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('delete' as const), key: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('capture' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('step' as const), capture: fc.nat(3) }) },
  // Many at once, so that pages fill and sweeps begin.
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('fill' as const), count: fc.integer({ min: 100, max: 900 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('thin' as const), every: fc.integer({ min: 1, max: 5 }) }),
  },
);

describe('CowTable', () => {
  it('is a Map, and captures are copies of it, however they interleave', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const table = new CowTable<number>();
        const model = new Map<string, number>();
        const captures: {
          expected: [string, number][];
          read: Iterator<[string, number], void>;
          got: [string, number][];
        }[] = [];
        let value = 0;
        const set = (key: string) => {
          expect(table.set(key, ++value)).to.equal(!model.has(key));
          model.set(key, value);
        };
        const remove = (key: string) => {
          expect(table.delete(key)).to.equal(model.delete(key));
        };
        const step = (capture: (typeof captures)[number]) => {
          const next = capture.read.next();
          if (next.done !== true) capture.got.push([...next.value]);
          return next.done;
        };
        for (const c of changes) {
          if (c.type === 'set') set(`k${c.key}`);
          else if (c.type === 'delete') remove(`k${c.key}`);
          else if (c.type === 'fill') for (let i = 0; i < c.count; i++) set(`f${value}`);
          else if (c.type === 'thin')
            [...model.keys()].forEach((key, i) => (i % 5 < c.every ? remove(key) : undefined));
          else if (c.type === 'capture') {
            const capture = table.capture();
            expect(capture.size).to.equal(model.size);
            captures.push({ expected: [...model], read: capture.entries(), got: [] });
          } else if (captures.length > 0) {
            for (let i = 0; i < 50; i++) step(captures[c.capture % captures.length]!);
          }
        }
        expect(table.size).to.equal(model.size);
        expect([...table.keys()].sort()).to.deep.equal([...model.keys()].sort());
        for (const [key, v] of model) expect(table.get(key)).to.equal(v);
        expect(contentOf(table.capture())).to.deep.equal([...model]);
        for (const capture of captures) {
          while (step(capture) !== true);
          expect(capture.got).to.deep.equal(capture.expected);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('gives the room of deleted keys back, a little at a time', () => {
    const table = new CowTable<number>();
    for (let i = 0; i < 20_000; i++) table.set(`${i}`, i);
    for (let i = 0; i < 19_990; i++) table.delete(`${i}`);
    for (let i = 0; i < 20_000; i++) {
      table.set('more', i);
      table.delete('more');
    }
    expect(table.slots).to.be.below(4096);
    expect(contentOf(table.capture()).map(([, value]) => value)).to.deep.equal([
      19990, 19991, 19992, 19993, 19994, 19995, 19996, 19997, 19998, 19999,
    ]);
  });

  it('can be captured while it closes holes', () => {
    const table = new CowTable<number>();
    const model = new Map<string, number>();
    for (let i = 0; i < 4000; i++) {
      table.set(`${i}`, i);
      model.set(`${i}`, i);
    }
    const slots = table.slots;
    for (let i = 0; i < 4000; i++) {
      if (i % 5 === 0) continue;
      table.delete(`${i}`);
      model.delete(`${i}`);
      if (i % 50 === 1) expect(contentOf(table.capture())).to.deep.equal([...model]);
    }
    for (let i = 0; i < 500; i++) {
      table.set('passing', i);
      table.delete('passing');
      if (i % 50 === 1) expect(contentOf(table.capture())).to.deep.equal([...model]);
    }
    expect(table.slots).to.be.below(slots); // the holes were closed meanwhile
  });

  it('keeps room in proportion when a queue runs through it', () => {
    const table = new CowTable<number>();
    let most = 0;
    for (let i = 0; i < 50_000; i++) {
      table.set(`${i}`, i);
      table.delete(`${i - 100}`);
      most = Math.max(most, table.slots);
    }
    expect(table.size).to.equal(100);
    expect(most).to.be.below(3 * 1024);
  });
});
