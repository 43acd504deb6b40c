import { expect } from 'chai';
import fc from 'fast-check';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import { hasQuorum, majority, quorumValue, voteResult } from '../../../lib/consensus/quorum.js';
import type { Membership } from '../../../lib/consensus/membership.js';

function joint(incoming: readonly string[], outgoing: readonly string[] = []): Membership {
  const { voters } = foundingMembership(outgoing);
  return { ...foundingMembership(incoming), outgoing: voters };
}

const ids7 = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

/** What a quorum of `ids` has reached, counted the plain way. */
function naive(ids: readonly string[], values: Readonly<Record<string, number>>): number {
  const sorted = ids.map((id) => values[id] ?? 0).sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length / 2) - 1] ?? 0;
}

describe('quorums', () => {
  it('takes more than half for a majority', () => {
    expect([1, 2, 3, 4, 5, 6, 7].map(majority)).to.deep.equal([1, 2, 2, 3, 3, 4, 4]);
  });

  for (const { voters, outgoing = '', values, reached } of [
    { voters: 'a', values: { a: 5 }, reached: 5 },
    { voters: 'ab', values: { a: 5, b: 3 }, reached: 3 },
    { voters: 'abc', values: { a: 5, b: 3 }, reached: 3 },
    { voters: 'abc', values: { a: 5 }, reached: 0 },
    { voters: 'abcd', values: { a: 9, b: 8, c: 7, d: 6 }, reached: 7 },
    { voters: 'abcde', values: { a: 1, b: 2, c: 3, d: 4, e: 5 }, reached: 3 },
    { voters: 'abc', outgoing: 'abd', values: { a: 9, b: 8, c: 7, d: 1 }, reached: 8 },
    { voters: 'abc', outgoing: 'def', values: { a: 9, b: 8, c: 7 }, reached: 0 },
    { voters: 'a', outgoing: 'abc', values: { a: 9, b: 4, c: 2 }, reached: 4 },
    { voters: '', values: { a: 9 }, reached: 0 },
  ]) {
    it(`reaches ${reached} with voters ${voters}/${outgoing} at ${JSON.stringify(values)}`, () => {
      const at = values as Record<string, number>;
      expect(quorumValue(joint(Array.from(voters), Array.from(outgoing)), (id) => at[id] ?? 0)).to.equal(
        reached,
      );
    });
  }

  for (const { voters, outgoing = '', yes, no, result } of [
    { voters: 'a', yes: 'a', no: '', result: 'won' },
    { voters: 'abc', yes: 'a', no: '', result: 'pending' },
    { voters: 'abc', yes: 'ab', no: 'c', result: 'won' },
    { voters: 'abc', yes: 'a', no: 'bc', result: 'lost' },
    { voters: 'abcd', yes: 'ab', no: 'cd', result: 'lost' },
    { voters: 'abcd', yes: 'ab', no: 'c', result: 'pending' },
    { voters: 'abc', outgoing: 'def', yes: 'abc', no: '', result: 'pending' },
    { voters: 'abc', outgoing: 'def', yes: 'abcd', no: 'ef', result: 'lost' },
    { voters: 'abc', outgoing: 'bcd', yes: 'bc', no: 'ad', result: 'won' },
    { voters: 'abc', yes: 'xyz', no: '', result: 'pending' },
    { voters: '', yes: 'abc', no: '', result: 'lost' },
  ]) {
    it(`is ${result} with voters ${voters}/${outgoing}, yes ${yes}, no ${no}`, () => {
      const vote = (id: string): boolean | undefined =>
        yes.includes(id) ? true : no.includes(id) ? false : undefined;
      expect(voteResult(joint(Array.from(voters), Array.from(outgoing)), vote)).to.equal(result);
    });
  }

  // openraft#1802: an "optimised" quorum index committed without a quorum.
  it('agrees with a plain sort, and never goes beyond what a quorum holds', () => {
    const ids = fc.uniqueArray(fc.constantFrom(...ids7), { minLength: 1, maxLength: 7 });
    const values = fc.dictionary(fc.constantFrom(...ids7), fc.integer({ min: 0, max: 9 }));
    fc.assert(
      fc.property(ids, fc.option(ids, { nil: [] }), values, (incoming, outgoing, at) => {
        const membership = joint(incoming, outgoing);
        const expected =
          outgoing.length === 0 ? naive(incoming, at) : Math.min(naive(incoming, at), naive(outgoing, at));
        const reached = quorumValue(membership, (id) => at[id] ?? 0);
        expect(reached).to.equal(expected);
        expect(hasQuorum(membership, (id) => (at[id] ?? 0) >= reached)).to.equal(true);
        expect(hasQuorum(membership, (id) => (at[id] ?? 0) > reached)).to.equal(false);
      }),
    );
  });

  it('makes any two quorums meet', () => {
    const ids = fc.uniqueArray(fc.constantFrom(...ids7), { minLength: 1, maxLength: 7 });
    const some = fc.uniqueArray(fc.constantFrom(...ids7));
    fc.assert(
      fc.property(ids, some, some, (voters, one, two) => {
        const membership = joint(voters);
        const both = [one, two].every((set) => hasQuorum(membership, (id) => set.includes(id)));
        if (both) expect(voters.some((id) => one.includes(id) && two.includes(id))).to.equal(true);
      }),
    );
  });
});
