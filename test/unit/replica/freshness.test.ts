/** How old a replica takes its state to be; lib/testing/consensus/lag.ts has whole nodes. */
import { expect } from 'chai';
import { Reads } from '../../../lib/replica/reads.js';
import type { GroupStatus } from '../../../lib/engine/door.js';
import { Virtual } from '../support/virtual.js';

/** The environment, with a wall clock of its own. */
class Clocks extends Virtual {
  shift = 0;

  override wallClock(): number {
    return super.wallClock() + this.shift;
  }
}

function bench(maxPending = 10) {
  const clocks = new Clocks(1);
  const reads = new Reads(clocks, maxPending, 1000, () => undefined);
  reads.statusChanged({ contact: 1 } as GroupStatus);
  const never = (): void => undefined;
  /** A read is asked for now; answers its context. */
  const ask = (): number => {
    const out: number[] = [];
    reads.add(never, never);
    reads.collect(out);
    return out[0]!;
  };
  /** The least whole maxLagMs that is met now. */
  const lag = (): number => {
    for (let ms = 1; ms < 10_000; ms++) if (reads.isWithin(ms)) return ms;
    return Infinity;
  };
  return { clocks, reads, ask, lag };
}

describe('the age of a state', () => {
  it('counts from when the read was asked for, once what it covers is applied', async () => {
    const { clocks, reads, ask, lag } = bench();
    expect(lag(), 'nothing was asked yet').to.equal(Infinity);
    const context = ask();
    await clocks.run(100);
    expect(lag(), 'no answer yet').to.equal(Infinity);
    reads.confirmed(context, 5, 3);
    expect(lag(), 'not applied yet').to.equal(Infinity);
    await clocks.run(50);
    reads.applied(4);
    expect(lag()).to.equal(Infinity);
    reads.applied(5);
    expect(lag()).to.equal(150);
    await clocks.run(30);
    expect(lag()).to.equal(180);
  });

  it('is that of the newest question, whichever is answered last', async () => {
    const { clocks, reads, ask, lag } = bench();
    const first = ask();
    await clocks.run(100);
    const second = ask();
    await clocks.run(10);
    reads.confirmed(second, 5, 5);
    reads.confirmed(first, 4, 5);
    expect(lag()).to.equal(10);
  });

  it('is by the clock that went further', async () => {
    const { clocks, reads, ask, lag } = bench();
    reads.confirmed(ask(), 1, 1);
    await clocks.run(20);
    clocks.shift = 3000;
    expect(lag(), 'it slept').to.equal(3020);
    clocks.shift = -3000;
    expect(lag(), 'the wall clock was set back').to.equal(20);
  });

  it('begins anew with a read that has to be asked again', async () => {
    const { clocks, reads, ask, lag } = bench();
    const context = ask();
    await clocks.run(10);
    reads.failed(context);
    await clocks.run(50);
    const out: number[] = [];
    reads.collect(out);
    await clocks.run(7);
    reads.confirmed(out[0]!, 1, 1);
    expect(lag()).to.equal(7);
  });

  it('is asked for ahead of time, one question at a time, and never beyond the cap', async () => {
    const { clocks, reads, ask } = bench(2);
    reads.confirmed(ask(), 1, 1);
    await clocks.run(49);
    expect([reads.isWithin(100), reads.pending]).to.deep.equal([true, 0]);
    await clocks.run(2);
    for (let i = 0; i < 5; i++) expect([reads.isWithin(100), reads.pending]).to.deep.equal([true, 1]);
    const out: number[] = [];
    reads.collect(out);
    reads.confirmed(out[0]!, 1, 1);
    expect(reads.pending).to.equal(0);
    await clocks.run(60);
    ask();
    ask();
    expect([reads.isWithin(100), reads.pending], 'full').to.deep.equal([true, 2]);
    reads.close('ERR_CLOSED', 'closed');
    expect(reads.pending).to.equal(0);
  });

  it('asks again when a question ahead of time came to nothing', async () => {
    const { clocks, reads, ask } = bench();
    reads.confirmed(ask(), 1, 1);
    await clocks.run(60);
    expect([reads.isWithin(100), reads.pending]).to.deep.equal([true, 1]);
    await clocks.run(1500);
    expect(reads.pending, 'it timed out').to.equal(0);
    expect(reads.isWithin(2000)).to.equal(true);
    expect(reads.pending).to.equal(1);
    reads.close('ERR_CLOSED', 'closed');
  });
});
