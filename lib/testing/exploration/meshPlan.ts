/** Runs that put the mesh under fire: links are cut in every shape, in peace otherwise, and long enough for the mesh to settle. */
import { Random } from '../simulation/random.js';
import { pairsOf, partialPartition, pauses, rendezvousDown, type Pair } from './meshFaults.js';
import { LEADER, type Fault, type PlannedFault } from './fault.js';
import { planRun, type RunPlan } from './plan.js';

const quick = { heartbeatMs: 50, electionTimeoutMs: 300 };
const patient = { heartbeatMs: 100, electionTimeoutMs: 1000 };
/** The mesh forms, and the group is founded. */
const PEACE_MS = 3000;
/** After everything is mended. */
const QUIET_MS = 16_000;

type Theme = 'cuts' | 'one-way cuts' | 'flaps' | 'pauses' | 'rendezvous' | 'all';
const themes: readonly Theme[] = [
  'cuts',
  'cuts',
  'cuts',
  'one-way cuts',
  'flaps',
  'pauses',
  'rendezvous',
  'all',
];

/** The run of a seed, with the mesh as its target. */
export function planMesh(seed: number): RunPlan {
  const random = new Random(`quorate mesh ${seed}`);
  const nodes = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].slice(0, random.pick([3, 4, 5, 5, 5, 7]));
  const plan = planRun(seed, { kinds: [], nodes });
  const theme = random.pick(themes);
  const safetyMs = Math.round(random.between(12_000, 22_000));
  const rough = theme === 'all' && random.chance(0.5);
  return {
    ...plan,
    outside: undefined,
    // A leader that hands over for a priority would look like one that a cut deposed.
    priorities: undefined,
    relay: random.chance(0.9),
    network: {
      latencyMs: random.pick([0.05, 0.5, 5]),
      tailMs: random.pick([0.1, 1]),
      ...(rough ? { lossRate: random.between(0, 0.05) } : {}),
    },
    raft: { ...plan.raft, ...random.pick([quick, patient]) },
    disk: {
      write: { minMs: 0.02, meanMs: 0.03 },
      sync: { minMs: 0.1, meanMs: 0.2 },
      capacityBytes: 64 << 20,
    },
    messages: {},
    applyMs: 0,
    clients: 2,
    thinkMs: 80,
    safetyMs,
    core: nodes,
    rest: {},
    quietMs: QUIET_MS,
    faults: faultsOf(theme, random.stream('faults'), nodes, safetyMs),
  };
}

function faultsOf(theme: Theme, random: Random, nodes: readonly string[], safetyMs: number): PlannedFault[] {
  const faults: PlannedFault[] = [];
  for (let at = PEACE_MS; at < safetyMs;) {
    // Short ones meet the mesh while it adapts; in long ones it has to settle.
    const ms = Math.round(random.pick([random.between(100, 2500), random.between(3000, 14_000)]));
    faults.push({ at: Math.round(at), fault: faultOf(theme, random, nodes, ms) });
    at += random.pick([ms * random.next(), ms + random.between(0, 2000), ms + random.between(4000, 12_000)]);
    at += 50;
  }
  return faults;
}

function faultOf(theme: Theme, random: Random, nodes: readonly string[], ms: number): Fault {
  const [a, b] = randomPair(random, nodes);
  const leader = random.chance(0.4) ? LEADER : a;
  switch (theme) {
    case 'cuts':
      return random.chance(0.7)
        ? { ...partialPartition(random, nodes, ms), oneWay: false }
        : { kind: 'cut', a: leader, b, ms };
    case 'one-way cuts':
      return random.chance(0.5)
        ? { ...partialPartition(random, nodes, ms), oneWay: true }
        : { kind: 'one-way cut', from: leader, to: b, ms };
    case 'flaps':
      return { kind: 'flap', a: leader, b, periodMs: Math.round(random.between(50, 3000)), ms };
    case 'pauses':
      // Now and then something is cut while the node stands still: it has to find that out without haste.
      if (random.chance(0.25)) return { kind: 'cut', a: leader, b, ms };
      return random.chance(0.6)
        ? pauses(random, leader, ms)
        : { kind: 'pause', node: leader, ms: Math.min(ms, 5000) };
    case 'rendezvous':
      return random.chance(0.7) ? rendezvousDown(random, nodes, ms) : { kind: 'reset', a, b };
    case 'all':
      return random.chance(0.3)
        ? random.pick<Fault>([
            { kind: 'crash', node: leader, power: false, amid: false, ms },
            { kind: 'clog', from: leader, to: b, ms },
            { kind: 'partition', groups: [[leader], nodes.filter((id) => id !== leader)], ms },
            { kind: 'rendezvous out', node: a, ms },
          ])
        : faultOf(random.pick(themes.filter((one) => one !== 'all')), random, nodes, ms);
  }
}

function randomPair(random: Random, nodes: readonly string[]): Pair {
  return random.shuffle(random.pick(pairsOf(nodes))) as [string, string];
}
