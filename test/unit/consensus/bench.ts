/** Cores as most tests want them: a leader, or a follower, of a group of three. */
import { found, members, Rig } from './rig.js';
import type { Index } from '../../../lib/consensus/consensus.js';
import type { RaftOptions } from '../../../lib/consensus/raft/options.js';

export const trio = members(['a', 'b', 'c']);

/** The leader of term 2 with its noop at `lastIndex`, all durable; b and c are in step up to `matched`. */
export function leader(
  o: { terms?: readonly number[]; commit?: Index; options?: RaftOptions; matched?: Index } = {},
): Rig {
  const terms = o.terms ?? [1];
  const recovered = found(trio, terms, { commit: o.commit ?? terms.length });
  const rig = new Rig({ recovered, options: o.options ?? {} }).link('b', 'c').lead('b').flush();
  if (o.matched !== 0) for (const id of ['b', 'c']) rig.ack(id, o.matched ?? rig.status.lastIndex);
  rig.drain().sent = [];
  return rig;
}

/** A follower of b in term 2 with a log of these terms, entry 1 committed. */
export function follower(terms: readonly number[], term = 2, commit = 1): Rig {
  const rig = new Rig({ recovered: found(trio, terms, { term, commit }) }).link('b', 'c');
  rig.random = 0.9;
  return rig;
}
