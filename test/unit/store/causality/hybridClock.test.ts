/** Hybrid logical clocks. */
import { expect } from 'chai';
import fc from 'fast-check';
import { QuorateError } from '../../../../lib/errors.js';
import {
  compareTimestamps,
  HybridLogicalClock,
  timestampAfter,
  type HybridTimestamp,
} from '../../../../lib/store/causality/hybridClock.js';

const at = (wall: number, counter: number): HybridTimestamp => ({ wall, counter });

describe('a hybrid logical clock', () => {
  it('follows the vectors of the facts', () => {
    let wall = 10;
    const clock = new HybridLogicalClock({ wallClock: () => wall });
    expect(clock.now()).to.deep.equal(at(10, 0));
    expect(clock.now()).to.deep.equal(at(10, 1));
    wall = 9;
    expect(clock.now()).to.deep.equal(at(10, 2));
    wall = 11;
    expect(clock.now()).to.deep.equal(at(11, 0));
    expect(clock.receive(at(11, 5))).to.deep.equal(at(11, 6));
    wall = 12;
    expect(clock.receive(at(20, 3))).to.deep.equal(at(20, 4));
    expect(clock.receive(at(15, 9)), 'an old one').to.deep.equal(at(20, 5));
    wall = 30;
    expect(clock.receive(at(15, 9)), 'both behind').to.deep.equal(at(30, 0));
    expect(clock.last).to.deep.equal(at(30, 0));
  });

  it('does not follow what is too far ahead, and says so', () => {
    const told: [HybridTimestamp, number][] = [];
    const clock = new HybridLogicalClock({
      wallClock: () => 1000.7,
      maxOffsetMs: 50,
      onAhead: (timestamp, ahead) => told.push([timestamp, ahead]),
    });
    expect(clock.receive(at(1050, 1))).to.deep.equal(at(1050, 2));
    expect(told).to.deep.equal([]);
    expect(clock.receive(at(1051, 0))).to.deep.equal(at(1050, 3));
    expect(told).to.deep.equal([[at(1051, 0), 51]]);
    expect(new HybridLogicalClock({ wallClock: () => 0 }).receive(at(500, 0)), 'by default').to.deep.equal(
      at(500, 1),
    );
    expect(new HybridLogicalClock({ wallClock: () => 0 }).receive(at(501, 0))).to.deep.equal(at(0, 1));
  });

  it('goes on after an earlier life, though the wall clock was set back', () => {
    const clock = new HybridLogicalClock({ wallClock: () => 5, after: at(100, 2 ** 32 - 2) });
    expect([clock.now(), clock.now(), clock.now()]).to.deep.equal([
      at(100, 2 ** 32 - 1),
      at(101, 0),
      at(101, 1),
    ]);
    expect(timestampAfter(at(1, 2 ** 32 - 1))).to.deep.equal(at(2, 0));
  });

  it('refuses what is no timestamp and options out of range', () => {
    const codeOf = (run: () => unknown): string => {
      try {
        run();
      } catch (error) {
        return error instanceof QuorateError ? error.code : String(error);
      }
      return 'nothing';
    };
    const clock = new HybridLogicalClock({ wallClock: () => 1 });
    for (const bad of [undefined, 5, at(-1, 0), at(1.5, 0), at(2 ** 48 + 1, 0), at(1, 2 ** 32), at(NaN, 0)])
      expect(
        codeOf(() => clock.receive(bad as HybridTimestamp)),
        JSON.stringify(bad),
      ).to.equal('ERR_CONFIG');
    expect(clock.last).to.deep.equal(at(0, 0));
    expect(codeOf(() => new HybridLogicalClock({ maxOffsetMs: -1 }))).to.equal('ERR_CONFIG');
    expect(codeOf(() => new HybridLogicalClock({ after: at(0, -1) }))).to.equal('ERR_CONFIG');
    expect(codeOf(() => new HybridLogicalClock({ wallClock: 5 as never }))).to.equal('ERR_CONFIG');
  });

  it('orders events as they follow from each other, and stays near the fastest clock', () => {
    const step = fc.record({
      node: fc.nat(2),
      from: fc.nat(2),
      passes: fc.integer({ min: -20, max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const walls = [1000, 1100, 900];
        const clocks = walls.map((_, i) => new HybridLogicalClock({ wallClock: () => walls[i]! }));
        let fastest = 1100;
        for (const { node, from, passes } of steps) {
          walls[node]! += passes;
          fastest = Math.max(fastest, ...walls);
          const [mine, theirs] = [clocks[node]!.last, clocks[from]!.last];
          const next = node === from ? clocks[node]!.now() : clocks[node]!.receive(theirs);
          expect(compareTimestamps(next, mine)).to.be.greaterThan(0);
          if (theirs.wall - walls[node]! <= 500)
            expect(compareTimestamps(next, theirs)).to.be.greaterThan(node === from ? -1 : 0);
          expect(next.wall).to.be.at.most(fastest);
        }
      }),
    );
  });
});
