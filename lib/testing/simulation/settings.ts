/** The options of a simulation. */
import { checkName, checkNumber, configError } from '../../errors.js';
import { keyValue } from '../../machines/keyValue.js';
import type { AutopilotOptions } from '../../replica/autopilotOptions.js';
import { raft, type ConsensusOption } from '../../replica/consensus.js';
import { checkMachine, type ReplicaOptions, type SnapshotOptions } from '../../replica/options.js';
import type { StateMachine } from '../../replica/stateMachine.js';
import type { DiskSettings } from './disk/settings.js';
import type { NetworkSettings } from './network/settings.js';

/** What happens to messages between the link and the consensus core, beyond what a link does to them. */
export interface MessageSettings {
  /**
   * The probability that a message is lost. From 0 to 1.
   * @defaultValue 0
   */
  readonly lossRate?: number;
  /**
   * The probability that a message arrives twice. From 0 to 1.
   * @defaultValue 0
   */
  readonly duplicateRate?: number;
  /**
   * The probability that a message is late, so that others overtake it. From 0 to 1.
   * @defaultValue 0
   */
  readonly reorderRate?: number;
  /**
   * How late, on average, in milliseconds. From 0 to 60 000.
   * @defaultValue 20
   */
  readonly delayMs?: number;
}

/** The clocks of the processes. */
export interface ClockSettings {
  /**
   * Each process's clock goes faster or slower than true time by up to this share. From 0 to 0.5.
   * @defaultValue 0
   */
  readonly driftRate?: number;
}

/** Options of {@link createSimulation}. */
export interface SimulationOptions<M extends StateMachine = StateMachine> {
  /** Decides everything: the same seed and the same calls give the same run. An integer from 0 to 2^53 - 1. */
  readonly seed: number;
  /** The ids of the nodes of one group. 1 to 63. */
  readonly nodes: readonly string[];
  /**
   * Those of the nodes that found the group, at least one. The others are down until {@link Simulation.restart}, and then ask to be
   * let in (`join: true`).
   * @defaultValue all nodes
   */
  readonly founders?: readonly string[];
  /**
   * Those of the nodes that keep no data: when they ask to be let in, and when they come again, it is as witnesses. No founders.
   * @defaultValue none
   */
  readonly witnesses?: readonly string[];
  /**
   * The ids of more nodes, which have a mesh and no replica: for clients of the group. At most 63 nodes in all.
   * @defaultValue none
   */
  readonly clients?: readonly string[];
  /**
   * The protocol; as a function, that of a node, for what differs from node to node (such as a priority).
   * @defaultValue raft()
   */
  readonly consensus?: ConsensusOption | ((node: string) => ConsensusOption);
  /**
   * Makes the state machine of a node; called for every start of every node. A machine of this library, or one that has
   * `fresh`, may be given itself.
   * @defaultValue keyValue()
   */
  readonly stateMachine?: M | (() => M);
  /**
   * How long a command takes to apply, in virtual milliseconds, 0 to 10 000. With 0 turns take no time, and long work is never
   * divided into slices.
   * @defaultValue 0
   */
  readonly applyMs?: number;
  /**
   * Whether nodes that cannot reach each other directly reach each other over others.
   * @defaultValue true
   */
  readonly relay?: boolean;
  /** How links behave, unless they are told otherwise later. */
  readonly network?: NetworkSettings;
  /** How disks behave, unless they are told otherwise later. */
  readonly disk?: DiskSettings;
  /** Messages that links do not lose, but cores must be able to. */
  readonly messages?: MessageSettings;
  readonly clocks?: ClockSettings;
  /**
   * When replicas take snapshots. By default far more often than in earnest, so that runs of some seconds see them.
   * @defaultValue `{ logBytes: 16384, keepEntries: 100 }`
   */
  readonly snapshot?: SnapshotOptions;
  /**
   * The time-out of calls, in virtual milliseconds. From 1 to 2^31 - 1.
   * @defaultValue 30000
   */
  readonly timeout?: number;
  /**
   * What the replicas do while no quorum answers.
   * @defaultValue 'wait'
   */
  readonly onNoQuorum?: 'wait' | 'reject' | 'queue';
  /**
   * Has the leader keep a number of voters by itself.
   * @defaultValue off
   */
  readonly autopilot?: AutopilotOptions;
  /**
   * How many of the newest events {@link Simulation.trace} keeps; all of them count for its hash. From 0 to 10^7.
   * @defaultValue 2000
   */
  readonly traceEvents?: number;
}

/** The options, checked and complete. @internal */
export interface CheckedSettings {
  readonly seed: number;
  readonly nodes: readonly string[];
  readonly founders: readonly string[];
  readonly witnesses: readonly string[];
  readonly clients: readonly string[];
  readonly consensus: (node: string) => ConsensusOption;
  readonly machine: () => StateMachine;
  readonly applyMs: number;
  readonly relay: boolean;
  readonly network: NetworkSettings;
  readonly disk: DiskSettings;
  readonly messages: Required<MessageSettings>;
  readonly driftRate: number;
  readonly snapshot: SnapshotOptions;
  readonly timeout: number;
  readonly onNoQuorum: NonNullable<ReplicaOptions<StateMachine>['onNoQuorum']>;
  readonly autopilot: AutopilotOptions | undefined;
  readonly traceEvents: number;
}

/** Throws ERR_CONFIG naming the option that is wrong. @internal */
export function checkSettings(options: SimulationOptions): CheckedSettings {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw configError('options', options, 'an object');
  const { nodes, messages = {}, clocks = {} } = options;
  const seed = checkNumber('seed', options.seed, 0, Number.MAX_SAFE_INTEGER);
  const { clients = [] } = options;
  checkNodes(nodes);
  const given: unknown = clients;
  if (!Array.isArray(given)) throw configError('clients', clients, 'a list of node ids');
  checkNodes([...nodes, ...clients]);
  const { founders = nodes, witnesses = [], consensus = raft() } = options;
  checkFounders(founders, nodes);
  checkWitnesses(witnesses, nodes, founders);
  const consensusOf = typeof consensus === 'function' ? consensus : (): ConsensusOption => consensus;
  for (const founder of founders) consensusOf(founder).checkFounders?.(founders.length);
  const refusing = witnesses.find((id) => consensusOf(id).witnesses === false);
  if (refusing !== undefined)
    throw configError(
      'witnesses',
      witnesses,
      `left out with ${consensusOf(refusing).name}(), which has none`,
    );
  const rate = (name: string, value: number): number => checkNumber(name, value, 0, 1, false);
  return {
    seed,
    nodes: [...nodes],
    founders: [...founders],
    witnesses: [...witnesses],
    clients: [...clients],
    consensus: consensusOf,
    machine: machineMaker(options.stateMachine ?? ((): StateMachine => keyValue())),
    applyMs: checkNumber('applyMs', options.applyMs ?? 0, 0, 10_000, false),
    relay: checkFlag('relay', options.relay ?? true),
    network: options.network ?? {},
    disk: options.disk ?? {},
    messages: {
      lossRate: rate('messages.lossRate', messages.lossRate ?? 0),
      duplicateRate: rate('messages.duplicateRate', messages.duplicateRate ?? 0),
      reorderRate: rate('messages.reorderRate', messages.reorderRate ?? 0),
      delayMs: checkNumber('messages.delayMs', messages.delayMs ?? 20, 0, 60_000, false),
    },
    driftRate: checkNumber('clocks.driftRate', clocks.driftRate ?? 0, 0, 0.5, false),
    snapshot: { logBytes: 16_384, keepEntries: 100, ...options.snapshot },
    timeout: checkNumber('timeout', options.timeout ?? 30_000, 1, 2 ** 31 - 1),
    onNoQuorum: checkChoice(options.onNoQuorum ?? 'wait'),
    autopilot: options.autopilot,
    traceEvents: checkNumber('traceEvents', options.traceEvents ?? 2000, 0, 1e7),
  };
}

function checkFlag(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw configError(name, value, 'true or false');
  return value;
}

function checkChoice<T extends string>(value: T): T {
  if (!['wait', 'reject', 'queue'].includes(value))
    throw configError('onNoQuorum', value, "'wait', 'reject' or 'queue'");
  return value;
}

function checkFounders(founders: readonly string[], nodes: readonly string[]): void {
  const given: unknown = founders;
  const known = Array.isArray(given) && given.length > 0 && founders.every((id) => nodes.includes(id));
  if (!known || new Set(founders).size !== founders.length)
    throw configError('founders', founders, `a list of some of the nodes, each once: ${nodes.join(', ')}`);
}

function checkWitnesses(
  witnesses: readonly string[],
  nodes: readonly string[],
  founders: readonly string[],
): void {
  const given: unknown = witnesses;
  const may = nodes.filter((id) => !founders.includes(id));
  const known = Array.isArray(given) && witnesses.every((id) => may.includes(id));
  if (!known || new Set(witnesses).size !== witnesses.length)
    throw configError(
      'witnesses',
      witnesses,
      `a list of some of the nodes that found nothing: ${may.join(', ')}`,
    );
}

/** Throws ERR_CONFIG. @internal */
export function checkNodes(nodes: readonly string[]): void {
  const given: unknown = nodes;
  if (!Array.isArray(given) || given.length === 0 || given.length > 63)
    throw configError('nodes', nodes, 'a list of 1 to 63 node ids');
  for (const [at, id] of nodes.entries()) checkName(`nodes[${at}]`, id);
  if (new Set(nodes).size !== nodes.length) throw configError('nodes', nodes, 'a list without repeated ids');
}

/** Makes machines, each of which is whole and another one than those before; throws ERR_CONFIG. @internal */
export function machineMaker(machine: StateMachine | (() => StateMachine)): () => StateMachine {
  const make = makerOf(machine);
  const made = new WeakSet<StateMachine>();
  return () => {
    const one = make();
    checkMachine(one);
    if (made.has(one))
      throw configError('stateMachine', one, 'a function that makes another machine each time it is called');
    made.add(one);
    return one;
  };
}

function makerOf(machine: StateMachine | (() => StateMachine)): () => StateMachine {
  if (typeof machine === 'function') return machine;
  if (typeof (machine as Partial<StateMachine> | undefined)?.fresh !== 'function') {
    const expected = 'a function that makes one (every start of a node needs a machine of its own)';
    throw configError('stateMachine', machine, expected);
  }
  return () => machine.fresh!();
}
