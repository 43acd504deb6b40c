import { expect } from 'chai';
import { runSagas } from './fire.js';

describe('random sagas under fire', () => {
  // More of them: SAGA_SEEDS=100-199
  const [first = 1, last = 2] = (process.env['SAGA_SEEDS'] ?? '1-2').split('-').map(Number);
  for (let seed = first; seed <= last; seed++)
    it(`each ends as it must, and each effect is there once: seed ${seed}`, async () => {
      const counts = await runSagas(seed);
      expect(counts['completed'], JSON.stringify(counts)).to.be.greaterThan(0);
      expect(counts['compensated'], JSON.stringify(counts)).to.be.greaterThan(0);
    });
});
