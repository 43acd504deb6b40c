/** What will be done to a cluster: decided by a seed beforehand, so that a failing run can be cut down to what matters. */
import type { DiskSettings } from '../simulation/disk/settings.js';
import type { NetworkSettings, NetworkShape } from '../simulation/network/settings.js';
import { Random } from '../simulation/random.js';
import type { ClockSettings, MessageSettings } from '../simulation/settings.js';
import {
  brokenTransfers,
  changeOf,
  foundersOf,
  memberKinds,
  witnessesOf,
  type MemberFault,
} from './memberFaults.js';
import { partialPartition, pauses, rendezvousDown, type MeshFault } from './meshFaults.js';

/** Stands for whoever leads at the moment of the fault. */
export const LEADER = '@leader';

/** One fault; `ms` is how long it lasts. A node may be `@leader`: whoever leads at the moment. */
export type Fault =
  | {
      readonly kind: 'crash';
      readonly node: string;
      readonly power: boolean;
      /** Wait for a moment at which the disk is at work. */
      readonly amid: boolean;
      readonly ms: number;
    }
  | { readonly kind: 'blackout'; readonly nodes: readonly string[]; readonly ms: number }
  | { readonly kind: 'pause'; readonly node: string; readonly ms: number }
  | { readonly kind: 'suspend'; readonly node: string; readonly ms: number }
  | { readonly kind: 'cut'; readonly a: string; readonly b: string; readonly ms: number }
  | {
      readonly kind: 'flap';
      readonly a: string;
      readonly b: string;
      readonly periodMs: number;
      readonly ms: number;
    }
  | { readonly kind: 'one-way cut'; readonly from: string; readonly to: string; readonly ms: number }
  | { readonly kind: 'partition'; readonly groups: readonly (readonly string[])[]; readonly ms: number }
  | {
      readonly kind: 'one-way partition';
      readonly from: readonly string[];
      readonly to: readonly string[];
      readonly ms: number;
    }
  | { readonly kind: 'clog'; readonly from: string; readonly to: string; readonly ms: number }
  | { readonly kind: 'reset'; readonly a: string; readonly b: string; readonly side?: string }
  | {
      readonly kind: 'bad way';
      readonly from: string;
      readonly to: string;
      readonly shape: NetworkShape;
      readonly ms: number;
    }
  | { readonly kind: 'rendezvous out'; readonly node: string; readonly ms: number }
  | { readonly kind: 'bad messages'; readonly messages: MessageSettings; readonly ms: number }
  | { readonly kind: 'clock shift'; readonly node: string; readonly byMs: number }
  | { readonly kind: 'disk errors'; readonly node: string; readonly disk: DiskSettings; readonly ms: number }
  | { readonly kind: 'disk stall'; readonly node: string; readonly ms: number }
  | { readonly kind: 'disk full'; readonly node: string; readonly spareBytes: number; readonly ms: number }
  | { readonly kind: 'bit rot'; readonly node: string; readonly bits: number; readonly ms: number }
  | { readonly kind: 'disk lost'; readonly node: string; readonly ms: number }
  /** No fault, but as good as one: the leadership should go to the node; to anyone, when that leads. */
  | { readonly kind: 'transfer'; readonly node: string }
  | MeshFault
  | MemberFault;

/** What kind of fault it is. */
export type FaultKind = Fault['kind'];

/** A fault and its moment, in virtual milliseconds. */
export interface PlannedFault {
  readonly at: number;
  readonly fault: Fault;
}

/** A whole run. */
export interface RunPlan {
  readonly seed: number;
  readonly nodes: readonly string[];
  /** Those of them that found the group; the others begin when they are to join it. @defaultValue all nodes */
  readonly founders?: readonly string[] | undefined;
  /** Those of the others that keep no data. @defaultValue none */
  readonly witnesses?: readonly string[] | undefined;
  /** More nodes, which are no members: clients of the group. @defaultValue none */
  readonly outside?: readonly string[] | undefined;
  /** How much rather each node should lead. @defaultValue all alike */
  readonly priorities?: Readonly<Record<string, number>> | undefined;
  readonly network: NetworkSettings;
  readonly disk: DiskSettings;
  readonly messages: MessageSettings;
  readonly clocks: ClockSettings;
  readonly snapshot: {
    readonly logBytes: number;
    readonly keepEntries: number;
    readonly maxBytesPerSecond?: number;
  };
  /** @defaultValue 'raft' */
  readonly consensus?: 'raft' | 'paxos' | undefined;
  /** The options of the protocol. */
  readonly raft: {
    readonly heartbeatMs: number;
    readonly electionTimeoutMs: number;
    readonly maxMessageBytes: number;
    readonly maxInflightBytes?: number;
    readonly lease?: { readonly maxDrift: number };
  };
  /** Whether nodes reach each other over others. @defaultValue true */
  readonly relay?: boolean | undefined;
  /** How long the mesh has in the end until it is whole again. @defaultValue it is not waited for */
  readonly quietMs?: number | undefined;
  /** How long a command takes to apply. */
  readonly applyMs: number;
  readonly clients: number;
  /** Mean pause of a client between two calls. */
  readonly thinkMs: number;
  /** How long the faults last. */
  readonly safetyMs: number;
  /** Who must serve in the end; the others stay as broken as they are. */
  readonly core: readonly string[];
  /** What becomes of each of the others. */
  readonly rest: Readonly<Record<string, 'down' | 'cut off' | 'deaf' | 'mute' | 'slow'>>;
  readonly faults: readonly PlannedFault[];
}

/** What a plan may contain. */
export interface PlanOptions {
  /** @defaultValue 3 or 5, as the seed decides */
  readonly nodes?: readonly string[] | undefined;
  /** @defaultValue all kinds, of which the seed chooses */
  readonly kinds?: readonly FaultKind[] | undefined;
  /** @defaultValue 'raft' */
  readonly consensus?: RunPlan['consensus'];
}

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

/** The run that a seed stands for. */
export function planRun(seed: number, options: PlanOptions = {}): RunPlan {
  const random = new Random(`quorate plan ${seed}`);
  const size = random.chance(0.5) ? 3 : 5;
  const nodes = options.nodes ?? ['a', 'b', 'c', 'd', 'e'].slice(0, size);
  // Most groups are founded in peace: a founding that is cut short may have to wait for those who took part.
  const peaceMs = random.chance(0.25) ? 0 : 2500;
  const safetyMs = peaceMs + Math.round(random.between(6000, 14_000));
  const core = random
    .shuffle(nodes)
    .slice(0, (nodes.length >> 1) + 1 + random.integer((nodes.length + 1) >> 1));
  const others = nodes.filter((id) => !core.includes(id));
  const setting = random.stream('setting');
  const flow = random.stream('flow');
  const pace = flow.pick([0, 0, 30_000, 300_000]);
  const moves = random.stream('members');
  const faults = faultsOf(
    random.stream('faults'),
    nodes,
    core,
    peaceMs,
    safetyMs,
    options.kinds ?? faultKinds,
  );
  const changes = faults.some(({ fault }) => memberKinds.has(fault.kind));
  const founders = changes ? foundersOf(moves, nodes) : nodes;
  return {
    seed,
    nodes,
    ...(changes && { founders, ...witnessesOf(random.stream('witnesses'), nodes, founders) }),
    ...(moves.chance(0.3) && { outside: ['x', 'y'].filter((id) => !nodes.includes(id)) }),
    ...(moves.chance(0.2) && { priorities: Object.fromEntries(nodes.map((id) => [id, moves.integer(3)])) }),
    network: networkOf(setting),
    disk: {
      write: { minMs: 0.02, meanMs: setting.pick([0.03, 0.3, 3]) },
      sync: { minMs: 0.1, meanMs: setting.pick([0.2, 1, 10]) },
      capacityBytes: 64 << 20,
    },
    messages: setting.chance(0.5) ? messagesOf(setting, 0.05) : {},
    clocks: { driftRate: setting.pick([0, 0.01, 0.1]) },
    snapshot: {
      logBytes: setting.pick([4096, 16_384, 65_536]),
      keepEntries: setting.pick([0, 20, 500]),
      ...(pace > 0 && { maxBytesPerSecond: pace }),
    },
    raft: {
      heartbeatMs: 50,
      electionTimeoutMs: 300,
      maxMessageBytes: setting.pick([1024, 1024, 65_536]),
      // With a small window a snapshot is often cheaper than the log.
      maxInflightBytes: flow.pick([65_536, 65_536, 8 << 20]),
      // As much as clocks drift at most, and no more.
      ...(random.stream('lease').chance(0.4) && { lease: { maxDrift: 0.1 } }),
    },
    applyMs: setting.pick([0, 0, 0.1, 1.5]),
    clients: 3 + setting.integer(6),
    thinkMs: setting.pick([5, 20, 80]),
    safetyMs,
    relay: random.stream('relay').chance(0.85),
    core,
    rest: Object.fromEntries(
      others.map((id) => [id, random.pick(['down', 'cut off', 'deaf', 'mute', 'slow'] as const)]),
    ),
    faults,
  };
}

function networkOf(random: Random): NetworkSettings {
  const lane = (): NetworkShape => ({
    latencyMs: random.pick([0.05, 0.5, 5, 20]),
    tailMs: random.pick([0.1, 1, 10]),
    lossRate: random.chance(0.4) ? random.between(0, 0.1) : 0,
  });
  return { ...lane(), ...(random.chance(0.5) ? { bulk: lane() } : {}) };
}

function messagesOf(random: Random, most: number): MessageSettings {
  return {
    lossRate: random.between(0, most),
    duplicateRate: random.between(0, most),
    reorderRate: random.between(0, most),
    delayMs: random.pick([5, 50, 500]),
  };
}

function faultsOf(
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

function linkFaultOf(
  kind: 'cut' | 'flap' | 'one-way cut' | 'partition' | 'one-way partition' | 'clog' | 'reset' | 'bad way',
  random: Random,
  nodes: readonly string[],
  a: string,
  b: string,
  ms: number,
): Fault {
  switch (kind) {
    case 'cut':
      return { kind, a, b, ms };
    case 'flap':
      return { kind, a, b, periodMs: Math.round(random.between(20, 800)), ms: ms * 3 };
    case 'one-way cut':
      return { kind, from: a, to: b, ms };
    case 'partition':
      // Long enough for another leader, mostly: what the old one took in meanwhile has to go.
      return { kind, groups: groupsOf(random, nodes), ms: ms + random.pick([0, 600, 1500]) };
    case 'one-way partition': {
      const [from, to] = halves(random, nodes);
      return { kind, from, to, ms };
    }
    case 'clog':
      return { kind, from: a, to: b, ms };
    case 'reset':
      return random.chance(0.5) ? { kind, a, b } : { kind, a, b, side: a };
    case 'bad way': {
      const shape = {
        latencyMs: random.pick([1, 30, 200]),
        tailMs: random.pick([1, 50]),
        lossRate: random.between(0, 0.4),
        bandwidth: random.pick([20_000, 1_000_000, 100_000_000]),
      };
      const one = random.pick(['control', 'bulk', 'both'] as const);
      return { kind, from: a, to: b, ms, shape: one === 'both' ? shape : { [one]: shape } };
    }
  }
}

/** The leader with a minority, the leader alone, any node alone, uniform sizes, or each node where it falls. */
function groupsOf(random: Random, nodes: readonly string[]): string[][] {
  const mode = random.integer(5);
  if (mode === 0) {
    const some = random.shuffle(nodes).slice(0, (nodes.length - 3) >> 1);
    return [[LEADER, ...some], nodes.filter((id) => !some.includes(id))];
  }
  if (mode <= 2) {
    const alone = mode === 1 ? LEADER : random.pick(nodes);
    return [[alone], nodes.filter((id) => id !== alone)];
  }
  if (mode === 3) return halves(random, nodes);
  const groups: string[][] = [[], [], []];
  for (const id of nodes) groups[random.integer(3)]!.push(id);
  return groups.filter((group) => group.length > 0);
}

function halves(random: Random, nodes: readonly string[]): [string[], string[]] {
  const mixed = random.shuffle(nodes);
  const cut = 1 + random.integer(nodes.length - 1);
  return [mixed.slice(0, cut), mixed.slice(cut)];
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
