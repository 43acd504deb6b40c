/** Runs in which a group grows from one member to five and shrinks to one again, with faults at every step. */
import { Random } from '../simulation/random.js';
import { changeOf, witnessesOf } from './memberFaults.js';
import { LEADER, type Fault, type FaultKind, type PlannedFault } from './fault.js';
import { planRun, type RunPlan } from './plan.js';

const NODES = ['a', 'b', 'c', 'd', 'e'];
/** Time for the first one to found the group. */
const PEACE_MS = 1000;
/** What else goes wrong. */
const kinds: readonly FaultKind[] = [
  'crash',
  'pause',
  'partition',
  'cut',
  'reset',
  'transfer',
  'stop',
  'join',
  'broken transfers',
  'disk lost',
  'disk errors',
];

/** The run of a seed, with the members of the group as its target. */
export function planMembers(seed: number): RunPlan {
  const random = new Random(`quorate members ${seed}`);
  const plan = planRun(seed, { nodes: NODES, kinds });
  const safetyMs = Math.round(random.between(9000, 15_000));
  const trouble = plan.faults.filter(({ at }) => at > PEACE_MS && at < safetyMs && random.chance(0.6));
  const order = random.shuffle(NODES);
  const steps = [...growth(random, order), ...shrinking(random, order)];
  const gap = (safetyMs - PEACE_MS) / (steps.length + 1);
  const changes = steps.map((fault, at): PlannedFault => {
    return { at: Math.round(PEACE_MS + gap * (at + random.next())), fault };
  });
  return {
    ...plan,
    witnesses: undefined,
    founders: [order[0]!],
    ...witnessesOf(random.stream('witnesses'), NODES, [order[0]!]),
    safetyMs,
    // Large snapshots and short logs, so that newcomers need one.
    snapshot: { ...plan.snapshot, logBytes: random.pick([4096, 16_384]), keepEntries: random.pick([0, 20]) },
    faults: [...changes, ...trouble].sort((one, other) => one.at - other.at),
  };
}

/** One after another, two at once, or all; some ask by themselves. */
function growth(random: Random, [, ...others]: readonly string[]): Fault[] {
  const steps: Fault[] = [];
  for (let at = 0; at < others.length;) {
    const some = others.slice(at, at + random.pick([1, 1, 2, 4]));
    at += some.length;
    if (some.length === 1 && random.chance(0.4))
      steps.push({ kind: 'join', node: some[0]!, as: 'voter', blank: false });
    else steps.push({ kind: 'members', add: some, learn: [], remove: [] });
    if (random.chance(0.2)) steps.push(changeOf(random, NODES));
  }
  return steps;
}

/** The leader or others go, until one is left. */
function shrinking(random: Random, order: readonly string[]): Fault[] {
  const last = random.pick(order);
  const steps: Fault[] = [];
  for (let left = order.length - 1; left > 1; left--) {
    const remove = random.chance(0.5) ? [LEADER] : [random.pick(order.filter((id) => id !== last))];
    steps.push({ kind: 'members', add: [], learn: [], remove });
  }
  steps.push({ kind: 'members', add: [last], learn: [], remove: order.filter((id) => id !== last) });
  return steps;
}
