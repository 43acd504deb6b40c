import { expect } from 'chai';
import { live } from './life.js';

const SEEDS = Number(process.env['CLUSTER_SEEDS'] ?? 1000);
const FIRST = Number(process.env['CLUSTER_FIRST_SEED'] ?? 1);

for (const consensus of ['raft', 'paxos'] as const)
  describe(`${consensus}() in a simulated cluster`, function () {
    this.timeout(120_000);

    it('keeps its promises under every kind of trouble, and gets well afterwards', () => {
      let committed = 0;
      let answered = 0;
      let installs = 0;
      const changes: string[] = [];
      let transfers = 0;
      for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
        try {
          const cluster = live(seed, consensus);
          committed += cluster.watch.committed;
          answered += cluster.answered;
          installs += cluster.installs;
          changes.push(...cluster.changes);
          transfers += cluster.transfers;
        } catch (error) {
          throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
        }
      }
      // The trouble must not be such that nothing happens at all.
      expect(committed).to.be.above(SEEDS * 50);
      expect(answered).to.be.above(SEEDS * 20);
      expect(installs).to.be.above(SEEDS / 10);
      for (const [what, often] of [
        ['ok', 3],
        ['configPending', 1],
        ['noQuorum', 0.1],
      ] as const)
        expect(changes.filter((one) => one === what).length, what).to.be.above(SEEDS * often * 0.1);
      expect(transfers).to.be.above(SEEDS / 2);
    });

    it('is decided by the seed alone', () => {
      const one = live(7, consensus);
      const two = live(7, consensus);
      expect(one.now).to.equal(two.now);
      expect([...one.watch.log.keys()]).to.deep.equal([...two.watch.log.keys()]);
    });
  });
