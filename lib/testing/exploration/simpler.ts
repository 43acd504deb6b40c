/** Plans that are a little simpler than a plan: what minimising tries when no fault can be left out any more. */
import type { Fault, PlannedFault } from './fault.js';
import type { RunPlan } from './plan.js';

/** Below so many virtual milliseconds nothing is made shorter. */
const SHORT_MS = 20;
/** With fewer nodes a quorum is all of them, and little is like it was. */
const FEW_NODES = 3;
/** Time for nodes to start. */
const START_MS = 500;

/** All but the faults: nodes, clients, clocks, messages, network, disk, duration. Every one differs from the plan. */
export function* simplerSettings(plan: RunPlan): Generator<RunPlan> {
  const { messages, clocks, network, disk, clients, rest, safetyMs, nodes } = plan;
  // First what makes all the runs after it shorter.
  if (clients > 1) yield { ...plan, clients: 1 };
  if (Object.keys(messages).length > 0) yield { ...plan, messages: {} };
  if ((clocks.driftRate ?? 0) > 0) yield { ...plan, clocks: { driftRate: 0 } };
  if (plan.raft.lease !== undefined) yield { ...plan, raft: omit(plan.raft, 'lease') };
  if (Object.keys(network).length > 0) yield { ...plan, network: {} };
  if (network.bulk !== undefined) yield { ...plan, network: omit(network, 'bulk') };
  if ((network.lossRate ?? 0) > 0) yield { ...plan, network: { ...network, lossRate: 0 } };
  if (disk.write !== undefined || disk.sync !== undefined)
    yield { ...plan, disk: omit(disk, 'write', 'sync') };
  if (Object.keys(rest).length > 0) yield { ...plan, rest: {}, core: nodes };
  if (plan.relay ?? true) yield { ...plan, relay: false };
  if ((plan.quietMs ?? 0) > 0) yield { ...plan, quietMs: Math.floor(plan.quietMs! / 2) };
  if (plan.outside !== undefined) yield omit(plan, 'outside');
  if (plan.priorities !== undefined) yield omit(plan, 'priorities');
  if (plan.witnesses !== undefined) yield omit(plan, 'witnesses');
  if (plan.founders !== undefined) yield omit(plan, 'founders', 'witnesses');
  yield* fewerNodes(plan);
  if (plan.applyMs > 0) yield { ...plan, applyMs: 0 };
  if (clients > 2) yield { ...plan, clients: Math.ceil(clients / 2) };
  const last = plan.faults.at(-1)?.at ?? 0;
  if (last > START_MS) {
    const faults = plan.faults.map(({ at, fault }) => ({ at: Math.ceil(at / 2), fault }));
    yield { ...plan, faults, safetyMs: Math.max(START_MS, Math.ceil(safetyMs / 2)) };
  }
  for (const shorter of [Math.max(last + 1, START_MS), safetyMs / 2, safetyMs * 0.8].map(Math.ceil))
    if (shorter >= last && shorter >= START_MS && shorter < safetyMs - SHORT_MS)
      yield { ...plan, safetyMs: shorter };
}

function* fewerNodes(plan: RunPlan): Generator<RunPlan> {
  const { nodes } = plan;
  if (nodes.length <= FEW_NODES) return;
  for (const id of [...nodes].reverse()) {
    const faults = plan.faults.map(({ at, fault }) => ({ at, fault: without(fault, id) }));
    if (!faults.every((planned): planned is PlannedFault => planned.fault !== undefined)) continue;
    const left = nodes.filter((other) => other !== id);
    const some = plan.core.filter((other) => other !== id);
    const core = some.length > left.length >> 1 ? some : left;
    const rest = Object.fromEntries(
      Object.entries(plan.rest).filter(([other]) => left.includes(other) && !core.includes(other)),
    );
    const founders = plan.founders?.filter((other) => other !== id);
    if (founders?.length === 0) continue;
    const witnesses = plan.witnesses?.filter((other) => other !== id);
    const parts = { ...(founders && { founders }), ...(witnesses && { witnesses }) };
    yield { ...plan, nodes: left, ...parts, core, rest, faults };
  }
}

/** The fault as it is without that node; undefined: it is about that node. */
function without(fault: Fault, id: string): Fault | undefined {
  const others = (nodes: readonly string[]): string[] => nodes.filter((other) => other !== id);
  if ('node' in fault) return fault.node === id ? undefined : fault;
  switch (fault.kind) {
    case 'bad messages':
    case 'broken transfers':
      return fault;
    case 'members': {
      const change = {
        ...fault,
        add: others(fault.add),
        learn: others(fault.learn),
        remove: others(fault.remove),
      };
      return change.add.length + change.learn.length + change.remove.length === 0 ? undefined : change;
    }
    case 'blackout': {
      const nodes = others(fault.nodes);
      return nodes.length === 0 ? undefined : { ...fault, nodes };
    }
    case 'partition': {
      const groups = fault.groups.map(others).filter((group) => group.length > 0);
      return groups.length < 2 ? undefined : { ...fault, groups };
    }
    case 'one-way partition': {
      const [from, to] = [others(fault.from), others(fault.to)];
      return from.length === 0 || to.length === 0 ? undefined : { ...fault, from, to };
    }
    case 'partial partition': {
      const cuts = fault.cuts.filter((pair) => !pair.includes(id));
      return cuts.length === 0 || fault.leaderAs === id ? undefined : { ...fault, cuts };
    }
    case 'rendezvous down':
      return { ...fault, resets: fault.resets.filter((pair) => !pair.includes(id)) };
    case 'cut':
    case 'flap':
    case 'reset':
      return fault.a === id || fault.b === id ? undefined : fault;
    default:
      return fault.from === id || fault.to === id ? undefined : fault;
  }
}

/** One fault made milder or shorter, each in turn. */
export function* simplerFaults(plan: RunPlan): Generator<RunPlan> {
  for (const [at, planned] of plan.faults.entries())
    for (const fault of simplerFault(planned.fault)) {
      const faults = plan.faults.with(at, { ...planned, fault });
      yield { ...plan, faults };
    }
}

function* simplerFault(fault: Fault): Generator<Fault> {
  switch (fault.kind) {
    case 'crash':
      if (fault.amid) yield { ...fault, amid: false };
      if (fault.power) yield { ...fault, power: false };
      break;
    case 'blackout':
      if (fault.nodes.length === 1)
        yield { kind: 'crash', node: fault.nodes[0]!, power: true, amid: false, ms: fault.ms };
      else
        for (const id of fault.nodes) yield { ...fault, nodes: fault.nodes.filter((other) => other !== id) };
      break;
    case 'flap':
      yield { kind: 'cut', a: fault.a, b: fault.b, ms: fault.periodMs };
      break;
    case 'bad messages':
      for (const name of ['lossRate', 'duplicateRate', 'reorderRate'] as const)
        if ((fault.messages[name] ?? 0) > 0) yield { ...fault, messages: { ...fault.messages, [name]: 0 } };
      break;
    case 'bad way':
      for (const name of Object.keys(fault.shape) as (keyof typeof fault.shape)[]) {
        const shape = omit(fault.shape, name);
        if (Object.keys(shape).length > 0) yield { ...fault, shape };
      }
      break;
    case 'disk errors': {
      const errors = Object.entries(fault.disk.errors ?? {});
      if (errors.length < 2) break;
      for (const [name] of errors) {
        const fewer = Object.fromEntries(errors.filter(([other]) => other !== name));
        yield { ...fault, disk: { ...fault.disk, errors: fewer } };
      }
      break;
    }
    case 'suspend':
      yield { ...fault, kind: 'pause' };
      break;
    case 'partial partition':
      if (fault.leaderAs !== undefined) yield { ...fault, leaderAs: undefined };
      if (fault.cuts.length > 1)
        for (const cut of fault.cuts) yield { ...fault, cuts: fault.cuts.filter((other) => other !== cut) };
      break;
    case 'pauses':
      yield { kind: 'pause', node: fault.node, ms: fault.pauseMs };
      break;
    case 'rendezvous down':
      for (const at of fault.resets.keys())
        yield { ...fault, resets: fault.resets.filter((_, other) => other !== at) };
      break;
    case 'bit rot':
      if (fault.bits > 1) yield { ...fault, bits: 1 };
      break;
    case 'members':
      for (const name of ['add', 'learn', 'remove'] as const)
        for (const id of fault[name]) {
          const fewer = { ...fault, [name]: fault[name].filter((other) => other !== id) };
          if (fewer.add.length + fewer.learn.length + fewer.remove.length > 0) yield fewer;
        }
      break;
    case 'join':
      if (fault.blank) yield { ...fault, blank: false };
      break;
    case 'stop':
      yield { kind: 'crash', node: fault.node, power: false, amid: false, ms: fault.ms };
      break;
    case 'broken transfers':
      if (fault.times > 1) yield { ...fault, times: 1 };
      break;
    default:
  }
  if ('ms' in fault && fault.ms > SHORT_MS) yield { ...fault, ms: Math.floor(fault.ms / 2) };
}

function omit<T extends object, K extends keyof T>(value: T, ...names: readonly K[]): Omit<T, K> {
  const left = Object.entries(value).filter(([name]) => !names.includes(name as K));
  return Object.fromEntries(left) as Omit<T, K>;
}
