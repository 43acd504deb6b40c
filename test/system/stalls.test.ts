/** Processes that stand still, sleep and die, over real data channels: nobody healthy is taken for dead, the dead are noticed. */
import { expect } from 'chai';
import { runBlocks } from './stalls/blockRun.js';
import { runDeaths } from './stalls/deathRun.js';
import { runPause } from './stalls/pauseRun.js';
import { runStalls } from './stalls/stallRun.js';

const roles = ['leader', 'follower'] as const;

describe('a process that stands still', function () {
  this.timeout(300_000);

  for (const role of roles) {
    it(`a ${role} that stalls for up to 2 s, again and again, convicts nobody and costs one election at most`, async () => {
      // The worst first, when nobody has patience with it yet, and often enough after that.
      const run = await runStalls(role, 35, 2000);
      const text = JSON.stringify(run);
      expect(run.convicts, `peers that it took for dead: ${text}`).to.deep.equal([]);
      expect(run.convictedLate, `taken for dead after it had announced its stalls: ${text}`).to.deep.equal(
        [],
      );
      expect(run.unexplained, `links lost that nobody closed: ${text}`).to.deep.equal([]);
      expect(run.suspected, text).to.be.greaterThan(0);
      expect(run.elections, text).to.be.at.most(1 + run.unorderedStalls);
      expect(run.commits, text).to.be.greaterThan(100);
      expect(run.verdict, text).to.equal('ok');
    });
  }

  for (const role of roles) {
    for (const seconds of [2, 10]) {
      it(`a ${role} that is suspended for ${seconds} s convicts nobody when it wakes, and its links come back`, async () => {
        const run = await runPause(role, seconds * 1000);
        const text = JSON.stringify(run);
        expect(run.convicts, text).to.deep.equal([]);
        expect(run.unexplained, text).to.deep.equal([]);
        // Three seconds are well beyond what a peer without patience bears.
        if (seconds > 3) expect(run.convicted, text).to.be.greaterThan(0);
        expect(run.verdict, text).to.equal('ok');
      });
    }
  }
});

describe('event loops that are blocked for half an election time-out', function () {
  this.timeout(300_000);

  it('cost no election under full load', async () => {
    const run = await runBlocks(20);
    const text = JSON.stringify(run);
    expect(run.elections, text).to.be.at.most(run.drawnOut.length);
    expect(run.blocks, text).to.be.greaterThan(30);
    expect(run.commits, text).to.be.greaterThan(100);
  });
});

describe('a process that is killed', function () {
  this.timeout(300_000);

  for (const loaded of [false, true]) {
    it(`is noticed by every survivor of ${loaded ? 'a loaded' : 'an idle'} group`, async () => {
      for (const death of await runDeaths(2, loaded)) {
        expect(death.lastMs, `noticed by every survivor: ${JSON.stringify(death)}`).to.be.a('number');
      }
    });
  }
});
