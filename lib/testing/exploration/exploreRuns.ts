/** Runs plans with the machine and the clients of an exploration. */
import { configError, QuorateError } from '../../errors.js';
import { analyzeLinearizability } from '../linearizability/checkLinearizable.js';
import type { Random } from '../simulation/random.js';
import type { Simulation } from '../simulation/simulation.js';
import { clientRandom, type ClientRandom } from './clientRandom.js';
import type { CheckedExploration } from './exploreOptions.js';
import type { RunPlan } from './plan.js';
import { runPlan, type RunOutcome } from './runPlan.js';
import type { ClientStep, Subject } from './subject.js';

/** Real milliseconds for the judgement of one history. */
const JUDGE_MS = 10_000;
/** A client that asks so often without a command in between never submits one. */
const MOST_QUERIES = 10_000;

/** @internal */
export class Runs {
  readonly #exploration: CheckedExploration;
  readonly #subject: Subject;
  #simulation: Simulation | undefined;
  /** What the caller's own code threw. */
  #thrown: { readonly error: unknown } | undefined;

  constructor(exploration: CheckedExploration) {
    this.#exploration = exploration;
    const { machine, model } = exploration;
    this.#subject = {
      machine,
      workload: () => this.#workload(),
      ...(model === undefined
        ? {}
        : {
            judge: (history, simulation) => {
              const { verdict, text } = analyzeLinearizability(model, history, { timeoutMs: JUDGE_MS });
              simulation.count(`histories judged ${verdict}`);
              return verdict === 'illegal'
                ? `no order of the calls explains the answers\n${text}`
                : undefined;
            },
          }),
    };
  }

  async run(plan: RunPlan, traceEvents = 0): Promise<RunOutcome> {
    const { signal, consensus } = this.#exploration;
    throwIfAborted(signal);
    const abort = (): void => this.#stop('the exploration was aborted');
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const outcome = await runPlan(plan, {
        subject: this.#subject,
        consensus,
        traceEvents,
        onStart: (simulation) => void (this.#simulation = simulation),
      });
      throwIfAborted(signal);
      if (this.#thrown !== undefined) throw this.#thrown.error;
      return outcome;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#simulation = undefined;
    }
  }

  #stop(why: string): void {
    this.#simulation?.report('no exception', '', why);
  }

  #workload(): (random: Random) => ClientStep {
    const { client } = this.#exploration;
    let queries = 0;
    let last: { readonly random: Random; readonly given: ClientRandom } | undefined;
    return (random) => {
      try {
        if (last?.random !== random) last = { random, given: clientRandom(random) };
        const step = checkStep(client(last.given));
        queries = 'command' in step ? 0 : queries + 1;
        if (queries > MOST_QUERIES)
          throw configError('client', client, 'a function that answers a command now and then');
        return step;
      } catch (error) {
        this.#thrown ??= { error };
        this.#stop('the client threw');
        // Clients take it for a call that failed, and no time passes any more.
        throw new QuorateError('ERR_CLOSED', 'the run is over', { cause: error });
      }
    };
  }
}

function checkStep(step: unknown): ClientStep {
  const known = typeof step === 'object' && step !== null && ('command' in step || 'query' in step);
  if (!known) throw configError('what client answers', step, '{ command } or { query }');
  return step;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true)
    throw new QuorateError('ERR_ABORTED', 'the exploration was aborted', { cause: signal.reason });
}
