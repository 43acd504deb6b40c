import { expect } from 'chai';
import { describe, it } from 'mocha';
import { describePlan } from '../../../../lib/testing/exploration/describePlan.js';
import { cutsOf, pairsOf, partialPartition } from '../../../../lib/testing/exploration/meshFaults.js';
import type { Pair, Shape } from '../../../../lib/testing/exploration/meshFaults.js';
import { planMesh } from '../../../../lib/testing/exploration/meshPlan.js';
import { LEADER } from '../../../../lib/testing/exploration/fault.js';
import { planRun, type RunPlan } from '../../../../lib/testing/exploration/plan.js';
import { faultKinds } from '../../../../lib/testing/exploration/planFaults.js';
import { runPlan } from '../../../../lib/testing/exploration/runPlan.js';
import { simplerFaults, simplerSettings } from '../../../../lib/testing/exploration/simpler.js';
import { planSeed } from '../../../../lib/testing/exploration/storm.js';
import { Random } from '../../../../lib/testing/simulation/random.js';
import type { Simulation } from '../../../../lib/testing/index.js';

const five = ['a', 'b', 'c', 'd', 'e'];

function connected(nodes: readonly string[], cuts: readonly Pair[]): boolean {
  const cut = new Set(cuts.map(([a, b]) => [a, b].sort().join()));
  const reached = [nodes[0]!];
  for (const id of reached)
    for (const other of nodes)
      if (!reached.includes(other) && !cut.has([id, other].sort().join())) reached.push(other);
  return reached.length === nodes.length;
}

describe('exploration: plans for the mesh', () => {
  it('leaves the nodes connected, whatever the shape and the number of nodes', () => {
    const random = new Random('shapes');
    for (const size of [3, 4, 5, 7]) {
      const nodes = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].slice(0, size);
      for (let i = 0; i < 100; i++) {
        const { cuts } = partialPartition(random, nodes, 1000);
        expect(connected(nodes, cuts), JSON.stringify(cuts)).to.equal(true);
      }
    }
  });

  it('knows the shapes', () => {
    const left = (shape: Shape): string[] => {
      const cut = new Set(cutsOf(shape, five, new Random('x')).map((pair) => [...pair].sort().join('')));
      return pairsOf(five)
        .map((pair) => pair.join(''))
        .filter((pair) => !cut.has(pair));
    };
    expect(left('chain')).to.deep.equal(['ab', 'bc', 'cd', 'de']);
    expect(left('ring')).to.deep.equal(['ab', 'ae', 'bc', 'cd', 'de']);
    expect(left('star')).to.deep.equal(['ab', 'ac', 'ad', 'ae']);
    expect(left('leader cut')).to.deep.equal(['ab', 'bc', 'bd', 'be', 'cd', 'ce', 'de']);
    expect(left('bridge').filter((pair) => pair.startsWith('a'))).to.deep.equal(['ab', 'ac', 'ad', 'ae']);
  });

  it('is the same each time, also after a way through JSON, and puts itself into words', async function () {
    this.timeout(60_000);
    for (const seed of [3, 11]) {
      const plan = planMesh(seed);
      expect(planMesh(seed)).to.deep.equal(plan);
      expect(planSeed(seed)).to.deep.equal(plan);
      expect(describePlan(plan).split('\n').length).to.be.at.least(plan.faults.length + 2);
    }
    const plan = { ...planMesh(11), safetyMs: 6000 };
    const again = JSON.parse(JSON.stringify(plan)) as RunPlan;
    const [one, other] = [await runPlan(plan), await runPlan(again)];
    expect(one.violation).to.equal(undefined);
    expect(other.hash).to.equal(one.hash);
  });

  it('has all its kinds in the plans of ordinary seeds too, and relaying off in some', () => {
    const kinds = new Set<string>();
    let direct = 0;
    for (let seed = 0; seed < 200; seed++) {
      const plan = planRun(seed);
      for (const { fault } of plan.faults) kinds.add(fault.kind);
      if (plan.relay === false) direct++;
    }
    for (const kind of faultKinds) expect([...kinds]).to.include(kind);
    expect(direct).to.be.within(10, 60);
  });

  it('is made smaller: one cut, one pause, one reset less', () => {
    const plan: RunPlan = {
      ...planMesh(1),
      nodes: five,
      core: five,
      faults: [
        {
          at: 1,
          fault: {
            kind: 'partial partition',
            cuts: [
              ['a', 'b'],
              ['c', 'd'],
            ],
            oneWay: false,
            leaderAs: 'a',
            ms: 10,
          },
        },
        { at: 2, fault: { kind: 'pauses', node: 'c', pauseMs: 300, everyMs: 600, ms: 10 } },
        { at: 3, fault: { kind: 'rendezvous down', resets: [['a', 'e']], everyMs: 5, ms: 10 } },
      ],
    };
    const texts = [...simplerFaults(plan)].map(({ faults }) =>
      JSON.stringify(faults.map(({ fault }) => fault)),
    );
    expect(texts.some((text) => text.includes('"cuts":[["c","d"]]'))).to.equal(true);
    expect(texts.some((text) => text.includes('{"kind":"pause","node":"c","ms":300}'))).to.equal(true);
    expect(texts.some((text) => text.includes('"resets":[]'))).to.equal(true);
    expect(texts.some((text) => !text.includes('leaderAs'))).to.equal(true);
    const fewer = [...simplerSettings(plan)].find(({ nodes }) => nodes.join('') === 'abcd')!;
    expect(JSON.stringify(fewer.faults)).to.include('"resets":[]');
    expect([...simplerSettings({ ...plan, relay: true })].some(({ relay }) => relay === false)).to.equal(
      true,
    );
  });

  it('does what is planned: cuts with the leader in its place, pauses, a rendezvous that is gone', async () => {
    const plan: RunPlan = {
      ...planMesh(1),
      nodes: ['a', 'b', 'c'],
      core: ['a', 'b', 'c'],
      network: {},
      clocks: {},
      relay: true,
      safetyMs: 9000,
      faults: [
        {
          at: 3000,
          fault: { kind: 'partial partition', cuts: [['a', 'b']], oneWay: false, leaderAs: 'a', ms: 1500 },
        },
        { at: 5000, fault: { kind: 'pauses', node: LEADER, pauseMs: 200, everyMs: 400, ms: 1000 } },
        { at: 7000, fault: { kind: 'rendezvous down', resets: [['a', 'b']], everyMs: 500, ms: 1000 } },
      ],
    };
    let simulation!: Simulation;
    const seen: string[] = [];
    const { violation, counts } = await runPlan(plan, {
      onStart: (begun) => {
        simulation = begun;
        let leader = '';
        begun.after(2999, () => (leader = begun.leader()!));
        begun.after(3001, () => {
          const cut = ['a', 'b', 'c'].filter((id) => begun.network.isCut(leader, id));
          seen.push(`leader cut from ${cut.length}`);
        });
        begun.after(4501, () => seen.push(`cut ${begun.network.isCut('a', 'b')}`));
        begun.after(7001, () => seen.push(`meets ${begun.network.meets('a')}`));
        begun.after(8001, () => seen.push(`meets ${begun.network.meets('a')}`));
      },
    });
    expect(violation).to.equal(undefined);
    expect(simulation.violation).to.equal(undefined);
    expect(seen).to.deep.equal(['leader cut from 1', 'cut false', 'meets false', 'meets true']);
    expect(counts.pause).to.equal(3);
    expect(counts['network: resets']).to.equal(1);
    expect(counts['mesh: datagram hops']).to.be.greaterThan(0);
  });
});
