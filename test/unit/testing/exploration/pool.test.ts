import { expect } from 'chai';
import { planRun } from '../../../../lib/testing/exploration/plan.js';
import { figures, group, report, span } from '../../../soak/report.js';
import { checkPlan } from '../../../soak/planFile.js';
import { describePlan } from '../../../../lib/testing/exploration/describePlan.js';
import { Pool } from '../../../soak/pool.js';
import { Tally } from '../../../soak/tally.js';

const troubled = new URL('./support/troubledWorker.js', import.meta.url);

describe('soak: the processes', () => {
  let pool: Pool | undefined;
  afterEach(() => pool?.close());

  it('runs seeds, and keeps its process', async function () {
    this.timeout(60_000);
    pool = new Pool();
    const plan = { ...planRun(1), safetyMs: 300, faults: [] };
    const one = await pool.run({ seed: 1, plan }, 60_000);
    const other = await pool.run({ seed: 1, plan }, 60_000);
    expect(one.outcome.violation).to.equal(undefined);
    expect(one.outcome.events).to.be.above(100);
    expect(other.outcome.hash).to.equal(one.outcome.hash);
  });

  it('kills a process that hangs, and goes on with another', async function () {
    this.timeout(60_000);
    pool = new Pool(troubled);
    const { outcome } = await pool.run({ seed: 1 }, 1500);
    expect(outcome).to.deep.include({ seed: 1 });
    expect(outcome.violation).to.include({ invariant: 'hang', message: 'no answer in 2 real seconds' });
    expect((await pool.run({ seed: 0 }, 60_000)).outcome.hash).to.equal('well');
  });

  it('reports a process that ends, is killed or breaks, with what it said', async function () {
    this.timeout(60_000);
    pool = new Pool(troubled);
    for (const [seed, words] of [
      [2, /ended with code 3[^]*last words/],
      [3, /ended with SIGKILL/],
      [4, /Error: it broke/],
    ] as const) {
      const { outcome } = await pool.run({ seed }, 60_000);
      expect(outcome.violation?.invariant).to.equal('no crash');
      expect(outcome.violation?.message).to.match(words);
    }
    expect((await pool.run({ seed: 0 }, 60_000)).outcome.hash).to.equal('well');
  });

  it('does nothing more when it is closed', async () => {
    pool = new Pool(troubled);
    const open = pool.run({ seed: 1 }, 60_000);
    pool.close();
    expect((await open).outcome.violation).to.not.equal(undefined);
    expect((await pool.run({ seed: 0 }, 60_000)).outcome.violation?.message).to.equal('the pool is closed');
  });
});

describe('soak: the report', () => {
  const violation = { invariant: 'vote', node: 'a', time: 3, message: 'a votes twice' };
  const outcome = {
    virtualMs: 1_800_000,
    events: 2_000_000,
    commitIndex: 50,
    hash: '',
    trace: [],
    violation: undefined,
  };
  const tally = new Tally(['cut', 'pause']);
  tally.add({
    outcome: { ...outcome, seed: 1, counts: { 'fault: cut': 3, 'disk: write': 1_234_567 } },
    ms: 4000,
  });
  tally.add({
    outcome: { ...outcome, seed: 2, counts: { 'fault: cut': 0, surprises: 1 }, violation },
    ms: 6000,
  });
  const text = report(tally, 8000);

  it('says how much was done', () => {
    expect(text).to.match(/^2 seeds in 8\.0 s: ONE VIOLATION/);
    expect(text).to.include('0.3 seeds a second, 1.00 virtual hours (450 times as fast as time)');
    expect(text).to.include('4 000 000 events at 2.5 µs, 100 log entries committed');
  });

  it('counts how often, and in how many seeds', () => {
    expect(text).to.match(/^ {2}cut +3 +1 +50 %$/m);
    expect(text).to.match(/^ {2}write +1 234 567 +1 +50 %$/m);
    expect(text).to.match(/^ {2}surprises +1 +1 +50 %$/m);
  });

  it('says what was never reached, but nothing of faults that were not to be done', () => {
    const never = /^Never reached: (.*)$/m.exec(text)![1]!.split(', ');
    expect(never).to.include.members(['truncations', 'snapshots installed', 'fault: pause', 'power losses']);
    expect(never).to.not.include.members(['fault: crash']);
    expect(never).to.not.include('fault: cut');
  });

  it('names what was violated, and where', () => {
    expect(text).to.include('VIOLATED: vote in 1 of 2 seeds: 2');
  });

  it('is there for programs as well', () => {
    const value = JSON.parse(JSON.stringify(figures(tally, 8000, 1))) as Record<string, unknown>;
    expect(value).to.deep.include({ seeds: 2, first: 1, events: 4_000_000, microsecondsPerEvent: 2.5 });
    expect(value.violations).to.deep.equal([{ seed: 2, ...violation }]);
    expect((value.counts as Record<string, unknown>)['fault: cut']).to.deep.equal({ total: 3, seeds: 1 });
  });

  it('writes numbers and times to be read', () => {
    expect([0, 999, 1000, 1234567].map(group)).to.deep.equal(['0', '999', '1 000', '1 234 567']);
    expect([1500, 99_900, 125_000, 7_380_000].map(span)).to.deep.equal([
      '1.5 s',
      '99.9 s',
      '2 min 5 s',
      '2 h 3 min',
    ]);
  });
});

describe('soak: plans', () => {
  it('come back from their file as they were, and run the same', () => {
    for (let seed = 0; seed < 30; seed++) {
      const plan = planRun(seed);
      expect(checkPlan(JSON.parse(JSON.stringify(plan)))).to.deep.equal(plan);
    }
  });

  it('are refused when they are none', () => {
    const plan = planRun(1);
    const wrong: [unknown, string][] = [
      [null, '--plan'],
      [7, '--plan'],
      [{ ...plan, seed: 'x' }, 'seed'],
      [{ ...plan, nodes: 'abc' }, 'nodes'],
      [{ ...plan, disk: undefined }, 'disk'],
      [{ ...plan, faults: [{ at: 'now', fault: { kind: 'cut' } }] }, 'faults[0].at'],
      [{ ...plan, faults: [{ at: 1, fault: { kind: 'quake' } }] }, 'faults[0].fault.kind'],
      [{ ...plan, faults: [null] }, 'faults[0]'],
    ];
    for (const [value, name] of wrong) expect(() => checkPlan(value)).to.throw(name);
  });

  it('are described with every fault on its line', () => {
    for (let seed = 0; seed < 30; seed++) {
      const plan = planRun(seed);
      const lines = describePlan(plan).split('\n');
      for (const { fault } of plan.faults)
        expect(lines.some((line) => line.includes(fault.kind))).to.equal(true);
      expect(lines.join('\n')).to.not.match(/object Object|undefined/);
    }
  });
});
