import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import { minimise } from '../../../../lib/testing/exploration/minimise.js';
import type { Fault } from '../../../../lib/testing/exploration/fault.js';
import { planRun, type RunPlan } from '../../../../lib/testing/exploration/plan.js';
import { runPlan } from '../../../../lib/testing/exploration/runPlan.js';
import { simplerFaults, simplerSettings } from '../../../../lib/testing/exploration/simpler.js';
import { acknowledgesEarly, acknowledgesEarlyAfterRestart } from './support/broken.js';

/** A plan with faults that are told apart by their clock shift. */
function planOf(count: number): RunPlan {
  const faults = Array.from({ length: count }, (_, i) => ({
    at: i * 10,
    fault: { kind: 'clock shift', node: 'a', byMs: i } satisfies Fault,
  }));
  return { ...planRun(1, { nodes: ['a', 'b', 'c', 'd', 'e'] }), faults };
}

const shifts = (plan: RunPlan): number[] => plan.faults.map(({ fault }) => (fault as { byMs: number }).byMs);

describe('exploration: minimising', () => {
  it('leaves nothing when nothing matters', async () => {
    const { plan, complete } = await minimise(planOf(40), async () => true);
    expect(plan.faults).to.deep.equal([]);
    expect(plan).to.include({ clients: 1 });
    expect(plan.messages).to.deep.equal({});
    expect(plan.network).to.deep.equal({});
    expect(plan.nodes).to.have.length(3);
    expect(plan.core).to.deep.equal(plan.nodes);
    expect(complete).to.equal(true);
  });

  for (const needed of [[0], [39], [3, 17], [0, 1, 38, 39], [5, 10, 15, 20, 25, 30]]) {
    it(`finds the faults ${needed.join(', ')} of 40`, async () => {
      const fails = async (plan: RunPlan): Promise<boolean> =>
        needed.every((one) => shifts(plan).includes(one));
      const found = await minimise(planOf(40), fails, { otherSeeds: 0 });
      expect(shifts(found.plan)).to.deep.equal(needed);
      expect(found.runs).to.be.below(400);
    });
  }

  it('finds one of several ways to fail, without anything to spare', async () => {
    const ways = [
      [4, 30],
      [7, 8, 9],
      [21, 22],
    ];
    const fails = async (plan: RunPlan): Promise<boolean> =>
      ways.some((way) => way.every((one) => shifts(plan).includes(one)));
    const { plan } = await minimise(planOf(40), fails, { otherSeeds: 0 });
    expect(ways).to.deep.include(shifts(plan));
  });

  it('never takes a plan that does not fail', async () => {
    const fails = async (plan: RunPlan): Promise<boolean> => shifts(plan).includes(11) && plan.clients > 2;
    const { plan } = await minimise({ ...planOf(20), clients: 8 }, fails);
    expect(await fails(plan)).to.equal(true);
    expect(plan.clients).to.be.within(3, 4);
    expect(shifts(plan)).to.deep.equal([11]);
  });

  it('leaves out again what a simpler plan does not need any more', async () => {
    // With many clients two faults matter, with one client a single one does.
    const fails = async (plan: RunPlan): Promise<boolean> =>
      shifts(plan).includes(2) && (plan.clients === 1 || shifts(plan).includes(9));
    const { plan } = await minimise({ ...planOf(12), clients: 8 }, fails, { otherSeeds: 0 });
    expect(shifts(plan)).to.deep.equal([2]);
  });

  it('drops at once what comes after the violation', async () => {
    const tried: number[] = [];
    const fails = async (plan: RunPlan): Promise<boolean> => {
      tried.push(plan.faults.length);
      return shifts(plan).includes(3);
    };
    await minimise(planOf(40), fails, { violatedAt: 45, otherSeeds: 0 });
    expect(tried.slice(0, 2)).to.deep.equal([0, 5]);
  });

  it('tries other seeds for a plan that does not fail under its own', async () => {
    const original = planOf(10);
    const fails = async (plan: RunPlan): Promise<boolean> =>
      plan.seed !== original.seed && plan.faults.length === 0;
    const { plan } = await minimise(original, fails, { otherSeeds: 1 });
    expect(plan.faults).to.have.length(0);
    expect(plan.seed % 10).to.equal(original.seed % 10);
  });

  it('stops after so many runs, or when time is over, with what it has', async () => {
    const runs = await minimise(planOf(40), async () => false, { maxRuns: 7 });
    expect(runs).to.include({ runs: 7, complete: false });
    expect(shifts(runs.plan)).to.have.length(40);
    const time = await minimise(planOf(40), async () => true, { maxMs: 0 });
    expect(time).to.include({ runs: 0, complete: false });
  });

  it('does not try one plan twice', async () => {
    const seen = new Set<string>();
    await minimise(planOf(8), async (plan) => {
      const key = JSON.stringify(plan);
      expect(seen.has(key)).to.equal(false);
      seen.add(key);
      return shifts(plan).includes(1) && shifts(plan).includes(6);
    });
  });

  it('tells of every smaller plan', async () => {
    const sizes: number[] = [];
    await minimise(planOf(16), async (plan) => shifts(plan).includes(5), {
      onProgress: ({ plan }) => sizes.push(plan.faults.length),
    });
    expect(sizes).to.deep.equal(sizes.toSorted((a, b) => b - a));
    expect(sizes.at(-1)).to.equal(1);
  });

  it('hands on what the runs throw, and refuses wrong bounds', async () => {
    const failure = new Error('no more processes');
    const thrown = await minimise(planOf(2), () => Promise.reject(failure)).catch((error: unknown) => error);
    expect(thrown).to.equal(failure);
    for (const options of [{ maxRuns: 0 }, { maxMs: -1 }, { otherSeeds: 101 }]) {
      const refused = await minimise(planOf(2), async () => true, options).catch((error: unknown) => error);
      expect(refused).to.be.instanceOf(QuorateError);
      expect((refused as QuorateError).message).to.include(Object.keys(options)[0]);
    }
  });

  it('only proposes plans that are different, of nodes that exist, and that can be run', () => {
    for (let seed = 0; seed < 60; seed++) {
      const planned = planRun(seed);
      const plan = seed % 2 === 0 ? planned : { ...planned, faults: [] };
      const size = (one: RunPlan): number => JSON.stringify(one).length;
      for (const simpler of [...simplerSettings(plan), ...simplerFaults(plan)]) {
        expect(JSON.stringify(simpler)).to.not.equal(JSON.stringify(plan));
        expect(size(simpler)).to.be.at.most(size(plan) + 60);
        expect(simpler.nodes).to.include.members([...simpler.core, ...Object.keys(simpler.rest)]);
        expect(simpler.core.length).to.be.above(simpler.nodes.length >> 1);
        const named = JSON.stringify(simpler.faults).match(/(?<=")[a-e](?="[^:])/g) ?? [];
        expect(simpler.nodes).to.include.members(named.filter((id) => plan.nodes.includes(id)));
      }
    }
  });

  it('needs no fault for a protocol that acknowledges before its disk', async function () {
    this.timeout(120_000);
    const plan = planRun(0);
    const before = (await runPlan(plan, { consensus: acknowledgesEarly() })).violation;
    expect(before?.invariant).to.be.oneOf(['vote', 'durability']);
    const fails = async (candidate: RunPlan): Promise<boolean> =>
      (await runPlan(candidate, { consensus: acknowledgesEarly() })).violation?.invariant ===
      before!.invariant;
    const { plan: smaller } = await minimise(plan, fails, { maxRuns: 40 });
    expect(smaller.faults).to.deep.equal([]);
    expect(await fails(smaller)).to.equal(true);
  });

  it('needs one crash for a protocol that does so after a restart', async function () {
    this.timeout(240_000);
    const plan = {
      ...planRun(3, { kinds: ['crash', 'cut', 'reset'], nodes: ['a', 'b', 'c'] }),
      safetyMs: 3000,
    };
    const crash: Fault = { kind: 'crash', node: 'b', power: true, amid: false, ms: 80 };
    const failing = { ...plan, faults: [...plan.faults.slice(0, 6), { at: 1500, fault: crash }] };
    const run = async (candidate: RunPlan) =>
      (await runPlan(candidate, { consensus: acknowledgesEarlyAfterRestart() })).violation;
    const before = await run(failing);
    expect(before).to.not.equal(undefined);
    const fails = async (candidate: RunPlan): Promise<boolean> =>
      (await run(candidate))?.invariant === before!.invariant;
    const { plan: smaller } = await minimise(failing, fails, { maxRuns: 60, violatedAt: before!.time });
    expect(smaller.faults.map(({ fault }) => fault.kind)).to.deep.equal(['crash']);
    expect(await fails(smaller)).to.equal(true);
  });
});
