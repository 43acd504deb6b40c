/**
 * Consistent hashing (Karger and others, STOC 1997) as Dynamo places keys (SOSP 2007, §4.2, §6.2): the keys are split into partitions
 * of equal size, each member has many tokens on a circle, and a partition belongs to the first `copies` different members that are met
 * on the way round from its place. When a member comes or goes, only what it takes or leaves moves.
 *
 * Pure: the same members make the same ring everywhere. Partitions are the leaves of the stores' hash trees, so that two members
 * compare what they share leaf by leaf.
 *
 * @internal
 */
import { createHash } from 'node:crypto';
import type { NodeId } from '../../consensus/consensus.js';

/** Tokens of a member of weight 1. More of them share the keys out more evenly: with 128 a share is within about a tenth. */
export const TOKENS = 128;
/** The most that a member weighs. */
export const MAX_WEIGHT = 16;

/** A member, and how much it takes of the keys beside the others. */
export interface RingMember {
  readonly id: NodeId;
  /** An integer from 1 to 16. */
  readonly weight: number;
}

export class Ring {
  readonly members: readonly RingMember[];
  /** How many members own a partition; fewer only where there are not so many. */
  readonly copies: number;
  readonly #owners: readonly (readonly NodeId[])[];

  constructor(members: readonly RingMember[], copies: number, partitions: number) {
    this.members = members;
    this.copies = Math.min(copies, members.length);
    const tokens = members.flatMap(tokensOf).sort(byPlace);
    let at = 0;
    this.#owners = Array.from({ length: partitions }, (_, partition) => {
      const place = (partition * 2 ** 32) / partitions;
      while (at < tokens.length && tokens[at]!.place < place) at++;
      return this.#walk(tokens, at);
    });
  }

  /** The owners of a partition, the one that comes first on the ring first. */
  ownersOf(partition: number): readonly NodeId[] {
    return this.#owners[partition]!;
  }

  #walk(tokens: readonly Token[], from: number): readonly NodeId[] {
    const owners = new Set<NodeId>();
    for (let i = 0; owners.size < this.copies; i++) owners.add(tokens[(from + i) % tokens.length]!.id);
    return [...owners];
  }
}

interface Token {
  readonly place: number;
  readonly id: NodeId;
}

function tokensOf({ id, weight }: RingMember): Token[] {
  const tokens: Token[] = [];
  for (let block = 0; tokens.length < weight * TOKENS; block++) {
    const hash = createHash('sha256').update(`${id}#${block}`).digest();
    for (let at = 0; at < hash.length; at += 4) tokens.push({ place: hash.readUInt32BE(at), id });
  }
  return tokens;
}

function byPlace(a: Token, b: Token): number {
  return a.place - b.place || (a.id < b.id ? -1 : 1);
}
