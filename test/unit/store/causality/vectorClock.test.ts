/** Vector clocks, against sets of events. */
import { expect } from 'chai';
import fc from 'fast-check';
import { QuorateError } from '../../../../lib/errors.js';
import { VectorClock } from '../../../../lib/store/causality/vectorClock.js';

const counters = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.nat(3));
const events = (clock: Record<string, number>): Set<string> =>
  new Set(
    Object.entries(clock).flatMap(([actor, n]) => Array.from({ length: n }, (_, i) => `${actor}${i + 1}`)),
  );

describe('a vector clock', () => {
  it('increments, merges and compares', () => {
    const a = VectorClock.empty.increment('a');
    const ab = a.increment('b');
    expect(ab.toJSON()).to.deep.equal({ a: 1, b: 1 });
    expect(a.compare(ab)).to.equal('before');
    expect(ab.compare(a)).to.equal('after');
    expect(a.increment('a').compare(ab)).to.equal('concurrent');
    expect(a.compare(VectorClock.of({ a: 1, z: 0 }))).to.equal('equal');
    expect([a.happensBefore(ab), ab.happensBefore(a), a.happensBefore(a)]).to.deep.equal([
      true,
      false,
      false,
    ]);
    expect([...VectorClock.of({ b: 2, a: 1, c: 0 }).entries()]).to.deep.equal([
      ['a', 1],
      ['b', 2],
    ]);
    expect(ab.covers({ actor: 'b', counter: 1 })).to.equal(true);
    expect(ab.covers({ actor: 'b', counter: 2 })).to.equal(false);
    expect(ab.with({ actor: 'b', counter: 1 })).to.equal(ab);
    expect(ab.get('nobody')).to.equal(0);
  });

  it('refuses bad counters and names', () => {
    for (const bad of [
      { a: -1 },
      { a: 1.5 },
      { a: 2 ** 53 },
      [
        ['a', 1],
        ['a', 2],
      ],
      [[5, 1]],
    ] as never[])
      expect(() => VectorClock.of(bad), JSON.stringify(bad))
        .to.throw(QuorateError)
        .with.property('code', 'ERR_CONFIG');
  });

  it('stands to others as the sets of events do', () => {
    fc.assert(
      fc.property(counters, counters, (left, right) => {
        const [a, b] = [VectorClock.of(left), VectorClock.of(right)];
        const [x, y] = [events(left), events(right)];
        const [xInY, yInX] = [[...x].every((e) => y.has(e)), [...y].every((e) => x.has(e))];
        const order = xInY ? (yInX ? 'equal' : 'before') : yInX ? 'after' : 'concurrent';
        expect(a.compare(b)).to.equal(order);
        expect(a.descends(b)).to.equal(yInX);
        expect(events(a.merge(b).toJSON())).to.deep.equal(new Set([...x, ...y]));
        expect(events(a.meet(b).toJSON())).to.deep.equal(new Set([...x].filter((e) => y.has(e))));
        const names = [...a.merge(b).entries()].map(([actor]) => actor);
        expect(names).to.deep.equal(names.slice().sort());
      }),
    );
  });
});
