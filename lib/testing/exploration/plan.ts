/** What will be done to a cluster: decided by a seed beforehand, so that a failing run can be cut down to what matters. */
import type { DiskSettings } from '../simulation/disk/settings.js';
import type { NetworkSettings, NetworkShape } from '../simulation/network/settings.js';
import { Random } from '../simulation/random.js';
import type { ClockSettings, MessageSettings } from '../simulation/settings.js';
import type { FaultKind, PlannedFault } from './fault.js';
import { foundersOf, memberKinds, witnessesOf } from './memberFaults.js';
import { faultKinds, faultsOf, messagesOf } from './planFaults.js';

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
