/**
 * Clients queue on a minority side, nodes lose their power and come back, links heal: every command that was said to be queued is
 * applied exactly once and in the order of its node, unless it was cancelled; and none twice, whatever was said of it.
 */
import { expect } from 'chai';
import { defineMachine } from '../../../lib/machines/defineMachine.js';
import type { Replica } from '../../../lib/replica/replica.js';
import { QuorateError } from '../../../lib/errors.js';
import { createSimulation, type Simulation } from '../../../lib/testing/simulation/simulation.js';
import { seeded } from '../support/seeded.js';

const SEEDS = 100;
const ROUNDS = 1;
const nodes = ['a', 'b', 'c'];

const list = () =>
  defineMachine({
    version: 1,
    initial: () => ({ items: [] as string[] }),
    commands: {
      push: (state, { item }: { item: string }) => state.items.push(item),
    },
    queries: { items: (state) => state.items },
  });
type List = ReturnType<typeof list>;

/** What was promised about a command. */
interface Told {
  readonly item: string;
  readonly node: string;
  queued: boolean;
  /** Somebody wanted it out; what became of that may have died with the process. */
  unwanted: boolean;
  sure: 'nothing' | 'cancelled' | 'refused' | 'applied' | 'unknown';
}

class Story {
  readonly told = new Map<string, Told>();
  readonly simulation: Simulation<List>;
  readonly #random: () => number;
  readonly #watched = new WeakSet<Replica<List>>();
  #count = 0;

  constructor(seed: number) {
    this.#random = seeded(seed);
    this.simulation = createSimulation({
      seed,
      nodes,
      stateMachine: list,
      onNoQuorum: 'queue',
      snapshot: { logBytes: 4096, keepEntries: seed % 2 === 0 ? 0 : 100 },
      timeout: 5000,
    });
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }

  chance(p: number): boolean {
    return this.#random() < p;
  }

  /** The replica of a node that is up, with ears on it. */
  replica(id: string): Replica<List> | undefined {
    if (this.simulation.state(id) !== 'up') return undefined;
    const replica = this.simulation.replica(id);
    if (this.#watched.has(replica)) return replica;
    this.#watched.add(replica);
    replica.on('outbox:queued', ({ command }) => (this.#of(command).queued = true));
    replica.on('outbox:replayed', ({ command }) => (this.#of(command).sure = 'applied'));
    replica.on('outbox:unknown', ({ command }) => (this.#of(command).sure = 'unknown'));
    return replica;
  }

  #of(command: unknown): Told {
    return this.told.get((command as { item: string }).item)!;
  }

  submit(id: string): void {
    const replica = this.replica(id);
    if (!replica) return;
    const item = `${id}${++this.#count}`;
    const told: Told = { item, node: id, queued: false, unwanted: false, sure: 'nothing' };
    this.told.set(item, told);
    const controller = new AbortController();
    replica.submit({ op: 'push', item }, { signal: controller.signal }).then(
      () => (told.sure = 'applied'),
      (error: unknown) => {
        if (!(error instanceof QuorateError)) throw error;
        if (error.fate === 'refused') told.sure = error.code === 'ERR_ABORTED' ? 'cancelled' : 'refused';
      },
    );
    if (!this.chance(0.1)) return;
    told.unwanted = true;
    controller.abort();
  }

  cancelSome(id: string): void {
    const entries = this.replica(id)?.outbox.entries() ?? [];
    if (entries.length === 0) return;
    const { requestId, command } = this.pick(entries);
    const told = this.#of(command);
    told.unwanted = true;
    this.replica(id)!
      .outbox.cancel(requestId)
      .then((done) => {
        if (done) told.sure = 'cancelled';
      })
      .catch(() => undefined); // the process died
  }

  async play(): Promise<void> {
    const { simulation } = this;
    await simulation.ready();
    for (let round = 0; round < ROUNDS; round++) {
      const alone = this.pick(nodes);
      simulation.partition([[alone], nodes.filter((id) => id !== alone)]);
      if (this.chance(0.7)) await simulation.run(1500); // until the loss is known
      for (let step = 0; step < 10; step++) {
        const id = this.chance(0.7) ? alone : this.pick(nodes);
        for (let n = 0; n < 3; n++) if (this.chance(0.6)) this.submit(id);
        if (this.chance(0.25)) this.cancelSome(id);
        if (this.chance(0.15)) simulation.crash(alone, { power: this.chance(0.8) });
        await simulation.run(this.pick([1, 5, 30, 300, 1000]));
        if (this.chance(0.5)) simulation.restart(alone);
      }
      simulation.heal();
      // Power fails in the midst of the replay, too.
      for (let step = 0; step < 6; step++) {
        await simulation.run(this.pick([2, 20, 100, 600]));
        if (this.chance(0.5)) simulation.crash(this.pick(nodes), { power: true });
        for (const id of nodes) if (this.chance(0.3)) this.submit(id);
        for (const id of nodes)
          if (simulation.state(id) === 'down' && this.chance(0.7)) simulation.restart(id);
        for (const id of nodes) this.replica(id);
      }
    }
    for (const id of nodes) if (simulation.state(id) === 'down') simulation.restart(id);
    const done = (): boolean =>
      nodes.every((id) => {
        const replica = this.replica(id);
        if (replica === undefined) return false;
        const { outbox, pending, quorum } = replica.status();
        return quorum && outbox.size === 0 && pending.commands === 0;
      });
    expect(await simulation.runUntil(done, 60_000), 'the outboxes are empty in the end').to.equal(true);
    simulation.check();
  }

  async verdict(): Promise<{ replayed: number; cancelled: number }> {
    const { simulation } = this;
    const items = await simulation.settle(simulation.replica('a').query({ op: 'items' }));
    expect(new Set(items).size, 'applied twice').to.equal(items.length);
    const applied = new Set(items);
    const lost: string[] = [];
    for (const { item, queued, unwanted, sure } of this.told.values()) {
      if (sure === 'cancelled' || sure === 'refused')
        expect(applied.has(item), `${item} was ${sure}`).to.equal(false);
      else if (((queued && !unwanted) || sure === 'applied') && !applied.has(item)) lost.push(item);
      expect(sure, `the fate of ${item}`).not.to.equal('unknown');
    }
    expect(lost, 'queued and never applied').to.deep.equal([]);
    for (const node of nodes) {
      const order = [...this.told.values()].filter((told) => told.node === node && told.queued);
      const wanted = order.map(({ item }) => item).filter((item) => applied.has(item));
      const positions = wanted.map((item) => items.indexOf(item));
      expect(positions, `the order of ${node}`).to.deep.equal(positions.toSorted((x, y) => x - y));
    }
    const all = [...this.told.values()];
    return {
      replayed: all.filter(({ item, queued }) => queued && applied.has(item)).length,
      cancelled: all.filter(({ sure }) => sure === 'cancelled').length,
    };
  }
}

describe('the outbox in simulated clusters', () => {
  for (let from = 1; from <= SEEDS; from += 20) {
    it(`replays each command once and in order, seeds ${from} to ${from + 19}`, async () => {
      const sums = { replayed: 0, cancelled: 0 };
      for (let seed = from; seed < from + 20; seed++) {
        const story = new Story(seed);
        try {
          await story.play();
          const { replayed, cancelled } = await story.verdict();
          sums.replayed += replayed;
          sums.cancelled += cancelled;
        } catch (error) {
          if (error instanceof Error) error.message = `seed ${seed}: ${error.message}`;
          throw error;
        }
      }
      // The stories are about something.
      expect(sums.replayed).to.be.greaterThan(40);
      expect(sums.cancelled).to.be.greaterThan(8);
    });
  }
});
