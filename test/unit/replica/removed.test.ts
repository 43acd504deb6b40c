import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { memoryStorage } from '../../../lib/index.js';
import type { CloseReason, Storage } from '../../../lib/index.js';
import { Cluster, failure, until, type Store } from './backup/support.js';

describe('a member that was removed', () => {
  let cluster: Cluster;
  let storages: Record<string, Storage>;
  beforeEach(() => {
    cluster = new Cluster();
    storages = {};
  });
  afterEach(() => cluster.close());

  const open = (id: string, how = {}): Promise<Store> =>
    cluster.open(id, (storages[id] ??= memoryStorage()), how);

  /** a, b and c; the leader first. */
  async function three(): Promise<Store[]> {
    const members = ['a', 'b', 'c'];
    const all = await Promise.all(members.map((id) => open(id, { members })));
    await all[0]!.submit({ op: 'put', key: 'k', value: 1 });
    await until('all to know', () => all.every((one) => one.status().leader !== undefined));
    return all.sort((one) => (one.status().role === 'leader' ? -1 : 1));
  }

  const others = (gone: string): string[] => ['a', 'b', 'c'].filter((id) => id !== gone);
  const reasonOf = (gone: string): CloseReason => ({ type: 'removed', members: others(gone) });

  for (const at of [0, 1] as const) {
    it(`closes itself: ${at === 0 ? 'the leader' : 'a follower'}, which asked for it itself`, async () => {
      const all = await three();
      const gone = all[at]!;
      const events: unknown[] = [];
      gone.on('replica:removed', (members) => events.push(members));
      const stream = gone.changes();
      await gone.removeMember(gone.id);
      expect(await gone.closed).to.deep.equal(reasonOf(gone.id));
      expect(events).to.deep.equal([others(gone.id)]);
      expect(gone.status().state).to.equal('removed');
      for (const call of [
        gone.submit({ op: 'put', key: 'k', value: 2 }),
        gone.query({ op: 'get', key: 'k' }),
        gone.addMember('d'),
      ]) {
        const error = await failure(call);
        expect([error.code, error.message]).to.deep.equal([
          'ERR_NOT_A_MEMBER',
          'this node was removed from the group',
        ]);
      }
      for (let next = await stream.next(); next.done !== true;) next = await stream.next();
      await all[2]!.submit({ op: 'put', key: 'k', value: 3 });
      await gone.close();
      // Its storage knows. It may come back where it wants to.
      const refused = await failure(open(gone.id));
      expect([refused.code, refused.message]).to.satisfy(
        ([code, message]: string[]) => code === 'ERR_NOT_A_MEMBER' && message!.includes('`join`'),
      );
      const again = await open(gone.id, { join: true });
      await until(
        'it to vote',
        () => again.status().members.length === 3 && again.status().role !== 'learner',
      );
      expect(await again.query({ op: 'get', key: 'k' })).to.equal(3);
      expect(again.status().state).to.equal('running');
      await all[2]!.removeMember(again.id);
      expect(await again.closed).to.deep.equal(reasonOf(gone.id));
    });
  }
});
