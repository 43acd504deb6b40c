/** A bank over three groups, under fire: money is neither made nor lost, and every history is serializable. */
import { expect } from 'chai';
import { runBank } from './bankRun.js';

describe('a bank over three groups', function () {
  this.timeout(300_000);
  // More of them: BANK_SEEDS=100-199, or `node build/test/soak/transactions.js`.
  const [first = 1, last = 2] = (process.env['BANK_SEEDS'] ?? '1-2').split('-').map(Number);
  for (let seed = first; seed <= last; seed++)
    it(`keeps its money, and nobody in doubt, whatever happens to the nodes: seed ${seed}`, async () => {
      const { counts } = await runBank(seed);
      expect(counts['transfer committed'] ?? 0, JSON.stringify(counts)).to.be.greaterThan(30);
      if (process.env['BANK_SEEDS'] !== undefined) console.log(JSON.stringify(counts));
    });
});
