/** Queries that may lag, but not by more than they say. */
import { expect } from 'chai';
import { raft } from '../../../../lib/replica/consensus.js';
import type { QueryOptions } from '../../../../lib/replica/replicaTypes.js';
import { createSimulation } from '../../../../lib/testing/index.js';
import { Random } from '../../../../lib/testing/simulation/random.js';
import { elected, put, three, thrown } from './support.js';
import type { KeyValueSimulation } from './support.js';

function ask(simulation: KeyValueSimulation, id: string, maxLagMs: number, more: QueryOptions = {}) {
  return simulation.replica(id).query({ op: 'get', key: 'k' }, { consistency: { maxLagMs }, ...more });
}

/** What a query answers and how long it takes, in virtual milliseconds. */
async function timed(simulation: KeyValueSimulation, id: string, maxLagMs: number) {
  const begun = simulation.now;
  const value = await simulation.settle(ask(simulation, id, maxLagMs));
  return { value, ms: simulation.now - begun };
}

const follower = (simulation: KeyValueSimulation): string =>
  simulation.nodes.find((id) => id !== simulation.leader())!;

const slow = { latencyMs: 20, tailMs: 0 };

describe('queries with a maxLagMs', () => {
  it('are answered from the local state while it is known to be fresh, and ask the leader when it is not', async () => {
    const simulation = await elected({ network: slow });
    await put(simulation, 'a', 'k', 1);
    const id = follower(simulation);
    await simulation.run(2000);
    expect((await timed(simulation, id, 500)).ms, 'nothing was asked before').to.be.within(40, 100);
    for (let i = 0; i < 5; i++) {
      expect((await timed(simulation, id, 500)).ms).to.equal(0);
      await simulation.run(40);
    }
    expect((await timed(simulation, id, 20)).ms, 'not fresh enough for this one').to.be.within(40, 100);
    await simulation.run(600);
    expect((await timed(simulation, id, 500)).ms).to.be.within(40, 100);
  });

  it('never wait when they are asked all the time, and send little', async () => {
    const simulation = await elected({ network: slow });
    await put(simulation, 'a', 'k', 1);
    const id = follower(simulation);
    await timed(simulation, id, 400);
    const reads = { rounds: 0 };
    for (let i = 0; i < 200; i++) {
      expect((await timed(simulation, id, 400)).ms).to.equal(0);
      if (simulation.openReads(id) > 0) reads.rounds++;
      await simulation.run(10);
    }
    // One read index each 200 ms, which takes 80 ms: at most half of the time.
    expect(reads.rounds).to.be.within(10, 100);
  });

  it('are fresh again after any linearizable read', async () => {
    const simulation = await elected({ network: slow });
    await put(simulation, 'a', 'k', 1);
    const id = follower(simulation);
    await simulation.run(2000);
    await simulation.settle(simulation.replica(id).query({ op: 'get', key: 'k' }));
    expect((await timed(simulation, id, 300)).ms).to.equal(0);
  });

  it('fail with ERR_TIMEOUT where nobody can tell, and with ERR_NOT_READY where that is wanted', async () => {
    const simulation = await elected({ relay: false, onNoQuorum: 'reject' });
    await put(simulation, 'a', 'k', 1);
    const id = follower(simulation);
    await timed(simulation, id, 1000);
    for (const other of three) if (other !== id) simulation.cut(id, other);
    await simulation.run(500);
    expect((await timed(simulation, id, 1000)).value, 'it still is fresh').to.equal(1);
    await simulation.run(2000);
    await thrown(() => simulation.settle(ask(simulation, id, 1000)), 'ERR_NOT_READY');
    const waiting = await elected({ relay: false });
    await put(waiting, 'a', 'k', 1);
    const cut = follower(waiting);
    for (const other of three) if (other !== cut) waiting.cut(cut, other);
    await waiting.run(3000);
    await thrown(() => waiting.settle(ask(waiting, cut, 1000, { timeout: 700 })), 'ERR_TIMEOUT');
  });

  it('do not take a clock that stood still for a state that is fresh', async () => {
    const simulation = await elected({ relay: false });
    await put(simulation, 'a', 'k', 'old');
    const id = follower(simulation);
    await timed(simulation, id, 500);
    for (const other of three) if (other !== id) simulation.cut(id, other);
    simulation.suspend(id, 5000);
    const writer = simulation.nodes.find((one) => one !== id)!;
    await put(simulation, writer, 'k', 'new');
    await simulation.run(5000);
    await thrown(() => simulation.settle(ask(simulation, id, 500, { timeout: 300 })), 'ERR_TIMEOUT');
  });

  for (const maxLagMs of [0, -1, 1.5, 2 ** 31, Number.NaN, '5' as unknown as number])
    it(`refuse ${String(maxLagMs)}`, async () => {
      const simulation = await elected();
      const error = await thrown(() => ask(simulation, 'a', maxLagMs), 'ERR_CONFIG');
      expect(error.message).to.contain('consistency.maxLagMs').and.contain('1').and.contain('2147483647');
    });

  for (const seed of [1, 2, 3])
    it(`show all that was acknowledged before, whatever happens to leaders and links (seed ${seed})`, async () => {
      const simulation = createSimulation({
        seed,
        nodes: three,
        relay: false,
        consensus: raft(seed === 2 ? { lease: { maxDrift: 0 } } : {}),
      });
      await simulation.ready();
      const random = new Random(`lag ${seed}`);
      const acked: { n: number; at: number }[] = [{ n: 0, at: 0 }];
      const work = { stop: false, answers: 0, atOnce: 0 };
      const writer = async (): Promise<void> => {
        for (let n = 1; !work.stop; n++) {
          const id =
            three.find((one) => simulation.state(one) === 'up' && one === simulation.leader()) ?? 'a';
          await simulation
            .replica(id)
            .submit({ op: 'put', key: 'k', value: n }, { timeout: 20_000, requestId: `w${n}` })
            .then(() => acked.push({ n, at: simulation.now }))
            .catch(() => undefined);
          await simulation.sleep(5);
        }
      };
      const reader = async (own: Random): Promise<void> => {
        while (!work.stop) {
          await simulation.sleep(own.exponential(15));
          const id = own.pick(three);
          const maxLagMs = own.pick([30, 200, 800]);
          const begun = simulation.now;
          const due = Math.max(...acked.filter(({ at }) => at < begun - maxLagMs).map(({ n }) => n), 0);
          const value = await ask(simulation, id, maxLagMs, { timeout: 1000 }).catch(() => undefined);
          if (typeof value !== 'number') continue;
          work.answers++;
          if (simulation.now === begun) work.atOnce++;
          expect(value, `${id} at ${begun}, ${maxLagMs} ms`).to.be.at.least(due);
        }
      };
      const working = [writer(), ...[1, 2, 3, 4].map((i) => reader(random.stream(`reader ${i}`)))];
      const all = Promise.all(working);
      all.catch(() => undefined);
      for (let i = 0; i < 8; i++) {
        await simulation.run(random.between(300, 900));
        const id = random.chance(0.5) ? (simulation.leader() ?? 'a') : random.pick(three);
        const ms = random.between(200, 1500);
        if (random.chance(0.3)) simulation.pause(id, ms);
        else if (random.chance(0.4)) simulation.suspend(id, ms);
        else {
          simulation.partition([[id], three.filter((one) => one !== id)]);
          simulation.after(ms, () => simulation.heal());
        }
      }
      simulation.heal();
      await simulation.run(2000);
      work.stop = true;
      await simulation.settle(all);
      expect(work.answers).to.be.above(200);
      expect(work.atOnce).to.be.above(100);
      simulation.check();
    });
});
