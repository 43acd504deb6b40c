/** Faults that are made for the members of a group: they come and go, stop as they should, and lose what they were being sent. */
import type { Random } from '../simulation/random.js';
import { LEADER } from './fault.js';

/** What happens to the members of a group. */
export type MemberFault =
  | {
      /** The members should be others, as any node may ask. Who is added and was never started starts, and asks too. */
      readonly kind: 'members';
      /** To be voters. */
      readonly add: readonly string[];
      /** To be learners. */
      readonly learn: readonly string[];
      readonly remove: readonly string[];
    }
  | {
      /** A node that does not take part starts, and asks to be let in. */
      readonly kind: 'join';
      readonly node: string;
      readonly as: 'voter' | 'learner';
      /** With an empty disk. */
      readonly blank: boolean;
    }
  | {
      /** A node stops as it should: it hands its leadership over and says goodbye. Then it starts again. */
      readonly kind: 'stop';
      readonly node: string;
      readonly ms: number;
    }
  | {
      /** The next snapshots that are under way lose their link, when some of it has arrived. */
      readonly kind: 'broken transfers';
      /** How many parts arrive before the link breaks. */
      readonly parts: number;
      /** How many links break. */
      readonly times: number;
      readonly ms: number;
    };

/** The kinds of faults that change who takes part. */
export const memberKinds: ReadonlySet<string> = new Set<MemberFault['kind']>(['members', 'join']);

/** A change of the members: growth, shrinking, replacement, several at once; to one and to all now and then. */
export function changeOf(
  random: Random,
  nodes: readonly string[],
): Extract<MemberFault, { kind: 'members' }> {
  const kind = 'members';
  const mixed = random.shuffle(nodes);
  const some = (from: readonly string[]): string[] => from.slice(0, 1 + random.integer(2));
  const gone = random.chance(0.35) ? [LEADER] : some([...mixed].reverse());
  switch (random.pick(['grow', 'shrink', 'replace', 'learn', 'one', 'all', 'any'] as const)) {
    case 'grow':
      return { kind, add: some(mixed), learn: [], remove: [] };
    case 'shrink':
      return { kind, add: [], learn: [], remove: gone };
    case 'replace': {
      const add = some(mixed);
      return { kind, add, learn: [], remove: gone.filter((id) => !add.includes(id)) };
    }
    case 'learn':
      return { kind, add: [], learn: [mixed[0]!], remove: [] };
    case 'one':
      return { kind, add: [mixed[0]!], learn: [], remove: mixed.slice(1) };
    case 'all':
      return { kind, add: [...nodes], learn: [], remove: [] };
    case 'any': {
      const roles = nodes.map((id): [string, number] => [id, random.integer(4)]);
      const of = (role: number): string[] => roles.filter(([, own]) => own === role).map(([id]) => id);
      return { kind, add: of(0), learn: of(1), remove: of(2) };
    }
  }
}

/** Who founds the group, of these nodes: often one, now and then some. */
export function foundersOf(random: Random, nodes: readonly string[]): string[] {
  const size = random.pick([1, 1, 2, 3, nodes.length]);
  return random.shuffle(nodes).slice(0, Math.min(size, nodes.length)).sort();
}

/** Who keeps no data, of those who found nothing: in one group of three somebody, seldom two. */
export function witnessesOf(
  random: Random,
  nodes: readonly string[],
  founders: readonly string[],
): { readonly witnesses?: readonly string[] } {
  if (!random.chance(0.35)) return {};
  const some = random.shuffle(nodes.filter((id) => !founders.includes(id)));
  const witnesses = some.slice(0, nodes.length > 3 && random.chance(0.3) ? 2 : 1);
  return witnesses.length === 0 ? {} : { witnesses };
}

/** Links of transfers break after some parts. */
export function brokenTransfers(random: Random, ms: number): MemberFault {
  return { kind: 'broken transfers', parts: 1 + random.integer(4), times: 1 + random.integer(3), ms };
}
