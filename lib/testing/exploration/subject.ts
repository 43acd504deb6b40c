/** What is explored: a state machine, what clients do to it, and how their history is judged. */
import type { StateMachine } from '../../replica/stateMachine.js';
import type { HistoryOperation } from '../simulation/history.js';
import type { Random } from '../simulation/random.js';
import type { Simulation } from '../simulation/simulation.js';
import type { RunPlan } from './plan.js';

/** One thing that a client does. */
export type ClientStep =
  | {
      readonly command: unknown;
      /** A request id of the client's own. */
      readonly requestId?: string | undefined;
    }
  | { readonly query: unknown };

/** @internal */
export interface Subject {
  machine(): StateMachine;
  /** Made anew for each run. */
  workload(random: Random, plan: RunPlan): (random: Random) => ClientStep;
  /** What is wrong with a history, after the cluster has converged on `member`'s state; undefined if nothing is. */
  judge?(
    history: readonly HistoryOperation[],
    simulation: Simulation,
    member: string,
    sample: boolean,
  ): string | undefined;
}
