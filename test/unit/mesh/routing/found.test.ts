/** What the exploration of the mesh has found, or what it cannot see by itself: each alone, in the smallest plan. */
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { runPlan } from '../../../../lib/testing/exploration/runPlan.js';
import { planMesh } from '../../../../lib/testing/exploration/meshPlan.js';
import type { PlannedFault } from '../../../../lib/testing/exploration/fault.js';
import type { RunPlan } from '../../../../lib/testing/exploration/plan.js';
import { createSimulation } from '../../../../lib/testing/index.js';

/** A run in good weather with these faults alone. */
function planOf(nodes: readonly string[], faults: readonly PlannedFault[], safetyMs: number): RunPlan {
  return {
    ...planMesh(1),
    nodes,
    core: nodes,
    network: { latencyMs: 0.5, tailMs: 0.1 },
    clocks: {},
    relay: true,
    raft: { heartbeatMs: 100, electionTimeoutMs: 1000, maxMessageBytes: 65_536 },
    safetyMs,
    faults,
  };
}

describe('found in the mesh', () => {
  it('a peer that stood still keeps its direct link, though others hear of it sooner', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const simulation = createSimulation({ seed, nodes: ['a', 'b', 'c'] });
      // Over c it is nearer than directly.
      simulation.network.shape('a', 'b', { latencyMs: 15 });
      simulation.network.shape('b', 'a', { latencyMs: 15 });
      await simulation.ready();
      await simulation.run(3000);
      const moved: string[] = [];
      for (const id of ['a', 'c'])
        simulation.mesh(id).on('peer:path', (peer, path) => moved.push(`${id} ${peer} ${path}`));
      for (let i = 0; i < 8; i++) {
        simulation.pause('b', 250 + 20 * i);
        await simulation.run(1500);
      }
      expect(moved, `seed ${seed}`).to.deep.equal([]);
    }
  });

  it('a cut that comes while a node stands still is found out in time, and not in haste', async () => {
    for (const relay of [true, false]) {
      for (const pauseMs of [600, 2500, 6000]) {
        const faults: PlannedFault[] = [
          { at: 4000, fault: { kind: 'cut', a: 'a', b: 'b', ms: 9000 } },
          { at: 4200, fault: { kind: 'pause', node: 'a', ms: pauseMs } },
        ];
        const { violation } = await runPlan({ ...planOf(['a', 'b', 'c'], faults, 16_000), relay });
        expect(violation, `${pauseMs} ms, relay ${relay}`).to.equal(undefined);
      }
    }
  });

  it('a link that flaps for two minutes leaves one link a peer, and a mesh that is whole', async function () {
    this.timeout(60_000);
    // A flapping link, with relayed links that come and go with it, for two virtual minutes.
    const simulation = createSimulation({ seed: 5, nodes: ['a', 'b', 'c'] });
    await simulation.ready();
    for (let i = 0; i < 60; i++) {
      simulation.cut('a', 'b');
      await simulation.run(1000);
      simulation.heal('a', 'b');
      await simulation.run(1000);
    }
    await simulation.run(8000);
    for (const id of ['a', 'b', 'c']) {
      expect(simulation.mesh(id).metrics().links).to.equal(2);
      expect(simulation.mesh(id).peers()).to.have.length(2);
      expect(simulation.mesh(id).partition().state).to.equal('healthy');
    }
    simulation.check();
  });
});
