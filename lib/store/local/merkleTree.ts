/**
 * A hash tree over the keys of a store (Merkle 1987; as Dynamo compares replicas, SOSP 2007): a key's hash says in which leaf it is, a
 * leaf is the sum of the hashes of what it holds, a node the hash of its two children. Two replicas that hold the same have the same
 * root; otherwise the way down from it leads to the leaves that differ.
 *
 * A change costs an addition; the nodes above are hashed anew when somebody asks. Sums can be forged by who chooses the hashes
 * (Bellare, Micciancio 1997, ask for far longer ones): they tell what differs among members, who trust each other, and nothing more.
 *
 * @internal
 */
import { createHash } from 'node:crypto';
import { checkNumber, configError } from '../../errors.js';

/** Bytes of a hash. */
export const DIGEST_BYTES = 16;
const LANES = 4;

/** The hash of a key and what it holds, as four numbers of 32 bits. */
export type Digest = Uint32Array;

/** The hash of what a key holds. @internal */
export function digestOf(key: string, content: Uint8Array): Digest {
  const name = Buffer.from(key);
  const head = Buffer.alloc(4);
  head.writeUInt32LE(name.length);
  const hash = createHash('sha256').update(head).update(name).update(content).digest();
  return lanesOf(hash);
}

/** A hash as bytes. @internal */
export function bytesOf(lanes: Uint32Array): Uint8Array {
  const out = Buffer.alloc(4 * lanes.length);
  for (const [i, lane] of lanes.entries()) out.writeUInt32LE(lane, 4 * i);
  return new Uint8Array(out.buffer, out.byteOffset, out.length);
}

function lanesOf(hash: Buffer): Digest {
  return Uint32Array.from({ length: LANES }, (_, i) => hash.readUInt32LE(4 * i));
}

/** @internal */
export class MerkleTree {
  /** How many leaves. */
  readonly leaves: number;
  /** Of the leaves; the root has 0. */
  readonly depth: number;
  /** A binary heap: node 1 is the root, the children of n are 2n and 2n + 1, the leaves come last. */
  readonly #nodes: Uint32Array;
  /** Leaves that changed since the nodes above them were hashed. */
  readonly #changed = new Set<number>();

  /** Throws ERR_CONFIG unless `leaves` is a power of two from 2 to 65536. */
  constructor(leaves: number) {
    checkNumber('merkleLeaves', leaves, 2, 65_536);
    if ((leaves & (leaves - 1)) !== 0)
      throw configError('merkleLeaves', leaves, 'a power of two from 2 to 65536');
    this.leaves = leaves;
    this.depth = Math.log2(leaves);
    this.#nodes = new Uint32Array(2 * leaves * LANES);
    for (let leaf = 0; leaf < leaves; leaf++) this.#changed.add(leaf);
  }

  /** The leaf of a key, the same on all members. */
  leafOf(key: string): number {
    return createHash('sha256').update(key).digest().readUInt32BE(0) >>> (32 - this.depth);
  }

  /** What a key of this leaf held gives way to what it holds now. */
  update(leaf: number, before: Digest | undefined, after: Digest | undefined): void {
    const at = (this.leaves + leaf) * LANES;
    for (let lane = 0; lane < LANES; lane++)
      this.#nodes[at + lane] = this.#nodes[at + lane]! - (before?.[lane] ?? 0) + (after?.[lane] ?? 0);
    this.#changed.add(leaf);
  }

  /** The hash of everything. */
  root(): Uint8Array {
    return this.digests(0, 0, 1);
  }

  /** The hashes of `count` nodes at a depth, from the node `from` on, one after another. A copy. */
  digests(depth: number, from: number, count: number): Uint8Array {
    checkNumber('depth', depth, 0, this.depth);
    checkNumber('from', from, 0, 2 ** depth);
    checkNumber('count', count, 0, 2 ** depth - from);
    this.#settle();
    const first = (2 ** depth + from) * LANES;
    return bytesOf(this.#nodes.subarray(first, first + count * LANES));
  }

  /** Which of the nodes at a depth, from `from` on, differ from those of another tree with these hashes. */
  differing(depth: number, from: number, theirs: Uint8Array): number[] {
    const count = Math.floor(theirs.length / DIGEST_BYTES);
    const mine = this.digests(depth, from, count);
    const out: number[] = [];
    for (let i = 0; i < count; i++) {
      const [start, end] = [i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES];
      if (Buffer.compare(mine.subarray(start, end), theirs.subarray(start, end)) !== 0) out.push(from + i);
    }
    return out;
  }

  #settle(): void {
    let level = this.#changed;
    if (level.size === 0) return;
    for (let width = this.leaves / 2; width >= 1; width /= 2) {
      const parents = new Set<number>();
      for (const child of level) parents.add(child >> 1);
      for (const parent of parents) this.#hash(width + parent);
      level = parents;
    }
    this.#changed.clear();
  }

  #hash(node: number): void {
    const children = this.#nodes.subarray(2 * node * LANES, (2 * node + 2) * LANES);
    this.#nodes.set(lanesOf(createHash('sha256').update(bytesOf(children)).digest()), node * LANES);
  }
}
