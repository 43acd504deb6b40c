import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { elected, put, three, untilLed } from './support.js';

async function scenario(
  seed: number,
): Promise<{ hash: string; now: number; events: number; history: string }> {
  const simulation = await elected({
    seed,
    network: { lossRate: 0.05, jitterMs: 3 },
    clocks: { driftRate: 0.1 },
  });
  const old = simulation.leader()!;
  simulation.crash(old);
  await untilLed(simulation);
  for (let n = 0; n < 10; n++)
    await put(simulation, simulation.leader()!, `key ${n}`, n).catch(() => undefined);
  simulation.restart(old);
  await simulation.run(2000);
  simulation.check();
  const { now, events, history, trace } = simulation;
  return { hash: trace.hash, now, events, history: JSON.stringify(history) };
}

describe('simulation: determinism', () => {
  it('goes the same way twice, in this process and in another', async function () {
    this.timeout(60_000);
    const first = await scenario(5);
    expect(await scenario(5)).to.deep.equal(first);
    const script = `
      const { scenario } = await import(${JSON.stringify(import.meta.url)});
      console.log(JSON.stringify(await scenario(5)));`;
    const mocha = 'globalThis.describe = () => undefined;';
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--input-type=module',
      '-e',
      mocha + script,
    ]);
    expect(JSON.parse(stdout)).to.deep.equal(first);
  });

  it('goes another way with another seed', async () => {
    const [one, other] = [await scenario(5), await scenario(6)];
    expect(one.hash).to.not.equal(other.hash);
    expect(one.history).to.not.equal(other.history);
  });

  it('keeps the newest events of the trace, and its hash counts them all', async () => {
    const few = await elected({ traceEvents: 5 });
    const many = await elected({ traceEvents: 1e6 });
    const none = await elected({ traceEvents: 0 });
    expect(few.trace.hash).to.equal(many.trace.hash);
    expect(none.trace.hash).to.equal(many.trace.hash);
    expect(few.trace.events.length).to.be.within(5, 10);
    expect(many.trace.events).to.have.lengthOf(many.trace.length);
    expect(none.trace.events).to.deep.equal([]);
    expect(many.trace.events.slice(-5)).to.deep.equal(few.trace.events.slice(-5));
    expect(many.trace.events.filter(({ kind }) => kind === 'start').map(({ node }) => node)).to.deep.equal(
      three,
    );
  });
});

export { scenario };
