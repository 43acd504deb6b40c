/** A store of three members, in the simulator. */
import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import { lww, siblings, crdt } from '../../../../lib/store/resolve/resolution.js';
import { pnCounter } from '../../../../lib/store/crdt/counter.js';
import type { RepairReport } from '../../../../lib/store/coordination/repair.js';
import type { QuorumShortfall } from '../../../../lib/store/coordination/quorum.js';
import type { StoreConflict } from '../../../../lib/store/local/localTypes.js';
import { Stage } from './stage.js';

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('a store', () => {
  it('writes anywhere and reads anywhere', async () => {
    const stage = await new Stage(1, () => ({ resolve: lww<string>() })).ready();
    await stage.settle(stage.at('a').put('k', 'one', { w: 'all' }));
    for (const id of ['a', 'b', 'c'])
      expect((await stage.settle(stage.at(id).get('k', { r: 'local' }))).value).to.equal('one');
    await stage.settle(stage.at('b').put('k', 'two'));
    expect((await stage.settle(stage.at('c').get('k'))).value).to.equal('two');
    expect(await stage.settle(stage.at('c').update('k', (value) => `${value}!`, { w: 3, r: 2 }))).to.equal(
      'two!',
    );
    expect(await stage.settle(stage.at('a').list())).to.deep.equal([['k', 'two!']]);
    const watch = stage.at('a').watch()[Symbol.asyncIterator]();
    await stage.settle(stage.at('b').delete('k', { w: 'all' }));
    expect((await stage.settle(watch.next())).value).to.deep.equal({ key: 'k', value: undefined });
    expect((await stage.settle(stage.at('a').get('k'))).value).to.equal(undefined);
    expect(stage.converged).to.equal(true);
    expect(stage.at('a').status()).to.deep.include({ keys: 1, linked: ['b', 'c'], hints: 0 });
    await stage.settle(Promise.all([...stage.stores.values()].map((store) => store.close())));
    expect((await failure(stage.settle(stage.at('a').put('k', 'x')))).code).to.equal('ERR_CLOSED');
    stage.simulation.check();
  });

  it('goes on on both sides of a partition, and comes together after it', async () => {
    const stage = await new Stage(2, () => ({ resolve: siblings<string>(), r: 'local', w: 'local' })).ready();
    await stage.settle(stage.at('a').put('both', 'old', { w: 'all' }));
    await stage.settle(stage.at('a').put('gone', 'old', { w: 'all' }));
    stage.simulation.partition([['a'], ['b', 'c']]);
    await stage.simulation.run(5000);
    const reports: RepairReport[] = [];
    stage.at('a').on('repaired', (report) => reports.push(report));
    const { context } = await stage.settle(stage.at('a').get('both'));
    await stage.settle(stage.at('a').put('both', 'a', { context }));
    await stage.settle(
      stage.at('b').put('both', 'b', { context: (await stage.settle(stage.at('b').get('both'))).context }),
    );
    await stage.settle(stage.at('c').delete('gone'));
    await stage.settle(stage.at('c').put('new', 'c'));
    stage.simulation.heal();
    const hints = (): number => ['a', 'b', 'c'].reduce((sum, id) => sum + stage.at(id).status().hints, 0);
    expect(await stage.simulation.runUntil(() => stage.converged && hints() === 0, 10_000)).to.equal(true);
    for (const id of ['a', 'b', 'c']) {
      expect((await stage.settle(stage.at(id).get('both'))).value?.slice().sort(), id).to.deep.equal([
        'a',
        'b',
      ]);
      expect((await stage.settle(stage.at(id).get('gone'))).value, id).to.equal(undefined);
      expect((await stage.settle(stage.at(id).get('new'))).value, id).to.deep.equal(['c']);
    }
    stage.simulation.check();
  });

  it('tells who lost where the last write wins', async () => {
    const stage = await new Stage(3, () => ({ resolve: lww<string>(), w: 'local' })).ready();
    stage.simulation.partition([['a'], ['b', 'c']]);
    await stage.simulation.run(5000);
    const told: StoreConflict[] = [];
    for (const id of ['a', 'b', 'c']) stage.at(id).on('conflict', (conflict) => told.push(conflict));
    await stage.settle(stage.at('a').put('k', 'first'));
    await stage.simulation.run(1000);
    await stage.settle(stage.at('b').put('k', 'second'));
    stage.simulation.heal();
    expect(await stage.simulation.runUntil(() => stage.converged, 10_000)).to.equal(true);
    expect((await stage.settle(stage.at('a').get('k'))).value).to.equal('second');
    expect(
      told.map(({ winner, losers }) => [winner.value, losers[0]?.value, losers[0]?.node]),
    ).to.deep.include(['second', 'first', 'a']);
    stage.simulation.check();
  });

  it('says how many took part where too few did, and keeps what was written', async () => {
    const stage = await new Stage(4, () => ({ resolve: lww<string>() })).ready();
    stage.simulation.partition([['a'], ['b', 'c']]);
    const early = await failure(stage.settle(stage.at('a').put('k', 'v')));
    expect([early.code, early.fate]).to.deep.equal(['ERR_TIMEOUT', 'ambiguous']);
    expect(early.data).to.deep.equal({ needed: 2, answered: 1, members: 3 } satisfies QuorumShortfall);
    await stage.simulation.run(10_000);
    const late = await failure(stage.settle(stage.at('a').put('k', 'w')));
    expect([late.code, late.fate]).to.deep.equal(['ERR_NOT_READY', 'ambiguous']);
    expect(late.message).to.equal('write of "k": 1 of 3 members can be reached and took part, 2 were needed');
    const read = await failure(stage.settle(stage.at('a').get('k')));
    expect([read.code, read.fate]).to.deep.equal(['ERR_NOT_READY', undefined]);
    expect((await stage.settle(stage.at('a').get('k', { r: 1 }))).value).to.equal('w');
    expect(stage.at('a').status().hints).to.equal(2);
    stage.simulation.heal();
    expect(
      await stage.simulation.runUntil(() => stage.converged && stage.at('a').status().hints === 0, 10_000),
    ).to.equal(true);
    expect((await stage.settle(stage.at('b').get('k', { r: 'local' }))).value).to.equal('w');
    stage.simulation.check();
  });

  it('repairs who lags before it answers, so that no later read finds less', async () => {
    const stage = await new Stage(5, () => ({ resolve: lww<string>(), repairIntervalMs: 1e9 })).ready();
    await stage.settle(stage.at('a').put('k', 'old', { w: 'all' }));
    stage.simulation.cut('a', 'b');
    stage.simulation.cut('a', 'c');
    await stage.simulation.run(10_000);
    await stage.settle(stage.at('a').put('k', 'new', { w: 'local' }));
    await stage.settle(stage.at('a').close()); // it comes back for reads alone: nothing else spreads the write
    stage.simulation.heal();
    await stage.simulation.run(3000);
    expect((await stage.settle(stage.at('c').get('k'))).value).to.equal('old');
    await stage.open('a');
    // Its opening compares with the first that is linked; what the others read is at least that from now on.
    const first = (await stage.settle(stage.at('b').get('k', { r: 'all' }))).value;
    expect(first).to.equal('new');
    for (const id of ['a', 'b', 'c'])
      expect((await stage.settle(stage.at(id).get('k', { r: 'local' }))).value).to.equal('new');
    stage.simulation.check();
  });

  it('moves what differs after a partition, and not the store', async () => {
    const stage = await new Stage(6, () => ({
      resolve: lww<string>(),
      w: 'local',
      repairIntervalMs: 1e9,
    })).ready();
    const value = 'x'.repeat(100);
    await stage.settle(
      Promise.all(Array.from({ length: 300 }, (_, n) => stage.at('a').put(`k${n}`, value, { w: 'all' }))),
    );
    expect(stage.converged).to.equal(true);
    stage.simulation.partition([['a'], ['b', 'c']]);
    await stage.simulation.run(10_000);
    await stage.settle(stage.at('b').put('k7', 'other'));
    const [first] = await stage.settle(stage.at('b').repair());
    expect(first).to.deep.include({ peer: 'c', keys: 0 });
    expect(first!.bytes).to.be.lessThan(100);
    for (let n = 0; n < 10; n++) await stage.settle(stage.at('c').put(`k${n * 20}`, 'other'));
    const reports: RepairReport[] = [];
    for (const id of ['a', 'b', 'c']) stage.at(id).on('repaired', (report) => reports.push(report));
    stage.simulation.heal();
    expect(await stage.simulation.runUntil(() => stage.converged, 10_000)).to.equal(true);
    await stage.simulation.run(2000);
    const bytes = reports.reduce((sum, report) => sum + report.bytes, 0);
    expect(bytes).to.be.lessThan(20_000); // of some 60,000
    stage.simulation.check();
  });

  it('does not talk with members that opened it otherwise, and says so', async () => {
    let count = 0;
    const stage = new Stage<unknown, unknown, never>(7, () => ({
      resolve: count++ === 0 ? lww() : siblings(),
    }));
    await stage.ready();
    const differs: string[] = [];
    stage.at('b').on('peer:differs', (peer) => differs.push(peer));
    const error = await failure(stage.settle(stage.at('b').put('k', 1, { w: 'all' })));
    expect((error.data as QuorumShortfall).answered).to.be.at.most(2);
    expect(differs).to.include('a');
    expect((await stage.settle(stage.at('a').get('k', { r: 'local' }))).value).to.equal(undefined);
    stage.simulation.check();
  });

  it('refuses options and levels that make no sense', async () => {
    let given: object = {};
    const bad = new Stage<unknown, unknown, never>(8, () => given);
    await bad.simulation.ready();
    const open = async (options: object): Promise<string> => {
      given = options;
      return (await failure(bad.open('a'))).code;
    };
    for (const options of [
      { members: [] },
      { members: ['a', 'a'] },
      { name: '' },
      { w: 4 },
      { r: 0 },
      { w: 'most' },
      { timeout: 0 },
      { repairIntervalMs: 1 },
      { repairIntervalMs: 2 ** 30 + 1 },
      { repairIntervalMs: 2 ** 31 - 1 },
      { mesh: {} },
      { resolve: {} },
      { merkleLeaves: 5 },
    ])
      expect(await open(options), JSON.stringify(options)).to.equal('ERR_CONFIG');
    expect(await open({ members: ['x', 'y'] })).to.equal('ERR_NOT_A_MEMBER');
    const stage = await new Stage(9, () => ({ resolve: crdt(pnCounter()) })).ready();
    expect((await failure(stage.settle(stage.at('a').update('k', { op: 'add' }, { w: 4 })))).code).to.equal(
      'ERR_CONFIG',
    );
    expect((await failure(stage.settle(stage.at('a').get('k', { r: -1 })))).code).to.equal('ERR_CONFIG');
    expect((await failure(stage.open('a', '/elsewhere'))).code).to.equal('ERR_GROUP_EXISTS');
  });
});
