/** What a leader tells of its followers. */
import { allMembers } from '../membership.js';
import type { MemberProgress } from '../consensus.js';
import type { CoreState } from './state.js';

/** Of every other member, at a leader. @internal */
export function memberProgress(state: CoreState, now: number): MemberProgress[] {
  if (state.phase !== 'leader') return [];
  const others = allMembers(state.configs.latest).filter(({ id }) => id !== state.self);
  return others.map((member) => {
    const { id } = member;
    const peer = state.peers.get(id);
    const progress = peer?.progress;
    const linked = peer?.up === true && progress !== undefined;
    return {
      id,
      matched: progress?.matched ?? 0,
      state: linked ? progress.state : 'absent',
      // While the group rests nobody says anything, and the mesh says who is there.
      heardAt: linked && state.quiet ? now : (progress?.heardAt ?? -Infinity),
      counts: state.countsFrom(member) !== Infinity,
    };
  });
}
