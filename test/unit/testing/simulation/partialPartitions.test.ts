/** The partial partitions of docs/partial-partitions.md: whole nodes, over a mesh that relays and over one that does not. */
import { expect } from 'chai';
import { paxos, raft, type ConsensusOption } from '../../../../lib/replica/consensus.js';
import { ELECTION_MS, longestGap, measure, type Outcome } from '../../../partitions/measure.js';
import { fallen, scenarios } from '../../../partitions/scenarios.js';

/** `npm run partitions` has more seeds, and longer ones. */
const partitionMs = 6000;
const SEEDS = 1;

async function each(
  consensus: () => ConsensusOption,
  relay: boolean,
  name: string,
  judge: (outcome: Outcome) => void,
): Promise<void> {
  const scenario = scenarios.find((one) => one.name === name)!;
  for (let seed = 1; seed <= SEEDS; seed++)
    judge(await measure({ scenario, consensus: consensus(), relay, seed, partitionMs }));
}

describe('partial partitions', function () {
  this.timeout(120_000);

  it('are built as in the paper', () => {
    const cut = Object.fromEntries(
      scenarios.map((one) => [
        one.name,
        fallen(one)
          .map(([a, b]) => a + b)
          .join(' '),
      ]),
    );
    expect(cut).to.deep.equal({
      'quorum-loss': 'BC BD BE CD CE DE',
      constrained: 'AC BC BD BE CD CE DE',
      chained: 'BC',
    });
  });

  it('are measured by the longest time in which nothing is done', () => {
    expect(longestGap([1, 2, 12, 15, 90], 10, 20)).to.equal(5);
    expect(longestGap([12], 10, 20)).to.equal(8);
    expect(longestGap([9, 20], 10, 20)).to.equal(10);
  });

  for (const [title, consensus, relay] of [
    ['paxos() without relaying', paxos, false],
    ['paxos() over a mesh that relays', paxos, true],
    ['raft() over a mesh that relays', raft, true],
  ] as const)
    for (const { name, parts } of scenarios)
      it(`${name}: ${title} goes on, with one change of the leader at most`, () =>
        each(consensus, relay, name, ({ stable, changes, downMs, served, healedMs }) => {
          expect(stable, 'stable progress').to.equal(true);
          expect(changes).to.be.at.most(name === 'chained' ? 0 : 1);
          expect(downMs).to.be.below(4 * ELECTION_MS);
          // Over a mesh that relays all but one that is cut off from everybody; otherwise all who reach the leader.
          const apart = name === 'constrained' || (name === 'chained' && !relay) ? 1 : 0;
          expect(served).to.equal(parts.length - apart);
          expect(healedMs).to.not.equal(undefined);
        }));

  it('constrained: raft() without relaying stands still, loses nothing, and goes on when it is healed', () =>
    each(raft, false, 'constrained', ({ stable, downMs, served, healedMs }) => {
      expect(stable).to.equal(false);
      expect(downMs).to.be.closeTo(partitionMs, 1);
      expect(served).to.equal(0);
      expect(healedMs).to.be.below(5000);
    }));

  for (const name of ['quorum-loss', 'chained'])
    it(`${name}: raft() without relaying goes on, thanks to pre-vote and check-quorum`, () =>
      each(raft, false, name, ({ stable, changes }) => {
        expect(stable).to.equal(true);
        expect(changes).to.be.at.most(1);
      }));
});
