/** A run for people: its trace together with what its cores heard and committed. */
import type { ConsensusOption } from '../../replica/consensus.js';
import type { Simulation } from '../simulation/simulation.js';
import type { TraceEvent } from '../simulation/trace.js';
import type { RunPlan } from './plan.js';
import { consensusOf, runPlan, type RunOutcome } from './runPlan.js';
import { tapConsensus } from './tap.js';

/** Options of {@link runTapped}. */
export interface TappedOptions {
  /** How many of the newest events to keep, and of the newest messages. */
  readonly traceEvents: number;
  /** @defaultValue raft() with the plan's options */
  readonly consensus?: ConsensusOption | undefined;
}

/** Runs a plan as `runPlan` does, with `message` and `commit` events in its trace; its hash is the same as without them. */
export async function runTapped(plan: RunPlan, options: TappedOptions): Promise<RunOutcome> {
  const { traceEvents } = options;
  let heard: TraceEvent[] = [];
  let simulation: Simulation | undefined;
  const tell = (node: string, kind: string, detail: string): void => {
    heard.push({ time: simulation!.now, node, kind, detail });
    if (heard.length > 2 * traceEvents) heard = heard.slice(-traceEvents);
  };
  const given = options.consensus;
  const of = given === undefined ? consensusOf(plan) : (): ConsensusOption => given;
  const outcome = await runPlan(plan, {
    traceEvents,
    consensus: (node) => tapConsensus(of(node), tell),
    onStart: (begun) => void (simulation = begun),
  });
  const trace = merge(outcome.trace, heard);
  return { ...outcome, trace };
}

/** Of one moment the trace's events come first. */
function merge(trace: readonly TraceEvent[], heard: readonly TraceEvent[]): TraceEvent[] {
  const out: TraceEvent[] = [];
  // Before its first event the trace has forgotten what happened.
  const since = trace[0]?.time ?? 0;
  let at = heard.findIndex(({ time }) => time >= since);
  if (at < 0) at = heard.length;
  for (const event of trace) {
    while (at < heard.length && heard[at]!.time < event.time) out.push(heard[at++]!);
    out.push(event);
  }
  const violation = out.at(-1)?.kind === 'VIOLATION' ? out.pop() : undefined;
  out.push(...heard.slice(at));
  if (violation !== undefined) out.push(violation);
  return out;
}
