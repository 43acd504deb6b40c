/** Moving leaves between members: what is told, what is taken in, and when it may be given up. */
import { expect } from 'chai';
import { serveRepair, type Ask } from '../../../../lib/store/coordination/repair.js';
import { encodeKeys, RequestType } from '../../../../lib/store/coordination/wire.js';
import type { LocalStore } from '../../../../lib/store/local/localStore.js';
import { handOver, syncLeaves } from '../../../../lib/store/placement/sync.js';
import { siblings } from '../../../../lib/store/resolve/resolution.js';
import { openLocal } from '../local/support.js';

type Local = LocalStore<string[], string>;

async function open(node: string): Promise<Local> {
  return (await openLocal(siblings<string>(), { node, merkleLeaves: 4 })).local;
}

const asking =
  (local: Local): Ask =>
  (type, body) =>
    serveRepair(local, type, body);

const keys = Array.from({ length: 20 }, (_, n) => `k${n}`);
const loose = (local: Local): LocalStore<unknown, unknown, unknown> => local;

describe('moving the keys of a store', () => {
  it('takes in the leaves that are asked for, and no others, and tells what the other one lacks', async () => {
    const [mine, theirs] = [await open('a'), await open('b')];
    for (const key of keys) await (key < 'k14' ? theirs : mine).put(key, key);
    const whole: number[] = [];
    await syncLeaves(loose(mine), [1, 2], asking(theirs), (leaf) => whole.push(leaf));
    expect(whole).to.deep.equal([1, 2]);
    for (const key of keys) {
      const leaf = mine.table.tree.leafOf(key);
      const both = [mine, theirs].filter(({ table }) => table.digest(key) !== undefined).length;
      expect(both, key).to.equal(leaf === 1 || leaf === 2 ? 2 : 1);
    }
    expect(await syncLeaves(loose(mine), [1, 2], asking(theirs))).to.deep.equal({ keys: 0, received: 0 });
  });

  it('gives up what all owners hold, and takes another name for what it wrote itself', async () => {
    const [mine, b, c] = [await open('a'), await open('b'), await open('c')];
    for (const key of keys) await mine.put(key, key);
    await b.put(keys[0]!, 'other');
    const { actor } = mine.table;
    let given = 0;
    for (let leaf = 0; leaf < 4; leaf++)
      given += await handOver(loose(mine), leaf, [asking(b), asking(c)], () => true);
    // What came back for the first key is more than the second owner was told.
    expect(given).to.be.within(keys.length - 1, keys.length);
    for (let leaf = 0; leaf < 4; leaf++)
      await handOver(loose(mine), leaf, [asking(b), asking(c)], () => true);
    expect(mine.table.size).to.equal(0);
    expect(mine.table.actor).to.not.equal(actor);
    for (const owner of [b, c]) {
      expect(owner.table.size).to.equal(keys.length);
      expect((await owner.get(keys[0]!)).value?.slice().sort()).to.deep.equal([keys[0], 'other'].sort());
    }
  });

  it('gives nothing up that an owner does not hold, nor while the ring changes, nor what changed meanwhile', async () => {
    const [mine, b] = [await open('a'), await open('b')];
    for (const key of keys) await mine.put(key, key);
    const forgetful: Ask = (type, body) =>
      type === RequestType.exchange ? Promise.resolve(encodeKeys([])) : asking(b)(type, body);
    for (let leaf = 0; leaf < 4; leaf++) {
      expect(await handOver(loose(mine), leaf, [asking(b), forgetful], () => false)).to.equal(0);
      const empty = await open(`empty${leaf}`);
      const holds: Ask = (type, body) =>
        type === RequestType.exchange ? Promise.resolve(encodeKeys([])) : asking(empty)(type, body);
      expect(await handOver(loose(mine), leaf, [asking(b), holds], () => true)).to.equal(0);
    }
    expect(mine.table.size).to.equal(keys.length);
    const key = keys[5]!;
    const leaf = mine.table.tree.leafOf(key);
    let lists = 0;
    const writing: Ask = async (type, body) => {
      const answer = await asking(b)(type, body);
      // After the last listing: what is written now, nobody has seen at the owner.
      if (type === RequestType.leaf && ++lists === 2) await mine.put(key, 'late');
      return answer;
    };
    await handOver(loose(mine), leaf, [writing], () => true);
    expect([...mine.table.keysOf(leaf)]).to.deep.equal([key]);
    expect((await mine.get(key)).value?.slice().sort()).to.deep.equal(['late', key].sort());
  });

  it('shows nothing to who may give it up before it is on the disk', async () => {
    const [mine, b] = [await open('a'), await open('b')];
    await mine.put('k', 'v');
    const leaf = mine.table.tree.leafOf('k');
    let durable = false;
    const write = b.merge('k', (await mine.versionsOf('k'))!).then(() => (durable = true));
    await handOver(loose(mine), leaf, [asking(b)], () => {
      expect(durable).to.equal(true);
      return true;
    });
    expect(mine.table.size).to.equal(0);
    await write;
  });
});
