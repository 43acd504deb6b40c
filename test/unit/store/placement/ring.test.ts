/** The ring: who owns what, how evenly, and how little moves. */
import { expect } from 'chai';
import fc from 'fast-check';
import { Ring, type RingMember } from '../../../../lib/store/placement/ring.js';

const PARTITIONS = 1024;

function membersOf(count: number, salt = ''): RingMember[] {
  return Array.from({ length: count }, (_, i) => ({ id: `node${salt}-${i}`, weight: 1 }));
}

function sharesOf(ring: Ring): Map<string, number> {
  const shares = new Map(ring.members.map(({ id }) => [id, 0]));
  for (let at = 0; at < PARTITIONS; at++)
    for (const id of ring.ownersOf(at)) shares.set(id, shares.get(id)! + 1);
  return shares;
}

/** Copies that are owned after, by those who did not own them before. */
function moved(before: Ring, after: Ring): number {
  let count = 0;
  for (let at = 0; at < PARTITIONS; at++)
    count += after.ownersOf(at).filter((id) => !before.ownersOf(at).includes(id)).length;
  return count;
}

const salts = fc.string({
  unit: fc.constantFrom('a', 'b', 'c', 'd', '0', '1', '2'),
  minLength: 1,
  maxLength: 6,
});

describe('the ring of a store', () => {
  it('gives each partition to as many different members as there are copies, whatever the order of the members', () => {
    fc.assert(
      fc.property(
        salts,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 5 }),
        (salt, count, n) => {
          const members = membersOf(count, salt);
          const ring = new Ring(members, n, PARTITIONS);
          const turned = new Ring([...members].reverse(), n, PARTITIONS);
          for (let at = 0; at < PARTITIONS; at++) {
            const owners = ring.ownersOf(at);
            expect(new Set(owners).size).to.equal(Math.min(n, count));
            expect(owners).to.deep.equal(turned.ownersOf(at));
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it('shares the partitions out evenly', () => {
    fc.assert(
      fc.property(salts, fc.integer({ min: 4, max: 16 }), (salt, count) => {
        const shares = [...sharesOf(new Ring(membersOf(count, salt), 3, PARTITIONS)).values()];
        const mean = (PARTITIONS * 3) / count;
        expect(Math.max(...shares)).to.be.at.most(mean * 1.5);
        expect(Math.min(...shares)).to.be.at.least(mean * 0.55);
      }),
      { numRuns: 40 },
    );
  });

  it('gives a member of double weight about the double', () => {
    const members = [...membersOf(7), { id: 'heavy', weight: 2 }];
    const share = sharesOf(new Ring(members, 2, PARTITIONS)).get('heavy')!;
    const one = (PARTITIONS * 2) / 9;
    expect(share).to.be.within(one * 1.6, one * 2.4);
  });

  it('moves what a new member takes, to that member, and nothing else', () => {
    fc.assert(
      fc.property(
        salts,
        fc.integer({ min: 3, max: 15 }),
        fc.integer({ min: 1, max: 4 }),
        (salt, count, n) => {
          const members = membersOf(count + 1, salt);
          const before = new Ring(members.slice(0, -1), n, PARTITIONS);
          const after = new Ring(members, n, PARTITIONS);
          const taken = sharesOf(after).get(members.at(-1)!.id)!;
          if (count >= n) expect(moved(before, after)).to.equal(taken);
          expect(taken).to.be.at.most(((PARTITIONS * Math.min(n, count + 1)) / (count + 1)) * 1.6);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('moves what a member leaves, and nothing else', () => {
    fc.assert(
      fc.property(
        salts,
        fc.integer({ min: 4, max: 15 }),
        fc.integer({ min: 1, max: 3 }),
        (salt, count, n) => {
          const members = membersOf(count, salt);
          const before = new Ring(members, n, PARTITIONS);
          const after = new Ring(members.slice(1), n, PARTITIONS);
          expect(moved(before, after)).to.equal(sharesOf(before).get(members[0]!.id));
        },
      ),
      { numRuns: 25 },
    );
  });
});
