/** The faults of a run: of which kinds, how often, when, and how each is shaped. */
import type { DiskSettings } from '../simulation/disk/settings.js';
import type { Random } from '../simulation/random.js';
import type { MessageSettings } from '../simulation/settings.js';
import { LEADER, type Fault, type FaultKind, type PlannedFault } from './fault.js';
import { linkFaultOf } from './linkFaults.js';
import { brokenTransfers, changeOf } from './memberFaults.js';
import { partialPartition, pauses, rendezvousDown } from './meshFaults.js';

const frequencies: Readonly<Record<FaultKind, number>> = {
  crash: 3,
  blackout: 0.5,
  pause: 2,
  suspend: 0.7,
  cut: 2,
  flap: 0.7,
  'one-way cut': 1.5,
  partition: 2.5,
  'one-way partition': 1,
  clog: 1.5,
  reset: 2,
  'bad way': 2,
  'rendezvous out': 1,
  'bad messages': 1,
  'clock shift': 1,
  'disk errors': 1.5,
  'disk stall': 1,
  'disk full': 0.7,
  'bit rot': 0.5,
  'disk lost': 0.4,
  'partial partition': 1.5,
  pauses: 0.6,
  'rendezvous down': 0.5,
  transfer: 4,
  members: 6,
  join: 4,
  stop: 1.5,
  'broken transfers': 3,
};

const meshKinds: ReadonlySet<FaultKind> = new Set(['partial partition', 'pauses', 'rendezvous down']);

/** Kinds that came later: a stream of their own leaves the faults of others as they were. */
const laterKinds: ReadonlySet<FaultKind> = new Set([
  'transfer',
  'members',
  'join',
  'stop',
  'broken transfers',
]);

/** Every kind of fault there is. */
export const faultKinds = Object.keys(frequencies) as FaultKind[];

/** Faults for a run of `nodes`; those of `core` have to serve in the end. @internal */
export function faultsOf(
  random: Random,
  nodes: readonly string[],
  core: readonly string[],
  peaceMs: number,
  safetyMs: number,
  kinds: readonly FaultKind[],
): PlannedFault[] {
  // Streams of their own: a kind that is new leaves the faults of others as they were.
  const mesh = random.stream('mesh');
  const moves = random.stream('moves');
  const sleeps = random.stream('sleeps');
  const streamOf = (kind: FaultKind): Random => {
    if (laterKinds.has(kind)) return moves;
    if (kind === 'suspend') return sleeps;
    return meshKinds.has(kind) ? mesh : random;
  };
  const chosen = kinds.filter((kind) => streamOf(kind).chance(0.45));
  if (chosen.length === 0 && kinds.length > 0) chosen.push(random.pick(kinds));
  // The disks that may rot: a minority, and none that has to serve in the end.
  const spare = random.shuffle(nodes.filter((id) => !core.includes(id))).slice(0, (nodes.length - 1) >> 1);
  const faults: PlannedFault[] = [];
  const scale = random.pick([0.5, 1, 2]);
  for (const kind of chosen) {
    const own = random.stream(kind);
    const gap = (safetyMs - peaceMs) / (frequencies[kind] * scale + 0.5);
    for (let at = peaceMs + own.exponential(gap) / 2; at < safetyMs; at += own.exponential(gap)) {
      const fault = faultOf(kind, own, nodes, spare);
      if (fault !== undefined) faults.push({ at: Math.round(at * 1000) / 1000, fault });
    }
  }
  return faults.sort((one, other) => one.at - other.at);
}

function faultOf(
  kind: FaultKind,
  random: Random,
  nodes: readonly string[],
  spare: readonly string[],
): Fault | undefined {
  const node = random.chance(0.3) ? LEADER : random.pick(nodes);
  const other = random.pick(nodes.filter((id) => id !== node));
  const ms = Math.round(random.exponential(random.pick([50, 500, 2500])) + 1);
  const single = nodes.length === 1;
  switch (kind) {
    case 'crash':
      return { kind, node, power: random.chance(0.7), amid: random.chance(0.6), ms };
    case 'blackout':
      return { kind, nodes: random.chance(0.6) ? nodes : random.shuffle(nodes).slice(0, 2), ms };
    case 'pause':
    case 'suspend':
    case 'rendezvous out':
    case 'disk stall':
      return { kind, node, ms };
    case 'clock shift':
      return { kind, node, byMs: Math.round(random.between(-1, 1) * random.pick([1000, 60_000, 8_000_000])) };
    case 'bad messages':
      return { kind, messages: messagesOf(random, random.pick([0.1, 0.3, 0.6])), ms };
    case 'disk errors':
      return { kind, node, ms: 2 * ms, disk: diskErrorsOf(random) };
    case 'disk full':
      return { kind, node, ms, spareBytes: random.pick([1, 100_000, 400_000]) };
    case 'bit rot':
      return spare.length === 0
        ? undefined
        : { kind, node: random.pick(spare), bits: 1 + random.integer(8), ms };
    case 'transfer':
      return single ? undefined : { kind, node };
    case 'pauses':
      return pauses(random, node, 4 * ms);
    case 'rendezvous down':
      return single ? undefined : rendezvousDown(random, nodes, 2 * ms);
    case 'partial partition':
      return nodes.length < 3
        ? undefined
        : partialPartition(random, nodes, ms + random.pick([0, 1500, 6000]));
    case 'disk lost':
    case 'stop':
      return { kind, node, ms };
    case 'members':
      return changeOf(random, nodes);
    case 'join':
      return {
        kind,
        node: random.pick(nodes),
        as: random.chance(0.8) ? 'voter' : 'learner',
        blank: random.chance(0.4),
      };
    case 'broken transfers':
      return brokenTransfers(random, 4 * ms);
    default:
      return single ? undefined : linkFaultOf(kind, random, nodes, node, other, ms);
  }
}

function diskErrorsOf(random: Random): DiskSettings {
  const often = random.pick([0.01, 0.1, 0.5]);
  const first = random.pick(['write', 'sync', 'syncDirectory'] as const);
  const some = random.shuffle([
    'write',
    'sync',
    'read',
    'open',
    'rename',
    'remove',
    'syncDirectory',
    'truncate',
  ] as const);
  return {
    errors: Object.fromEntries([first, ...some.slice(0, random.integer(4))].map((kind) => [kind, often])),
    stall: random.pick([0, 0.001]),
    stallMs: 500,
  };
}

/** What becomes of messages between links and cores, up to a rate of `most`. @internal */
export function messagesOf(random: Random, most: number): MessageSettings {
  return {
    lossRate: random.between(0, most),
    duplicateRate: random.between(0, most),
    reorderRate: random.between(0, most),
    delayMs: random.pick([5, 50, 500]),
  };
}
