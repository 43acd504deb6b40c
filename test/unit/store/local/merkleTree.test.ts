/** The hash tree over the keys. */
import { expect } from 'chai';
import fc from 'fast-check';
import { QuorateError } from '../../../../lib/errors.js';
import { DIGEST_BYTES, digestOf, MerkleTree } from '../../../../lib/store/local/merkleTree.js';
import { lww } from '../../../../lib/store/resolve/resolution.js';
import { openLocal } from './support.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function treeOf(content: ReadonlyMap<string, string>, leaves: number): MerkleTree {
  const tree = new MerkleTree(leaves);
  for (const [key, value] of content)
    tree.update(tree.leafOf(key), undefined, digestOf(key, Buffer.from(value)));
  return tree;
}

describe('a Merkle tree', () => {
  it('kept up while things change equals one made anew, whatever came before', () => {
    const step = fc.record({
      key: fc.nat(30).map((n) => `k${n}`),
      value: fc.option(fc.nat(3).map(String), { nil: undefined }),
      asks: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.constantFrom(2, 16, 64), (steps, leaves) => {
        const content = new Map<string, string>();
        const tree = new MerkleTree(leaves);
        for (const { key, value, asks } of steps) {
          const digest = (text: string | undefined) =>
            text === undefined ? undefined : digestOf(key, Buffer.from(text));
          tree.update(tree.leafOf(key), digest(content.get(key)), digest(value));
          if (value === undefined) content.delete(key);
          else content.set(key, value);
          if (asks) tree.root();
        }
        const fresh = treeOf(content, leaves);
        for (let depth = 0; depth <= tree.depth; depth++)
          expect(hex(tree.digests(depth, 0, 2 ** depth))).to.equal(hex(fresh.digests(depth, 0, 2 ** depth)));
      }),
      { numRuns: 60 },
    );
  });

  it('leads from the root to the leaves that differ, and to no others', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(500), { maxLength: 12 }), fc.nat(2), (changed, kind) => {
        const content = new Map(Array.from({ length: 400 }, (_, n) => [`k${n}`, 'v']));
        const mine = treeOf(content, 256);
        for (const n of changed)
          if (kind === 0) content.delete(`k${n}`);
          else content.set(`k${n}`, `${kind}`);
        const theirs = treeOf(content, 256);
        let differing = [0];
        for (let depth = 0; depth < mine.depth; depth += 2) {
          differing = differing.flatMap((node) =>
            mine.differing(depth, node, theirs.digests(depth, node, 1)),
          );
          differing = differing.flatMap((node) => [4 * node, 4 * node + 1, 4 * node + 2, 4 * node + 3]);
        }
        const leaves = differing.flatMap((leaf) =>
          mine.differing(mine.depth, leaf, theirs.digests(mine.depth, leaf, 1)),
        );
        const expected = new Set(changed.filter((n) => kind > 0 || n < 400).map((n) => mine.leafOf(`k${n}`)));
        expect(new Set(leaves)).to.deep.equal(expected);
      }),
      { numRuns: 40 },
    );
  });

  it('tells keys and contents apart wherever one ends', () => {
    const of = (key: string, content: string): string => digestOf(key, Buffer.from(content)).join();
    expect(of('ab', 'c')).to.not.equal(of('a', 'bc'));
    expect(of('a', '')).to.not.equal(of('', 'a'));
  });

  it('checks its size and what it is asked for', () => {
    for (const leaves of [0, 1, 3, 1000, 131_072, 2.5])
      expect(() => new MerkleTree(leaves), String(leaves))
        .to.throw(QuorateError)
        .with.property('code', 'ERR_CONFIG');
    const tree = new MerkleTree(16);
    expect(tree.digests(4, 0, 16).length).to.equal(16 * DIGEST_BYTES);
    for (const [depth, from, count] of [
      [5, 0, 1],
      [2, 4, 1],
      [2, 3, 2],
      [-1, 0, 1],
    ] as const)
      expect(() => tree.digests(depth, from, count)).to.throw(QuorateError);
  });

  it('of a store goes by what the keys hold, and lists the keys of its leaves', async () => {
    const [a, b] = [
      await openLocal(lww<number>(), { node: 'a', merkleLeaves: 16 }),
      await openLocal(lww<number>(), { node: 'b', merkleLeaves: 16 }),
    ];
    for (let n = 0; n < 50; n++) await a.local.put(`k${n}`, n);
    for (let n = 49; n >= 0; n--) await b.local.merge(`k${n}`, (await a.local.versionsOf(`k${n}`))!);
    expect(b.local.status().root).to.equal(a.local.status().root);
    const keys = Array.from({ length: 16 }, (_, leaf) => [...a.local.table.keysOf(leaf)]);
    expect(keys.flat().sort()).to.deep.equal([...a.local.table.keys()].sort());
    expect(keys.every((own, leaf) => own.every((key) => a.local.table.tree.leafOf(key) === leaf))).to.equal(
      true,
    );
    await b.local.put('k7', 7);
    expect(b.local.status().root).to.not.equal(a.local.status().root);
    for (const { close } of [a, b]) await close();
  });
});
