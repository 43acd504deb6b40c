/**
 * Cuts a failing plan down to what makes it fail: first the schedule of faults by delta debugging (ddmin; Zeller and
 * Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002), then the rest of the plan, step by step.
 */
import { checkNumber } from '../../errors.js';
import type { PlannedFault } from './fault.js';
import type { RunPlan } from './plan.js';
import { simplerFaults, simplerSettings } from './simpler.js';

/** Whether a plan still fails in the way that matters. */
export type Fails = (plan: RunPlan) => Promise<boolean>;

/** How a minimisation stands. */
export interface MinimiseProgress {
  /** Runs so far. */
  readonly runs: number;
  /** The smallest plan that failed so far. */
  readonly plan: RunPlan;
}

/** Options of {@link minimise}. */
export interface MinimiseOptions {
  /**
   * At most so many runs. From 1 to 10^6.
   * @defaultValue 1000
   */
  readonly maxRuns?: number;
  /**
   * At most about so many real milliseconds: no run begins after that. From 0 to 10^9.
   * @defaultValue 90000
   */
  readonly maxMs?: number;
  /**
   * When it failed, in virtual milliseconds: what was planned for later can go at once.
   * @defaultValue nothing goes for that reason
   */
  readonly violatedAt?: number | undefined;
  /**
   * Under how many other seeds a smaller plan is tried that does not fail under its own: leaving something out changes what
   * comes after it, and a race may then be won by the other side. From 0 to 100.
   * @defaultValue 2
   */
  readonly otherSeeds?: number;
  /** Called when a smaller plan was found. */
  readonly onProgress?: ((progress: MinimiseProgress) => void) | undefined;
}

/** What {@link minimise} found. */
export interface Minimised {
  /** Fails, and is the smallest that was found to. */
  readonly plan: RunPlan;
  readonly runs: number;
  /** Nothing more could be left out; `false`: runs or time came to their end before. */
  readonly complete: boolean;
}

/** Seeds that differ by this are alike in all that a run takes from its seed's number itself. */
const SEED_STEP = 10_000_000;

class Spent extends Error {}

/** `plan` fails, as the caller has seen. Throws what `fails` throws. */
export async function minimise(
  plan: RunPlan,
  fails: Fails,
  options: MinimiseOptions = {},
): Promise<Minimised> {
  const search = new Search(plan, fails, options);
  let complete = true;
  try {
    await search.run(options.violatedAt);
  } catch (error) {
    if (!(error instanceof Spent)) throw error;
    complete = false;
  }
  return { plan: search.plan, runs: search.runs, complete };
}

class Search {
  plan: RunPlan;
  runs = 0;
  readonly #fails: Fails;
  readonly #maxRuns: number;
  readonly #deadline: number;
  readonly #otherSeeds: number;
  readonly #onProgress: MinimiseOptions['onProgress'];
  /** What was tried and did not fail. */
  readonly #harmless = new Set<string>();

  constructor(plan: RunPlan, fails: Fails, options: MinimiseOptions) {
    this.plan = plan;
    this.#fails = fails;
    this.#maxRuns = checkNumber('maxRuns', options.maxRuns ?? 1000, 1, 1e6);
    this.#deadline = performance.now() + checkNumber('maxMs', options.maxMs ?? 90_000, 0, 1e9, false);
    this.#otherSeeds = checkNumber('otherSeeds', options.otherSeeds ?? 2, 0, 100);
    this.#onProgress = options.onProgress;
  }

  async run(violatedAt = Infinity): Promise<void> {
    if (this.plan.faults.length > 0) {
      await this.#try(this.#with([]));
      const early = this.plan.faults.filter(({ at }) => at <= violatedAt);
      if (early.length < this.plan.faults.length) await this.#try(this.#with(early));
    }
    // What one step takes away may be what another needed to stay.
    for (let before; before !== this.plan;) {
      before = this.plan;
      await this.#ddmin();
      for (const simpler of [simplerSettings, simplerFaults]) await this.#descend(simpler);
    }
  }

  async #ddmin(): Promise<void> {
    let parts = 2;
    while (this.plan.faults.length > 0) {
      const { faults } = this.plan;
      parts = Math.min(parts, faults.length);
      const chunks = Array.from({ length: parts }, (_, i) =>
        faults.slice(Math.floor((i * faults.length) / parts), Math.floor(((i + 1) * faults.length) / parts)),
      );
      if (parts > 1 && (await this.#any(chunks))) {
        parts = 2;
        continue;
      }
      const complements = chunks.map((chunk) => faults.filter((fault) => !chunk.includes(fault)));
      // With two parts the complements are the parts.
      if (parts !== 2 && (await this.#any(complements))) {
        parts = Math.max(parts - 1, 2);
        continue;
      }
      if (parts >= faults.length) return;
      parts *= 2;
    }
  }

  async #any(schedules: readonly (readonly PlannedFault[])[]): Promise<boolean> {
    for (const faults of schedules) if (await this.#try(this.#with(faults))) return true;
    return false;
  }

  /** Takes every simpler plan that still fails, and goes on from there. */
  async #descend(simpler: (plan: RunPlan) => Iterable<RunPlan>): Promise<void> {
    for (let found = true; found;) {
      found = false;
      for (const candidate of simpler(this.plan)) {
        found = await this.#try(candidate);
        if (found) break;
      }
    }
  }

  #with(faults: readonly PlannedFault[]): RunPlan {
    return { ...this.plan, faults };
  }

  async #try(candidate: RunPlan): Promise<boolean> {
    const key = JSON.stringify({ ...candidate, seed: 0 });
    if (this.#harmless.has(key)) return false;
    for (let i = 0; i <= this.#otherSeeds; i++) {
      if (this.runs >= this.#maxRuns || performance.now() >= this.#deadline) throw new Spent();
      this.runs++;
      const seed = candidate.seed + i * SEED_STEP;
      if (seed > Number.MAX_SAFE_INTEGER) break;
      const tried = { ...candidate, seed };
      if (!(await this.#fails(tried))) continue;
      this.plan = tried;
      this.#onProgress?.({ runs: this.runs, plan: tried });
      return true;
    }
    this.#harmless.add(key);
    return false;
  }
}
