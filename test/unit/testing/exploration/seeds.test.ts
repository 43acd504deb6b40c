import { expect } from 'chai';
import { planSeed } from '../../../../lib/testing/exploration/storm.js';
import { runPlan } from '../../../../lib/testing/exploration/runPlan.js';

/** Explored in every test run; `npm run soak` goes further. */
const FIRST = 0;
const SEEDS = 60;
const A_TEST = 10;

describe('exploration: seeds', () => {
  for (let from = FIRST; from < FIRST + SEEDS; from += A_TEST) {
    it(`nothing is violated in seeds ${from} to ${from + A_TEST - 1}`, async function () {
      this.timeout(240_000);
      for (let seed = from; seed < from + A_TEST; seed++) {
        const { violation, counts } = await runPlan(planSeed(seed));
        if (violation !== undefined) {
          const { invariant, time, message } = violation;
          expect.fail(
            `seed ${seed} violates ${invariant} at ${time.toFixed(3)} ms: ${message}\n` +
              `to see it: npm run soak -- --seed ${seed}; to make it smaller: npm run soak -- --from ${seed} --seeds 1`,
          );
        }
        const { 'runs that served and converged': served = 0 } = counts;
        const { 'runs without anybody who could be elected': idle = 0 } = counts;
        expect(served + idle, `seed ${seed}`).to.equal(1);
      }
    });
  }
});
