import { expect } from 'chai';
import fc from 'fast-check';
import { Lab, heartbeatMs, noticeMs, seeded } from './partitionLab.js';

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

interface Scenario {
  readonly seed: number;
  readonly size: number;
  readonly loss: number;
  readonly maxDelayMs: number;
  readonly rounds: readonly {
    readonly cuts: readonly { a: number; b: number; oneWay: boolean }[];
    readonly crash: number | undefined;
    readonly heal: boolean;
    /** The victim starts anew, though nothing heals. */
    readonly restart: boolean;
    readonly ms: number;
  }[];
}

const scenario = (loss: fc.Arbitrary<number>): fc.Arbitrary<Scenario> =>
  fc.record({
    seed: fc.nat(),
    size: fc.integer({ min: 2, max: 7 }),
    loss,
    maxDelayMs: fc.integer({ min: 1, max: 100 }),
    rounds: fc.array(
      fc.record({
        cuts: fc.array(fc.record({ a: fc.nat({ max: 6 }), b: fc.nat({ max: 6 }), oneWay: fc.boolean() }), {
          maxLength: 14,
        }),
        crash: fc.option(fc.nat({ max: 6 }), { nil: undefined, freq: 4 }),
        heal: fc.boolean(),
        restart: fc.boolean(),
        ms: fc.integer({ min: 10, max: 5000 }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  });

/** The lab after its rounds, and whether some pair may never have been linked, so that it stays pending for a while. */
function play({ seed, size, loss, maxDelayMs, rounds }: Scenario): { lab: Lab; newcomers: boolean } {
  let newcomers = seed % 4000 < 1000;
  const lab = new Lab({ random: seeded(seed), loss, maxDelayMs });
  const ids = names.slice(0, size);
  lab.start(...ids);
  lab.run(seed % 4000);
  for (const { cuts, crash, heal, restart, ms } of rounds) {
    if (heal) lab.heal();
    for (const { a, b, oneWay } of cuts) {
      const [from, to] = [ids[a % size]!, ids[b % size]!];
      if (from === to) continue;
      if (oneWay) lab.cutOneWay(from, to);
      else lab.cut(from, to);
    }
    const victim = crash === undefined ? undefined : ids[crash % size]!;
    if (victim !== undefined && lab.nodes.size > 1) lab.crash(victim);
    lab.run(ms);
    if (victim !== undefined && !lab.nodes.has(victim) && (heal || restart)) {
      lab.start(victim);
      newcomers = true;
    }
  }
  return { lab, newcomers };
}

/** What every node must say once all is quiet. */
function check(lab: Lab): void {
  for (const component of lab.truth()) {
    const answers = new Set(lab.answers(...component));
    expect(answers.size, `component ${component.join()}: ${[...answers].join(' | ')}`).to.equal(1);
    expect(new Set(component.map((id) => lab.node(id).connectivity.digest())).size).to.equal(1);
    for (const id of component) {
      const node = lab.node(id);
      const { state, reachable, unreachable, components } = node.detector.view();
      expect(reachable).to.deep.equal(component);
      expect(components.flat().sort()).to.deep.equal([...reachable, ...unreachable].sort());
      const members = reachable.length + unreachable.length;
      if (unreachable.length > 0) {
        const minority = component.length * 2 <= members || component.length === 1;
        expect(state).to.equal(minority ? 'isolated' : 'complete');
      } else {
        const all = component.every((x) =>
          component.every((y) => x === y || (lab.works(x, y) && lab.works(y, x))),
        );
        expect(state).to.be.oneOf(all ? ['healthy'] : ['partial', 'simplex']);
      }
      // Each hop on the way is real, and no way leads in circles.
      for (const to of component) {
        if (to === id) continue;
        const walked = [id];
        while (walked.at(-1) !== to) {
          const at = walked.at(-1)!;
          const hop = lab.node(at).connectivity.nextHop(to)!;
          expect(lab.works(at, hop) && lab.works(hop, at)).to.equal(true);
          expect(walked).to.not.include(hop);
          walked.push(hop);
        }
        const around = node.connectivity.hopAround(to);
        expect(around).to.not.be.oneOf([id, to]);
      }
    }
  }
}

describe('partition detector, over random graphs', () => {
  it('gives one answer a component within the stated bound, when no message is lost', () => {
    fc.assert(
      fc.property(scenario(fc.constant(0)), (given) => {
        const { lab, newcomers } = play(given);
        // Notice, or reconnect; the flood; three heartbeats to settle, and the tick after them.
        const diameter = given.size - 1;
        const gossip = diameter * 3 * given.maxDelayMs;
        lab.run(noticeMs + heartbeatMs + gossip + 4 * heartbeatMs + (newcomers ? 10_000 + heartbeatMs : 0));
        check(lab);
        lab.run(4 * heartbeatMs);
        expect(lab.askedWithin(4 * heartbeatMs)).to.equal(0);
      }),
      { numRuns: 150 },
    );
  });

  it('knows of faults alone within detection, flood and four heartbeats', () => {
    const faults = scenario(fc.constant(0)).map((given) => ({
      ...given,
      seed: given.seed - (given.seed % 4000) + 3999,
      rounds: given.rounds.slice(0, 1).map((round) => ({ ...round, heal: false, restart: false, ms: 0 })),
    }));
    fc.assert(
      fc.property(faults, (given) => {
        const { lab } = play(given);
        // The time to notice counts a heartbeat in already.
        lab.run(noticeMs + (given.size - 1) * (given.maxDelayMs + 1) + 3 * heartbeatMs);
        check(lab);
      }),
      { numRuns: 100 },
    );
  });

  it('gives one answer a component in the end, when a third of all messages is lost', () => {
    fc.assert(
      fc.property(scenario(fc.double({ min: 0.05, max: 0.33, noNaN: true })), (given) => {
        const { lab } = play(given);
        lab.run(noticeMs + 10_000 + 40 * heartbeatMs);
        check(lab);
        lab.loss = 0;
        lab.run(4 * heartbeatMs);
        expect(lab.askedWithin(4 * heartbeatMs)).to.equal(0);
      }),
      { numRuns: 100 },
    );
  });
});
