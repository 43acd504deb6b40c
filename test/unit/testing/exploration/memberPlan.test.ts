/** Plans in which the members change, and what is made of them. */
import { expect } from 'chai';
import { describeFault, describePlan } from '../../../../lib/testing/exploration/describePlan.js';
import { memberKinds } from '../../../../lib/testing/exploration/memberFaults.js';
import { planMembers } from '../../../../lib/testing/exploration/memberPlan.js';
import { planMesh } from '../../../../lib/testing/exploration/meshPlan.js';
import { LEADER, type Fault } from '../../../../lib/testing/exploration/fault.js';
import { planRun, type RunPlan } from '../../../../lib/testing/exploration/plan.js';
import { runPlan } from '../../../../lib/testing/exploration/runPlan.js';
import { simplerFaults, simplerSettings } from '../../../../lib/testing/exploration/simpler.js';
import { planSeed } from '../../../../lib/testing/exploration/storm.js';

const changes = ({ faults }: RunPlan): Fault[] =>
  faults.map(({ fault }) => fault).filter(({ kind }) => memberKinds.has(kind));

describe('exploration: members that come and go', () => {
  it('are in one of eight seeds, from one member to all and to one again', () => {
    for (const seed of [5, 13, 21]) {
      const plan = planMembers(seed);
      expect(planSeed(seed)).to.deep.equal(plan);
      expect(planMembers(seed)).to.deep.equal(plan);
      expect(plan.founders).to.have.length(1);
      const founder = plan.founders![0]!;
      const steps = changes(plan);
      const named = (id: string): boolean =>
        steps.some((fault) =>
          fault.kind === 'members' ? fault.add.includes(id) : fault.kind === 'join' && fault.node === id,
        );
      for (const id of plan.nodes)
        expect(id === founder || named(id), `${id} of seed ${seed}`).to.equal(true);
      const last = steps.findLast(({ kind }) => kind === 'members') as Extract<Fault, { kind: 'members' }>;
      expect([last.add.length, last.remove.length]).to.deep.equal([1, 4]);
    }
  });

  it('are in other seeds as well, which then are founded by some of the nodes', () => {
    const plans = Array.from({ length: 60 }, (_, seed) => planRun(seed));
    const changing = plans.filter((plan) => changes(plan).length > 0);
    expect(changing.length).to.be.within(15, 55);
    for (const plan of plans) expect(plan.founders !== undefined).to.equal(changing.includes(plan));
    expect(plans.filter(({ outside }) => outside !== undefined).length).to.be.within(5, 35);
    expect(plans.filter(({ priorities }) => priorities !== undefined).length).to.be.within(3, 30);
    expect(planRun(3, { kinds: ['crash'] }).founders).to.equal(undefined);
  });

  it('leave the runs that put the mesh under fire alone', () => {
    for (let seed = 0; seed < 30; seed++) {
      const { founders, outside, priorities } = planMesh(seed);
      expect([founders, outside, priorities]).to.deep.equal([undefined, undefined, undefined]);
    }
  });

  it('reach the members that are wanted in the end, through all that a seed brings', async function () {
    this.timeout(120_000);
    const counts: Record<string, number> = {};
    for (const seed of [5, 13, 21, 29, 37]) {
      const outcome = await runPlan(planMembers(seed));
      expect(outcome.violation, `seed ${seed}: ${outcome.violation?.message}`).to.equal(undefined);
      for (const [kind, n] of Object.entries(outcome.counts)) counts[kind] = (counts[kind] ?? 0) + n;
    }
    const { 'runs that reached their members': reached = 0 } = counts;
    const { 'runs without anybody who could be elected': idle = 0 } = counts;
    expect([reached + idle, idle <= 1]).to.deep.equal([5, true]);
    expect(counts['changes of the members done']).to.be.above(10);
    expect(counts['memberships committed']).to.be.above(50);
    expect(counts['snapshots sent']).to.be.above(5);
  });

  it('are said in words', () => {
    const change: Fault = { kind: 'members', add: ['d', 'e'], learn: [], remove: [LEADER] };
    expect(describeFault(change)).to.equal('members add d+e remove @leader');
    expect(describeFault({ kind: 'join', node: 'd', as: 'learner', blank: true })).to.equal(
      'join d learner blank',
    );
    expect(describeFault({ kind: 'stop', node: 'd', ms: 20 })).to.equal('stop d for 20 ms');
    const plan = { ...planMembers(5), witnesses: ['e'], outside: ['x'], priorities: { a: 2 } };
    expect(describePlan(plan)).to.match(
      /\n {2}founded by [a-e]\n {2}witnesses e\n {2}outside {3}x\n {2}priority {2}a 2\n/,
    );
  });

  it('can be made simpler: fewer names, and without what is not needed', () => {
    const fault: Fault = { kind: 'members', add: ['d', 'e'], learn: ['b'], remove: [LEADER] };
    const plan: RunPlan = {
      ...planRun(1, { nodes: ['a', 'b', 'c', 'd', 'e'], kinds: [] }),
      founders: ['a', 'b'],
      witnesses: ['e'],
      outside: ['x'],
      priorities: { a: 1 },
      faults: [{ at: 1, fault }],
    };
    const simpler = [...simplerSettings(plan)];
    for (const name of ['founders', 'witnesses', 'outside', 'priorities'] as const)
      expect(
        simpler.some((one) => !(name in one)),
        name,
      ).to.equal(true);
    const fewer = simpler.filter(({ nodes }) => nodes.length < 5);
    expect(fewer.map(({ nodes }) => nodes.join(''))).to.deep.equal(['abcd', 'abce', 'abde', 'acde', 'bcde']);
    expect(fewer.map(({ founders }) => founders!.join(''))).to.deep.equal(['ab', 'ab', 'ab', 'a', 'b']);
    expect(fewer[0]!.faults[0]!.fault).to.deep.equal({ ...fault, add: ['d'] });
    const changed = [...simplerFaults(plan)].map(({ faults }) => describeFault(faults[0]!.fault));
    expect(changed).to.deep.equal([
      'members add e learn b remove @leader',
      'members add d learn b remove @leader',
      'members add d+e remove @leader',
      'members add d+e learn b',
    ]);
    const of = (one: Fault): Fault[] =>
      [...simplerFaults({ ...plan, faults: [{ at: 1, fault: one }] })].map(({ faults }) => faults[0]!.fault);
    expect(of({ kind: 'stop', node: 'a', ms: 10 })[0]).to.include({ kind: 'crash', power: false });
    expect(of({ kind: 'join', node: 'a', as: 'voter', blank: true })[0]).to.include({ blank: false });
    expect(of({ kind: 'broken transfers', parts: 2, times: 3, ms: 10 })[0]).to.include({ times: 1 });
  });
});
