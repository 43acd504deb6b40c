/** The invariants fire: protocols with a known bug break the one that speaks of it. */
import { expect } from 'chai';
import type { Effects } from '../../../../lib/consensus/consensus.js';
import type { ConsensusOption } from '../../../../lib/replica/consensus.js';
import { createSimulation } from '../../../../lib/testing/index.js';
import { brokenRaft, thrown, three } from './support.js';

interface Broken {
  readonly invariant: string;
  readonly message: RegExp;
  readonly consensus: () => ConsensusOption;
}

const cases: Readonly<Record<string, Broken>> = {
  'acknowledges what is not on its disk': {
    invariant: 'durability',
    message: /acknowledges|which is on no quorum of disks/,
    consensus: () =>
      brokenRaft((core) => ({
        drain: (now: number, out: Effects): void => {
          core.drain(now, out);
          // It votes by the rules.
          if (out.append.length > 0 && out.hard === undefined) core.persisted(now, out.io);
        },
      })),
  },
  'votes before its vote is on its disk': {
    invariant: 'vote',
    message: /grants \w its vote in \d+, its disk says|sends \w+ of \d+, its disk is in/,
    consensus: () =>
      brokenRaft((core) => ({
        drain: (now: number, out: Effects): void => {
          core.drain(now, out);
          if (out.hard !== undefined) core.persisted(now, out.io);
        },
      })),
  },
  'answers reads at index 0': {
    invariant: 'reads',
    message: /answers read \d+ at 0, \d+ was committed before it/,
    consensus: () =>
      brokenRaft((core) => ({
        drain: (now: number, out: Effects): void => {
          core.drain(now, out);
          for (const read of out.reads as { index: number }[]) read.index = 0;
        },
      })),
  },
  'commits what it has, without asking anybody': {
    invariant: 'durability',
    message: /which is on no quorum of disks/,
    consensus: () =>
      brokenRaft((core) => ({
        drain: (now: number, out: Effects): void => {
          core.drain(now, out);
          if (core.status.role === 'leader') out.commit = Math.max(out.commit, core.status.lastIndex);
        },
      })),
  },
  'goes back in what is committed': {
    invariant: 'commit',
    message: /goes from commit \d+ back to/,
    consensus: () =>
      brokenRaft((core) => ({
        drain: (now: number, out: Effects): void => {
          core.drain(now, out);
          if (out.commit > 5) out.commit = 3;
        },
      })),
  },
  'commits beyond its log': {
    invariant: 'order of indexes',
    message: /commits \d+, its last index is \d+/,
    consensus: () =>
      brokenRaft((core) => ({
        drain: (now: number, out: Effects): void => {
          core.drain(now, out);
          if (out.commit > 3) out.commit += 100;
        },
      })),
  },
};

describe('simulation: invariants', () => {
  for (const [what, { invariant, message, consensus }] of Object.entries(cases))
    it(`"${invariant}" breaks for a protocol that ${what}`, async () => {
      const simulation = createSimulation({ seed: 3, nodes: three, consensus: consensus() });
      await busy(simulation);
      expect(simulation.violation, 'a violation').to.include({ invariant });
      expect(simulation.violation!.message).to.match(message);
      const error = await thrown(() => simulation.check(), 'ERR_INVARIANT');
      expect(error.message).to.contain('(seed 3, at ');
    });

  it('all hold for a protocol that is wrapped and left as it is', async () => {
    const simulation = createSimulation({ seed: 3, nodes: three, consensus: brokenRaft(() => ({})) });
    await busy(simulation);
    expect(simulation.check().commitIndex).to.be.greaterThan(20);
  });

  async function busy(simulation: ReturnType<typeof createSimulation>): Promise<void> {
    let over = false;
    const client = async (id: string): Promise<void> => {
      for (let n = 0; n < 40 && !over; n++) {
        await simulation.sleep(40);
        if (simulation.state(id) !== 'up') continue;
        const replica = simulation.replica(id);
        const calls = [
          replica.submit({ op: 'put', key: id, value: n }),
          replica.query({ op: 'get', key: id }),
        ];
        await Promise.allSettled(calls);
      }
    };
    const clients = Promise.all(three.map(client));
    await simulation.run(8000);
    over = true;
    if (simulation.violation === undefined) await simulation.settle(clients);
  }
});
