import { expect } from 'chai';
import { liveQuietly } from './quietLife.js';

const SEEDS = Number(process.env['CLUSTER_SEEDS'] ?? 300);
const FIRST = Number(process.env['CLUSTER_FIRST_SEED'] ?? 1);

describe('Raft in a simulated cluster that rests whenever it may', function () {
  this.timeout(120_000);

  it('keeps its promises, wakes whenever it has to, and rests again', () => {
    let rests = 0;
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      try {
        rests += liveQuietly(seed).rests;
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    // The trouble must find it asleep.
    expect(rests).to.be.above(SEEDS * 3);
  });
});
