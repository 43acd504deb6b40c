/**
 * A store on a ring under fire, while members come and go: no acknowledged write is lost, no read is stale where R and W overlap, and in the
 * end each key is on exactly its owners, who all hold the same.
 */
import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import { crdt, custom } from '../../../../lib/store/resolve/resolution.js';
import { orSet, type SetOperation, type SetState } from '../../../../lib/store/crdt/orSet.js';
import { seeded } from '../../support/seeded.js';
import { RingStage } from './ringStage.js';

/** How many more runs than these are wanted: for whoever looks for trouble. */
const SEEDS = (process.env.RING_SEEDS ?? '1,2,126').split(',').map(Number);

/** Who fails for what the faults explain. */
function explained(error: unknown): void {
  const codes = ['ERR_TIMEOUT', 'ERR_NOT_READY', 'ERR_CLOSED', 'ERR_STORAGE_FAILED', 'ERR_REJECTED'];
  codes.push('ERR_NOT_A_MEMBER', 'ERR_LEADER_CHANGED', 'ERR_OVERLOADED', 'ERR_REPLICA_FAILED', 'ERR_CONFIG');
  if (!(error instanceof QuorateError) || !codes.includes(error.code)) throw error;
}

/** One that was taken out of the store meanwhile is told so. */
async function restart<V, Input, Op>(
  stage: RingStage<V, Input, Op>,
  id: string,
  gone: ReadonlySet<string>,
): Promise<void> {
  try {
    await stage.restart(id);
  } catch (error) {
    if (!gone.has(id) || !(error instanceof QuorateError) || error.code !== 'ERR_NOT_A_MEMBER') throw error;
  }
}

/** Runs faults and changes of the members and, between them, `work` at nodes that are up. Then all is mended. */
async function storm<V, Input, Op>(
  stage: RingStage<V, Input, Op>,
  random: () => number,
  keys: readonly string[],
  work: (id: string) => void,
): Promise<void> {
  const { simulation, nodes } = stage;
  const pick = (): string => nodes[Math.floor(random() * nodes.length)]!;
  let down: string | undefined;
  const spare = nodes.filter((id) => !stage.founders.includes(id));
  const gone = new Set<string>();
  for (let round = 0; round < 14; round++) {
    const what = random();
    if (what < 0.15) {
      const alone = pick();
      simulation.partition([[alone], nodes.filter((id) => id !== alone)]);
    } else if (what < 0.3) {
      const [one, other] = [pick(), pick()];
      if (one !== other) simulation.cut(one, other);
    } else if (what < 0.5) simulation.heal();
    else if (what < 0.62 && down === undefined) {
      const id = pick();
      if (stage.stores.has(id)) stage.crash((down = id));
    } else if (what < 0.75 && down !== undefined) {
      await restart(stage, down, gone);
      down = undefined;
    } else if (spare.length > 0 && what < 0.9) {
      const id = spare.shift()!;
      if (id !== down) await stage.open(id);
    } else if (gone.size === 0 && stage.stores.size > 4) {
      const [id] = [...stage.stores.keys()].filter((one) => one !== down).sort(() => random() - 0.5);
      gone.add(id!);
      stage.at(id!).removeMember(id!, { timeout: 60_000 }).catch(explained);
    }
    for (let n = 0; n < 6; n++) {
      const id = pick();
      if (stage.stores.has(id)) work(id);
      await simulation.run(random() * 300);
    }
  }
  simulation.heal();
  if (down !== undefined) await restart(stage, down, gone);
  for (const id of spare) if (!stage.stores.has(id)) await stage.open(id);
  const settled = await simulation.runUntil(() => {
    for (const [id, store] of stage.stores) {
      const { members, leaving, version, rebalancing } = store.status().placement!;
      const out =
        version > 1 && !rebalancing && !leaving.includes(id) && !members.some((one) => one.id === id);
      if (gone.has(id) && out && store.status().keys === 0) stage.stores.delete(id);
    }
    return stage.settled(keys);
  }, 120_000);
  const shown = [...stage.stores].map(([id, store]) => [id, store.status().keys, store.status().placement]);
  expect(settled, `seed ${simulation.seed}: ${JSON.stringify(shown)}`).to.equal(true);
}

/** All owners of a key come to hold the same, by themselves. */
async function checkOwners<V, Input, Op>(
  stage: RingStage<V, Input, Op>,
  keys: readonly string[],
): Promise<void> {
  const [first] = stage.stores.keys();
  const differing = async (): Promise<string[]> => {
    const out: string[] = [];
    for (const key of keys) {
      const held = new Set<string>();
      for (const id of stage.ownersOf(key, first!))
        held.add((await stage.settle(stage.at(id).get(key, { r: 'local' }))).context);
      if (held.size > 1) out.push(key);
    }
    return out;
  };
  for (let second = 0; second < 30 && (await differing()).length > 0; second++)
    await stage.simulation.run(1000);
  expect(await differing(), 'keys whose owners differ').to.deep.equal([]);
}

describe('a store on a ring under fire', () => {
  for (const seed of SEEDS)
    it(`loses nothing that was acknowledged, and each key ends on its owners (seed ${seed})`, async function () {
      this.timeout(120_000);
      const sets = crdt<SetState<string>, string[], SetOperation<string>>(orSet<string>());
      const stage = await new RingStage(seed, 4, 6, () => ({ resolve: sets })).ready();
      const keys = Array.from({ length: 12 }, (_, n) => `k${n}`);
      await stage.settle(
        Promise.all(keys.map((key) => stage.at('a').update(key, { op: 'add', value: 'seed' }))),
      );
      const acknowledged = new Set<string>();
      const begun = new Set<string>(['seed']);
      let count = 0;
      await storm(stage, seeded(seed), keys, (id) => {
        const key = keys[count++ % keys.length]!;
        const value = `${key} ${id} ${count}`;
        begun.add(value);
        stage
          .at(id)
          .update(key, { op: 'add', value })
          .then(() => acknowledged.add(value), explained);
      });
      await checkOwners(stage, keys);
      const [reader] = stage.stores.values();
      const held = new Set((await stage.settle(reader!.list())).flatMap(([, values]) => values));
      const lost = [...acknowledged].filter((value) => !held.has(value));
      expect(lost, 'lost').to.deep.equal([]);
      const madeUp = [...held].filter((value) => !begun.has(value));
      expect(madeUp, 'made up').to.deep.equal([]);
      expect(acknowledged.size).to.be.greaterThan(20);
      stage.simulation.check();
    });

  for (const seed of SEEDS)
    it(`reads nothing stale while keys move, where R + W > N (seed ${seed})`, async function () {
      this.timeout(120_000);
      // The largest of what stands beside each other: a write that was given up may come late, and be newer than later ones.
      const resolve = custom<number>((a, b) => Math.max(a, b));
      const stage = await new RingStage(1000 + seed, 4, 6, () => ({ resolve, timeout: 500 })).ready();
      const keys = Array.from({ length: 6 }, (_, n) => `k${n}`);
      await stage.settle(Promise.all(keys.map((key) => stage.at('a').put(key, 0))));
      const next = new Map(keys.map((key) => [key, 0]));
      const acknowledged = new Map(next);
      const seen = new Map(next);
      let [turn, reads] = [0, 0];
      let failed: unknown;
      const busy = new Set<string>();
      await storm(stage, seeded(1000 + seed), keys, (id) => {
        const key = keys[turn++ % keys.length]!;
        const before = Math.max(acknowledged.get(key)!, seen.get(key)!);
        stage
          .at(id)
          .get(key)
          .then(({ value = 0 }) => {
            reads++;
            expect(value, `a stale read of ${key} at ${id}`).to.be.at.least(before);
            seen.set(key, Math.max(seen.get(key)!, value));
          }, explained)
          .catch((error: unknown) => (failed ??= error));
        // One write of a key at a time, each with what was read: who wrote first is no question of clocks.
        if (busy.has(key)) return;
        busy.add(key);
        const store = stage.at(id);
        const value = next.get(key)! + 1;
        next.set(key, value);
        store
          .get(key)
          .then(({ context }) => store.put(key, value, { context }))
          .then(() => acknowledged.set(key, Math.max(value, acknowledged.get(key)!)), explained)
          .finally(() => busy.delete(key))
          .catch((error: unknown) => (failed ??= error));
      });
      expect(failed).to.equal(undefined);
      await checkOwners(stage, keys);
      expect(reads).to.be.greaterThan(20);
      stage.simulation.check();
    });
});
