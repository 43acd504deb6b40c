/**
 * Anti-entropy: compares the hash tree of this node with that of a member, from the root down, and exchanges the keys that differ. What
 * it costs goes by what differs.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import { QuorateError } from '../../errors.js';
import type { LocalStore } from '../local/localStore.js';
import { DIGEST_BYTES } from '../local/merkleTree.js';
import {
  decodeKeys,
  decodeLeaf,
  decodeNodes,
  encodeKeys,
  encodeLeaf,
  encodeNodes,
  MAX_ITEMS,
  RequestType,
  type KeyVersions,
} from './wire.js';

/** Levels of the tree that are gone down at once. */
const STEP = 4;
/** Nodes that are asked for in one request. */
const NODES = 1024;
/** Keys, and about so many bytes of their versions, that are exchanged in one request. */
export const EXCHANGE_KEYS = 256;
const EXCHANGE_BYTES = 65_536;
/** About so many bytes are answered to one request. */
const ANSWER_BYTES = 1 << 20;

/** What came of a comparison. */
export interface RepairReport {
  readonly peer: NodeId;
  /** Keys that differed. */
  readonly keys: number;
  /** Keys about which this node learned something. */
  readonly received: number;
  /** Bytes that were sent and received for it. */
  readonly bytes: number;
}

export type Ask = (type: RequestType, body: Uint8Array) => Promise<Uint8Array>;
type AnyStore = LocalStore<unknown, unknown, unknown>;

/** Compares and repairs. Rejects with what `ask` rejects with. */
export async function repair(local: AnyStore, peer: NodeId, ask: Ask): Promise<RepairReport> {
  let bytes = 0;
  const counted: Ask = async (type, body) => {
    const answer = await ask(type, body);
    bytes += body.length + answer.length;
    return answer;
  };
  let keys = 0;
  let received = 0;
  for (const leaf of await differingLeaves(local, counted)) {
    const list = await differingKeys(local, leaf, counted);
    keys += list.length;
    received += await exchange(local, list, counted);
  }
  return { peer, keys, received, bytes };
}

async function differingLeaves({ table: { tree } }: AnyStore, ask: Ask): Promise<number[]> {
  let nodes = [0];
  for (let depth = 0; ;) {
    const differing: number[] = [];
    for (let at = 0; at < nodes.length; at += NODES) {
      const part = nodes.slice(at, at + NODES);
      const theirs = await ask(RequestType.digests, encodeNodes({ depth, nodes: part }));
      if (theirs.length !== part.length * DIGEST_BYTES)
        throw new QuorateError('ERR_CODEC', 'an answer with another number of hashes than was asked for');
      for (const [i, node] of part.entries())
        differing.push(
          ...tree.differing(depth, node, theirs.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES)),
        );
    }
    if (depth === tree.depth) return differing;
    const step = Math.min(STEP, tree.depth - depth);
    depth += step;
    nodes = differing.flatMap((node) => Array.from({ length: 2 ** step }, (_, i) => node * 2 ** step + i));
  }
}

/** The keys of a leaf that differ. */
export async function differingKeys({ table }: AnyStore, leaf: number, ask: Ask): Promise<string[]> {
  const theirs = decodeLeaf(
    await ask(RequestType.leaf, encodeNodes({ depth: table.tree.depth, nodes: [leaf] })),
  );
  const differs = (key: string): boolean => {
    const [mine, other] = [table.digest(key), theirs.get(key)];
    return mine === undefined || other === undefined || Buffer.compare(mine, other) !== 0;
  };
  // A key of another leaf is none of this one.
  const named = [...theirs.keys()].filter((key) => table.tree.leafOf(key) === leaf);
  return [...new Set([...named, ...table.keysOf(leaf)])].filter(differs);
}

/** Tells what is known of these keys, and takes in what the other one knows; resolves to how many were news here. */
export async function exchange(local: AnyStore, keys: readonly string[], ask: Ask): Promise<number> {
  let received = 0;
  for (let at = 0; at < keys.length;) {
    const batch: KeyVersions[] = [];
    for (let bytes = 0; at < keys.length && batch.length < EXCHANGE_KEYS && bytes < EXCHANGE_BYTES; at++) {
      const versions = await local.versionsOf(keys[at]!);
      batch.push([keys[at]!, versions]);
      bytes += versions?.length ?? 0;
    }
    const asked = new Set(batch.map(([key]) => key));
    const answer = decodeKeys(await ask(RequestType.exchange, encodeKeys(batch)));
    // All at once: they become durable together.
    const news = answer.flatMap(([key, versions]) =>
      versions && asked.has(key) ? [local.merge(key, versions)] : [],
    );
    for (const changed of await Promise.all(news)) if (changed) received++;
  }
  return received;
}

/** The other side of it. Throws ERR_CODEC for what breaks the protocol. */
export async function serveRepair(local: AnyStore, type: RequestType, body: Uint8Array): Promise<Uint8Array> {
  const { table } = local;
  const { tree } = table;
  if (type === RequestType.digests) {
    const { depth, nodes } = decodeNodes(body, tree.depth);
    return Buffer.concat(nodes.map((node) => tree.digests(depth, node, 1)));
  }
  if (type === RequestType.leaf) {
    const { depth, nodes } = decodeNodes(body, tree.depth);
    const [leaf] = nodes;
    if (depth !== tree.depth || leaf === undefined) throw new QuorateError('ERR_CODEC', 'no leaf was named');
    // Beyond the cap the first ones are told: once they agree, the comparison goes on with the next.
    const keys = [...table.keysOf(leaf)].slice(0, MAX_ITEMS);
    const list = encodeLeaf(keys.map((key) => [key, table.digest(key)!]));
    // Somebody may give up what it sees that this node holds.
    await new Promise<void>((resolve, reject) =>
      table.whenAllDurable((error) => (error ? reject(error) : resolve())),
    );
    return list;
  }
  const asked = decodeKeys(body);
  await Promise.all(asked.flatMap(([key, theirs]) => (theirs ? [local.merge(key, theirs)] : [])));
  const news: KeyVersions[] = [];
  // What does not fit, the next comparison finds.
  for (let at = 0, bytes = 0; at < asked.length && bytes < ANSWER_BYTES; at++) {
    const [key, theirs] = asked[at]!;
    const mine = await local.versionsOf(key);
    if (mine === undefined || (theirs && Buffer.compare(mine, theirs) === 0)) continue;
    news.push([key, mine]);
    bytes += mine.length;
  }
  return encodeKeys(news);
}
