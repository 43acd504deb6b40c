/**
 * A client on a node that is no member counts, while leaders are killed, links cut, processes stand still: each increment takes
 * effect once if it was acknowledged, at most once if its fate is open, and never if it was refused.
 */
import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import { defineMachine } from '../../../../lib/machines/defineMachine.js';
import type { Change } from '../../../../lib/replica/changes.js';
import type { GroupClient } from '../../../../lib/replica/client/groupClient.js';
import { openClient } from '../../../../lib/replica/client/openClient.js';
import { GROUP } from '../../../../lib/testing/simulation/node.js';
import { createSimulation, type Simulation } from '../../../../lib/testing/simulation/simulation.js';
import { seeded } from '../../support/seeded.js';

const SEEDS = 15;
const nodes = ['a', 'b', 'c'];

const tally = () =>
  defineMachine({
    version: 1,
    initial: () => ({ seen: [] as string[] }),
    commands: { count: (state, { id }: { id: string }) => state.seen.push(id) },
    queries: { seen: (state) => state.seen },
  });
type Tally = ReturnType<typeof tally>;

/** What a client was told of its increments. */
class Story {
  readonly simulation: Simulation<Tally>;
  readonly applied = new Map<string, number>();
  readonly refused = new Set<string>();
  readonly open = new Set<string>();
  readonly changes: Change[] = [];
  readonly random: () => number;
  client!: GroupClient<Tally>;
  settled = 0;
  #count = 0;

  constructor(seed: number, more: { readonly relay?: boolean } = {}) {
    this.random = seeded(seed);
    this.simulation = createSimulation({
      seed,
      nodes,
      clients: ['x'],
      stateMachine: tally,
      timeout: 8000,
      ...more,
    });
  }

  async begin(): Promise<void> {
    const { simulation } = this;
    await simulation.ready();
    const opened = openClient<Tally>({ mesh: simulation.mesh('x'), group: GROUP, timeout: 20_000 });
    this.client = await simulation.settle(opened);
    void this.#follow();
  }

  async #follow(): Promise<void> {
    for await (const change of this.client.changes({ from: 0 })) this.changes.push(change);
  }

  count(timeout?: number): void {
    const id = `i${++this.#count}`;
    this.open.add(id);
    this.client.submit({ op: 'count', id }, timeout === undefined ? {} : { timeout }).then(
      (length) => this.#tell(id, () => this.applied.set(id, length)),
      (error: unknown) => {
        if (!(error instanceof QuorateError)) throw error;
        if (error.fate === 'refused') this.#tell(id, () => this.refused.add(id));
        else if (error.fate === 'ambiguous') this.settled++;
        else throw error;
      },
    );
  }

  restart(): void {
    for (const id of nodes) if (this.simulation.state(id) === 'down') this.simulation.restart(id);
  }

  #tell(id: string, note: () => void): void {
    this.settled++;
    this.open.delete(id);
    note();
  }

  /** Everything is mended, all calls are settled, and the count is looked at. */
  async end(): Promise<readonly string[]> {
    const { simulation, client } = this;
    simulation.heal();
    for (const id of nodes) if (simulation.state(id) === 'down') simulation.restart(id);
    const settled = await simulation.runUntil(() => this.settled === this.#count, 60_000);
    simulation.check();
    expect(settled, 'all are settled').to.equal(true);
    const seen = await simulation.settle(client.query({ op: 'seen' }), 30_000);
    expect(new Set(seen).size, 'each at most once').to.equal(seen.length);
    for (const [id, length] of this.applied) expect(seen[length - 1], 'an acknowledged one').to.equal(id);
    for (const id of this.refused) expect(seen).to.not.include(id);
    for (const id of seen) expect(this.applied.has(id) || this.open.has(id)).to.equal(true);
    expect(await simulation.runUntil(() => this.#followed(seen), 30_000), 'the stream caught up').to.equal(
      true,
    );
    simulation.check();
    return seen;
  }

  /** In order, none twice, and none left out between two resets. */
  #followed(seen: readonly string[]): boolean {
    let index = -1;
    for (const change of this.changes) {
      expect(change.index).to.be.greaterThan(change.type === 'applied' ? index : index - 1);
      index = change.index;
    }
    const reset = this.changes.findLastIndex(({ type }) => type === 'reset');
    const since = this.changes
      .slice(reset + 1)
      .map((change) => (change as { command: { id: string } }).command.id);
    const last = seen.slice(seen.length - since.length);
    if (since.length > 0)
      expect(since).to.deep.equal(seen.slice(seen.indexOf(since[0]!)).slice(0, since.length));
    return (
      last.at(-1) === since.at(-1) ||
      (since.length === 0 &&
        index >= Math.max(...nodes.map((id) => this.simulation.replica(id).status().appliedIndex)))
    );
  }
}

describe('a client in the simulator', () => {
  it('counts each increment exactly once while its leader is killed', async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const story = new Story(seed);
      await story.begin();
      const { simulation } = story;
      for (let step = 0; step < 60; step++) {
        story.count();
        await simulation.run(5 + story.random() * 20);
        if (step % 25 === 10) simulation.crash(simulation.leader() ?? 'a', { power: step > 20 });
        if (step % 25 === 24)
          for (const id of nodes) if (simulation.state(id) === 'down') simulation.restart(id);
      }
      const seen = await story.end();
      // There was always a majority, and time enough: none was given up.
      expect(seen, `seed ${seed}`).to.have.length(60);
      expect(story.applied.size, `seed ${seed}`).to.equal(60);
    }
  });

  it('counts right through partitions, pauses and lost links', async () => {
    let open = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const story = new Story(seed, { relay: seed % 2 === 0 });
      await story.begin();
      const { simulation, random } = story;
      const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
      const faults: (() => void)[] = [
        () => {
          const alone = pick(nodes);
          simulation.partition([[alone, 'x'], nodes.filter((id) => id !== alone)]);
        },
        () => simulation.partition([['x'], nodes]),
        () => simulation.cut('x', pick(nodes)),
        () => simulation.cutOneWay(pick(nodes), 'x'),
        () => simulation.pause(pick([...nodes, 'x']), 200 + random() * 2000),
        () => simulation.crash(pick(nodes)),
        () => simulation.heal(),
        () => story.restart(),
      ];
      for (let step = 0; step < 40; step++) {
        story.count(random() < 0.3 ? 100 + Math.floor(random() * 2000) : undefined);
        if (random() < 0.3) {
          if (random() < 0.4) simulation.heal();
          pick(faults)();
        }
        await simulation.run(random() * 300);
      }
      await story.end();
      open += story.open.size;
    }
    expect(open, 'some fates stayed open').to.be.greaterThan(0);
  });
});
