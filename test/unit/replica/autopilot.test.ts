import { expect } from 'chai';
import { describe, it } from 'mocha';
import { keyValue, type AutopilotOptions, type AutopilotStep } from '../../../lib/index.js';
import { createSimulation } from '../../../lib/testing/index.js';
import type { KeyValueSimulation } from '../testing/simulation/support.js';
import { Cluster, failure } from './backup/support.js';
import { memoryStorage } from '../../../lib/index.js';

const seven = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

function simulate(seed: number, autopilot: AutopilotOptions, nodes = seven): KeyValueSimulation {
  return createSimulation({ seed, nodes, autopilot, stateMachine: () => keyValue() });
}

function votersOf(simulation: KeyValueSimulation): string {
  const leader = simulation.leader();
  if (leader === undefined) return '';
  const { members } = simulation.replica(leader).status();
  return members
    .filter(({ as }) => as === 'voter')
    .map(({ id }) => id)
    .sort()
    .join('');
}

async function untilVoters(
  simulation: KeyValueSimulation,
  what: string,
  count: number,
  without = '',
): Promise<void> {
  const there = (): boolean => {
    const voters = votersOf(simulation);
    return voters.length === count && Array.from(without).every((id) => !voters.includes(id));
  };
  expect(await simulation.runUntil(there, 120_000), what).to.equal(true);
}

/** What autopilot did, told by whoever led. */
function watch(simulation: KeyValueSimulation): AutopilotStep[] {
  const steps: AutopilotStep[] = [];
  for (const id of simulation.nodes) simulation.replica(id).on('autopilot:step', (step) => steps.push(step));
  return steps;
}

describe('autopilot in a simulated group', function () {
  this.timeout(60_000);

  it('keeps the voters that are wanted, replaces the dead in time, and takes them back', async () => {
    const simulation = simulate(1, { voters: 5 });
    await simulation.ready();
    await untilVoters(simulation, 'two of seven to learn', 5);
    const steps = watch(simulation);
    const [dead] = Array.from(votersOf(simulation)).filter((id) => id !== simulation.leader());
    simulation.crash(dead!);
    const died = simulation.now;
    await untilVoters(simulation, 'another to vote', 5, dead);
    // Dead after 30 s, looked at every second.
    expect(simulation.now - died).to.be.within(29_000, 33_000);
    expect(steps.map(({ why }) => why)).to.deep.equal(['replace']);
    simulation.restart(dead!);
    await simulation.run(60_000);
    expect(votersOf(simulation)).to.have.length(5).and.not.include(dead);
    // It is ready to vote again.
    simulation.crash(Array.from(votersOf(simulation)).find((id) => id !== simulation.leader())!);
    await simulation.run(40_000);
    expect(votersOf(simulation)).to.have.length(5);
    simulation.check();
  });

  it('gives no vote to who comes and goes, and takes none from who is away for a moment', async () => {
    const simulation = simulate(2, { voters: 5 });
    await simulation.ready();
    await untilVoters(simulation, 'two of seven to learn', 5);
    const before = votersOf(simulation);
    const learners = seven.filter((id) => !before.includes(id));
    const voter = Array.from(before).find((id) => id !== simulation.leader())!;
    const steps = watch(simulation);
    // The learners flap faster than the time of stabilization; the voter is away for less than it takes to be dead.
    for (let i = 0; i < 8; i++) {
      for (const id of [...learners, voter]) simulation.crash(id);
      await simulation.run(3000);
      for (const id of [...learners, voter]) simulation.restart(id);
      await simulation.run(6000);
    }
    simulation.pause(simulation.leader()!, 60_000);
    await simulation.run(20_000);
    expect(steps).to.deep.equal([]);
    simulation.check();
  });

  it('makes the group smaller where that lets it bear another failure, and larger again', async () => {
    const simulation = simulate(3, { voters: 5 }, ['a', 'b', 'c', 'd', 'e']);
    await simulation.ready();
    const others = seven.slice(0, 5).filter((id) => id !== simulation.leader());
    simulation.crash(others[0]!);
    simulation.crash(others[1]!);
    await untilVoters(simulation, 'three to be left', 3);
    await simulation.run(1000); // until the joint membership is left
    // A third one may go now: with five voters this would have been the end.
    simulation.crash(others[2]!);
    await simulation.settle(
      simulation.replica(simulation.leader()!).submit({ op: 'put', key: 'k', value: 1 }),
      20_000,
    );
    for (const id of others.slice(0, 3)) simulation.restart(id);
    await untilVoters(simulation, 'five again', 5);
    simulation.check();
  });

  it('removes who is not heard for very long, and that one knows when it comes back', async () => {
    const simulation = simulate(4, { voters: 3, removeAfterMs: 60_000 }, ['a', 'b', 'c', 'd']);
    await simulation.ready();
    await untilVoters(simulation, 'three', 3);
    const gone = ['a', 'b', 'c', 'd'].find((id) => !votersOf(simulation).includes(id))!;
    simulation.crash(gone);
    const members = (): number => simulation.replica(simulation.leader()!).status().members.length;
    expect(await simulation.runUntil(() => members() === 3, 90_000)).to.equal(true);
    simulation.restart(gone);
    const over = (): boolean => simulation.replica(gone).status().state === 'removed';
    expect(await simulation.runUntil(over, 10_000)).to.equal(true);
    simulation.check();
  });

  for (const seed of [11, 12]) {
    it(`stays available while machines come and go for minutes: seed ${seed}`, async () => {
      const autopilot = { voters: 5, deadMs: 8000, stabilizationMs: 2000, removeAfterMs: false } as const;
      const simulation = simulate(seed, autopilot);
      await simulation.ready();
      await untilVoters(simulation, 'five voters', 5);
      let random = seed;
      const pick = (n: number): number => (random = (random * 48_271) % 2_147_483_647) % n;
      const down: string[] = [];
      let written = 0;
      for (let minute = 0; minute < 4; minute++) {
        for (let i = 0; i < 3; i++) {
          // At most two are down: whatever autopilot does, two of five voters may be.
          if (down.length === 2) simulation.restart(down.shift()!);
          const up = seven.filter((id) => !down.includes(id));
          const next = up[pick(up.length)]!;
          simulation.crash(next, { power: pick(2) === 0 });
          down.push(next);
          await simulation.run(2000 + pick(18_000));
          const someone = seven.find((id) => simulation.state(id) === 'up')!;
          await simulation.settle(
            simulation.replica(someone).submit({ op: 'put', key: 'n', value: ++written }),
            15_000,
          );
          expect(votersOf(simulation).length).to.be.within(3, 5);
        }
      }
      for (const id of down) simulation.restart(id);
      await untilVoters(simulation, 'five voters in the end', 5);
      const leader = simulation.replica(simulation.leader()!);
      expect(await simulation.settle(leader.query({ op: 'get', key: 'n' }))).to.equal(written);
      simulation.check();
    });
  }
});

describe('the options of autopilot', () => {
  it('are checked, each by itself and against each other', async () => {
    const cluster = new Cluster();
    const bad: [object, RegExp][] = [
      [{}, /^autopilot\.voters must be an integer from 1 to 63/],
      [{ voters: 3, minVoters: 4 }, /^autopilot\.minVoters must be an integer from 1 to 3, got 4/],
      [{ voters: 3, stabilizationMs: 1 }, /^autopilot\.stabilizationMs must be/],
      [
        { voters: 3, lastContactMs: 100 },
        /^autopilot\.lastContactMs must be at least the election time-out \(300\), got 100/,
      ],
      [
        { voters: 3, deadMs: 900 },
        /^autopilot\.deadMs must be more than autopilot\.lastContactMs \(1000\), got 900/,
      ],
      [
        { voters: 3, removeAfterMs: 1000 },
        /^autopilot\.removeAfterMs must be at least autopilot\.deadMs \(30000\), got 1000/,
      ],
      [{ voters: 3, candidates: ['no good'] }, /^autopilot\.candidates\[0\] must be/],
      [{ voters: 3, candidates: 'a' }, /^autopilot\.candidates must be a list/],
      [{ voters: 3, maxLag: -1 }, /^autopilot\.maxLag must be/],
    ];
    for (const [autopilot, message] of bad) {
      const error = await failure(cluster.open('a', memoryStorage(), { members: ['a'], autopilot } as never));
      expect(error.message).to.match(message);
    }
    const fine = { voters: 3, removeAfterMs: false, candidates: ['a'] };
    await cluster.open('a', memoryStorage(), { members: ['a'], autopilot: fine } as never);
    await cluster.close();
  });
});
