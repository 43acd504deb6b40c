/**
 * One run: first safety, under faults; then liveness: a quorum is mended, the faults of the rest become permanent, and the
 * cluster must elect, serve and converge within bounded virtual time (TigerBeetle's VOPR; openraft's turmoil tests).
 */
import { paxos, raft, type ConsensusOption } from '../../replica/consensus.js';
import type { StateMachine } from '../../replica/stateMachine.js';
import { createSimulation, type Simulation } from '../simulation/simulation.js';
import type { Violation } from '../simulation/violation.js';
import type { TraceEvent } from '../simulation/trace.js';
import { Clients } from './clients.js';
import { memberKinds } from './memberFaults.js';
import { MeshJudge } from './meshJudge.js';
import { Nemesis } from './nemesis.js';
import type { FaultKind } from './fault.js';
import type { RunPlan } from './plan.js';
import { serials } from './serials.js';
import type { Subject } from './subject.js';

/** Within so many virtual milliseconds the mended cluster must serve, and must have converged. */
const SERVES_WITHIN_MS = 30_000;
const CONVERGES_WITHIN_MS = 30_000;
/** The same where members change: newcomers wait for snapshots, which may be paced. */
const CHANGES_WITHIN_MS = 90_000;
const CALL_TIMEOUT_MS = 3000;
/** How often it is looked whether a change of the members needs others than were mended. */
const LOOK_MS = 100;
/** A mesh that has settled is watched for so long. */
const SETTLED_MS = 1500;
/** With an election time-out from here on no cut that leaves a way over others causes an election. */
const PATIENT_MS = 1000;
/** One run in so many has its history judged by the full search for a linearization, if there is a quicker way too. */
const SAMPLE = 10;

/** How a run ended. */
export interface RunOutcome {
  readonly seed: number;
  readonly violation: Violation | undefined;
  /** Virtual milliseconds. */
  readonly virtualMs: number;
  readonly events: number;
  readonly commitIndex: number;
  /** Of the whole trace. */
  readonly hash: string;
  /** How often what happened: states reached, faults done. */
  readonly counts: Readonly<Record<string, number>>;
  /** The newest events, if they were kept. */
  readonly trace: readonly TraceEvent[];
}

export interface RunOptions {
  /** How many of the newest events to keep. @defaultValue 0 */
  readonly traceEvents?: number;
  /** @defaultValue the plan's, with its options */
  readonly consensus?: ConsensusOption | ((node: string) => ConsensusOption) | undefined;
  /** @defaultValue writes with serials, whose histories are judged in linear time */
  readonly subject?: Subject | undefined;
  /** Called with the simulation before it begins. */
  readonly onStart?: ((simulation: Simulation) => void) | undefined;
}

/** Runs a plan. Does not throw for what does not hold: the outcome says it. */
export async function runPlan(plan: RunPlan, options: RunOptions = {}): Promise<RunOutcome> {
  const subject = options.subject ?? serials;
  const simulation = createSimulation<StateMachine>({
    seed: plan.seed,
    nodes: plan.nodes,
    ...(plan.founders && { founders: plan.founders }),
    ...(plan.witnesses && { witnesses: plan.witnesses }),
    ...(plan.outside && { clients: plan.outside }),
    consensus: options.consensus ?? consensusOf(plan),
    stateMachine: () => subject.machine(),
    network: plan.network,
    disk: plan.disk,
    messages: plan.messages,
    clocks: plan.clocks,
    relay: plan.relay ?? true,
    snapshot: plan.snapshot,
    applyMs: plan.applyMs,
    timeout: CALL_TIMEOUT_MS,
    traceEvents: options.traceEvents ?? 0,
  });
  options.onStart?.(simulation);
  const mesh = new MeshJudge(simulation, {
    relay: plan.relay ?? true,
    lossy: (plan.network.lossRate ?? 0) > 0 || (plan.network.bulk?.lossRate ?? 0) > 0,
    cutsOnly: isCutsOnly(plan),
    strict: plan.raft.electionTimeoutMs >= PATIENT_MS,
  });
  const nemesis = new Nemesis(simulation, plan);
  const clients = new Clients(simulation, plan, subject);
  await simulation.run(plan.safetyMs);
  if (!broken(simulation)) {
    const core = nemesis.settle();
    if (core === undefined) simulation.count('runs without anybody who could be elected');
    else if (await liveness(simulation, core, clients, nemesis, changesMembers(plan)))
      await judge(simulation, subject, core);
    if (!broken(simulation) && plan.quietMs !== undefined) {
      await simulation.runUntil(() => mesh.settled, plan.quietMs);
      await simulation.run(SETTLED_MS);
    }
  }
  const counts = simulation.counts();
  for (const [kind, n] of nemesis.done) counts[`fault: ${kind}`] = n;
  return {
    seed: plan.seed,
    violation: simulation.violation,
    virtualMs: simulation.now,
    events: simulation.events,
    commitIndex: simulation.commitIndex,
    hash: simulation.trace.hash,
    counts,
    trace: simulation.trace.events,
  };
}

/** The protocol of each node. */
export function consensusOf({
  consensus,
  raft: options,
  priorities,
}: RunPlan): (node: string) => ConsensusOption {
  const make = consensus === 'paxos' ? paxos : raft;
  return (node) => make({ ...options, ...(priorities && { priority: priorities[node] ?? 0 }) });
}

/** Whether anything in a plan changes who takes part. */
function changesMembers({ founders, faults }: RunPlan): boolean {
  return founders !== undefined || faults.some(({ fault }) => memberKinds.has(fault.kind));
}

const cuts: ReadonlySet<FaultKind> = new Set(['cut', 'one-way cut', 'flap', 'partial partition']);

/** Nothing else is done than to cut links, on a network and disks that do nothing to wonder at. */
function isCutsOnly({ faults, messages, network, disk, rest, applyMs }: RunPlan): boolean {
  const { lossRate = 0, latencyMs = 0, tailMs = 0, bulk } = network;
  const quick = lossRate === 0 && latencyMs <= 5 && tailMs <= 1 && bulk === undefined;
  const calm = Object.keys(messages).length + Object.keys(rest).length + applyMs === 0;
  const { meanMs = 0 } = disk.sync ?? {};
  return quick && calm && meanMs <= 1 && faults.every(({ fault }) => cuts.has(fault.kind));
}

async function liveness(
  simulation: Simulation,
  core: readonly string[],
  clients: Clients,
  nemesis: Nemesis,
  changes: boolean,
): Promise<boolean> {
  const served = new Set<string>();
  clients.calm();
  const within = changes ? CHANGES_WITHIN_MS : SERVES_WITHIN_MS;
  let until = simulation.now + within;
  const { members } = simulation.group;
  let reached = !changes;
  if (changes) void nemesis.reachMembers(core, () => until).then((done) => (reached = done));
  const serve = (id: string): void =>
    void clients.serve(id, () => until).then((done) => done && served.add(id));
  core.forEach(serve);
  const strangers = members.strangers(core).length;
  const runUntil = async (done: () => boolean): Promise<boolean> => {
    const began = simulation.now;
    let left = within;
    while (!(await simulation.runUntil(done, changes ? Math.min(left, LOOK_MS) : left))) {
      if (broken(simulation)) return false;
      // Whom a change needs that was asked for before is mended too, and all have as long again.
      const added = changes ? nemesis.widen() : [];
      if (added.length > 0) until = simulation.now + within;
      added.forEach(serve);
      left = Math.max(until, began + within) - simulation.now;
      if (left <= 0) return false;
    }
    return true;
  };
  const allServed = await runUntil(() => served.size === core.length);
  if (broken(simulation)) return false;
  if (!allServed) {
    const late = core.filter((id) => !served.has(id));
    const states = core.map((id) => describe(simulation, id)).join(', ');
    simulation.report(
      'liveness',
      late.join('+'),
      `${late.join(', ')} did not serve within ${within} ms of mending ${core.join(', ')}: ${states}`,
    );
    return false;
  }
  const settled = (): boolean =>
    reached && (changes ? members.settled(core) : members.strangers(core).length === 0);
  if (!(await runUntil(settled))) {
    if (broken(simulation)) return false;
    const states = core.map((id) => describe(simulation, id)).join(', ');
    const membership = JSON.stringify(members.membership);
    simulation.report(
      'liveness',
      '',
      `the members did not become ${core.join(', ')}, each with the storage it has: ${membership}: ${states}`,
    );
    return false;
  }
  if (changes) simulation.count('runs that reached their members');
  if (strangers > 0) simulation.count('runs that admitted a storage again in the end');
  let stopped = false;
  void clients.stop().then(() => (stopped = true));
  const converged = (): boolean => {
    const indexes = core.map((id) =>
      simulation.state(id) === 'up' ? simulation.replica(id).status().appliedIndex : -1,
    );
    const reads = core.reduce((sum, id) => sum + simulation.openReads(id), 0);
    return (
      stopped &&
      reads === 0 &&
      indexes.every((index) => index === indexes[0] && index >= simulation.commitIndex)
    );
  };
  if (!(await simulation.runUntil(converged, CONVERGES_WITHIN_MS))) {
    if (broken(simulation)) return false;
    const states = core
      .map((id) => `${describe(simulation, id)}, open reads ${simulation.openReads(id)}`)
      .join('; ');
    simulation.report('liveness', '', `${core.join(', ')} did not converge: ${states}`);
    return false;
  }
  simulation.count('runs that served and converged');
  return true;
}

// A function, so that the compiler does not think that nothing changes while time passes.
function broken(simulation: Simulation): boolean {
  return simulation.violation !== undefined;
}

function describe(simulation: Simulation, id: string): string {
  const state = simulation.state(id);
  if (state !== 'up') return `${id} ${state} ${simulation.failure(id)?.message ?? ''}`;
  const { role, leader, epoch, commitIndex, appliedIndex } = simulation.replica(id).status();
  return `${id} ${role} of ${leader ?? '-'} in ${epoch}, commit ${commitIndex}, applied ${appliedIndex}`;
}

async function judge(simulation: Simulation, subject: Subject, core: readonly string[]): Promise<void> {
  const full = core.filter((id) => !simulation.witnesses.includes(id));
  const digests = full.map((id) => simulation.replica(id).digest());
  const found = await simulation.settle(Promise.all(digests));
  if (new Set(found.map(({ digest }) => digest)).size > 1) {
    simulation.report('divergence', '', `the states of ${core.join(', ')} differ at ${found[0]!.index}`);
    return;
  }
  const sample = simulation.seed % SAMPLE === 0;
  const wrong = subject.judge?.(simulation.history, simulation, full[0]!, sample);
  if (wrong !== undefined) simulation.report('linearizability', '', wrong);
}
