import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import {
  diskStorage,
  joinMesh,
  keyValue,
  memoryNetwork,
  memoryStorage,
  openReplica,
  recoverGroup,
} from '../../../../lib/index.js';
import type { Storage } from '../../../../lib/index.js';
import { seeded } from '../../support/seeded.js';
import { FaultyDisk, type Verdict } from '../../storage/support/faultyDisk.js';
import { DIRECTORY, environmentOn } from '../../storage/support/harness.js';
import { Cluster, failure, until, type Store } from './support.js';

const sure = { cluster: 'c', group: 'g', iUnderstandThatWritesMayBeLost: true } as const;

describe('a group that lost its majority', () => {
  let cluster: Cluster;
  beforeEach(() => (cluster = new Cluster()));
  afterEach(() => cluster.close());

  it('goes on from what one member has, and those that come back are refused with a word', async () => {
    const storages: Record<string, Storage> = {};
    const open = (id: string, how = {}): Promise<Store> =>
      cluster.open(id, (storages[id] ??= memoryStorage()), how);
    const members = ['a', 'b', 'c'];
    const [a] = await Promise.all(members.map((id) => open(id, { members })));
    for (let i = 0; i < 50; i++) await a!.submit({ op: 'put', key: `k${i}`, value: i });
    await until('c to have it', () => a!.status().appliedIndex >= 50);
    await cluster.leave('b');
    await cluster.leave('c');
    // It hangs about in the log of one member that cannot commit it. Recovery keeps it: nobody can know.
    const doubtful = await failure(a!.submit({ op: 'put', key: 'doubt', value: 1 }, { timeout: 50 }));
    expect(doubtful.fate).to.equal('ambiguous');
    const running = { ...sure, node: 'a', storage: storages['a']!, stateMachine: keyValue<number>() };
    expect((await failure(recoverGroup(running))).code).to.equal('ERR_STORAGE_LOCKED');
    await cluster.leave('a');

    const report = await recoverGroup(running);
    expect(report.formerMembers).to.deep.equal(members);
    expect(report.keptIndex).to.be.at.least(report.commitIndex);
    expect(report.notes.join('\n')).to.match(/no longer members: b, c/);
    const again = await open('a');
    await again.ready();
    expect(again.status().members).to.deep.equal([{ id: 'a', as: 'voter' }]);
    expect((await again.query({ op: 'list' })).length).to.be.oneOf([50, 51]);
    // What it retried is answered from what is known, or takes effect now: once.
    await again.submit({ op: 'put', key: 'doubt', value: 1 }, { requestId: doubtful.requestId! });

    // b and c have a majority of what was, and both groups are there. They do not mix.
    const warnings: Error[] = [];
    const b = await open('b');
    b.on('warning', (error) => warnings.push(error));
    again.on('warning', (error) => warnings.push(error));
    const c = await open('c');
    await Promise.all([b.ready(), c.ready()]);
    await b.submit({ op: 'put', key: 'other', value: 1 });
    await until('both to be told', () => warnings.length >= 2);
    for (const { message } of warnings)
      expect(message).to.match(
        /^group g was founded anew from its data, and [bc] is still in the former one: give [bc] a new storage and let it join$/,
      );
    expect(await again.query({ op: 'get', key: 'other' })).to.equal(undefined);
    await cluster.leave('c');
    await cluster.leave('b');
    const fresh = await cluster.open('b', memoryStorage(), { join: true });
    await until('b to vote', () => fresh.status().members.length === 2);
    expect(await fresh.query({ op: 'get', key: 'k49' })).to.equal(49);
  });

  it('can be recovered once more, and again after it was never opened', async () => {
    const storage = memoryStorage();
    const a = await cluster.open('a', storage, { members: ['a'] });
    await a.submit({ op: 'put', key: 'k', value: 1 });
    await cluster.close();
    const once = await recoverGroup({ ...sure, node: 'a', storage, stateMachine: keyValue<number>() });
    const twice = await recoverGroup({ ...sure, node: 'a', storage, stateMachine: keyValue<number>() });
    expect(twice.formerGenesis).to.equal(once.genesis);
    expect(twice.keptIndex).to.equal(once.index);
    expect(twice.notes.at(-1)).to.equal('it had no other member');
    const again = await cluster.open('a', storage);
    expect(await again.query({ op: 'get', key: 'k' })).to.equal(1);
  });

  it('is not recovered by accident, nor where there is nothing', async () => {
    const storage = memoryStorage();
    const stateMachine = keyValue<number>();
    const options = { ...sure, node: 'a', storage, stateMachine };
    for (const word of [undefined, false, 'yes', 1]) {
      const error = await failure(recoverGroup({ ...options, iUnderstandThatWritesMayBeLost: word as true }));
      expect(error.message).to.match(/^iUnderstandThatWritesMayBeLost must be true/);
    }
    expect((await failure(recoverGroup(options))).code).to.equal('ERR_GROUP_UNKNOWN');
    expect((await failure(recoverGroup({ ...options, stateMachine: {} as never }))).code).to.equal(
      'ERR_CONFIG',
    );
    expect((await failure(recoverGroup({ ...options, node: 'b' }))).code).to.equal('ERR_STORAGE_FOREIGN');
    // A founding that never came about: b never came.
    await cluster.open('a', storage, { members: ['a', 'b'] });
    await new Promise((resolve) => setTimeout(resolve, 700));
    await cluster.close();
    expect((await failure(recoverGroup(options))).code).to.equal('ERR_GROUP_UNKNOWN');
  });
});

/** Opens the group of a disk on its own, looks at it, and closes it. */
async function looked<T>(
  disk: FaultyDisk,
  look: (replica: Store) => Promise<T>,
  members?: string[],
): Promise<T> {
  const environment = environmentOn(disk);
  const secret = 'a secret of more than sixteen bytes';
  const mesh = await joinMesh({ id: 'a', cluster: 'c', secret, transport: memoryNetwork(), environment });
  try {
    const storage = diskStorage(DIRECTORY, { segmentBytes: 65_536, reserve: 0 });
    const founding = members === undefined ? {} : { members };
    // Small snapshots, so that there is one and a log behind it.
    const snapshot = { logBytes: 4096, keepEntries: 5 };
    const replica = await openReplica({
      mesh,
      group: 'g',
      stateMachine: keyValue<number>(),
      storage,
      snapshot,
      ...founding,
    });
    return await look(replica);
  } finally {
    await mesh.close();
  }
}

describe('a recovery that is cut short', function () {
  this.timeout(120_000);

  const cases: [string, Verdict][] = [
    ['after any step', 'stops'],
    ['half-way through any write', 'stops-half'],
  ];
  for (const [name, verdict] of cases) {
    it(`leaves the former group or the new one, whole: ${name}`, async () => {
      const before = new FaultyDisk();
      const genesis = await looked(
        before,
        async (replica) => {
          for (let i = 0; i < 120; i++) await replica.submit({ op: 'put', key: `key ${i}`, value: i });
          return replica.backup().next();
        },
        ['a'],
      );
      expect(genesis.done).to.equal(false);
      const recover = (disk: FaultyDisk): ReturnType<typeof recoverGroup> =>
        recoverGroup({
          ...sure,
          node: 'a',
          storage: diskStorage(DIRECTORY, { segmentBytes: 65_536, reserve: 0 }),
          stateMachine: keyValue<number>(),
          environment: environmentOn(disk),
        });
      const found = { former: 0, anew: 0 };
      for (let stop = 1; ; stop++) {
        const disk = before.copy();
        const halted = new Promise<void>((resolve) => {
          disk.judge = (_operation, _path, step) => {
            if (step < stop) return 'works';
            setImmediate(resolve);
            return verdict;
          };
        });
        const ended = await Promise.race([halted.then(() => false), recover(disk).then(() => true)]);
        if (ended) break;
        disk.stopped = true;
        const random = seeded(stop);
        const after = stop % 3 === 0 ? disk.restart() : disk.crash(random);
        // Whichever it is, it serves with all it had; and what it was does not change by looking.
        const isNew = await looked(after, async (replica) => {
          await replica.submit({ op: 'put', key: 'new', value: stop });
          expect((await replica.query({ op: 'list' })).length, `stopped at ${stop}`).to.equal(121);
          return replica.status().appliedIndex > 2 ** 32;
        });
        found[isNew ? 'anew' : 'former']++;
        const crashed = after.crash(random);
        const report = await recover(crashed);
        expect(report.keptIndex > 2 ** 32, `stopped at ${stop}`).to.equal(isNew);
        await looked(crashed, async (replica) => {
          expect(await replica.query({ op: 'get', key: 'new' })).to.equal(stop);
        });
      }
      expect(found.former).to.be.above(10);
      expect(found.anew).to.be.above(2);
    });
  }
});
