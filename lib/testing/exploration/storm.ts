/**
 * Runs in which no leader lasts: about once a second it is cut off, crashes or stands still, or the cluster falls apart. Logs
 * that part several times over, as in figures 7 and 8 of the Raft paper, are rare otherwise.
 */
import { Random } from '../simulation/random.js';
import { planMembers } from './memberPlan.js';
import { planMesh } from './meshPlan.js';
import { LEADER, type Fault } from './fault.js';
import { planRun, type PlanOptions, type RunPlan } from './plan.js';

const STORMY = 8;
const MESHY = 3;
const GROWING = 5;

/**
 * The run that a seed stands for: of eight one is a storm, one puts the mesh under fire, and in one the group grows and shrinks,
 * unless something else is asked for.
 */
export function planSeed(seed: number, options: PlanOptions = {}): RunPlan {
  const plan = planAny(seed, options);
  // The same trouble, without those whom that protocol does not have.
  return options.consensus === 'paxos' ? { ...plan, consensus: 'paxos', witnesses: undefined } : plan;
}

function planAny(seed: number, options: PlanOptions): RunPlan {
  const free = options.kinds === undefined && options.nodes === undefined;
  if (free && seed % STORMY === STORMY - 1) return planStorm(seed);
  if (free && seed % STORMY === GROWING) return planMembers(seed);
  return free && seed % STORMY === MESHY ? planMesh(seed) : planRun(seed, options);
}

/** The run of a seed, with a storm in the place of its faults. */
export function planStorm(seed: number): RunPlan {
  const plan = planRun(seed, { kinds: [], nodes: ['a', 'b', 'c', 'd', 'e'] });
  const random = new Random(`quorate storm ${seed}`);
  const faults = [];
  for (let at = 500; at < plan.safetyMs; at += random.between(200, 1200))
    faults.push({ at, fault: faultOf(random, plan.nodes) });
  // Half of them in weather in which messages of one reign arrive in the next.
  const late = { lossRate: 0.02, duplicateRate: 0.3, reorderRate: 0.1, delayMs: 1000 };
  return { ...plan, thinkMs: 5, faults, ...(random.chance(0.5) ? { messages: late } : {}) };
}

function faultOf(random: Random, nodes: readonly string[]): Fault {
  const ms = random.between(100, 1500);
  const mixed = random.shuffle(nodes);
  const two = 1 + random.integer(2);
  return random.pick<Fault>([
    { kind: 'partition', groups: [[LEADER]], ms },
    // What the leader and one other take in meanwhile is never committed.
    { kind: 'partition', groups: [[LEADER, mixed[0]!]], ms: random.between(200, 600) },
    { kind: 'partition', groups: [mixed.slice(0, two), mixed.slice(two)], ms },
    { kind: 'crash', node: LEADER, power: true, amid: true, ms },
    { kind: 'crash', node: LEADER, power: false, amid: false, ms },
    { kind: 'pause', node: LEADER, ms },
  ]);
}
