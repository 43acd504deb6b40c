/** Fifteen nodes in one process: a full mesh that three deaths at once do not disturb. */
import { expect } from 'chai';
import { runFullMesh } from './fullMeshRun.js';

describe('a full mesh of 15 nodes in one process', function () {
  this.timeout(300_000);

  it('forms, and survives any three deaths, twice', async () => {
    // Everything that has to hold is awaited in there: all links, all deaths noticed, commits through every surviving voter.
    const { rounds } = await runFullMesh({ nodes: 15, triples: 2 });
    expect(rounds).to.have.length(2);
    for (const round of rounds) expect(round.commits, JSON.stringify(round)).to.be.greaterThan(0);
  });
});
