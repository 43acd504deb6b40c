import { expect } from 'chai';
import fc from 'fast-check';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import {
  commitSize,
  electionSize,
  hasQuorum,
  majority,
  quorumsFor,
  quorumValue,
  voteResult,
} from '../../../lib/consensus/quorum.js';
import type { Membership, Quorums } from '../../../lib/consensus/membership.js';

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
    { voters: 'a', values: {}, reached: 0 },
    { voters: 'ab', values: { a: 5 }, reached: 0 },
    { voters: 'abc', values: { a: 5, b: 5, c: 5 }, reached: 5 },
    { voters: 'abc', values: { x: 9, y: 9, a: 2 }, reached: 0 },
    { voters: 'abcdef', values: { a: 1, b: 2, c: 3, d: 4, e: 5, f: 6 }, reached: 3 },
    { voters: 'abcdefg', values: { a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7 }, reached: 4 },
    { voters: 'abcdefghi', values: { e: 3, f: 4, g: 5, h: 6, i: 7 }, reached: 3 },
    { voters: 'abcdefghi', values: { f: 4, g: 5, h: 6, i: 7 }, reached: 0 },
    // Joint: the same on both sides, one more, one less, one replaced, a leader that leaves, all new.
    { voters: 'abc', outgoing: 'abc', values: { a: 9, b: 4, c: 2 }, reached: 4 },
    { voters: 'abcd', outgoing: 'abc', values: { a: 9, b: 8, d: 7 }, reached: 7 },
    { voters: 'abcd', outgoing: 'abc', values: { a: 9, d: 8, c: 7 }, reached: 7 },
    { voters: 'abcd', outgoing: 'abc', values: { b: 9, d: 8 }, reached: 0 },
    { voters: 'ab', outgoing: 'abc', values: { a: 9, c: 8 }, reached: 0 },
    { voters: 'bcd', outgoing: 'abc', values: { a: 9, b: 8 }, reached: 0 },
    { voters: 'bcd', outgoing: 'abc', values: { b: 8, c: 7 }, reached: 7 },
    { voters: 'def', outgoing: 'abc', values: { a: 9, b: 9, c: 9, d: 3, e: 2 }, reached: 2 },
    { voters: 'def', outgoing: 'a', values: { a: 1, d: 3, e: 2 }, reached: 1 },
    // A half without voters holds nothing, unless it is the old one, which then is no half.
    { voters: '', outgoing: 'abc', values: { a: 9, b: 9, c: 9 }, reached: 0 },
    { voters: '', values: { a: 9 }, reached: 0 },
  ]) {
    it(`reaches ${reached} with voters ${voters}/${outgoing} at ${JSON.stringify(values)}`, () => {
      const at = values as Record<string, number>;
      expect(quorumValue(joint(Array.from(voters), Array.from(outgoing)), ({ id }) => at[id] ?? 0)).to.equal(
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
    { voters: 'a', yes: '', no: '', result: 'pending' },
    { voters: 'a', yes: '', no: 'a', result: 'lost' },
    { voters: 'ab', yes: 'a', no: '', result: 'pending' },
    { voters: 'ab', yes: 'a', no: 'b', result: 'lost' },
    { voters: 'ab', yes: 'ab', no: '', result: 'won' },
    { voters: 'abcde', yes: 'abc', no: '', result: 'won' },
    { voters: 'abcde', yes: 'ab', no: 'cd', result: 'pending' },
    { voters: 'abcde', yes: 'ab', no: 'cde', result: 'lost' },
    { voters: 'abcdef', yes: 'abc', no: 'def', result: 'lost' },
    { voters: 'abcdefghi', yes: 'abcde', no: 'fghi', result: 'won' },
    { voters: 'abcdefghi', yes: 'abcd', no: 'efgh', result: 'pending' },
    { voters: 'abcd', outgoing: 'abc', yes: 'ab', no: '', result: 'pending' },
    { voters: 'abcd', outgoing: 'abc', yes: 'ab', no: 'd', result: 'pending' },
    { voters: 'abcd', outgoing: 'abc', yes: 'abd', no: 'c', result: 'won' },
    { voters: 'abcd', outgoing: 'abc', yes: 'ad', no: 'bc', result: 'lost' },
    { voters: 'bcd', outgoing: 'abc', yes: 'ab', no: 'cd', result: 'lost' },
    { voters: 'def', outgoing: 'abc', yes: 'abde', no: 'cf', result: 'won' },
    { voters: 'def', outgoing: 'abc', yes: 'abdef', no: '', result: 'won' },
    { voters: 'def', outgoing: 'abc', yes: 'def', no: 'ab', result: 'lost' },
    { voters: '', outgoing: 'abc', yes: 'abc', no: '', result: 'lost' },
    { voters: '', yes: 'abc', no: '', result: 'lost' },
  ]) {
    it(`is ${result} with voters ${voters}/${outgoing}, yes ${yes}, no ${no}`, () => {
      const vote = ({ id }: { id: string }): boolean | undefined =>
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
        const reached = quorumValue(membership, ({ id }) => at[id] ?? 0);
        expect(reached).to.equal(expected);
        expect(hasQuorum(membership, ({ id }) => (at[id] ?? 0) >= reached)).to.equal(true);
        expect(hasQuorum(membership, ({ id }) => (at[id] ?? 0) > reached)).to.equal(false);
      }),
    );
  });

  it('makes any two quorums meet', () => {
    const ids = fc.uniqueArray(fc.constantFrom(...ids7), { minLength: 1, maxLength: 7 });
    const some = fc.uniqueArray(fc.constantFrom(...ids7));
    fc.assert(
      fc.property(ids, some, some, (voters, one, two) => {
        const membership = joint(voters);
        const both = [one, two].every((set) => hasQuorum(membership, ({ id }) => set.includes(id)));
        if (both) expect(voters.some((id) => one.includes(id) && two.includes(id))).to.equal(true);
      }),
    );
  });

  // The plain definitions: a value is reached if more than half of each half is there; an election is won (lost) if it is
  // whatever (not whatever) the missing votes will say.
  describe('as defined, for one to nine voters', () => {
    const ids9 = Array.from('abcdefghi');
    const one = fc.uniqueArray(fc.constantFrom(...ids9), { minLength: 1, maxLength: 9 });
    const any = fc.oneof(one, fc.constant([] as string[]));
    const half = (ids: readonly string[], has: (id: string) => boolean): boolean =>
      ids.filter(has).length * 2 > ids.length;
    const agreed = (incoming: readonly string[], outgoing: readonly string[], has: (id: string) => boolean) =>
      half(incoming, has) && (outgoing.length === 0 || half(outgoing, has));

    it('the value is the highest that is reached', () => {
      const values = fc.dictionary(fc.constantFrom(...ids9), fc.integer({ min: 0, max: 12 }));
      fc.assert(
        fc.property(any, any, values, (incoming, outgoing, at) => {
          let highest = 0;
          for (let value = 1; value <= 12; value++)
            if (agreed(incoming, outgoing, (id) => (at[id] ?? 0) >= value)) highest = value;
          expect(quorumValue(joint(incoming, outgoing), ({ id }) => at[id] ?? 0)).to.equal(highest);
        }),
        { numRuns: 500 },
      );
    });

    it('the vote is won or lost when nothing that is missing can change it', () => {
      const votes = fc.dictionary(fc.constantFrom(...ids9), fc.boolean());
      fc.assert(
        fc.property(any, any, votes, (incoming, outgoing, votes) => {
          const missing = ids9.filter((id) => votes[id] === undefined);
          const outcomes = new Set<boolean>();
          for (let bits = 0; bits < 1 << missing.length; bits++) {
            const yes = (id: string): boolean => votes[id] ?? ((bits >> missing.indexOf(id)) & 1) === 1;
            outcomes.add(agreed(incoming, outgoing, yes));
          }
          const expected = outcomes.size === 2 ? 'pending' : outcomes.has(true) ? 'won' : 'lost';
          expect(voteResult(joint(incoming, outgoing), ({ id }) => votes[id])).to.equal(expected);
        }),
        { numRuns: 200 },
      );
    });

    it('any quorum of a joint membership meets any quorum of either half', () => {
      const some = fc.uniqueArray(fc.constantFrom(...ids9));
      const meet = (x: readonly string[], y: readonly string[]): boolean => x.some((id) => y.includes(id));
      fc.assert(
        fc.property(one, one, some, some, (incoming, outgoing, both, single) => {
          if (!hasQuorum(joint(incoming, outgoing), ({ id }) => both.includes(id))) return;
          for (const part of [incoming, outgoing])
            if (hasQuorum(joint(part), ({ id }) => single.includes(id)))
              expect(meet(both, single)).to.equal(true);
        }),
        { numRuns: 500 },
      );
    });
  });

  describe('that are not majorities', () => {
    for (const [n, commit, election, expected] of [
      [5, 2, undefined, { commit: 2, election: 4 }],
      [5, 2, 4, { commit: 2, election: 4 }],
      [5, 2, 5, { commit: 2, election: 5 }],
      [5, 1, undefined, { commit: 1, election: 5 }],
      [5, 3, undefined, { commit: 3, election: 3 }],
      // Raft needs two elections of one term to meet, so here no less than a majority.
      [5, 4, undefined, { commit: 4, election: 3 }],
      [4, 2, undefined, { commit: 2, election: 3 }],
      [4, 3, undefined, { commit: 3, election: 3 }],
      [2, 1, undefined, { commit: 1, election: 2 }],
      [1, 1, undefined, { commit: 1, election: 1 }],
    ] as const)
      it(`of ${n}: ${commit} to commit${election === undefined ? '' : `, ${election} to elect`}`, () => {
        const quorums = quorumsFor(n, election === undefined ? { commit } : { commit, election });
        expect({ commit: commitSize(n, quorums), election: electionSize(n, quorums) }).to.deep.equal(
          expected,
        );
      });

    it('follow when the number of voters changes', () => {
      const quorums = quorumsFor(5, { commit: 2, election: 5 });
      const sizes = (n: number) => [commitSize(n, quorums), electionSize(n, quorums)];
      expect([1, 2, 3, 4, 5, 6, 7].map(sizes)).to.deep.equal([
        [1, 1],
        [2, 2],
        [2, 3],
        [2, 4],
        [2, 5],
        [2, 6],
        [2, 7],
      ]);
    });

    const ids = Array.from('abcdefg');
    const some = fc.uniqueArray(fc.constantFrom(...ids));
    const voters = fc.uniqueArray(fc.constantFrom(...ids), { minLength: 1 });
    const quorums: fc.Arbitrary<Quorums> = fc.record({
      commit: fc.integer({ min: 1, max: 9 }),
      spare: fc.integer({ min: 0, max: 3 }),
    });
    const count = (part: readonly string[], set: readonly string[]): number =>
      part.filter((id) => set.includes(id)).length;

    it('meet as they must, in joint memberships as well', () => {
      const any = fc.option(voters, { nil: [] });
      fc.assert(
        fc.property(voters, any, quorums, quorums, some, some, (now, old, q, oldQ, one, two) => {
          const both: Membership = { ...joint(now, old), quorums: q, outgoingQuorums: oldQ };
          const before: Membership = { ...joint(old), quorums: oldQ };
          const holds = (membership: Membership, set: readonly string[], kind: 'commit' | 'election') =>
            hasQuorum(membership, ({ id }) => set.includes(id), kind);
          const meet = count(one, two) > 0;
          for (const other of old.length === 0 ? [both] : [both, before]) {
            if (holds(both, one, 'election') && holds(other, two, 'commit')) expect(meet).to.equal(true);
            if (holds(both, one, 'commit') && holds(other, two, 'election')) expect(meet).to.equal(true);
            if (holds(both, one, 'election') && holds(other, two, 'election')) expect(meet).to.equal(true);
          }
        }),
        { numRuns: 2000 },
      );
    });

    it('are counted as a plain model counts them', () => {
      const values = fc.dictionary(fc.constantFrom(...ids), fc.integer({ min: 1, max: 9 }));
      fc.assert(
        fc.property(
          voters,
          fc.option(voters, { nil: [] }),
          quorums,
          quorums,
          values,
          (now, old, q, oldQ, at) => {
            const membership: Membership = { ...joint(now, old), quorums: q, outgoingQuorums: oldQ };
            const halves = [{ part: now, rule: q }, ...(old.length === 0 ? [] : [{ part: old, rule: oldQ }])];
            const commits = (set: readonly string[]): boolean =>
              halves.every(({ part, rule }) => count(part, set) >= Math.min(rule.commit, part.length));
            const elects = (set: readonly string[]): boolean =>
              halves.every(({ part, rule }) => {
                const n = part.length;
                const least = Math.max(n - Math.min(rule.commit, n), Math.floor(n / 2)) + 1;
                return count(part, set) >= Math.min(n, least + rule.spare);
              });
            let highest = 0;
            for (let value = 1; value <= 9; value++)
              if (commits(ids.filter((id) => (at[id] ?? 0) >= value))) highest = value;
            expect(quorumValue(membership, ({ id }) => at[id] ?? 0)).to.equal(highest);
            const yes = ids.filter((id) => (at[id] ?? 0) > 6);
            const open = ids.filter((id) => (at[id] ?? 0) > 3);
            const vote = ({ id }: { id: string }) =>
              yes.includes(id) ? true : open.includes(id) ? undefined : false;
            const expected = elects(yes) ? 'won' : elects(open) ? 'pending' : 'lost';
            expect(voteResult(membership, vote)).to.equal(expected);
          },
        ),
        { numRuns: 1000 },
      );
    });
  });
});
