/** A store with more members than copies, in the simulator. */
import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import { crdt, lww, siblings } from '../../../../lib/store/resolve/resolution.js';
import { pnCounter } from '../../../../lib/store/crdt/counter.js';
import { RingStage } from './ringStage.js';

const keysOf = (count: number): string[] => Array.from({ length: count }, (_, n) => `k${n}`);

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('a store with more members than copies', () => {
  it('puts each key on n members, and reads, writes and lists all of them anywhere', async () => {
    const stage = await new RingStage<string>(1, 5, 5, () => ({ resolve: lww<string>() })).ready();
    const keys = keysOf(40);
    for (const [i, key] of keys.entries())
      await stage.settle(stage.at(stage.nodes[i % 5]!).put(key, `v${i}`, { w: 'all' }));
    expect(stage.settled(keys)).to.equal(true);
    for (const id of stage.nodes) {
      for (const [i, key] of keys.entries())
        expect((await stage.settle(stage.at(id).get(key))).value).to.equal(`v${i}`);
      const listed = await stage.settle(stage.at(id).list());
      expect(listed).to.deep.equal(keys.map((key, i): [string, string] => [key, `v${i}`]).sort());
    }
    expect(await stage.settle(stage.at('a').list({ prefix: 'k1', after: 'k11', limit: 3 }))).to.deep.equal([
      ['k12', 'v12'],
      ['k13', 'v13'],
      ['k14', 'v14'],
    ]);
    const other = stage.nodes.find((id) => !stage.ownersOf('k7', 'a').includes(id))!;
    const { context } = await stage.settle(stage.at(other).get('k7'));
    await stage.settle(stage.at(other).put('k7', 'new', { context }));
    expect(await stage.settle(stage.at(other).update('k7', (value) => `${value}!`))).to.equal('new!');
    await stage.settle(stage.at(other).delete('k8'));
    for (const id of stage.nodes) {
      expect((await stage.settle(stage.at(id).get('k7'))).value).to.equal('new!');
      expect((await stage.settle(stage.at(id).get('k8'))).value).to.equal(undefined);
    }
    stage.simulation.check();
  });

  it('tells who asked through another member how many owners have a write, and who missed it', async () => {
    const stage = await new RingStage<string>(11, 5, 5, () => ({ resolve: lww<string>() })).ready();
    const owners = stage.ownersOf('k', 'a');
    const other = stage.nodes.find((id) => !owners.includes(id))!;
    const gone = owners[2]!;
    expect(await stage.settle(stage.at(other).put('k', 'v0', { w: 'all' }))).to.deep.equal({
      acknowledged: 3,
      hinted: [],
    });
    stage.crash(gone);
    await stage.simulation.run(10_000);
    const report = await stage.settle(stage.at(other).put('k', 'v1', { w: 2 }));
    expect(report).to.deep.equal({ acknowledged: 2, hinted: [gone] });
    const hints = (): number => [...stage.stores.values()].reduce((sum, one) => sum + one.status().hints, 0);
    expect([hints(), stage.at(other).status().hints]).to.deep.equal([1, 0]);
    const refused = await failure(stage.settle(stage.at(other).put('k', 'v2', { w: 'all' })));
    expect([refused.code, refused.fate]).to.deep.equal(['ERR_NOT_READY', 'ambiguous']);
    expect(await stage.settle(stage.at(other).delete('k', { w: 2 }))).to.deep.equal(report);
    await stage.restart(gone);
    expect(await stage.simulation.runUntil(() => hints() === 0, 20_000)).to.equal(true);
    stage.simulation.check();
  });

  it('moves keys to a member that comes, and gives the room back', async () => {
    const stage = await new RingStage<string>(2, 4, 5, () => ({ resolve: lww<string>() })).ready();
    const keys = keysOf(200);
    await stage.settle(Promise.all(keys.map((key) => stage.at('a').put(key, key, { w: 'all' }))));
    const before = stage.at('b').status();
    const told: string[] = [];
    for (const event of ['rebalance:started', 'rebalance:finished'] as const)
      stage.at('b').on(event, () => told.push(event));
    await stage.open('e');
    const done = await stage.simulation.runUntil(
      () => stage.stores.size === 5 && stage.settled(keys),
      60_000,
    );
    expect(done, 'each key is on n members').to.equal(true);
    expect(told).to.deep.equal(['rebalance:started', 'rebalance:finished']);
    const after = stage.at('b').status();
    expect(after.keys).to.be.lessThan(before.keys);
    expect(after.bytes).to.be.lessThan(before.bytes);
    expect(after.placement!.members.map(({ id }) => id)).to.deep.equal(['a', 'b', 'c', 'd', 'e']);
    for (const key of keys) expect((await stage.settle(stage.at('e').get(key))).value).to.equal(key);
    stage.simulation.check();
  });

  it('lets a member go once the others have what it held', async () => {
    const stage = await new RingStage<string>(3, 5, 5, () => ({ resolve: lww<string>() })).ready();
    const keys = keysOf(100);
    await stage.settle(Promise.all(keys.map((key) => stage.at('a').put(key, key))));
    let removed = false;
    stage.at('b').on('removed', () => (removed = true));
    const store = stage.at('b');
    await stage.settle(stage.at('a').removeMember('b'));
    expect(await stage.simulation.runUntil(() => removed, 20_000)).to.equal(true);
    expect(store.status().keys).to.equal(0);
    expect((await failure(stage.settle(store.get('k1')))).code).to.equal('ERR_NOT_A_MEMBER');
    stage.stores.delete('b');
    expect(await stage.simulation.runUntil(() => stage.settled(keys), 20_000)).to.equal(true);
    for (const key of keys) expect((await stage.settle(stage.at('c').get(key))).value).to.equal(key);
    stage.simulation.check();
  });

  it('waits for nobody whose disk is said to be gone', async () => {
    const stage = await new RingStage<string>(4, 5, 5, () => ({ resolve: lww<string>() })).ready();
    const keys = keysOf(100);
    await stage.settle(Promise.all(keys.map((key) => stage.at('a').put(key, key))));
    stage.crash('c');
    expect((await failure(stage.settle(stage.at('a').removeMember('c', { timeout: 5000 })))).code).to.equal(
      'ERR_TIMEOUT',
    );
    expect(stage.at('a').status().placement!.rebalancing).to.not.equal(undefined);
    await stage.settle(stage.at('a').removeMember('c', { lost: true }));
    expect(await stage.simulation.runUntil(() => stage.settled(keys), 20_000)).to.equal(true);
    for (const key of keys) expect((await stage.settle(stage.at('b').get(key))).value).to.equal(key);
    stage.simulation.check();
  });

  it('writes to those who own a key before a move and to those who do after it, while it is under way', async () => {
    const stage = await new RingStage<string>(9, 4, 5, () => ({ resolve: lww<string>() })).ready();
    stage.crash('d'); // who comes has to hear of it before the move can end
    await stage.open('e');
    const moving = (): boolean => stage.at('a').status().placement!.rebalancing !== undefined;
    expect(await stage.simulation.runUntil(moving, 20_000)).to.equal(true);
    await stage.simulation.run(5000);
    expect(stage.at('e').status().keys).to.equal(0);
    const keys = keysOf(30);
    for (const key of keys) await stage.settle(stage.at('a').put(key, key));
    await stage.simulation.run(1000);
    const [before, after] = [
      ['a', 'b', 'c', 'd'],
      ['a', 'b', 'c', 'd', 'e'],
    ].map((ids) => stage.ownersWith(keys, ids));
    expect(moving()).to.equal(true);
    expect(stage.at('e').status().keys).to.equal(after!.get('e'));
    expect(stage.at('b').status().keys).to.be.at.least(before!.get('b')!);
    await stage.restart('d');
    expect(await stage.simulation.runUntil(() => stage.settled(keys), 30_000)).to.equal(true);
    for (const key of keys) expect((await stage.settle(stage.at('d').get(key))).value).to.equal(key);
    stage.simulation.check();
  });

  it('counts through any member, while members come', async () => {
    const stage = await new RingStage(5, 4, 6, () => ({ resolve: crdt(pnCounter()) })).ready();
    let count = 0;
    for (const joiner of ['e', 'f']) {
      await stage.open(joiner);
      for (let n = 0; n < 20; n++) {
        await stage.settle(stage.at(stage.nodes[n % 5]!).update(`n${n % 4}`, { op: 'add' }));
        count++;
        await stage.simulation.run(50);
      }
    }
    const keys = ['n0', 'n1', 'n2', 'n3'];
    expect(await stage.simulation.runUntil(() => stage.settled(keys), 30_000)).to.equal(true);
    let sum = 0;
    for (const key of keys) sum += (await stage.settle(stage.at('f').get(key))).value!;
    expect(sum).to.equal(count);
    stage.simulation.check();
  });

  it('keeps what an owner wrote before it gave the key up, though it owns it again and writes blindly', async () => {
    const stage = await new RingStage<string[], string>(
      6,
      3,
      4,
      () => ({ resolve: siblings<string>() }),
      2,
    ).ready();
    const keys = keysOf(30);
    for (const key of keys) await stage.settle(stage.at(stage.ownersOf(key, 'a').at(-1)!).put(key, 'first'));
    const writers = new Map(keys.map((key) => [key, stage.ownersOf(key, 'a').at(-1)!]));
    await stage.open('d');
    expect(await stage.simulation.runUntil(() => stage.settled(keys), 30_000)).to.equal(true);
    const moved = keys.filter((key) => !stage.ownersOf(key, 'a').includes(writers.get(key)!));
    expect(moved.length).to.be.greaterThan(0);
    // While the keys come back their writers do not have them yet, and write all the same.
    const removal = stage.at('a').removeMember('d');
    for (const key of moved) await stage.settle(stage.at(writers.get(key)!).put(key, 'second'));
    await stage.settle(removal);
    for (const key of moved)
      expect((await stage.settle(stage.at('a').get(key))).value?.slice().sort()).to.deep.equal([
        'first',
        'second',
      ]);
    stage.simulation.check();
  });

  it('refuses changes and options that make no sense', async () => {
    const stage = await new RingStage<string>(7, 3, 4, () => ({ resolve: lww<string>() })).ready();
    const codeOf = async (promise: Promise<unknown>): Promise<string> =>
      (await failure(stage.settle(promise))).code;
    expect(await codeOf(stage.at('a').removeMember('b'))).to.equal('ERR_CONFIG');
    expect(await codeOf(stage.at('a').addMember(''))).to.equal('ERR_CONFIG');
    expect(await codeOf(stage.at('a').addMember('x', { weight: 17 }))).to.equal('ERR_CONFIG');
    for (const options of [
      { n: 0 },
      { n: 5 },
      { join: true },
      { placement: 'all', n: 2 },
      { placement: 'x' },
    ]) {
      const bad = new RingStage<string>(8, 3, 3, () => options as object);
      await bad.simulation.ready();
      expect(await codeOf(bad.open('a')), JSON.stringify(options)).to.equal('ERR_CONFIG');
    }
  });
});
