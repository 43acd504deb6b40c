/** A store under fire: partitions, crashes, losses of power. What was acknowledged is there, and all come to hold the same. */
import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import { crdt, lww } from '../../../../lib/store/resolve/resolution.js';
import { pnCounter } from '../../../../lib/store/crdt/counter.js';
import { orSet, type SetOperation, type SetState } from '../../../../lib/store/crdt/orSet.js';
import { seeded } from '../../support/seeded.js';
import { NODES, Stage } from './stage.js';

/** Who fails for what the faults explain. */
function explained(error: unknown): void {
  const codes = ['ERR_TIMEOUT', 'ERR_NOT_READY', 'ERR_CLOSED', 'ERR_STORAGE_FAILED'];
  if (!(error instanceof QuorateError) || !codes.includes(error.code)) throw error;
}

/** Runs faults and, between them, `work` at nodes that are up. Then all is mended. */
async function storm<V, Input, Op>(
  stage: Stage<V, Input, Op>,
  random: () => number,
  rounds: number,
  work: (id: string) => void,
): Promise<void> {
  const { simulation } = stage;
  const pick = (): string => NODES[Math.floor(random() * 3)]!;
  let down: string | undefined;
  for (let round = 0; round < rounds; round++) {
    const what = random();
    if (what < 0.25) {
      const alone = pick();
      simulation.partition([[alone], NODES.filter((id) => id !== alone)]);
    } else if (what < 0.45) simulation.heal();
    else if (what < 0.6) simulation.cutOneWay(...oneWay(pick(), pick()));
    else if (what < 0.8 && down === undefined) stage.crash((down = pick()));
    else if (down !== undefined) {
      await stage.restart(down);
      down = undefined;
    }
    for (let n = 0; n < 4; n++) {
      const id = pick();
      if (stage.stores.has(id)) work(id);
      await simulation.run(random() * 300);
    }
  }
  simulation.heal();
  if (down !== undefined) await stage.restart(down);
  const same = await simulation.runUntil(() => stage.converged, 20_000);
  expect(same, `seed ${simulation.seed}: all hold the same within 20 s`).to.equal(true);
}

function oneWay(from: string, to: string): [string, string] {
  return from === to ? [from, NODES[(NODES.indexOf(from) + 1) % 3]!] : [from, to];
}

describe('a store under fire', () => {
  for (const seed of [1, 3])
    it(`loses no addition that was acknowledged, and makes up none (seed ${seed})`, async function () {
      this.timeout(60_000);
      const random = seeded(seed);
      const sets = crdt<SetState<string>, string[], SetOperation<string>>(orSet<string>());
      const stage = await new Stage(seed, () => ({ resolve: sets, w: 'local' })).ready();
      const acknowledged = new Set<string>();
      const begun = new Set<string>();
      let count = 0;
      await storm(stage, random, 7, (id) => {
        const value = `${id} ${++count}`;
        begun.add(value);
        stage
          .at(id)
          .update(`k${count % 3}`, { op: 'add', value })
          .then(() => acknowledged.add(value), explained);
      });
      for (const id of NODES) {
        const held = new Set((await stage.settle(stage.at(id).list())).flatMap(([, values]) => values));
        expect(
          [...acknowledged].filter((value) => !held.has(value)),
          'lost',
        ).to.deep.equal([]);
        expect(
          [...held].filter((value) => !begun.has(value)),
          'made up',
        ).to.deep.equal([]);
      }
      expect(acknowledged.size).to.be.greaterThan(8);
      stage.simulation.check();
    });

  it('counts each addition once', async function () {
    this.timeout(60_000);
    const stage = await new Stage(11, () => ({ resolve: crdt(pnCounter()) })).ready();
    let [least, most] = [0, 0];
    await storm(stage, seeded(11), 7, (id) => {
      most++;
      stage
        .at(id)
        .update('n', { op: 'add' })
        .then(() => least++, explained);
    });
    const values = [];
    for (const id of NODES) values.push((await stage.settle(stage.at(id).get('n'))).value!);
    expect(new Set(values).size).to.equal(1);
    expect(values[0]).to.be.within(least, most);
    expect(least).to.be.greaterThan(3);
    stage.simulation.check();
  });

  for (const seed of [21, 22])
    it(`reads nothing older than what was acknowledged before, where R + W > N (seed ${seed})`, async function () {
      this.timeout(60_000);
      const stage = await new Stage(seed, () => ({ resolve: lww<number>(), timeout: 500 })).ready();
      let [next, acknowledged, seen, reads] = [0, 0, 0, 0];
      let writer: string | undefined;
      let failed: unknown;
      await storm(stage, seeded(seed), 8, (id) => {
        // One writer: who wrote first is no question of clocks. After its crash another one goes on.
        if (writer === undefined || !stage.stores.has(writer)) writer = id;
        if (id === writer) {
          const value = ++next;
          stage
            .at(id)
            .put('k', value)
            .then(() => (acknowledged = Math.max(acknowledged, value)), explained);
        }
        const before = Math.max(acknowledged, seen);
        stage
          .at(id)
          .get('k')
          .then(({ value = 0 }) => {
            reads++;
            expect(value, 'a stale read').to.be.at.least(before);
            seen = Math.max(seen, value);
          }, explained)
          .catch((error: unknown) => (failed ??= error));
      });
      expect(failed).to.equal(undefined);
      expect(reads).to.be.greaterThan(5);
      expect(acknowledged).to.be.greaterThan(3);
      stage.simulation.check();
    });

  it('keeps what was acknowledged by a majority though one member loses its disk', async () => {
    const stage = await new Stage(31, () => ({ resolve: lww<number>() })).ready();
    for (let n = 0; n < 20; n++) await stage.settle(stage.at('a').put(`k${n}`, n));
    stage.crash('a');
    stage.simulation.restart('a');
    await stage.open('a', '/another-disk');
    expect(await stage.simulation.runUntil(() => stage.converged, 10_000)).to.equal(true);
    for (let n = 0; n < 20; n++)
      expect((await stage.settle(stage.at('a').get(`k${n}`, { r: 1 }))).value).to.equal(n);
    await stage.settle(stage.at('a').put('k0', 100));
    expect((await stage.settle(stage.at('b').get('k0'))).value).to.equal(100);
    stage.simulation.check();
  });
});
