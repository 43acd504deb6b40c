/**
 * Comparing and moving the leaves of the hash trees: between members that own them, to those who come to own them, and away from
 * those who do not any more.
 *
 * @internal
 */
import { QuorateError } from '../../errors.js';
import { differingKeys, exchange, type Ask } from '../coordination/repair.js';
import { decodeLeaf, encodeNodes, MAX_ITEMS, RequestType } from '../coordination/wire.js';
import type { LocalStore } from '../local/localStore.js';
import { DIGEST_BYTES } from '../local/merkleTree.js';

type AnyStore = LocalStore<unknown, unknown, unknown>;

/** Leaves that are asked about in one request. */
const LEAVES = 256;

/** What came of it. */
export interface Synced {
  /** Keys that differed. */
  readonly keys: number;
  /** Keys about which this node learned something. */
  readonly received: number;
}

/**
 * Compares leaves with another member, tells what it does not know and takes in what it does. `whole` is called with each leaf of which
 * this node holds all that the other one held.
 */
export async function syncLeaves(
  local: AnyStore,
  leaves: readonly number[],
  ask: Ask,
  whole: (leaf: number) => void = () => undefined,
): Promise<Synced> {
  const { tree } = local.table;
  let [keys, received] = [0, 0];
  for (let at = 0; at < leaves.length; at += LEAVES) {
    const part = leaves.slice(at, at + LEAVES);
    const theirs = await ask(RequestType.digests, encodeNodes({ depth: tree.depth, nodes: part }));
    if (theirs.length !== part.length * DIGEST_BYTES)
      throw new QuorateError('ERR_CODEC', 'an answer with another number of hashes than was asked for');
    for (const [i, leaf] of part.entries()) {
      const digest = theirs.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES);
      if (tree.differing(tree.depth, leaf, digest).length > 0) {
        // An answer has room for so much: again, until there is no more news.
        for (let first = true, news = 1; news > 0; first = false) {
          const differing = await differingKeys(local, leaf, ask);
          if (first) keys += differing.length;
          received += news = await exchange(local, differing, ask);
        }
      }
      checkSize(local, leaf);
      whole(leaf);
    }
  }
  return { keys, received };
}

/**
 * Brings what this node holds of a leaf that it does not own to all who do, and gives up what each of them was then seen to hold, or
 * more. Resolves to how many keys were given up.
 */
export async function handOver(
  local: AnyStore,
  leaf: number,
  owners: readonly Ask[],
  mayGiveUp: () => boolean,
): Promise<number> {
  const { table } = local;
  for (const ask of owners) {
    const behind = await differingKeys(local, leaf, ask);
    await exchange(
      local,
      behind.filter((key) => table.digest(key) !== undefined),
      ask,
    );
  }
  // They know what was told, and this node what they knew beyond that: now nothing may differ.
  const same = new Map([...table.keysOf(leaf)].map((key) => [key, table.digest(key)!]));
  for (const ask of owners) {
    const nodes = { depth: table.tree.depth, nodes: [leaf] };
    const theirs = decodeLeaf(await ask(RequestType.leaf, encodeNodes(nodes)));
    for (const [key, digest] of same) {
      const held = theirs.get(key);
      if (held === undefined || Buffer.compare(held, digest) !== 0) same.delete(key);
    }
  }
  if (!mayGiveUp()) return 0;
  let given = 0;
  for (const [key, digest] of same) {
    // The log is written in order: what fails here fails the store.
    if (table.giveUp(key, digest, () => undefined)) given++;
  }
  return given;
}

/** Throws for a leaf with more keys than one message names: nobody could be sure to have all of them. */
function checkSize({ table }: AnyStore, leaf: number): void {
  const keys = [...table.keysOf(leaf)].length;
  if (keys < MAX_ITEMS) return;
  throw new QuorateError(
    'ERR_OVERLOADED',
    `partition ${leaf} has ${keys} keys, fewer than ${MAX_ITEMS} can be moved: merkleLeaves, now ${table.tree.leaves}, is too small`,
  );
}
