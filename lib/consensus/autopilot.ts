/**
 * Which change of the members autopilot makes next, as a pure function. It keeps a number of voters among the members that are there:
 * dead voters change places with learners that have been up for a while, and learn themselves from then on, so that they are ready
 * to vote again when they come back. (Consul's and etcd's autopilots remove instead; here removal is what comes last.)
 *
 * Whatever it does: who is up never loses its vote, unless there are more voters than wanted; the voters that are up are a quorum
 * before, in between and after; as many more of them may fail after it as before, or more. Witnesses count as voters, and neither
 * come nor go by it.
 */
import { majority } from './quorum.js';
import type { MembershipChange, NodeId } from './consensus.js';

/** A member, as the leader has seen it for a while. @internal */
export interface ObservedMember {
  readonly id: NodeId;
  readonly voter: boolean;
  /** It votes and holds no data: it is where its operator put it, and stays there. */
  readonly witness: boolean;
  /** It answers, and counts. The leader itself is up. */
  readonly up: boolean;
  /** It has been up for the time of stabilization, and lags little. */
  readonly stable: boolean;
  /** For how many milliseconds it has not been heard; 0 when it is. */
  readonly silentMs: number;
}

/** What is wanted. @internal */
export interface AutopilotPolicy {
  readonly voters: number;
  readonly minVoters: number;
  /** Who may be given a vote; undefined: everybody. */
  readonly candidates: ReadonlySet<NodeId> | undefined;
  readonly deadMs: number;
  /** Infinity: never. */
  readonly removeAfterMs: number;
}

/** What autopilot does, and why. */
export interface AutopilotStep {
  /**
   * `replace`: a learner votes in place of a dead voter. `promote`: there were too few voters. `demote`: there were too many.
   * `shrink`: voters are dead and nobody can take their place; without them the group bears another failure. `remove`: a learner was
   * not heard for very long.
   */
  readonly why: 'replace' | 'promote' | 'demote' | 'shrink' | 'remove';
  /** Learners that vote from now on. */
  readonly promoted: readonly string[];
  /** Voters that learn from now on. */
  readonly demoted: readonly string[];
  readonly removed: readonly string[];
}

/** The next step, or undefined when all is well or nothing can be done about it. @internal */
export function autopilotStep(
  self: NodeId,
  members: readonly ObservedMember[],
  policy: AutopilotPolicy,
): AutopilotStep | undefined {
  const voters = members.filter(({ voter }) => voter);
  const n = voters.length;
  const up = voters.filter((one) => one.up).length;
  // Nothing would be committed; or the leader is about to go.
  if (up < majority(n) || !voters.some(({ id }) => id === self)) return undefined;
  const { candidates, deadMs } = policy;
  const dead = voters
    .filter((one) => one.id !== self && !one.witness && !one.up && one.silentMs >= deadMs)
    .sort((a, b) => b.silentMs - a.silentMs || order(a, b));
  const standby = members
    .filter((one) => !one.voter && !one.witness && one.stable && candidates?.has(one.id) !== false)
    .sort(order)[0];
  // Witnesses alone must not become a quorum.
  const mayLose = (k: number): boolean => voters.filter(({ witness }) => witness).length < majority(n - k);
  if (n > policy.voters && mayLose(1)) {
    const surplus = dead[0] ?? (up === n ? leastWanted(self, voters, candidates) : undefined);
    if (surplus) return step('demote', { demoted: [surplus.id] });
  } else if (standby && dead[0]) {
    return step('replace', { promoted: [standby.id], demoted: [dead[0].id] });
  } else if (standby && n < policy.voters) {
    return step('promote', { promoted: [standby.id] });
  } else {
    const spare = (k: number): number => up - majority(n - k);
    for (let k = 1; k <= dead.length && n - k >= policy.minVoters; k++) {
      if (spare(k) > spare(0) && mayLose(k))
        return step('shrink', { demoted: dead.slice(0, k).map(({ id }) => id) });
    }
  }
  const gone = members.find((one) => !one.voter && !one.up && one.silentMs >= policy.removeAfterMs);
  return gone && step('remove', { removed: [gone.id] });
}

/** The change that makes a step. @internal */
export function changeOf({ promoted, demoted, removed }: AutopilotStep): MembershipChange {
  return { addVoters: promoted, addLearners: demoted, remove: removed };
}

function step(why: AutopilotStep['why'], who: Partial<Omit<AutopilotStep, 'why'>>): AutopilotStep {
  return { why, promoted: [], demoted: [], removed: [], ...who };
}

/** Of voters of which one is too many: one that is no candidate, otherwise the last by name, and never the leader. */
function leastWanted(
  self: NodeId,
  voters: readonly ObservedMember[],
  candidates: ReadonlySet<NodeId> | undefined,
): ObservedMember | undefined {
  const others = voters.filter(({ id, witness }) => id !== self && !witness).sort(order);
  return others.findLast(({ id }) => candidates?.has(id) === false) ?? others.at(-1);
}

function order(a: ObservedMember, b: ObservedMember): number {
  return a.id < b.id ? -1 : 1;
}
