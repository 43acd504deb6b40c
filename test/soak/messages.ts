/** What passes between the soak and the processes that run its seeds. */
import type { FaultKind } from '../../lib/testing/exploration/fault.js';
import type { RunPlan } from '../../lib/testing/exploration/plan.js';
import type { RunOutcome } from '../../lib/testing/exploration/runPlan.js';

/** One run to do. */
export interface Job {
  readonly seed: number;
  /** @defaultValue what the seed decides */
  readonly plan?: RunPlan | undefined;
  readonly nodes?: readonly string[] | undefined;
  readonly kinds?: readonly FaultKind[] | undefined;
  readonly consensus?: 'raft' | 'paxos' | undefined;
  /** Keep so many of the newest events, with what the cores heard. @defaultValue none */
  readonly traceEvents?: number | undefined;
}

/** How it ended. */
export interface Done {
  readonly outcome: RunOutcome;
  /** Real milliseconds. */
  readonly ms: number;
}

/** The process cannot go on; what it was at has failed. */
export interface Broken {
  readonly broken: string;
}
